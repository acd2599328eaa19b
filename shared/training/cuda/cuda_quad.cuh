/* Quads: four neighbouring channels of a tensor, read and written by one thread: completed inputs, gradients through a
 * batch norm, raw outputs with their moments, gradients given to an input with their sums. For convolutions, whose
 * tiles pass through shared memory and may end in the middle of a quad; steps that treat every channel for itself use
 * cuda_channels.cuh.
 *
 * The threads of a block share a tile of pixels. Each owns one quad of channels and walks down the pixels: what belongs
 * to a channel (scale, shift, sums) stays in registers, and neighbouring threads read neighbouring memory. */
#ifndef SHARED_TRAINING_CUDA_CUDA_QUAD_CUH
#define SHARED_TRAINING_CUDA_CUDA_QUAD_CUH

#include "shared/training/cuda/cuda_step.h"
#include "shared/training/cuda/cuda_vector.cuh"

struct quad {
    float v[4];
};

/* How quads can be accessed. All tensors are aligned, but their pixels only if the number of channels is a multiple of
 * 4. */
enum quad_access { QUAD_VECTOR, QUAD_SCALAR };
static inline enum quad_access quad_access_of(int channels)
{
    return channels % 4 ? QUAD_SCALAR : QUAD_VECTOR;
}

/* A thread's place in a block that walks over tiles of pixels: channels [channel, channel + 4) of the tile, of which
 * `valid` exist (0: the thread only fills up with zeros), and rows `row`, `row + rows`, ... */
#define QUAD_NO_ROW (1 << 30) /* of threads that are left over */
struct quad_lane {
    int channel, valid;
    int row, rows;
};

/* channels: of the tile; filled: how many of each row in shared memory have to be filled, a multiple of 4. */
static __device__ __forceinline__ struct quad_lane quad_lane_of(int channels, int filled)
{
    const int quads = filled / 4, left = channels - (int)threadIdx.x % quads * 4;
    struct quad_lane lane;
    lane.rows = blockDim.x / quads;
    lane.row = (int)threadIdx.x < lane.rows * quads ? (int)threadIdx.x / quads : QUAD_NO_ROW;
    lane.channel = threadIdx.x % quads * 4;
    lane.valid = left < 0 ? 0 : left < 4 ? left : 4;
    return lane;
}

static __device__ __forceinline__ struct quad quad_zero(void)
{
    const struct quad zero = {{0, 0, 0, 0}};
    return zero;
}

/* ---- memory ---- */
template <typename T>
static __device__ __forceinline__ struct quad quad_load(const T *p, enum quad_access access, int valid)
{
    struct quad q = quad_zero();
    if (access == QUAD_VECTOR) {
        load_vector<4>(p, q.v);
    } else {
#pragma unroll
        for (int i = 0; i < 4; i++)
            if (i < valid)
                q.v[i] = load(p + i);
    }
    return q;
}

/* Returns what was stored: the rounded values. */
template <typename T>
static __device__ __forceinline__ struct quad quad_store(T *p, struct quad q, enum quad_access access, int valid)
{
    if (access == QUAD_VECTOR) {
        store_vector<4>(p, q.v);
    } else {
#pragma unroll
        for (int i = 0; i < 4; i++)
            if (i < valid)
                q.v[i] = store(p + i, q.v[i]);
    }
    return q;
}

/* A quad as it lies in memory: what a thread holds between fetching a tile and filling shared memory with it. */
template <typename T> struct quad_raw {
    float4 bits;
};
template <> struct quad_raw<bf16> {
    uint2 bits;
};

static __device__ __forceinline__ quad_raw<float> quad_fetch(const float *p)
{
    const quad_raw<float> raw = {*(const float4 *)p};
    return raw;
}
static __device__ __forceinline__ quad_raw<bf16> quad_fetch(const bf16 *p)
{
    const quad_raw<bf16> raw = {*(const uint2 *)p};
    return raw;
}

static __device__ __forceinline__ struct quad quad_unpack(quad_raw<float> raw)
{
    return quad_load((const float *)&raw.bits, QUAD_VECTOR, 4);
}
static __device__ __forceinline__ struct quad quad_unpack(quad_raw<bf16> raw)
{
    return quad_load((const bf16 *)&raw.bits, QUAD_VECTOR, 4);
}

/* Values of a step's output: of type T, or float if it is the plan's output. */
template <typename T>
static __device__ __forceinline__ struct quad quad_load_output(const void *values, size_t at, int is_float,
                                                               enum quad_access access, int valid)
{
    return is_float ? quad_load((const float *)values + at, access, valid)
                    : quad_load((const T *)values + at, access, valid);
}

/* A row of numbers per channel, 0 beyond its end. QUAD_VECTOR: of a batch norm's statistics, for channels that come in
 * quads; weights may lie anywhere. */
static __device__ __forceinline__ struct quad quad_row(const float *row, enum quad_access access, int channel,
                                                       int valid)
{
    return valid ? quad_load(row + channel, access, valid) : quad_zero();
}

/* Stores to a tile in shared memory, aligned. */
static __device__ __forceinline__ void quad_to_tile(float *p, struct quad q)
{
    *(float4 *)p = make_float4(q.v[0], q.v[1], q.v[2], q.v[3]);
}
static __device__ __forceinline__ void quad_to_tile(bf16 *p, struct quad q)
{
    *(uint2 *)p = make_uint2(pack2(q.v[0], q.v[1]), pack2(q.v[2], q.v[3]));
}

/* The quad, or zeros. */
static __device__ __forceinline__ void quad_to_tile_if(bool given, float *p, struct quad q)
{
    quad_to_tile(p, given ? q : quad_zero());
}
static __device__ __forceinline__ void quad_to_tile_if(bool given, bf16 *p, struct quad q)
{
    *(uint2 *)p = make_uint2(given ? pack2(q.v[0], q.v[1]) : 0, given ? pack2(q.v[2], q.v[3]) : 0);
}

/* ---- completed inputs ---- */
struct quad_epilogue {
    struct quad scale, shift;
};

static __device__ __forceinline__ struct quad_epilogue quad_epilogue_of(const struct cuda_read *read, int student,
                                                                        enum quad_access access, int channel, int valid)
{
    const size_t row = student * read->row_stride;
    struct quad_epilogue c = {{{1, 1, 1, 1}}, {{0, 0, 0, 0}}};
    if (read->scale) {
        c.scale = quad_row(read->scale + row, access, channel, valid);
        c.shift = quad_row(read->shift + row, access, channel, valid);
    }
    return c;
}

/* The rarer activations: one copy for all calls, so that they cost the common ones no registers. */
static __device__ __noinline__ float4 quad_activate(enum activation activation, float alpha, float beta, float4 x)
{
    return make_float4(activation_apply(activation, alpha, beta, x.x), activation_apply(activation, alpha, beta, x.y),
                       activation_apply(activation, alpha, beta, x.z), activation_apply(activation, alpha, beta, x.w));
}

/* The derivatives of the same. */
static __device__ __noinline__ float4 quad_derivatives(enum activation activation, float alpha, float beta, float4 x)
{
    return make_float4(
        activation_derivative(activation, alpha, beta, x.x), activation_derivative(activation, alpha, beta, x.y),
        activation_derivative(activation, alpha, beta, x.z), activation_derivative(activation, alpha, beta, x.w));
}

static __device__ __forceinline__ struct quad quad_apply_epilogue(const struct cuda_read *read,
                                                                  const struct quad_epilogue *c, struct quad z)
{
#pragma unroll
    for (int i = 0; i < 4; i++)
        z.v[i] = fmaf(c->scale.v[i], z.v[i], c->shift.v[i]);
    if (read->activation == ACTIVATION_RELU) {
#pragma unroll
        for (int i = 0; i < 4; i++)
            z.v[i] = z.v[i] > 0 ? z.v[i] : 0;
    } else if (read->activation != ACTIVATION_NONE) {
        const float4 y =
            quad_activate(read->activation, read->alpha, read->beta, make_float4(z.v[0], z.v[1], z.v[2], z.v[3]));
        z.v[0] = y.x, z.v[1] = y.y, z.v[2] = y.z, z.v[3] = y.w;
    }
    return z;
}

/* ---- gradients of raw outputs ---- */
struct quad_derivative {
    struct quad a, b, d;
};

static __device__ __forceinline__ struct quad_derivative quad_derivative_of(const struct cuda_derivative *derivative,
                                                                            int student, enum quad_access access,
                                                                            int channel, int valid)
{
    const size_t row = student * derivative->row_stride;
    struct quad_derivative s = {quad_zero(), quad_zero(), quad_zero()};
    if (derivative->a) {
        s.a = quad_row(derivative->a + row, access, channel, valid);
        s.b = quad_row(derivative->b + row, access, channel, valid);
        s.d = quad_row(derivative->d + row, access, channel, valid);
    }
    return s;
}

static __device__ __forceinline__ struct quad quad_through(const struct quad_derivative *s, struct quad g,
                                                           struct quad z)
{
#pragma unroll
    for (int i = 0; i < 4; i++)
        g.v[i] = fmaf(s->a.v[i], g.v[i], fmaf(s->b.v[i], z.v[i], s->d.v[i]));
    return g;
}

/* ---- moments of outputs ---- */
/* The moments of what a thread has stored: deviations from its first value, so that sums of squares keep their digits.
 */
struct quad_moments {
    int count;
    struct quad pivot, sum, squares;
};

static __device__ __forceinline__ void quad_note(struct quad_moments *m, struct quad stored)
{
    if (m->count == 0)
        m->pivot = stored;
    m->count++;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const float x = stored.v[i] - m->pivot.v[i];
        m->sum.v[i] += x;
        m->squares.v[i] = fmaf(x, x, m->squares.v[i]);
    }
}

/* Merges the moments of the block's threads, in the order of their rows, and hands in channels [first, first +
 * channels) of the block's row [3][row_channels], if they are wanted. shared: 12 floats per thread. All threads of the
 * block must call it. */
static __device__ __forceinline__ void quad_moments_hand_in(const struct quad_moments *m, const struct quad_lane *lane,
                                                            float *shared, const struct cuda_write *write, int first,
                                                            int channels)
{
    const int row_channels = write->norm.channels;
    if (!write->moments)
        return;
    float *const moments = write->moments + (blockIdx.z * (size_t)gridDim.x + blockIdx.x) * 3 * row_channels;
    const int pitch = blockDim.x / lane->rows * 4, rows = lane->rows;
    struct moments *const all = (struct moments *)shared; /* [rows][pitch] */
    __syncthreads();
    if (lane->row < rows) {
        for (int i = 0; i < 4; i++) {
            struct moments *here = &all[lane->row * pitch + lane->channel + i];
            const float count = m->count, mean = count > 0 ? m->sum.v[i] / count : 0;
            here->count = count;
            here->mean = count > 0 ? m->pivot.v[i] + mean : 0;
            here->squares = count > 0 ? m->squares.v[i] - mean * m->sum.v[i] : 0;
        }
    }
    __syncthreads();
    for (int c = threadIdx.x; c < channels; c += blockDim.x) {
        struct moments total = all[c];
        for (int r = 1; r < rows; r++)
            total = moments_merge(total, all[r * pitch + c]);
        moments[first + c] = total.count;
        moments[row_channels + first + c] = total.mean;
        moments[2 * row_channels + first + c] = total.squares;
    }
}

/* ---- gradients of inputs ---- */
struct quad_give {
    struct quad_epilogue epilogue;
    struct quad mean;
};
struct quad_sums {
    struct quad sum, product; /* of g and of g * (z - mean) */
};

static __device__ __forceinline__ struct quad_give quad_give_of(const struct cuda_give *give, int student,
                                                                enum quad_access access, int channel, int valid)
{
    struct quad_give q = {{quad_zero(), quad_zero()}, quad_zero()};
    if (give->finish)
        q.epilogue = quad_epilogue_of(&give->input, student, access, channel, valid);
    if (give->finish && give->mean)
        q.mean = quad_row(give->mean + student * give->input.row_stride, access, channel, valid);
    return q;
}

/* Element `at` of a student's gradient of the input, and its raw value. */
template <typename T> struct quad_place {
    T *to;
    const T *value;
};
template <typename T>
static __device__ __forceinline__ quad_place<T> quad_place_of(const struct cuda_give *give, int student, size_t at)
{
    return {(T *)give->gradient + student * give->stride + at,
            (const T *)give->input.values + student * give->input.stride + at};
}

/* Gives dx to the gradient of an input. */
template <typename T>
static __device__ __forceinline__ void quad_hand_over(const struct cuda_give *give, const struct quad_give *q,
                                                      struct quad_sums *sums, quad_place<T> place, struct quad dx,
                                                      enum quad_access access, int valid)
{
    struct quad z = quad_zero();
    if (give->accumulate) {
        const struct quad there = quad_load(place.to, access, valid);
#pragma unroll
        for (int i = 0; i < 4; i++)
            dx.v[i] += there.v[i];
    }
    if (give->finish) {
        const struct cuda_read *input = &give->input;
        z = quad_load(place.value, access, valid);
        float y[4];
#pragma unroll
        for (int i = 0; i < 4; i++)
            y[i] = fmaf(q->epilogue.scale.v[i], z.v[i], q->epilogue.shift.v[i]);
        if (input->activation == ACTIVATION_RELU) {
#pragma unroll
            for (int i = 0; i < 4; i++)
                dx.v[i] *= y[i] > 0 ? 1.0f : 0.0f;
        } else if (input->activation != ACTIVATION_NONE) {
            const float4 slope =
                quad_derivatives(input->activation, input->alpha, input->beta, make_float4(y[0], y[1], y[2], y[3]));
            dx.v[0] *= slope.x, dx.v[1] *= slope.y, dx.v[2] *= slope.z, dx.v[3] *= slope.w;
        }
    }
    dx = quad_store(place.to, dx, access, valid);
#pragma unroll
    for (int i = 0; i < 4; i++) {
        sums->sum.v[i] += dx.v[i];
        sums->product.v[i] = fmaf(dx.v[i], z.v[i] - q->mean.v[i], sums->product.v[i]);
    }
}

/* Adds up the sums of the block's threads, in the order of their rows, and hands in channels [first, first + channels)
 * of the block's row [2][row_channels], if they are wanted. shared: 8 floats per thread. All threads of the block must
 * call it. */
static __device__ __forceinline__ void quad_sums_hand_in(const struct quad_sums *own, const struct quad_lane *lane,
                                                         float *shared, const struct cuda_give *give, int first,
                                                         int channels)
{
    const int row_channels = give->norm.channels;
    if (!give->sums)
        return;
    float *const sums = give->sums + (blockIdx.z * (size_t)gridDim.x + blockIdx.x) * 2 * row_channels;
    const int pitch = blockDim.x / lane->rows * 4, rows = lane->rows;
    float2 *const all = (float2 *)shared; /* [rows][pitch] */
    __syncthreads();
    if (lane->row < rows)
        for (int i = 0; i < 4; i++)
            all[lane->row * pitch + lane->channel + i] = make_float2(own->sum.v[i], own->product.v[i]);
    __syncthreads();
    for (int c = threadIdx.x; c < channels; c += blockDim.x) {
        float sum = 0, product = 0;
        for (int r = 0; r < rows; r++) {
            sum += all[r * pitch + c].x;
            product += all[r * pitch + c].y;
        }
        sums[first + c] = sum;
        sums[row_channels + first + c] = product;
    }
}

#endif
