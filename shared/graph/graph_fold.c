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
    int *readers;   /* [from->node_count], among the nodes that are needed */
    int *map;       /* [from->node_count] node of `to` that has the value, or -1 */
    bool *retained; /* [from->node_count] */
    bool *needed;   /* [from->node_count]: the output or a retained node depends on it */
};

/* The only reader of node i, or -1 if it has several, is the output or is retained. */
static int sole_reader(const struct fold *fold, int i)
{
    if (fold->readers[i] != 1 || i == fold->from->output || fold->retained[i])
        return -1;
    for (int k = i + 1; k < fold->from->node_count; k++)
        for (int n = 0; fold->needed[k] && n < fold->from->nodes[k].input_count; n++)
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

/* True for a node that an inference engine need not run because a layer before it can take its numbers: a batch norm,
 * or a scale with one number per channel. */
static bool is_affine(const struct graph *graph, const struct node *node)
{
    return node->op == OP_BATCH_NORM ||
           (node->op == OP_SCALE && (node->weight < 0 || graph->weights[node->weight].rank == 1) &&
            (node->bias < 0 || graph->weights[node->bias].rank == 1));
}

/* Changes a layer's weight and bias as if the affine node were part of it, computed in double:
 *     W' = W * s,  b' = (b - mean) * s + shift
 * with s = gamma / sqrt(var + epsilon) of a batch norm; a scale has no mean. */
static void apply_affine(const struct graph *from, const struct node *affine, struct weight *weight,
                         struct weight *bias)
{
    const bool norm = affine->op == OP_BATCH_NORM;
    const size_t row = weight->count / bias->count;
    for (size_t c = 0; c < bias->count; c++) {
        double scale = affine->weight >= 0 ? from->weights[affine->weight].data[c] : 1;
        const double mean = norm ? from->weights[affine->running_mean].data[c] : 0;
        const double shift = affine->bias >= 0 ? from->weights[affine->bias].data[c] : 0;
        if (norm)
            scale /= sqrt((double)from->weights[affine->running_var].data[c] + (double)affine->epsilon);
        bias->data[c] = (float)((bias->data[c] - mean) * scale + shift);
        for (size_t i = 0; i < row; i++)
            weight->data[c * row + i] = (float)(weight->data[c * row + i] * scale);
    }
}

/* `added` gets weights of its own, which are those of the layer with the affine nodes after it up to `last`. */
static enum status fold_affine(struct fold *fold, struct node *added, int layer, int last, struct error *err)
{
    enum status status = STATUS_OK;
    const struct graph *from = fold->from;
    const struct node *node = &from->nodes[layer];
    char name[NODE_MAX_NAME + 32];
    int channels = node->shape.c;
    snprintf(name, sizeof name, "%.200s.folded.weight", from->nodes[last].name);
    TRY(copy_weight(fold, node->weight, name, &added->weight, err));
    snprintf(name, sizeof name, "%.200s.folded.bias", from->nodes[last].name);
    TRY(graph_add_weight(fold->to, name, &channels, 1, true, &added->bias, err));
    struct weight *weight = &fold->to->weights[added->weight], *bias = &fold->to->weights[added->bias];
    if (node->bias >= 0)
        memcpy(bias->data, from->weights[node->bias].data, bias->count * sizeof(float));
    for (int i = layer; i != last;) {
        i = sole_reader(fold, i);
        apply_affine(from, &from->nodes[i], weight, bias);
    }
cleanup:
    return status;
}

/* The last of the affine nodes that node i, a layer, can take; i itself if there is none. */
static int last_affine(const struct fold *fold, int i)
{
    const struct graph *from = fold->from;
    if (from->nodes[i].op != OP_CONV && from->nodes[i].op != OP_LINEAR)
        return i;
    for (int reader = sole_reader(fold, i); reader >= 0 && is_affine(from, &from->nodes[reader]);
         reader = sole_reader(fold, i))
        i = reader;
    return i;
}

/* Pads of zeros before a convolution become its own padding. */
static void absorb_pad(const struct fold *fold, struct node *added, int *input)
{
    const struct node *before = &fold->from->nodes[*input];
    if (added->op != OP_CONV || !graph_pads_zeros(before) || sole_reader(fold, *input) < 0)
        return;
    added->pad_top += before->pad_top;
    added->pad_left += before->pad_left;
    added->pad_bottom += before->pad_bottom;
    added->pad_right += before->pad_right;
    *input = before->inputs[0];
}

static bool pad_is_absorbed(const struct fold *fold, int i)
{
    int reader = graph_pads_zeros(&fold->from->nodes[i]) ? sole_reader(fold, i) : -1;
    return reader >= 0 && fold->from->nodes[reader].op == OP_CONV;
}

static enum status fold_node(struct fold *fold, int i, struct error *err)
{
    enum status status = STATUS_OK;
    const struct node *node = &fold->from->nodes[i];
    struct node added = *node;
    int inputs[NODE_MAX_INPUTS];
    const int result = last_affine(fold, i);
    const char *name = fold->from->nodes[result].name;
    if (fold->map[i] >= 0 || !fold->needed[i] || pad_is_absorbed(fold, i))
        return STATUS_OK;
    if (node->op == OP_DROPOUT && !fold->retained[i] && i != fold->from->output) {
        fold->map[i] = fold->map[node->inputs[0]];
        return STATUS_OK;
    }
    if (result != i) {
        TRY(fold_affine(fold, &added, i, result, err));
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
    TRY(graph_add(fold->to, &added, name, inputs, node->input_count, &fold->map[i], err));
    for (int k = i; k != result; k = sole_reader(fold, k))
        fold->map[sole_reader(fold, k)] = fold->map[i];
cleanup:
    return status;
}

/* Which nodes are needed, and how many of these read each node. */
static void survey(struct fold *fold)
{
    const struct graph *from = fold->from;
    for (int i = from->node_count - 1; i >= 0; i--) {
        fold->readers[i] += i == from->output;
        fold->needed[i] = fold->readers[i] > 0 || fold->retained[i] || i == from->input;
        for (int k = 0; fold->needed[i] && k < from->nodes[i].input_count; k++)
            fold->readers[from->nodes[i].inputs[k]]++;
    }
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
    fold.needed = calloc((size_t)from->node_count + 1, sizeof(bool));
    if (!fold.readers || !fold.map || !fold.retained || !fold.needed) {
        status = error_no_memory(err, (size_t)from->node_count * sizeof(int), "a graph");
        goto cleanup;
    }
    for (int i = 0; i < retained_count; i++)
        fold.retained[retained[i]] = true;
    survey(&fold);
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
    free(fold.needed);
    if (status != STATUS_OK)
        graph_release(to);
    return status;
}
