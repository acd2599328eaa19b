/* Layouts, and the kernels that compute every value alone. */
#include "shared/inference/onednn/lanes.h"

#include "shared/graph/activation.h"

#include <string.h>

struct lanes lanes_channels_last(struct shape shape)
{
    const int chunks = (shape.c + LANES - 1) / LANES, used = shape.c - (chunks - 1) * LANES;
    return (struct lanes){shape, LANES, chunks, used, used, LANES, (size_t)shape.c};
}

struct lanes lanes_blocked(struct shape shape, int width)
{
    const int chunks = (shape.c + width - 1) / width;
    return (struct lanes){.shape = shape,
                          .width = width,
                          .chunks = chunks,
                          .used = shape.c - (chunks - 1) * width,
                          .stored = width,
                          .chunk_stride = (size_t)width * (size_t)shape.h * (size_t)shape.w,
                          .position_stride = (size_t)width};
}

size_t lanes_offset(const struct lanes *lanes, int c)
{
    return (size_t)(c / lanes->width) * lanes->chunk_stride + (size_t)(c % lanes->width);
}

size_t lanes_chunk_count(const struct lanes *lanes)
{
    return (size_t)lanes->chunks * (size_t)lanes->width;
}

VECTORISE static void softsign(const float *x, float *y, size_t count)
{
    for (size_t i = 0; i < count; i++)
        y[i] = x[i] / (1 + (x[i] < 0 ? -x[i] : x[i]));
}

/* exp(x) to 3e-7, without a branch: 2^n * exp(r), |r| <= ln(2) / 2, by Taylor's series. x is cut to where 2^n is a
 * normal number. */
static inline __attribute__((always_inline)) float exponential(float x)
{
    const float rounder = 12582912.0f; /* 1.5 * 2^23: after adding it, the low bits are the nearest integer */
    x = x < -87 ? -87 : x;
    x = x > 87 ? 87 : x;
    const float shifted = fmaf(x, 1.44269504f, rounder), n = shifted - rounder;
    const float r = fmaf(n, 2.12194440e-4f, fmaf(n, -0.693359375f, x));
    const float p = fmaf(fmaf(fmaf(fmaf(1.0f / 720, r, 1.0f / 120), r, 1.0f / 24), r, 1.0f / 6), r, 0.5f);
    uint32_t bits;
    float power;
    memcpy(&bits, &shifted, sizeof bits);
    bits = (bits << 23) + 0x3f800000u; /* n becomes the exponent */
    memcpy(&power, &bits, sizeof power);
    return fmaf(p * r, r, r + 1) * power;
}

/* 1 / x for 1 <= x < 2^126: a first guess of the exponent and of some bits, then Newton's steps. Processors divide
 * vectors slowly. */
static inline __attribute__((always_inline)) float reciprocal(float x)
{
    uint32_t bits;
    float y;
    memcpy(&bits, &x, sizeof bits);
    bits = 0x7ef311c7u - bits;
    memcpy(&y, &bits, sizeof y);
    y = y * fmaf(-x, y, 2);
    y = y * fmaf(-x, y, 2);
    return fmaf(y, fmaf(-x, y, 1), y);
}

/* What is not a number stays that, by the product. */
VECTORISE FINITE static void silu(const float *x, float *y, size_t count, float alpha)
{
    for (size_t i = 0; i < count; i++)
        y[i] = x[i] * reciprocal(1 + exponential(-alpha * x[i]));
}

void lanes_activation(const void *setup, float *const *data)
{
    const struct lanes_activation *run = setup;
    if (run->activation == ACTIVATION_SOFTSIGN) {
        softsign(data[0], data[1], run->count);
        return;
    }
    if (run->activation == ACTIVATION_SILU) {
        silu(data[0], data[1], run->count, run->alpha);
        return;
    }
    for (size_t i = 0; i < run->count; i++)
        data[1][i] = activation_apply(run->activation, run->alpha, run->beta, data[0][i]);
}

VECTORISE void lanes_scale(const void *setup, float *const *data)
{
    const struct lanes_scale *run = setup;
    const struct lanes *lanes = &run->lanes;
    EACH_CHUNK(lanes, {
        const size_t channel = (size_t)(k * lanes->width);
        const float *restrict x = data[0] + at;
        const float *restrict weight = run->weight + (run->weight_is_value ? at : channel);
        const float *restrict bias = run->bias + (run->bias_is_value ? at : channel);
        float *restrict y = data[1] + at;
        EACH_LANE(lanes_stored(lanes, k), y[l] = x[l] * weight[l] + bias[l]);
    })
}

VECTORISE void lanes_prelu(const void *setup, float *const *data)
{
    const struct lanes_scale *run = setup;
    const struct lanes *lanes = &run->lanes;
    EACH_CHUNK(lanes, {
        const float *restrict x = data[0] + at;
        const float *restrict weight = run->weight + k * lanes->width;
        float *restrict y = data[1] + at;
        EACH_LANE(lanes_stored(lanes, k), y[l] = x[l] > 0 ? x[l] : x[l] * weight[l]);
    })
}

/* What is stored beyond the last channel stays zero: gates need not have it. */
VECTORISE static void gate_channels(const struct lanes *lanes, const float *in, const float *gates, float *out){
    EACH_CHUNK(lanes,
               {
                   const int used = lanes_used(lanes, k), stored = lanes_stored(lanes, k);
                   const float *restrict x = in + at;
                   const float *restrict gate = gates + k * lanes->width;
                   float *restrict y = out + at;
                   EACH_LANE(used, y[l] = x[l] * gate[l]);
                   for (int l = used; l < stored; l++)
                       y[l] = 0;
               })}

VECTORISE static void gate_positions(const struct lanes *lanes, const float *in, const float *gates, size_t gate_stride,
                                     float *out)
{
    EACH_CHUNK(lanes, {
        const float *restrict x = in + at;
        const float gate = gates[p * gate_stride];
        float *restrict y = out + at;
        EACH_LANE(lanes_stored(lanes, k), y[l] = x[l] * gate);
    })
}

void lanes_gate(const void *setup, float *const *data)
{
    const struct lanes_gate *run = setup;
    if (run->spatial)
        gate_positions(&run->lanes, data[0], data[1], run->gate_stride, data[2]);
    else
        gate_channels(&run->lanes, data[0], data[1], data[2]);
}
