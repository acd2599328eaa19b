#include "tests/helper_networks.h"

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

void network_fill(struct random_stream *random, float *values, size_t count)
{
    for (size_t i = 0; i < count; i++)
        values[i] = 2 * random_uniform(random) - 1;
}

int network_add(struct network *network, struct node node, const int *inputs, int input_count)
{
    struct error err = {0};
    char name[32];
    int index;
    snprintf(name, sizeof name, "n%d", network->graph.node_count);
    must(graph_add(&network->graph, &node, name, inputs, input_count, &index, &err), &err);
    return index;
}

int network_add1(struct network *network, struct node node, int input)
{
    return network_add(network, node, &input, 1);
}

void network_init(struct network *network, uint64_t seed, int c, int h, int w)
{
    graph_init(&network->graph);
    random_stream_init(&network->random, seed, RANDOM_INIT, 0, 0);
    struct node input = node_default(OP_INPUT);
    input.shape = (struct shape){c, h, w};
    network_add(network, input, NULL, 0);
}

void network_release(struct network *network)
{
    graph_release(&network->graph);
}

/* A weight of the node that will be added next: centre + scale * uniform(-1, 1). */
static int weight(struct network *network, const char *kind, const int *dims, int rank, float centre, float scale)
{
    struct error err = {0};
    char name[64];
    int index;
    snprintf(name, sizeof name, "n%d.%s", network->graph.node_count, kind);
    must(graph_add_weight(&network->graph, name, dims, rank, true, &index, &err), &err);
    struct weight *added = &network->graph.weights[index];
    network_fill(&network->random, added->data, added->count);
    for (size_t i = 0; i < added->count; i++)
        added->data[i] = centre + scale * added->data[i];
    return index;
}

int network_conv_node(struct network *network, struct node node, int input, int channels, bool bias)
{
    int per_group = network->graph.nodes[input].shape.c / node.groups;
    const int dims[4] = {channels, per_group, node.kernel_h, node.kernel_w};
    node.weight = weight(network, "weight", dims, 4, 0, sqrtf(6.0f / (float)(per_group * dims[2] * dims[3])));
    if (bias)
        node.bias = weight(network, "bias", &channels, 1, 0, 0.5f);
    return network_add1(network, node, input);
}

int network_conv(struct network *network, int input, int channels, int kernel, int stride, int padding, int groups)
{
    struct node node = node_default(OP_CONV);
    node.kernel_h = node.kernel_w = kernel;
    node.stride_h = node.stride_w = stride;
    node.pad_top = node.pad_left = node.pad_bottom = node.pad_right = padding;
    node.groups = groups;
    return network_conv_node(network, node, input, channels, false);
}

int network_linear(struct network *network, int input, int features)
{
    struct node node = node_default(OP_LINEAR);
    const int dims[2] = {features, network->graph.nodes[input].shape.c};
    node.weight = weight(network, "weight", dims, 2, 0, sqrtf(3.0f / (float)dims[1]));
    node.bias = weight(network, "bias", dims, 1, 0, 0.5f);
    return network_add1(network, node, input);
}

int network_batch_norm(struct network *network, int input)
{
    struct node node = node_default(OP_BATCH_NORM);
    int channels = network->graph.nodes[input].shape.c;
    node.weight = weight(network, "weight", &channels, 1, 1, 0.5f);
    node.bias = weight(network, "bias", &channels, 1, 0, 0.5f);
    node.running_mean = weight(network, "running_mean", &channels, 1, 0, 0.5f);
    node.running_var = weight(network, "running_var", &channels, 1, 1, 0.5f);
    return network_add1(network, node, input);
}

int network_activation(struct network *network, int input, enum activation activation, float alpha, float beta)
{
    struct node node = node_default(OP_ACTIVATION);
    node.activation = activation;
    node.alpha = alpha;
    node.beta = beta;
    return network_add1(network, node, input);
}

int network_relu(struct network *network, int input)
{
    return network_activation(network, input, ACTIVATION_RELU, 0, 0);
}

int network_op1(struct network *network, enum op op, int input)
{
    return network_add1(network, node_default(op), input);
}

int network_op2(struct network *network, enum op op, int first, int second)
{
    return network_add(network, node_default(op), (const int[]){first, second}, 2);
}

int network_max_pool(struct network *network, int input, int kernel, int stride, int padding)
{
    struct node node = node_default(OP_MAX_POOL);
    node.kernel_h = node.kernel_w = kernel;
    node.stride_h = node.stride_w = stride;
    node.pad_top = node.pad_left = node.pad_bottom = node.pad_right = padding;
    return network_add1(network, node, input);
}

static int conv_norm(struct network *network, int input, int channels, int kernel, int stride, int groups)
{
    return network_batch_norm(network, network_conv(network, input, channels, kernel, stride, kernel / 2, groups));
}

static int basic_block(struct network *network, int input, int channels, int stride)
{
    int x = network_relu(network, conv_norm(network, input, channels, 3, stride, 1)), shortcut = input;
    x = conv_norm(network, x, channels, 3, 1, 1);
    if (stride != 1 || network->graph.nodes[input].shape.c != channels)
        shortcut = conv_norm(network, input, channels, 1, stride, 1);
    return network_relu(network, network_op2(network, OP_ADD, x, shortcut));
}

static void classifier(struct network *network, int x, int classes)
{
    x = network_op1(network, OP_FLATTEN, network_op1(network, OP_GLOBAL_AVERAGE_POOL, x));
    network_linear(network, x, classes);
}

void network_resnet18(struct network *network, uint64_t seed, int size, int classes)
{
    network_init(network, seed, 3, size, size);
    int x = network_relu(network, conv_norm(network, 0, 64, 7, 2, 1));
    x = network_max_pool(network, x, 3, 2, 1);
    for (int stage = 0; stage < 4; stage++)
        for (int block = 0; block < 2; block++)
            x = basic_block(network, x, 64 << stage, stage > 0 && block == 0 ? 2 : 1);
    classifier(network, x, classes);
}

static int relu6(struct network *network, int input)
{
    return network_activation(network, input, ACTIVATION_CLIP, 0, 6);
}

static int inverted_residual(struct network *network, int input, int channels, int stride, int expand)
{
    int wide = network->graph.nodes[input].shape.c * expand, x = input;
    if (expand > 1)
        x = relu6(network, conv_norm(network, x, wide, 1, 1, 1));
    x = relu6(network, conv_norm(network, x, wide, 3, stride, wide));
    x = conv_norm(network, x, channels, 1, 1, 1);
    bool residual = stride == 1 && network->graph.nodes[input].shape.c == channels;
    return residual ? network_op2(network, OP_ADD, input, x) : x;
}

void network_mobilenet_v2(struct network *network, uint64_t seed, int size, int classes)
{
    static const int stages[7][4] = {
        {1, 16, 1, 1}, {6, 24, 2, 2},  {6, 32, 3, 2}, {6, 64, 4, 2},
        {6, 96, 3, 1}, {6, 160, 3, 2}, {6, 320, 1, 1}}; /* expand, channels, blocks, stride */
    network_init(network, seed, 3, size, size);
    int x = relu6(network, conv_norm(network, 0, 32, 3, 2, 1));
    for (int s = 0; s < 7; s++)
        for (int block = 0; block < stages[s][2]; block++)
            x = inverted_residual(network, x, stages[s][1], block == 0 ? stages[s][3] : 1, stages[s][0]);
    classifier(network, relu6(network, conv_norm(network, x, 1280, 1, 1, 1)), classes);
}
