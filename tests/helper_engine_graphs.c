#include "tests/helper_engine_graphs.h"

#include <string.h>

/* ---- single operators ---- */

struct window_case {
    int c, h, w, channels, kernel[2], stride[2], dilation[2], pad[4], groups; /* pad: top, left, bottom, right */
};

static struct node window_node(enum op op, const struct window_case *window)
{
    struct node node = node_default(op);
    node.kernel_h = window->kernel[0], node.kernel_w = window->kernel[1];
    node.stride_h = window->stride[0], node.stride_w = window->stride[1];
    node.dilation_h = window->dilation[0], node.dilation_w = window->dilation[1];
    node.pad_top = window->pad[0], node.pad_left = window->pad[1];
    node.pad_bottom = window->pad[2], node.pad_right = window->pad[3];
    node.groups = window->groups ? window->groups : 1;
    return node;
}

void engine_convolutions(engine_check *check)
{
    static const struct window_case cases[] = {
        {3, 17, 19, 16, {3, 3}, {2, 2}, {1, 1}, {0, 0, 1, 1}, 1}, /* SAME padding of TensorFlow */
        {3, 32, 32, 64, {7, 7}, {2, 2}, {1, 1}, {3, 3, 3, 3}, 1},
        {1, 9, 5, 7, {3, 2}, {1, 2}, {1, 1}, {1, 0, 2, 1}, 1},
        {5, 8, 8, 3, {1, 1}, {1, 1}, {1, 1}, {0, 0, 0, 0}, 1},
        {24, 14, 14, 144, {1, 1}, {1, 1}, {1, 1}, {0, 0, 0, 0}, 1},
        {40, 7, 7, 20, {1, 1}, {2, 2}, {1, 1}, {0, 0, 0, 0}, 1},
        {12, 13, 11, 12, {3, 3}, {1, 1}, {1, 1}, {1, 1, 1, 1}, 12}, /* depthwise */
        {96, 13, 13, 96, {3, 3}, {2, 2}, {1, 1}, {0, 0, 1, 1}, 96},
        {33, 9, 9, 33, {5, 5}, {2, 2}, {1, 1}, {2, 2, 2, 2}, 33},
        {6, 9, 9, 12, {3, 3}, {1, 1}, {1, 1}, {1, 1, 1, 1}, 6}, /* two outputs per input channel */
        {32, 8, 8, 48, {3, 3}, {1, 1}, {1, 1}, {1, 1, 1, 1}, 4},
        {10, 8, 8, 15, {3, 3}, {1, 1}, {1, 1}, {1, 1, 1, 1}, 5},
        {16, 15, 15, 16, {3, 3}, {1, 1}, {2, 2}, {2, 2, 2, 2}, 1},
        {8, 15, 12, 8, {3, 3}, {2, 1}, {3, 2}, {3, 0, 1, 2}, 8},
        {64, 1, 1, 10, {1, 1}, {1, 1}, {1, 1}, {0, 0, 0, 0}, 1},
        {512, 7, 7, 32, {7, 7}, {1, 1}, {1, 1}, {0, 0, 0, 0}, 1},
        {4, 6, 6, 4, {6, 6}, {1, 1}, {1, 1}, {5, 5, 5, 5}, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int bias = 0; bias < 2; bias++) {
            struct graph_builder builder;
            build_init(&builder, i, cases[i].c, cases[i].h, cases[i].w);
            build_conv_node(&builder, window_node(OP_CONV, &cases[i]), 0, cases[i].channels, bias);
            check(&builder);
            build_release(&builder);
        }
}

void engine_pools(engine_check *check)
{
    static const struct window_case cases[] = {
        {16, 12, 12, 0, {2, 2}, {2, 2}, {1, 1}, {0, 0, 0, 0}, 0},
        {64, 13, 9, 0, {3, 3}, {2, 2}, {1, 1}, {1, 1, 1, 1}, 0},
        {5, 7, 8, 0, {3, 2}, {1, 2}, {1, 1}, {1, 0, 0, 1}, 0},
        {17, 14, 14, 0, {2, 2}, {2, 2}, {1, 1}, {0, 0, 0, 0}, 0},
        {3, 15, 15, 0, {4, 4}, {3, 3}, {1, 1}, {2, 2, 2, 2}, 0},
        {8, 10, 10, 0, {5, 5}, {4, 4}, {1, 1}, {1, 1, 1, 1}, 0},
        {20, 11, 11, 0, {3, 3}, {3, 3}, {1, 1}, {0, 0, 1, 1}, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int variant = 0; variant < 8; variant++) {
            struct graph_builder builder;
            struct node node = window_node(variant & 1 ? OP_AVERAGE_POOL : OP_MAX_POOL, &cases[i]);
            node.ceil_mode = variant & 2;
            node.count_include_pad = variant & 4;
            build_init(&builder, i, cases[i].c, cases[i].h, cases[i].w);
            build_add1(&builder, node, 0);
            check(&builder);
            build_release(&builder);
        }
    struct graph_builder builder;
    struct window_case dilated = {6, 15, 13, 0, {3, 3}, {2, 1}, {2, 3}, {1, 1, 1, 1}, 0};
    build_init(&builder, 1, 6, 15, 13);
    build_op1(&builder, OP_GLOBAL_AVERAGE_POOL, build_add1(&builder, window_node(OP_MAX_POOL, &dilated), 0));
    check(&builder);
    build_release(&builder);
}

static const struct {
    enum activation activation;
    float alpha, beta;
} activations[] = {{ACTIVATION_RELU, 0, 0},
                   {ACTIVATION_LEAKY_RELU, 0.1f, 0},
                   {ACTIVATION_CLIP, 0, 6},
                   {ACTIVATION_CLIP, -0.25f, 0.5f},
                   {ACTIVATION_HARD_SIGMOID, 1.0f / 6, 0.5f},
                   {ACTIVATION_HARD_SIGMOID, 0.2f, 0.5f},
                   {ACTIVATION_HARD_SWISH, 0, 0},
                   {ACTIVATION_SIGMOID, 0, 0},
                   {ACTIVATION_SILU, 1, 0},
                   {ACTIVATION_SILU, 1.702f, 0},
                   {ACTIVATION_ELU, 1, 0},
                   {ACTIVATION_ELU, 0.3f, 0},
                   {ACTIVATION_SELU, 1.6732632f, 1.0507010f},
                   {ACTIVATION_CELU, 1, 0},
                   {ACTIVATION_CELU, 0.25f, 0},
                   {ACTIVATION_GELU, 0, 0},
                   {ACTIVATION_GELU_TANH, 0, 0},
                   {ACTIVATION_MISH, 0, 0},
                   {ACTIVATION_TANH, 0, 0},
                   {ACTIVATION_SOFTPLUS, 0, 0},
                   {ACTIVATION_SOFTSIGN, 0, 0},
                   {ACTIVATION_ABS, 0, 0}};

void engine_activations(engine_check *check)
{
    for (size_t i = 0; i < sizeof activations / sizeof *activations; i++) {
        struct graph_builder builder;
        enum activation kind = activations[i].activation;
        float alpha = activations[i].alpha, beta = activations[i].beta;
        build_init(&builder, i, 6, 9, 7);
        int x = build_activation(&builder, 0, kind, alpha, beta);
        x = build_activation(&builder, build_conv(&builder, x, 20, 3, 1, 1, 1), kind, alpha, beta);
        int y = build_op2(&builder, OP_ADD, build_conv(&builder, x, 20, 1, 1, 0, 1), x);
        y = build_activation(&builder, y, kind, alpha, beta);
        y = build_activation(&builder, build_batch_norm(&builder, y), kind, alpha, beta);
        y = build_linear(&builder, build_op1(&builder, OP_FLATTEN, y), 11);
        build_activation(&builder, build_activation(&builder, y, kind, alpha, beta), kind, alpha, beta);
        check(&builder);
        build_release(&builder);
    }
}

void engine_combinations(engine_check *check)
{
    struct graph_builder builder;
    build_init(&builder, 3, 5, 10, 9);
    int a = build_conv(&builder, 0, 24, 3, 1, 1, 1), b = build_conv(&builder, 0, 17, 3, 1, 1, 1);
    int c = build_add(&builder, node_default(OP_CONCAT), (const int[]){a, 0, b, a}, 4);
    int d = build_relu(&builder, build_batch_norm(&builder, c));
    int gate = build_op1(&builder, OP_GLOBAL_AVERAGE_POOL, d);
    gate = build_activation(&builder, build_conv(&builder, gate, 70, 1, 1, 0, 1), ACTIVATION_SIGMOID, 0, 0);
    int e = build_op2(&builder, OP_MULTIPLY, d, gate);
    e = build_op2(&builder, OP_MULTIPLY, e, c);
    e = build_add(&builder, node_default(OP_ADD), (const int[]){e, d, c, e}, 4);
    e = build_op2(&builder, OP_ADD, e, e);
    struct node pad = node_default(OP_PAD);
    pad.pad_top = 1, pad.pad_right = 2, pad.pad_bottom = 3;
    e = build_add1(&builder, pad, e);
    e = build_op1(&builder, OP_DROPOUT, e);
    e = build_linear(&builder, build_op1(&builder, OP_FLATTEN, e), 13);
    e = build_linear(&builder, build_op1(&builder, OP_DROPOUT, build_relu(&builder, e)), 6);
    build_op1(&builder, OP_SOFTMAX, e);
    build_op1(&builder, OP_LOG_SOFTMAX, e);
    check(&builder);
    build_release(&builder);
}

/* Multilayer perceptrons: the first layer reads the caller's memory itself, in another shape. */
void engine_perceptrons(engine_check *check)
{
    static const struct shape inputs[] = {{1, 6, 5}, {3, 6, 5}, {1, 28, 28}, {7, 1, 1}, {1, 1, 1}};
    for (size_t i = 0; i < sizeof inputs / sizeof *inputs; i++) {
        struct graph_builder builder;
        build_init(&builder, i, inputs[i].c, inputs[i].h, inputs[i].w);
        const int flat = inputs[i].h > 1 ? build_op1(&builder, OP_FLATTEN, 0) : 0;
        build_linear(&builder, build_relu(&builder, build_linear(&builder, flat, 16)), 4);
        check(&builder);
        build_release(&builder);
    }
}

void engine_residuals(engine_check *check)
{
    struct graph_builder builder;
    build_init(&builder, 4, 16, 8, 8);
    int x = build_op2(&builder, OP_ADD, build_conv(&builder, 0, 16, 3, 1, 1, 1), 0);
    x = build_op2(&builder, OP_ADD, build_conv(&builder, x, 16, 3, 1, 1, 1), 0); /* the caller's memory */
    int y = build_relu(&builder, build_op2(&builder, OP_ADD, x, build_conv(&builder, x, 16, 1, 1, 0, 1)));
    int late = build_conv(&builder, y, 16, 3, 1, 1, 16);
    int z = build_op2(&builder, OP_ADD, build_conv(&builder, y, 16, 1, 1, 0, 1),
                      build_conv(&builder, x, 16, 3, 1, 1, 1)); /* x is read again later */
    z = build_op2(&builder, OP_ADD, z, x);
    int w = build_op2(&builder, OP_ADD, late, z);
    w = build_op2(&builder, OP_ADD, build_conv(&builder, w, 16, 3, 1, 1, 1), build_op1(&builder, OP_DROPOUT, w));
    w = build_op2(&builder, OP_ADD, w, w);
    build_op2(&builder, OP_CONCAT, w, y);
    check(&builder);
    build_release(&builder);
}

/* ---- random graphs ---- */

static int draw(struct graph_builder *builder, int bound)
{
    return (int)random_below(&builder->random, (uint32_t)bound);
}

/* A node of the same shape as node i, perhaps i itself. */
static int same_shape(struct graph_builder *builder, int i)
{
    const struct graph *graph = &builder->graph;
    int found = i;
    for (int k = 0, seen = 0; k < graph->node_count; k++)
        if (memcmp(&graph->nodes[k].shape, &graph->nodes[i].shape, sizeof(struct shape)) == 0 &&
            draw(builder, ++seen) == 0)
            found = k;
    return found;
}

static void append_random(struct graph_builder *builder)
{
    int count = builder->graph.node_count, x = count - 1 - draw(builder, count < 4 ? count : 4);
    struct shape shape = builder->graph.nodes[x].shape;
    size_t which = (size_t)draw(builder, (int)(sizeof activations / sizeof *activations));
    switch (draw(builder, 12)) {
    case 0:
        build_conv(builder, x, shape.c, shape.h > 2 && shape.w > 2 ? 1 + 2 * draw(builder, 2) : 1, 1, draw(builder, 2),
                   1);
        break;
    case 1:
        build_conv(builder, x, shape.c, 3, 1, 1, shape.c);
        break;
    case 2:
        build_conv(builder, x, 1 + draw(builder, 40), 3, 1 + draw(builder, 2), 1, 1);
        break;
    case 3:
        build_batch_norm(builder, x);
        break;
    case 4:
        build_activation(builder, x, activations[which].activation, activations[which].alpha, activations[which].beta);
        break;
    case 5:
        build_max_pool(builder, x, 3, 1, 1);
        break;
    case 6:
        build_op2(builder, shape.c < 200 && draw(builder, 3) == 0 ? OP_CONCAT : OP_ADD, x, same_shape(builder, x));
        break;
    case 7:
    case 8:
    case 9:
        engine_random_operator(builder, x);
        break;
    default: /* the most frequent case, so that there is much to fuse */
        build_op2(builder, OP_ADD, build_conv(builder, x, shape.c, 3, 1, 1, 1), same_shape(builder, x));
        break;
    }
}

void engine_random_graph(struct graph_builder *builder, uint64_t seed)
{
    enum { NODES = 16 };
    build_init(builder, seed, 1 + (int)(seed % 20), 6 + (int)(seed % 7), 12);
    while (builder->graph.node_count < NODES)
        append_random(builder);
}
