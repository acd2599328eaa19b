/* Terms that compare features element by element, on every backend: against PyTorch
 * (scripts/golden_losses_features.py), finite differences, extremes, and CUDA against the CPU with several students. */
#include "tests/helper_golden.h"
#include "tests/helper_loss.h"
#include "tests/helper_nets.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static const double TOLERANCE = 1e-6; /* gradients are stored as floats */

/* PyTorch's [n, c, pixels] to [n, pixels, c], and back. */
static void turn(const float *from, float *to, int n, int rows, int columns)
{
    for (int i = 0; i < n; i++, from += rows * columns, to += rows * columns)
        for (int row = 0; row < rows; row++)
            for (int column = 0; column < columns; column++)
                to[column * rows + row] = from[row * columns + column];
}

/* ---- golden values ---- */
enum { ROWS = 6 };

/* A pair of features in the golden file: student_NAME, teacher_TEACHER, log_scale_NAME. */
struct pair {
    const char *name, *teacher;
    int pixels, channels, teacher_channels;
};
static const struct pair small = {"small", "small", 12, 12, 12}, wide = {"wide", "wide", 4, 33, 33},
                         large = {"large", "large", 25, 7, 10}, cached = {"large", "attention", 25, 7, 1};

static const struct {
    const char *entry;
    struct loss_term term;
    const struct pair *pairs[2];
} entries[] = {
    {"hint/mse", {.kind = LOSS_HINT, .distance = DISTANCE_MSE}, {&small}},
    {"hint/smooth_l1", {.kind = LOSS_HINT, .distance = DISTANCE_HUBER}, {&wide}},
    {"hint/relative", {.kind = LOSS_HINT, .distance = DISTANCE_RELATIVE}, {&small}},
    {"hint/layers", {.kind = LOSS_HINT, .distance = DISTANCE_MSE}, {&small, &wide}},
    {"at/channels", {.kind = LOSS_AT}, {&large}},
    {"at/cached", {.kind = LOSS_AT}, {&cached}},
    {"at/stages", {.kind = LOSS_AT}, {&large, &wide}},
    {"cosine/maps", {.kind = LOSS_COSINE}, {&small}},
    {"vid/initial", {.kind = LOSS_VID}, {&small}},
    {"vid/trained", {.kind = LOSS_VID}, {&wide}},
};

static double mean_square(const float *values, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += (double)values[i] * (double)values[i];
    return sum / (double)count;
}

/* A pair's part of an entry; checks its gradients. */
static double run_pair(const struct test_device *t, const struct golden *golden, const char *entry,
                       struct loss_term *term, const struct pair *p)
{
    const size_t size = (size_t)(ROWS * p->pixels * p->channels);
    const size_t teacher_size = (size_t)(ROWS * p->pixels * p->teacher_channels);
    float *student = golden_floats(golden, size, "inputs/student_%s", p->name), *turned = malloc(size * sizeof(float));
    float *teacher = golden_floats(golden, teacher_size, "inputs/teacher_%s", p->teacher);
    float *teacher_turned = malloc(teacher_size * sizeof(float)), *log_scale = NULL, scale_gradient[64];
    double value;
    assert_true(turned && teacher_turned);
    turn(student, turned, ROWS, p->channels, p->pixels);
    turn(teacher, teacher_turned, ROWS, p->teacher_channels, p->pixels);
    term->teacher_square = (float)mean_square(teacher, teacher_size);
    struct loss_case c = {
        .terms = term,
        .shape = {ROWS, 3, 100, p->pixels, p->channels, p->pixels, p->teacher_channels},
        .student = turned,
        .teacher = teacher_turned,
    };
    if (term->kind == LOSS_VID) {
        log_scale = golden_floats(golden, (size_t)p->channels, "inputs/log_scale_%s", p->name);
        c.parameters = log_scale;
        c.parameter_count = (size_t)p->channels;
    }
    float *gradient = malloc(size * sizeof *gradient);
    assert_non_null(gradient);
    loss_case_run(t, &c,
                  &(struct loss_result){.values = &value,
                                        .student_gradient = gradient,
                                        .parameter_gradient = log_scale ? scale_gradient : NULL});
    turn(gradient, student, ROWS, p->pixels, p->channels);
    golden_check(golden, student, size, TOLERANCE, "%s/f64/grad/student_%s", entry, p->name);
    if (log_scale)
        golden_check(golden, scale_gradient, (size_t)p->channels, TOLERANCE, "%s/f64/grad/log_scale_%s", entry,
                     p->name);
    free(student);
    free(turned);
    free(teacher);
    free(teacher_turned);
    free(log_scale);
    free(gradient);
    return value;
}

static void terms_equal_pytorchs(void **state)
{
    struct test_device t = test_device_open(*state, 2);
    struct golden golden = golden_open("tests/golden/losses_features.h5");
    for (size_t i = 0; i < sizeof entries / sizeof *entries; i++) {
        struct loss_term term = entries[i].term;
        double value = 0;
        term.weight = 1;
        for (int k = 0; k < 2 && entries[i].pairs[k]; k++)
            value += run_pair(&t, &golden, entries[i].entry, &term, entries[i].pairs[k]);
        const double expected = golden_value(&golden, "%s/f64/value", entries[i].entry);
        if (!(fabs(value - expected) <= 1e-7 * fabs(expected)))
            fail_msg("%s: %.12g, PyTorch has %.12g", entries[i].entry, value, expected);
    }
    golden_close(&golden);
    test_device_close(&t);
}

/* ---- made-up values ---- */
enum { BATCH = 70, PIXELS = 6, CHANNELS = 36, STUDENTS = 3, MOST = BATCH * PIXELS * CHANNELS };

static const struct loss_term all_terms[] = {
    {.kind = LOSS_HINT, .distance = DISTANCE_MSE, .weight = 3},
    {.kind = LOSS_HINT, .distance = DISTANCE_HUBER, .weight = 2},
    {.kind = LOSS_AT, .weight = 100},
    {.kind = LOSS_COSINE, .weight = 2},
    {.kind = LOSS_VID, .weight = 5},
};
enum { TERMS = sizeof all_terms / sizeof *all_terms };

/* Features whose differences lie on both sides of 1; log scales around their initial value. */
struct values {
    float student[STUDENTS * MOST], teacher[MOST], log_scale[STUDENTS * CHANNELS];
};
static void fill_values(struct values *v, float scale)
{
    net_fill(v->student, STUDENTS * MOST, 1);
    net_fill(v->teacher, MOST, 2);
    net_fill(v->log_scale, STUDENTS * CHANNELS, 3);
    for (int i = 0; i < STUDENTS * MOST; i++)
        v->student[i] *= scale;
    for (int i = 0; i < STUDENTS * CHANNELS; i++)
        v->log_scale[i] = 2 + 3 * v->log_scale[i];
}

static struct loss_case case_of(const struct values *v, const struct loss_term *terms, int batch, int pixels,
                                int channels)
{
    struct loss_case c = {
        .terms = terms,
        .shape = {batch, 3, 100, pixels, channels, pixels, channels},
        .student = v->student,
        .teacher = v->teacher,
    };
    if (terms->kind == LOSS_VID) {
        c.parameters = v->log_scale;
        c.parameter_count = (size_t)channels;
    }
    return c;
}

static void gradients_are_derivatives(void **state)
{
    static struct values v;
    struct test_device t = test_device_open(*state, 2);
    fill_values(&v, 3);
    for (int i = 0; i < TERMS; i++) {
        struct loss_case c = case_of(&v, &all_terms[i], 4, 6, 5);
        c.rows = 3;
        loss_case_derivatives(&t, &c, 1e-2f, 2e-3);
        if (all_terms[i].kind != LOSS_AT)
            continue;
        c.shape.teacher_channels = 1;
        loss_case_derivatives(&t, &c, 1e-2f, 2e-3);
        c.shape.teacher_channels = 9;
        loss_case_derivatives(&t, &c, 1e-2f, 2e-3);
    }
    test_device_close(&t);
}

static void all_finite(const char *what, const float *values, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!isfinite(values[i]))
            fail_msg("%s: gradient %zu is %g", what, i, (double)values[i]);
}

/* Features of zeros, ones, huge and tiny numbers. If the student equals the teacher, the term and its gradient are 0,
 * except for vid's log of the variance. */
static void extremes_stay_finite(void **state)
{
    enum { SMALL = 3 * PIXELS * CHANNELS };
    static const float fills[] = {0, 1, 1e15f, -1e-15f};
    static struct values v;
    struct test_device t = test_device_open(*state, 2);
    for (int i = 0; i < TERMS; i++)
        for (int fill = 0; fill < 4 * 4; fill++)
            for (int rows = 1; rows <= 3; rows += 2) {
                float gradient[SMALL], scale_gradient[CHANNELS];
                double value;
                fill_values(&v, 1);
                for (int k = 0; k < SMALL; k++)
                    v.student[k] = fills[fill / 4], v.teacher[k] = fills[fill % 4];
                for (int k = 0; k < CHANNELS; k++)
                    v.log_scale[k] = (float)(k * 50 - 300);
                struct loss_case c = case_of(&v, &all_terms[i], rows, PIXELS, CHANNELS);
                loss_case_run(&t, &c,
                              &(struct loss_result){.values = &value,
                                                    .student_gradient = gradient,
                                                    .parameter_gradient = scale_gradient});
                assert_true(isfinite(value));
                all_finite("student", gradient, (size_t)(rows * PIXELS * CHANNELS));
                if (c.parameters)
                    all_finite("log scale", scale_gradient, CHANNELS);
                const bool same = fill / 4 == fill % 4 && all_terms[i].kind != LOSS_VID;
                const bool angle = all_terms[i].kind == LOSS_COSINE && fill != 5 && fill != 10; /* no rows */
                if (same && !angle && !(fabs(value) < 1e-12))
                    fail_msg("term %d of equal features is %g, expected 0", i, value);
            }
    test_device_close(&t);
}

/* Equal within the rounding to float, which differences make larger. */
static void nearly_equal(const char *what, const float *got, const float *expected, size_t count)
{
    double largest = 0;
    for (size_t i = 0; i < count; i++)
        largest = fmax(largest, fabs((double)expected[i]));
    for (size_t i = 0; i < count; i++)
        if (!(fabs((double)got[i] - (double)expected[i]) <= 2e-7 * fabs((double)expected[i]) + 1e-9 * largest + 1e-12))
            fail_msg("%s: gradient %zu is %.9g, on the CPU %.9g", what, i, (double)got[i], (double)expected[i]);
}

/* Students side by side get what each gets alone, and what the CPU gives: with shapes that can and that cannot be read
 * four floats at a time, with fewer rows than the batch, and in any order of the threads. */
static void check_students(const char *backend, int term, int batch, int pixels, int channels, int rows)
{
    static struct values v;
    static float together[STUDENTS * MOST], alone[MOST], plain[MOST];
    static float scales[STUDENTS * CHANNELS], scale_alone[CHANNELS], scale_plain[CHANNELS];
    struct loss_term terms[STUDENTS];
    struct test_device t = test_device_open(backend, 2), cpu = test_device_open("cpu", 1);
    const size_t size = (size_t)(batch * pixels * channels);
    double values[STUDENTS], value, expected;
    fill_values(&v, 2);
    for (int k = 0; k < STUDENTS; k++) {
        terms[k] = all_terms[term];
        terms[k].weight = 1 + (float)k;
        terms[k].distance = (all_terms[term].distance + (unsigned)k) % 2 ? DISTANCE_MSE : DISTANCE_HUBER;
    }
    struct loss_case c = case_of(&v, terms, batch, pixels, channels);
    c.rows = rows;
    c.students = STUDENTS;
    loss_case_run(&t, &c,
                  &(struct loss_result){.values = values, .student_gradient = together, .parameter_gradient = scales});
    test_device_order("reverse");
    c.students = 1;
    for (size_t k = 0; k < STUDENTS; k++) {
        c.terms = &terms[k];
        c.student = v.student + k * size;
        c.parameters = c.parameters ? v.log_scale + k * (size_t)channels : NULL;
        loss_case_run(
            &t, &c,
            &(struct loss_result){.values = &value, .student_gradient = alone, .parameter_gradient = scale_alone});
        loss_case_run(
            &cpu, &c,
            &(struct loss_result){.values = &expected, .student_gradient = plain, .parameter_gradient = scale_plain});
        assert_true(value == values[k]);
        assert_memory_equal(alone, together + k * size, size * sizeof *alone);
        if (!(fabs(value - expected) <= 1e-12 * fabs(expected) + 1e-15))
            fail_msg("term %d, student %zu: %.17g, on the CPU %.17g", term, k, value, expected);
        nearly_equal("student", alone, plain, size);
        if (!c.parameters)
            continue;
        assert_memory_equal(scale_alone, scales + k * (size_t)channels, (size_t)channels * sizeof *scales);
        nearly_equal("log scale", scale_alone, scale_plain, (size_t)channels);
    }
    test_device_order("forward");
    test_device_close(&t);
    test_device_close(&cpu);
}

static void students_do_not_mix(void **state)
{
    for (int term = 0; term < TERMS; term++) {
        check_students(*state, term, BATCH, PIXELS, CHANNELS, BATCH - 1);
        check_students(*state, term, 5, 7, 13, 4);
        check_students(*state, term, 2, 1, CHANNELS, 2);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_EVERY_BACKEND(terms_equal_pytorchs),
        ON_EVERY_BACKEND(gradients_are_derivatives),
        ON_EVERY_BACKEND(extremes_stay_finite),
        ON_EVERY_BACKEND(students_do_not_mix),
    };
    return cmocka_run_group_tests_name("loss_features", tests, NULL, NULL);
}
