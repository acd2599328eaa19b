/* The activations and their derivatives: the specification for every backend, and the form that kernels compute. (The
 * CPU's kernels have a form of their own for vectors, shared/training/cpu/cpu_elementwise.inc.) */
#ifndef SHARED_GRAPH_ACTIVATION_H
#define SHARED_GRAPH_ACTIVATION_H

#include "shared/base/host_device.h"
#include "shared/graph/graph.h"
#include <math.h>

static inline HOST_DEVICE float activation_sigmoid(float x)
{
    return 1 / (1 + expf(-x));
}

/* log(1 + exp(x)), without overflow */
static inline HOST_DEVICE float activation_softplus(float x)
{
    return (x > 0 ? x : 0) + log1pf(expf(-fabsf(x)));
}

/* P(X < x) of the standard normal distribution */
static inline HOST_DEVICE float activation_normal_cdf(float x)
{
    return 0.5f * (1 + erff(x * 0.70710678f));
}

/* sqrt(2 / pi) * (x + 0.044715 x^3) */
static inline HOST_DEVICE float activation_gelu_inner(float x)
{
    return 0.79788456f * (x + 0.044715f * x * x * x);
}

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
        return activation_sigmoid(x);
    case ACTIVATION_SILU:
        return x * activation_sigmoid(alpha * x);
    case ACTIVATION_ELU:
        return x > 0 ? x : alpha * expm1f(x);
    case ACTIVATION_SELU:
        return beta * (x > 0 ? x : alpha * expm1f(x));
    case ACTIVATION_CELU:
        return x > 0 ? x : alpha * expm1f(x / alpha);
    case ACTIVATION_GELU:
        return x * activation_normal_cdf(x);
    case ACTIVATION_GELU_TANH:
        return x / 2 * (1 + tanhf(activation_gelu_inner(x)));
    case ACTIVATION_MISH:
        return x * tanhf(activation_softplus(x));
    case ACTIVATION_TANH:
        return tanhf(x);
    case ACTIVATION_SOFTPLUS:
        return activation_softplus(x);
    case ACTIVATION_SOFTSIGN:
        return x / (1 + fabsf(x));
    case ACTIVATION_ABS:
        return fabsf(x);
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
        const float y = activation_sigmoid(x);
        return y * (1 - y);
    }
    case ACTIVATION_SILU: {
        const float y = activation_sigmoid(alpha * x);
        return y * (1 + alpha * x * (1 - y));
    }
    case ACTIVATION_ELU:
        return x > 0 ? 1 : alpha * expf(x);
    case ACTIVATION_SELU:
        return beta * (x > 0 ? 1 : alpha * expf(x));
    case ACTIVATION_CELU:
        return x > 0 ? 1 : expf(x / alpha);
    case ACTIVATION_GELU: /* Phi(x) + x * phi(x); 1 / sqrt(2 pi) = 0.3989... */
        return activation_normal_cdf(x) + x * 0.39894228f * expf(-0.5f * x * x);
    case ACTIVATION_GELU_TANH: {
        const float t = tanhf(activation_gelu_inner(x));
        return 0.5f * (1 + t) + x / 2 * (1 - t * t) * 0.79788456f * (1 + 3 * 0.044715f * x * x);
    }
    case ACTIVATION_MISH: {
        const float t = tanhf(activation_softplus(x));
        return t + x * (1 - t * t) * activation_sigmoid(x);
    }
    case ACTIVATION_TANH: {
        const float y = tanhf(x);
        return 1 - y * y;
    }
    case ACTIVATION_SOFTPLUS:
        return activation_sigmoid(x);
    case ACTIVATION_SOFTSIGN: {
        const float y = 1 / (1 + fabsf(x));
        return y * y;
    }
    case ACTIVATION_ABS: /* as PyTorch: 0 at 0 */
        return x > 0 ? 1 : x < 0 ? -1 : 0;
    case ACTIVATION_NONE:
    case ACTIVATION_COUNT:
        break;
    }
    return 1;
}

#endif
