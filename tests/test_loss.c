/* The terms of the loss and the metrics on every backend: finite differences, extremes, batches of one, several
 * students at once. The epoch inputs before and after the current step are poison. */
#include "tests/helper_device.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

enum { COUNT = 5, CLASSES = 7, STEP = 1, STEPS = 3, GAP = 6 };
/* A large batch: several blocks of rows, rows longer than a warp. */
enum { ROWS = 150, COLUMNS = 130, STUDENTS = 3, MAX_VALUES = ROWS * COLUMNS };

static const struct loss_term terms[] = {
    {.kind = LOSS_CE, .weight = 0.7f},
    {.kind = LOSS_CE, .weight = 1, .label_smoothing = 0.1f},
    {.kind = LOSS_KD, .weight = 0.9f, .temperature = 4},
    {.kind = LOSS_KD, .weight = 1, .temperature = 1, .reduction = REDUCTION_MEAN},
    {.kind = LOSS_KD, .weight = 1, .temperature = 20},
};
enum { TERMS = sizeof terms / sizeof *terms, FIRST_KD = 2 };

/* A batch on a device, for the term of index INDEX. Students lie GAP floats apart. */
enum { INDEX = 3 };
struct setting {
    struct test_device t;
    struct test_inputs f;
    struct loss_batch batch; /* device memory */
    size_t values;           /* count * classes */
};

static void setting_init(struct setting *s, const char *backend, int count, int classes, int students)
{
    const struct epoch_content sizes = {
        .batch = count + 1, .capacity = STEPS * ((size_t)count + 1), .students = students, .classes = classes};
    *s = (struct setting){.t = test_device_open(backend, 2), .values = (size_t)count * (size_t)classes};
    test_inputs_init(&s->f, &s->t, &sizes, EPOCH_TEACHER);
    const size_t stride = s->values + GAP, bytes = (size_t)students * stride * sizeof(float);
    s->batch = (struct loss_batch){
        .count = count,
        .students = students,
        .logits = test_device_buffer(&s->t, NULL, bytes),
        .logit_stride = stride,
        .gradient = test_device_buffer(&s->t, NULL, bytes),
        .gradient_stride = stride,
        .inputs = &s->f.inputs,
        .metrics = test_device_buffer(&s->t, NULL, (size_t)students * METRIC_COUNT * sizeof(double)),
    };
    struct epoch_content *content = &s->f.content;
    memset(content->teacher, 0xff, content->capacity * (size_t)classes * sizeof *content->teacher);
    memset(content->scalars, 0xff, STEPS * (size_t)students * sizeof *content->scalars);
    memset(content->labels, 0, content->capacity * sizeof *content->labels);
}

static void setting_release(struct setting *s)
{
    test_device_free(&s->t, (float *)s->batch.logits);
    test_device_free(&s->t, s->batch.gradient);
    test_device_free(&s->t, s->batch.metrics);
    test_inputs_release(&s->f, &s->t);
    test_device_close(&s->t);
}

/* labels [count] and the teacher's logits [count, classes] of the current step */
static void set_targets(struct setting *s, const int32_t *labels, const float *teacher)
{
    struct epoch_content *content = &s->f.content;
    const size_t first = STEP * (size_t)content->batch;
    memcpy(content->labels + first, labels, (size_t)s->batch.count * sizeof *labels);
    memcpy(content->teacher + first * (size_t)content->classes, teacher, s->values * sizeof *teacher);
}

/* Runs a term for every student: logits and gradient are [students][count, classes]; the gradient, which may be NULL,
 * is added to. values [students] receives the weighted loss of each. */
static void run_terms(struct setting *s, const struct loss_term *each, const float *logits, float *gradient,
                      double *values)
{
    struct error err = {0};
    struct loss_batch batch = s->batch;
    double metrics[STUDENTS][METRIC_COUNT] = {0};
    const size_t bytes = s->values * sizeof(float);
    for (int k = 0; k < batch.students; k++) {
        s->f.content.scalars[STEP * batch.students + k].weights[INDEX] = each[k].weight;
        test_device_upload(&s->t, (float *)batch.logits + (size_t)k * batch.logit_stride,
                           logits + (size_t)k * s->values, bytes);
        if (gradient)
            test_device_upload(&s->t, batch.gradient + (size_t)k * batch.gradient_stride,
                               gradient + (size_t)k * s->values, bytes);
    }
    test_inputs_upload(&s->f, &s->t, STEP);
    test_device_upload(&s->t, batch.metrics, metrics, (size_t)batch.students * sizeof *metrics);
    if (!gradient)
        batch.gradient = NULL;
    test_must(s->t.backend->training->losses->add(s->t.device, each, INDEX, &batch, &err), &err);
    test_device_download(&s->t, metrics, batch.metrics, (size_t)batch.students * sizeof *metrics);
    for (int k = 0; k < batch.students; k++) {
        const double *m = metrics[k];
        assert_float_equal(m[METRIC_LOSS], each[k].weight * m[METRIC_TERMS + INDEX], 1e-9 * fabs(m[METRIC_LOSS]));
        values[k] = m[METRIC_LOSS] / batch.count;
        float gap[GAP];
        if (gradient)
            test_device_download(&s->t, gradient + (size_t)k * s->values,
                                 batch.gradient + (size_t)k * batch.gradient_stride, bytes);
        test_device_download(&s->t, gap, s->batch.gradient + (size_t)k * batch.gradient_stride + s->values, sizeof gap);
        for (int i = 0; i < GAP; i++)
            assert_true(isnan(gap[i]));
    }
}

static double run_term(struct setting *s, const struct loss_term *term, const float *logits, float *gradient)
{
    double value;
    run_terms(s, term, logits, gradient, &value);
    return value;
}

static void fill(float *z, size_t count, float scale, int phase)
{
    for (size_t i = 0; i < count; i++)
        z[i] = scale * sinf((float)(i * 7 + 3) * 0.61f + (float)phase);
}

static void gradients_are_derivatives(void **state)
{
    struct setting s;
    float logits[COUNT * CLASSES], teacher[COUNT * CLASSES], gradient[COUNT * CLASSES];
    const int32_t labels[COUNT] = {2, 0, -1, 6, 3};
    setting_init(&s, *state, COUNT, CLASSES, 1);
    fill(logits, COUNT * CLASSES, 2, 0);
    fill(teacher, COUNT * CLASSES, 3, 1);
    set_targets(&s, labels, teacher);
    for (int t = 0; t < TERMS; t++) {
        for (size_t i = 0; i < COUNT * CLASSES; i++)
            gradient[i] = 1; /* is added to, not overwritten */
        run_term(&s, &terms[t], logits, gradient);
        for (size_t i = 0; i < COUNT * CLASSES; i++) {
            const float h = 1.0f / 256, middle = logits[i];
            logits[i] = middle + h;
            double up = run_term(&s, &terms[t], logits, NULL), width = logits[i];
            logits[i] = middle - h;
            double down = run_term(&s, &terms[t], logits, NULL);
            width -= logits[i];
            logits[i] = middle;
            assert_float_equal(gradient[i] - 1, (up - down) / width, 2e-6);
        }
    }
    setting_release(&s);
}

static void extremes_stay_finite(void **state)
{
    struct setting s;
    float logits[COUNT * CLASSES] = {0}, teacher[COUNT * CLASSES] = {0}, gradient[COUNT * CLASSES] = {0};
    const int32_t labels[COUNT] = {1, 0, 2, 0, 0};
    logits[0] = 300, logits[1] = -300; /* certain and wrong */
    teacher[1] = 300;
    logits[7] = -300, teacher[7] = -300;
    teacher[8] = -INFINITY;           /* impossible: adds 0 */
    logits[14] = teacher[14] = 65504; /* the largest float16 */
    setting_init(&s, *state, COUNT, CLASSES, 1);
    set_targets(&s, labels, teacher);
    for (int t = 0; t < TERMS; t++) {
        assert_true(isfinite(run_term(&s, &terms[t], logits, gradient)));
        for (size_t i = 0; i < COUNT * CLASSES; i++)
            assert_true(isfinite(gradient[i]));
    }
    setting_release(&s);
    /* cross entropy of the first sample: 600 */
    setting_init(&s, *state, 1, CLASSES, 1);
    set_targets(&s, labels, teacher);
    assert_float_equal(run_term(&s, &(struct loss_term){.kind = LOSS_CE, .weight = 1}, logits, NULL), 600, 1e-9);
    setting_release(&s);
}

static void equal_rows_cost_nothing(void **state)
{
    struct setting s;
    float logits[COUNT * CLASSES], gradient[COUNT * CLASSES] = {0};
    const int32_t labels[COUNT] = {0};
    fill(logits, COUNT * CLASSES, 5, 2);
    setting_init(&s, *state, COUNT, CLASSES, 1);
    set_targets(&s, labels, logits);
    for (int t = FIRST_KD; t < TERMS; t++)
        assert_float_equal(run_term(&s, &terms[t], logits, gradient), 0, 1e-12);
    for (size_t i = 0; i < COUNT * CLASSES; i++)
        assert_float_equal(gradient[i], 0, 1e-12);
    setting_release(&s);
}

static void odd_batches(void **state)
{
    struct setting s;
    float logits[CLASSES], gradient[CLASSES] = {0};
    int32_t label = 4;
    fill(logits, CLASSES, 1, 3);
    setting_init(&s, *state, 1, CLASSES, 1);
    set_targets(&s, &label, logits);
    for (int t = 0; t < TERMS; t++)
        assert_true(isfinite(run_term(&s, &terms[t], logits, gradient)));
    /* no row is labelled: ce adds nothing */
    float untouched[CLASSES] = {0};
    label = -1;
    set_targets(&s, &label, logits);
    assert_true(run_term(&s, &terms[0], logits, untouched) == 0);
    assert_true(untouched[0] == 0);
    setting_release(&s);
    /* a batch of one class: nothing to learn */
    const float single[2] = {3, -2};
    float single_gradient[2] = {0};
    const int32_t zeros[2] = {0, 0};
    setting_init(&s, *state, 2, 1, 1);
    set_targets(&s, zeros, single);
    for (int t = 0; t < TERMS; t++)
        assert_float_equal(run_term(&s, &terms[t], single, single_gradient), 0, 1e-12);
    assert_float_equal(single_gradient[0], 0, 1e-12);
    setting_release(&s);
}

static void metrics_are_counted(void **state)
{
    struct error err = {0};
    struct setting s;
    enum { SAMPLES = 4, STEP_ROWS = SAMPLES + 1 };
    /* the second student: other logits, and it always predicts the first class */
    const float logits[2][SAMPLES * 3] = {{1, 2, 0, 5, 5, 1, 0, 0, 9, 3, 2, 1}, {0}};
    const float teacher[SAMPLES * 3] = {0, 1, 0, 1, 0, 0, 1, 0, 0, 1};
    const int32_t labels[SAMPLES] = {1, 1, 2, -1}, expected[2][SAMPLES] = {{1, 0, 2, 0}, {0}}; /* the first of equals */
    int32_t predictions[2][STEPS * STEP_ROWS];
    double metrics[2][METRIC_COUNT] = {0};
    setting_init(&s, *state, SAMPLES, 3, 2);
    set_targets(&s, labels, teacher);
    test_inputs_upload(&s.f, &s.t, STEP);
    test_device_poison(&s.t, s.f.inputs.predictions, sizeof predictions);
    for (int k = 0; k < 2; k++)
        test_device_upload(&s.t, (float *)s.batch.logits + (size_t)k * s.batch.logit_stride, logits[k],
                           sizeof logits[k]);
    test_device_upload(&s.t, s.batch.metrics, metrics, sizeof metrics);
    for (int times = 0; times < 2; times++)
        test_must(s.t.backend->training->losses->metrics(s.t.device, &s.batch, &err), &err);
    test_device_download(&s.t, metrics, s.batch.metrics, sizeof metrics);
    test_device_download(&s.t, predictions, s.f.inputs.predictions, sizeof predictions);
    assert_true(metrics[0][METRIC_CORRECT] == 4 && metrics[0][METRIC_LABELLED] == 6);
    assert_true(metrics[0][METRIC_AGREE] == 6 && metrics[0][METRIC_SAMPLES] == 8);
    assert_true(metrics[1][METRIC_CORRECT] == 0 && metrics[1][METRIC_LABELLED] == 6);
    assert_true(metrics[1][METRIC_AGREE] == 6 && metrics[1][METRIC_SAMPLES] == 8);
    for (int k = 0; k < 2; k++)
        for (int i = 0; i < STEPS * STEP_ROWS; i++) {
            const int row = i - STEP * STEP_ROWS;
            assert_int_equal(predictions[k][i], row >= 0 && row < SAMPLES ? expected[k][row] : -1);
        }
    setting_release(&s);
}

/* Three students side by side get, bit for bit, what each gets alone, in any order of the threads; and what the CPU
 * backend gives, within the rounding of doubles. */
static void students_do_not_mix(void **state)
{
    static float logits[STUDENTS][MAX_VALUES], together[STUDENTS][MAX_VALUES], alone[MAX_VALUES], plain[MAX_VALUES],
        teacher[MAX_VALUES];
    static int32_t labels[ROWS];
    for (int i = 0; i < ROWS; i++)
        labels[i] = i % 10 == 3 ? -1 : i * 31 % COLUMNS;
    fill(teacher, MAX_VALUES, 6, 5);
    fill(*logits, STUDENTS * MAX_VALUES, 4, 1);
    for (enum loss_kind kind = LOSS_CE; kind <= LOSS_KD; kind++) {
        struct loss_term each[STUDENTS];
        struct setting s, cpu;
        double values[STUDENTS];
        for (int k = 0; k < STUDENTS; k++)
            each[k] = (struct loss_term){.kind = kind,
                                         .weight = 1 + (float)k,
                                         .label_smoothing = 0.1f * (float)k,
                                         .temperature = 1 + (float)k,
                                         .reduction = k % 2 ? REDUCTION_MEAN : REDUCTION_BATCHMEAN};
        setting_init(&s, *state, ROWS, COLUMNS, STUDENTS);
        set_targets(&s, labels, teacher);
        memset(together, 0, sizeof together);
        run_terms(&s, each, *logits, *together, values);
        setting_release(&s);
        test_device_order("reverse");
        setting_init(&s, *state, ROWS, COLUMNS, 1);
        setting_init(&cpu, "cpu", ROWS, COLUMNS, 1);
        set_targets(&s, labels, teacher);
        set_targets(&cpu, labels, teacher);
        for (int k = 0; k < STUDENTS; k++) {
            memset(alone, 0, sizeof alone);
            memset(plain, 0, sizeof plain);
            assert_true(run_term(&s, &each[k], logits[k], alone) == values[k]);
            assert_memory_equal(alone, together[k], sizeof alone);
            assert_float_equal(run_term(&cpu, &each[k], logits[k], plain), values[k], 1e-12 * fabs(values[k]));
            for (int i = 0; i < MAX_VALUES; i++)
                assert_float_equal(alone[i], plain[i], 2e-7 * fabs(plain[i]) + 1e-12);
        }
        setting_release(&s);
        setting_release(&cpu);
        test_device_order("forward");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_EVERY_BACKEND(gradients_are_derivatives), ON_EVERY_BACKEND(extremes_stay_finite),
        ON_EVERY_BACKEND(equal_rows_cost_nothing),   ON_EVERY_BACKEND(odd_batches),
        ON_EVERY_BACKEND(metrics_are_counted),       ON_EVERY_BACKEND(students_do_not_mix),
    };
    return cmocka_run_group_tests_name("loss", tests, NULL, NULL);
}
