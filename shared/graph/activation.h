/* The activations and their derivatives: the specification for every backend, and the form that kernels compute. (The
 * CPU's kernels have a form of their own for vectors, shared/training/cpu/cpu_elementwise.inc.) */
#ifndef SHARED_GRAPH_ACTIVATION_H
#define SHARED_GRAPH_ACTIVATION_H

#include "shared/base/host_device.h"
#include "shared/graph/graph.h"
#include <math.h>

static inline HOST_DEVICE float activation_apply(enum activation activation, float alpha, float beta, float x)
{
    switch (activation) {
    case ACTIVATION_RELU:
        return x > 0 ? x : 0;
    case ACTIVATION_LEAKY_RELU:
        return x > 0 ? x : alpha * x;
    case ACTIVATION_CLIP:
        return x < alpha ? alpha : x > beta ? beta : x;
    case ACTIVATION_HARD_SIGMOID: {
        const float y = alpha * x + beta;
        return y < 0 ? 0 : y > 1 ? 1 : y;
    }
    case ACTIVATION_HARD_SWISH: {
        const float gate = x / 6 + 0.5f;
        return x * (gate < 0 ? 0 : gate > 1 ? 1 : gate);
    }
    case ACTIVATION_SIGMOID:
        return 1 / (1 + expf(-x));
    case ACTIVATION_NONE:
    case ACTIVATION_COUNT:
        break;
    }
    return x;
}

/* act'(x) */
static inline HOST_DEVICE float activation_derivative(enum activation activation, float alpha, float beta, float x)
{
    switch (activation) {
    case ACTIVATION_RELU:
        return x > 0;
    case ACTIVATION_LEAKY_RELU:
        return x > 0 ? 1 : alpha;
    case ACTIVATION_CLIP:
        return x > alpha && x < beta;
    case ACTIVATION_HARD_SIGMOID: {
        const float y = alpha * x + beta;
        return y > 0 && y < 1 ? alpha : 0;
    }
    case ACTIVATION_HARD_SWISH: /* as PyTorch: x / 3 + 0.5 between -3 and 3, both included */
        return x < -3 ? 0 : x <= 3 ? x / 3 + 0.5f : 1;
    case ACTIVATION_SIGMOID: {
        const float y = 1 / (1 + expf(-x));
        return y * (1 - y);
    }
    case ACTIVATION_NONE:
    case ACTIVATION_COUNT:
        break;
    }
    return 1;
}

#endif
