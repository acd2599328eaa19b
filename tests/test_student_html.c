/* student.html: its network, run by Node.js, against int8_run bit for bit; its pixels against evaluation's; the page
 * itself in Chromium, where there is one. */
#include "formats/export/student_html.h"
#include "student_train/student/preset.h"
#include "tests/helper_quantised.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char here[1000];

static int set_up(void **state)
{
    return getcwd(here, sizeof here) ? work_folder_setup(state) : -1;
}

static void needs(const char *program)
{
    if (in_folder("command -v %s >/dev/null", program) == 0)
        return;
    print_message("skipped: no %s\n", program);
    skip();
}

static void put_page(const struct quantised *q)
{
    struct error err = {0};
    char *text = NULL;
    size_t size;
    if (student_html_write(&q->net, &q->card, &text, &size, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    put_file("student.html", text, size);
    free(text);
}

static void check_logits(const char *student)
{
    struct quantised q;
    struct error err = {0};
    int8_t logits[PICTURES * CLASSES];
    if (quantised_init(&q, student, &err) != STATUS_OK)
        fail_msg("%s: %s", student, err.message);
    put_page(&q);
    put_file("pictures", q.pictures.pixels, PICTURES * q.pictures.size);
    if (in_folder("node '%s/tests/student_page.js' student.html predict <pictures >logits", here) != 0)
        fail_msg("%s: the page's network does not run", student);
    assert_int_equal(read_back("logits", logits, sizeof logits), sizeof logits);
    for (int i = 0; i < PICTURES * CLASSES; i++)
        if (logits[i] != q.int8_logits[i])
            fail_msg("%s: logit %d is %d in the page, not %d", student, i, logits[i], q.int8_logits[i]);
    quantised_release(&q);
}

static void presets_give_the_same_bits(void **state)
{
    (void)state;
    needs("node");
    for (int p = 0; p < preset_count; p++)
        if (strcmp(presets[p].name, without_form) != 0)
            check_logits(presets[p].name);
}

/* Layers of no preset: an activation's table, average pools with and without padding, groups, dilation, maps that are
 * joined, a gate for every position. */
static void other_layers_give_the_same_bits(void **state)
{
    static const char net[] =
        "conv stem 16 3x3 /2 pad 1 nobias\nbn\nrelu6 as early\navgpool 3 /1 pad 1\nconv c 16 1\nmish\n"
        "conv grouped 24 3x3 pad 2 dilation 2 groups 4\nrelu as map\nconv gate 1 1\nsigmoid\nmul map\n"
        "concat early\navgpool 2\ngap\nfc classifier classes\n";
    char path[300];
    (void)state;
    needs("node");
    put_file("layers.net", net, sizeof net - 1);
    snprintf(path, sizeof path, "%s/layers.net", work_folder);
    check_logits(path);
}

static void check_pixels(struct quantised *q, int h, int w)
{
    const size_t size = (size_t)h * (size_t)w * 3;
    uint8_t *photo = malloc(size), *pixels = malloc(q->pictures.size), *found = malloc(q->pictures.size);
    quantised_pixels(q, h, w, photo, pixels);
    put_page(q);
    put_file("photo", photo, size);
    assert_int_equal(in_folder("node '%s/tests/student_page.js' student.html pixels %d %d <photo >seen", here, h, w),
                     0);
    assert_int_equal(read_back("seen", found, q->pictures.size), q->pictures.size);
    if (memcmp(found, pixels, q->pictures.size) != 0)
        fail_msg("%d x %d: the page makes other pixels than evaluation", h, w);
    free(photo);
    free(pixels);
    free(found);
}

static void pixels_are_those_of_evaluation(void **state)
{
    (void)state;
    needs("node");
    for_every_resize(check_pixels);
}

/* A class may have any name, and end no script. */
static void names_are_data(void **state)
{
    static const char *const names[CLASSES] = {
        "</script><script>alert(1)</script>", "<!--", "\"'\\", "d", "e", "f", "g"};
    struct quantised q;
    struct error err = {0};
    char text[200] = "";
    (void)state;
    assert_int_equal(quantised_init(&q, "speed", &err), STATUS_OK);
    q.card.classes = names;
    put_page(&q);
    assert_int_equal(
        in_folder("test \"$(grep -c '</script>' student.html)\" = 2 && ! grep -q 'alert(1)</script>' student.html"), 0);
    quantised_release(&q);
    needs("node");
    assert_int_equal(in_folder("node '%s/tests/student_page.js' student.html classes </dev/null >names", here), 0);
    read_back("names", text, sizeof text - 1);
    assert_string_equal(text, "</script><script>alert(1)</script>\n<!--\n\"'\\\nd\ne\nf\ng\n");
}

/* The page's own script, with a photo that it gets as from its file field: the class that int8_run gives is on top. */
static void chromium_shows_the_class(void **state)
{
    static const char photo[] =
        "<script>addEventListener('load', async () => {\n"
        "    const canvas = Object.assign(document.createElement('canvas'), {width: 64, height: 64});\n"
        "    const image = new ImageData(64, 64), bytes = atob(picture);\n"
        "    for (let i = 0; i < 64 * 64; i++)\n"
        "        for (let c = 0; c < 4; c++) image.data[4 * i + c] = c < 3 ? bytes.charCodeAt(3 * i + c) : 255;\n"
        "    canvas.getContext('2d').putImageData(image, 0, 0);\n"
        "    const files = new DataTransfer();\n"
        "    files.items.add(new File([await new Promise(done => canvas.toBlob(done))], 'photo.png'));\n"
        "    document.getElementById('file').files = files.files;\n"
        "    document.getElementById('file').dispatchEvent(new Event('change'));\n"
        "});</script>\n";
    struct quantised q;
    struct error err = {0};
    int best = 0;
    (void)state;
    needs("chromium");
    assert_int_equal(quantised_init(&q, "speed", &err), STATUS_OK);
    q.card.base = 64; /* the picture as it is */
    for (int k = 1; k < CLASSES; k++)
        best = q.int8_logits[k] > q.int8_logits[best] ? k : best;
    put_page(&q);
    put_file("picture", q.pictures.pixels, q.pictures.size);
    put_file("photo", photo, sizeof photo - 1);
    assert_int_equal(
        in_folder("{ cat student.html && echo \"<script>const picture = '$(base64 -w0 picture)';</script>\" && "
                  "cat photo; } >page.html"),
        0);
    /* Its clock may run out before a picture is decoded in another thread: then there is no answer yet. */
    assert_int_equal(in_folder("for i in 1 2 3 4 5; do timeout 60 chromium --headless --no-sandbox --disable-gpu "
                               "--user-data-dir=profile --virtual-time-budget=10000 --dump-dom page.html >dom 2>log && "
                               "grep -q '<ol id=\"answers\"><li' dom && exit 0; done; exit 1"),
                     0);
    put_file("name", q.card.classes[best], strlen(q.card.classes[best]));
    /* the first answer's name, without the page's escapes */
    assert_int_equal(in_folder("sed -n 's/.*<ol id=\"answers\"><li[^>]*><span><span>\\([^<]*\\)<.*/\\1/p' dom | "
                               "sed 's/&lt;/</g; s/&gt;/>/g; s/&amp;/\\&/g' | tr -d '\\n' | cmp - name"),
                     0);
    quantised_release(&q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(presets_give_the_same_bits),     cmocka_unit_test(other_layers_give_the_same_bits),
        cmocka_unit_test(pixels_are_those_of_evaluation), cmocka_unit_test(names_are_data),
        cmocka_unit_test(chromium_shows_the_class),
    };
    return cmocka_run_group_tests_name("student.html", tests, set_up, work_folder_teardown);
}
