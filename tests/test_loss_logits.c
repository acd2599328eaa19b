/* Terms on rows of logits on every backend: derivatives, extremes, mixed views, several students, CUDA against CPU.
 * test_loss_golden compares their values with PyTorch's. */
#include "tests/helper_loss.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

enum { COUNT = 5, CLASSES = 7, VALUES = COUNT * CLASSES };

static const struct loss_term terms[] = {
    {.kind = LOSS_CE, .weight = 0.7f},
    {.kind = LOSS_CE, .weight = 1, .label_smoothing = 0.1f},
    {.kind = LOSS_KD, .weight = 0.9f, .temperature = 4},
    {.kind = LOSS_KD, .weight = 0.9f, .temperature = 1, .reduction = REDUCTION_MEAN, .form = FORM_PRINTED},
    {.kind = LOSS_KD, .weight = 9, .temperature = 2, .standardise = true},
    {.kind = LOSS_KD, .weight = 1, .temperature = 2, .standardise = true, .form = FORM_PRINTED},
    {.kind = LOSS_LOGIT_MSE, .weight = 0.3f},
    {.kind = LOSS_DKD, .weight = 1, .temperature = 4, .alpha = 1, .beta = 8},
    {.kind = LOSS_DKD, .weight = 0.5f, .temperature = 1, .alpha = 2, .beta = 0.5f, .standardise = true},
    {.kind = LOSS_DIST, .weight = 2, .temperature = 4, .beta = 1, .gamma = 1},
    {.kind = LOSS_DIST, .weight = 2, .temperature = 1, .beta = 0.5f, .gamma = 3},
    {.kind = LOSS_NKD, .weight = 1, .temperature = 1, .gamma = 1.5f},
    {.kind = LOSS_NKD, .weight = 1, .temperature = 3, .gamma = 0.5f},
    {.kind = LOSS_RLD, .weight = 1, .temperature = 4, .alpha_temperature = 1, .alpha = 1, .beta = 8},
    {.kind = LOSS_RLD, .weight = 0.5f, .temperature = 1, .alpha_temperature = 3, .alpha = 2, .beta = 0.5f},
    {.kind = LOSS_WTTM, .weight = 4, .gamma = 0.2f},
    {.kind = LOSS_WTTM, .weight = 1, .gamma = 1.5f},
    {.kind = LOSS_ABKD, .weight = 3, .temperature = 4, .alpha = 0.8f, .beta = 0.3f},
    {.kind = LOSS_ABKD, .weight = 3, .temperature = 1, .alpha = 1.5f, .beta = 0.5f},
    {.kind = LOSS_MLKD, .weight = 1, .temperature = 4, .beta = 1, .gamma = 1},
    {.kind = LOSS_MLKD, .weight = 1, .temperature = 1, .beta = 0.3f, .gamma = 2},
    /* gated: rows of which the teacher is wrong get a softened label, or are left out */
    {.kind = LOSS_KD, .weight = 0.9f, .temperature = 4, .gate = 0.3f, .soften = 0.1f},
    {.kind = LOSS_KD, .weight = 9, .temperature = 2, .standardise = true, .gate = 0.3f, .gated = GATED_CE},
    {.kind = LOSS_LOGIT_MSE, .weight = 0.3f, .gate = 0.3f, .gated = GATED_CE},
    {.kind = LOSS_DKD, .weight = 1, .temperature = 4, .alpha = 1, .beta = 8, .gate = 0.3f, .gated = GATED_CE},
    {.kind = LOSS_DIST, .weight = 2, .temperature = 4, .beta = 1, .gamma = 1, .gate = 0.3f, .soften = 0.2f},
    {.kind = LOSS_DIST, .weight = 2, .temperature = 4, .beta = 1, .gamma = 1, .gate = 0.3f, .gated = GATED_CE},
    {.kind = LOSS_NKD, .weight = 1, .temperature = 1, .gamma = 1.5f, .gate = 0.3f, .gated = GATED_CE},
    {.kind = LOSS_RLD,
     .weight = 1,
     .temperature = 4,
     .alpha_temperature = 1,
     .alpha = 1,
     .beta = 8,
     .gate = 0.3f,
     .gated = GATED_CE},
    {.kind = LOSS_WTTM, .weight = 4, .gamma = 0.2f, .gate = 0.3f, .gated = GATED_CE},
    {.kind = LOSS_ABKD, .weight = 3, .temperature = 4, .alpha = 0.8f, .beta = 0.3f, .gate = 0.3f, .gated = GATED_CE},
    {.kind = LOSS_MLKD, .weight = 1, .temperature = 4, .beta = 1, .gamma = 1, .gate = 0.3f, .gated = GATED_CE},
};
enum { TERMS = sizeof terms / sizeof *terms };

static const int32_t some_labels[COUNT] = {2, 0, -1, 6, 3};
static const int32_t partner_labels[COUNT] = {1, 5, 4, -1, 3};
static const struct view_mix mixes[COUNT] = {
    {VIEW_MIX_BLEND, 20000}, {VIEW_MIX_CUT, 50000}, {VIEW_MIX_BLEND, 40000}, {VIEW_MIX_NONE, 65536}, {VIEW_MIX_CUT, 1}};

static void fill(float *z, size_t count, float scale, int phase)
{
    for (size_t i = 0; i < count; i++)
        z[i] = scale * sinf((float)(i * 7 + 3) * 0.61f + (float)phase);
}

static void gradients_are_derivatives(void **state)
{
    struct test_device t = test_device_open(*state, 2);
    float logits[VALUES], teacher[VALUES];
    fill(logits, VALUES, 2, 0);
    fill(teacher, VALUES, 3, 1);
    for (int i = 0; i < TERMS; i++) {
        struct loss_case c = {.terms = &terms[i],
                              .shape = {.batch = COUNT, .classes = CLASSES},
                              .logits = logits,
                              .teacher_logits = teacher,
                              .labels = some_labels};
        loss_case_derivatives(&t, &c, 1.0f / 256, 1e-4);
        c.mixes = mixes;
        c.partner_labels = partner_labels;
        loss_case_derivatives(&t, &c, 1.0f / 256, 1e-4);
    }
    test_device_close(&t);
}

/* Cross entropy of features [pixels, channels], of the first rows. */
static void values_are_class_scores(void **state)
{
    enum { PIXELS = 3, CHANNELS = 9 };
    struct test_device t = test_device_open(*state, 2);
    float student[COUNT * PIXELS * CHANNELS], pooled[COUNT * CHANNELS] = {0};
    double of_value, of_logits;
    struct loss_case c = {.terms = terms,
                          .shape = {.batch = COUNT, .classes = CLASSES, .pixels = PIXELS, .channels = CHANNELS},
                          .rows = 4,
                          .labels = some_labels,
                          .student = student};
    fill(student, COUNT * PIXELS * CHANNELS, 2, 4);
    loss_case_derivatives(&t, &c, 1.0f / 256, 1e-4);
    for (int i = 0; i < COUNT * PIXELS * CHANNELS; i++)
        pooled[i / (PIXELS * CHANNELS) * CHANNELS + i % CHANNELS] += student[i] / PIXELS;
    loss_case_run(&t, &c, &(struct loss_result){.values = &of_value});
    c = (struct loss_case){
        .terms = terms, .shape = {.batch = 4, .classes = CHANNELS}, .logits = pooled, .labels = some_labels};
    loss_case_run(&t, &c, &(struct loss_result){.values = &of_logits});
    assert_float_equal(of_value, of_logits, 1e-6);
    test_device_close(&t);
}

static void check_finite(const struct test_device *t, struct loss_shape shape, const float *logits,
                         const float *teacher, const int32_t *labels)
{
    for (int i = 0; i < TERMS; i++) {
        const struct loss_case c = {
            .terms = &terms[i], .shape = shape, .logits = logits, .teacher_logits = teacher, .labels = labels};
        float gradient[VALUES];
        double value;
        loss_case_run(t, &c, &(struct loss_result){.values = &value, .gradient = gradient});
        if (!isfinite(value))
            fail_msg("the value of term %d is %g", i, value);
        for (int k = 0; k < shape.batch * shape.classes; k++)
            if (!isfinite(gradient[k]))
                fail_msg("gradient %d of term %d is %g", k, i, (double)gradient[k]);
    }
}

static void extremes_stay_finite(void **state)
{
    static const int32_t equal_labels[COUNT] = {1, 1, 1, 1, 1}, none[COUNT] = {-1, -1, -1, -1, -1};
    const struct loss_shape batch = {.batch = COUNT, .classes = CLASSES}, one = {.batch = 1, .classes = CLASSES};
    const struct loss_shape one_class = {.batch = COUNT, .classes = 1}, one_number = {.batch = 1, .classes = 1};
    struct test_device t = test_device_open(*state, 2);
    float zeros[VALUES] = {0}, same[VALUES], gaps[VALUES] = {0}, others[VALUES] = {0};
    for (int i = 0; i < VALUES; i++)
        same[i] = (float)(i % CLASSES) - 2; /* every row the same */
    gaps[0] = 300, gaps[1] = -300;          /* certain and wrong */
    gaps[7] = -300, gaps[14] = 65504, gaps[22] = 300, gaps[28] = -65504;
    others[1] = 300, others[7] = -300, others[14] = 65504, others[21] = 300, others[29] = 300;
    const float *const inputs[] = {zeros, same, gaps, others};
    const int32_t *const labels[] = {some_labels, equal_labels, none};
    for (int i = 0; i < 4; i++)
        for (int k = 0; k < 4; k++) {
            check_finite(&t, batch, inputs[i], inputs[k], labels[(i + k) % 3]);
            check_finite(&t, one, inputs[i], inputs[k], labels[k % 3]);
        }
    static const int32_t first[COUNT] = {0, 0, -1, 0, 0};
    check_finite(&t, one_class, gaps, same, first);
    check_finite(&t, one_number, gaps, same, first);
    test_device_close(&t);
}

/* These terms are 0 if both sides are equal. */
static void equal_rows_cost_nothing(void **state)
{
    struct test_device t = test_device_open(*state, 2);
    float logits[VALUES], gradient[VALUES];
    double value;
    fill(logits, VALUES, 5, 2);
    for (int i = 0; i < TERMS; i++) {
        const struct loss_term *term = &terms[i];
        const struct loss_case c = {.terms = term,
                                    .shape = {.batch = COUNT, .classes = CLASSES},
                                    .logits = logits,
                                    .teacher_logits = logits,
                                    .labels = some_labels};
        if (term->kind == LOSS_CE || term->kind == LOSS_NKD || term->kind == LOSS_RLD || term->kind == LOSS_WTTM ||
            term->form == FORM_PRINTED ||
            (term->gate > 0 && term->gated == GATED_LABEL)) /* the label is not what the student says */
            continue;
        loss_case_run(&t, &c, &(struct loss_result){.values = &value, .gradient = gradient});
        /* dist: r = 1 - 1e-8 / norms, and the norms of columns of few rows are small */
        assert_float_equal(value, 0, term->kind == LOSS_DIST ? 1e-4 : 1e-12);
        for (int k = 0; k < VALUES; k++)
            assert_float_equal(gradient[k], 0, term->kind == LOSS_DIST && term->gate > 0 ? 1e-3 : 1e-6);
    }
    test_device_close(&t);
}

/* The gate looks at each row alone, and students with other gates beside it change nothing. */
static void gates_are_each_students_own(void **state)
{
    struct test_device t = test_device_open(*state, 2);
    static const struct loss_term students[3] = {
        {.kind = LOSS_KD, .weight = 1, .temperature = 2, .gate = 0.5f, .gated = GATED_CE},
        {.kind = LOSS_KD, .weight = 1, .temperature = 2},
        {.kind = LOSS_KD, .weight = 1, .temperature = 2, .gate = 0.5f, .soften = 0.1f},
    };
    static const int32_t labels[COUNT] = {0, 0, 0, -1, 0};
    float logits[3 * VALUES], teacher[VALUES] = {0}, gradient[3 * VALUES], alone[VALUES], row[VALUES];
    double values[3], value;
    for (int k = 0; k < 3; k++)
        fill(logits + (size_t)k * VALUES, VALUES, 2, 0);
    teacher[0] = 4;               /* right and sure: exp(4) / (exp(4) + 6) = 0.90 */
    teacher[CLASSES] = 1;         /* right, but 0.31 */
    teacher[2 * CLASSES + 3] = 9; /* wrong */
    teacher[3 * CLASSES + 3] = 9; /* no label */
    teacher[4 * CLASSES] = 2;     /* right, 0.55 */
    struct loss_case c = {.terms = students,
                          .students = 3,
                          .shape = {.batch = COUNT, .classes = CLASSES},
                          .logits = logits,
                          .teacher_logits = teacher,
                          .labels = labels};
    loss_case_run(&t, &c, &(struct loss_result){.values = values, .gradient = gradient});
    c.students = 1;
    for (int k = 0; k < 3; k++) {
        c.terms = &students[k];
        loss_case_run(&t, &c, &(struct loss_result){.values = &value, .gradient = alone});
        assert_float_equal(values[k], value, 1e-12);
        assert_memory_equal(alone, gradient + (size_t)k * VALUES, sizeof alone);
        memcpy(row, k == 1 ? alone : row, sizeof row);
    }
    for (int i = 0; i < VALUES;
         i++) { /* rows 1 and 2 are gated: left out by the first, taught otherwise by the third */
        const int at = i / CLASSES;
        const bool gated = at == 1 || at == 2;
        assert_float_equal(gradient[i], gated ? 0 : row[i], 0);
        if (!gated)
            assert_float_equal(gradient[2 * VALUES + i], row[i], 0);
    }
    assert_true(gradient[2 * VALUES + 2 * CLASSES] < 0 &&
                row[2 * CLASSES + 3] < 0); /* to the label; to the teacher's class */
    test_device_close(&t);
}

/* Value and gradient of a term with these labels. */
static double mixed_value(const struct test_device *t, const struct loss_term *term, const int32_t *labels,
                          const struct view_mix *mix, const int32_t *partners, float *gradient)
{
    float logits[VALUES], teacher[VALUES];
    const struct loss_case c = {.terms = term,
                                .shape = {.batch = COUNT, .classes = CLASSES},
                                .logits = logits,
                                .teacher_logits = teacher,
                                .labels = labels,
                                .mixes = mix,
                                .partner_labels = partners};
    double value;
    fill(logits, VALUES, 2, 0);
    fill(teacher, VALUES, 3, 1);
    loss_case_run(t, &c, &(struct loss_result){.values = &value, .gradient = gradient});
    return value;
}

static void mixed_labels(void **state)
{
    struct test_device t = test_device_open(*state, 2);
    float gradient[VALUES], other[VALUES];
    struct view_mix swapped[COUNT], whole[COUNT];
    static const int32_t labels[COUNT] = {2, 0, 4, 6, 3}, partners[COUNT] = {1, 5, 2, 0, 3};
    static const int32_t main_labels[COUNT] = {1, 0, 4, 6, 3};
    for (int i = 0; i < COUNT; i++) {
        swapped[i] = (struct view_mix){VIEW_MIX_BLEND, 65536 - mixes[i].share};
        whole[i] = (struct view_mix){VIEW_MIX_BLEND, 65536};
    }
    for (int i = 0; i < TERMS; i++) {
        /* with the other picture first: the same */
        const double value = mixed_value(&t, &terms[i], labels, mixes, partners, gradient);
        assert_float_equal(mixed_value(&t, &terms[i], partners, swapped, labels, other), value, 1e-12);
        assert_memory_equal(gradient, other, sizeof gradient);
        /* a share of 1: the partner does not count, whether it is labelled or not */
        assert_float_equal(mixed_value(&t, &terms[i], some_labels, whole, partner_labels, NULL),
                           mixed_value(&t, &terms[i], some_labels, NULL, NULL, NULL), 0);
        /* dkd, nkd: the label with the larger share */
        if (terms[i].kind != LOSS_CE)
            assert_float_equal(mixed_value(&t, &terms[i], main_labels, NULL, NULL, NULL), value, 1e-12);
    }
    /* cross entropy is linear in the target; the third row counts only if both are labelled */
    static const int32_t none[COUNT] = {-1, -1, -1, -1, -1}, third[COUNT] = {-1, -1, 4, -1, -1};
    static const int32_t third_partner[COUNT] = {-1, -1, 2, -1, -1};
    const double share = mixes[2].share / 65536.0;
    assert_float_equal(mixed_value(&t, terms, third, mixes, third_partner, NULL),
                       share * mixed_value(&t, terms, third, NULL, NULL, NULL) +
                           (1 - share) * mixed_value(&t, terms, third_partner, NULL, NULL, NULL),
                       1e-12);
    assert_float_equal(mixed_value(&t, terms, third, mixes, none, NULL), 0, 0);
    test_device_close(&t);
}

/* The correct class of a mixed view is the label with the larger share. */
static void metrics_of_mixed_views(void **state)
{
    enum { ROWS = 4, KINDS = 3 };
    static const float logits[ROWS * KINDS] = {0, 1, 0, 0, 1, 0, 0, 1, 0, 0, 1, 0};
    static const int32_t labels[ROWS] = {1, 1, 0, 1}, partners[ROWS] = {0, 0, 1, -1};
    static const int32_t shares[ROWS] = {40000, 20000, 20000, 40000}; /* correct, wrong, correct, not labelled */
    struct test_device t = test_device_open(*state, 2);
    struct test_inputs f;
    struct error err = {0};
    double metrics[METRIC_COUNT] = {0};
    test_inputs_init(&f, &t, &(struct epoch_content){.batch = ROWS, .capacity = ROWS, .students = 1, .classes = KINDS},
                     EPOCH_MIXES);
    memcpy(f.content.labels, labels, sizeof labels);
    memcpy(f.content.partner_labels, partners, sizeof partners);
    for (int i = 0; i < ROWS; i++)
        f.content.mixes[i] = (struct view_mix){.kind = VIEW_MIX_BLEND, .share = shares[i]};
    test_inputs_upload(&f, &t, 0);
    float *device_logits = test_device_buffer(&t, logits, sizeof logits);
    const struct loss_batch batch = {.count = ROWS,
                                     .students = 1,
                                     .logits = device_logits,
                                     .inputs = &f.inputs,
                                     .metrics = test_device_buffer(&t, metrics, sizeof metrics)};
    test_must(t.backend->training->losses->metrics(t.device, &batch, &err), &err);
    test_device_download(&t, metrics, batch.metrics, sizeof metrics);
    assert_float_equal(metrics[METRIC_CORRECT], 2, 0);
    assert_float_equal(metrics[METRIC_LABELLED], 3, 0);
    test_device_free(&t, device_logits);
    test_device_free(&t, batch.metrics);
    test_inputs_release(&f, &t);
    test_device_close(&t);
}

/* Several blocks of rows, rows longer than a warp, students with parameters of their own: CUDA gives what the CPU
 * gives, and the same bits in any order of its threads, whether the students run alone or side by side. */
static void backends_agree(void **state)
{
    enum { ROWS = 70, COLUMNS = 37, ALL = ROWS * COLUMNS, STUDENTS = 2 };
    static float logits[STUDENTS][ALL], teacher[ALL], gradient[STUDENTS][ALL], alone[ALL], plain[STUDENTS][ALL];
    struct test_device t = test_device_open(*state, 2), cpu = test_device_open("cpu", 1);
    int32_t labels[ROWS];
    for (int i = 0; i < ROWS; i++)
        labels[i] = i % 10 == 3 ? -1 : i * 31 % COLUMNS;
    fill(*logits, STUDENTS * ALL, 4, 1);
    fill(teacher, ALL, 6, 5);
    for (int i = 0; i < TERMS; i++) {
        struct loss_term each[STUDENTS] = {terms[i], terms[i]};
        double values[STUDENTS], expected[STUDENTS], one;
        each[1].weight *= 2;
        each[1].temperature += 1;
        each[1].alpha += 1;
        each[1].beta += 1;
        each[1].gamma += 1;
        struct loss_case c = {.terms = each,
                              .shape = {.batch = ROWS, .classes = COLUMNS},
                              .students = STUDENTS,
                              .logits = *logits,
                              .teacher_logits = teacher,
                              .labels = labels};
        loss_case_run(&t, &c, &(struct loss_result){.values = values, .gradient = *gradient});
        loss_case_run(&cpu, &c, &(struct loss_result){.values = expected, .gradient = *plain});
        for (int k = 0; k < STUDENTS; k++) {
            double largest = 0;
            assert_float_equal(values[k], expected[k], 1e-9 * fabs(expected[k]));
            for (int m = 0; m < ALL; m++)
                largest = fmax(largest, fabs(plain[k][m]));
            for (int m = 0; m < ALL; m++)
                assert_float_equal(gradient[k][m], plain[k][m], 1e-6 * largest);
        }
        test_device_order("reverse");
        c.students = 1;
        c.terms = &each[1];
        c.logits = logits[1];
        loss_case_run(&t, &c, &(struct loss_result){.values = &one, .gradient = alone});
        test_device_order("forward");
        assert_true(one == values[1]);
        assert_memory_equal(alone, gradient[1], sizeof alone);
    }
    test_device_close(&t);
    test_device_close(&cpu);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_EVERY_BACKEND(gradients_are_derivatives),   ON_EVERY_BACKEND(values_are_class_scores),
        ON_EVERY_BACKEND(extremes_stay_finite),        ON_EVERY_BACKEND(equal_rows_cost_nothing),
        ON_EVERY_BACKEND(gates_are_each_students_own), ON_EVERY_BACKEND(mixed_labels),
        ON_EVERY_BACKEND(metrics_of_mixed_views),      ON_EVERY_BACKEND(backends_agree),
    };
    return cmocka_run_group_tests_name("loss_logits", tests, NULL, NULL);
}
