/* Optimisers, clipping and the moving average against torch.optim (golden/make_optimizer.py), and with any number of
 * threads the same bits. */
#include "shared/backend/backend.h"
#include "tests/golden/optimizer.h"

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
    struct optimizer_step step;
    const float *expected, *average;
} cases[] = {
#define CASE(name, ...)                                               \
    {                                                                 \
#name, {__VA_ARGS__ }, golden_##name, golden_##name##_average \
    }
    CASE(sgd, .kind = OPTIMIZER_SGD, .learning_rate = 0.05),
    CASE(sgd_decay, .kind = OPTIMIZER_SGD, .learning_rate = 0.05, .weight_decay = 0.01),
    CASE(sgd_momentum, .kind = OPTIMIZER_SGD, .learning_rate = 0.05, .momentum = 0.9, .weight_decay = 5e-4),
    CASE(sgd_nesterov, .kind = OPTIMIZER_SGD, .learning_rate = 0.05, .momentum = 0.9, .nesterov = true),
    CASE(adam, .kind = OPTIMIZER_ADAM, .learning_rate = 0.01, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8),
    CASE(adam_decay_clip, .kind = OPTIMIZER_ADAM, .learning_rate = 0.01, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8,
         .weight_decay = 0.1, .clip = 10),
    CASE(adam_clip_never, .kind = OPTIMIZER_ADAM, .learning_rate = 0.01, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8,
         .clip = 1e6),
    CASE(adamw, .kind = OPTIMIZER_ADAMW, .learning_rate = 0.01, .beta1 = 0.8, .beta2 = 0.95, .epsilon = 1e-6,
         .weight_decay = 0.1, .clip = 1),
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

static void steps_equal_pytorchs(void **state)
{
    (void)state;
    struct device *device;
    assert_int_equal(backend->device_new(&device, &(struct device_options){.threads = 2}, NULL), STATUS_OK);
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        float parameters[COUNT], gradients[COUNT], first[COUNT] = {0}, second[COUNT] = {0}, average[COUNT];
        double norm = 0;
        struct optimizer_memory memory = {parameters, gradients, first, second, average, &norm};
        struct optimizer_step step = cases[c].step;
        step.ema_decay = 0.9;
        for (int i = 0; i < COUNT; i++)
            average[i] = parameters[i] = (float)sin(0.7 * i + 0.2);
        for (int s = 1; s <= STEPS; s++) {
            gradient(s, parameters, gradients);
            step.step = (uint64_t)s;
            assert_int_equal(backend->optimize(device, &step, &memory, COUNT, NULL), STATUS_OK);
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

/* Without a moving average its memory is not touched; the step then is the same. */
static void average_is_optional(void **state)
{
    (void)state;
    struct device *device;
    float parameters[3] = {1, 2, 3}, gradients[3] = {1, 0, -1}, first[3] = {0}, second[3] = {0};
    double norm;
    struct optimizer_memory memory = {parameters, gradients, first, second, NULL, &norm};
    struct optimizer_step step = {.kind = OPTIMIZER_SGD, .learning_rate = 0.5, .step = 1};
    assert_int_equal(backend->device_new(&device, &(struct device_options){.threads = 1}, NULL), STATUS_OK);
    assert_int_equal(backend->optimize(device, &step, &memory, 3, NULL), STATUS_OK);
    assert_true(parameters[0] == 0.5f && parameters[1] == 2 && parameters[2] == 3.5f);
    assert_float_equal(norm, sqrt(2.0), 1e-12);
    backend->device_free(device);
}

static float large[2][5][LARGE];

static void threads_change_nothing(void **state)
{
    (void)state;
    for (int run = 0; run < 2; run++) {
        struct device *device;
        double norm;
        float(*m)[LARGE] = large[run];
        struct optimizer_memory memory = {m[0], m[1], m[2], m[3], m[4], &norm};
        struct optimizer_step step = cases[5].step;
        step.ema_decay = 0.99;
        assert_int_equal(backend->device_new(&device, &(struct device_options){.threads = run ? 3 : 1}, NULL),
                         STATUS_OK);
        for (int s = 1; s <= 3; s++) {
            for (int i = 0; i < LARGE; i++)
                m[1][i] = sinf((float)(i + s));
            step.step = (uint64_t)s;
            assert_int_equal(backend->optimize(device, &step, &memory, LARGE, NULL), STATUS_OK);
        }
        backend->device_free(device);
    }
    assert_memory_equal(large[0], large[1], sizeof large[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_equal_pytorchs),
        cmocka_unit_test(average_is_optional),
        cmocka_unit_test(threads_change_nothing),
    };
    return cmocka_run_group_tests_name("optimizer", tests, NULL, NULL);
}
