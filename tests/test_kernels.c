/* Every step kind of the training kernels on every backend against the double-precision reference: odd shapes, partial
 * batches; see helper_kernels.h for the ways each graph is run in. TEST_MANY_TILES=1 also runs many_tiles on the
 * execution shim (three minutes). */
#include "tests/helper_device.h"
#include "tests/helper_kernels.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

/* A layer before, so that the input of what is tested has a gradient; a linear layer after, so that gradients vary. */
static int begin(struct graph *graph, int c, int h, int w)
{
    graph_init(graph);
    return net_conv_norm_relu(graph, net_input(graph, 3, h, w), (struct net_window){.out = c});
}

/* With and without batch norm. The execution shim is slow: it gets every other case. */
static bool is_run(const char *backend, size_t number, int norm)
{
    return !test_device_is_shim(backend) || (number + (size_t)norm) % 2 == 0;
}

/* The execution shim gets smaller linear layers, and smaller batches if there are many pixels (large ones are for the
 * CPU's slices of samples). */
enum { SHIM_FEATURES = 600, SHIM_BATCH = 6 };

static void finish(const char *backend, struct graph *graph, int from, int batch, int count)
{
    const struct shape s = graph->nodes[from].shape;
    if (test_device_is_shim(backend) && s.c * s.h * s.w > SHIM_FEATURES && s.h > 4 && s.w > 4)
        from = net_pool(graph, from, OP_MAX_POOL, 4, 4, 0);
    net_linear(graph, from, 5, true);
    kernels_check(backend, graph, batch, count, true);
    graph_release(graph);
}

struct window_case {
    int in, h, w;
    struct net_window options;
    int batch, count;
};

static void check_windows(const char *backend, const struct window_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++)
        for (int norm = 0; norm < 2; norm++) {
            struct graph graph;
            struct window_case c = cases[i];
            if (!is_run(backend, i, norm))
                continue;
            if (test_device_is_shim(backend) && c.batch > SHIM_BATCH) {
                c.count = c.count < c.batch ? SHIM_BATCH - 1 : SHIM_BATCH;
                c.batch = SHIM_BATCH;
            }
            int at = begin(&graph, c.in, c.h, c.w);
            c.options.bias = c.options.bias || !norm;
            at = net_conv(&graph, at, c.options);
            at = norm ? net_relu(&graph, net_batch_norm(&graph, at)) : at;
            finish(backend, &graph, at, c.batch, c.count);
        }
}

static void pointwise(void **state)
{
    static const struct window_case cases[] = {
        {1, 3, 5, {.out = 1}, 3, 3},
        {3, 4, 4, {.out = 7}, 5, 2},
        {16, 7, 5, {.out = 33}, 40, 37},
        {17, 5, 5, {.out = 16}, 4, 4},
        {32, 6, 6, {.out = 64}, 3, 3},
        {70, 3, 3, {.out = 41}, 2, 2},
        {24, 9, 9, {.out = 48}, 33, 33},
        {64, 1, 1, {.out = 84}, 9, 9},
        {8, 4, 3, {.out = 12, .bias = true}, 2, 1},
        {112, 6, 9, {.out = 128, .bias = true}, 6, 5}, /* the largest tile, whole and in part */
    };
    check_windows(*state, cases, sizeof cases / sizeof *cases);
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
        {4, 4, 4, {.out = 8, .kernel = 1, .pad = 1}, 3, 3},     /* one pixel, but with padding */
        {4, 5, 5, {.out = 70, .kernel = 4, .pad = 3}, 2, 2},    /* an output larger than the input */
        {64, 4, 4, {.out = 16, .kernel = 3, .pad = 1}, 2, 2},
        {4, 40, 40, {.out = 4, .kernel = 3, .pad = 1}, 2, 2}, /* several strips per sample */
        {16, 37, 41, {.out = 16, .kernel = 3, .stride = 2, .pad = 1}, 2, 2},
    };
    check_windows(*state, cases, sizeof cases / sizeof *cases);
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
        {18, 9, 7, {.kernel = 5, .pad = 2, .stride = 2, .groups = 18}, 3, 3}, /* pixels by four, and three left over */
        {5, 9, 9, {.kernel = 7, .pad = 3, .groups = 5}, 2, 2},
        {17, 11, 8, {.kernel = 7, .pad = 3, .stride = 2, .groups = 17}, 2, 2},
        {8, 13, 14, {.kernel = 5, .pad = 4, .dilation = 2, .groups = 8}, 2, 2},
        {24, 8, 9, {.kernel = 3, .groups = 24}, 2, 2},
        {20, 9, 9, {.kernel = 2, .stride = 2, .groups = 20}, 2, 2},
        {8, 11, 11, {.kernel = 3, .pad = 2, .dilation = 2, .groups = 8}, 2, 2},
        {8, 9, 9, {.kernel = 2, .stride = 3, .groups = 8}, 2, 2},
        {8, 7, 7, {.kernel = 1, .groups = 8}, 2, 2},
        {36, 17, 18, {.kernel = 3, .pad = 1, .groups = 36}, 1, 1}, /* several tiles, channels in uneven chunks */
        {40, 18, 33, {.kernel = 3, .pad = 1, .groups = 40}, 2, 2}, /* the same in fetches of eight */
        {8, 35, 63, {.kernel = 3, .pad = 1, .groups = 8}, 1, 1},   /* wide tiles, with and without batch norm on */
        {8, 35, 63, {.kernel = 3, .pad = 1, .groups = 8}, 1, 1},   /* the shim */
        {56, 33, 35, {.kernel = 3, .pad = 1, .stride = 2, .groups = 56}, 2, 1},
        {12, 9, 6, {.kernel = 3, .pad = 2, .groups = 12}, 2, 2}, /* an output larger than the input */
        {20, 17, 10, {.kernel = 3, .pad = 3, .stride = 2, .groups = 20}, 2, 1},
        {8, 9, 11, {.kernel = 3, .stride = 2, .groups = 8}, 3, 3},
    };
    check_windows(*state, cases, sizeof cases / sizeof *cases);
}

/* More pixels than the kernels have blocks for, so that every block walks over several tiles. */
static void many_tiles(void **state)
{
    struct graph graph;
    if (test_device_is_shim(*state) && !getenv("TEST_MANY_TILES")) {
        print_message("# skip: minutes on the execution shim\n");
        skip();
    }
    int at = begin(&graph, 16, 96, 96);
    at = net_conv_norm_relu(&graph, at, (struct net_window){.kernel = 3, .pad = 1, .groups = 16});
    at = net_conv_norm_relu(&graph, at, (struct net_window){.out = 20});
    at = net_conv_norm_relu(&graph, at, (struct net_window){.out = 8, .kernel = 3, .stride = 2, .pad = 1});
    at = net_conv_norm_relu(&graph, at, (struct net_window){.out = 112});
    at = net_conv_norm_relu(&graph, at, (struct net_window){.out = 128});
    at = net_conv_norm_relu(&graph, at, (struct net_window){.out = 8});
    at = net_pool(&graph, at, OP_MAX_POOL, 4, 4, 0);
    finish(*state, &graph, at, 48, 47);
}

/* More tiles than the depthwise kernels have blocks, with few pixels: images just larger than a tile. A rare
 * activation, whose zeros outside an image must stay zeros. */
static void many_depthwise_tiles(void **state)
{
    const int batch = 132;
    struct graph graph;
    graph_init(&graph);
    int at = net_input(&graph, 8, 17, 27);
    for (int i = 0; i < 2; i++) {
        at = net_conv(&graph, at, (struct net_window){.kernel = 3, .pad = 1, .groups = 8});
        at = net_activation(&graph, net_batch_norm(&graph, at), ACTIVATION_SOFTPLUS, 0, 0);
    }
    at = net_conv(&graph, at, (struct net_window){.kernel = 3, .pad = 1, .stride = 2, .groups = 8});
    at = net_pool(&graph, net_batch_norm(&graph, at), OP_MAX_POOL, 4, 4, 0);
    net_linear(&graph, at, 3, true);
    kernels_check(*state, &graph, batch, batch - 1, true);
    graph_release(&graph);
}

/* Tensors that steps write past the caches, in rows that begin at vectors and in others. Smooth activations: among a
 * million values some are so close to 0 that rounding decides whether a ReLU lets their gradient through. */
static void large_tensors(void **state)
{
    for (int c = 11; c <= 16; c += 5)
        for (int norm = 0; norm < 2; norm++) {
            struct graph graph;
            graph_init(&graph);
            int at = net_conv(&graph, net_input(&graph, 3, 64, 61), (struct net_window){.out = c});
            at = net_activation(&graph, net_batch_norm(&graph, at), ACTIVATION_TANH, 0, 0);
            const int skip = at;
            at = net_conv(&graph, at, (struct net_window){.kernel = 3, .pad = 1, .groups = c, .bias = !norm});
            at = net_activation(&graph, norm ? net_batch_norm(&graph, at) : at, ACTIVATION_SILU, 1, 0);
            at = net_conv(&graph, at, (struct net_window){.out = c, .bias = !norm});
            at = net_add(&graph, skip, norm ? net_batch_norm(&graph, at) : at);
            at = net_conv(&graph, at, (struct net_window){.out = 35, .kernel = 3, .stride = 2, .pad = 1});
            at = net_pool(&graph, net_batch_norm(&graph, at), OP_AVERAGE_POOL, 4, 4, 0);
            finish(*state, &graph, at, 33, 32);
        }
}

static void every_channel_count(void **state)
{
    const bool all = !test_device_is_shim(*state); /* the CPU's vectors are longer */
    for (int c = 1; c <= 70; c += c < (all ? 36 : 9) ? 1 : all ? 7 : 14) {
        struct graph graph;
        int at = begin(&graph, c, 4, 5);
        at = net_conv_norm_relu(&graph, at, (struct net_window){.kernel = 3, .pad = 1, .groups = c});
        at = net_conv_norm_relu(&graph, at, (struct net_window){.out = 71 - c});
        at = net_conv_norm_relu(&graph, at, (struct net_window){.out = c, .kernel = 3, .stride = 2});
        finish(*state, &graph, at, 3, 3);
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
        {ACTIVATION_SILU, 1, 0},
        {ACTIVATION_SILU, 1.702f, 0},
        {ACTIVATION_ELU, 0.8f, 0},
        {ACTIVATION_SELU, 1.67326319f, 1.05070102f},
        {ACTIVATION_CELU, 1.3f, 0},
        {ACTIVATION_GELU, 0, 0},
        {ACTIVATION_GELU_TANH, 0, 0},
        {ACTIVATION_MISH, 0, 0},
        {ACTIVATION_TANH, 0, 0},
        {ACTIVATION_SOFTPLUS, 0, 0},
        {ACTIVATION_SOFTSIGN, 0, 0},
        {ACTIVATION_ABS, 0, 0},
        {ACTIVATION_NONE, 0, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int c = 16; c <= (test_device_is_shim(*state) ? 16 : 48); c += 3)
            for (int norm = 0; norm < 2; norm++) {
                struct graph graph;
                int at = begin(&graph, c, 5, 5);
                at = net_conv(&graph, at, (struct net_window){.out = c, .bias = true});
                at = norm ? net_batch_norm(&graph, at) : at;
                finish(*state, &graph, net_activation(&graph, at, cases[i].kind, cases[i].alpha, cases[i].beta), 2, 2);
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
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int norm = 0; norm < 2; norm++) {
            struct graph graph;
            struct node node = node_default(cases[i].op);
            if (!is_run(*state, i, norm))
                continue;
            int at = begin(&graph, cases[i].c, cases[i].h, cases[i].w);
            node.kernel_h = node.kernel_w = cases[i].kernel;
            node.stride_h = node.stride_w = cases[i].stride;
            node.pad_top = node.pad_left = node.pad_bottom = node.pad_right = cases[i].pad;
            node.ceil_mode = cases[i].ceil_mode;
            node.count_include_pad = cases[i].include_pad;
            at = net_conv(&graph, at, (struct net_window){.out = cases[i].c, .bias = !norm});
            at = net_node(&graph, &node, &at, 1);
            finish(*state, &graph, norm ? net_relu(&graph, net_batch_norm(&graph, at)) : at, 3, 3);
        }
}

/* Equal values: the first one in the window gets the gradient, as in PyTorch. The values are x - x = 0 everywhere; the
 * weights' gradient shows where the gradient went. */
static void max_pool_ties(void **state)
{
    struct graph graph;
    float input[2 * 36 * 2];
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
    kernels_check_input(*state, &graph, 2, 2, true, input);
    graph_release(&graph);
}

static void global_pool(void **state)
{
    for (int c = 15; c <= 33; c += 9) {
        struct graph graph;
        int at = begin(&graph, c, 6, 5);
        const struct node pool = node_default(OP_GLOBAL_AVERAGE_POOL);
        at = net_node(&graph, &pool, &at, 1);
        finish(*state, &graph, net_relu(&graph, net_batch_norm(&graph, at)), 35, 34);
    }
}

static void linear(void **state)
{
    static const int sizes[][4] = {{3, 4, 5, 6}, {16, 1, 1, 130}, {1, 7, 7, 65}, {70, 3, 3, 17}, {64, 2, 2, 256}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int norm = 0; norm < 2; norm++) {
            struct graph graph;
            if (!is_run(*state, i, norm))
                continue;
            int at = begin(&graph, sizes[i][0], sizes[i][1], sizes[i][2]);
            at = net_linear(&graph, at, sizes[i][3], true);
            at = norm ? net_batch_norm(&graph, at) : at;
            finish(*state, &graph, net_relu(&graph, at), 40, 37);
        }
}

static void residual_and_concat(void **state)
{
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
        finish(*state, &graph, net_add(&graph, at, at), 5, 4);
    }
}

/* Values that need copies: a batch norm after an activation, a value that is read before and after its batch norm,
 * activations of activations, padding before convolutions, a batch norm of the input. */
static void copies(void **state)
{
    struct graph graph;
    struct node pad = node_default(OP_PAD);
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
    at = net_relu(&graph, net_linear(&graph, at, 4, false)); /* the output itself has an epilogue */
    kernels_check(*state, &graph, 6, 5, true);
    kernels_check(*state, &graph, 6, 6, true);
    graph_release(&graph);
}

/* A flattened map under a batch norm: a copy in another order. */
static void flattened_batch_norm(void **state)
{
    struct graph graph;
    const struct node flatten = node_default(OP_FLATTEN);
    graph_init(&graph);
    int at = net_conv(&graph, net_input(&graph, 3, 5, 6), (struct net_window){.out = 4, .kernel = 3, .stride = 2});
    at = net_relu(&graph, at);
    at = net_node(&graph, &flatten, &at, 1);
    at = net_relu(&graph, net_batch_norm(&graph, at));
    finish(*state, &graph, at, 16, 15);
}

/* Running statistics instead of the batch's, forward and backward. */
static void evaluation(void **state)
{
    struct graph graph;
    int at = begin(&graph, 12, 6, 6);
    at = net_conv_norm_relu(&graph, at, (struct net_window){.out = 16, .kernel = 3, .pad = 1, .bias = true});
    net_linear(&graph, at, 5, true);
    kernels_check(*state, &graph, 4, 3, false);
    graph_release(&graph);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_EVERY_BACKEND(pointwise),
        ON_EVERY_BACKEND(dense),
        ON_EVERY_BACKEND(depthwise),
        {"many_depthwise_tiles on cuda", many_depthwise_tiles, NULL, NULL, "cuda"},
        {"many_tiles on cuda", many_tiles, NULL, NULL, "cuda"},
        {"large_tensors on cpu", large_tensors, NULL, NULL, "cpu"},
        ON_EVERY_BACKEND(every_channel_count),
        ON_EVERY_BACKEND(activations),
        ON_EVERY_BACKEND(pools),
        ON_EVERY_BACKEND(max_pool_ties),
        ON_EVERY_BACKEND(global_pool),
        ON_EVERY_BACKEND(linear),
        ON_EVERY_BACKEND(residual_and_concat),
        ON_EVERY_BACKEND(copies),
        ON_EVERY_BACKEND(flattened_batch_norm),
        ON_EVERY_BACKEND(evaluation),
    };
    return cmocka_run_group_tests_name("kernels", tests, NULL, NULL);
}
