/* The operators of the reference that are more than a convolution, a pool or a batch norm. Each function goes forward
 * (backward false) or backward over the same indices, by the operator's formula. */
#ifndef TESTS_HELPER_REFERENCE_OPS_H
#define TESTS_HELPER_REFERENCE_OPS_H

#include "tests/helper_reference_train.h"

/* One input of a node. */
struct reference_place {
    const struct node *node, *from; /* from: the input */
    const double *x, *dy;
    double *y, *dx;
};

size_t reference_at(struct shape s, int n, int c, int y, int x);

/* y = act(x); an unknown activation aborts. */
void reference_activation(struct reference *r, const struct reference_place *p, bool backward);
/* input number `which` of the node */
void reference_multiply(struct reference *r, const struct reference_place *p, int which, bool backward);
void reference_scale(struct reference *r, const struct reference_place *p, bool backward);
void reference_prelu(struct reference *r, const struct reference_place *p, bool backward);
void reference_select(struct reference *r, const struct reference_place *p, bool backward);
/* group norm, layer norm over channels, Lp norm */
void reference_norm(struct reference *r, const struct reference_place *p, bool backward);
void reference_pad(struct reference *r, const struct reference_place *p, bool backward);
/* In training, forward moves the range; a range that is not known becomes that of the batch. */
void reference_quantise(struct reference *r, const struct reference_place *p, bool training, bool backward);
void reference_resize(struct reference *r, const struct reference_place *p, bool backward);

#endif
