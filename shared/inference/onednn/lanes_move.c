/* Kernels that take values from other places: select, concat, pad and resize. */
#include "shared/inference/onednn/lanes.h"

/* True for a chunk whose channels are neighbours in the input too. */
static bool is_run(const int *offsets, int count)
{
    for (int l = 1; l < count; l++)
        if (offsets[l] != offsets[0] + l)
            return false;
    return true;
}

/* One chunk of positions [first, last). */
VECTORISE static void select_chunk(const struct lanes_select *run, int k, size_t first, size_t last, const float *in,
                                   float *out)
{
    const int *restrict offsets = run->offsets + k * run->out.width;
    const int used = lanes_used(&run->out, k), stored = lanes_stored(&run->out, k);
    const bool neighbours = is_run(offsets, used);
    for (size_t p = first; p < last; p++) {
        const float *restrict x = in + p * run->in.position_stride;
        float *restrict y = out + (size_t)k * run->out.chunk_stride + p * run->out.position_stride;
        if (neighbours)
            EACH_LANE(used, y[l] = x[offsets[0] + l]);
        else
            EACH_LANE(used, y[l] = x[offsets[l]]);
        for (int l = used; l < stored; l++)
            y[l] = 0;
    }
}

void lanes_select(const void *setup, float *const *data)
{
    enum { SPAN = 64 };
    const struct lanes_select *run = setup;
    const size_t positions = lanes_positions(&run->out);
    for (size_t first = 0; first < positions; first += SPAN)
        for (int k = 0; k < run->out.chunks; k++)
            select_chunk(run, k, first, first + SPAN < positions ? first + SPAN : positions, data[0], data[1]);
}

/* Source by source: its rows go to every `total` floats of the result. */
VECTORISE void lanes_concat(const void *setup, float *const *data)
{
    const struct lanes_concat *run = setup;
    int first = 0;
    for (int i = 0; i < run->count; i++) {
        const int channels = run->channels[i];
        for (size_t p = 0; p < run->positions; p++) {
            const float *restrict x = data[i] + p * (size_t)channels;
            float *restrict y = data[run->count] + p * (size_t)run->total + first;
            int c = 0;
            for (; c + LANES <= channels; c += LANES)
                EACH_LANE(LANES, y[c + l] = x[c + l]);
            for (; c < channels; c++)
                y[c] = x[c];
        }
        first += channels;
    }
}

/* One chunk of a row. row: of the input, or -1. */
VECTORISE static void pad_row(const struct lanes_pad *run, int k, int row, const float *in, float *out)
{
    const int stored = lanes_stored(&run->out, k);
    float constant[LANES] = {0}; /* zero beyond the last channel */
    for (int l = 0; l < lanes_used(&run->out, k); l++)
        constant[l] = run->constant;
    for (int i = 0; i < run->out.shape.w; i++) {
        const int column = run->columns[i];
        const size_t from = ((size_t)row * (size_t)run->in.shape.w + (size_t)column) * run->in.position_stride;
        const float *restrict x = row < 0 || column < 0 ? constant : in + (size_t)k * run->in.chunk_stride + from;
        float *restrict y = out + (size_t)k * run->out.chunk_stride + (size_t)i * run->out.position_stride;
        EACH_LANE(stored, y[l] = x[l]);
    }
}

void lanes_pad(const void *setup, float *const *data)
{
    const struct lanes_pad *run = setup;
    const size_t row = (size_t)run->out.shape.w * run->out.position_stride;
    for (int y = 0; y < run->out.shape.h; y++)
        for (int k = 0; k < run->out.chunks; k++)
            pad_row(run, k, run->rows[y], data[0], data[1] + (size_t)y * row);
}

/* One chunk of a row, between two rows of the input. */
VECTORISE static void resize_row(const struct lanes_resize *run, int stored, float fraction, const float *low,
                                 const float *high, float *out)
{
    for (int i = 0; i < run->out.shape.w; i++) {
        const struct resize_tap tap = run->columns[i];
        const size_t left = (size_t)tap.low * run->in.position_stride;
        const size_t right = (size_t)tap.high * run->in.position_stride;
        const float *restrict a = low + left;
        const float *restrict b = low + right;
        const float *restrict c = high + left;
        const float *restrict d = high + right;
        float *restrict y = out + (size_t)i * run->out.position_stride;
        EACH_LANE(stored, y[l] = (a[l] * (1 - tap.fraction) + b[l] * tap.fraction) * (1 - fraction) +
                                 (c[l] * (1 - tap.fraction) + d[l] * tap.fraction) * fraction);
    }
}

void lanes_resize(const void *setup, float *const *data)
{
    const struct lanes_resize *run = setup;
    const struct lanes *in = &run->in, *out = &run->out;
    const size_t in_row = (size_t)in->shape.w * in->position_stride;
    const size_t out_row = (size_t)out->shape.w * out->position_stride;
    for (int y = 0; y < out->shape.h; y++)
        for (int k = 0; k < out->chunks; k++) {
            const struct resize_tap tap = run->rows[y];
            const float *chunk = data[0] + (size_t)k * in->chunk_stride;
            resize_row(run, lanes_stored(out, k), tap.fraction, chunk + (size_t)tap.low * in_row,
                       chunk + (size_t)tap.high * in_row,
                       data[1] + (size_t)k * out->chunk_stride + (size_t)y * out_row);
        }
}
