/* Norms. Means and variances are taken of x minus one of the values themselves, in two passes: that keeps every digit
 * however large the mean is. */
#include "shared/inference/onednn/lanes.h"

#include <math.h>

/* sums[p] = sum over the channels of term(x) at position p; `term` may use l, p and x */
#define SUM_CHANNELS(sums, lanes, values, tile, term)                                                    \
    do {                                                                                                 \
        float partial_[TILE][LANES] = {{0}};                                                             \
        for (int k = 0; k < (lanes)->chunks; k++)                                                        \
            for (int p = 0; p < (tile); p++) {                                                           \
                const float *restrict x =                                                                \
                    (values) + (size_t)k * (lanes)->chunk_stride + (size_t)p * (lanes)->position_stride; \
                float *restrict sum_ = partial_[p];                                                      \
                EACH_LANE(lanes_used(lanes, k), sum_[l] += (term));                                      \
            }                                                                                            \
        for (int p = 0; p < (tile); p++) {                                                               \
            (sums)[p] = 0;                                                                               \
            for (int l = 0; l < LANES; l++)                                                              \
                (sums)[p] += partial_[p][l];                                                             \
        }                                                                                                \
    } while (0)

#define SQUARE(x) ((x) * (x))

static int tile_at(size_t position, size_t positions)
{
    return positions - position < TILE ? (int)(positions - position) : TILE;
}

VECTORISE void lanes_layer_norm(const void *setup, float *const *data)
{
    const struct lanes_norm *run = setup;
    const struct lanes *lanes = &run->lanes;
    const size_t positions = lanes_positions(lanes);
    const float c = (float)lanes->shape.c;
    for (size_t first = 0; first < positions; first += TILE) {
        const int tile = tile_at(first, positions);
        const float *in = data[0] + first * lanes->position_stride;
        float *out = data[1] + first * lanes->position_stride;
        float pivot[TILE], mean[TILE], scale[TILE];
        for (int p = 0; p < tile; p++)
            pivot[p] = in[(size_t)p * lanes->position_stride];
        SUM_CHANNELS(mean, lanes, in, tile, x[l] - pivot[p]);
        for (int p = 0; p < tile; p++)
            mean[p] /= c;
        SUM_CHANNELS(scale, lanes, in, tile, SQUARE(x[l] - pivot[p] - mean[p]));
        for (int p = 0; p < tile; p++)
            scale[p] = 1 / sqrtf(scale[p] / c + run->epsilon);
        for (int k = 0; k < lanes->chunks; k++)
            for (int p = 0; p < tile; p++) {
                const size_t at = (size_t)k * lanes->chunk_stride + (size_t)p * lanes->position_stride;
                const float *restrict x = in + at, *restrict weight = run->weight + k * lanes->width,
                                      *restrict bias = run->bias + k * lanes->width;
                float *restrict y = out + at;
                EACH_LANE(lanes_stored(lanes, k), y[l] = (x[l] - pivot[p] - mean[p]) * scale[p] * weight[l] + bias[l]);
            }
    }
}

VECTORISE void lanes_lp_norm(const void *setup, float *const *data)
{
    const struct lanes_norm *run = setup;
    const struct lanes *lanes = &run->lanes;
    const size_t positions = lanes_positions(lanes);
    for (size_t first = 0; first < positions; first += TILE) {
        const int tile = tile_at(first, positions);
        const float *in = data[0] + first * lanes->position_stride;
        float *out = data[1] + first * lanes->position_stride;
        float norm[TILE];
        if (run->p == 1)
            SUM_CHANNELS(norm, lanes, in, tile, fabsf(x[l]));
        else
            SUM_CHANNELS(norm, lanes, in, tile, SQUARE(x[l]));
        for (int p = 0; p < tile; p++)
            norm[p] = fmaxf(run->p == 1 ? norm[p] : sqrtf(norm[p]), run->epsilon);
        for (int k = 0; k < lanes->chunks; k++)
            for (int p = 0; p < tile; p++) {
                const size_t at = (size_t)k * lanes->chunk_stride + (size_t)p * lanes->position_stride;
                const float *restrict x = in + at;
                float *restrict y = out + at;
                EACH_LANE(lanes_stored(lanes, k), y[l] = x[l] / norm[p]);
            }
    }
}

/* ---- group norm ---- */

/* A group's numbers, for every channel. */
struct group_scratch {
    double *sums;                 /* [chunks * width] */
    float *pivot, *mean, *factor; /* [chunks * width] */
};

size_t lanes_group_norm_scratch(const struct lanes *lanes)
{
    return 5 * lanes_chunk_count(lanes);
}

static struct group_scratch group_scratch(const struct lanes *lanes, float *memory)
{
    const size_t count = lanes_chunk_count(lanes);
    return (struct group_scratch){(double *)(void *)memory, memory + 2 * count, memory + 3 * count, memory + 4 * count};
}

/* sums[c] = sum over the positions of x - pivot, or of (x - pivot - mean)^2. Some floats are added before their sum is
 * added to a double. */
VECTORISE static void sum_positions(const struct lanes *lanes, const float *in, const struct group_scratch *scratch,
                                    bool squares)
{
    enum { SPAN = 64 };
    const size_t positions = lanes_positions(lanes);
    for (size_t c = 0; c < lanes_chunk_count(lanes); c++)
        scratch->sums[c] = 0;
    for (size_t first = 0; first < positions; first += SPAN)
        for (int k = 0; k < lanes->chunks; k++) {
            const float *restrict pivot = scratch->pivot + k * lanes->width;
            const float *restrict mean = scratch->mean + k * lanes->width;
            double *restrict sums = scratch->sums + k * lanes->width;
            const int used = lanes_used(lanes, k);
            float partial[LANES] = {0};
            for (size_t p = first; p < positions && p < first + SPAN; p++) {
                const float *restrict x = in + (size_t)k * lanes->chunk_stride + p * lanes->position_stride;
                if (squares)
                    EACH_LANE(used, partial[l] += SQUARE(x[l] - pivot[l] - mean[l]));
                else
                    EACH_LANE(used, partial[l] += x[l] - pivot[l]);
            }
            EACH_LANE(used, sums[l] += (double)partial[l]);
        }
}

static double group_mean(const struct lanes *lanes, const double *sums, int first, int count)
{
    double sum = 0;
    for (int c = first; c < first + count; c++)
        sum += sums[c];
    return sum / ((double)count * (double)lanes_positions(lanes));
}

/* y = (x - pivot - mean) * factor + bias, all per channel */
VECTORISE static void apply_groups(const struct lanes_norm *run, const float *in, const struct group_scratch *scratch,
                                   float *out)
{
    const struct lanes *lanes = &run->lanes;
    EACH_CHUNK(lanes, {
        const int c = k * lanes->width;
        const float *restrict x = in + at;
        const float *restrict pivot = scratch->pivot + c;
        const float *restrict mean = scratch->mean + c;
        const float *restrict factor = scratch->factor + c;
        const float *restrict bias = run->bias + c;
        float *restrict y = out + at;
        EACH_LANE(lanes_stored(lanes, k), y[l] = (x[l] - pivot[l] - mean[l]) * factor[l] + bias[l]);
    })
}

void lanes_group_norm(const void *setup, float *const *data)
{
    const struct lanes_norm *run = setup;
    const struct lanes *lanes = &run->lanes;
    const struct group_scratch scratch = group_scratch(lanes, data[2]);
    const int channels = lanes->shape.c, size = channels / run->groups;
    for (int c = 0; c < channels; c++)
        scratch.pivot[c] = data[0][lanes_offset(lanes, c / size * size)];
    sum_positions(lanes, data[0], &scratch, false);
    for (int c = 0; c < channels; c++)
        scratch.mean[c] = c % size ? scratch.mean[c - 1] : (float)group_mean(lanes, scratch.sums, c, size);
    sum_positions(lanes, data[0], &scratch, true);
    for (int c = 0; c < channels; c += size) {
        const double variance = group_mean(lanes, scratch.sums, c, size);
        for (int i = c; i < c + size; i++)
            scratch.factor[i] = (float)((double)run->weight[i] / sqrt(variance + (double)run->epsilon));
    }
    for (size_t c = (size_t)channels; c < lanes_chunk_count(lanes); c++)
        scratch.pivot[c] = scratch.mean[c] = scratch.factor[c] = 0;
    apply_groups(run, data[0], &scratch, data[1]);
}
