/* The integer arithmetic of quantised students: golden values of its rounding; every preset in integers against float;
 * student.c, compiled, against int8_run bit for bit. Called with a folder, it writes quantised presets there for
 * tests/test_quantise.sh, which asks onnxruntime. */
#define _POSIX_C_SOURCE 200809L
#include "formats/export/student_c.h"
#include "formats/onnx/onnx_write.h"
#include "shared/augment/view.h"
#include "shared/base/files.h"
#include "shared/graph/graph_reference.h"
#include "shared/quantise/calibration.h"
#include "shared/quantise/kernels_int8.h"
#include "student_train/student/preset.h"
#include "student_train/student/student.h"
#include "tests/helper_images.h"
#include "tests/helper_nets.h"

#include <setjmp.h>
#include <stdarg.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { PICTURES = 4, CLASSES = 7 };

/* ---- a preset with random weights, quantised ---- */
struct fixture {
    struct student student;
    struct lowered lowered;
    struct int8_net net;
    struct pixel_set pictures;
    struct model_card card;
    float table[3][256];
    size_t classes;
    float *logits;       /* [PICTURES, classes] of the graph before it was lowered */
    int8_t *int8_logits; /* of int8_run */
};

static const char *const class_names[CLASSES] = {"cat", "dog \"x\" \\ ?\?/", "c", "d", "e*/", "f", "g"};

static int size_of_preset(const char *name)
{
    if (strstr(name, "hw13"))
        return 96;
    return strstr(name, "-32") || strstr(name, "small") || strstr(name, "nn") || strstr(name, "net18") ? 32 : 64;
}

/* Smooth pictures of different brightness: noise alone makes all logits alike. */
static void make_pictures(struct fixture *f, int size)
{
    f->pictures = (struct pixel_set){.count = PICTURES, .size = (size_t)size * (size_t)size * 3};
    f->pictures.pixels = malloc(PICTURES * f->pictures.size);
    for (size_t i = 0; i < PICTURES * f->pictures.size; i++) {
        const size_t n = i / f->pictures.size, p = i % f->pictures.size / 3, c = i % 3;
        const double y = (double)(p / (size_t)size) / size, x = (double)(p % (size_t)size) / size;
        f->pictures.pixels[i] = (uint8_t)(127 + 120 * sin((1 + (double)n) * 3 * x + (double)c * 2 + 5 * y * (double)n));
    }
}

static void run_graph(struct fixture *f, int size)
{
    struct error err = {0};
    float *input = calloc(f->pictures.size, sizeof *input), *nchw = calloc(f->pictures.size, sizeof *nchw);
    const struct graph *graph = &f->student.graph;
    for (size_t i = 0; i < PICTURES; i++) {
        pixels_normalise(f->pictures.pixels + i * f->pictures.size, f->pictures.size, 3, f->table, input);
        for (size_t k = 0; k < f->pictures.size; k++)
            nchw[k % 3 * (size_t)size * (size_t)size + k / 3] = input[k];
        assert_int_equal(graph_forward_reference(graph, nchw, 1, graph->output, f->logits + i * f->classes, &err),
                         STATUS_OK);
    }
    free(input);
    free(nchw);
}

static void run_int8(struct fixture *f)
{
    int8_t *arena = calloc(f->lowered.arena_values, 1);
    for (size_t i = 0; i < PICTURES; i++)
        int8_run(&f->net, f->pictures.pixels + i * f->pictures.size, arena, f->int8_logits + i * f->classes);
    free(arena);
}

/* STATUS_CONFIG: the preset has no integer form. */
static enum status fixture_init(struct fixture *f, const char *preset, struct error *err)
{
    enum status status = STATUS_OK;
    const int size = size_of_preset(preset);
    struct calibration calibration = {0};
    struct value_range *ranges = NULL;
    *f = (struct fixture){.classes = CLASSES};
    f->card = (struct model_card){.channels = 3,
                                  .base = size + 8,
                                  .crop = size,
                                  .size = size,
                                  .mean = {0.48f, 0.45f, 0.41f},
                                  .std = {0.23f, 0.22f, 0.225f},
                                  .classes = class_names,
                                  .class_count = CLASSES};
    TRY(student_open(&f->student, preset, &(struct student_input){3, size, CLASSES}, err));
    net_weights(&f->student.graph, 11);
    view_normalisation_table(f->table, f->card.mean, f->card.std, 3);
    make_pictures(f, size);
    f->logits = calloc(PICTURES * f->classes, sizeof *f->logits);
    f->int8_logits = calloc(PICTURES * f->classes, 1);
    TRY(lowered_init(&f->lowered, &f->student.graph, err));
    TRY(calibration_init(&calibration, &f->lowered, &f->pictures, f->table, NULL, err));
    ranges = calloc((size_t)f->lowered.value_count, sizeof *ranges);
    calibration_ranges(&calibration, RANGE_MIN_MAX, ranges);
    TRY(int8_net_init(&f->net, &f->lowered, ranges, f->table, err));
    run_graph(f, size);
    run_int8(f);
cleanup:
    free(ranges);
    calibration_release(&calibration);
    return status;
}

static void fixture_release(struct fixture *f)
{
    int8_net_release(&f->net);
    lowered_release(&f->lowered);
    student_release(&f->student);
    free(f->pictures.pixels);
    free(f->logits);
    free(f->int8_logits);
}

static float logit_of(const struct fixture *f, size_t i)
{
    const struct int8_value scale = f->net.values[f->lowered.output];
    return scale.scale * (float)(f->int8_logits[i] - scale.zero);
}

/* ---- arithmetic ---- */
static void check_factor(double factor, int32_t multiplier, int shift)
{
    struct error err = {0};
    int32_t m;
    uint8_t s;
    assert_int_equal(int8_factor(factor, &m, &s, &err), STATUS_OK);
    assert_int_equal(m, multiplier);
    assert_int_equal(s, shift);
}

static void test_factors(void **state)
{
    (void)state;
    struct error err = {0};
    int32_t m;
    uint8_t s;
    check_factor(1, 1 << 30, 30);
    check_factor(0.5, 1 << 30, 31);
    check_factor(0.75, 3 << 29, 31);
    check_factor(1 - 1e-12, 1 << 30, 30); /* rounds up to the next power of two */
    check_factor(ldexp(1, -32), 1 << 30, 62);
    check_factor(ldexp(1, -40), 1 << 22, 62); /* below, bits are lost */
    check_factor(0, 0, 1);
    check_factor(ldexp(1, 29), 1 << 30, 1);
    assert_int_equal(int8_factor(ldexp(1, 30), &m, &s, &err), STATUS_CONFIG);
}

static void check_requantise(int32_t sum, double factor, int zero, int low, int high, int expected)
{
    struct error err = {0};
    int32_t multiplier;
    uint8_t shift;
    assert_int_equal(int8_factor(factor, &multiplier, &shift, &err), STATUS_OK);
    const struct scaling to = {&multiplier, &shift, zero, low, high};
    assert_int_equal(requantise(sum, &to, 0), expected);
}

static void test_requantise(void **state)
{
    (void)state;
    check_requantise(5, 0.5, 0, -128, 127, 3); /* halves go up */
    check_requantise(-5, 0.5, 0, -128, 127, -2);
    check_requantise(-3, 0.5, 0, -128, 127, -1);
    check_requantise(4, 0.5, 0, -128, 127, 2);
    check_requantise(1000, 0.5, 0, -128, 127, 127); /* saturates */
    check_requantise(-1000, 0.5, 0, -128, 127, -128);
    check_requantise(10, 1, -128, -128, 127, -118); /* zero point */
    check_requantise(-10, 1, -128, -128, 127, -128);
    check_requantise(10, 1, -128, -128, -120, -120); /* bounds of a ReLU6 */
    check_requantise(INT32_MAX, 1, 0, -128, 127, 127);
    check_requantise(INT32_MIN, 1, 0, -128, 127, -128);
    check_requantise(INT32_MIN, ldexp(1, 29), 0, -128, 127, -128); /* no overflow of 64 bits */
    check_requantise(INT32_MAX, ldexp(1, -31), 0, -128, 127, 1);
    check_requantise(INT32_MAX, ldexp(1, -33), 0, -128, 127, 0);
}

/* 2 x 2 x 1, kernel 3 x 3 with padding: what lies outside is the zero point, not the integer 0. */
static void test_padding_is_zero_point(void **state)
{
    (void)state;
    const struct window w = {2, 2, 1, 2, 2, 1, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    const int8_t weight[9] = {1, 1, 1, 1, 1, 1, 1, 1, 1}, in[4] = {-9, -8, -7, -6};
    const int32_t bias[1] = {5}, multiplier[1] = {1 << 30};
    const uint8_t shift[1] = {30};
    const struct scaling to = {multiplier, shift, -20, -128, 127};
    int8_t out[4], deep[4];
    conv_int8(&w, weight, bias, -10, &to, in, out); /* values 1, 2, 3, 4: sum 10 */
    for (int i = 0; i < 4; i++)
        assert_int_equal(out[i], -20 + 15);
    depthwise_int8(&w, weight, bias, -10, &to, in, deep);
    assert_memory_equal(out, deep, 4);
}

static void test_quantised_values(void **state)
{
    (void)state;
    const struct int8_value tensor = {0.5f, 3};
    assert_int_equal(int8_quantise(0, tensor), 3);
    assert_int_equal(int8_quantise(0.25f, tensor), 3); /* half to even, as QuantizeLinear */
    assert_int_equal(int8_quantise(0.75f, tensor), 5);
    assert_int_equal(int8_quantise(1e30f, tensor), 127);
    assert_int_equal(int8_quantise(-1e30f, tensor), -128);
}

/* ---- presets ---- */

static const char without_form[] = "convnext-tiny"; /* its layer norms */

/* Root of the mean squared error of the logits, relative to their standard deviation. Measured: 0.0055 (dwpw) to
 * 0.0132 (branches-32). */
static const double PRESET_BOUND = 0.03;

static double relative_error(const struct fixture *f)
{
    const size_t count = PICTURES * f->classes;
    double error = 0, sum = 0, squares = 0;
    for (size_t i = 0; i < count; i++) {
        error += pow((double)logit_of(f, i) - (double)f->logits[i], 2);
        sum += (double)f->logits[i];
        squares += pow((double)f->logits[i], 2);
    }
    return sqrt(error / (squares - sum * sum / (double)count));
}

/* The lowered network in float is the graph, up to rounding. */
static void check_lowered(const struct fixture *f, const char *name)
{
    float *input = calloc(f->pictures.size, sizeof *input), logits[CLASSES],
          *arena = calloc(f->lowered.arena_values, sizeof *arena);
    pixels_normalise(f->pictures.pixels, f->pictures.size, 3, (float(*)[256])(uintptr_t)f->table, input);
    lowered_run(&f->lowered, input, arena, NULL, NULL, logits);
    for (size_t k = 0; k < CLASSES; k++)
        if (!(fabsf(logits[k] - f->logits[k]) < 1e-4f + 1e-3f * fabsf(f->logits[k])))
            fail_msg("%s: logit %zu is %g, not %g", name, k, (double)logits[k], (double)f->logits[k]);
    free(input);
    free(arena);
}

static void test_presets(void **state)
{
    (void)state;
    for (int p = 0; p < preset_count; p++) {
        struct fixture f;
        struct error err = {0};
        const enum status status = fixture_init(&f, presets[p].name, &err);
        if (strcmp(presets[p].name, without_form) == 0) {
            assert_int_equal(status, STATUS_CONFIG);
            assert_non_null(strstr(err.message, "'stem_norm' (layer_norm)"));
        } else {
            if (status != STATUS_OK)
                fail_msg("%s: %s", presets[p].name, err.message);
            check_lowered(&f, presets[p].name);
            const double error = relative_error(&f);
            print_message("%s: %.4f\n", presets[p].name, error);
            if (!(error < PRESET_BOUND))
                fail_msg("%s: the logits' error is %g of their spread", presets[p].name, error);
        }
        fixture_release(&f);
    }
}

/* Equalisation changes weights, not answers. */
static void test_equalised_is_the_same_network(void **state)
{
    (void)state;
    struct fixture f;
    struct error err = {0};
    struct calibration calibration;
    struct lowered equal;
    struct graph graph;
    bool changed;
    assert_int_equal(fixture_init(&f, "dwpw-small", &err), STATUS_OK);
    assert_int_equal(calibration_init(&calibration, &f.lowered, &f.pictures, f.table, NULL, &err), STATUS_OK);
    assert_int_equal(calibration_equalise(&calibration, &graph, &changed, &err), STATUS_OK);
    assert_true(changed);
    assert_int_equal(lowered_init(&equal, &graph, &err), STATUS_OK);
    float *input = calloc(f.pictures.size, sizeof *input), *arena = calloc(equal.arena_values, sizeof *arena),
          logits[CLASSES];
    pixels_normalise(f.pictures.pixels, f.pictures.size, 3, f.table, input);
    lowered_run(&equal, input, arena, NULL, NULL, logits);
    for (size_t k = 0; k < CLASSES; k++)
        assert_true(fabsf(logits[k] - f.logits[k]) < 1e-4f + 1e-3f * fabsf(f.logits[k]));
    free(input);
    free(arena);
    lowered_release(&equal);
    graph_release(&graph);
    calibration_release(&calibration);
    fixture_release(&f);
}

/* ---- student.c ---- */
static char *folder;

static int set_up(void **state)
{
    (void)state;
    folder = temporary_folder();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    remove_folder(folder);
    free(folder);
    return 0;
}

static void put_file(const char *name, const void *bytes, size_t size)
{
    char path[300];
    struct error err = {0};
    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (file_publish(path, bytes, size, &err) != STATUS_OK)
        fail_msg("%s: %s", path, err.message);
}

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

static int in_folder(const char *format, ...) __attribute__((format(printf, 1, 2)));
static int in_folder(const char *format, ...)
{
    char command[1000];
    va_list arguments;
    const int length = snprintf(command, sizeof command, "cd '%s' && ", folder);
    va_start(arguments, format);
    vsnprintf(command + length, sizeof command - (size_t)length, format, arguments);
    va_end(arguments);
    return system(command);
}

static size_t read_back(const char *name, void *bytes, size_t size)
{
    char path[300];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    const size_t got = fread(bytes, 1, size, file);
    fclose(file);
    return got;
}

static void put_student(const struct fixture *f, bool int8)
{
    struct student_c_files files;
    struct error err = {0};
    const struct student_c student = {&f->lowered, int8 ? &f->net : NULL, &f->card, f->pictures.pixels};
    if (student_c_write(&student, &files, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    assert_true(files.arena >= f->lowered.arena_values);
    put_file("student.c", files.source, files.source_size);
    put_file("student.h", files.header, files.header_size);
    put_file("main.c", harness, sizeof harness - 1);
    put_file("pictures", f->pictures.pixels, PICTURES * f->pictures.size);
    student_c_files_free(&files);
}

static const char flags[] = "-std=c99 -O1 -Wall -Wextra -Werror";

static void check_c_preset(const char *name, const char *compiler, bool int8)
{
    struct fixture f;
    struct error err = {0};
    const enum status status = fixture_init(&f, name, &err);
    if (strcmp(name, without_form) == 0) {
        assert_int_equal(status, STATUS_CONFIG);
        fixture_release(&f);
        return;
    }
    if (status != STATUS_OK)
        fail_msg("%s: %s", name, err.message);
    put_student(&f, int8);
    if (in_folder("%s %s -DLOGIT=%s student.c main.c -o student -lm && ./student <pictures >logits", compiler, flags,
                  int8 ? "int8_t" : "float") != 0)
        fail_msg("%s: student.c does not compile or run", name);
    int8_t logits[PICTURES * CLASSES];
    float floats[PICTURES * CLASSES];
    assert_int_equal(read_back("logits", int8 ? (void *)logits : floats, int8 ? sizeof logits : sizeof floats),
                     int8 ? sizeof logits : sizeof floats);
    if (int8 && memcmp(logits, f.int8_logits, sizeof logits) != 0)
        fail_msg("%s: student.c gives other bits than int8_run", name);
    for (size_t i = 0; !int8 && i < PICTURES * CLASSES; i++)
        if (!(fabsf(floats[i] - f.logits[i]) < 1e-4f + 1e-3f * fabsf(f.logits[i])))
            fail_msg("%s: logit %zu is %g, not %g", name, i, (double)floats[i], (double)f.logits[i]);
    if (in_folder("%s %s -DSTUDENT_TEST student.c -o self -lm && ./self >/dev/null", compiler, flags) != 0)
        fail_msg("%s: the test in student.c fails", name);
    fixture_release(&f);
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
    snprintf(path, sizeof path, "%s/layers.net", folder);
    check_c_preset(path, "cc", true);
    check_c_preset(path, "cc", false);
}

/* The test inside of student.c on a Cortex-M4 with 256 kB of RAM, which QEMU simulates; the float form is only
 * compiled. */
static void test_c_cortex_m4(void **state)
{
    static const char compiler[] = "arm-none-eabi-gcc -mcpu=cortex-m4 -mthumb";
    struct fixture f;
    struct error err = {0};
    char here[1000];
    (void)state;
    if (system("command -v arm-none-eabi-gcc >/dev/null && command -v qemu-system-arm >/dev/null") != 0) {
        print_message("skipped: needs gcc-arm-none-eabi, libnewlib-arm-none-eabi and qemu-system-arm\n");
        skip();
    }
    assert_non_null(getcwd(here, sizeof here));
    assert_int_equal(fixture_init(&f, "mobile-se", &err), STATUS_OK);
    put_student(&f, false);
    if (in_folder("%s %s -c student.c", compiler, flags) != 0)
        fail_msg("the float student.c does not compile for a Cortex-M4");
    put_student(&f, true);
    if (in_folder("%s %s -DSTUDENT_TEST --specs=rdimon.specs -nostartfiles -ffunction-sections -fdata-sections "
                  "-Wl,--gc-sections -T '%s/tests/cortex_m4/memory.ld' '%s/tests/cortex_m4/start.c' student.c -o "
                  "student.elf -lm",
                  compiler, flags, here, here) != 0)
        fail_msg("student.c does not link for a Cortex-M4");
    if (in_folder("timeout 60 qemu-system-arm -M mps2-an386 -cpu cortex-m4 -kernel student.elf -nographic "
                  "-semihosting-config enable=on,target=native </dev/null | grep -q 'the logits are right'") != 0)
        fail_msg("student.c gives other logits on a Cortex-M4");
    fixture_release(&f);
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
static void check_resize(int h, int w, enum image_resize mode, int base, int crop)
{
    struct fixture f;
    struct error err = {0};
    struct image photo, resized = {0}, seen = {0};
    assert_int_equal(fixture_init(&f, "speed", &err), STATUS_OK);
    f.card.resize = mode;
    f.card.base = base;
    f.card.crop = crop;
    assert_int_equal(image_init(&photo, h, w, 3, &err), STATUS_OK);
    for (size_t i = 0; i < (size_t)h * (size_t)w * 3; i++)
        photo.pixels[i] = (uint8_t)(i * 7 + i / 97 * 31 + i * i % 251);
    assert_int_equal(image_resize_to(&photo, mode, base, &resized, &err), STATUS_OK);
    assert_int_equal(evaluation_image(&resized, crop, f.card.size, &seen, &err), STATUS_OK);
    put_student(&f, true);
    put_file("photo", photo.pixels, (size_t)h * (size_t)w * 3);
    assert_int_equal(
        in_folder("cc %s -DLOGIT=int8_t student.c main.c -o student -lm && ./student %d %d <photo >seen", flags, h, w),
        0);
    uint8_t *found = malloc(f.pictures.size);
    assert_int_equal(read_back("seen", found, f.pictures.size), f.pictures.size);
    if (memcmp(found, seen.pixels, f.pictures.size) != 0)
        fail_msg("%d x %d: student_resize gives other pixels than evaluation", h, w);
    free(found);
    image_release(&photo);
    image_release(&resized);
    image_release(&seen);
    fixture_release(&f);
}

static void test_resize(void **state)
{
    (void)state;
    check_resize(150, 201, IMAGE_RESIZE_SHORTER, 72, 64);
    check_resize(333, 120, IMAGE_RESIZE_SHORTER, 146, 128);
    check_resize(90, 131, IMAGE_RESIZE_SQUASH, 101, 96);
    check_resize(61, 140, IMAGE_RESIZE_PAD, 110, 97);
    check_resize(140, 61, IMAGE_RESIZE_PAD, 80, 80);
    check_resize(51, 70, IMAGE_RESIZE_SHORTER, 0, 64); /* as it is: black around it */
}

/* ---- for tests/test_quantise.sh ---- */
static int write_case(const char *preset)
{
    struct fixture f;
    struct error err = {0};
    uint8_t *bytes = NULL;
    size_t size;
    char name[200];
    const enum status status = fixture_init(&f, preset, &err);
    if (strcmp(preset, without_form) == 0) {
        fixture_release(&f);
        return status == STATUS_CONFIG ? 0 : 1;
    }
    if (status != STATUS_OK) {
        fprintf(stderr, "%s: %s\n", preset, err.message);
        return 1;
    }
    assert_int_equal(onnx_write_int8(&f.net, NULL, 0, &bytes, &size, &err), STATUS_OK);
    float *inputs = calloc(PICTURES * f.pictures.size, sizeof *inputs), logits[PICTURES * CLASSES];
    pixels_normalise(f.pictures.pixels, PICTURES * f.pictures.size, 3, f.table, inputs);
    for (size_t i = 0; i < PICTURES * CLASSES; i++)
        logits[i] = logit_of(&f, i);
    snprintf(name, sizeof name, "%s.onnx", preset);
    put_file(name, bytes, size);
    snprintf(name, sizeof name, "%s.inputs", preset);
    put_file(name, inputs, PICTURES * f.pictures.size * sizeof *inputs);
    snprintf(name, sizeof name, "%s.logits", preset);
    put_file(name, logits, sizeof logits);
    snprintf(name, sizeof name, "%s.scale", preset);
    put_file(name, &f.net.values[f.lowered.output].scale, sizeof(float));
    free(inputs);
    free(bytes);
    fixture_release(&f);
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_factors),
        cmocka_unit_test(test_requantise),
        cmocka_unit_test(test_padding_is_zero_point),
        cmocka_unit_test(test_quantised_values),
        cmocka_unit_test(test_presets),
        cmocka_unit_test(test_equalised_is_the_same_network),
        cmocka_unit_test(test_c_int8),
        cmocka_unit_test(test_c_float),
        cmocka_unit_test(test_c_other_layers),
        cmocka_unit_test(test_c_clang),
        cmocka_unit_test(test_c_cortex_m4),
        cmocka_unit_test(test_arena_of_96_pixels),
        cmocka_unit_test(test_resize),
    };
    if (argc == 3 && strcmp(argv[1], "--write") == 0) {
        int failed = 0;
        folder = argv[2];
        for (int p = 0; p < preset_count; p++)
            failed |= write_case(presets[p].name);
        return failed;
    }
    return cmocka_run_group_tests_name("quantise", tests, set_up, tear_down);
}
