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
