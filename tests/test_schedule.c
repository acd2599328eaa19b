/* Learning rates against torch.optim.lr_scheduler (golden/make_schedule.py), and the order of samples and views. */
#include "student_train/trainer/epoch_order.h"
#include "student_train/trainer/schedule.h"
#include "tests/golden/schedule.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { EPOCHS = 40, SAMPLES = 1000 };

static const struct schedule base = {.rate = 0.05,
                                     .minimum = 1e-4,
                                     .epochs = EPOCHS,
                                     .step_epochs = 7,
                                     .gamma = 0.3,
                                     .restart_epochs = 5,
                                     .restart_factor = 2};

static void rates_equal_pytorchs(void **state)
{
    (void)state;
    const struct {
        int kind;
        const double *golden;
    } cases[] = {{SCHEDULE_STEP, golden_step}, {SCHEDULE_COSINE, golden_cosine}, {SCHEDULE_RESTARTS, golden_restarts}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct schedule schedule = base;
        schedule.kind = cases[i].kind;
        for (int epoch = 0; epoch < EPOCHS; epoch++) {
            double rate = schedule_rate(&schedule, epoch, 3, 10), expected = cases[i].golden[epoch];
            if (fabs(rate - expected) > 1e-9 * expected)
                fail_msg("%s, epoch %d: %.12g, PyTorch has %.12g", schedule_names[cases[i].kind], epoch, rate,
                         expected);
        }
    }
    assert_true(schedule_rate(&base, 39, 0, 10) == 0.05);
}

static void warmup_rises_then_the_schedule_starts(void **state)
{
    (void)state;
    struct schedule schedule = base;
    schedule.kind = SCHEDULE_COSINE;
    schedule.epochs = EPOCHS + 2;
    schedule.warmup_epochs = 2;
    assert_float_equal(schedule_rate(&schedule, 0, 0, 10), 0.05 / 20, 1e-15);
    assert_float_equal(schedule_rate(&schedule, 1, 4, 10), 0.05 * 15 / 20, 1e-15);
    assert_float_equal(schedule_rate(&schedule, 1, 9, 10), 0.05, 1e-15);
    for (int epoch = 0; epoch < EPOCHS; epoch++)
        assert_float_equal(schedule_rate(&schedule, epoch + 2, 0, 10), golden_cosine[epoch], 1e-10);
}

/* The rates of whole epochs stay; between them the same curve at a fraction of an epoch, as PyTorch's
 * CosineAnnealingWarmRestarts computes scheduler.step(epoch + i / steps). */
static void steps_between_epochs(void **state)
{
    (void)state;
    struct schedule schedule = base;
    schedule.by_step = SCHEDULE_BY_STEP;
    for (int kind = SCHEDULE_CONSTANT; kind <= SCHEDULE_RESTARTS; kind++) {
        struct schedule by_epoch = base;
        schedule.kind = by_epoch.kind = kind;
        for (int epoch = 0; epoch < EPOCHS; epoch++)
            assert_float_equal(schedule_rate(&schedule, epoch, 0, 10), schedule_rate(&by_epoch, epoch, 3, 10), 1e-15);
    }
    schedule.kind = SCHEDULE_COSINE;
    schedule.warmup_epochs = 2;
    schedule.epochs = EPOCHS + 2;
    /* epoch 10 and a half of 40: 1e-4 + (0.05 - 1e-4) (1 + cos(pi 10.5 / 40)) / 2 */
    assert_float_equal(schedule_rate(&schedule, 12, 5, 10), 0.0419860786, 1e-8);
    schedule.kind = SCHEDULE_RESTARTS;
    schedule.warmup_epochs = 0;
    assert_float_equal(schedule_rate(&schedule, 2, 5, 10), (0.05 + 1e-4) / 2,
                       1e-12); /* the middle of the first round */
    schedule.kind = SCHEDULE_STEP;
    assert_float_equal(schedule_rate(&schedule, 6, 9, 10), 0.05, 1e-15);
}

static void an_epoch_has_every_sample_once(void **state)
{
    (void)state;
    static uint32_t first[SAMPLES], second[SAMPLES];
    bool seen[SAMPLES] = {false};
    int moved = 0;
    epoch_order(first, SAMPLES, 7, 0, false);
    epoch_order(second, SAMPLES, 7, 1, false);
    for (int i = 0; i < SAMPLES; i++) {
        assert_false(seen[first[i]]);
        seen[first[i]] = true;
        moved += first[i] != second[i];
    }
    assert_in_range(moved, SAMPLES - 20, SAMPLES);
    epoch_order(second, SAMPLES, 7, 0, false);
    assert_memory_equal(first, second, sizeof first);
    epoch_order(second, SAMPLES, 8, 0, false);
    assert_memory_not_equal(first, second, sizeof first);
    epoch_order(second, SAMPLES, 7, 5, true);
    for (uint32_t i = 0; i < SAMPLES; i++)
        assert_int_equal(second[i], i);
}

/* In every cycle of `views` epochs each view comes once, and cycles, samples and seeds differ. */
static void every_view_comes_once_a_cycle(void **state)
{
    (void)state;
    static const int counts[] = {1, 2, 3, 7, 8, 12, 600};
    for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
        const int views = counts[c];
        int differ = 0;
        for (uint32_t sample = 0; sample < 20; sample++)
            for (int cycle = 0; cycle < 2; cycle++) {
                bool seen[600] = {false};
                for (int e = 0; e < views; e++) {
                    uint32_t epoch = (uint32_t)(cycle * views + e);
                    int view = epoch_view(sample, views, 3, epoch, false);
                    assert_in_range(view, 0, views - 1);
                    assert_false(seen[view]);
                    seen[view] = true;
                    differ += view != epoch_view(sample + 1, views, 3, epoch, false);
                    assert_int_equal(epoch_view(sample, views, 3, epoch, true), e);
                }
            }
        assert_true(views == 1 || differ > 10 * views);
    }
}

/* In each epoch all views are about equally frequent among the samples. */
static void views_are_spread(void **state)
{
    (void)state;
    int counts[8] = {0};
    for (uint32_t sample = 0; sample < 8000; sample++)
        counts[epoch_view(sample, 8, 1, 11, false)]++;
    for (int view = 0; view < 8; view++)
        assert_in_range(counts[view], 850, 1150);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rates_equal_pytorchs),          cmocka_unit_test(warmup_rises_then_the_schedule_starts),
        cmocka_unit_test(steps_between_epochs),          cmocka_unit_test(an_epoch_has_every_sample_once),
        cmocka_unit_test(every_view_comes_once_a_cycle), cmocka_unit_test(views_are_spread),
    };
    return cmocka_run_group_tests_name("schedule", tests, NULL, NULL);
}
