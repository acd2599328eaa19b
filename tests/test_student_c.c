/* student.c, compiled by several compilers, against int8_run bit for bit, and against the graph; student_resize. */
#include "formats/export/student_c.h"
#include "student_train/student/preset.h"
#include "tests/helper_quantised.h"

#include <setjmp.h>
#include <stdarg.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* Reads pictures and writes their logits; with a height and a width, reads one photo and writes its pixels. */
static const char harness[] = "#include \"student.h\"\n"
                              "#include <stdio.h>\n"
                              "#include <stdlib.h>\n"
                              "static uint8_t photo[4000000], pixels[STUDENT_SIZE * STUDENT_SIZE * STUDENT_CHANNELS];\n"
                              "static LOGIT logits[STUDENT_CLASSES];\n"
                              "int main(int argc, char **argv)\n"
                              "{\n"
                              "    if (argc == 3) {\n"
                              "        if (!fread(photo, 1, sizeof photo, stdin))\n"
                              "            return 1;\n"
                              "        student_resize(photo, atoi(argv[1]), atoi(argv[2]), pixels);\n"
                              "        fwrite(pixels, 1, sizeof pixels, stdout);\n"
                              "        return 0;\n"
                              "    }\n"
                              "    while (fread(pixels, 1, sizeof pixels, stdin) == sizeof pixels) {\n"
                              "        student_predict(pixels, logits);\n"
                              "        fwrite(logits, sizeof logits, 1, stdout);\n"
                              "    }\n"
                              "    return 0;\n"
                              "}\n";

static void put_student(const struct quantised *q, bool int8)
{
    struct student_c_files files;
    struct error err = {0};
    const struct student_c student = {&q->lowered, int8 ? &q->net : NULL, &q->card, q->pictures.pixels};
    if (student_c_write(&student, &files, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    assert_true(files.arena >= q->lowered.arena_values);
    put_file("student.c", files.source, files.source_size);
    put_file("student.h", files.header, files.header_size);
    put_file("main.c", harness, sizeof harness - 1);
    put_file("pictures", q->pictures.pixels, PICTURES * q->pictures.size);
    student_c_files_free(&files);
}

static const char flags[] = "-std=c99 -O1 -Wall -Wextra -Werror";

static void check_c_preset(const char *name, const char *compiler, bool int8)
{
    struct quantised q;
    struct error err = {0};
    const enum status status = quantised_init(&q, name, &err);
    if (strcmp(name, without_form) == 0) {
        assert_int_equal(status, STATUS_CONFIG);
        quantised_release(&q);
        return;
    }
    if (status != STATUS_OK)
        fail_msg("%s: %s", name, err.message);
    put_student(&q, int8);
    if (in_folder("%s %s -DLOGIT=%s student.c main.c -o student -lm && ./student <pictures >logits", compiler, flags,
                  int8 ? "int8_t" : "float") != 0)
        fail_msg("%s: student.c does not compile or run", name);
    int8_t logits[PICTURES * CLASSES];
    float floats[PICTURES * CLASSES];
    assert_int_equal(read_back("logits", int8 ? (void *)logits : floats, int8 ? sizeof logits : sizeof floats),
                     int8 ? sizeof logits : sizeof floats);
    if (int8 && memcmp(logits, q.int8_logits, sizeof logits) != 0)
        fail_msg("%s: student.c gives other bits than int8_run", name);
    for (size_t i = 0; !int8 && i < PICTURES * CLASSES; i++)
        if (!(fabsf(floats[i] - q.logits[i]) < 1e-4f + 1e-3f * fabsf(q.logits[i])))
            fail_msg("%s: logit %zu is %g, not %g", name, i, (double)floats[i], (double)q.logits[i]);
    if (in_folder("%s %s -DSTUDENT_TEST student.c -o self -lm && ./self >/dev/null", compiler, flags) != 0)
        fail_msg("%s: the test in student.c fails", name);
    quantised_release(&q);
}

static void test_c_int8(void **state)
{
    (void)state;
    for (int p = 0; p < preset_count; p++)
        if (strcmp(presets[p].name, "resnet18") != 0 && strcmp(presets[p].name, "deepnn") != 0)
            check_c_preset(presets[p].name, "cc", true);
}

static void test_c_float(void **state)
{
    static const char *const names[] = {"dwpw-small", "branches-32", "mobile-se", "shuffle", "lightnn"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        check_c_preset(names[i], "cc", false);
}

static void test_c_clang(void **state)
{
    (void)state;
    if (system("command -v clang >/dev/null") != 0) {
        print_message("skipped: no clang\n");
        skip();
    }
    check_c_preset("mobile-se", "clang", true);
    check_c_preset("shuffle", "clang", false);
}

/* What no preset has: every activation that is a table, average pools, groups, a gate for every position. */
static void test_c_other_layers(void **state)
{
    static const char *const activations[] = {"leaky_relu 0.1", "hardsigmoid", "sigmoid",  "silu",      "elu",
                                              "selu",           "celu",        "gelu",     "gelu_tanh", "mish",
                                              "tanh",           "softplus",    "softsign", "abs"};
    char net[2000] = "conv stem 16 3x3 /2 pad 1 nobias\nbn\nrelu6\navgpool 3 /1 pad 1\n", path[300];
    (void)state;
    for (size_t i = 0; i < sizeof activations / sizeof *activations; i++)
        snprintf(net + strlen(net), sizeof net - strlen(net), "conv c%zu 16 1\n%s\n", i, activations[i]);
    strcat(net, "conv grouped 24 3x3 pad 1 groups 4\nrelu as map\nconv gate 1 1\nsigmoid\nmul map\navgpool 2\ngap\n"
                "fc classifier classes\n");
    put_file("layers.net", net, strlen(net));
    snprintf(path, sizeof path, "%s/layers.net", work_folder);
    check_c_preset(path, "cc", true);
    check_c_preset(path, "cc", false);
}

/* The test inside of student.c on a Cortex-M4 with 256 kB of RAM, which QEMU simulates; the float form is only
 * compiled. */
static void test_c_cortex_m4(void **state)
{
    static const char compiler[] = "arm-none-eabi-gcc -mcpu=cortex-m4 -mthumb";
    struct quantised q;
    struct error err = {0};
    char here[1000];
    (void)state;
    if (system("command -v arm-none-eabi-gcc >/dev/null && command -v qemu-system-arm >/dev/null") != 0) {
        print_message("skipped: needs gcc-arm-none-eabi, libnewlib-arm-none-eabi and qemu-system-arm\n");
        skip();
    }
    assert_non_null(getcwd(here, sizeof here));
    assert_int_equal(quantised_init(&q, "mobile-se", &err), STATUS_OK);
    put_student(&q, false);
    if (in_folder("%s %s -c student.c", compiler, flags) != 0)
        fail_msg("the float student.c does not compile for a Cortex-M4");
    put_student(&q, true);
    if (in_folder("%s %s -DSTUDENT_TEST --specs=rdimon.specs -nostartfiles -ffunction-sections -fdata-sections "
                  "-Wl,--gc-sections -T '%s/tests/cortex_m4/memory.ld' '%s/tests/cortex_m4/start.c' student.c -o "
                  "student.elf -lm",
                  compiler, flags, here, here) != 0)
        fail_msg("student.c does not link for a Cortex-M4");
    if (in_folder("timeout 60 qemu-system-arm -M mps2-an386 -cpu cortex-m4 -kernel student.elf -nographic "
                  "-semihosting-config enable=on,target=native </dev/null | grep -q 'the logits are right'") != 0)
        fail_msg("student.c gives other logits on a Cortex-M4");
    quantised_release(&q);
}

/* The table of docs/export.md: students for pictures of 96 pixels fit a microcontroller with 256 kB of RAM. */
static void test_arena_of_96_pixels(void **state)
{
    static const struct {
        const char *name;
        size_t bytes;
    } arenas[] = {{"mobile-se", 64512}, {"speed", 64512},  {"res5", 82944}, {"shuffle", 82944},
                  {"dwpw", 92160},      {"mcunet", 92160}, {"ir5", 147456}};
    (void)state;
    for (size_t i = 0; i < sizeof arenas / sizeof *arenas; i++) {
        struct student student;
        struct lowered lowered;
        struct error err = {0};
        assert_int_equal(student_open(&student, arenas[i].name, &(struct student_input){3, 96, 11}, &err), STATUS_OK);
        assert_int_equal(lowered_init(&lowered, &student.graph, &err), STATUS_OK);
        assert_int_equal(lowered.arena_values, arenas[i].bytes);
        lowered_release(&lowered);
        student_release(&student);
    }
}

/* ---- student_resize ---- */
static void check_resize(struct quantised *q, int h, int w)
{
    const size_t size = (size_t)h * (size_t)w * 3;
    uint8_t *photo = malloc(size), *pixels = malloc(q->pictures.size), *found = malloc(q->pictures.size);
    quantised_pixels(q, h, w, photo, pixels);
    put_student(q, true);
    put_file("photo", photo, size);
    assert_int_equal(
        in_folder("cc %s -DLOGIT=int8_t student.c main.c -o student -lm && ./student %d %d <photo >seen", flags, h, w),
        0);
    assert_int_equal(read_back("seen", found, q->pictures.size), q->pictures.size);
    if (memcmp(found, pixels, q->pictures.size) != 0)
        fail_msg("%d x %d: student_resize gives other pixels than evaluation", h, w);
    free(photo);
    free(pixels);
    free(found);
}

static void test_resize(void **state)
{
    (void)state;
    for_every_resize(check_resize);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_c_int8),  cmocka_unit_test(test_c_float),     cmocka_unit_test(test_c_other_layers),
        cmocka_unit_test(test_c_clang), cmocka_unit_test(test_c_cortex_m4), cmocka_unit_test(test_arena_of_96_pixels),
        cmocka_unit_test(test_resize),
    };
    return cmocka_run_group_tests_name("student.c", tests, work_folder_setup, work_folder_teardown);
}
