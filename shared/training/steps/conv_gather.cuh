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
struct __align__(16) row
{
    int target; /* pixel of the target; -1: none */
    int source; /* pixel of the source at which its window begins, which may lie outside of it, at y and x */
    int y, x;   /* y is NOWHERE without a target */
};

/* A place in the depth of the product, which is made of taps, and of the channels of each. A thread walks on from step
 * to step, since divisions cost more than all else that it does for a value. */
struct depth_walk {
    int tap_y, tap_x, channel; /* of the group */
};

/* What a thread gathers at one depth of the product. */
struct source {
    int y, x, pixels; /* to be added to a row's y, x and source; y is NOWHERE beyond the last tap */
    int channel;      /* in the tensor */
    int valid;        /* how many channels of the quad exist */
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
    struct row row = {-1, 0, NOWHERE, row_x * x->row_step + x->start};
    if (sample < count && target_y < y->target && target_x < x->target) {
        row.target = (sample * y->target + target_y) * x->target + target_x;
        row.y = row_y * y->row_step + y->start;
        row.source = (sample * y->source + row.y) * x->source + row.x;
    }
    return row;
}

static __device__ __forceinline__ void depth_walk_on(struct depth_walk *walk, int from, const struct conv_axis *x,
                                                     int by)
{
    for (walk->channel += by; walk->channel >= from; walk->channel -= from)
        if (++walk->tap_x == x->taps) {
            walk->tap_x = 0;
            walk->tap_y++;
        }
}

static __device__ __forceinline__ struct depth_walk depth_walk_begin(int from, const struct conv_axis *x, int at)
{
    struct depth_walk walk = {0, 0, 0};
    depth_walk_on(&walk, from, x, at);
    return walk;
}

static __device__ __forceinline__ struct source product_source(const struct product *p, const struct conv_axis *y,
                                                               const struct conv_axis *x, int group,
                                                               const struct depth_walk *walk)
{
    struct source s;
    s.y = walk->tap_y * y->tap_step;
    s.x = walk->tap_x * x->tap_step;
    s.pixels = s.y * x->source + s.x;
    s.channel = group * p->from + walk->channel;
    s.valid = p->from - walk->channel < 4 ? p->from - walk->channel : 4;
    if (walk->tap_y >= y->taps) {
        s.y = NOWHERE;
        s.valid = 0;
    }
    return s;
}

/* Whether the source has the pixel that a row reads. */
static __device__ __forceinline__ bool source_inside(const struct row *row, const struct source *s,
                                                     const struct conv_axis *y, const struct conv_axis *x)
{
    return ((unsigned)(row->y + s->y) < (unsigned)y->source) & ((unsigned)(row->x + s->x) < (unsigned)x->source);
}

/* Element 0 of the pixel that a row reads; bytes: of a pixel. */
template <typename T>
static __device__ __forceinline__ const T *source_pixel(const T *values, const struct row *row, const struct source *s,
                                                        unsigned bytes)
{
    return (const T *)((const char *)values + (size_t)(unsigned)(row->source + s->pixels) * bytes);
}

/* Gathers one quad of channels at one depth, for every row of the tile that is this thread's. All its loads are on
 * their way before the first value is touched. */
template <typename T, int ROWS, int BACKWARD>
static __device__ __forceinline__ void gather_vector(const struct product *p, const struct row *rows,
                                                     const struct source *s, int student, const struct conv_axis *y,
                                                     const struct conv_axis *x, T *tile, int column)
{
    enum {
        QUADS = DEPTH_BYTES / sizeof(T) / 4,
        PITCH = tile_pitch<T>(DEPTH_BYTES / sizeof(T)),
        TOGETHER = TILE_THREADS / QUADS, /* rows of all threads */
        EACH = ROWS / TOGETHER
    };
    const int first = threadIdx.x / QUADS;
    const unsigned bytes = (unsigned)(p->from * p->shape.groups) * (unsigned)sizeof(T);
    const bool norm = BACKWARD && p->derivative.a;
    const T *const values = (BACKWARD ? (const T *)p->derivative.gradient + student * p->derivative.gradient_stride
                                      : (const T *)p->read.values + student * p->read.stride) +
                            s->channel;
    const T *const raw = (const T *)p->derivative.values + student * p->derivative.value_stride + s->channel;
    struct quad_epilogue c = {};
    struct quad_derivative through = {};
    quad_raw<T> fetched[EACH], outputs[EACH];
    bool inside[EACH];
    if (BACKWARD)
        through = quad_derivative_of(&p->derivative, student, QUAD_VECTOR, s->channel, s->valid);
    else
        c = quad_epilogue_of(&p->read, student, QUAD_VECTOR, s->channel, s->valid);
#pragma unroll
    for (int i = 0; i < EACH; i++) {
        const struct row row = rows[first + i * TOGETHER];
        inside[i] = source_inside(&row, s, y, x);
        fetched[i] = outputs[i] = quad_raw<T>();
        if (inside[i])
            fetched[i] = quad_fetch(source_pixel(values, &row, s, bytes));
        if (inside[i] & norm)
            outputs[i] = quad_fetch(source_pixel(raw, &row, s, bytes));
    }
#pragma unroll
    for (int i = 0; i < EACH; i++) {
        struct quad q = quad_unpack(fetched[i]);
        if (!BACKWARD)
            q = quad_apply_epilogue(&p->read, &c, q);
        else if (norm)
            q = quad_through(&through, q, quad_unpack(outputs[i]));
        quad_to_tile_if(inside[i], tile + (first + i * TOGETHER) * PITCH + column, q);
    }
}

/* The value of the source at one channel, for pixels that lie inside it. */
template <typename T, int BACKWARD>
static __device__ __forceinline__ float product_read(const struct product *p, const struct quad_epilogue *c,
                                                     const struct quad_derivative *through, int student, size_t at)
{
    if (!BACKWARD) {
        const T *values = (const T *)p->read.values + student * p->read.stride + at;
        return quad_apply_epilogue(&p->read, c, quad_load(values, QUAD_SCALAR, 1)).v[0];
    }
    const size_t g_at = student * p->derivative.gradient_stride + at, z_at = student * p->derivative.value_stride + at;
    const struct quad g = quad_load_output<T>(p->derivative.gradient, g_at, p->output_float, QUAD_SCALAR, 1);
    if (!p->derivative.a)
        return g.v[0];
    const struct quad z = quad_load_output<T>(p->derivative.values, z_at, p->output_float, QUAD_SCALAR, 1);
    return quad_through(through, g, z).v[0];
}

/* The same element by element, for sources in which neighbouring depths need not be neighbouring channels, and for the
 * plan's output, whose gradient is in floats. */
template <typename T, int ROWS, int BACKWARD>
static __device__ __forceinline__ void gather_scalar(const struct product *p, const struct row *rows, int group,
                                                     struct depth_walk walk, int student, const struct conv_axis *y,
                                                     const struct conv_axis *x, T *tile, int column)
{
    enum { QUADS = DEPTH_BYTES / sizeof(T) / 4, PITCH = tile_pitch<T>(DEPTH_BYTES / sizeof(T)) };
    const int channels = p->from * p->shape.groups;
    for (int j = 0; j < 4; j++, depth_walk_on(&walk, p->from, x, 1)) {
        struct source s = product_source(p, y, x, group, &walk);
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
            float value = 0;
            if (source_inside(&row, &s, y, x))
                value = product_read<T, BACKWARD>(p, &c, &through, student,
                                                  (size_t)(unsigned)(row.source + s.pixels) * channels + s.channel);
            store(tile + i * PITCH + column + j, value);
        }
    }
}

/* The row of the packed weights for a depth of the product: the same one, but in a phase of a data gradient. */
static __device__ __forceinline__ int packed_row(const struct product *p, const struct conv_axis *y,
                                                 const struct conv_axis *x, int depth)
{
    if (y->taps == p->shape.kernel_h && x->taps == p->shape.kernel_w)
        return depth;
    const int tap = depth / p->from, tap_y = y->first_tap + tap / x->taps * y->tap_stride;
    const int tap_x = x->first_tap + tap % x->taps * x->tap_stride;
    return (tap_y * p->shape.kernel_w + tap_x) * p->from + depth % p->from;
}

/* Rows [k, k + DEPTH) of the packed weights of a student's group, columns from first_to on, as they lie in memory. */
template <typename T, int COLUMNS>
static __device__ __forceinline__ void gather_weights(const struct product *p, const T *packed, int first_to,
                                                      const struct conv_axis *y, const struct conv_axis *x, int k,
                                                      int depth, T *tile)
{
    enum {
        DEPTH = DEPTH_BYTES / sizeof(T),
        PITCH = tile_pitch<T>(COLUMNS),
        QUADS = COLUMNS / 4,
        TOGETHER = TILE_THREADS / QUADS < DEPTH ? TILE_THREADS / QUADS : DEPTH /* rows */
    };
    const int to_padded = (p->to + 3) / 4 * 4, column = threadIdx.x % QUADS * 4, first = threadIdx.x / QUADS;
    const bool mine = first < TOGETHER && first_to + column < to_padded;
    quad_raw<T> fetched[DEPTH / TOGETHER];
#pragma unroll
    for (int i = 0; i < DEPTH / TOGETHER; i++) {
        const int at = k + first + i * TOGETHER;
        fetched[i] = quad_raw<T>();
        if (mine & (at < depth))
            fetched[i] = quad_fetch(packed + (size_t)(unsigned)packed_row(p, y, x, at) * (unsigned)to_padded +
                                    (unsigned)(first_to + column));
    }
#pragma unroll
    for (int i = 0; i < DEPTH / TOGETHER && first < TOGETHER; i++)
        *(quad_raw<T> *)(tile + (i * TOGETHER + first) * PITCH + column) = fetched[i];
}

#endif
