/* Layouts, and the kernels that compute every value alone. */
#include "shared/inference/onednn/lanes.h"

#include "shared/base/vectorise.h"
#include "shared/graph/activation.h"

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

size_t lanes_positions(const struct lanes *lanes)
{
    return (size_t)lanes->shape.h * (size_t)lanes->shape.w;
}

size_t lanes_chunk_count(const struct lanes *lanes)
{
    return (size_t)lanes->chunks * (size_t)lanes->width;
}

VECTORISE static void softsign(const float *restrict x, float *restrict y, size_t count)
{
    for (size_t i = 0; i < count; i++)
        y[i] = x[i] / (1 + (x[i] < 0 ? -x[i] : x[i]));
}

void lanes_activation(const void *setup, float *const *data)
{
    const struct lanes_activation *run = setup;
    if (run->activation == ACTIVATION_SOFTSIGN) {
        softsign(data[0], data[1], run->count);
        return;
    }
    for (size_t i = 0; i < run->count; i++)
        data[1][i] = activation_apply(run->activation, run->alpha, run->beta, data[0][i]);
}

VECTORISE void lanes_scale(const void *setup, float *const *data)
{
    const struct lanes_scale *run = setup;
    const struct lanes *lanes = &run->lanes;
    for (int k = 0; k < lanes->chunks; k++)
        for (size_t p = 0; p < lanes_positions(lanes); p++) {
            const size_t at = (size_t)k * lanes->chunk_stride + p * lanes->position_stride,
                         channel = (size_t)(k * lanes->width);
            const float *restrict x = data[0] + at;
            const float *restrict weight = run->weight + (run->weight_is_value ? at : channel);
            const float *restrict bias = run->bias + (run->bias_is_value ? at : channel);
            float *restrict y = data[1] + at;
            EACH_LANE(lanes_stored(lanes, k), y[l] = x[l] * weight[l] + bias[l]);
        }
}

VECTORISE void lanes_prelu(const void *setup, float *const *data)
{
    const struct lanes_scale *run = setup;
    const struct lanes *lanes = &run->lanes;
    for (int k = 0; k < lanes->chunks; k++)
        for (size_t p = 0; p < lanes_positions(lanes); p++) {
            const size_t at = (size_t)k * lanes->chunk_stride + p * lanes->position_stride;
            const float *restrict x = data[0] + at, *restrict weight = run->weight + k * lanes->width;
            float *restrict y = data[1] + at;
            EACH_LANE(lanes_stored(lanes, k), y[l] = x[l] > 0 ? x[l] : x[l] * weight[l]);
        }
}

VECTORISE void lanes_gate(const void *setup, float *const *data)
{
    const struct lanes_gate *run = setup;
    const struct lanes *lanes = &run->lanes;
    for (int k = 0; k < lanes->chunks; k++) {
        float gate[LANES] = {0}; /* the lanes beyond the last channel stay zero */
        for (int l = 0; !run->spatial && l < lanes_used(lanes, k); l++)
            gate[l] = data[1][k * lanes->width + l];
        for (size_t p = 0; p < lanes_positions(lanes); p++) {
            const size_t at = (size_t)k * lanes->chunk_stride + p * lanes->position_stride;
            const float *restrict x = data[0] + at;
            float *restrict y = data[2] + at;
            for (int l = 0; run->spatial && l < LANES; l++)
                gate[l] = data[1][p * run->gate_stride];
            EACH_LANE(lanes_stored(lanes, k), y[l] = x[l] * gate[l]);
        }
    }
}
