#include "shared/quantise/lowered.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static bool is_layer(const struct node *node)
{
    return node->op == OP_CONV || node->op == OP_LINEAR;
}

static bool per_channel(const struct graph *graph, int weight)
{
    return weight < 0 || graph->weights[weight].rank == 1;
}

static enum status add_weight(struct graph *graph, const struct node *node, const char *leaf, const int *dims, int rank,
                              int *index, struct error *err)
{
    char name[NODE_MAX_NAME + 32];
    snprintf(name, sizeof name, "%.200s.int8.%s", node->name, leaf);
    return graph_add_weight(graph, name, dims, rank, true, index, err);
}

/* y = x * scale + shift per channel becomes a depthwise convolution of one pixel. */
static enum status affine_to_conv(struct graph *graph, int i, struct error *err)
{
    const struct node node = graph->nodes[i];
    const int dims[4] = {node.shape.c, 1, 1, 1};
    enum status status = STATUS_OK;
    int weight, bias;
    TRY(add_weight(graph, &node, "weight", dims, 4, &weight, err));
    TRY(add_weight(graph, &node, "bias", dims, 1, &bias, err));
    for (int c = 0; c < node.shape.c; c++) {
        double scale = node.weight >= 0 ? (double)graph->weights[node.weight].data[c] : 1;
        double shift = node.bias >= 0 ? (double)graph->weights[node.bias].data[c] : 0;
        if (node.op == OP_BATCH_NORM) {
            scale /= sqrt((double)graph->weights[node.running_var].data[c] + (double)node.epsilon);
            shift -= (double)graph->weights[node.running_mean].data[c] * scale;
        }
        graph->weights[weight].data[c] = (float)scale;
        graph->weights[bias].data[c] = (float)shift;
    }
    struct node conv = node_default(OP_CONV);
    conv.name = node.name;
    conv.inputs = node.inputs;
    conv.input_count = 1;
    conv.shape = node.shape;
    conv.kernel_h = conv.kernel_w = 1;
    conv.groups = node.shape.c;
    conv.weight = weight;
    conv.bias = bias;
    graph->nodes[i] = conv;
cleanup:
    return status;
}

/* A weight that an earlier layer has too is copied. */
static enum status own_weight(struct graph *graph, int i, int *weight, const char *leaf, struct error *err)
{
    bool shared = false;
    for (int k = 0; k < i; k++)
        shared = shared ||
                 (is_layer(&graph->nodes[k]) && (graph->nodes[k].weight == *weight || graph->nodes[k].bias == *weight));
    if (!shared)
        return STATUS_OK;
    const struct weight old = graph->weights[*weight]; /* a copy: adding one may move the others */
    const enum status status = add_weight(graph, &graph->nodes[i], leaf, old.dims, old.rank, weight, err);
    if (status == STATUS_OK)
        memcpy(graph->weights[*weight].data, old.data, old.count * sizeof(float));
    return status;
}

static enum status own_weights(struct graph *graph, int i, struct error *err)
{
    enum status status = STATUS_OK;
    struct node *node = &graph->nodes[i];
    TRY(own_weight(graph, i, &node->weight, "weight", err));
    if (node->bias < 0)
        TRY(add_weight(graph, node, "bias", &node->shape.c, 1, &node->bias, err));
    else
        TRY(own_weight(graph, i, &node->bias, "bias", err));
cleanup:
    return status;
}

enum status lower_graph(const struct graph *from, struct graph *to, struct error *err)
{
    enum status status = STATUS_OK;
    TRY(graph_fold(from, to, NULL, 0, NULL, err));
    for (int i = 0; i < to->node_count; i++) {
        const struct node *node = &to->nodes[i];
        if (node->op == OP_BATCH_NORM ||
            (node->op == OP_SCALE && per_channel(to, node->weight) && per_channel(to, node->bias)))
            TRY(affine_to_conv(to, i, err));
        else if (is_layer(node))
            TRY(own_weights(to, i, err));
    }
    return STATUS_OK;
cleanup:
    graph_release(to);
    return status;
}
