// Runs the network of a student.html: node student_page.js PAGE predict <pictures >logits; PAGE pixels HEIGHT WIDTH <photo >pixels
const fs = require("fs");
const [page, what, height, width] = process.argv.slice(2);
const script = fs.readFileSync(page, "utf8").split('<script id="network">')[1].split("</script>")[0];
const student = new Function(script + "; return student;")();
const input = fs.readFileSync(0);
if (what === "pixels") {
    const rgba = new Uint8ClampedArray(height * width * 4);
    for (let i = 0; i < height * width; i++)
        rgba.set([input[3 * i], input[3 * i + 1], input[3 * i + 2], 255], 4 * i);
    process.stdout.write(student.pixels(rgba, Number(width), Number(height)));
} else if (what === "classes") {
    process.stdout.write(student.classes.join("\n") + "\n");
} else {
    const size = student.size * student.size * student.channels;
    for (let at = 0; at < input.length; at += size)
        process.stdout.write(Buffer.from(student.predict(input.subarray(at, at + size))));
}
