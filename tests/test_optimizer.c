/* Optimisers, clipping and the moving average against torch.optim (golden/make_optimizer.py), and with any number of
 * threads the same bits. */
#include "shared/backend/backend.h"
#include "tests/golden/optimizer.h"
#include "tests/helper_feed.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

enum { COUNT = 37, STEPS = 12, LARGE = 100003 };
static const float TOLERANCE = 2e-6f; /* float rounding of 12 steps on weights of size 1 */

static const struct backend *const backend = &backend_cpu;

static const struct {
    const char *name;
    double rate;
    struct optimizer step;
    const float *expected, *average;
} cases[] = {
#define CASE(name, rate, ...)                                               \
    {                                                                       \
#name, rate, {__VA_ARGS__ }, golden_##name, golden_##name##_average \
    }
    CASE(sgd, 0.05, .kind = OPTIMIZER_SGD),
    CASE(sgd_decay, 0.05, .kind = OPTIMIZER_SGD, .weight_decay = 0.01),
    CASE(sgd_momentum, 0.05, .kind = OPTIMIZER_SGD, .momentum = 0.9, .weight_decay = 5e-4),
    CASE(sgd_nesterov, 0.05, .kind = OPTIMIZER_SGD, .momentum = 0.9, .nesterov = true),
    CASE(adam, 0.01, .kind = OPTIMIZER_ADAM, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8),
    CASE(adam_decay_clip, 0.01, .kind = OPTIMIZER_ADAM, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8,
         .weight_decay = 0.1, .clip = 10),
    CASE(adam_clip_never, 0.01, .kind = OPTIMIZER_ADAM, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8, .clip = 1e6),
    CASE(adamw, 0.01, .kind = OPTIMIZER_ADAMW, .beta1 = 0.8, .beta2 = 0.95, .epsilon = 1e-6, .weight_decay = 0.1,
         .clip = 1),
};

static double expected_norm(size_t i)
{
    const double norms[] = {
        golden_sgd_norm,  golden_sgd_decay_norm,       golden_sgd_momentum_norm,    golden_sgd_nesterov_norm,
        golden_adam_norm, golden_adam_decay_clip_norm, golden_adam_clip_never_norm, golden_adamw_norm};
    return norms[i];
}

static void gradient(int step, const float *parameters, float *g)
{
    for (int i = 0; i < COUNT; i++)
        g[i] = (0.25f * parameters[i] + (float)cos(1.3 * i + 0.5 * step)) * (float)(i % 5);
}

/* The scalars of step number `step`, from 0. */
static void set_step(struct host_feed *host, const struct optimizer *optimizer, double rate, int step)
{
    host->scalars.step = (uint64_t)step;
    host->scalars.learning_rate = rate;
    host->scalars.correction1 = 1 - pow(optimizer->beta1, step + 1);
    host->scalars.root_correction2 = sqrt(1 - pow(optimizer->beta2, step + 1));
}

static void steps_equal_pytorchs(void **state)
{
    (void)state;
    struct device *device;
    assert_int_equal(backend->device_new(&device, &(struct device_options){.threads = 2}, NULL), STATUS_OK);
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        float parameters[COUNT], gradients[COUNT], first[COUNT] = {0}, second[COUNT] = {0}, average[COUNT];
        double norm = 0;
        const struct optimizer_memory memory = {parameters, gradients, first, second, &norm};
        struct host_feed host;
        host_feed_init(&host, 1, 1, NULL, NULL);
        for (int i = 0; i < COUNT; i++)
            average[i] = parameters[i] = (float)sin(0.7 * i + 0.2);
        for (int s = 0; s < STEPS; s++) {
            gradient(s + 1, parameters, gradients);
            set_step(&host, &cases[c].step, cases[c].rate, s);
            assert_int_equal(backend->optimize(device, &cases[c].step, &memory, COUNT, &host.feed, NULL), STATUS_OK);
            assert_int_equal(backend->blend(device, average, parameters, COUNT, 0.9, NULL), STATUS_OK);
        }
        for (int i = 0; i < COUNT; i++) {
            if (!(fabsf(parameters[i] - cases[c].expected[i]) <= TOLERANCE))
                fail_msg("%s: weight %d is %.9g, PyTorch has %.9g", cases[c].name, i, (double)parameters[i],
                         (double)cases[c].expected[i]);
            if (!(fabsf(average[i] - cases[c].average[i]) <= TOLERANCE))
                fail_msg("%s: average %d is %.9g, PyTorch has %.9g", cases[c].name, i, (double)average[i],
                         (double)cases[c].average[i]);
        }
        assert_float_equal(norm, expected_norm(c), 1e-5 * expected_norm(c));
    }
    backend->device_free(device);
}

/* By hand; and a blend of decay 0 copies. */
static void one_plain_step(void **state)
{
    (void)state;
    struct device *device;
    float parameters[3] = {1, 2, 3}, gradients[3] = {1, 0, -1}, first[3] = {0}, second[3] = {0}, copy[3] = {7, 7, 7};
    double norm;
    const struct optimizer_memory memory = {parameters, gradients, first, second, &norm};
    const struct optimizer sgd = {.kind = OPTIMIZER_SGD};
    struct host_feed host;
    host_feed_init(&host, 1, 1, NULL, NULL);
    set_step(&host, &sgd, 0.5, 0);
    assert_int_equal(backend->device_new(&device, &(struct device_options){.threads = 1}, NULL), STATUS_OK);
    assert_int_equal(backend->optimize(device, &sgd, &memory, 3, &host.feed, NULL), STATUS_OK);
    assert_true(parameters[0] == 0.5f && parameters[1] == 2 && parameters[2] == 3.5f);
    assert_float_equal(norm, sqrt(2.0), 1e-12);
    assert_int_equal(backend->blend(device, copy, parameters, 3, 0, NULL), STATUS_OK);
    assert_memory_equal(copy, parameters, sizeof copy);
    backend->device_free(device);
}

static float large[2][4][LARGE];

static void threads_change_nothing(void **state)
{
    (void)state;
    for (int run = 0; run < 2; run++) {
        struct device *device;
        double norm;
        float(*m)[LARGE] = large[run];
        const struct optimizer_memory memory = {m[0], m[1], m[2], m[3], &norm};
        struct host_feed host;
        host_feed_init(&host, 1, 1, NULL, NULL);
        assert_int_equal(backend->device_new(&device, &(struct device_options){.threads = run ? 3 : 1}, NULL),
                         STATUS_OK);
        for (int s = 0; s < 3; s++) {
            for (int i = 0; i < LARGE; i++)
                m[1][i] = sinf((float)(i + s + 1));
            set_step(&host, &cases[5].step, cases[5].rate, s);
            assert_int_equal(backend->optimize(device, &cases[5].step, &memory, LARGE, &host.feed, NULL), STATUS_OK);
        }
        backend->device_free(device);
    }
    assert_memory_equal(large[0], large[1], sizeof large[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_equal_pytorchs),
        cmocka_unit_test(one_plain_step),
        cmocka_unit_test(threads_change_nothing),
    };
    return cmocka_run_group_tests_name("optimizer", tests, NULL, NULL);
}
