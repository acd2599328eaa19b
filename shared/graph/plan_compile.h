/* What the two halves of plan_compile share: plan.c makes the steps, plan_layout.c lays out their memory. */
#ifndef SHARED_GRAPH_PLAN_COMPILE_H
#define SHARED_GRAPH_PLAN_COMPILE_H

#include "shared/graph/plan.h"

enum plan_state { STATE_CONSTANT, STATE_RUNNING /* statistics of a batch norm */, STATE_RANGE };

/* A plan that is being compiled. */
struct plan_compiler {
    struct plan *plan;
    const struct graph *graph;
    struct error *err;
    int *readers;   /* [node_count] needed nodes that read the node's output; the graph's output has one more reader */
    bool *needed;   /* [node_count] the node leads to the output or to a retained node */
    bool *retained; /* [node_count] */
    bool *attachable;       /* [node_count] only one reader sees the value, so an epilogue may be attached to it */
    int *maker;             /* [tensor capacity] the step that writes the tensor, -1 for the input */
    bool *external;         /* [tensor capacity] a loss writes the tensor's gradient first */
    bool *learns;           /* [tensor capacity] the tensor depends on a parameter */
    bool *used;             /* [weight_count] */
    enum plan_state *state; /* [weight_count] what a weight that is not trained is */
};

/* Sets accumulate and finish of every reader, in the order in which they run backward. */
enum status plan_order_gradients(struct plan_compiler *c);
/* Each tensor's values have memory of their own, because backward needs them all. Gradients live from the first reader
 * that writes them to the step that made the tensor. forward_only: there are no gradients, and values live from the
 * step that makes them to their last reader. */
enum status plan_place_tensors(struct plan_compiler *c, bool forward_only);

#endif
