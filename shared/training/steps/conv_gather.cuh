/* The operands of conv_product.cu: pixels gathered from the source, tap by tap, and rows of the packed weights. */
#ifndef SHARED_TRAINING_STEPS_CONV_GATHER_CUH
#define SHARED_TRAINING_STEPS_CONV_GATHER_CUH

#include "shared/training/steps/conv.cuh"

enum { DEPTH_BYTES = 64 }; /* of a step of the product */

struct product {
    struct conv_shape shape;
    const void *packed;
    size_t packed_stride;              /* elements per student */
    struct cuda_read read;             /* forward */
    struct cuda_derivative derivative; /* backward */
    struct cuda_write write;
    struct cuda_give give;
    const float *bias; /* [out_c], or NULL */
    size_t bias_stride;
    int output_float; /* the step's output is float, whatever T is */
    enum quad_access source, target;
    int from, to; /* channels of a group */
    int tiles, phase_tiles;
};

/* A pixel of the tile: where its results go and what it reads. */
struct row {
    int target; /* pixel of the target; -1: none */
    int sample, y, x;
};

/* What a thread gathers at one depth of the product. */
struct source {
    int y, x;    /* to be added to a row's */
    int channel; /* in the tensor */
    int valid;   /* how many channels of the quad exist */
};

template <int BACKWARD>
static __device__ __forceinline__ void product_axes(const struct conv_shape *s, int phase, struct conv_axis *y,
                                                    struct conv_axis *x)
{
    if (BACKWARD) {
        *y = conv_axis_backward(s->in_h, s->out_h, s->kernel_h, s->stride_h, s->dilation_h, s->pad_top,
                                phase / s->stride_w);
        *x = conv_axis_backward(s->in_w, s->out_w, s->kernel_w, s->stride_w, s->dilation_w, s->pad_left,
                                phase % s->stride_w);
    } else {
        *y = conv_axis_forward(s->in_h, s->out_h, s->kernel_h, s->stride_h, s->dilation_h, s->pad_top);
        *x = conv_axis_forward(s->in_w, s->out_w, s->kernel_w, s->stride_w, s->dilation_w, s->pad_left);
    }
}

static __device__ __forceinline__ struct row product_row(const struct conv_axis *y, const struct conv_axis *x,
                                                         int count, int pixel)
{
    const int per_sample = y->rows * x->rows, sample = pixel / per_sample, place = pixel % per_sample;
    const int row_y = place / x->rows, row_x = place % x->rows;
    const int target_y = y->target_first + row_y * y->target_step, target_x = x->target_first + row_x * x->target_step;
    struct row row = {-1, sample, row_y * y->row_step + y->start, row_x * x->row_step + x->start};
    if (sample < count && target_y < y->target && target_x < x->target)
        row.target = (sample * y->target + target_y) * x->target + target_x;
    return row;
}

/* Depth k means (tap, channel). */
static __device__ __forceinline__ struct source product_source(const struct product *p, const struct conv_axis *y,
                                                               const struct conv_axis *x, int group, int k, int depth)
{
    const int tap = k / p->from, channel = k % p->from;
    struct source s;
    s.y = tap / x->taps * y->tap_step;
    s.x = tap % x->taps * x->tap_step;
    s.channel = group * p->from + channel;
    s.valid = k >= depth ? 0 : p->from - channel < 4 ? p->from - channel : 4;
    return s;
}

/* The value of the source, for quads whose pixel lies inside it. */
template <typename T, int BACKWARD>
static __device__ __forceinline__ struct quad product_read(const struct product *p, const struct quad_epilogue *c,
                                                           const struct quad_derivative *through, int student,
                                                           size_t at, int valid)
{
    if (!BACKWARD) {
        const T *values = (const T *)p->read.values + student * p->read.stride + at;
        return quad_apply_epilogue(&p->read, c, quad_load(values, p->source, valid));
    }
    const size_t g_at = student * p->derivative.gradient_stride + at, z_at = student * p->derivative.value_stride + at;
    const struct quad g = quad_load_output<T>(p->derivative.gradient, g_at, p->output_float, p->source, valid);
    if (!p->derivative.a)
        return g;
    return quad_through(through, g, quad_load_output<T>(p->derivative.values, z_at, p->output_float, p->source, valid));
}

/* Gathers one quad of channels at depth k, for every row of the tile that is this thread's. */
template <typename T, int ROWS, int BACKWARD>
static __device__ __forceinline__ void gather_vector(const struct product *p, const struct row *rows,
                                                     const struct source *s, int student, const struct conv_axis *y,
                                                     const struct conv_axis *x, T *tile, int column)
{
    enum { QUADS = DEPTH_BYTES / sizeof(T) / 4, PITCH = tile_pitch<T>(DEPTH_BYTES / sizeof(T)) };
    struct quad_epilogue c = {};
    struct quad_derivative through = {};
    if (BACKWARD)
        through = quad_derivative_of(&p->derivative, student, p->source, s->channel, s->valid);
    else
        c = quad_epilogue_of(&p->read, student, p->source, s->channel, s->valid);
    const int channels = p->from * p->shape.groups;
#pragma unroll 4
    for (int i = threadIdx.x / QUADS; i < ROWS; i += TILE_THREADS / QUADS) {
        const struct row row = rows[i];
        const int source_y = row.y + s->y, source_x = row.x + s->x;
        struct quad q = quad_zero();
        if (s->valid && row.target >= 0 && (unsigned)source_y < (unsigned)y->source &&
            (unsigned)source_x < (unsigned)x->source) {
            const size_t pixel = ((size_t)row.sample * y->source + source_y) * x->source + source_x;
            q = product_read<T, BACKWARD>(p, &c, &through, student, pixel * channels + s->channel, s->valid);
        }
        quad_to_tile(tile + i * PITCH + column, q);
    }
}

/* The same element by element, for sources in which neighbouring depths need not be neighbouring channels. */
template <typename T, int ROWS, int BACKWARD>
static __device__ __forceinline__ void gather_scalar(const struct product *p, const struct row *rows, int group, int k,
                                                     int depth, int student, const struct conv_axis *y,
                                                     const struct conv_axis *x, T *tile, int column)
{
    enum { QUADS = DEPTH_BYTES / sizeof(T) / 4, PITCH = tile_pitch<T>(DEPTH_BYTES / sizeof(T)) };
    const int channels = p->from * p->shape.groups;
    for (int j = 0; j < 4; j++) {
        struct source s = product_source(p, y, x, group, k + j, depth);
        struct quad_epilogue c = {};
        struct quad_derivative through = {};
        s.valid = s.valid > 0;
        if (BACKWARD)
            through = quad_derivative_of(&p->derivative, student, QUAD_SCALAR, s.channel, s.valid);
        else
            c = quad_epilogue_of(&p->read, student, QUAD_SCALAR, s.channel, s.valid);
#pragma unroll 4
        for (int i = threadIdx.x / QUADS; i < ROWS; i += TILE_THREADS / QUADS) {
            const struct row row = rows[i];
            const int source_y = row.y + s.y, source_x = row.x + s.x;
            struct quad q = quad_zero();
            if (s.valid && row.target >= 0 && (unsigned)source_y < (unsigned)y->source &&
                (unsigned)source_x < (unsigned)x->source) {
                const size_t pixel = ((size_t)row.sample * y->source + source_y) * x->source + source_x;
                q = product_read<T, BACKWARD>(p, &c, &through, student, pixel * channels + s.channel, 1);
            }
            store(tile + i * PITCH + column + j, q.v[0]);
        }
    }
}

/* Rows [k, k + DEPTH) of the packed weights, columns from first_to on. */
template <typename T, int COLUMNS>
static __device__ __forceinline__ void gather_weights(const struct product *p, int student, int group, int first_to,
                                                      const struct conv_axis *y, const struct conv_axis *x, int k,
                                                      int depth, T *tile)
{
    enum { DEPTH = DEPTH_BYTES / sizeof(T), PITCH = tile_pitch<T>(COLUMNS) };
    const int to_padded = (p->to + 3) / 4 * 4, kernel_w = p->shape.kernel_w, taps = p->shape.kernel_h * kernel_w;
    const T *packed = (const T *)p->packed + student * p->packed_stride + (size_t)group * taps * p->from * to_padded;
    for (int i = threadIdx.x; i < DEPTH * COLUMNS / 4; i += TILE_THREADS) {
        const int row = i / (COLUMNS / 4), column = i % (COLUMNS / 4) * 4, at = k + row;
        struct quad q = quad_zero();
        if (at < depth && first_to + column < to_padded) {
            const int tap = at / p->from;
            const int tap_y = y->first_tap + tap / x->taps * y->tap_stride;
            const int tap_x = x->first_tap + tap % x->taps * x->tap_stride;
            const size_t from = (size_t)(tap_y * kernel_w + tap_x) * p->from + at % p->from;
            q = quad_load(packed + from * to_padded + first_to + column, QUAD_VECTOR, 4);
        }
        quad_to_tile(tile + row * PITCH + column, q);
    }
}

#endif
