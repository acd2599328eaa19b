"""Photos for tests/test_student_py.sh (`make`), and the check of one exported student (`check NAME`): NAME/student.py
against NAME.csv, the probabilities that `student_train predict` gave the photos in forms/. Prints one line a check."""
import csv
import importlib.util
import json
import math
import os
import struct
import sys

import torch
from PIL import Image

TOLERANCE = 1e-4  # of logits, up to a shift: the logarithms of probabilities


def picture(width, height, seed, mode="RGB"):
    """Shading, an edge and texture."""
    def value(x, y, c):
        return int(128 + 60 * math.sin(0.07 * x + 0.05 * y + seed + c) + (40 if x > y else 0) + (x * y * (c + 3)) % 17) & 255
    image = Image.new("RGB", (width, height))
    image.putdata([tuple(value(x, y, c) for c in range(3)) for y in range(height) for x in range(width)])
    return image if mode == "RGB" else image.convert(mode)


def save(image, path, **options):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    image.save(path, **options)


def make():
    colors = {"blue": (30, 60, 200), "red": (200, 50, 40), "sand": (180, 160, 90)}
    for split, count in (("train", 8), ("val", 2)):
        for k, (name, color) in enumerate(colors.items()):
            for i in range(count):
                image = Image.blend(picture(70 + 3 * i, 60 + 5 * k, i), Image.new("RGB", (70 + 3 * i, 60 + 5 * k), color), 0.6)
                save(image, f"photos/{split}/{name}/{i}.jpg")
    exif = Image.Exif()
    exif[0x0112] = 6
    for i, (width, height) in enumerate([(91, 37), (37, 91), (224, 224), (56, 56), (48, 48), (15, 15), (301, 200), (57, 83), (640, 17)]):
        save(picture(width, height, i), f"forms/size{i}.jpg", quality=85)
    save(picture(80, 60, 20), "forms/turned.jpg", exif=exif)
    save(picture(80, 60, 21), "forms/progressive.jpg", progressive=True)
    for mode in ("L", "CMYK"):
        save(picture(75, 64, 22, mode), f"forms/{mode}.jpg")
    for mode in ("RGB", "L", "P", "1"):
        save(picture(75, 64, 23, mode), f"forms/{mode}.png")
    alpha = picture(66, 50, 24, "RGBA")
    alpha.putalpha(picture(66, 50, 25, "L"))
    save(alpha, "forms/RGBA.png")
    save(picture(70, 90, 26), "forms/plain.bmp")
    save(picture(70, 90, 27, "P"), "forms/palette.gif")
    write_digits()


def write_digits():
    """Gray 28 x 28 images in MNIST's format."""
    os.makedirs("digits")
    for prefix, count in (("train", 24), ("t10k", 9)):
        images = b"".join(picture(28, 28, i % 3 * 2, "L").tobytes() for i in range(count))
        with open(f"digits/{prefix}-images-idx3-ubyte", "wb") as file:
            file.write(struct.pack(">IIII", 0x803, count, 28, 28) + images)
        with open(f"digits/{prefix}-labels-idx1-ubyte", "wb") as file:
            file.write(struct.pack(">II", 0x801, count) + bytes(i % 3 for i in range(count)))


def report(name, what, problem):
    print(f"not ok {name}: {what}: {problem}" if problem else f"ok {name}: {what}")


def check_answers(name, module, model):
    with open(name + ".csv") as file:
        header, *rows = csv.reader(file)
    problem = "" if header == ["Id"] + module.CLASSES else f"columns {header}"
    if sorted(row[0] for row in rows) != sorted(os.listdir("forms")):
        problem = problem or "not a row per photo"
    worst = 0.0
    for photo, *texts in rows:
        expected = torch.tensor([float(text) for text in texts])
        with torch.no_grad():
            found = model(module.preprocess("forms/" + photo))[0]
        # where a probability is tiny, its float has fewer digits than the logit
        error = (found.log_softmax(0) - expected.log())[expected > 1e-30].abs().max().item()
        worst = max(worst, error)
        if found.argmax() != expected.argmax() or not error <= TOLERANCE:
            problem = problem or f"{photo}: {found.softmax(0).tolist()}, predict says {expected.tolist()}"
    report(name, f"student.py answers as predict ({len(rows)} photos, logits to {worst:.1e})", problem)


def check_torchvision(name, module):
    try:
        import PIL
        from torchvision import transforms
        from torchvision.transforms import v2
    except ImportError:
        print(f"ok {name}: torchvision # SKIP not installed")
        return
    p = module.PREPROCESSING
    mode, base = p["resize_mode"], p["resize"]
    steps = [transforms.Resize((base, base) if mode == "squash" else base)] if base and mode != "pad" else []
    if mode == "pad":
        steps = [v2.Resize(None, max_size=base), transforms.CenterCrop(base)]
    steps += [transforms.CenterCrop(p["crop"]), transforms.Resize(p["size"]), transforms.ToTensor(),
              transforms.Normalize(p["mean"], p["std"])]
    problem = ""
    # From version 13 on, Pillow does the cheaper of the two passes of a resize first: it rounds differently.
    levels = 0 if int(PIL.__version__.split(".")[0]) < 13 else 2
    for photo in sorted(os.listdir("forms")):
        image = Image.open("forms/" + photo)
        if p["exif"] == "honour":
            from PIL import ImageOps
            image = ImageOps.exif_transpose(image)
        expected = transforms.Compose(steps)(image.convert("RGB").convert(p["color"]))
        difference = (module.preprocess("forms/" + photo)[0] - expected).abs().amax((1, 2)) * torch.tensor(p["std"]) * 255
        if difference.max() > levels + 1e-3 * (levels > 0):
            problem = problem or f"{photo}: up to {difference.max():.2f} levels"
    report(name, f"preprocess() is torchvision's chain, {'to the bit' if levels == 0 else f'to {levels} levels'}", problem)


def check_onnx(name, module, model):
    try:
        import onnxruntime
    except ImportError:
        print(f"ok {name}: onnxruntime # SKIP not installed")
        return
    session = onnxruntime.InferenceSession(name + "/student.onnx", providers=["CPUExecutionProvider"])
    metadata = session.get_modelmeta().custom_metadata_map
    with open(name + "/run.json") as file:
        run = json.load(file)
    problem = ""
    for key, own in (("preprocessing", module.PREPROCESSING), ("classes", module.CLASSES)):
        if json.loads(metadata[key]) != own or run[key] != own:
            problem = problem or f"{key}: {metadata[key]}, student.py has {own}, run.json {run[key]}"
    report(name, "ONNX metadata, run.json and student.py say the same", problem)
    x = module.preprocess("forms/size6.jpg")
    with torch.no_grad():
        error = abs(session.run(["logits"], {"input": x.numpy()})[0] - model(x).numpy()).max()
    report(name, "the ONNX file gives the same logits", "" if error <= TOLERANCE else f"error {error:.1e}")


def check(name):
    spec = importlib.util.spec_from_file_location(name, name + "/student.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    model = module.Student()
    model.load_state_dict(module.load_weights(name + "/student.safetensors"), strict=True)
    model.eval()
    check_answers(name, module, model)
    check_torchvision(name, module)
    check_onnx(name, module, model)


make() if sys.argv[1] == "make" else check(sys.argv[2])
