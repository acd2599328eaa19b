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
    double **weights;          /* [weight] copies of the graph's; running statistics are updated by forward */
    double **weight_gradients; /* [weight] */
};

void reference_init(struct reference *reference, const struct graph *graph, int count);
void reference_release(struct reference *reference);

/* input [count, h, w, c]. In training, batch norms use and update with the batch's statistics. */
void reference_forward(struct reference *reference, const float *input, bool training);
/* From gradients[graph->output] = dL/dlogits [count, classes], which the caller has set, and those of other nodes that
 * the caller has set to something else than 0. */
void reference_backward(struct reference *reference, bool training);

#endif
