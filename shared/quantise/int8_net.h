/* A lowered network in 8-bit integers. A value v of a tensor is stored as
 *     q = clamp(round(v / scale) + zero, -128, 127)
 * with one scale and zero point per tensor; weights are symmetric, -127..127, with a scale per output channel; biases
 * are int32 with the scale of the products. Everything after the input table is integer arithmetic, defined by
 * kernels/requantise.inc and its neighbours: every machine gives the same bits.
 *
 * The numbers are those of ONNX's QuantizeLinear and DequantizeLinear (formats/onnx/onnx_write.h), where the rounding
 * of halves differs: to even there, up here. */
#ifndef SHARED_QUANTISE_INT8_NET_H
#define SHARED_QUANTISE_INT8_NET_H

#include "shared/graph/int8_value.h"
#include "shared/quantise/lowered.h"

struct int8_step {
    /* convolutions */
    int8_t *weight;      /* in the order of kernels/conv_int8.inc or depthwise_int8.inc */
    int32_t *bias;       /* [out_c] */
    float *weight_scale; /* [out_c] */
    /* convolutions: per output channel; average pools: per number of pixels; mean, multiply: one; add, concat: per
     * input, with one shift for all of add's */
    int32_t *multiplier;
    uint8_t *shift;
    int multiplier_count;
    int low, high; /* bounds of the output, -128..127 */
    int8_t *table; /* activation: [256] for q = -128..127 */
};

struct int8_net {
    struct arena arena;
    const struct lowered *lowered; /* borrowed */
    struct int8_value *values;     /* [lowered->value_count] */
    struct int8_step *steps;       /* [lowered->step_count] */
    int8_t pixels[3][256];         /* the input of a pixel's value, per channel: normalised and quantised */
};

/* ranges[lowered->value_count]; layers that only move values give their output the range of their input (int8_ranges).
 * normalised: shared/augment/view.h's table per channel. *net is initialised here; on error it is released.
 * STATUS_CONFIG: a layer sums up more products than int32 holds. */
enum status int8_net_init(struct int8_net *net, const struct lowered *lowered, const struct value_range *ranges,
                          float normalised[3][256], struct error *err);
void int8_net_release(struct int8_net *net); /* accepts a zeroed struct */

/* Max pool, select and pad keep their input's scale, ... */
bool int8_keeps_scale(enum lowered_kind kind);
/* ... so input and output get the union of their ranges. */
void int8_ranges(const struct lowered *lowered, struct value_range *ranges);

/* The fixed-point form of a positive factor: factor = multiplier / 2^shift, multiplier in [2^30, 2^31), shift in 1..62;
 * factors below 2^-31 lose bits, and 0 is 0. STATUS_CONFIG above 2^29. */
enum status int8_factor(double factor, int32_t *multiplier, uint8_t *shift, struct error *err);

/* ---- int8_run.c ---- */
/* One sample. pixels [h, w, c] 8-bit, as the student sees them; arena [lowered->arena_values]; logits [classes] with
 * the scale and zero point of values[lowered->output]. */
void int8_run(const struct int8_net *net, const uint8_t *pixels, int8_t *arena, int8_t *logits);

#endif
