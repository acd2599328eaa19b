/* The CPU's training kernels against the double-precision reference: every step kind, odd shapes, partial batches, all
 * instruction sets that this processor has, one thread and three. */
#include "shared/backend/cpu/cpu_backend.h"
#include "shared/backend/cpu/cpu_kernels.h"
#include "shared/backend/network.h"
#include "tests/helper_feed.h"
#include "tests/helper_nets.h"
#include "tests/helper_reference_train.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* Single precision against double: sums of up to some thousand terms, relative to the largest value of a tensor. */
static const double TOLERANCE = 3e-5;

static const char *const instruction_sets[] = {"AVX-512", "AVX2", "generic"};

static struct device *open_device(int threads, const char *instruction_set)
{
    struct device *device;
    struct device_options options = {.threads = threads};
    assert_int_equal(backend_cpu.device_new(&device, &options, NULL), STATUS_OK);
    device->kernels = cpu_kernels_choose(instruction_set);
    return device;
}

static void poison(float *values, size_t count)
{
    memset(values, 0xff, count * sizeof *values); /* not a number */
}

static bool poisoned(const float *values, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, &values[i], sizeof bits);
        if (bits != UINT32_MAX)
            return false;
    }
    return true;
}

static size_t sample_floats(const struct plan_tensor *tensor)
{
    return (size_t)tensor->shape.c * (size_t)tensor->shape.h * (size_t)tensor->shape.w;
}

/* One forward and backward pass over `count` random samples, everything else poisoned before. */
static void run_network(struct network *network, int count, bool training, const float *input, const float *gradient)
{
    const struct plan *plan = &network->plan;
    const struct plan_tensor *in = &plan->tensors[plan->input], *out = &plan->tensors[plan->output];
    const struct pass pass = {.count = count, .training = training};
    struct error err = {0};
    poison(network->memory.values, plan->value_count);
    poison(network->memory.gradients, plan->gradient_count);
    poison(network->memory.statistics, plan->statistics_count);
    memcpy(network_input(network), input, (size_t)count * sample_floats(in) * sizeof *input);
    assert_int_equal(network_forward(network, &pass, &err), STATUS_OK);
    for (int i = 0; i < plan->tensor_count; i++) {
        const struct plan_tensor *t = &plan->tensors[i];
        const size_t used = (size_t)count * sample_floats(t);
        const size_t end = i + 1 < plan->tensor_count ? plan->tensors[i + 1].value : plan->value_count;
        assert_true(poisoned((float *)network->memory.values + t->value + used, end - t->value - used));
    }
    memcpy(network_logits_gradient(network), gradient, (size_t)count * sample_floats(out) * sizeof *gradient);
    assert_int_equal(network_backward(network, &pass, &err), STATUS_OK);
}

static double largest(const double *values, size_t count)
{
    double top = 0;
    for (size_t i = 0; i < count; i++)
        top = fmax(top, fabs(values[i]));
    return top;
}

static void check_close(const char *what, const char *name, const char *set, const float *values,
                        const double *expected, size_t count, double floor)
{
    const double scale = fmax(largest(expected, count), floor);
    for (size_t i = 0; i < count; i++)
        if (!(fabs((double)values[i] - expected[i]) <= TOLERANCE * scale))
            fail_msg("%s of %s (%s): element %zu is %.9g instead of %.9g, the largest is %.3g", what, name, set, i,
                     (double)values[i], expected[i], scale);
}

static void check_network(const struct network *network, const struct reference *r, const char *set)
{
    const struct graph *graph = r->graph;
    const struct plan *plan = &network->plan;
    double floor = 0;
    check_close("values", "logits", set, network_logits(network), r->values[graph->output],
                (size_t)r->count * sample_floats(&plan->tensors[plan->output]), 0);
    for (int i = 0; i < graph->weight_count; i++)
        floor = fmax(floor, 0.1 * largest(r->weight_gradients[i], graph->weights[i].count));
    for (int i = 0; i < graph->weight_count; i++) {
        const struct weight *w = &graph->weights[i];
        if (w->trained)
            check_close("gradient", w->name, set, network->memory.parameter_gradients + plan->weight_offset[i],
                        r->weight_gradients[i], w->count, floor);
        else
            check_close("values", w->name, set, network->memory.state + plan->weight_offset[i], r->weights[i], w->count,
                        0);
    }
}

/* Runs the graph everywhere and compares. */
static void check_input(const struct graph *graph, int batch, int count, bool training, const float *input)
{
    struct error err = {0};
    struct reference r;
    const size_t out_floats = (size_t)count * (size_t)graph->nodes[graph->output].shape.c;
    float *gradient = malloc(out_floats * sizeof *gradient);
    net_fill(gradient, out_floats, 2);
    reference_init(&r, graph, count);
    reference_forward(&r, input, training);
    for (size_t i = 0; i < out_floats; i++)
        r.gradients[graph->output][i] = (double)gradient[i];
    reference_backward(&r, training);
    for (size_t set = 0; set < 3; set++) {
        struct network networks[2];
        struct device *devices[2];
        for (int i = 0; i < 2; i++) {
            devices[i] = open_device(1 + 2 * i, instruction_sets[set]);
            assert_int_equal(network_init(&networks[i], &backend_cpu, devices[i], graph,
                                          &(struct plan_options){.batch = batch}, 1, &err),
                             STATUS_OK);
            run_network(&networks[i], count, training, input, gradient);
        }
        check_network(&networks[0], &r, devices[0]->kernels->name);
        const struct network_memory *a = &networks[0].memory, *b = &networks[1].memory;
        const struct plan *plan = &networks[0].plan;
        assert_memory_equal(a->values, b->values, plan->value_count * sizeof(float));
        assert_memory_equal(a->parameter_gradients, b->parameter_gradients, plan->parameter_count * sizeof(float));
        assert_memory_equal(a->state, b->state, plan->state_count * sizeof(float));
        for (int i = 0; i < 2; i++) {
            network_release(&networks[i]);
            backend_cpu.device_free(devices[i]);
        }
    }
    reference_release(&r);
    free(gradient);
}

static void check_graph(struct graph *graph, int batch, int count, bool training)
{
    const struct shape in = graph->nodes[graph->input].shape;
    const size_t floats = (size_t)count * (size_t)in.c * (size_t)in.h * (size_t)in.w;
    float *input = malloc(floats * sizeof *input);
    net_weights(graph, 42);
    net_fill(input, floats, 1);
    check_input(graph, batch, count, training, input);
    free(input);
}

/* A layer before, so that the gradient of what is tested is seen; a linear head after, so that gradients vary. */
static int begin(struct graph *graph, int c, int h, int w)
{
    graph_init(graph);
    return net_conv_norm_relu(graph, net_input(graph, 3, h, w), (struct net_window){.out = c});
}

static void finish(struct graph *graph, int from, int batch, int count)
{
    net_linear(graph, from, 5, true);
    check_graph(graph, batch, count, true);
    graph_release(graph);
}

struct window_case {
    int in, h, w;
    struct net_window options;
    int batch, count;
};

static void check_windows(const struct window_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++)
        for (int norm = 0; norm < 2; norm++) {
            struct graph graph;
            struct window_case c = cases[i];
            int at = begin(&graph, c.in, c.h, c.w);
            c.options.bias = c.options.bias || !norm;
            at = net_conv(&graph, at, c.options);
            at = norm ? net_relu(&graph, net_batch_norm(&graph, at)) : at;
            finish(&graph, at, c.batch, c.count);
        }
}

static void pointwise(void **state)
{
    static const struct window_case cases[] = {
        {1, 3, 5, {.out = 1}, 3, 3},     {3, 4, 4, {.out = 7}, 5, 2},   {16, 7, 5, {.out = 33}, 40, 37},
        {17, 5, 5, {.out = 16}, 4, 4},   {32, 6, 6, {.out = 64}, 3, 3}, {70, 3, 3, {.out = 41}, 2, 2},
        {24, 9, 9, {.out = 48}, 33, 33}, {64, 1, 1, {.out = 84}, 9, 9}, {8, 4, 3, {.out = 12, .bias = true}, 2, 1},
    };
    (void)state;
    check_windows(cases, sizeof cases / sizeof *cases);
}

static void dense(void **state)
{
    static const struct window_case cases[] = {
        {3, 9, 7, {.out = 16, .kernel = 3, .stride = 2, .pad = 1}, 3, 3},
        {1, 8, 8, {.out = 4, .kernel = 3}, 4, 3},
        {5, 6, 9, {.out = 7, .kernel = 3, .pad = 1}, 2, 2},
        {16, 7, 7, {.out = 32, .kernel = 3, .pad = 1}, 35, 34},
        {20, 5, 6, {.out = 33, .kernel = 2, .stride = 2}, 3, 3},
        {32, 8, 8, {.out = 64, .kernel = 3, .pad = 1, .stride = 2}, 3, 3},
        {6, 11, 10, {.out = 9, .kernel = 5, .pad = 2, .stride = 3}, 3, 2},
        {8, 9, 9, {.out = 12, .kernel = 3, .pad = 2, .dilation = 2, .groups = 2}, 2, 2},
        {12, 7, 8, {.out = 6, .kernel = 3, .pad = 1, .groups = 3}, 3, 3},
        {4, 9, 9, {.out = 4, .kernel = 3, .stride = 2, .dilation = 3, .pad = 3}, 2, 2},
        {4, 9, 8, {.out = 8, .kernel = 2, .stride = 3}, 2, 2},  /* inputs that no window sees */
        {6, 7, 7, {.out = 10, .kernel = 1, .stride = 2}, 3, 3}, /* a shortcut's convolution */
        {4, 4, 4, {.out = 8, .kernel = 1, .pad = 1}, 3, 3},     /* one pixel, yet with padding */
        {4, 5, 5, {.out = 70, .kernel = 4, .pad = 3}, 2, 2},    /* an output larger than the input */
        {64, 4, 4, {.out = 16, .kernel = 3, .pad = 1}, 2, 2},
        {4, 40, 40, {.out = 4, .kernel = 3, .pad = 1}, 2, 2}, /* several strips a sample */
        {16, 37, 41, {.out = 16, .kernel = 3, .stride = 2, .pad = 1}, 2, 2},
    };
    (void)state;
    check_windows(cases, sizeof cases / sizeof *cases);
}

static void depthwise(void **state)
{
    static const struct window_case cases[] = {
        {2, 5, 5, {.kernel = 3, .pad = 1, .groups = 2}, 3, 3},
        {4, 9, 8, {.kernel = 3, .pad = 1, .stride = 2, .groups = 4}, 3, 2},
        {16, 12, 12, {.kernel = 3, .pad = 1, .groups = 16}, 35, 35},
        {16, 44, 60, {.kernel = 3, .pad = 1, .stride = 2, .groups = 16}, 3, 3},
        {33, 7, 7, {.kernel = 3, .pad = 1, .stride = 2, .groups = 33}, 3, 3},
        {70, 5, 5, {.kernel = 5, .pad = 2, .groups = 70}, 2, 2},
        {24, 8, 9, {.kernel = 3, .groups = 24}, 2, 2},
        {20, 9, 9, {.kernel = 2, .stride = 2, .groups = 20}, 2, 2},
        {8, 11, 11, {.kernel = 3, .pad = 2, .dilation = 2, .groups = 8}, 2, 2},
        {8, 9, 9, {.kernel = 2, .stride = 3, .groups = 8}, 2, 2},
        {8, 7, 7, {.kernel = 1, .groups = 8}, 2, 2},
    };
    (void)state;
    check_windows(cases, sizeof cases / sizeof *cases);
}

static void every_channel_count(void **state)
{
    (void)state;
    for (int c = 1; c <= 70; c += c < 36 ? 1 : 7) {
        struct graph graph;
        int at = begin(&graph, c, 4, 5);
        at = net_conv_norm_relu(&graph, at, (struct net_window){.kernel = 3, .pad = 1, .groups = c});
        at = net_conv_norm_relu(&graph, at, (struct net_window){.out = 71 - c});
        at = net_conv_norm_relu(&graph, at, (struct net_window){.out = c, .kernel = 3, .stride = 2});
        finish(&graph, at, 3, 3);
    }
}

static void activations(void **state)
{
    static const struct {
        enum activation kind;
        float alpha, beta;
    } cases[] = {
        {ACTIVATION_RELU, 0, 0},
        {ACTIVATION_LEAKY_RELU, 0.1f, 0},
        {ACTIVATION_CLIP, -0.5f, 0.7f},
        {ACTIVATION_CLIP, 0, 6},
        {ACTIVATION_HARD_SIGMOID, 0.7f, 0.5f},
        {ACTIVATION_HARD_SWISH, 0, 0},
        {ACTIVATION_SIGMOID, 0, 0},
        {ACTIVATION_NONE, 0, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int c = 16; c <= 48; c += 3)
            for (int norm = 0; norm < 2; norm++) {
                struct graph graph;
                int at = begin(&graph, c, 5, 5);
                at = net_conv(&graph, at, (struct net_window){.out = c, .bias = true});
                at = norm ? net_batch_norm(&graph, at) : at;
                finish(&graph, net_activation(&graph, at, cases[i].kind, cases[i].alpha, cases[i].beta), 2, 2);
                c += c == 16 ? 13 : 0;
            }
}

static void pools(void **state)
{
    static const struct {
        enum op op;
        int c, h, w, kernel, stride, pad;
        bool ceil_mode, include_pad;
    } cases[] = {
        {OP_MAX_POOL, 16, 8, 8, 2, 2, 0, false, false},     {OP_MAX_POOL, 5, 9, 7, 3, 2, 1, false, false},
        {OP_MAX_POOL, 20, 8, 9, 3, 2, 1, true, false},      {OP_MAX_POOL, 3, 6, 6, 3, 1, 1, false, false},
        {OP_MAX_POOL, 33, 7, 7, 2, 3, 0, true, false},      {OP_AVERAGE_POOL, 16, 8, 8, 2, 2, 0, false, true},
        {OP_AVERAGE_POOL, 7, 9, 8, 3, 2, 1, false, true},   {OP_AVERAGE_POOL, 7, 9, 8, 3, 2, 1, false, false},
        {OP_AVERAGE_POOL, 18, 8, 8, 3, 2, 1, true, true},   {OP_AVERAGE_POOL, 18, 8, 8, 3, 2, 1, true, false},
        {OP_AVERAGE_POOL, 4, 10, 10, 4, 3, 2, true, false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int norm = 0; norm < 2; norm++) {
            struct graph graph;
            int at = begin(&graph, cases[i].c, cases[i].h, cases[i].w);
            struct node node = node_default(cases[i].op);
            node.kernel_h = node.kernel_w = cases[i].kernel;
            node.stride_h = node.stride_w = cases[i].stride;
            node.pad_top = node.pad_left = node.pad_bottom = node.pad_right = cases[i].pad;
            node.ceil_mode = cases[i].ceil_mode;
            node.count_include_pad = cases[i].include_pad;
            at = net_conv(&graph, at, (struct net_window){.out = cases[i].c, .bias = !norm});
            at = net_node(&graph, &node, &at, 1);
            finish(&graph, norm ? net_relu(&graph, net_batch_norm(&graph, at)) : at, 3, 3);
        }
}

/* Equal values: the first one in the window gets the gradient, as in PyTorch. The values are x - x = 0 everywhere, but
 * where the gradient went shows in the weights' gradient. */
static void max_pool_ties(void **state)
{
    struct graph graph;
    float input[2 * 36 * 2];
    (void)state;
    graph_init(&graph);
    int at = net_conv(&graph, net_input(&graph, 2, 6, 6), (struct net_window){.out = 5});
    net_linear(&graph, net_pool(&graph, at, OP_MAX_POOL, 3, 2, 1), 3, true);
    net_weights(&graph, 4);
    for (int i = 0; i < 10; i++)
        graph.weights[0].data[i] = 1;
    for (int i = 0; i < 2 * 36; i++) {
        input[2 * i] = (float)i;
        input[2 * i + 1] = (float)-i;
    }
    check_input(&graph, 2, 2, true, input);
    graph_release(&graph);
}

static void global_pool(void **state)
{
    (void)state;
    for (int c = 15; c <= 33; c += 9) {
        struct graph graph;
        int at = begin(&graph, c, 6, 5);
        const struct node pool = node_default(OP_GLOBAL_AVERAGE_POOL);
        at = net_node(&graph, &pool, &at, 1);
        finish(&graph, net_relu(&graph, net_batch_norm(&graph, at)), 35, 34);
    }
}

static void linear(void **state)
{
    static const int sizes[][4] = {{3, 4, 5, 6}, {16, 1, 1, 130}, {1, 7, 7, 65}, {70, 3, 3, 17}, {64, 2, 2, 256}};
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int norm = 0; norm < 2; norm++) {
            struct graph graph;
            int at = begin(&graph, sizes[i][0], sizes[i][1], sizes[i][2]);
            at = net_linear(&graph, at, sizes[i][3], true);
            at = norm ? net_batch_norm(&graph, at) : at;
            finish(&graph, net_relu(&graph, at), 40, 37);
        }
}

static void residual_and_concat(void **state)
{
    (void)state;
    for (int c = 8; c <= 16; c += 8) {
        struct graph graph;
        const struct net_window same = {.out = c, .kernel = 3, .pad = 1};
        int at = begin(&graph, c, 6, 6);
        int left = net_batch_norm(&graph, net_conv(&graph, at, same));
        int block = net_relu(&graph, net_add(&graph, left, at));
        left = net_conv_norm_relu(&graph, block, (struct net_window){.out = c + 3, .kernel = 3, .stride = 2, .pad = 1});
        int right = net_batch_norm(&graph, net_conv(&graph, block, (struct net_window){.out = c + 3, .stride = 2}));
        at = net_relu(&graph, net_batch_norm(&graph, net_add(&graph, left, right)));
        at = net_relu(&graph, net_batch_norm(&graph, net_concat(&graph, at, net_concat(&graph, left, at))));
        finish(&graph, net_add(&graph, at, at), 5, 4);
    }
}

/* Values that need copies: batch norm after an activation, a value read before and after its batch norm, a flattened
 * map under a batch norm, activations of activations, padding before convolutions, batch norm of the input. */
static void copies(void **state)
{
    struct graph graph;
    struct node pad = node_default(OP_PAD);
    (void)state;
    graph_init(&graph);
    int at = net_batch_norm(&graph, net_input(&graph, 3, 8, 8));
    at = net_batch_norm(&graph, net_conv_norm_relu(&graph, at, (struct net_window){.out = 6}));
    int raw = net_conv(&graph, at, (struct net_window){.out = 6, .kernel = 3, .pad = 1});
    int norm = net_relu(&graph, net_batch_norm(&graph, raw));
    at = net_add(&graph, net_activation(&graph, raw, ACTIVATION_HARD_SWISH, 0, 0), norm);
    at = net_relu(&graph, net_activation(&graph, at, ACTIVATION_LEAKY_RELU, 0.3f, 0));
    pad.pad_top = 1, pad.pad_left = 2, pad.pad_bottom = 0, pad.pad_right = 1;
    at = net_node(&graph, &pad, &at, 1);
    at = net_conv_norm_relu(&graph, at, (struct net_window){.out = 4, .kernel = 3, .stride = 2, .pad = 1});
    const struct node flatten = node_default(OP_FLATTEN);
    at = net_node(&graph, &flatten, &at, 1);
    at = net_relu(&graph, net_batch_norm(&graph, at));
    at = net_relu(&graph, net_linear(&graph, at, 4, false)); /* the output itself is completed */
    check_graph(&graph, 6, 5, true);
    check_graph(&graph, 6, 6, true);
    graph_release(&graph);
}

/* Running statistics instead of the batch's, forward and backward. */
static void evaluation(void **state)
{
    struct graph graph;
    (void)state;
    int at = begin(&graph, 12, 6, 6);
    at = net_conv_norm_relu(&graph, at, (struct net_window){.out = 16, .kernel = 3, .pad = 1, .bias = true});
    net_linear(&graph, at, 5, true);
    check_graph(&graph, 4, 3, false);
    graph_release(&graph);
}

/* Losses on features: their gradient is in the kept tensors before backward begins. */
static void kept_gradients(void **state)
{
    enum { COUNT = 3, C = 12, FLOATS = COUNT * C * 25 };
    struct graph graph;
    struct reference r;
    struct network network;
    struct error err = {0};
    struct device *device = open_device(2, NULL);
    const struct pass pass = {.count = COUNT, .training = true};
    float input[COUNT * 3 * 25], extra[2][FLOATS];
    (void)state;
    const int at = begin(&graph, C, 5, 5);
    const int raw = net_conv(&graph, at, (struct net_window){.kernel = 3, .pad = 1});
    net_linear(&graph, net_relu(&graph, net_batch_norm(&graph, raw)), 5, true);
    net_weights(&graph, 42);
    net_fill(input, sizeof input / sizeof *input, 1);
    const int kept[] = {at, raw};
    assert_int_equal(network_init(&network, &backend_cpu, device, &graph,
                                  &(struct plan_options){.batch = COUNT, .kept = kept, .kept_count = 2}, 1, &err),
                     STATUS_OK);
    memcpy(network_input(&network), input, sizeof input);
    assert_int_equal(network_forward(&network, &pass, &err), STATUS_OK);
    reference_init(&r, &graph, COUNT);
    reference_forward(&r, input, true);
    poison(network.memory.gradients, network.plan.gradient_count);
    for (int k = 0; k < 2; k++) {
        const struct plan_tensor *t = &network.plan.tensors[network.plan.node_tensor[kept[k]]];
        net_fill(extra[k], FLOATS, (uint64_t)k);
        memcpy((float *)network.memory.gradients + t->gradient, extra[k], sizeof extra[k]);
        for (int i = 0; i < FLOATS; i++) /* [n, h, w, c] to [n, c, h, w] */
            r.gradients[kept[k]][(i / (25 * C) * C + i % C) * 25 + i / C % 25] = (double)extra[k][i];
    }
    for (int i = 0; i < COUNT * 5; i++)
        network_logits_gradient(&network)[i] = (float)(r.gradients[graph.output][i] = i % 3 - 1);
    assert_int_equal(network_backward(&network, &pass, &err), STATUS_OK);
    reference_backward(&r, true);
    check_network(&network, &r, "kept nodes");
    reference_release(&r);
    network_release(&network);
    backend_cpu.device_free(device);
    graph_release(&graph);
}

/* A mean that is far larger than the deviation must not spoil the variance. */
static void large_means(void **state)
{
    enum { COUNT = 40, PIXELS = 49, C = 20 };
    struct graph graph;
    struct error err = {0};
    struct network network;
    struct device *device = open_device(2, NULL);
    (void)state;
    graph_init(&graph);
    int at = net_batch_norm(&graph, net_input(&graph, C, 7, 7));
    const struct node pool = node_default(OP_GLOBAL_AVERAGE_POOL);
    net_node(&graph, &pool, &at, 1);
    net_weights(&graph, 1);
    assert_int_equal(
        network_init(&network, &backend_cpu, device, &graph, &(struct plan_options){.batch = COUNT}, 1, &err),
        STATUS_OK);
    float *x = network_input(&network);
    net_fill(x, (size_t)COUNT * PIXELS * C, 3);
    for (size_t i = 0; i < (size_t)COUNT * PIXELS * C; i++)
        x[i] = 1000 + 0.25f * (float)(int)(40 * x[i]); /* exact in single precision */
    const struct pass pass = {.count = COUNT, .training = true};
    assert_int_equal(network_forward(&network, &pass, &err), STATUS_OK);
    for (int c = 0; c < C; c++) {
        double sum = 0, squares = 0;
        for (int i = 0; i < COUNT * PIXELS; i++)
            sum += (double)x[i * C + c] / (COUNT * PIXELS);
        for (int i = 0; i < COUNT * PIXELS; i++)
            squares += ((double)x[i * C + c] - sum) * ((double)x[i * C + c] - sum) / (COUNT * PIXELS);
        const float *statistics = network.memory.statistics + network.plan.batch_norms[0].statistics;
        const double expected = 1 / sqrt(squares + 1e-5), inverse = (double)statistics[PLAN_INVERSE_STD * C + c];
        assert_true(fabs(inverse - expected) < 1e-6 * expected);
    }
    network_release(&network);
    backend_cpu.device_free(device);
    graph_release(&graph);
}

/* Dropout: the share, the scale, the same mask backward, another one in the next step, none in evaluation. */
static void dropout(void **state)
{
    enum { COUNT = 50, C = 37 };
    struct graph graph;
    struct error err = {0};
    struct network network;
    struct device *device = open_device(2, NULL);
    struct node drop = node_default(OP_DROPOUT);
    float first[COUNT * C];
    int dropped = 0, changed = 0;
    (void)state;
    graph_init(&graph);
    int at = net_linear(&graph, net_input(&graph, 4, 1, 1), C, true);
    drop.dropout = 0.25f;
    net_node(&graph, &drop, &at, 1);
    net_weights(&graph, 9);
    assert_int_equal(
        network_init(&network, &backend_cpu, device, &graph, &(struct plan_options){.batch = COUNT}, 1, &err),
        STATUS_OK);
    net_fill(network_input(&network), COUNT * 4, 4);
    const float *before = (float *)network.memory.values + network.plan.tensors[1].value,
                *after = network_logits(&network);
    struct host_feed host;
    host_feed_init(&host, COUNT, 1, NULL, NULL);
    host.scalars.seed = 1;
    struct pass pass = {.count = COUNT, .training = true, .feed = &host.feed};
    assert_int_equal(network_forward(&network, &pass, &err), STATUS_OK);
    memcpy(first, after, sizeof first);
    for (int i = 0; i < COUNT * C; i++) {
        assert_true(after[i] == 0 || fabsf(after[i] - before[i] / 0.75f) < 1e-6f);
        dropped += after[i] == 0;
        network_logits_gradient(&network)[i] = 1;
    }
    assert_true(abs(dropped - COUNT * C / 4) < 60);
    assert_int_equal(network_backward(&network, &pass, &err), STATUS_OK);
    const float *gradient = (float *)network.memory.gradients + network.plan.tensors[1].gradient;
    for (int i = 0; i < COUNT * C; i++)
        assert_true(gradient[i] == (first[i] == 0 ? 0 : 1 / 0.75f));
    host.scalars.step = 1;
    assert_int_equal(network_forward(&network, &pass, &err), STATUS_OK);
    for (int i = 0; i < COUNT * C; i++)
        changed += (after[i] == 0) != (first[i] == 0);
    assert_true(changed > COUNT * C / 8);
    pass.training = false;
    assert_int_equal(network_forward(&network, &pass, &err), STATUS_OK);
    assert_memory_equal(before, after, sizeof first);
    network_release(&network);
    backend_cpu.device_free(device);
    graph_release(&graph);
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
            double slope = loss(&r, input, direction, COUNT * 4);
            r.weights[i][k] = old - step;
            slope = (slope - loss(&r, input, direction, COUNT * 4)) / (2 * step);
            r.weights[i][k] = old;
            assert_true(fabs(slope - r.weight_gradients[i][k]) < 1e-5 * (1 + fabs(slope)));
        }
    reference_release(&r);
    graph_release(&graph);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reference_by_finite_differences),
        cmocka_unit_test(pointwise),
        cmocka_unit_test(dense),
        cmocka_unit_test(depthwise),
        cmocka_unit_test(every_channel_count),
        cmocka_unit_test(activations),
        cmocka_unit_test(pools),
        cmocka_unit_test(max_pool_ties),
        cmocka_unit_test(global_pool),
        cmocka_unit_test(linear),
        cmocka_unit_test(residual_and_concat),
        cmocka_unit_test(copies),
        cmocka_unit_test(evaluation),
        cmocka_unit_test(kept_gradients),
        cmocka_unit_test(large_means),
        cmocka_unit_test(dropout),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
