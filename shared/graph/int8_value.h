/* How a real number becomes 8 bits: the specification for integer networks (shared/quantise) and for training with fake
 * quantisation (STEP_QUANTISE), on the CPU and in kernels. The numbers are those of ONNX's QuantizeLinear and
 * DequantizeLinear. */
#ifndef SHARED_GRAPH_INT8_VALUE_H
#define SHARED_GRAPH_INT8_VALUE_H

#include "shared/base/host_device.h"
#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>

/* What a value may be; quantisation widens it to contain 0. low > high: nothing was seen yet. */
struct value_range {
    float low, high;
};

/* A real number v of a tensor is stored as q = clamp(round(v / scale) + zero, -128, 127). */
struct int8_value {
    float scale;
    int zero;
};

static inline HOST_DEVICE bool value_range_known(struct value_range range)
{
    return range.low <= range.high;
}

static inline HOST_DEVICE struct int8_value int8_value_of(struct value_range range)
{
    const float low = range.low < 0 ? range.low : 0, high = range.high > 0 ? range.high : 0;
    const float scale = (high - low) / 255;
    struct int8_value value = {1, 0};
    if (scale > 1e-12f) {
        value.scale = scale;
        value.zero = (int)lrintf(-128 - low / scale);
    }
    return value;
}

/* Halves go to the even one, as in ONNX. */
static inline HOST_DEVICE int8_t int8_quantise(float value, struct int8_value tensor)
{
    const float q = rintf(value / tensor.scale) + (float)tensor.zero;
    return (int8_t)(q < -128 ? -128 : q > 127 ? 127 : q);
}

/* The real number that is stored instead of a value: scale * (q - zero). Infinite and NaN stay visible in training. */
static inline HOST_DEVICE float int8_rounded(float value, struct int8_value tensor)
{
    const float low = (float)(-128 - tensor.zero), high = (float)(127 - tensor.zero), q = rintf(value / tensor.scale);
    return (q < low ? low : q > high ? high : q) * tensor.scale;
}

/* Whether a value is outside of what 8 bits hold: then its gradient is 0. */
static inline HOST_DEVICE bool int8_clips(float value, struct int8_value tensor)
{
    const float q = rintf(value / tensor.scale);
    return q < (float)(-128 - tensor.zero) || q > (float)(127 - tensor.zero);
}

/* The scale of some weights that share one, symmetric around 0: -127..127. */
static inline HOST_DEVICE float int8_weight_scale(float largest)
{
    const float scale = largest / 127;
    return scale > FLT_MIN ? scale : 1;
}

static inline HOST_DEVICE float int8_rounded_weight(float weight, float scale)
{
    const float q = rintf(weight / scale);
    return (q < -127 ? -127 : q > 127 ? 127 : q) * scale;
}

#endif
