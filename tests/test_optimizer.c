/* Optimisers, clipping and the moving average on every backend against torch.optim (golden/make_optimizer.py). The bits
 * are the same for any number of threads, in any order, alone and side by side with other students. */
#include "tests/golden/optimizer.h"
#include "tests/helper_device.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

enum { COUNT = 37, STEPS = 12, STUDENTS = 3, LARGE = 30011 };
static const float TOLERANCE = 2e-6f; /* float rounding of 12 steps on weights of size 1 */
static const double DECAY = 0.9;      /* of the moving average */

struct optimizer_case {
    const char *name;
    struct optimizer optimizer;
    double learning_rate;
    const float *expected, *average;
    double norm;
};
static const struct optimizer_case cases[] = {
#define CASE(name, rate, ...)                                                                     \
    {                                                                                             \
#name, {__VA_ARGS__ }, rate, golden_##name, golden_##name##_average, golden_##name##_norm \
    }
#define ADAM .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8
    CASE(sgd, 0.05, .kind = OPTIMIZER_SGD),
    CASE(sgd_decay, 0.05, .kind = OPTIMIZER_SGD, .weight_decay = 0.01),
    CASE(sgd_momentum, 0.05, .kind = OPTIMIZER_SGD, .momentum = 0.9, .weight_decay = 5e-4),
    CASE(sgd_nesterov, 0.05, .kind = OPTIMIZER_SGD, .momentum = 0.9, .nesterov = true),
    CASE(adam, 0.01, .kind = OPTIMIZER_ADAM, ADAM),
    CASE(adam_decay_clip, 0.01, .kind = OPTIMIZER_ADAM, ADAM, .weight_decay = 0.1, .clip = 10),
    CASE(adam_clip_never, 0.01, .kind = OPTIMIZER_ADAM, ADAM, .clip = 1e6),
    CASE(adamw, 0.01, .kind = OPTIMIZER_ADAMW, .beta1 = 0.8, .beta2 = 0.95, .epsilon = 1e-6, .weight_decay = 0.1,
         .clip = 1),
};
enum { CASES = sizeof cases / sizeof *cases };

/* The vectors of some students on a device, and the epoch inputs of the steps. */
struct vectors {
    struct test_device t;
    struct test_inputs f;
    struct optimizer_memory memory; /* device memory [students, count] */
    float *average;                 /* device memory [students, count] */
    struct mailbox *mailbox;
    double *metrics; /* device memory [students, METRIC_COUNT], for the mailbox */
    size_t count, bytes;
};

/* parameters [students, count]; rates [students] are factors of the case's learning rate. */
static void vectors_init(struct vectors *v, const char *backend, int threads, const struct optimizer_case *c, int steps,
                         int students, size_t count, const float *parameters, const double *rates)
{
    struct error err = {0};
    const struct epoch_content sizes = {.batch = 1, .capacity = (size_t)steps, .students = students, .classes = 1};
    const size_t bytes = (size_t)students * count * sizeof(float), metric_bytes = METRIC_COUNT * sizeof(double);
    *v = (struct vectors){.t = test_device_open(backend, threads), .count = count, .bytes = bytes};
    test_inputs_init(&v->f, &v->t, &sizes, 0);
    for (int s = 0; s < steps; s++)
        for (int k = 0; k < students; k++)
            v->f.content.scalars[s * students + k] = (struct step_scalars){
                .step = (uint64_t)s,
                .learning_rate = c->learning_rate * rates[k],
                .correction1 = 1 - pow(c->optimizer.beta1, s + 1),
                .root_correction2 = sqrt(1 - pow(c->optimizer.beta2, s + 1)),
            };
    test_inputs_upload(&v->f, &v->t, 0);
    v->memory.parameters = test_device_buffer(&v->t, parameters, bytes);
    v->memory.gradients = test_device_buffer(&v->t, NULL, bytes);
    v->memory.first = test_device_buffer(&v->t, NULL, bytes);
    v->memory.second = test_device_buffer(&v->t, NULL, bytes);
    v->memory.norm = test_device_buffer(&v->t, NULL, (size_t)students * sizeof(double));
    v->average = test_device_buffer(&v->t, NULL, bytes);
    v->metrics = test_device_buffer(&v->t, NULL, (size_t)students * metric_bytes);
    test_must(v->t.backend->device->zero(v->t.device, v->memory.first, bytes, &err), &err);
    test_must(v->t.backend->device->zero(v->t.device, v->memory.second, bytes, &err), &err);
    test_must(v->t.backend->training->optimizer->ema_update(v->t.device, v->average, v->memory.parameters,
                                                            (size_t)students * count, 0, NULL, &err),
              &err);
    test_must(v->t.backend->device->mailbox_new(v->t.device, sizeof *v->mailbox, (void **)&v->mailbox, &err), &err);
}

static void vectors_release(struct vectors *v)
{
    void *const buffers[] = {v->memory.parameters, v->memory.gradients, v->memory.first, v->memory.second,
                             v->memory.norm,       v->average,          v->metrics};
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++)
        test_device_free(&v->t, buffers[i]);
    v->t.backend->device->mailbox_free(v->t.device, v->mailbox);
    test_inputs_release(&v->f, &v->t);
    test_device_close(&v->t);
}

/* Makes one step of all students with these gradients [students, count]. */
static void step(struct vectors *v, const struct optimizer *optimizer, const float *gradients)
{
    struct error err = {0};
    const struct backend *backend = v->t.backend;
    test_device_upload(&v->t, v->memory.gradients, gradients, v->bytes);
    test_must(backend->training->optimizer->step(v->t.device, optimizer, &v->memory, v->count, &v->f.inputs, &err),
              &err);
    test_must(backend->training->optimizer->ema_update(v->t.device, v->average, v->memory.parameters,
                                                       v->bytes / sizeof(float), DECAY, NULL, &err),
              &err);
    test_must(backend->training->advance(v->t.device, &v->f.inputs, v->metrics, v->mailbox, &err), &err);
}

static void gradient(int number, const float *parameters, float *g)
{
    for (int i = 0; i < COUNT; i++)
        g[i] = (0.25f * parameters[i] + (float)cos(1.3 * i + 0.5 * number)) * (float)(i % 5);
}

struct outcome {
    float parameters[STUDENTS][COUNT], average[STUDENTS][COUNT];
    double norm[STUDENTS];
};

/* Makes all steps of a case. rates: see vectors_init. */
static void train(const char *backend, const struct optimizer_case *c, int students, const double *rates,
                  struct outcome *out)
{
    struct vectors v;
    float gradients[STUDENTS][COUNT];
    for (int k = 0; k < students; k++)
        for (int i = 0; i < COUNT; i++)
            out->parameters[k][i] = (float)sin(0.7 * i + 0.2);
    vectors_init(&v, backend, 2, c, STEPS, students, COUNT, *out->parameters, rates);
    for (int s = 1; s <= STEPS; s++) {
        for (int k = 0; k < students; k++)
            gradient(s, out->parameters[k], gradients[k]);
        step(&v, &c->optimizer, *gradients);
        test_device_download(&v.t, out->parameters, v.memory.parameters, v.bytes);
        assert_int_equal(v.mailbox->steps, s);
    }
    test_device_download(&v.t, out->average, v.average, v.bytes);
    test_device_download(&v.t, out->norm, v.memory.norm, (size_t)students * sizeof(double));
    vectors_release(&v);
}

static void steps_equal_pytorchs(void **state)
{
    static const double rate = 1;
    for (size_t c = 0; c < CASES; c++) {
        struct outcome out;
        train(*state, &cases[c], 1, &rate, &out);
        for (int i = 0; i < COUNT; i++) {
            const float parameter = out.parameters[0][i], average = out.average[0][i];
            if (!(fabsf(parameter - cases[c].expected[i]) <= TOLERANCE))
                fail_msg("%s: weight %d is %.9g, PyTorch has %.9g", cases[c].name, i, (double)parameter,
                         (double)cases[c].expected[i]);
            if (!(fabsf(average - cases[c].average[i]) <= TOLERANCE))
                fail_msg("%s: average %d is %.9g, PyTorch has %.9g", cases[c].name, i, (double)average,
                         (double)cases[c].average[i]);
        }
        assert_float_equal(out.norm[0], cases[c].norm, 1e-5 * cases[c].norm);
    }
}

/* Students with different learning rates, side by side and alone. */
static void students_do_not_mix(void **state)
{
    static const double rates[STUDENTS] = {1, 0.5, 3};
    for (size_t c = 0; c < CASES; c++) {
        struct outcome together, alone;
        train(*state, &cases[c], STUDENTS, rates, &together);
        test_device_order("reverse");
        for (int k = 0; k < STUDENTS; k++) {
            train(*state, &cases[c], 1, &rates[k], &alone);
            assert_memory_equal(together.parameters[k], alone.parameters[0], sizeof alone.parameters[0]);
            assert_memory_equal(together.average[k], alone.average[0], sizeof alone.average[0]);
            assert_true(together.norm[k] == alone.norm[0]);
        }
        test_device_order("forward");
    }
}

static float large[3][5][LARGE]; /* [run][parameters, first, second, average, gradients] */

/* A vector of many slices: one thread and three give the same bits, those of the CPU. */
static void large_vectors(void **state)
{
    static const double rate = 1;
    const char *const backends[] = {*state, *state, "cpu"};
    const int threads[] = {1, 3, 1};
    for (int run = 0; run < 3; run++) {
        struct vectors v;
        float(*m)[LARGE] = large[run];
        memset(m, 0, sizeof large[run]);
        test_device_order(run == 1 ? "reverse" : "forward");
        vectors_init(&v, backends[run], threads[run], &cases[5], STEPS, 1, LARGE, m[0], &rate);
        for (int s = 1; s <= 3; s++) {
            for (int i = 0; i < LARGE; i++)
                m[4][i] = sinf((float)(i + s));
            step(&v, &cases[5].optimizer, m[4]);
        }
        const float *const from[] = {v.memory.parameters, v.memory.first, v.memory.second, v.average};
        for (int i = 0; i < 4; i++)
            test_device_download(&v.t, m[i], from[i], v.bytes);
        vectors_release(&v);
        test_device_order("forward");
        assert_memory_equal(large[0], m, sizeof large[0]);
    }
}

/* The cursor moves on, and the mailbox gets the first student's loss and samples. */
static void advance_tells_the_host(void **state)
{
    static const double rates[2] = {1, 1};
    static const float zeros[2 * COUNT];
    struct error err = {0};
    struct vectors v;
    uint32_t cursor;
    double metrics[2][METRIC_COUNT] = {{[METRIC_LOSS] = 2.5, [METRIC_SAMPLES] = 128}, {[METRIC_LOSS] = 7}};
    vectors_init(&v, *state, 1, &cases[0], STEPS, 2, COUNT, zeros, rates);
    test_device_upload(&v.t, v.metrics, metrics, sizeof metrics);
    for (int steps = 0; steps < 2; steps++)
        test_must(v.t.backend->training->advance(v.t.device, &v.f.inputs, v.metrics, v.mailbox, &err), &err);
    test_device_download(&v.t, &cursor, v.f.inputs.cursor, sizeof cursor);
    assert_int_equal(cursor, 2);
    assert_int_equal(v.mailbox->steps, 2);
    assert_true(v.mailbox->loss == 2.5 && v.mailbox->samples == 128);
    vectors_release(&v);
}

/* Parameters without decay move as if there were none, the others as before; with torch's parameter groups. */
static void decay_spares_some(void **state)
{
    static const double one[STUDENTS] = {1, 1, 1};
    for (int c = 0; c < CASES; c++) {
        struct optimizer none = cases[c].optimizer;
        float parameters[STUDENTS * COUNT], gradients[STUDENTS * COUNT], results[3][STUDENTS * COUNT];
        unsigned char marks[COUNT];
        for (int i = 0; i < STUDENTS * COUNT; i++) {
            parameters[i] = (float)sin(0.7 * i + 1);
            gradients[i] = (float)cos(1.1 * i);
        }
        for (int i = 0; i < COUNT; i++)
            marks[i] = i % 3 != 0;
        none.weight_decay = 0;
        for (int way = 0; way < 3; way++) { /* decay on all, on none, on the marked ones */
            struct vectors v;
            vectors_init(&v, *state, 2, &cases[c], 3, STUDENTS, COUNT, parameters, one);
            void *decays = way == 2 ? test_device_buffer(&v.t, marks, sizeof marks) : NULL;
            v.memory.decays = decays;
            for (int s = 0; s < 3; s++)
                step(&v, way == 1 ? &none : &cases[c].optimizer, gradients);
            test_device_download(&v.t, results[way], v.memory.parameters, sizeof results[way]);
            test_device_free(&v.t, decays);
            vectors_release(&v);
        }
        for (int i = 0; i < STUDENTS * COUNT; i++)
            assert_float_equal(results[2][i], results[marks[i % COUNT] ? 0 : 1][i], 0);
        if (cases[c].optimizer.weight_decay > 0)
            assert_true(memcmp(results[0], results[1], sizeof results[0]) != 0);
    }
}

/* At step n an average of the epoch's weights has a decay of at most (1 + n) / (10 + n). */
static void averages_forget_their_beginning(void **state)
{
    static const uint64_t numbers[] = {0, 1, 79, 80, 81, 1000000, (uint64_t)1 << 40}; /* 81 / 90 = DECAY */
    static const double rates[] = {1, 1};
    enum { TIMES = sizeof numbers / sizeof *numbers };
    float values[2 * COUNT], averages[2 * COUNT];
    double expected[2 * COUNT];
    struct error err = {0};
    struct vectors v;
    for (int i = 0; i < 2 * COUNT; i++)
        expected[i] = (double)(values[i] = (float)cos(1.7 * i));
    vectors_init(&v, *state, 2, &cases[4], TIMES, 2, COUNT, values, rates); /* the averages begin as these values */
    const struct training_ops *training = v.t.backend->training;
    for (int s = 0; s < TIMES; s++)
        for (int k = 0; k < 2; k++)
            v.f.content.scalars[s * 2 + k].step = numbers[s];
    test_inputs_upload(&v.f, &v.t, 0);
    for (int s = 0; s < TIMES; s++) {
        const double n = (double)numbers[s], decay = fmin(DECAY, (1 + n) / (10 + n));
        for (int i = 0; i < 2 * COUNT; i++) {
            values[i] = (float)sin(0.3 * i + s);
            expected[i] = decay * expected[i] + (1 - decay) * (double)values[i];
        }
        test_device_upload(&v.t, v.memory.parameters, values, v.bytes);
        test_must(training->optimizer->ema_update(v.t.device, v.average, v.memory.parameters, 2 * COUNT, DECAY,
                                                  &v.f.inputs, &err),
                  &err);
        test_device_download(&v.t, averages, v.average, v.bytes);
        for (int i = 0; i < 2 * COUNT; i++)
            assert_float_equal(averages[i], expected[i], TOLERANCE);
        test_must(training->advance(v.t.device, &v.f.inputs, v.metrics, v.mailbox, &err), &err);
    }
    vectors_release(&v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_EVERY_BACKEND(averages_forget_their_beginning),
        ON_EVERY_BACKEND(decay_spares_some),
        ON_EVERY_BACKEND(steps_equal_pytorchs),
        ON_EVERY_BACKEND(students_do_not_mix),
        ON_EVERY_BACKEND(large_vectors),
        ON_EVERY_BACKEND(advance_tells_the_host),
    };
    return cmocka_run_group_tests_name("optimizer", tests, NULL, NULL);
}
