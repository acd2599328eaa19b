/* Terms on how the rows of a batch lie to one another, on every backend: against PyTorch (tests/golden, and the usual
 * forms of the field in $SOFTCACHE_SHARED/data), derivatives, extremes, several students, CUDA against the CPU. */
#include "shared/base/files.h"
#include "tests/helper_golden.h"
#include "tests/helper_loss.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { ROWS = 8, LENGTH = 32 };
static const double TOLERANCE = 1e-6; /* of the largest: gradients are floats */

static const struct loss_term terms[] = {
    {.kind = LOSS_RKD_DISTANCE, .weight = 25},
    {.kind = LOSS_RKD_DISTANCE, .weight = 0.5f, .distance = DISTANCE_MSE, .scale = SCALE_NONE},
    {.kind = LOSS_RKD_ANGLE, .weight = 50},
    {.kind = LOSS_RKD_ANGLE, .weight = 1, .distance = DISTANCE_MSE},
    {.kind = LOSS_SP, .weight = 3000},
    {.kind = LOSS_PKT, .weight = 30000},
};
enum { TERMS = sizeof terms / sizeof *terms };

static struct loss_shape shape_of(int batch, int length, int teacher_length)
{
    return (struct loss_shape){.batch = batch,
                               .classes = 1,
                               .samples = 100,
                               .pixels = 1,
                               .channels = length,
                               .teacher_pixels = 1,
                               .teacher_channels = teacher_length};
}

static float *made(size_t count, int phase)
{
    float *x = malloc(count * sizeof *x);
    assert_non_null(x);
    for (size_t i = 0; i < count; i++)
        x[i] = 0.3f + sinf((float)(i * i % 977) * 0.37f + (float)phase);
    return x;
}

static double value_and_gradient(const struct test_device *t, const struct loss_case *c, float *gradient)
{
    double value = NAN;
    loss_case_run(t, c, &(struct loss_result){.values = &value, .student_gradient = gradient});
    return value;
}

/* ---- PyTorch ---- */
static void check_golden(const struct test_device *t, const struct golden *g, const char *entry, int teacher_length,
                         struct loss_term term)
{
    float *student = golden_floats(g, ROWS * LENGTH, "inputs/student_feature"), gradient[ROWS * LENGTH];
    float *teacher = golden_floats(g, (size_t)(ROWS * teacher_length), "inputs/teacher_feature");
    term.weight = 1;
    const struct loss_case c = {
        .terms = &term, .shape = shape_of(ROWS, LENGTH, teacher_length), .student = student, .teacher = teacher};
    const double value = value_and_gradient(t, &c, gradient), expected = golden_value(g, "%s/f64/value", entry);
    if (!(fabs(value - expected) <= 1e-7 * fabs(expected)))
        fail_msg("%s: %.12g, PyTorch has %.12g", entry, value, expected);
    golden_check(g, gradient, ROWS * LENGTH, TOLERANCE, "%s/f64/grad/student_feature", entry);
    free(student);
    free(teacher);
}

static void terms_equal_pytorchs(void **state)
{
    const char *const entries[TERMS] = {"rkd_distance", "rkd_distance_mse", "rkd_angle", "rkd_angle_mse", "sp", "pkt"};
    struct test_device t = test_device_open(*state, 2);
    struct golden g = golden_open("tests/golden/losses_relations.h5");
    for (int i = 0; i < TERMS; i++)
        check_golden(&t, &g, entries[i], 24, terms[i]);
    golden_close(&g);
    test_device_close(&t);
}

static void rkd_equals_the_references(void **state)
{
    const char *const entries[] = {"rkd_distance_paper", "rkd_distance_seed", "rkd_angle_paper", "rkd_angle_seed"};
    const char *shared = getenv("SOFTCACHE_SHARED");
    char path[1024], entry[64];
    snprintf(path, sizeof path, "%s/data/golden/losses.h5", shared ? shared : "../shared");
    if (!file_exists(path)) {
        print_message("# skip: no %s\n", path);
        skip();
    }
    struct test_device t = test_device_open(*state, 2);
    struct golden g = golden_open(path);
    for (int i = 0; i < 4; i++) {
        snprintf(entry, sizeof entry, "term/%s", entries[i]);
        check_golden(&t, &g, entry, LENGTH, terms[i]);
    }
    golden_close(&g);
    test_device_close(&t);
}

static void gradients_are_derivatives(void **state)
{
    struct test_device t = test_device_open(*state, 2);
    float *student = made(4 * 6, 0), *teacher = made(4 * 5, 1);
    for (int i = 0; i < TERMS; i++) {
        struct loss_term term = terms[i];
        struct loss_case c = {
            .terms = &term, .shape = shape_of(4, 6, 5), .rows = 3, .student = student, .teacher = teacher};
        term.weight = 10;
        loss_case_derivatives(&t, &c, 1.0f / 1024, 2e-5);
    }
    free(student);
    free(teacher);
    test_device_close(&t);
}

/* ---- extremes ---- */
static void check_finite(const char *what, int term, double value, const float *gradient, size_t count, float largest)
{
    if (!isfinite(value))
        fail_msg("%s: term %d is %g", what, term, value);
    for (size_t i = 0; i < count; i++)
        if (!(fabsf(gradient[i]) <= largest))
            fail_msg("%s: gradient %zu of term %d is %g", what, i, term, (double)gradient[i]);
}

static void extremes_stay_finite(void **state)
{
    enum { N = 5, D = 7 };
    struct test_device t = test_device_open(*state, 2);
    float *student = made(N * D, 0), *teacher = made(N * D, 1), *equal = made(N * D, 2), *apart = made(N * D, 3);
    float zeros[N * D] = {0}, gradient[N * D];
    for (int i = 1; i < N; i++)
        memcpy(equal + i * D, equal, D * sizeof *equal);
    for (int i = 0; i < N * D; i++)
        apart[i] *= 1e15f;
    const struct {
        const char *what;
        const float *student, *teacher;
        int rows;
        bool still; /* no gradient */
    } cases[] = {
        {"one row", student, teacher, 1, false},
        {"equal rows", equal, teacher, N, false},
        {"equal teacher's rows", student, equal, N, false},
        {"all rows equal", equal, equal, N, true},
        {"zeros", zeros, teacher, N, true},
        {"teacher's zeros", student, zeros, N, false},
        {"all zeros", zeros, zeros, N, true},
        {"huge", apart, teacher, N, false},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++)
        for (int i = 0; i < TERMS; i++) {
            struct loss_term term = terms[i];
            term.weight = 1;
            const struct loss_case c = {.terms = &term,
                                        .shape = shape_of(N, D, D),
                                        .rows = cases[k].rows,
                                        .student = cases[k].student,
                                        .teacher = cases[k].teacher};
            const double value = value_and_gradient(&t, &c, gradient);
            check_finite(cases[k].what, i, value, gradient, N * D, cases[k].still ? 1e-12f : 1e16f);
        }
    free(student);
    free(teacher);
    free(equal);
    free(apart);
    test_device_close(&t);
}

static void without_rows_nothing_is_added(void **state)
{
    enum { N = 3, D = 5 };
    struct test_device t = test_device_open(*state, 2);
    float *student = made(N * D, 0), *teacher = made(N * D, 1), gradient[N * D];
    for (int i = 0; i < TERMS; i++) {
        const struct loss_case c = {
            .terms = &terms[i], .shape = shape_of(N, D, D), .rows = -1, .student = student, .teacher = teacher};
        value_and_gradient(&t, &c, gradient);
        for (int k = 0; k < N * D; k++)
            assert_true(gradient[k] == 0);
    }
    free(student);
    free(teacher);
    test_device_close(&t);
}

/* Two of the rows are equal, or almost: the direction between them is noise, but the directions of the others still
 * count. */
static void equal_pairs_have_no_direction(void **state)
{
    enum { N = 4, D = 6 };
    struct test_device t = test_device_open(*state, 2);
    float *student = made(N * D, 0), *teacher = made(N * D, 1), gradient[N * D];
    memcpy(student + 2 * D, student, D * sizeof *student);
    for (int nearly = 0; nearly < 2; nearly++) {
        if (nearly)
            student[2 * D] = nextafterf(student[2 * D], 2);
        for (int i = 0; i < TERMS; i++) {
            struct loss_term term = terms[i];
            term.weight = 1;
            const struct loss_case c = {
                .terms = &term, .shape = shape_of(N, D, D), .student = student, .teacher = teacher};
            check_finite("a pair", i, value_and_gradient(&t, &c, gradient), gradient, N * D, 5);
        }
    }
    free(student);
    free(teacher);
    test_device_close(&t);
}

/* Distances and angles do not depend on the origin, although elements of G cancel: rows of 64ths, moved exactly. */
static void distance_to_the_origin_is_not_felt(void **state)
{
    enum { N = 6, D = 40 };
    struct test_device t = test_device_open(*state, 2);
    float *student = made(N * D, 0), *teacher = made(N * D, 1), gradient[N * D], moved[N * D];
    double values[2], largest;
    for (int i = 0; i < 4; i++) {
        const struct loss_case c = {
            .terms = &terms[i], .shape = shape_of(N, D, D), .student = student, .teacher = teacher};
        for (int k = 0; k < N * D; k++)
            student[k] = roundf(40 * sinf((float)(k * k % 977))) / 64;
        values[0] = value_and_gradient(&t, &c, gradient);
        for (int k = 0; k < N * D; k++)
            student[k] += 4096;
        values[1] = value_and_gradient(&t, &c, moved);
        largest = 0;
        for (int k = 0; k < N * D; k++)
            largest = fmax(largest, fabs((double)gradient[k]));
        assert_float_equal(values[0], values[1], 1e-7 * values[0]);
        for (int k = 0; k < N * D; k++)
            assert_float_equal(gradient[k], moved[k], 1e-6 * largest);
    }
    free(student);
    free(teacher);
    test_device_close(&t);
}

/* ---- several students ---- */
static void students_side_by_side_are_as_alone(void **state)
{
    enum { N = 6, D = 19, STUDENTS = 3, USED = 5 };
    struct test_device t = test_device_open(*state, 3);
    float *students = made(STUDENTS * N * D, 0), *teacher = made(N * 21, 1);
    float together[STUDENTS * N * D], alone[N * D];
    for (int i = 0; i < TERMS; i++) {
        struct loss_term each[STUDENTS];
        double values[STUDENTS];
        for (int k = 0; k < STUDENTS; k++) {
            each[k] = terms[i];
            each[k].weight = (float)(k + 1);
        }
        struct loss_case c = {.terms = each,
                              .shape = shape_of(N, D, 21),
                              .rows = USED,
                              .students = STUDENTS,
                              .student = students,
                              .teacher = teacher};
        loss_case_run(&t, &c, &(struct loss_result){.values = values, .student_gradient = together});
        c.students = 1;
        for (int k = 0; k < STUDENTS; k++) {
            c.terms = &each[k];
            c.student = students + k * N * D;
            assert_true(value_and_gradient(&t, &c, alone) == values[k]);
            assert_memory_equal(alone, together + k * N * D, sizeof alone);
        }
        /* rows that the term does not see change nothing */
        c.shape.batch = c.rows = USED;
        assert_float_equal(value_and_gradient(&t, &c, alone), values[STUDENTS - 1], 1e-12 * values[STUDENTS - 1]);
        assert_memory_equal(alone, together + (STUDENTS - 1) * N * D, USED * D * sizeof *alone);
    }
    free(students);
    free(teacher);
    test_device_close(&t);
}

static void threads_make_no_difference(void **state)
{
    enum { N = 21, D = 300 };
    struct test_device one = test_device_open("cpu", 1), three = test_device_open("cpu", 3);
    float *student = made(N * D, 0), *teacher = made(N * 11, 1);
    static float a[N * D], b[N * D];
    (void)state;
    for (int i = 0; i < TERMS; i++) {
        const struct loss_case c = {
            .terms = &terms[i], .shape = shape_of(N, D, 11), .student = student, .teacher = teacher};
        assert_true(value_and_gradient(&one, &c, a) == value_and_gradient(&three, &c, b));
        assert_memory_equal(a, b, sizeof a);
    }
    free(student);
    free(teacher);
    test_device_close(&one);
    test_device_close(&three);
}

static void cuda_equals_the_cpu(void **state)
{
    enum { N = 21, D = 37 };
    struct test_device cpu = test_device_open("cpu", 2), cuda = test_device_open("cuda", 0);
    float *student = made(N * D, 0), *teacher = made(N * 50, 1);
    static float expected[N * D], got[N * D];
    (void)state;
    for (int i = 0; i < TERMS; i++) {
        const struct loss_case c = {
            .terms = &terms[i], .shape = shape_of(N, D, 50), .rows = N - 1, .student = student, .teacher = teacher};
        const double value = value_and_gradient(&cpu, &c, expected);
        double largest = 0;
        assert_float_equal(value_and_gradient(&cuda, &c, got), value, 1e-9 * value);
        for (int k = 0; k < N * D; k++)
            largest = fmax(largest, fabs((double)expected[k]));
        for (int k = 0; k < N * D; k++)
            assert_float_equal(got[k], expected[k], 3e-7 * largest);
    }
    free(student);
    free(teacher);
    test_device_close(&cpu);
    test_device_close(&cuda);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_EVERY_BACKEND(terms_equal_pytorchs),          ON_EVERY_BACKEND(rkd_equals_the_references),
        ON_EVERY_BACKEND(gradients_are_derivatives),     ON_EVERY_BACKEND(extremes_stay_finite),
        ON_EVERY_BACKEND(equal_pairs_have_no_direction), ON_EVERY_BACKEND(distance_to_the_origin_is_not_felt),
        ON_EVERY_BACKEND(without_rows_nothing_is_added), ON_EVERY_BACKEND(students_side_by_side_are_as_alone),
        cmocka_unit_test(threads_make_no_difference),    cmocka_unit_test(cuda_equals_the_cpu),
    };
    return cmocka_run_group_tests_name("loss_relations", tests, NULL, NULL);
}
