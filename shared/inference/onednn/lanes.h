/* What oneDNN lacks: kernels of our own on values in its layouts. Nothing here includes oneDNN.
 *
 * oneDNN keeps a value [c, h, w] as [h, w, c], or in blocks of 16 (AVX-512) or 8 channels, [c / 16, h, w, 16], whose
 * last block is filled up with zeros. A kernel sees both in one way: chunks of at most LANES neighbouring channels, so
 * that its inner loop runs over contiguous memory. Sums are made in a fixed order, so results do not depend on the
 * processor. */
#ifndef SHARED_INFERENCE_ONEDNN_LANES_H
#define SHARED_INFERENCE_ONEDNN_LANES_H

#include "shared/base/vectorise.h"
#include "shared/graph/graph.h"
#include "shared/graph/resize.h"

enum { LANES = 16 };

/* Channel c at position p = y * w + x is at
 *     (c / width) * chunk_stride + p * position_stride + c % width */
struct lanes {
    struct shape shape;
    int width;  /* channels of a chunk: LANES or 8 */
    int chunks; /* how many */
    int used;   /* channels of the last chunk */
    int stored; /* those that memory has: `used`, or `width`; the others are zeros, and a kernel must write them so */
    size_t chunk_stride, position_stride;
};

struct lanes lanes_channels_last(struct shape shape);      /* [h, w, c] */
struct lanes lanes_blocked(struct shape shape, int width); /* [c / width, h, w, width] */
size_t lanes_offset(const struct lanes *lanes, int c);     /* of channel c at position 0 */
size_t lanes_chunk_count(const struct lanes *lanes);       /* chunks * width: channels of vectors for kernels */

/* A kernel gets what it was set up with, and its values: the sources in the node's order, the destination, then what
 * the setup's comment says. */
typedef void lanes_kernel(const void *setup, float *const *data);

/* y = activation(x); y may be x */
struct lanes_activation {
    size_t count;
    enum activation activation;
    float alpha, beta;
};
void lanes_activation(const void *setup, float *const *data);

/* OP_SCALE: y = x * weight + bias. OP_PRELU: y = x > 0 ? x : x * weight. */
struct lanes_scale {
    struct lanes lanes;
    const float *weight, *bias; /* [chunks * width], or as the value itself: */
    bool weight_is_value, bias_is_value;
};
void lanes_scale(const void *setup, float *const *data);
void lanes_prelu(const void *setup, float *const *data);

/* OP_MULTIPLY with a second value that is smaller */
struct lanes_gate {
    struct lanes lanes;
    bool spatial; /* the second is [1, h, w], at gate_stride per position; otherwise [c, 1, 1] */
    size_t gate_stride;
};
void lanes_gate(const void *setup, float *const *data);

/* OP_LAYER_NORM, OP_LP_NORM and OP_GROUP_NORM */
struct lanes_norm {
    struct lanes lanes;
    int groups; /* group norm */
    int p;      /* Lp norm: 1 or 2 */
    float epsilon;
    const float *weight, *bias; /* [chunks * width], not of the Lp norm */
};
void lanes_layer_norm(const void *setup, float *const *data);
void lanes_lp_norm(const void *setup, float *const *data);
size_t lanes_group_norm_scratch(const struct lanes *lanes);   /* floats */
void lanes_group_norm(const void *setup, float *const *data); /* after the destination: the scratch memory */

/* OP_SELECT */
struct lanes_select {
    struct lanes in, out;
    const int *offsets; /* [out.c] where output channel i is in the input */
};
void lanes_select(const void *setup, float *const *data);

/* OP_CONCAT of values [h, w, c] */
struct lanes_concat {
    size_t positions;
    int count, total;    /* sources, and their channels together */
    const int *channels; /* [count] */
};
void lanes_concat(const void *setup, float *const *data);

/* OP_PAD */
struct lanes_pad {
    struct lanes in, out;
    const int *rows, *columns; /* [out.h], [out.w]: of the input, or -1: the constant */
    float constant;
};
void lanes_pad(const void *setup, float *const *data);

/* OP_RESIZE */
struct lanes_resize {
    struct lanes in, out;
    const struct resize_tap *rows, *columns; /* [out.h], [out.w] */
};
void lanes_resize(const void *setup, float *const *data);

/* ---- for lanes*.c ---- */

/* Positions whose channels are computed together: in both layouts that is a contiguous run of some cache lines. */
enum { TILE = 8 };

/* Runs a statement for chunk k and position p of all, tile by tile; `at` is where they are. */
#define EACH_CHUNK(lanes, ...)                                                                      \
    for (size_t first_ = 0; first_ < lanes_positions(lanes); first_ += TILE)                        \
        for (int k = 0; k < (lanes)->chunks; k++)                                                   \
            for (size_t p = first_; p < lanes_positions(lanes) && p < first_ + TILE; p++) {         \
                const size_t at = (size_t)k * (lanes)->chunk_stride + p * (lanes)->position_stride; \
                __VA_ARGS__                                                                         \
            }

/* Runs a statement for every lane l of n. The usual number is a constant, for which the compiler makes vectors. */
#define EACH_LANE(n, statement)                                       \
    do {                                                              \
        if ((n) == LANES)                                             \
            VECTORISE_LOOP for (int l = 0; l < LANES; l++) statement; \
        else                                                          \
            for (int l = 0; l < (n); l++)                             \
                statement;                                            \
    } while (0)

static inline size_t lanes_positions(const struct lanes *lanes) /* h * w */
{
    return (size_t)lanes->shape.h * (size_t)lanes->shape.w;
}

static inline int lanes_used(const struct lanes *lanes, int chunk)
{
    return chunk + 1 < lanes->chunks ? lanes->width : lanes->used;
}

static inline int lanes_stored(const struct lanes *lanes, int chunk)
{
    return chunk + 1 < lanes->chunks ? lanes->width : lanes->stored;
}

#endif
