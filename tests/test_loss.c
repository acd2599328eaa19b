/* Loss expressions, and ce and kd of the backend: finite differences, extremes, batches of one. */
#include "shared/backend/backend.h"
#include "student_train/loss_expression.h"
#include "tests/helper_feed.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

enum { COUNT = 5, CLASSES = 7 };

static const struct backend *const backend = &backend_cpu;

static void parses_expressions(void **state)
{
    (void)state;
    struct loss_expression e;
    assert_int_equal(loss_expression_parse(&e, " 0.5*ce + .5 * kd( T = 2 , reduction=mean )", NULL), STATUS_OK);
    assert_int_equal(e.count, 2);
    assert_int_equal(e.terms[0].kind, LOSS_CE);
    assert_int_equal(e.terms[1].kind, LOSS_KD);
    assert_true(e.terms[1].weight == 0.5f && e.terms[1].temperature == 2);
    assert_int_equal(e.terms[1].reduction, REDUCTION_MEAN);
    assert_true(e.needs_teacher && e.needs_labels);
    assert_string_equal(e.text, "0.5*ce + 0.5*kd(T=2, reduction=mean)");
    assert_int_equal(loss_expression_parse(&e, "ce(label_smoothing=0.1)", NULL), STATUS_OK);
    assert_false(e.needs_teacher);
    assert_true(e.terms[0].weight == 1 && e.terms[0].label_smoothing == 0.1f);
    assert_string_equal(e.text, "ce(label_smoothing=0.1)");
    assert_int_equal(loss_expression_parse(&e, "kd + 2*kd(T=8)", NULL), STATUS_OK);
    assert_string_equal(e.names[0], "kd");
    assert_string_equal(e.names[1], "kd_2");
    assert_string_equal(e.text, "kd(T=4) + 2*kd(T=8)");
}

static void refuses_expressions(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"", "a term is missing"},
        {"ce +", "a term is missing"},
        {"0.5 ce", "'*' is missing"},
        {"kb(T=4)", "unknown term 'kb', did you mean 'kd'?; known: ce, kd"},
        {"hint(student=a)", "unknown term 'hint'; known: ce, kd"},
        {"kd(t=4)", "unknown parameter 't'"},
        {"ce(label_smothing=0.1)", "did you mean 'label_smoothing'?"},
        {"kd(T=0)", "'T' wants a number from"},
        {"kd(T=-1)", "'T' wants a number from"},
        {"kd(T=nan)", "'T' wants a number from"},
        {"ce(label_smoothing=1)", "wants a number from 0 up to 1"},
        {"kd(reduction=sum)", "unknown reduction 'sum'"},
        {"kd(T=4", "')' is missing"},
        {"kd(T 4)", "'=' is missing"},
        {"kd T=4", "'+' is missing"},
        {"-1*ce", "a term is missing"},
        {"1e99*ce", "a term is missing"},
        {"ce+ce+ce+ce+ce+ce+ce+ce+ce+ce+ce+ce+ce+ce+ce+ce+ce", "more than 16 terms"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct loss_expression e;
        struct error err = {0};
        if (loss_expression_parse(&e, cases[i][0], &err) != STATUS_USAGE || !strstr(err.message, cases[i][1]))
            fail_msg("'%s' gave %d: %s", cases[i][0], (int)err.code, err.message);
    }
}

struct test_batch {
    int count, classes;
    const float *logits, *teacher;
    const int32_t *labels;
    float *gradient;
};

static double loss_value(const struct loss_term *term, const struct test_batch *batch)
{
    double metrics[METRIC_COUNT] = {0};
    struct host_feed host;
    host_feed_init(&host, batch->count, batch->classes, batch->labels, batch->teacher);
    host.scalars.weights[3] = term->weight;
    const struct loss_batch asked = {.count = batch->count,
                                     .students = 1,
                                     .logits = batch->logits,
                                     .gradient = batch->gradient,
                                     .feed = &host.feed,
                                     .metrics = metrics};
    assert_int_equal(backend->loss(NULL, term, 3, &asked, NULL), STATUS_OK);
    assert_float_equal(metrics[METRIC_LOSS], term->weight * metrics[METRIC_TERMS + 3], 1e-9);
    return metrics[METRIC_LOSS] / batch->count;
}

static const struct loss_term terms[] = {
    {.kind = LOSS_CE, .weight = 0.7f},
    {.kind = LOSS_CE, .weight = 1, .label_smoothing = 0.1f},
    {.kind = LOSS_KD, .weight = 0.9f, .temperature = 4},
    {.kind = LOSS_KD, .weight = 1, .temperature = 1, .reduction = REDUCTION_MEAN},
    {.kind = LOSS_KD, .weight = 1, .temperature = 20},
};
enum { TERMS = sizeof terms / sizeof *terms };

static void fill(float *z, size_t count, float scale, int phase)
{
    for (size_t i = 0; i < count; i++)
        z[i] = scale * sinf((float)(i * 7 + 3) * 0.61f + (float)phase);
}

static void gradients_are_slopes(void **state)
{
    (void)state;
    float logits[COUNT * CLASSES], teacher[COUNT * CLASSES], gradient[COUNT * CLASSES];
    const int32_t labels[COUNT] = {2, 0, -1, 6, 3};
    fill(logits, COUNT * CLASSES, 2, 0);
    fill(teacher, COUNT * CLASSES, 3, 1);
    for (int t = 0; t < TERMS; t++) {
        struct test_batch batch = {COUNT, CLASSES, logits, teacher, labels, gradient};
        for (size_t i = 0; i < COUNT * CLASSES; i++)
            gradient[i] = 1; /* is added to, not overwritten */
        loss_value(&terms[t], &batch);
        batch.gradient = NULL;
        for (size_t i = 0; i < COUNT * CLASSES; i++) {
            const float h = 1.0f / 256, middle = logits[i];
            logits[i] = middle + h;
            double up = loss_value(&terms[t], &batch), width = logits[i];
            logits[i] = middle - h;
            double down = loss_value(&terms[t], &batch);
            width -= logits[i];
            logits[i] = middle;
            assert_float_equal(gradient[i] - 1, (up - down) / width, 2e-6);
        }
    }
}

static void extremes_stay_finite(void **state)
{
    (void)state;
    float logits[COUNT * CLASSES] = {0}, teacher[COUNT * CLASSES] = {0}, gradient[COUNT * CLASSES] = {0};
    const int32_t labels[COUNT] = {1, 0, 2, 0, 0};
    logits[0] = 300, logits[1] = -300; /* certain and wrong */
    teacher[1] = 300;
    logits[7] = -300, teacher[7] = -300;
    logits[14] = teacher[14] = 65504; /* float16's largest */
    for (int t = 0; t < TERMS; t++) {
        struct test_batch batch = {COUNT, CLASSES, logits, teacher, labels, gradient};
        assert_true(isfinite(loss_value(&terms[t], &batch)));
        for (size_t i = 0; i < COUNT * CLASSES; i++)
            assert_true(isfinite(gradient[i]));
    }
    /* cross entropy of the first sample: 600 */
    struct test_batch one = {1, CLASSES, logits, teacher, labels, NULL};
    assert_float_equal(loss_value(&(struct loss_term){.kind = LOSS_CE, .weight = 1}, &one), 600, 1e-9);
}

static void equal_rows_cost_nothing(void **state)
{
    (void)state;
    float logits[COUNT * CLASSES], gradient[COUNT * CLASSES] = {0};
    const int32_t labels[COUNT] = {0};
    fill(logits, COUNT * CLASSES, 5, 2);
    for (int t = 2; t < TERMS; t++) {
        struct test_batch batch = {COUNT, CLASSES, logits, logits, labels, gradient};
        assert_float_equal(loss_value(&terms[t], &batch), 0, 1e-12);
    }
    for (size_t i = 0; i < COUNT * CLASSES; i++)
        assert_float_equal(gradient[i], 0, 1e-12);
}

static void odd_batches(void **state)
{
    (void)state;
    float logits[CLASSES], gradient[CLASSES] = {0};
    int32_t label = 4;
    fill(logits, CLASSES, 1, 3);
    struct test_batch one = {1, CLASSES, logits, logits, &label, gradient};
    for (int t = 0; t < TERMS; t++)
        assert_true(isfinite(loss_value(&terms[t], &one)));
    /* a batch of one class: nothing to learn */
    float single[2] = {3, -2}, single_gradient[2] = {0};
    int32_t zeros[2] = {0, 0};
    struct test_batch trivial = {2, 1, single, single, zeros, single_gradient};
    for (int t = 0; t < TERMS; t++)
        assert_float_equal(loss_value(&terms[t], &trivial), 0, 1e-12);
    assert_float_equal(single_gradient[0], 0, 1e-12);
    /* nobody is labelled: ce adds nothing */
    float untouched[CLASSES] = {0};
    label = -1;
    struct test_batch unlabelled = {1, CLASSES, logits, logits, &label, untouched};
    assert_true(loss_value(&terms[0], &unlabelled) == 0);
    assert_true(untouched[0] == 0);
}

static void metrics_are_counted(void **state)
{
    (void)state;
    const float logits[4 * 3] = {1, 2, 0, 5, 5, 1, 0, 0, 9, 3, 2, 1}, teacher[4 * 3] = {0, 1, 0, 1, 0, 0, 1, 0, 0, 1};
    const int32_t labels[4] = {1, 1, 2, -1};
    double metrics[METRIC_COUNT] = {0};
    struct host_feed host;
    host_feed_init(&host, 4, 3, labels, teacher);
    const struct loss_batch batch = {
        .count = 4, .students = 1, .logits = logits, .feed = &host.feed, .metrics = metrics};
    const int32_t *predictions = host.predictions;
    assert_int_equal(backend->metrics(NULL, &batch, NULL), STATUS_OK);
    assert_true(metrics[METRIC_CORRECT] == 2 && metrics[METRIC_LABELLED] == 3);
    assert_true(metrics[METRIC_AGREE] == 3 && metrics[METRIC_SAMPLES] == 4);
    assert_int_equal(predictions[0], 1);
    assert_int_equal(predictions[1], 0); /* the first of equals */
    assert_int_equal(predictions[2], 2);
    assert_int_equal(predictions[3], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parses_expressions),      cmocka_unit_test(refuses_expressions),
        cmocka_unit_test(gradients_are_slopes),    cmocka_unit_test(extremes_stay_finite),
        cmocka_unit_test(equal_rows_cost_nothing), cmocka_unit_test(odd_batches),
        cmocka_unit_test(metrics_are_counted),
    };
    return cmocka_run_group_tests_name("loss", tests, NULL, NULL);
}
