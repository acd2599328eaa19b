/* The integer arithmetic of quantised students: golden values of its rounding; every preset in integers against float.
 * Called with a folder, it writes quantised presets there for tests/test_quantise.sh, which asks onnxruntime. */
#define _POSIX_C_SOURCE 200809L
#include "formats/onnx/onnx_write.h"
#include "shared/augment/view.h"
#include "shared/quantise/calibration.h"
#include "shared/quantise/kernels_int8.h"
#include "student_train/student/preset.h"
#include "tests/helper_quantised.h"

#include <setjmp.h>
#include <stdarg.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

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

/* Root of the mean squared error of the logits, relative to their standard deviation. Measured: 0.0055 (dwpw) to
 * 0.0132 (branches-32). */
static const double PRESET_BOUND = 0.03;

static double relative_error(const struct quantised *q)
{
    const size_t count = PICTURES * CLASSES;
    double error = 0, sum = 0, squares = 0;
    for (size_t i = 0; i < count; i++) {
        error += pow((double)quantised_logit(q, i) - (double)q->logits[i], 2);
        sum += (double)q->logits[i];
        squares += pow((double)q->logits[i], 2);
    }
    return sqrt(error / (squares - sum * sum / (double)count));
}

/* The lowered network in float is the graph, up to rounding. */
static void check_lowered(const struct quantised *q, const char *name)
{
    float *input = calloc(q->pictures.size, sizeof *input), logits[CLASSES],
          *arena = calloc(q->lowered.arena_values, sizeof *arena);
    pixels_normalise(q->pictures.pixels, q->pictures.size, 3, (float(*)[256])(uintptr_t)q->table, input);
    lowered_run(&q->lowered, input, arena, NULL, NULL, logits);
    for (size_t k = 0; k < CLASSES; k++)
        if (!(fabsf(logits[k] - q->logits[k]) < 1e-4f + 1e-3f * fabsf(q->logits[k])))
            fail_msg("%s: logit %zu is %g, not %g", name, k, (double)logits[k], (double)q->logits[k]);
    free(input);
    free(arena);
}

static void test_presets(void **state)
{
    (void)state;
    for (int p = 0; p < preset_count; p++) {
        struct quantised q;
        struct error err = {0};
        const enum status status = quantised_init(&q, presets[p].name, &err);
        if (strcmp(presets[p].name, without_form) == 0) {
            assert_int_equal(status, STATUS_CONFIG);
            assert_non_null(strstr(err.message, "'stem_norm' (layer_norm)"));
        } else {
            if (status != STATUS_OK)
                fail_msg("%s: %s", presets[p].name, err.message);
            check_lowered(&q, presets[p].name);
            const double error = relative_error(&q);
            print_message("%s: %.4f\n", presets[p].name, error);
            if (!(error < PRESET_BOUND))
                fail_msg("%s: the logits' error is %g of their spread", presets[p].name, error);
        }
        quantised_release(&q);
    }
}

/* Equalisation changes weights, not answers. */
static void test_equalised_is_the_same_network(void **state)
{
    (void)state;
    struct quantised q;
    struct error err = {0};
    struct calibration calibration;
    struct lowered equal;
    struct graph graph;
    bool changed;
    assert_int_equal(quantised_init(&q, "dwpw-small", &err), STATUS_OK);
    assert_int_equal(calibration_init(&calibration, &q.lowered, &q.pictures, q.table, NULL, &err), STATUS_OK);
    assert_int_equal(calibration_equalise(&calibration, &graph, &changed, &err), STATUS_OK);
    assert_true(changed);
    assert_int_equal(lowered_init(&equal, &graph, &err), STATUS_OK);
    float *input = calloc(q.pictures.size, sizeof *input), *arena = calloc(equal.arena_values, sizeof *arena),
          logits[CLASSES];
    pixels_normalise(q.pictures.pixels, q.pictures.size, 3, q.table, input);
    lowered_run(&equal, input, arena, NULL, NULL, logits);
    for (size_t k = 0; k < CLASSES; k++)
        assert_true(fabsf(logits[k] - q.logits[k]) < 1e-4f + 1e-3f * fabsf(q.logits[k]));
    free(input);
    free(arena);
    lowered_release(&equal);
    graph_release(&graph);
    calibration_release(&calibration);
    quantised_release(&q);
}

/* ---- for tests/test_quantise.sh ---- */
static int write_case(const char *preset)
{
    struct quantised q;
    struct error err = {0};
    uint8_t *bytes = NULL;
    size_t size;
    char name[200];
    const enum status status = quantised_init(&q, preset, &err);
    if (strcmp(preset, without_form) == 0) {
        quantised_release(&q);
        return status == STATUS_CONFIG ? 0 : 1;
    }
    if (status != STATUS_OK) {
        fprintf(stderr, "%s: %s\n", preset, err.message);
        return 1;
    }
    assert_int_equal(onnx_write_int8(&q.net, NULL, 0, &bytes, &size, &err), STATUS_OK);
    float *inputs = calloc(PICTURES * q.pictures.size, sizeof *inputs), logits[PICTURES * CLASSES];
    pixels_normalise(q.pictures.pixels, PICTURES * q.pictures.size, 3, q.table, inputs);
    for (size_t i = 0; i < PICTURES * CLASSES; i++)
        logits[i] = quantised_logit(&q, i);
    snprintf(name, sizeof name, "%s.onnx", preset);
    put_file(name, bytes, size);
    snprintf(name, sizeof name, "%s.inputs", preset);
    put_file(name, inputs, PICTURES * q.pictures.size * sizeof *inputs);
    snprintf(name, sizeof name, "%s.logits", preset);
    put_file(name, logits, sizeof logits);
    snprintf(name, sizeof name, "%s.scale", preset);
    put_file(name, &q.net.values[q.lowered.output].scale, sizeof(float));
    free(inputs);
    free(bytes);
    quantised_release(&q);
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
    };
    if (argc == 3 && strcmp(argv[1], "--write") == 0) {
        int failed = 0;
        work_folder = argv[2];
        for (int p = 0; p < preset_count; p++)
            failed |= write_case(presets[p].name);
        return failed;
    }
    return cmocka_run_group_tests_name("quantise", tests, NULL, NULL);
}
