#include "tests/helper_graphs.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static void must(enum status status, const struct error *err)
{
    if (status == STATUS_OK)
        return;
    fprintf(stderr, "cannot build the network: %s\n", err->message);
    abort();
}

void build_fill(struct random_stream *random, float *values, size_t count)
{
    for (size_t i = 0; i < count; i++)
        values[i] = 2 * random_uniform(random) - 1;
}

int build_add(struct graph_builder *builder, struct node node, const int *inputs, int input_count)
{
    struct error err = {0};
    char name[32];
    int index;
    snprintf(name, sizeof name, "n%d", builder->graph.node_count);
    must(graph_add(&builder->graph, &node, name, inputs, input_count, &index, &err), &err);
    return index;
}

int build_add1(struct graph_builder *builder, struct node node, int input)
{
    return build_add(builder, node, &input, 1);
}

void build_init(struct graph_builder *builder, uint64_t seed, int c, int h, int w)
{
    graph_init(&builder->graph);
    random_stream_init(&builder->random, seed, RANDOM_INIT, 0, 0);
    struct node input = node_default(OP_INPUT);
    input.shape = (struct shape){c, h, w};
    build_add(builder, input, NULL, 0);
}

void build_release(struct graph_builder *builder)
{
    graph_release(&builder->graph);
}

int build_weight(struct graph_builder *builder, const char *kind, const int *dims, int rank, float centre, float scale)
{
    struct error err = {0};
    char name[64];
    int index;
    snprintf(name, sizeof name, "n%d.%s", builder->graph.node_count, kind);
    must(graph_add_weight(&builder->graph, name, dims, rank, true, &index, &err), &err);
    struct weight *added = &builder->graph.weights[index];
    build_fill(&builder->random, added->data, added->count);
    for (size_t i = 0; i < added->count; i++)
        added->data[i] = centre + scale * added->data[i];
    return index;
}

int build_conv_node(struct graph_builder *builder, struct node node, int input, int channels, bool bias)
{
    int per_group = builder->graph.nodes[input].shape.c / node.groups;
    const int dims[4] = {channels, per_group, node.kernel_h, node.kernel_w};
    node.weight = build_weight(builder, "weight", dims, 4, 0, sqrtf(6.0f / (float)(per_group * dims[2] * dims[3])));
    if (bias)
        node.bias = build_weight(builder, "bias", &channels, 1, 0, 0.5f);
    return build_add1(builder, node, input);
}

int build_conv(struct graph_builder *builder, int input, int channels, int kernel, int stride, int padding, int groups)
{
    struct node node = node_default(OP_CONV);
    node.kernel_h = node.kernel_w = kernel;
    node.stride_h = node.stride_w = stride;
    node.pad_top = node.pad_left = node.pad_bottom = node.pad_right = padding;
    node.groups = groups;
    return build_conv_node(builder, node, input, channels, false);
}

int build_linear(struct graph_builder *builder, int input, int features)
{
    struct node node = node_default(OP_LINEAR);
    const int dims[2] = {features, builder->graph.nodes[input].shape.c};
    node.weight = build_weight(builder, "weight", dims, 2, 0, sqrtf(3.0f / (float)dims[1]));
    node.bias = build_weight(builder, "bias", dims, 1, 0, 0.5f);
    return build_add1(builder, node, input);
}

int build_batch_norm(struct graph_builder *builder, int input)
{
    struct node node = node_default(OP_BATCH_NORM);
    int channels = builder->graph.nodes[input].shape.c;
    node.weight = build_weight(builder, "weight", &channels, 1, 1, 0.5f);
    node.bias = build_weight(builder, "bias", &channels, 1, 0, 0.5f);
    node.running_mean = build_weight(builder, "running_mean", &channels, 1, 0, 0.5f);
    node.running_var = build_weight(builder, "running_var", &channels, 1, 1, 0.5f);
    builder->graph.weights[node.running_mean].trained = builder->graph.weights[node.running_var].trained = false;
    return build_add1(builder, node, input);
}

int build_activation(struct graph_builder *builder, int input, enum activation activation, float alpha, float beta)
{
    struct node node = node_default(OP_ACTIVATION);
    node.activation = activation;
    node.alpha = alpha;
    node.beta = beta;
    return build_add1(builder, node, input);
}

int build_relu(struct graph_builder *builder, int input)
{
    return build_activation(builder, input, ACTIVATION_RELU, 0, 0);
}

int build_op1(struct graph_builder *builder, enum op op, int input)
{
    return build_add1(builder, node_default(op), input);
}

int build_op2(struct graph_builder *builder, enum op op, int first, int second)
{
    return build_add(builder, node_default(op), (const int[]){first, second}, 2);
}

int build_max_pool(struct graph_builder *builder, int input, int kernel, int stride, int padding)
{
    struct node node = node_default(OP_MAX_POOL);
    node.kernel_h = node.kernel_w = kernel;
    node.stride_h = node.stride_w = stride;
    node.pad_top = node.pad_left = node.pad_bottom = node.pad_right = padding;
    return build_add1(builder, node, input);
}

static int conv_norm(struct graph_builder *builder, int input, int channels, int kernel, int stride, int groups)
{
    return build_batch_norm(builder, build_conv(builder, input, channels, kernel, stride, kernel / 2, groups));
}

static int basic_block(struct graph_builder *builder, int input, int channels, int stride)
{
    int x = build_relu(builder, conv_norm(builder, input, channels, 3, stride, 1)), shortcut = input;
    x = conv_norm(builder, x, channels, 3, 1, 1);
    if (stride != 1 || builder->graph.nodes[input].shape.c != channels)
        shortcut = conv_norm(builder, input, channels, 1, stride, 1);
    return build_relu(builder, build_op2(builder, OP_ADD, x, shortcut));
}

static void classifier(struct graph_builder *builder, int x, int classes)
{
    x = build_op1(builder, OP_FLATTEN, build_op1(builder, OP_GLOBAL_AVERAGE_POOL, x));
    build_linear(builder, x, classes);
}

void build_resnet18(struct graph_builder *builder, uint64_t seed, int size, int classes)
{
    build_init(builder, seed, 3, size, size);
    int x = build_relu(builder, conv_norm(builder, 0, 64, 7, 2, 1));
    x = build_max_pool(builder, x, 3, 2, 1);
    for (int stage = 0; stage < 4; stage++)
        for (int block = 0; block < 2; block++)
            x = basic_block(builder, x, 64 << stage, stage > 0 && block == 0 ? 2 : 1);
    classifier(builder, x, classes);
}

static int relu6(struct graph_builder *builder, int input)
{
    return build_activation(builder, input, ACTIVATION_CLIP, 0, 6);
}

static int inverted_residual(struct graph_builder *builder, int input, int channels, int stride, int expand)
{
    int wide = builder->graph.nodes[input].shape.c * expand, x = input;
    if (expand > 1)
        x = relu6(builder, conv_norm(builder, x, wide, 1, 1, 1));
    x = relu6(builder, conv_norm(builder, x, wide, 3, stride, wide));
    x = conv_norm(builder, x, channels, 1, 1, 1);
    bool residual = stride == 1 && builder->graph.nodes[input].shape.c == channels;
    return residual ? build_op2(builder, OP_ADD, input, x) : x;
}

void build_mobilenet_v2(struct graph_builder *builder, uint64_t seed, int size, int classes)
{
    static const int stages[7][4] = {
        {1, 16, 1, 1}, {6, 24, 2, 2},  {6, 32, 3, 2}, {6, 64, 4, 2},
        {6, 96, 3, 1}, {6, 160, 3, 2}, {6, 320, 1, 1}}; /* expand, channels, blocks, stride */
    build_init(builder, seed, 3, size, size);
    int x = relu6(builder, conv_norm(builder, 0, 32, 3, 2, 1));
    for (int s = 0; s < 7; s++)
        for (int block = 0; block < stages[s][2]; block++)
            x = inverted_residual(builder, x, stages[s][1], block == 0 ? stages[s][3] : 1, stages[s][0]);
    classifier(builder, relu6(builder, conv_norm(builder, x, 1280, 1, 1, 1)), classes);
}
