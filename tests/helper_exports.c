#include "tests/helper_exports.h"

#include "shared/graph/graph_reference.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- building ---- */
static int add_weight(struct graph *graph, const char *layer, const char *leaf, const int *dims, int rank, bool trained)
{
    char name[100];
    int index;
    struct error err = {0};
    snprintf(name, sizeof name, "%s.%s", layer, leaf);
    if (graph_add_weight(graph, name, dims, rank, trained, &index, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    return index;
}

static int add_many(struct graph *graph, struct node node, const char *name, const int *inputs, int count)
{
    int index = -1;
    struct error err = {0};
    if (graph_add(graph, &node, name, inputs, count, &index, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    return index;
}

static int add(struct graph *graph, struct node node, const char *name, int input)
{
    return add_many(graph, node, name, &input, 1);
}

static int add_input(struct graph *graph, int c, int h, int w)
{
    struct node node = node_default(OP_INPUT);
    node.shape = (struct shape){c, h, w};
    return add_many(graph, node, "input", NULL, 0);
}

/* kernel k x k, padding k / 2 on every side unless the caller sets another one in `node` */
static struct node conv_node(struct graph *graph, const char *name, int input, int out, int k, int groups, bool bias)
{
    struct node node = node_default(OP_CONV);
    node.groups = groups;
    node.pad_top = node.pad_left = node.pad_bottom = node.pad_right = k / 2;
    node.weight =
        add_weight(graph, name, "weight", (const int[]){out, graph->nodes[input].shape.c / groups, k, k}, 4, true);
    if (bias)
        node.bias = add_weight(graph, name, "bias", &out, 1, true);
    return node;
}

static int conv(struct graph *graph, const char *name, int input, int out, int k, int groups, int stride, bool bias)
{
    struct node node = conv_node(graph, name, input, out, k, groups, bias);
    node.stride_h = node.stride_w = stride;
    return add(graph, node, name, input);
}

static int batch_norm(struct graph *graph, const char *name, int input)
{
    struct node node = node_default(OP_BATCH_NORM);
    int c = graph->nodes[input].shape.c;
    node.epsilon = 1e-3f;
    node.momentum = 0.2f;
    node.weight = add_weight(graph, name, "weight", &c, 1, true);
    node.bias = add_weight(graph, name, "bias", &c, 1, true);
    node.running_mean = add_weight(graph, name, "running_mean", &c, 1, false);
    node.running_var = add_weight(graph, name, "running_var", &c, 1, false);
    return add(graph, node, name, input);
}

static int activation(struct graph *graph, const char *name, int input, enum activation kind, float alpha, float beta)
{
    struct node node = node_default(OP_ACTIVATION);
    node.activation = kind;
    node.alpha = alpha;
    node.beta = beta;
    return add(graph, node, name, input);
}

static int linear(struct graph *graph, const char *name, int input, int out, bool bias)
{
    struct node node = node_default(OP_LINEAR);
    node.weight = add_weight(graph, name, "weight", (const int[]){out, graph->nodes[input].shape.c}, 2, true);
    if (bias)
        node.bias = add_weight(graph, name, "bias", &out, 1, true);
    return add(graph, node, name, input);
}

static struct node pool_node(enum op op, int k, int stride, int top, int left, int bottom, int right)
{
    struct node node = node_default(op);
    node.kernel_h = node.kernel_w = k;
    node.stride_h = node.stride_w = stride;
    node.pad_top = top;
    node.pad_left = left;
    node.pad_bottom = bottom;
    node.pad_right = right;
    return node;
}

static int simple(struct graph *graph, const char *name, enum op op, int input)
{
    return add(graph, node_default(op), name, input);
}

/* ---- the graphs ---- */

/* A residual network in the form that PyTorch exports. */
static void make_residual(struct graph *graph)
{
    int x = add_input(graph, 3, 19, 17);
    x = conv(graph, "conv1", x, 8, 3, 1, 2, false);
    x = batch_norm(graph, "bn1", x);
    x = activation(graph, "relu", x, ACTIVATION_RELU, 0, 0);
    int skip = add(graph, pool_node(OP_MAX_POOL, 3, 1, 1, 1, 1, 1), "maxpool", x);
    x = conv(graph, "layer1.0.conv1", skip, 8, 3, 8, 1, true);
    x = batch_norm(graph, "layer1.0.bn1", x);
    x = activation(graph, "layer1.0.relu", x, ACTIVATION_LEAKY_RELU, 0.1f, 0);
    x = add_many(graph, node_default(OP_ADD), "layer1.0.add", (const int[]){x, skip}, 2);
    struct node dropout = node_default(OP_DROPOUT);
    dropout.dropout = 0.3f;
    x = simple(graph, "pool", OP_GLOBAL_AVERAGE_POOL, x);
    x = add(graph, dropout, "dropout", x);
    x = simple(graph, "flatten", OP_FLATTEN, x);
    linear(graph, "fc", x, 11, true);
}

/* Gates, joins, ceil_mode; ends in [11, 1, 1] without a flatten. */
static void make_branches(struct graph *graph)
{
    int x = add_input(graph, 3, 14, 15);
    x = conv(graph, "stem", x, 12, 3, 3, 1, true);
    x = activation(graph, "stem.act", x, ACTIVATION_HARD_SWISH, 0, 0);
    int gate = simple(graph, "se.pool", OP_GLOBAL_AVERAGE_POOL, x);
    gate = conv(graph, "se.fc1", gate, 4, 1, 1, 1, true);
    gate = activation(graph, "se.relu", gate, ACTIVATION_RELU, 0, 0);
    gate = conv(graph, "se.fc2", gate, 12, 1, 1, 1, true);
    gate = activation(graph, "se.sigmoid", gate, ACTIVATION_HARD_SIGMOID, 1.0f / 6, 0.5f);
    int scaled = add_many(graph, node_default(OP_MULTIPLY), "se.scale", (const int[]){x, gate}, 2);
    int swish = activation(graph, "swish.sigmoid", x, ACTIVATION_SIGMOID, 0, 0);
    swish = add_many(graph, node_default(OP_MULTIPLY), "swish", (const int[]){x, swish}, 2);
    int sum = add_many(graph, node_default(OP_ADD), "sum", (const int[]){x, scaled, swish}, 3);
    struct node average = pool_node(OP_AVERAGE_POOL, 3, 2, 1, 1, 1, 1);
    average.ceil_mode = true;
    int a = add(graph, average, "average", sum);
    average.count_include_pad = true;
    int b = add(graph, average, "average_all", sum);
    struct node maximum = pool_node(OP_MAX_POOL, 3, 2, 1, 1, 1, 1);
    maximum.ceil_mode = true;
    int c = add(graph, maximum, "maximum", sum);
    x = add_many(graph, node_default(OP_CONCAT), "concat", (const int[]){a, b, c, a}, 4);
    x = activation(graph, "relu6", x, ACTIVATION_CLIP, 0, 6);
    x = conv(graph, "head", x, 11, 1, 1, 1, true);
    simple(graph, "gap", OP_GLOBAL_AVERAGE_POOL, x);
}

/* Uneven padding everywhere, dilation, a batch norm of vectors, probabilities at the end. */
static void make_uneven(struct graph *graph)
{
    int x = add_input(graph, 2, 13, 16);
    struct node pad = pool_node(OP_PAD, 1, 1, 0, 1, 2, 3);
    x = add(graph, pad, "pad", x);
    struct node node = conv_node(graph, "conv", x, 6, 3, 2, false);
    node.pad_top = 0; /* and 1 on the left */
    node.pad_bottom = 2;
    node.pad_right = 3;
    node.stride_h = 2;
    node.dilation_w = 2;
    x = add(graph, node, "conv", x);
    struct node maximum = pool_node(OP_MAX_POOL, 3, 1, 0, 1, 1, 0);
    maximum.dilation_h = 2;
    x = add(graph, maximum, "maximum", x);
    struct node average = pool_node(OP_AVERAGE_POOL, 3, 2, 1, 0, 0, 1);
    int a = add(graph, average, "average", x);
    average.count_include_pad = true;
    int b = add(graph, average, "average_all", x);
    x = add_many(graph, node_default(OP_CONCAT), "concat", (const int[]){a, b}, 2);
    x = simple(graph, "flatten", OP_FLATTEN, x);
    x = linear(graph, "fc1", x, 10, false);
    x = batch_norm(graph, "bn", x);
    x = activation(graph, "same", x, ACTIVATION_NONE, 0, 0);
    x = linear(graph, "fc2", x, 7, true);
    simple(graph, "softmax", OP_SOFTMAX, x);
}

/* Names that are taken, odd or hostile; weights shared by two layers; constants that are not trained. */
static void make_names(struct graph *graph)
{
    int index;
    struct error err = {0};
    int x = add_input(graph, 4, 9, 9);
    struct node scale = node_default(OP_CONV);
    scale.groups = 4;
    scale.weight = add_weight(graph, "x", "scale", (const int[]){4, 1, 1, 1}, 4, false);
    scale.bias = add_weight(graph, "x", "shift", (const int[]){4}, 1, false);
    x = add(graph, scale, "logits", x);
    struct node shared = conv_node(graph, "shared", x, 4, 3, 1, true);
    x = add(graph, shared, "first\n\"\"\"#", x);
    x = add(graph, shared, "shared.weight", x);
    struct node node = node_default(OP_CONV);
    if (graph_add_weight(graph, "onnx::Conv_1\"\\\n\xc3\xa4'''", (const int[]){5, 4, 2, 2}, 4, true, &node.weight,
                         &err) != STATUS_OK ||
        graph_add_weight(graph, "shared.block.bias", (const int[]){5}, 1, true, &node.bias, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    x = add(graph, node, "second", x);
    node = node_default(OP_BATCH_NORM);
    for (int i = 0; i < 4; i++) {
        static const char *const leaves[4] = {"w", "b", "running_mean", "v"};
        index = add_weight(graph, "odd", leaves[i], (const int[]){5}, 1, i < 2);
        *(i == 0 ? &node.weight : i == 1 ? &node.bias : i == 2 ? &node.running_mean : &node.running_var) = index;
    }
    x = add(graph, node, "odd", x);
    x = simple(graph, "pool/flat", OP_GLOBAL_AVERAGE_POOL, x);
    linear(graph, "fc", x, 3, true);
}

/* Vectors joined with maps: a gate without height and width, a map after a linear layer. */
static void make_ranks(struct graph *graph)
{
    int x = add_input(graph, 3, 8, 8);
    x = conv(graph, "conv", x, 6, 3, 1, 1, true);
    int gate = simple(graph, "gate.pool", OP_GLOBAL_AVERAGE_POOL, x);
    gate = simple(graph, "gate.flat", OP_FLATTEN, gate);
    gate = linear(graph, "gate.fc", gate, 6, true);
    gate = activation(graph, "gate.sigmoid", gate, ACTIVATION_SIGMOID, 0, 0);
    x = add_many(graph, node_default(OP_MULTIPLY), "scale", (const int[]){x, gate}, 2);
    x = simple(graph, "pool", OP_GLOBAL_AVERAGE_POOL, x);
    x = add_many(graph, node_default(OP_CONCAT), "concat", (const int[]){x, gate}, 2);
    x = conv(graph, "head", x, 9, 1, 1, 1, true);
    simple(graph, "out", OP_FLATTEN, x);
    graph->output = x; /* not the last node */
}

static int weighted(struct graph *graph, const char *name, struct node node, int input, int rank, bool trained,
                    bool bias)
{
    const struct shape s = graph->nodes[input].shape;
    const int dims[3] = {rank ? s.c : 1, s.h, s.w};
    node.weight = add_weight(graph, name, "weight", dims, rank ? rank : 1, trained);
    if (bias)
        node.bias = add_weight(graph, name, "bias", dims, rank ? rank : 1, trained);
    return add(graph, node, name, input);
}

/* Norms, scales, PReLU and selections, on maps and on vectors. */
static void make_blocks(struct graph *graph)
{
    static const int shuffled[8] = {0, 4, 1, 5, 2, 6, 3, 7}, half[4] = {2, 3, 4, 5};
    struct node group = node_default(OP_GROUP_NORM), bare = group, layer = node_default(OP_LAYER_NORM),
                select = node_default(OP_SELECT), lp = node_default(OP_LP_NORM);
    group.groups = 4, bare.groups = 2, lp.alpha = 2, lp.epsilon = 1e-12f;
    int x = conv(graph, "conv", add_input(graph, 3, 8, 8), 8, 3, 1, 1, true);
    x = weighted(graph, "gn", group, x, 1, true, true);
    x = weighted(graph, "gamma", node_default(OP_SCALE), x, 1, true, false);
    struct weight *gamma = &graph->weights[graph->nodes[x].weight]; /* the module has it as [8, 1, 1] */
    gamma->saved_rank = 3;
    memcpy(gamma->saved_dims, (const int[4]){8, 1, 1}, sizeof gamma->saved_dims);
    x = weighted(graph, "ln", layer, x, 1, true, true);
    x = weighted(graph, "prelu", node_default(OP_PRELU), x, 1, true, false);
    select.channels = shuffled, select.channel_count = 8;
    x = add(graph, select, "shuffle", x);
    select.channels = half, select.channel_count = 4;
    const int part = weighted(graph, "one", node_default(OP_PRELU), add(graph, select, "half", x), 0, true, false);
    x = add_many(graph, node_default(OP_CONCAT), "joined", (const int[]){x, part}, 2);
    x = add(graph, bare, "bare", x);
    x = weighted(graph, "constant", node_default(OP_SCALE), x, 1, false, true);
    graph->weights[graph->nodes[x].weight].literal = graph->weights[graph->nodes[x].bias].literal = true;
    x = weighted(graph, "map", node_default(OP_SCALE), x, 3, true, true);
    x = add(graph, lp, "unit", x);
    lp.alpha = 1;
    x = add(graph, lp, "sum", x);
    x = simple(graph, "flat", OP_FLATTEN, simple(graph, "pool", OP_GLOBAL_AVERAGE_POOL, x));
    x = weighted(graph, "vector", node_default(OP_SCALE), x, 1, true, true);
    x = weighted(graph, "vector_norm", layer, x, 1, true, true);
    add_weight(graph, "buffer", "mean", (const int[]){1, 3, 1, 1}, 4, false); /* no node reads it */
    linear(graph, "fc", x, 9, true);
}

/* Every activation, pads and resizes. */
static void make_positions(struct graph *graph)
{
    static const struct {
        enum activation kind;
        float alpha, beta;
    } kinds[] = {{ACTIVATION_SILU, 1, 0},         {ACTIVATION_SILU, 1.702f, 0}, {ACTIVATION_ELU, 0.7f, 0},
                 {ACTIVATION_SELU, 1.67f, 1.05f}, {ACTIVATION_CELU, 1.3f, 0},   {ACTIVATION_GELU, 0, 0},
                 {ACTIVATION_GELU_TANH, 0, 0},    {ACTIVATION_MISH, 0, 0},      {ACTIVATION_TANH, 0, 0},
                 {ACTIVATION_SOFTPLUS, 0, 0},     {ACTIVATION_SOFTSIGN, 0, 0},  {ACTIVATION_ABS, 0, 0}};
    struct node pad = node_default(OP_PAD), resize = node_default(OP_RESIZE);
    int values[sizeof kinds / sizeof *kinds + 1], count = 0;
    char name[32];
    int x = conv(graph, "conv", add_input(graph, 3, 7, 6), 6, 3, 1, 1, true);
    pad.pad_mode = PAD_REFLECT, pad.pad_top = 2, pad.pad_right = 1;
    x = add(graph, pad, "reflect", x);
    pad.pad_mode = PAD_EDGE, pad.pad_left = 2;
    x = add(graph, pad, "edge", x);
    pad.pad_mode = PAD_CONSTANT, pad.alpha = 0.5f, pad.pad_bottom = -1;
    x = add(graph, pad, "constant", x);
    const struct shape s = graph->nodes[x].shape;
    resize.resize = (struct resize){RESIZE_LINEAR, {2 * s.h, 2, 0.5, -0.5}, {2 * s.w, 2, 0.5, -0.5}};
    x = add(graph, resize, "double", x);
    resize.resize = (struct resize){RESIZE_NEAREST_FLOOR, {s.h, 0.5, 0, 0}, {s.w, 0.5, 0, 0}};
    x = add(graph, resize, "nearest", x);
    resize.resize = (struct resize){RESIZE_LINEAR, {s.h, 1, 0, 0}, {2 * s.w, 2, 0.5, -0.5}};
    x = add(graph, resize, "wider", x); /* the unchanged height says nothing about the mode */
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        snprintf(name, sizeof name, "act%zu", i);
        values[count++] = activation(graph, name, x, kinds[i].kind, kinds[i].alpha, kinds[i].beta);
    }
    x = add_many(graph, node_default(OP_CONCAT), "acts", values, count);
    x = simple(graph, "pool", OP_GLOBAL_AVERAGE_POOL, x);
    conv(graph, "head", x, 9, 1, 1, 1, true);
}

static const struct {
    const char *name;
    void (*make)(struct graph *graph);
} graphs[EXPORT_HOME_COUNT] = {
    {"residual", make_residual}, {"branches", make_branches}, {"uneven", make_uneven},       {"names", make_names},
    {"ranks", make_ranks},       {"blocks", make_blocks},     {"positions", make_positions},
};

const char *export_graph_name(int which)
{
    return graphs[which].name;
}

void export_graph_make(struct graph *graph, int which)
{
    graph_init(graph);
    graphs[which].make(graph);
    graph_initialise(graph, 7);
    for (int i = 0; i < graph->weight_count; i++) {
        struct weight *weight = &graph->weights[i];
        if (weight->rank > 1 && weight->trained)
            continue;
        export_fill(weight->data, weight->count);
        for (size_t k = 0; k < weight->count; k++) /* 0.5 to 1.5 for everything that scales, variances included */
            weight->data[k] = weight->data[k] / 4 + 1;
    }
}

/* ---- values ---- */
static double noise(size_t i)
{
    return (double)((i * 2654435761u + 12345) & 0xffffffffu) / 2147483648.0 - 1;
}

void export_fill(float *values, size_t count)
{
    for (size_t i = 0; i < count; i++)
        values[i] = (float)(noise(i) + noise(i / 777));
}

size_t export_elements(const struct graph *graph, int node)
{
    struct shape s = graph->nodes[node].shape;
    return (size_t)s.c * (size_t)s.h * (size_t)s.w;
}

float *export_forward(const struct graph *graph, int node, int n)
{
    struct error err = {0};
    size_t in = (size_t)n * export_elements(graph, graph->input), out = (size_t)n * export_elements(graph, node);
    float *input = malloc(in * sizeof *input), *output = malloc(out * sizeof *output);
    assert_non_null(input);
    assert_non_null(output);
    export_fill(input, in);
    if (graph_forward_reference(graph, input, n, node, output, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    free(input);
    return output;
}

double export_relative_error(const float *found, const float *expected, size_t count)
{
    double difference = 0, magnitude = 0;
    for (size_t i = 0; i < count; i++) {
        if (!isfinite(found[i]) || !isfinite(expected[i]))
            return INFINITY;
        difference = fmax(difference, fabs((double)found[i] - (double)expected[i]));
        magnitude = fmax(magnitude, fabs((double)expected[i]));
    }
    return difference / (magnitude > 0 ? magnitude : 1);
}
