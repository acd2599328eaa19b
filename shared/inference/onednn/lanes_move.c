/* Kernels that take values from other places: select, pad and resize. */
#include "shared/base/vectorise.h"
#include "shared/inference/onednn/lanes.h"

/* Lanes [0, used) of every position from offsets of their own. */
VECTORISE static void gather(const float *restrict in, size_t in_stride, const int *restrict offsets, int used,
                             int stored, float *restrict out, size_t out_stride, size_t positions)
{
    for (size_t p = 0; p < positions; p++) {
        const float *restrict x = in + p * in_stride;
        float *restrict y = out + p * out_stride;
        EACH_LANE(used, y[l] = x[offsets[l]]);
        for (int l = used; l < stored; l++)
            y[l] = 0;
    }
}

/* The same for lanes that are neighbours in the input too. */
VECTORISE static void copy(const float *restrict in, size_t in_stride, int used, int stored, float *restrict out,
                           size_t out_stride, size_t positions)
{
    for (size_t p = 0; p < positions; p++) {
        const float *restrict x = in + p * in_stride;
        float *restrict y = out + p * out_stride;
        EACH_LANE(used, y[l] = x[l]);
        for (int l = used; l < stored; l++)
            y[l] = 0;
    }
}

void lanes_select(const void *setup, float *const *data)
{
    const struct lanes_select *run = setup;
    const struct lanes *out = &run->out;
    for (int k = 0; k < out->chunks; k++) {
        const int *offsets = run->offsets + k * out->width;
        const int used = lanes_used(out, k), stored = lanes_stored(out, k);
        float *target = data[1] + (size_t)k * out->chunk_stride;
        bool neighbours = true;
        for (int l = 1; l < used; l++)
            neighbours = neighbours && offsets[l] == offsets[0] + l;
        if (neighbours)
            copy(data[0] + offsets[0], run->in.position_stride, used, stored, target, out->position_stride,
                 lanes_positions(out));
        else
            gather(data[0], run->in.position_stride, offsets, used, stored, target, out->position_stride,
                   lanes_positions(out));
    }
}

VECTORISE void lanes_pad(const void *setup, float *const *data)
{
    const struct lanes_pad *run = setup;
    const struct lanes *in = &run->in, *out = &run->out;
    for (int k = 0; k < out->chunks; k++) {
        const int stored = lanes_stored(out, k);
        float constant[LANES] = {0}; /* zero beyond the last channel */
        for (int l = 0; l < lanes_used(out, k); l++)
            constant[l] = run->constant;
        for (int y = 0; y < out->shape.h; y++) {
            float *row = data[1] + (size_t)k * out->chunk_stride + (size_t)(y * out->shape.w) * out->position_stride;
            for (int x = 0; x < out->shape.w; x++) {
                const int from =
                    run->rows[y] < 0 || run->columns[x] < 0 ? -1 : run->rows[y] * in->shape.w + run->columns[x];
                const float *restrict source =
                    from < 0 ? constant : data[0] + (size_t)k * in->chunk_stride + (size_t)from * in->position_stride;
                float *restrict target = row + (size_t)x * out->position_stride;
                EACH_LANE(stored, target[l] = source[l]);
            }
        }
    }
}

VECTORISE void lanes_resize(const void *setup, float *const *data)
{
    const struct lanes_resize *run = setup;
    const struct lanes *in = &run->in, *out = &run->out;
    const size_t row_stride = (size_t)in->shape.w * in->position_stride;
    for (int k = 0; k < out->chunks; k++)
        for (int y = 0; y < out->shape.h; y++) {
            const struct resize_tap v = run->rows[y];
            const float *low = data[0] + (size_t)k * in->chunk_stride + (size_t)v.low * row_stride;
            const float *high = data[0] + (size_t)k * in->chunk_stride + (size_t)v.high * row_stride;
            float *row = data[1] + (size_t)k * out->chunk_stride + (size_t)(y * out->shape.w) * out->position_stride;
            for (int x = 0; x < out->shape.w; x++) {
                const struct resize_tap h = run->columns[x];
                const size_t left = (size_t)h.low * in->position_stride, right = (size_t)h.high * in->position_stride;
                float *restrict target = row + (size_t)x * out->position_stride;
                EACH_LANE(lanes_stored(out, k),
                          target[l] =
                              (low[left + (size_t)l] * (1 - h.fraction) + low[right + (size_t)l] * h.fraction) *
                                  (1 - v.fraction) +
                              (high[left + (size_t)l] * (1 - h.fraction) + high[right + (size_t)l] * h.fraction) *
                                  v.fraction);
            }
        }
}
