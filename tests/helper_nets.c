#include "tests/helper_nets.h"

#include "shared/base/random.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int net_node(struct graph *graph, const struct node *node, const int *inputs, int input_count)
{
    struct error err = {0};
    char name[32];
    int index;
    snprintf(name, sizeof name, "n%d", graph->node_count);
    if (graph_add(graph, node, name, inputs, input_count, &index, &err) != STATUS_OK) {
        fprintf(stderr, "%s\n", err.message);
        abort();
    }
    return index;
}

static int weight(struct graph *graph, const char *what, int rank, const int *dims, bool trained)
{
    struct error err = {0};
    char name[64];
    int index;
    snprintf(name, sizeof name, "n%d.%s", graph->node_count, what);
    if (graph_add_weight(graph, name, dims, rank, trained, &index, &err) != STATUS_OK)
        abort();
    return index;
}

int net_input(struct graph *graph, int c, int h, int w)
{
    struct node node = node_default(OP_INPUT);
    node.shape = (struct shape){c, h, w};
    return net_node(graph, &node, NULL, 0);
}

int net_conv(struct graph *graph, int from, struct net_window o)
{
    const int in = graph->nodes[from].shape.c, groups = o.groups ? o.groups : 1, out = o.out ? o.out : in;
    const int kernel = o.kernel ? o.kernel : 1;
    struct node node = node_default(OP_CONV);
    node.stride_h = node.stride_w = o.stride ? o.stride : 1;
    node.dilation_h = node.dilation_w = o.dilation ? o.dilation : 1;
    node.pad_top = node.pad_left = node.pad_bottom = node.pad_right = o.pad;
    node.groups = groups;
    node.weight = weight(graph, "weight", 4, (int[]){out, in / groups, kernel, kernel}, true);
    if (o.bias)
        node.bias = weight(graph, "bias", 1, &out, true);
    return net_node(graph, &node, &from, 1);
}

int net_batch_norm(struct graph *graph, int from)
{
    const int c = graph->nodes[from].shape.c;
    struct node node = node_default(OP_BATCH_NORM);
    node.weight = weight(graph, "weight", 1, &c, true);
    node.bias = weight(graph, "bias", 1, &c, true);
    node.running_mean = weight(graph, "running_mean", 1, &c, false);
    node.running_var = weight(graph, "running_var", 1, &c, false);
    return net_node(graph, &node, &from, 1);
}

int net_activation(struct graph *graph, int from, enum activation activation, float alpha, float beta)
{
    struct node node = node_default(OP_ACTIVATION);
    node.activation = activation;
    node.alpha = alpha;
    node.beta = beta;
    return net_node(graph, &node, &from, 1);
}

int net_relu(struct graph *graph, int from)
{
    return net_activation(graph, from, ACTIVATION_RELU, 0, 0);
}

int net_conv_norm_relu(struct graph *graph, int from, struct net_window options)
{
    return net_relu(graph, net_batch_norm(graph, net_conv(graph, from, options)));
}

int net_pool(struct graph *graph, int from, enum op op, int kernel, int stride, int pad)
{
    struct node node = node_default(op);
    node.kernel_h = node.kernel_w = kernel;
    node.stride_h = node.stride_w = stride;
    node.pad_top = node.pad_left = node.pad_bottom = node.pad_right = pad;
    return net_node(graph, &node, &from, 1);
}

int net_linear(struct graph *graph, int from, int out, bool bias)
{
    const struct shape s = graph->nodes[from].shape;
    const struct node flatten = node_default(OP_FLATTEN);
    struct node node = node_default(OP_LINEAR);
    if (s.h != 1 || s.w != 1)
        from = net_node(graph, &flatten, &from, 1);
    node.weight = weight(graph, "weight", 2, (int[]){out, s.c * s.h * s.w}, true);
    if (bias)
        node.bias = weight(graph, "bias", 1, &out, true);
    return net_node(graph, &node, &from, 1);
}

int net_add(struct graph *graph, int a, int b)
{
    const struct node node = node_default(OP_ADD);
    return net_node(graph, &node, (int[]){a, b}, 2);
}

int net_concat(struct graph *graph, int a, int b)
{
    const struct node node = node_default(OP_CONCAT);
    return net_node(graph, &node, (int[]){a, b}, 2);
}

int net_multiply(struct graph *graph, int a, int b)
{
    const struct node node = node_default(OP_MULTIPLY);
    return net_node(graph, &node, (int[]){a, b}, 2);
}

int net_weighted(struct graph *graph, struct node node, int from, int rank, bool trained, bool bias)
{
    const struct shape s = graph->nodes[from].shape;
    const int dims[3] = {rank ? s.c : 1, s.h, s.w};
    node.weight = weight(graph, "weight", rank ? rank : 1, dims, trained);
    if (bias)
        node.bias = weight(graph, "bias", rank ? rank : 1, dims, trained);
    return net_node(graph, &node, &from, 1);
}

int net_select(struct graph *graph, int from, const int *channels, int count)
{
    struct node node = node_default(OP_SELECT);
    node.channels = channels;
    node.channel_count = count;
    return net_node(graph, &node, &from, 1);
}

void net_fill(float *values, size_t count, uint64_t seed)
{
    struct random_stream stream;
    random_stream_init(&stream, seed, RANDOM_INIT, 77, 0);
    for (size_t i = 0; i < count; i++)
        values[i] = 2 * random_uniform(&stream) - 1;
}

void net_weights(struct graph *graph, uint64_t seed)
{
    graph_initialise(graph, seed);
    for (int i = 0; i < graph->node_count; i++) {
        const struct node *n = &graph->nodes[i];
        const bool weighted =
            n->op == OP_SCALE || n->op == OP_PRELU || n->op == OP_GROUP_NORM || n->op == OP_LAYER_NORM;
        for (int k = 0; weighted && k < 2; k++)
            if ((k ? n->bias : n->weight) >= 0) {
                struct weight *w = &graph->weights[k ? n->bias : n->weight];
                net_fill(w->data, w->count, seed + (uint64_t)(4 * i + k));
                for (size_t c = 0; k == 0 && c < w->count; c++)
                    w->data[c] = 0.7f + 0.6f * w->data[c];
            }
        if (n->op != OP_BATCH_NORM)
            continue;
        const int indices[] = {n->weight, n->bias, n->running_mean, n->running_var};
        for (int k = 0; k < 4; k++) {
            struct weight *w = &graph->weights[indices[k]];
            net_fill(w->data, w->count, seed + (uint64_t)(4 * i + k));
            for (size_t c = 0; c < w->count; c++) {
                if (k == 0)
                    w->data[c] = 1 + 0.5f * w->data[c] * (c % 5 == 3 ? -4 : 1);
                if (k == 3)
                    w->data[c] = 1 + 0.5f * w->data[c];
            }
        }
    }
}
