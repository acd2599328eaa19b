/* Convolutions and linear layers of shapes that kernels with tiles may get wrong: different heights and widths, edges
 * of tiles, channels beyond one tile. On every backend, against the double-precision reference. */
#include "tests/helper_kernels.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

struct shape_case {
    int in, h, w, out, groups;
    int kernel[2], stride[2], dilation[2]; /* of y, x; 0: 1 */
    int pad[4];                            /* top, left, bottom, right */
    int count;
};

static int or_one(int x)
{
    return x ? x : 1;
}

static int add_weight(struct graph *graph, const char *name, const int *dims, int rank)
{
    int index;
    assert_int_equal(graph_add_weight(graph, name, dims, rank, true, &index, NULL), STATUS_OK);
    return index;
}

static int add_conv(struct graph *graph, int from, const struct shape_case *c, bool bias)
{
    struct node node = node_default(OP_CONV);
    node.groups = or_one(c->groups);
    node.stride_h = or_one(c->stride[0]), node.stride_w = or_one(c->stride[1]);
    node.dilation_h = or_one(c->dilation[0]), node.dilation_w = or_one(c->dilation[1]);
    node.pad_top = c->pad[0], node.pad_left = c->pad[1], node.pad_bottom = c->pad[2], node.pad_right = c->pad[3];
    node.weight = add_weight(graph, "tested.weight",
                             (int[]){c->out, c->in / node.groups, or_one(c->kernel[0]), or_one(c->kernel[1])}, 4);
    if (bias)
        node.bias = add_weight(graph, "tested.bias", &c->out, 1);
    return net_node(graph, &node, &from, 1);
}

/* After another layer, so that the gradient of the input is checked, and before a linear one, so that gradients vary;
 * alternately with a batch norm and with a bias. */
static void check_cases(const char *backend, const struct shape_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct graph graph;
        const bool norm = i % 2 == 0;
        graph_init(&graph);
        int at = net_input(&graph, 3, cases[i].h, cases[i].w);
        at = net_conv_norm_relu(&graph, at, (struct net_window){.out = cases[i].in});
        at = add_conv(&graph, at, &cases[i], !norm);
        at = norm ? net_relu(&graph, net_batch_norm(&graph, at)) : at;
        net_linear(&graph, at, 5, true);
        kernels_check(backend, &graph, cases[i].count, cases[i].count, true);
        graph_release(&graph);
    }
}

static void uneven_windows(void **state)
{
    static const struct shape_case cases[] = {
        {8, 9, 7, 12, .kernel = {3, 2}, .stride = {2, 1}, .pad = {1, 0, 2, 1}, .count = 2},
        {5, 8, 11, 6, .kernel = {2, 3}, .stride = {1, 3}, .pad = {0, 2, 1, 0}, .count = 3},
        {8, 7, 12, 4, 2, .kernel = {3, 3}, .stride = {1, 2}, .dilation = {2, 1}, .pad = {2, 1, 2, 1}, .count = 2},
        {6, 12, 8, 9, 3, .kernel = {1, 4}, .stride = {3, 2}, .dilation = {1, 2}, .pad = {0, 3, 0, 4}, .count = 2},
        {4, 6, 5, 8, .kernel = {6, 5}, .count = 3},                   /* the whole input */
        {4, 6, 9, 8, .kernel = {4, 2}, .stride = {4, 6}, .count = 2}, /* input rows and columns are left over */
        {4, 5, 6, 8, .kernel = {1, 1}, .stride = {1, 2}, .pad = {0, 0, 0, 0}, .count = 2},
    };
    check_cases(*state, cases, sizeof cases / sizeof *cases);
}

/* Pixels and channels just below, at and above the sizes of tiles. */
static void tile_edges(void **state)
{
    static const struct shape_case cases[] = {
        {16, 8, 8, 24, .count = 1},
        {16, 10, 13, 32, .count = 1},
        {36, 7, 9, 64, .count = 1},
        {68, 5, 7, 128, .count = 1},
        {132, 3, 3, 20, .count = 2},
        {20, 3, 3, 132, .count = 2},
        {4, 5, 5, 70, .kernel = {3, 3}, .count = 1},
        {65, 4, 4, 8, .kernel = {2, 2}, .count = 1},
    };
    check_cases(*state, cases, sizeof cases / sizeof *cases);
}

/* Convolutions that read the network's input, which CUDA has kernels for: up to 4 channels and 27 taps, in tiles of up
 * to 256 pixels. Each with a batch norm and with a bias, in batches that end before the tensors do. */
static void first_layers(void **state)
{
    static const struct shape_case cases[] = {
        {3, 37, 41, 16, .kernel = {3, 3}, .stride = {2, 2}, .pad = {1, 1, 1, 1}, .count = 2}, /* odd sizes */
        {3, 68, 36, 24, .kernel = {3, 3}, .stride = {2, 2}, .pad = {1, 1, 1, 1}, .count = 2}, /* even ones */
        {3, 50, 52, 32, .kernel = {3, 3}, .pad = {1, 1, 1, 1}, .count = 1}, /* a tile inside the image */
        {1, 28, 28, 12, .kernel = {3, 3}, .pad = {1, 1, 1, 1}, .count = 2},
        {1, 19, 22, 16, .kernel = {5, 5}, .pad = {2, 2, 2, 2}, .count = 2},
        {3, 36, 52, 24, .kernel = {4, 4}, .stride = {4, 4}, .count = 2},
        {3, 21, 20, 33, .kernel = {3, 3}, .stride = {2, 2}, .pad = {1, 1, 1, 1}, .count = 3},
        {4, 26, 37, 20, .kernel = {5, 5}, .stride = {2, 2}, .pad = {2, 2, 2, 2}, .count = 2},
        {2, 9, 30, 7, .kernel = {3, 2}, .stride = {1, 2}, .dilation = {2, 3}, .pad = {2, 1, 2, 3}, .count = 2},
        {2, 12, 13, 40, .kernel = {1, 1}, .stride = {2, 2}, .count = 3},
        {3, 5, 150, 8, .kernel = {2, 6}, .stride = {1, 5}, .pad = {1, 0, 0, 3}, .count = 2}, /* 12 taps */
        {3, 4, 5, 8, .kernel = {3, 3}, .pad = {2, 2, 2, 2}, .count = 3}, /* an output larger than the input */
        {3, 5, 6, 18, .kernel = {3, 3}, .stride = {2, 2}, .pad = {1, 1, 1, 1}, .count = 300}, /* many tiles */
        {3, 20, 17, 16, .kernel = {7, 7}, .stride = {2, 2}, .pad = {3, 3, 3, 3}, .count = 2}, /* too many taps */
    };
    for (size_t i = 0; i < 2 * sizeof cases / sizeof *cases; i++) {
        const struct shape_case *c = &cases[i / 2];
        struct graph graph;
        graph_init(&graph);
        int at = add_conv(&graph, net_input(&graph, c->in, c->h, c->w), c, i % 2);
        at = i % 2 ? at : net_batch_norm(&graph, at);
        at = net_activation(&graph, at, ACTIVATION_TANH, 0, 0);
        if (graph.nodes[at].shape.h > 4 && graph.nodes[at].shape.w > 4)
            at = net_pool(&graph, at, OP_AVERAGE_POOL, 4, 4, 0);
        net_linear(&graph, at, 5, true);
        kernels_check(*state, &graph, c->count + 1, c->count, true);
        graph_release(&graph);
    }
}

static void wide_linear(void **state)
{
    static const int cases[][4] = {{4, 3, 5, 70}, {20, 2, 2, 129}, {3, 7, 1, 64}, {7, 1, 1, 33}}; /* c, h, w, out */
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct graph graph;
        graph_init(&graph);
        int at = net_input(&graph, 3, cases[i][1], cases[i][2]);
        at = net_conv_norm_relu(&graph, at, (struct net_window){.out = cases[i][0]});
        at = net_relu(&graph, net_linear(&graph, at, cases[i][3], i % 2));
        net_linear(&graph, at, 5, true);
        kernels_check(*state, &graph, 9, 9, true);
        graph_release(&graph);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_EVERY_BACKEND(uneven_windows),
        ON_EVERY_BACKEND(tile_edges),
        ON_EVERY_BACKEND(first_layers),
        ON_EVERY_BACKEND(wide_linear),
    };
    return cmocka_run_group_tests_name("convolution shapes", tests, NULL, NULL);
}
