/* The executable specification of training: forward and backward of a graph in double precision, node by node, in
 * PyTorch's layouts, with nothing fused. Slow and plain. Dropout counts as identity. */
#ifndef TESTS_HELPER_REFERENCE_TRAIN_H
#define TESTS_HELPER_REFERENCE_TRAIN_H

#include "shared/graph/graph.h"

struct reference {
    const struct graph *graph;
    int count;                 /* samples */
    double **values;           /* [node] [count, c, h, w] */
    double **gradients;        /* [node] the same: dL/dvalue */
    double **mean, **inverse;  /* [node] [c] of batch norms: what they normalised with */
    double **stored;           /* [node] NULL, or what a device has stored for the value, which then takes its place */
    double *departures;        /* [node] of those: the largest difference from the value, over the largest value */
    double **weights;          /* [weight] copies of the graph's; running statistics are updated by forward */
    double **weight_gradients; /* [weight] */
};

void reference_init(struct reference *reference, const struct graph *graph, int count);
void reference_release(struct reference *reference);

/* The values that a device has stored for a node, [count, c, h, w], for the next forward: whatever reads the node then
 * reads its rounding, so that what follows can be compared closely, ReLUs and maxima included. */
void reference_store(struct reference *reference, int node, const double *values);

/* input [count, h, w, c]. In training, batch norms use and update with the batch's statistics. */
void reference_forward(struct reference *reference, const float *input, bool training);
/* From gradients[graph->output] = dL/dlogits [count, classes], which the caller has set, and those of other nodes that
 * the caller has set to something else than 0. */
void reference_backward(struct reference *reference, bool training);

#endif
