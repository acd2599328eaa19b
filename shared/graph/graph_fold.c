/* graph_fold: the inference form of a graph. Batch norms become part of the layers before them, pads part of the
 * convolutions after them, and dropout disappears. */
#include "shared/graph/graph.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fold {
    const struct graph *from;
    struct graph *to;
    int *readers;   /* [from->node_count] */
    int *map;       /* [from->node_count] node of `to` that has the value, or -1 */
    bool *retained; /* [from->node_count] */
};

/* The only reader of node i, or -1 if it has several, is the output or is retained. */
static int sole_reader(const struct fold *fold, int i)
{
    if (fold->readers[i] != 1 || i == fold->from->output || fold->retained[i])
        return -1;
    for (int k = i + 1; k < fold->from->node_count; k++)
        for (int n = 0; n < fold->from->nodes[k].input_count; n++)
            if (fold->from->nodes[k].inputs[n] == i)
                return k;
    return -1;
}

static enum status copy_weight(struct fold *fold, int from, const char *name, int *to, struct error *err)
{
    *to = -1;
    if (from < 0)
        return STATUS_OK;
    const struct weight *weight = &fold->from->weights[from];
    *to = graph_find_weight(fold->to, name ? name : weight->name); /* shared weights stay shared */
    if (*to >= 0)
        return STATUS_OK;
    enum status status =
        graph_add_weight(fold->to, name ? name : weight->name, weight->dims, weight->rank, weight->trained, to, err);
    if (status == STATUS_OK)
        memcpy(fold->to->weights[*to].data, weight->data, weight->count * sizeof(float));
    return status;
}

/* Copies layer's weights into `added`, scaled and shifted by the batch norm, computed in double:
 *     W' = W * s,  b' = (b - mean) * s + beta,  s = gamma / sqrt(var + epsilon) */
static enum status fold_batch_norm(struct fold *fold, struct node *added, const struct node *layer,
                                   const struct node *norm, struct error *err)
{
    enum status status = STATUS_OK;
    const struct graph *from = fold->from;
    char name[NODE_MAX_NAME + 32];
    int channels = norm->shape.c;
    snprintf(name, sizeof name, "%.200s.folded.weight", norm->name);
    TRY(copy_weight(fold, layer->weight, name, &added->weight, err));
    snprintf(name, sizeof name, "%.200s.folded.bias", norm->name);
    TRY(graph_add_weight(fold->to, name, &channels, 1, true, &added->bias, err));
    struct weight *weight = &fold->to->weights[added->weight], *bias = &fold->to->weights[added->bias];
    size_t row = weight->count / (size_t)channels;
    for (int c = 0; c < channels; c++) {
        double scale = from->weights[norm->weight].data[c] /
                       sqrt((double)from->weights[norm->running_var].data[c] + (double)norm->epsilon);
        double old = layer->bias >= 0 ? from->weights[layer->bias].data[c] : 0;
        bias->data[c] =
            (float)((old - from->weights[norm->running_mean].data[c]) * scale + from->weights[norm->bias].data[c]);
        for (size_t i = 0; i < row; i++)
            weight->data[(size_t)c * row + i] = (float)(weight->data[(size_t)c * row + i] * scale);
    }
cleanup:
    return status;
}

/* Pads of zeros before a convolution become its own padding. */
static void absorb_pad(const struct fold *fold, struct node *added, int *input)
{
    const struct node *before = &fold->from->nodes[*input];
    if (added->op != OP_CONV || before->op != OP_PAD || sole_reader(fold, *input) < 0)
        return;
    added->pad_top += before->pad_top;
    added->pad_left += before->pad_left;
    added->pad_bottom += before->pad_bottom;
    added->pad_right += before->pad_right;
    *input = before->inputs[0];
}

static bool pad_is_absorbed(const struct fold *fold, int i)
{
    int reader = fold->from->nodes[i].op == OP_PAD ? sole_reader(fold, i) : -1;
    return reader >= 0 && fold->from->nodes[reader].op == OP_CONV;
}

static enum status fold_node(struct fold *fold, int i, struct error *err)
{
    enum status status = STATUS_OK;
    const struct node *node = &fold->from->nodes[i];
    struct node added = *node;
    int inputs[NODE_MAX_INPUTS], reader = sole_reader(fold, i), result = i;
    const char *name = node->name;
    if (fold->map[i] >= 0 || pad_is_absorbed(fold, i))
        return STATUS_OK;
    if (node->op == OP_DROPOUT && !fold->retained[i] && i != fold->from->output) {
        fold->map[i] = fold->map[node->inputs[0]];
        return STATUS_OK;
    }
    if ((node->op == OP_CONV || node->op == OP_LINEAR) && reader >= 0 &&
        fold->from->nodes[reader].op == OP_BATCH_NORM) {
        TRY(fold_batch_norm(fold, &added, node, &fold->from->nodes[reader], err));
        name = fold->from->nodes[reader].name;
        result = reader;
    } else {
        TRY(copy_weight(fold, node->weight, NULL, &added.weight, err));
        TRY(copy_weight(fold, node->bias, NULL, &added.bias, err));
        TRY(copy_weight(fold, node->running_mean, NULL, &added.running_mean, err));
        TRY(copy_weight(fold, node->running_var, NULL, &added.running_var, err));
    }
    for (int k = 0; k < node->input_count; k++) {
        int input = node->inputs[k];
        absorb_pad(fold, &added, &input);
        inputs[k] = fold->map[input];
    }
    TRY(graph_add(fold->to, &added, name, inputs, node->input_count, &fold->map[result], err));
    fold->map[i] = fold->map[result];
cleanup:
    return status;
}

enum status graph_fold(const struct graph *from, struct graph *to, const int *retained, int retained_count, int *folded,
                       struct error *err)
{
    enum status status = STATUS_OK;
    struct fold fold = {.from = from, .to = to};
    graph_init(to);
    fold.readers = calloc((size_t)from->node_count + 1, sizeof(int));
    fold.map = malloc(((size_t)from->node_count + 1) * sizeof(int));
    fold.retained = calloc((size_t)from->node_count + 1, sizeof(bool));
    if (!fold.readers || !fold.map || !fold.retained) {
        status = error_no_memory(err, (size_t)from->node_count * sizeof(int), "a graph");
        goto cleanup;
    }
    graph_consumers(from, fold.readers);
    for (int i = 0; i < retained_count; i++)
        fold.retained[retained[i]] = true;
    for (int i = 0; i < from->node_count; i++)
        fold.map[i] = -1;
    to->name = from->name ? arena_strdup(&to->arena, from->name) : NULL;
    for (int i = 0; i < from->node_count; i++)
        TRY(fold_node(&fold, i, err));
    to->output = fold.map[from->output];
    for (int i = 0; i < retained_count; i++)
        folded[i] = fold.map[retained[i]];
cleanup:
    free(fold.readers);
    free(fold.map);
    free(fold.retained);
    if (status != STATUS_OK)
        graph_release(to);
    return status;
}
