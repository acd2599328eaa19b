/* A regressor: a convolution of a student's map before a loss on features, as the trainer puts it beside a student.
 * Here it has a graph of its own; the backend's feature functions read its values and give it gradients. */
#ifndef TESTS_HELPER_REGRESSOR_H
#define TESTS_HELPER_REGRESSOR_H

#include "shared/training/network.h"
#include "tests/helper_device.h"

struct regressor {
    const struct test_device *t;
    struct graph graph;
    struct network network;
    struct test_inputs inputs;
    struct pass pass;
    int map, value; /* nodes */
};

/* map [batch, h, w, c]; weight [out, c, kernel, kernel], bias [out] in PyTorch's layout; padding kernel / 2. */
void regressor_init(struct regressor *r, const struct test_device *t, int batch, struct shape shape, int out,
                    int kernel, const float *map, const float *weight, const float *bias);
void regressor_release(struct regressor *r);
/* value [batch, h, w, out] */
void regressor_forward(struct regressor *r, float *value);
/* From dL/dvalue: the gradients by map, weight and bias. */
void regressor_backward(struct regressor *r, const float *gradient, float *map, float *weight, float *bias);

#endif
