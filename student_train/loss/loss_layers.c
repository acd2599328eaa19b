/* What the terms of a loss train beside the student: regressors and embeddings, which become layers of the training
 * graph, and weights that only the term reads. */
#include "student_train/loss/loss_binder.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* TERM.PART.WHAT, such as "hint.0.regressor". */
static void name_of(const struct loss_binder *b, const char *what, char name[2 * NODE_MAX_NAME])
{
    snprintf(name, 2 * NODE_MAX_NAME, "%.60s.%d.%.60s", b->loss->names[b->term], b->part, what);
}

static enum status add_weight(struct loss_binder *b, const char *what, const int *dims, int rank, bool trained,
                              int *index)
{
    char name[2 * NODE_MAX_NAME];
    name_of(b, what, name);
    return graph_add_weight(&b->binding->graph, name, dims, rank, trained, index, b->err);
}

/* Appends a layer with weights that reads b->node and becomes b->node; kernel 0: a linear layer. */
static enum status add_layer(struct loss_binder *b, const char *what, int out, int kernel)
{
    struct graph *graph = &b->binding->graph;
    const int in = graph->nodes[b->node].shape.c, size = kernel ? kernel : 1;
    struct node node = node_default(kernel ? OP_CONV : OP_LINEAR);
    char name[2 * NODE_MAX_NAME];
    enum status status = STATUS_OK;
    snprintf(name, sizeof name, "%s.weight", what);
    TRY(add_weight(b, name, (const int[]){out, in, size, size}, kernel ? 4 : 2, true, &node.weight));
    snprintf(name, sizeof name, "%s.bias", what);
    TRY(add_weight(b, name, &out, 1, true, &node.bias));
    node.kernel_h = node.kernel_w = kernel;
    node.pad_top = node.pad_left = node.pad_bottom = node.pad_right = kernel / 2;
    name_of(b, what, name);
    TRY(graph_add(graph, &node, name, &b->node, 1, &b->node, b->err));
cleanup:
    return status;
}

static enum status add_plain(struct loss_binder *b, const struct node *node, const char *what)
{
    char name[2 * NODE_MAX_NAME];
    name_of(b, what, name);
    return graph_add(&b->binding->graph, node, name, &b->node, 1, &b->node, b->err);
}

/* A linear layer on the student's vector; if it is a map, on its average. */
static enum status add_linear(struct loss_binder *b, const char *what, int out)
{
    const struct node pool = node_default(OP_GLOBAL_AVERAGE_POOL);
    enum status status = STATUS_OK;
    if (b->student.h * b->student.w > 1)
        TRY(add_plain(b, &pool, "pool"));
    TRY(add_layer(b, what, out, 0));
cleanup:
    return status;
}

/* VID's regressor: three 1x1 convolutions with ReLU in between, as in RepDistiller. */
static enum status add_vid_regressor(struct loss_binder *b)
{
    struct node relu = node_default(OP_ACTIVATION);
    const char *const names[] = {"regressor0", "regressor1", "regressor2"};
    enum status status = STATUS_OK;
    relu.activation = ACTIVATION_RELU;
    for (int i = 0; i < 3; i++) {
        if (i > 0)
            TRY(add_plain(b, &relu, i == 1 ? "relu0" : "relu1"));
        TRY(add_layer(b, names[i], b->teacher.c, 1));
    }
cleanup:
    return status;
}

static enum status add_regressor(struct loss_binder *b)
{
    switch (b->names->regressor) {
    case REGRESSOR_CONV1X1:
        return add_layer(b, "regressor", b->teacher.c, 1);
    case REGRESSOR_CONV3X3:
        return add_layer(b, "regressor", b->teacher.c, 3);
    case REGRESSOR_LINEAR:
        if (b->teacher.h * b->teacher.w > 1)
            return loss_features_refuse(b, "a linear regressor gives a vector, not a map", "use regressor=conv1x1");
        return add_linear(b, "regressor", b->teacher.c);
    case REGRESSOR_NONE:
        break;
    }
    return STATUS_OK;
}

enum status loss_learned_add(struct loss_binder *b, struct feature_pair *pair)
{
    const int embedding = LOSS_EMBEDDING, inputs = b->teacher.c;
    const int samples = (int)b->manifest->splits[SPLIT_TRAIN].samples;
    const enum loss_kind kind = b->entry->defaults.kind;
    enum status status = STATUS_OK;
    if (kind == LOSS_VID)
        TRY(add_weight(b, "log_scale", &b->teacher.c, 1, true, &pair->learned[LEARNED_SCALE]));
    if (kind != LOSS_CC && kind != LOSS_CRD)
        return STATUS_OK;
    TRY(add_weight(b, "teacher.weight", (const int[]){embedding, inputs}, 2, true, &pair->learned[LEARNED_WEIGHT]));
    TRY(add_weight(b, "teacher.bias", &embedding, 1, true, &pair->learned[LEARNED_BIAS]));
    if (kind == LOSS_CC)
        return STATUS_OK;
    TRY(add_weight(b, "memory_student", (const int[]){samples, embedding}, 2, false,
                   &pair->learned[LEARNED_MEMORY_STUDENT]));
    TRY(add_weight(b, "memory_teacher", (const int[]){samples, embedding}, 2, false,
                   &pair->learned[LEARNED_MEMORY_TEACHER]));
    TRY(add_weight(b, "normaliser", (const int[]){2}, 1, false, &pair->learned[LEARNED_NORMALISER]));
cleanup:
    return status;
}

enum status loss_layers_add(struct loss_binder *b)
{
    if (b->entry->defaults.kind == LOSS_VID)
        return add_vid_regressor(b);
    if (b->entry->compares == COMPARES_EMBEDDINGS)
        return add_linear(b, "embedding", LOSS_EMBEDDING);
    return add_regressor(b);
}

void loss_learned_begin(struct loss_binding *binding, const struct loss_expression *loss,
                        const struct feature_pair *pair, uint64_t seed)
{
    const struct loss_term *term = &loss->terms[pair->term];
    for (int i = 0; i < LEARNED_COUNT; i++) {
        struct weight *weight = pair->learned[i] >= 0 ? &binding->graph.weights[pair->learned[i]] : NULL;
        if (!weight)
            continue;
        const size_t inputs = weight->rank > 1 ? (size_t)weight->dims[1] : 1;
        if (i == LEARNED_SCALE)
            for (size_t k = 0; k < weight->count; k++)
                weight->data[k] = (float)log(expm1((double)term->variance - 1e-5));
        else if (i == LEARNED_WEIGHT || i == LEARNED_BIAS) {
            const struct weight *matrix = &binding->graph.weights[pair->learned[LEARNED_WEIGHT]];
            graph_fill_uniform(weight, seed, pair->learned[i], 1 / sqrtf((float)matrix->dims[1]));
        } else if (i == LEARNED_NORMALISER)
            memset(weight->data, 0, weight->count * sizeof *weight->data);
        else
            graph_fill_uniform(weight, seed, pair->learned[i], sqrtf(3 / (float)inputs));
    }
}
