/* From a node of a graph to steps of a plan. For every operator: its descriptor with free layouts (`any`), reorders of
 * the inputs to the layouts that oneDNN chose, and the step. All tensors have a batch of 1. */
#ifndef SHARED_INFERENCE_ONEDNN_ONEDNN_LAYERS_H
#define SHARED_INFERENCE_ONEDNN_ONEDNN_LAYERS_H

#include "shared/inference/onednn/onednn_plan.h"

struct onednn_layers {
    struct onednn_plan *plan;
    const struct graph *graph;
    int *values; /* [node_count] tensor of each node's value, or -1: not computed yet */
};

/* What follows a layer in the same primitive: + addend, then the activation. */
struct onednn_fused {
    int addend;       /* tensor, or -1; it is brought to the layer's layout and overwritten, */
    bool keep_addend; /* unless it is still needed: then a copy is overwritten */
    bool overwrite;   /* the host is an activation, and nothing reads its input any more */
    enum activation activation;
    float alpha, beta;
};

/* A graph_fuses (graph_chains.h): what a layer's primitive can compute as post-operations. */
bool onednn_fuses(const struct node *host, const struct node *follower);

/* Appends the steps of node, whose inputs have been computed, and sets *value to the tensor of the result. */
enum status onednn_add_node(const struct onednn_layers *layers, const struct node *node,
                            const struct onednn_fused *fused, int *value, struct error *err);

/* The same for what oneDNN computes without weights (onednn_ops.c), and for what our own kernels compute
 * (onednn_lanes.c). */
enum status onednn_add_op(const struct onednn_layers *layers, const struct node *node, const struct onednn_fused *fused,
                          int *value, struct error *err);
/* OP_ACTIVATION; overwrite: its input's memory becomes the result. */
enum status onednn_add_activation(const struct onednn_layers *layers, const struct node *node, bool overwrite,
                                  int *value, struct error *err);
enum status onednn_add_lanes(const struct onednn_layers *layers, const struct node *node, int *value,
                             struct error *err);

/* True for a concat of values that are all [h, w, c]: there our kernel is faster than oneDNN's. */
bool onednn_concat_is_ours(const struct onednn_layers *layers, const struct node *node);
/* Padding around `source`, whose shape is `in`; node has the sides, the mode and the constant of an OP_PAD. */
enum status onednn_add_pad(const struct onednn_layers *layers, const struct node *node, int source, struct shape in,
                           int *value, struct error *err);

/* ---- for onednn_layers.c, onednn_ops.c and onednn_compile.c ---- */

enum { NOT_A_TENSOR = -1 };

#define ONEDNN(call) TRY(onednn_status((call), name, err))

struct eltwise {
    dnnl_alg_kind_t kind;
    float alpha, beta;
};
enum { ONEDNN_MAX_ELTWISE = 3 };
/* Fills out with the elementwise operations that make up the activation; returns how many. 0: a kernel of our own
 * computes it. */
int onednn_eltwise(enum activation activation, float alpha, float beta, struct eltwise out[ONEDNN_MAX_ELTWISE]);

int onednn_input(const struct onednn_layers *layers, const struct node *node, int index); /* tensor of an input */
const_dnnl_memory_desc_t onednn_md(const struct onednn_layers *layers, int tensor);

/* The step of a described operation with one source, weights and bias (tensors, or NOT_A_TENSOR). *value is the tensor
 * that it writes. Takes descriptor. */
enum status onednn_add_operation(const struct onednn_layers *layers, const char *name, dnnl_primitive_desc_t descriptor,
                                 int source, int weights, int bias, const struct onednn_fused *fused, int *value,
                                 struct error *err);

#endif
