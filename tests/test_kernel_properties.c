/* What the training kernels must do besides computing the right values (test_kernels.c), on every backend: gradients of
 * retained nodes, digits under large means, dropout. Also checks the reference itself by finite differences. */
#include "tests/helper_device.h"
#include "tests/helper_kernels.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* A network and the device that was opened for it. */
static void open_network(struct network *network, struct test_device *t, const char *backend, const struct graph *graph,
                         const struct plan_options *options, int students)
{
    struct error err = {0};
    *t = test_device_open(backend, 2);
    test_must(network_init(network, t->backend->training, t->device, graph, options, students, &err), &err);
}

static void close_network(struct network *network, struct test_device *t)
{
    network_release(network);
    test_device_close(t);
}

static void forward(struct network *network, const struct pass *pass)
{
    struct error err = {0};
    test_must(network_forward(network, pass, &err), &err);
}

static void backward(struct network *network, const struct pass *pass)
{
    struct error err = {0};
    test_must(network_backward(network, pass, &err), &err);
}

static void *gradient_of(const struct network *network, int tensor)
{
    const size_t offset = network->plan.tensors[tensor].gradient;
    return (char *)network->memory.gradients + offset * dtype_size(network->plan.dtype);
}

/* Losses on features: their gradient is in the retained tensors before backward begins. */
static void check_retained_gradients(const char *backend, enum dtype dtype)
{
    enum { COUNT = 3, C = 12, PIXELS = 25, FLOATS = COUNT * C * PIXELS };
    struct graph graph;
    struct reference r;
    struct network network;
    struct test_device t;
    struct kernel_outcome outcome;
    const struct pass pass = {.count = COUNT, .training = true};
    float input[COUNT * 3 * PIXELS], extra[FLOATS], gradient[COUNT * 5];
    graph_init(&graph);
    const int at = net_conv_norm_relu(&graph, net_input(&graph, 3, 5, 5), (struct net_window){.out = C});
    const int raw = net_conv(&graph, at, (struct net_window){.kernel = 3, .pad = 1});
    net_linear(&graph, net_relu(&graph, net_batch_norm(&graph, raw)), 5, true);
    net_weights(&graph, 42);
    net_fill(input, sizeof input / sizeof *input, 1);
    for (size_t i = 0; i < sizeof input / sizeof *input; i++)
        input[i] = test_device_round(input[i], dtype);
    const int retained[] = {at, raw};
    const struct plan_options options = {.batch = COUNT, .dtype = dtype, .retained = retained, .retained_count = 2};
    open_network(&network, &t, backend, &graph, &options, 1);
    test_device_write(&t, network_input(&network), dtype, input, sizeof input / sizeof *input);
    forward(&network, &pass);
    reference_init(&r, &graph, COUNT);
    if (dtype != DTYPE_FP32)
        kernel_store_values(&r, &t, &network, 0);
    reference_forward(&r, input, true);
    test_device_poison(&t, network.memory.gradients, network.plan.gradient_count * dtype_size(dtype));
    for (int k = 0; k < 2; k++) {
        net_fill(extra, FLOATS, (uint64_t)k);
        test_device_write(&t, gradient_of(&network, network.plan.node_tensor[retained[k]]), dtype, extra, FLOATS);
        for (int i = 0; i < FLOATS; i++) /* [n, h, w, c] to [n, c, h, w] */
            r.gradients[retained[k]][(i / (PIXELS * C) * C + i % C) * PIXELS + i / C % PIXELS] =
                (double)test_device_round(extra[i], dtype);
    }
    for (int i = 0; i < COUNT * 5; i++)
        gradient[i] = (float)(r.gradients[graph.output][i] = i % 3 - 1);
    test_device_upload(&t, network_logits_gradient(&network), gradient, sizeof gradient);
    backward(&network, &pass);
    reference_backward(&r, true);
    kernel_outcome_download(&outcome, &t, &network, 0, COUNT);
    kernel_outcome_check(&outcome, &network, &r, "kept nodes");
    kernel_outcome_release(&outcome);
    reference_release(&r);
    close_network(&network, &t);
    graph_release(&graph);
}

static void retained_gradients(void **state)
{
    check_retained_gradients(*state, DTYPE_FP32);
    if (strcmp(*state, "cpu") != 0)
        check_retained_gradients(*state, DTYPE_BF16);
}

/* A mean that is far larger than the deviation must not spoil the variance. */
static void large_means(void **state)
{
    enum { COUNT = 40, PIXELS = 49, C = 20, FLOATS = COUNT * PIXELS * C };
    static float x[FLOATS];
    struct graph graph;
    struct network network;
    struct test_device t;
    float inverse[C];
    const struct pass pass = {.count = COUNT, .training = true};
    graph_init(&graph);
    int at = net_batch_norm(&graph, net_input(&graph, C, 7, 7));
    const struct node pool = node_default(OP_GLOBAL_AVERAGE_POOL);
    net_node(&graph, &pool, &at, 1);
    net_weights(&graph, 1);
    open_network(&network, &t, *state, &graph, &(struct plan_options){.batch = COUNT}, 1);
    net_fill(x, FLOATS, 3);
    for (size_t i = 0; i < FLOATS; i++)
        x[i] = 1000 + 0.25f * (float)(int)(40 * x[i]); /* exact in single precision */
    test_device_upload(&t, network_input(&network), x, sizeof x);
    forward(&network, &pass);
    test_device_download(&t, inverse,
                         network.memory.statistics + network.plan.batch_norms[0].statistics + PLAN_INVERSE_STD * C,
                         sizeof inverse);
    for (int c = 0; c < C; c++) {
        double sum = 0, squares = 0;
        for (int i = 0; i < COUNT * PIXELS; i++)
            sum += (double)x[i * C + c] / (COUNT * PIXELS);
        for (int i = 0; i < COUNT * PIXELS; i++)
            squares += ((double)x[i * C + c] - sum) * ((double)x[i * C + c] - sum) / (COUNT * PIXELS);
        const double expected = 1 / sqrt(squares + 1e-5);
        assert_float_equal(inverse[c], expected, 1e-6 * expected);
    }
    close_network(&network, &t);
    graph_release(&graph);
}

/* ---- a network that only evaluates: its values share memory over time ---- */
enum { EVAL_COUNT = 5, EVAL_C = 12, EVAL_CLASSES = 7, EVAL_FLOATS = EVAL_COUNT * 3 * 11 * 9 };

/* The logits of two students, whose weights differ; returns the elements of all values. */
static size_t evaluate(const char *backend, struct graph *graph, enum dtype dtype, bool forward_only, int retained,
                       float logits[2][EVAL_COUNT * EVAL_CLASSES])
{
    const struct pass pass = {.count = EVAL_COUNT};
    const struct plan_options options = {
        .batch = EVAL_COUNT, .dtype = dtype, .retained = &retained, .retained_count = 1, .forward_only = forward_only};
    struct network network;
    struct test_device t;
    struct error err = {0};
    float input[EVAL_FLOATS];
    net_fill(input, EVAL_FLOATS, 3);
    net_weights(graph, 5);
    open_network(&network, &t, backend, graph, &options, 2);
    net_weights(graph, 6);
    test_must(network_upload(&network, 1, graph, &err), &err);
    test_device_poison(&t, network.memory.values, 2 * network.plan.value_count * dtype_size(dtype));
    test_device_write(&t, network_input(&network), dtype, input, EVAL_FLOATS);
    forward(&network, &pass);
    for (int k = 0; k < 2; k++)
        test_device_download(&t, logits[k], network_logits(&network) + (size_t)k * network_logit_stride(&network),
                             sizeof logits[k]);
    const size_t count = network.plan.value_count;
    assert_true(!forward_only || network.plan.gradient_count == 0);
    close_network(&network, &t);
    return count;
}

static void forward_only(void **state)
{
    struct graph graph;
    float expected[2][EVAL_COUNT * EVAL_CLASSES], logits[2][EVAL_COUNT * EVAL_CLASSES];
    graph_init(&graph);
    const int first = net_conv_norm_relu(&graph, net_input(&graph, 3, 11, 9), (struct net_window){.out = EVAL_C});
    int at = first;
    for (int i = 0; i < 3; i++) { /* `first` is alive until the sum behind several others that come and go */
        at = net_conv_norm_relu(&graph, at, (struct net_window){.kernel = 3, .pad = 1, .groups = EVAL_C});
        at = net_conv_norm_relu(&graph, at, (struct net_window){.out = EVAL_C});
    }
    const int sum = net_add(&graph, at, first);
    at = net_concat(&graph, net_conv(&graph, sum, (struct net_window){.out = 8, .kernel = 3, .pad = 1}), sum);
    const struct node pool = node_default(OP_GLOBAL_AVERAGE_POOL);
    net_linear(&graph, net_node(&graph, &pool, &at, 1), EVAL_CLASSES, true);
    for (int k = 0; k < 2; k++) {
        const enum dtype dtype = k ? DTYPE_BF16 : DTYPE_FP32;
        const size_t all = evaluate(*state, &graph, dtype, false, sum, expected);
        assert_true(evaluate(*state, &graph, dtype, true, sum, logits) < all * 3 / 4);
        assert_memory_equal(logits, expected, sizeof logits);
        assert_memory_not_equal(logits[0], logits[1], sizeof logits[0]);
    }
    graph_release(&graph);
}

/* ---- dropout: two students with seeds of their own ---- */
enum { DROP_COUNT = 50, DROP_C = 37, DROP_FLOATS = DROP_COUNT * DROP_C };
struct dropping {
    struct graph graph;
    struct network network;
    struct test_device t;
    struct test_inputs f;
    struct pass pass;
};

static void dropping_init(struct dropping *d, const char *backend)
{
    struct node drop = node_default(OP_DROPOUT);
    float input[DROP_COUNT * 4];
    graph_init(&d->graph);
    const int at = net_linear(&d->graph, net_input(&d->graph, 4, 1, 1), DROP_C, true);
    drop.dropout = 0.25f;
    net_node(&d->graph, &drop, &at, 1);
    net_weights(&d->graph, 9);
    open_network(&d->network, &d->t, backend, &d->graph, &(struct plan_options){.batch = DROP_COUNT}, 2);
    net_fill(input, DROP_COUNT * 4, 4);
    test_device_upload(&d->t, network_input(&d->network), input, sizeof input);
    const struct epoch_content sizes = {.batch = DROP_COUNT, .capacity = 2 * DROP_COUNT, .students = 2, .classes = 1};
    test_inputs_init(&d->f, &d->t, &sizes, 0);
    for (int s = 0; s < 2; s++)
        for (int k = 0; k < 2; k++)
            d->f.content.scalars[2 * s + k] = (struct step_scalars){.seed = 1 + (uint64_t)k, .step = (uint64_t)s};
    d->pass = (struct pass){.count = DROP_COUNT, .training = true, .inputs = &d->f.inputs};
}

static void dropping_release(struct dropping *d)
{
    test_inputs_release(&d->f, &d->t);
    close_network(&d->network, &d->t);
    graph_release(&d->graph);
}

/* The outputs of a step; before: what dropout read, the same for both students. */
static void dropping_run(struct dropping *d, uint32_t step, float before[DROP_FLOATS], float after[2][DROP_FLOATS])
{
    test_inputs_upload(&d->f, &d->t, step);
    forward(&d->network, &d->pass);
    test_device_download(&d->t, before, (float *)d->network.memory.values + d->network.plan.tensors[1].value,
                         DROP_FLOATS * sizeof(float));
    for (size_t k = 0; k < 2; k++)
        test_device_download(&d->t, after[k], network_logits(&d->network) + k * network_logit_stride(&d->network),
                             DROP_FLOATS * sizeof(float));
}

/* Elements that one of two outputs drops and the other does not. */
static int differences(const float *a, const float *b)
{
    int count = 0;
    for (int i = 0; i < DROP_FLOATS; i++)
        count += (a[i] == 0) != (b[i] == 0);
    return count;
}

/* The same mask backward. */
static void check_mask_backward(struct dropping *d, const float after[2][DROP_FLOATS])
{
    static float gradient[DROP_FLOATS];
    for (int i = 0; i < DROP_FLOATS; i++)
        gradient[i] = 1;
    for (size_t k = 0; k < 2; k++)
        test_device_upload(&d->t, network_logits_gradient(&d->network) + k * network_gradient_stride(&d->network),
                           gradient, sizeof gradient);
    backward(&d->network, &d->pass);
    for (size_t k = 0; k < 2; k++) {
        const float *from = (float *)gradient_of(&d->network, 1) + k * d->network.plan.gradient_count;
        test_device_download(&d->t, gradient, from, sizeof gradient);
        for (int i = 0; i < DROP_FLOATS; i++)
            assert_true(gradient[i] == (after[k][i] == 0 ? 0 : 1 / 0.75f));
    }
}

/* The share of dropped elements and the scale; the same mask backward and on every backend, another one for the next
 * student and in the next step, none in evaluation. */
static void dropout(void **state)
{
    struct dropping d, cpu;
    static float before[DROP_FLOATS], first[2][DROP_FLOATS], after[2][DROP_FLOATS];
    dropping_init(&d, *state);
    dropping_run(&d, 0, before, first);
    for (int k = 0; k < 2; k++) {
        int dropped = 0;
        for (int i = 0; i < DROP_FLOATS; i++) {
            assert_true(first[k][i] == 0 || fabsf(first[k][i] - before[i] / 0.75f) < 1e-6f);
            dropped += first[k][i] == 0;
        }
        assert_true(abs(dropped - DROP_FLOATS / 4) < 60);
    }
    check_mask_backward(&d, first);
    dropping_init(&cpu, "cpu");
    dropping_run(&cpu, 0, before, after);
    dropping_release(&cpu);
    for (int k = 0; k < 2; k++)
        assert_int_equal(differences(first[k], after[k]), 0);
    assert_true(differences(first[0], first[1]) > DROP_FLOATS / 8);
    dropping_run(&d, 1, before, after);
    for (int k = 0; k < 2; k++)
        assert_true(differences(first[k], after[k]) > DROP_FLOATS / 8);
    d.pass.training = false;
    dropping_run(&d, 1, before, after);
    for (int k = 0; k < 2; k++)
        assert_memory_equal(before, after[k], sizeof before);
    dropping_release(&d);
}

/* The reference itself, by finite differences of a loss sum(logits * direction). */
static double loss(struct reference *r, const float *input, const double *direction, size_t count)
{
    double sum = 0;
    reference_forward(r, input, true);
    for (size_t i = 0; i < count; i++)
        sum += r->values[r->graph->output][i] * direction[i];
    return sum;
}

static void reference_by_finite_differences(void **state)
{
    enum { COUNT = 3 };
    struct graph graph;
    struct reference r;
    float input[COUNT * 2 * 49];
    double direction[COUNT * 4];
    (void)state;
    graph_init(&graph);
    int at = net_conv_norm_relu(&graph, net_input(&graph, 2, 7, 7), (struct net_window){.out = 4, .bias = true});
    int a = net_conv(&graph, at, (struct net_window){.out = 4, .kernel = 3, .stride = 2, .pad = 1, .groups = 2});
    a = net_activation(&graph, net_batch_norm(&graph, a), ACTIVATION_HARD_SWISH, 0, 0);
    int b = net_pool(&graph, at, OP_MAX_POOL, 3, 2, 1), c = net_pool(&graph, at, OP_AVERAGE_POOL, 3, 2, 1);
    at = net_concat(&graph, net_add(&graph, a, b), c);
    at = net_activation(&graph, net_linear(&graph, at, 6, true), ACTIVATION_SIGMOID, 0, 0);
    net_linear(&graph, at, 4, true);
    net_weights(&graph, 8);
    net_fill(input, sizeof input / sizeof *input, 5);
    reference_init(&r, &graph, COUNT);
    for (int i = 0; i < COUNT * 4; i++)
        direction[i] = sin(i);
    loss(&r, input, direction, COUNT * 4);
    memcpy(r.gradients[graph.output], direction, sizeof direction);
    reference_backward(&r, true);
    for (int i = 0; i < graph.weight_count; i++)
        for (size_t k = 0; graph.weights[i].trained && k < graph.weights[i].count; k += 3) {
            const double old = r.weights[i][k], step = 1e-6;
            r.weights[i][k] = old + step;
            double derivative = loss(&r, input, direction, COUNT * 4);
            r.weights[i][k] = old - step;
            derivative = (derivative - loss(&r, input, direction, COUNT * 4)) / (2 * step);
            r.weights[i][k] = old;
            assert_true(fabs(derivative - r.weight_gradients[i][k]) < 1e-5 * (1 + fabs(derivative)));
        }
    reference_release(&r);
    graph_release(&graph);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reference_by_finite_differences),
        ON_EVERY_BACKEND(retained_gradients),
        ON_EVERY_BACKEND(large_means),
        ON_EVERY_BACKEND(forward_only),
        ON_EVERY_BACKEND(dropout),
    };
    return cmocka_run_group_tests_name("kernel properties", tests, NULL, NULL);
}
