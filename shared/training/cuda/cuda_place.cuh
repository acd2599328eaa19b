/* Places: row, column and sample within a tile, with a guard bit above each, in one word. Whether a place lies in the
 * batch's images is three instructions for all of its axes. */
#ifndef SHARED_TRAINING_CUDA_CUDA_PLACE_CUH
#define SHARED_TRAINING_CUDA_CUDA_PLACE_CUH

#include "shared/device/cuda/cuda_launch.cuh"

#include <stdint.h>

enum {
    PLACE_MOST = 63,     /* of each field */
    PLACE_POSITION = 21, /* the bits above are a job's first position in shared memory */
    PLACE_GUARDS = 1 << 6 | 1 << 13 | 1 << 20
};

static __host__ __device__ __forceinline__ uint32_t place_word(int row, int column, int sample)
{
    return (uint32_t)(row + column * 128 + sample * 16384);
}

/* The places of a tile that lie in the batch's images: low <= place <= high, in every field. */
struct limits {
    uint32_t low, high;
};

static __device__ __forceinline__ int clamped(int x, int low, int high)
{
    return min(max(x, low), high);
}

/* Of a tile that begins at (y, x) of images of h x width, `samples` of which are left. */
static __device__ __forceinline__ struct limits limits_of(int y, int x, int h, int width, int samples)
{
    struct limits l;
    l.low = place_word(clamped(-y, 0, PLACE_MOST + 1), clamped(-x, 0, PLACE_MOST + 1), 0);
    l.high = place_word(clamped(h - 1 - y, -1, PLACE_MOST), clamped(width - 1 - x, -1, PLACE_MOST),
                        min(samples - 1, (int)PLACE_MOST));
    return l;
}

/* A guard bit stays set in both sums if its field is within the limits; no field reaches into the next one. */
static __device__ __forceinline__ bool is_within(struct limits l, uint32_t place)
{
    return (~((place + PLACE_GUARDS - l.low) & (l.high + PLACE_GUARDS - place)) & PLACE_GUARDS) == 0;
}

/* The same for a place `beyond` (a place word) further on, which is known not to lie below the limits. */
static __device__ __forceinline__ bool is_below(struct limits l, uint32_t place, uint32_t beyond)
{
    return (~(l.high + PLACE_GUARDS - beyond - place) & PLACE_GUARDS) == 0;
}

struct spot {
    uint32_t place;
    int offset; /* elements from the corner of the tile */
};

#endif
