/* The executable specification of training: forward and backward of a graph in double precision, node by node, in
 * PyTorch's layouts, without fusion. Slow and plain. Dropout is the identity. */
#ifndef TESTS_HELPER_REFERENCE_TRAIN_H
#define TESTS_HELPER_REFERENCE_TRAIN_H

#include "shared/graph/graph.h"

struct reference {
    const struct graph *graph;
    int count;                 /* samples */
    double **values;           /* [node] [count, c, h, w] */
    double **gradients;        /* [node] the same shapes: dL/dvalue */
    double **mean, **inverse;  /* [node] [c] for batch norms: the statistics that they normalised with */
    double **stored;           /* [node] NULL, or the value as a device has stored it, which is used instead */
    double *departures;        /* [node] of stored values: the largest difference from the value / the largest value */
    double **weights;          /* [weight] copies of the graph's; forward updates running statistics */
    double **weight_gradients; /* [weight] */
};

void reference_init(struct reference *reference, const struct graph *graph, int count);
void reference_release(struct reference *reference);

/* Sets the values [count, c, h, w] that a device has stored for a node, for the next forward: whatever reads the node
 * then reads the rounded values, so that later nodes can be compared closely, ReLUs and maxima included. */
void reference_store(struct reference *reference, int node, const double *values);

/* input [count, h, w, c]. In training, batch norms use the batch's statistics and update the running ones. */
void reference_forward(struct reference *reference, const float *input, bool training);
/* Starts from gradients[graph->output] = dL/dlogits [count, classes], which the caller has set, and from the gradients
 * of other nodes that the caller has set to something other than 0. */
void reference_backward(struct reference *reference, bool training);

#endif
