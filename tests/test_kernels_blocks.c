/* The steps of students' blocks on every backend against the double-precision reference: gates, scales, PReLU, selects,
 * norms without running statistics, pads, resizes; odd channel counts, single pixels, large means, several readers. See
 * helper_kernels.h for the ways each graph is run in. */
#include "tests/helper_device.h"
#include "tests/helper_kernels.h"

#include <float.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static const struct shape shapes[] = {{7, 5, 4}, {16, 6, 5}, {1, 3, 3}, {33, 1, 1}, {20, 3, 7}};
enum { SHAPES = sizeof shapes / sizeof *shapes, COUNT = 6 };

static int begin(struct graph *graph, struct shape s)
{
    graph_init(graph);
    return net_conv_norm_relu(graph, net_input(graph, 3, s.h, s.w), (struct net_window){.out = s.c});
}

/* A batch norm and an activation behind what is tested, or only a linear layer. */
static void finish(const char *backend, struct graph *graph, int at, size_t number)
{
    if (number % 2)
        at = net_activation(graph, net_batch_norm(graph, at), ACTIVATION_SILU, 1, 0);
    net_linear(graph, at, 5, true);
    if (test_device_is_shim(backend))
        kernels_check(backend, graph, 4, 3, true);
    else
        kernels_check(backend, graph, 37, 35, true);
    graph_release(graph);
}

/* Squeeze and excitation: x * sigmoid(conv(act(conv(pool(x))))). */
static int gated(struct graph *graph, int from, enum activation inner, enum activation outer)
{
    const struct node pool = node_default(OP_GLOBAL_AVERAGE_POOL);
    const int c = graph->nodes[from].shape.c;
    int at = net_node(graph, &pool, &from, 1);
    at = net_activation(graph, net_conv(graph, at, (struct net_window){.out = (c + 3) / 4, .bias = true}), inner, 1, 0);
    at = net_activation(graph, net_conv(graph, at, (struct net_window){.out = c, .bias = true}), outer, 1.0f / 6, 0.5f);
    return net_multiply(graph, from, at);
}

static void squeeze_and_excitation(void **state)
{
    for (size_t i = 0; i < SHAPES; i++) {
        struct graph graph;
        int at = begin(&graph, shapes[i]);
        at = net_activation(&graph, net_batch_norm(&graph, net_conv(&graph, at, (struct net_window){.pad = 0})),
                            ACTIVATION_SILU, 1, 0);
        at = i % 2 ? gated(&graph, at, ACTIVATION_RELU, ACTIVATION_HARD_SIGMOID)
                   : gated(&graph, at, ACTIVATION_SILU, ACTIVATION_SIGMOID);
        finish(*state, &graph, at, i);
    }
}

static void products(void **state)
{
    for (size_t i = 0; i < 2 * SHAPES; i++) {
        struct graph graph;
        const bool spatial = i >= SHAPES;
        const int from = begin(&graph, shapes[i % SHAPES]);
        int left = net_batch_norm(&graph, net_conv(&graph, from, (struct net_window){.bias = true}));
        int right = net_conv(&graph, from, (struct net_window){.out = spatial ? 1 : 0, .bias = !spatial});
        /* a spatial gate has one channel, and in bf16 the gradient of its one gamma is mostly rounding */
        right = net_activation(&graph, spatial ? right : net_batch_norm(&graph, right), ACTIVATION_TANH, 0, 0);
        int at = net_multiply(&graph, left, i == 0 ? left : right);
        at = i == 0 ? net_add(&graph, at, right) : at; /* the first one is a square */
        finish(*state, &graph, at, i);
    }
}

/* trained or constant; per channel, per value, one for all (PReLU) */
static void scales(void **state)
{
    for (size_t i = 0; i < 2 * SHAPES; i++)
        for (int rank = 1; rank <= 3; rank += 2) {
            struct graph graph;
            const struct node scale = node_default(OP_SCALE);
            const bool trained = i < SHAPES;
            const int from = begin(&graph, shapes[i % SHAPES]);
            int at = net_relu(&graph, net_conv(&graph, from, (struct net_window){.bias = true}));
            at = net_weighted(&graph, scale, at, rank, trained, i % 3 > 0);
            finish(*state, &graph, net_add(&graph, at, from), i);
        }
}

/* A factor that is written as a depthwise convolution of constants. */
static void constant_convolution(void **state)
{
    struct graph graph;
    const int from = begin(&graph, (struct shape){7, 4, 5});
    int at = net_conv(&graph, from, (struct net_window){.groups = 7, .bias = true});
    graph.weights[graph.nodes[at].weight].trained = graph.weights[graph.nodes[at].bias].trained = false;
    finish(*state, &graph, net_add(&graph, at, from), 1);
}

/* The first step of a net: its input needs no gradient, its weights do. */
static void scaled_input(void **state)
{
    struct graph graph;
    const struct node scale = node_default(OP_SCALE), norm = node_default(OP_LAYER_NORM);
    graph_init(&graph);
    int at = net_weighted(&graph, scale, net_input(&graph, 3, 5, 6), 1, true, true);
    at = net_add(&graph, at, net_weighted(&graph, norm, graph.input, 1, true, true));
    at = net_add(&graph, at, net_weighted(&graph, scale, graph.input, 3, true, true));
    finish(*state, &graph, at, 0);
}

static void prelu(void **state)
{
    for (size_t i = 0; i < SHAPES; i++)
        for (int rank = 0; rank < 2; rank++) {
            struct graph graph;
            const struct node node = node_default(OP_PRELU);
            const int from = begin(&graph, shapes[i]);
            int at = net_conv(&graph, from, (struct net_window){.bias = i % 2 == 0});
            at = i % 2 ? net_batch_norm(&graph, at) : at;
            at = net_weighted(&graph, node, at, rank, i != 2, false);
            finish(*state, &graph, at, i);
        }
}

/* Split, shuffle, and channels that are read several times or not at all. */
static void selects(void **state)
{
    for (size_t i = 0; i < SHAPES; i++) {
        struct graph graph;
        int channels[80], count = 0;
        const int from = begin(&graph, shapes[i]), c = shapes[i].c;
        int at =
            net_activation(&graph, net_conv(&graph, from, (struct net_window){.bias = true}), ACTIVATION_MISH, 0, 0);
        for (int k = 0; k < c; k++)
            channels[count++] = (k % 2) * (c / 2) + k / 2; /* a shuffle */
        for (int k = 0; k < c; k += 3)
            channels[count++] = k;
        const int mixed = net_select(&graph, at, channels, count);
        for (int k = 0; k <= c / 2; k++)
            channels[k] = c - 1 - c / 2 + k;
        const int half = net_select(&graph, at, channels, c / 2 + 1);
        finish(*state, &graph, net_concat(&graph, mixed, net_concat(&graph, half, at)), i);
    }
}

/* More channels than one launch of the CUDA kernels takes. */
static void many_channels(void **state)
{
    static int channels[1000];
    struct graph graph;
    const int from = begin(&graph, (struct shape){900, 2, 1});
    for (int k = 0; k < 1000; k++)
        channels[k] = k * 7 % 900;
    finish(*state, &graph, net_select(&graph, from, channels, 1000), 1);
}

static void group_norms(void **state)
{
    static const int groups[][SHAPES] = {{1, 1, 1, 1, 1}, {7, 4, 1, 3, 5}, {7, 16, 1, 11, 20}};
    for (size_t i = 0; i < SHAPES; i++)
        for (int k = 0; k < 3; k++) {
            struct graph graph;
            struct node node = node_default(OP_GROUP_NORM);
            const struct shape s = shapes[i];
            node.groups = groups[k][i];
            /* a channel whose values may all be 0 has no variance: rounding would be multiplied by 300 */
            node.epsilon = s.c == 1 ? 0.1f : 1e-5f;
            int at = net_conv(&graph, begin(&graph, s), (struct net_window){.bias = true});
            at = k == 1 ? net_activation(&graph, at, ACTIVATION_GELU, 0, 0) : at;
            at = net_weighted(&graph, node, at, 1, i != 1, i != 3);
            finish(*state, &graph, at, i + (size_t)k);
        }
}

static void channel_norms(void **state)
{
    for (size_t i = 0; i < SHAPES; i++)
        for (int k = 0; k < 3; k++) {
            struct graph graph;
            struct node layer = node_default(OP_LAYER_NORM);
            struct node lp = node_default(OP_LP_NORM);
            lp.alpha = (float)k;
            /* a single channel has no variance and a norm that cancels; with 0.9 some norms are below it */
            layer.epsilon = shapes[i].c == 1 ? 0.1f : 1e-5f;
            lp.epsilon = i == 1 || shapes[i].c == 1 ? 0.9f : 1e-12f;
            int at = net_conv(&graph, begin(&graph, shapes[i]), (struct net_window){.bias = true});
            at = k == 2 ? net_relu(&graph, at) : at;
            at = k == 0 ? net_weighted(&graph, layer, at, 1, i != 1, i != 3) : net_node(&graph, &lp, &at, 1);
            finish(*state, &graph, net_add(&graph, at, at), i);
        }
}

/* Means 50 times as large as the deviations. */
static void large_means(void **state)
{
    const struct node layer = node_default(OP_LAYER_NORM);
    struct node group = node_default(OP_GROUP_NORM);
    float input[5 * 25 * 3];
    group.groups = 2;
    for (int k = 0; k < 2; k++) {
        struct graph graph;
        const struct node shift = node_default(OP_SCALE);
        int at = begin(&graph, (struct shape){18, 5, 5});
        at = net_weighted(&graph, shift, at, 1, false, true);
        const int bias = graph.nodes[at].bias;
        at = net_weighted(&graph, k ? group : layer, at, 1, true, true);
        net_linear(&graph, at, 5, true);
        net_weights(&graph, 42);
        net_fill(input, sizeof input / sizeof *input, 1);
        for (size_t i = 0; i < graph.weights[bias].count; i++)
            graph.weights[bias].data[i] += 20;
        kernels_check_input(*state, &graph, 6, 5, true, input);
        graph_release(&graph);
    }
}

/* A node with the weights of node `like`. */
static int again(struct graph *graph, int like, int from)
{
    const struct node node = graph->nodes[like];
    char name[32];
    int index;
    struct error err = {0};
    snprintf(name, sizeof name, "again%d", graph->node_count);
    if (graph_add(graph, &node, name, &from, 1, &index, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    graph->output = index;
    return index;
}

/* Convolutions of all kinds, batch norms with their running statistics, PReLU and scales, each used two or three times.
 */
static void shared_weights(void **state)
{
    for (size_t i = 0; i < 2 * SHAPES; i++) {
        struct graph graph;
        const int c = shapes[i / 2].c;
        int at = begin(&graph, shapes[i / 2]);
        const struct net_window kinds[2] = {{.out = c, .kernel = 3, .pad = 1, .groups = c, .bias = true},
                                            {.out = c, .kernel = 3, .pad = 1, .bias = true}};
        const int conv = net_conv(&graph, at, kinds[i % 2]), norm = net_batch_norm(&graph, conv);
        const int pointwise = net_conv(&graph, net_activation(&graph, norm, ACTIVATION_RELU, 0, 0),
                                       (struct net_window){.out = c, .bias = true});
        at = again(&graph, conv, pointwise);
        at = net_activation(&graph, again(&graph, norm, at), ACTIVATION_RELU, 0, 0);
        at = again(&graph, pointwise, at);
        at = again(&graph, conv, at);
        finish(*state, &graph, at, i);
    }
}

static void pads(void **state)
{
    static const struct {
        enum pad_mode mode;
        int sides[4];
        float value;
    } cases[] = {
        {PAD_CONSTANT, {1, 2, 0, 1}, 0}, {PAD_CONSTANT, {1, 0, 2, 3}, -0.7f},  {PAD_REFLECT, {2, 1, 1, 2}, 0},
        {PAD_EDGE, {2, 3, 1, 0}, 0},     {PAD_CONSTANT, {-1, 1, 0, -1}, 0.5f}, {PAD_EDGE, {-1, -1, 2, 2}, 0},
        {PAD_REFLECT, {0, 2, 2, -1}, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct graph graph;
        struct node node = node_default(OP_PAD);
        node.pad_mode = cases[i].mode;
        node.pad_top = cases[i].sides[0], node.pad_left = cases[i].sides[1];
        node.pad_bottom = cases[i].sides[2], node.pad_right = cases[i].sides[3];
        node.alpha = cases[i].value;
        int at = begin(&graph, (struct shape){i % 2 ? 8 : 5, 4, 5});
        at = net_node(&graph, &node, &at, 1);
        /* a convolution that reads it has padding of its own */
        const int beside = net_conv(&graph, at, (struct net_window){.kernel = 3, .pad = 1});
        at = net_add(&graph, net_relu(&graph, net_batch_norm(&graph, at)), beside);
        finish(*state, &graph, at, i);
    }
}

static void resizes(void **state)
{
    static const struct {
        enum resize_mode mode;
        struct resize_axis y, x;
    } cases[] = {
        {RESIZE_LINEAR, {8, 2, 0.5, -0.5}, {10, 2, 0.5, -0.5}},
        {RESIZE_LINEAR, {3, 0.75, 0.5, -0.5}, {4, 0.8, 0.5, -0.5}},
        {RESIZE_LINEAR, {7, 2, 0, 0}, {9, 2, 0, 0}}, /* aligned corners */
        {RESIZE_NEAREST_FLOOR, {8, 2, 0, 0}, {10, 2, 0, 0}},
        {RESIZE_NEAREST_HALF_DOWN, {6, 1.5, 0.5, -0.5}, {3, 0.6, 0.5, -0.5}},
        {RESIZE_NEAREST_HALF_UP, {9, 2.25, 0.5, -0.5}, {2, 0.4, 0.5, -0.5}},
        {RESIZE_NEAREST_CEIL, {8, 2, 0, 0}, {5, 1, 0, 0}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct graph graph;
        struct node node = node_default(OP_RESIZE);
        node.resize = (struct resize){cases[i].mode, cases[i].y, cases[i].x};
        int at = begin(&graph, (struct shape){i % 2 ? 8 : 5, 4, 5});
        at = net_node(&graph, &node, &at, 1);
        at = i % 2 ? net_batch_norm(&graph, at) : at;
        finish(*state, &graph, at, i);
    }
}

/* Values that every device computes exactly, so that all round to the same of 255 steps: sums of a few bits. */
static void quantised(void **state)
{
    for (size_t i = 0; i < SHAPES; i++) {
        struct graph graph;
        const struct node scale = node_default(OP_SCALE);
        struct node quantise = node_default(OP_QUANTISE);
        const struct shape s = shapes[i];
        const size_t floats = COUNT * (size_t)s.c * (size_t)s.h * (size_t)s.w;
        float *input = malloc(floats * sizeof *input);
        assert_non_null(input);
        for (size_t k = 0; k < floats; k++)
            input[k] = (float)((int)(k * 37 % 201) - 100) / 64;
        graph_init(&graph);
        int at = net_weighted(&graph, scale, net_input(&graph, s.c, s.h, s.w), 1, true, true);
        const int first = graph.nodes[at].weight, bias = graph.nodes[at].bias;
        at = i % 2 ? net_relu(&graph, at) : at;
        test_must(graph_add_weight(&graph, "range", (const int[]){2}, 1, false, &quantise.weight, &(struct error){0}),
                  NULL);
        quantise.alpha = i % 3 ? -FLT_MAX : -0.75f; /* a limit */
        quantise.beta = FLT_MAX;
        at = net_node(&graph, &quantise, &at, 1);
        at = i % 2 ? net_relu(&graph, net_batch_norm(&graph, at)) : at;
        net_linear(&graph, at, 5, true);
        net_weights(&graph, 3);
        for (int c = 0; c < s.c; c++) {
            graph.weights[first].data[c] = (float)(1 + c % 3) / 4;
            graph.weights[bias].data[c] = (float)(c % 5 - 2) / 8;
        }
        float *range = graph.weights[quantise.weight].data; /* known, so that it moves and clips; or not */
        range[0] = i == 0 ? 1 : -1;
        range[1] = i == 0 ? -1 : 0.5f;
        kernels_check_input(*state, &graph, COUNT, COUNT - (int)(i % 2), i != 2, input);
        graph_release(&graph);
        free(input);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_EVERY_BACKEND(quantised),
        ON_EVERY_BACKEND(squeeze_and_excitation),
        ON_EVERY_BACKEND(products),
        ON_EVERY_BACKEND(scales),
        ON_EVERY_BACKEND(constant_convolution),
        ON_EVERY_BACKEND(scaled_input),
        ON_EVERY_BACKEND(prelu),
        ON_EVERY_BACKEND(selects),
        ON_EVERY_BACKEND(many_channels),
        ON_EVERY_BACKEND(group_norms),
        ON_EVERY_BACKEND(channel_norms),
        ON_EVERY_BACKEND(large_means),
        ON_EVERY_BACKEND(pads),
        ON_EVERY_BACKEND(resizes),
        ON_EVERY_BACKEND(shared_weights),
    };
    return cmocka_run_group_tests_name("kernels of blocks", tests, NULL, NULL);
}
