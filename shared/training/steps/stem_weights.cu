/* The first convolution, gradients of its weights and bias: dW[taps x 4, out] = sum over pixels of columns^T dz
 * (stem.cuh), dz through the batch norm.
 *
 * Each warp takes 16 pixels of the tile at a time, and lays out their dz in a slab of shared memory of its own; in
 * bfloat16 their columns, too, so that tensor cores multiply both by depth. The column behind the last tap is 1: its
 * row of the product is the bias's gradient. Sums stay in registers to the end, are added up over the warps in order,
 * and handed in once per block; the last block adds them.
 *
 * Memory traffic is the minimum: the input, g and z of the output once (g and z for every 16 or 32 channels their own
 * part of them). Partial results are a few percent of that. */
#include "shared/training/steps/stem.cuh"

/* ---- the product ---- */
template <typename T, int STEPS, int GROUPS> struct stem_sums;

/* Sums of rows 16 * step + g and + 8, of columns 16 * group + 8 * half + 2t and + 1 (cuda_matrix.cuh). */
template <int STEPS, int GROUPS> struct stem_sums<bf16, STEPS, GROUPS> {
    enum { PITCH = tile_pitch<bf16>(STEPS * 16), SLAB = STEM_ROWS * PITCH }; /* of columns */
    float d[STEPS][GROUPS][2][4];
    int taps[STEPS]; /* positions of taps 4 * step + t; -1: behind the last one */

    /* slab: the warp's own */
    __device__ __forceinline__ void clear(const struct stem *s, bf16 *slab)
    {
        const int taps_count = s->shape.kernel_h * s->shape.kernel_w;
        tile_clear<STEPS * GROUPS * 8>(d[0][0][0]);
#pragma unroll
        for (int step = 0; step < STEPS; step++) {
            const int tap = step * 4 + threadIdx.x % 4;
            taps[step] = tap < taps_count ? stem_tap_position(s, tap) : -1;
            for (int row = threadIdx.x % 32 / 4; tap >= taps_count && row < STEM_ROWS; row += 8)
                *column(slab, row, step) = make_uint2(tap == taps_count ? pack2(1, 0) : 0, 0);
        }
    }

    /* The lane's part of a row of the slab: a tap. */
    static __device__ __forceinline__ uint2 *column(bf16 *slab, int row, int step)
    {
        return (uint2 *)(slab + row * PITCH + step * 16 + threadIdx.x % 4 * 4);
    }

    /* Lays out the columns of pixels g and g + 8. */
    __device__ __forceinline__ void lay_out(const bf16 *patch, const struct spot (&spots)[2], bf16 *slab) const
    {
#pragma unroll
        for (int i = 0; i < 2; i++) {
            const int position = (int)(spots[i].place >> PLACE_POSITION);
            uint2 x[STEPS];
#pragma unroll
            for (int step = 0; step < STEPS; step++)
                if (taps[step] >= 0)
                    x[step] = *(const uint2 *)(patch + 4 * (position + taps[step]));
#pragma unroll
            for (int step = 0; step < STEPS; step++)
                if (taps[step] >= 0)
                    *column(slab, threadIdx.x % 32 / 4 + i * 8, step) = x[step];
        }
    }

    /* sums += columns^T dz of 16 pixels. dz: [16][dz_pitch] */
    __device__ __forceinline__ void multiply(const bf16 *, const struct spot *, const bf16 *slab, const bf16 *dz,
                                             int dz_pitch)
    {
        const int lane = threadIdx.x % 32;
        const bf16 *const a = slab + (lane % 8 + lane / 16 * 8) * PITCH + lane / 8 % 2 * 8;
        uint32_t y[GROUPS][4];
#pragma unroll
        for (int group = 0; group < GROUPS; group++)
            matrix_load_transposed(y[group], dz + lane % 16 * dz_pitch + group * 16 + lane / 16 * 8);
#pragma unroll
        for (int step = 0; step < STEPS; step++) {
            uint32_t x[4];
            matrix_load_transposed(x, a + step * 16);
#pragma unroll
            for (int i = 0; i < GROUPS * 2; i++)
                matrix_multiply(d[step][i / 2][i % 2], x, y[i / 2] + i % 2 * 2);
        }
    }

    template <bool FIRST> __device__ __forceinline__ void add_to(float *results, int pitch) const
    {
        const int lane = threadIdx.x % 32;
#pragma unroll
        for (int step = 0; step < STEPS; step++)
#pragma unroll
            for (int i = 0; i < GROUPS * 8; i++) {
                const int row = step * 16 + i % 4 / 2 * 8 + lane / 4, column = i / 4 * 8 + lane % 4 * 2 + i % 2;
                const float sum = d[step][i / 8][i / 4 % 2][i % 4];
                results[row * pitch + column] = FIRST ? sum : results[row * pitch + column] + sum;
            }
    }
};

/* Lane 8 * down + across has tap 4 * step + down, and GROUPS * 2 neighbouring output channels. */
template <int STEPS, int GROUPS> struct stem_sums<float, STEPS, GROUPS> {
    enum { SLAB = 0, COLUMNS = GROUPS * 2 };
    float d[STEPS][4][COLUMNS];
    int taps[STEPS];
    int bias_step;

    __device__ __forceinline__ void clear(const struct stem *s, float *)
    {
        const int bias_tap = s->shape.kernel_h * s->shape.kernel_w, down = threadIdx.x % 32 / 8;
        tile_clear<STEPS * 4 * COLUMNS>(d[0][0]);
#pragma unroll
        for (int step = 0; step < STEPS; step++)
            taps[step] = stem_tap_position(s, step * 4 + down);
        bias_step = bias_tap % 4 == down ? bias_tap / 4 : -1;
    }

    __device__ __forceinline__ void lay_out(const float *, const struct spot (&)[2], float *) const
    {
    }

    __device__ __forceinline__ void multiply(const float *patch, const struct spot *pixels, const float *,
                                             const float *dz, int dz_pitch)
    {
        const float *dz_lane = dz + threadIdx.x % 8 * COLUMNS;
#pragma unroll 1
        for (int row = 0; row < STEM_ROWS; row++, dz_lane += dz_pitch) {
            const int position = (int)(pixels[row].place >> PLACE_POSITION);
            float y[COLUMNS];
            tile_runs<COLUMNS>(y, dz_lane, 0);
#pragma unroll
            for (int step = 0; step < STEPS; step++) {
                const float4 tap = *(const float4 *)(patch + 4 * (position + taps[step]));
                const float4 x = step == bias_step ? make_float4(1, 0, 0, 0) : tap;
#pragma unroll
                for (int i = 0; i < COLUMNS; i++) {
                    d[step][0][i] = fmaf(x.x, y[i], d[step][0][i]);
                    d[step][1][i] = fmaf(x.y, y[i], d[step][1][i]);
                    d[step][2][i] = fmaf(x.z, y[i], d[step][2][i]);
                    d[step][3][i] = fmaf(x.w, y[i], d[step][3][i]);
                }
            }
        }
    }

    template <bool FIRST> __device__ __forceinline__ void add_to(float *results, int pitch) const
    {
        const int down = threadIdx.x % 32 / 8, across = threadIdx.x % 8;
#pragma unroll
        for (int step = 0; step < STEPS; step++)
#pragma unroll
            for (int i = 0; i < 4 * COLUMNS; i++) {
                float *const to =
                    results + (step * 16 + down * 4 + i / COLUMNS) * pitch + across * COLUMNS + i % COLUMNS;
                *to = FIRST ? d[step][i / COLUMNS][i % COLUMNS] : *to + d[step][i / COLUMNS][i % COLUMNS];
            }
    }
};

/* ---- the kernel ---- */
/* a, b and d of the batch norm, or nothing: rows[3][GROUPS * 16] in shared memory, because registers are scarce. */
template <int GROUPS>
static __device__ __forceinline__ void share_norm(const struct stem *s, int first_channel, float *rows)
{
    const struct cuda_derivative *from = &s->derivative;
    const float *const source[3] = {from->a, from->b, from->d};
    const int channels = clamped(s->shape.out_c - first_channel, 0, GROUPS * 16), c = threadIdx.x;
#pragma unroll
    for (int i = 0; i < 3; i++)
        if (from->a && c < channels)
            rows[i * GROUPS * 16 + c] = source[i][blockIdx.z * from->row_stride + first_channel + c];
}

template <int GROUPS>
static __device__ __forceinline__ struct quad through_norm(const float *rows, struct quad g, struct quad z)
{
    const struct quad_derivative through = {quad_load(rows, QUAD_VECTOR, 4),
                                            quad_load(rows + GROUPS * 16, QUAD_VECTOR, 4),
                                            quad_load(rows + 2 * GROUPS * 16, QUAD_VECTOR, 4)};
    return quad_through(&through, g, z);
}

/* Four channels as they lie in memory, of which `valid` exist. */
template <typename T>
static __device__ __forceinline__ quad_raw<T> fetch_channels(const T *p, enum quad_access access, int valid)
{
    if (access == QUAD_VECTOR)
        return quad_fetch(p);
    __align__(16) T values[4];
    quad_to_tile(values, quad_load(p, QUAD_SCALAR, valid));
    return quad_fetch(values);
}

/* Lays out dz of pixels g and g + 8 as two rows of [16][pitch], with zeros outside the image and beside its channels.
 * gradient, values: of the tile's first pixel and of the lane's first channel; rows: see share_norm */
template <typename T, int GROUPS>
static __device__ __forceinline__ void lay_out_derivative(const struct stem *s, const T *gradient, const T *values,
                                                          const float *rows, int channel, struct limits limits,
                                                          const struct spot (&spots)[2], T *slab, int pitch)
{
    quad_raw<T> g[2 * GROUPS], z[2 * GROUPS];
    bool inside[2 * GROUPS];
#pragma unroll
    for (int i = 0; i < 2 * GROUPS; i++) {
        const int valid = stem_valid(s->shape.out_c, channel + i / 2 * 16), at = spots[i % 2].offset + i / 2 * 16;
        inside[i] = is_within(limits, spots[i % 2].place) && valid > 0;
        if (inside[i]) {
            g[i] = fetch_channels(gradient + at, s->access, valid);
            if (s->derivative.a)
                z[i] = fetch_channels(values + at, s->access, valid);
        }
    }
#pragma unroll
    for (int i = 0; i < 2 * GROUPS; i++) {
        struct quad q = quad_zero();
        if (inside[i]) {
            q = quad_unpack(g[i]);
            if (s->derivative.a)
                q = through_norm<GROUPS>(rows + i / 2 * 16 + threadIdx.x % 4 * 4, q, quad_unpack(z[i]));
        }
        quad_to_tile(slab + (threadIdx.x % 32 / 4 + i % 2 * 8) * pitch + i / 2 * 16 + threadIdx.x % 4 * 4, q);
    }
}

/* Stores the block's sums [taps x 4 and the bias][pitch] in its partial gradients. */
template <int GROUPS>
static __device__ __forceinline__ void hand_in(const struct stem *s, const float *results, int pitch, int first_channel)
{
    const int taps = s->shape.kernel_h * s->shape.kernel_w, in = s->shape.in_c, out_c = s->shape.out_c;
    const int channels = clamped(out_c - first_channel, 0, GROUPS * 16);
    const size_t block = (size_t)blockIdx.z * gridDim.x + blockIdx.x;
    float *const weights = s->weight_sums.rows + (block * out_c + first_channel) * in * taps;
    for (int i = threadIdx.x; i < channels * in * taps; i += TILE_THREADS) {
        const int tap = i % taps, c = i / taps % in, out = i / taps / in;
        weights[i] = results[(tap * 4 + c) * pitch + out];
    }
    if (s->bias_sums.rows && (int)threadIdx.x < channels)
        s->bias_sums.rows[block * out_c + first_channel + threadIdx.x] = results[taps * 4 * pitch + threadIdx.x];
    finish_weights(s->arrived, weight_sums_of(&s->weight_sums, first_channel * in * taps, channels * in * taps),
                   weight_sums_of(&s->bias_sums, first_channel, channels));
}

template <typename T, int STEPS, int GROUPS> struct weights_memory {
    enum {
        DZ_PITCH = tile_pitch<T>(GROUPS * 16),
        SLAB = stem_sums<T, STEPS, GROUPS>::SLAB + STEM_ROWS * DZ_PITCH, /* elements of a warp */
        SLABS = TILE_THREADS / 32 * SLAB * sizeof(T),
        NORM = 3 * GROUPS * 16 * sizeof(float),
        RESULTS = STEPS * 16 * GROUPS * 16 * sizeof(float)
    };
};

template <typename T, int STEPS, int GROUPS>
static __global__ void __launch_bounds__(TILE_THREADS, 2) stem_weights_kernel(const struct stem s)
{
    typedef weights_memory<T, STEPS, GROUPS> memory;
    DYNAMIC_SHARED(unsigned char, shared);
    const struct stem_memory<T> m = stem_memory_of<T>(&s.tiling, shared);
    const int first_channel = blockIdx.y * GROUPS * 16, student = blockIdx.z, warp = threadIdx.x / 32;
    const int channel = first_channel + threadIdx.x % 4 * 4; /* of the first group */
    float *const norm = (float *)m.rest;
    T *const slab = (T *)(m.rest + memory::NORM) + warp * memory::SLAB, *const dz =
                                                                            slab + stem_sums<T, STEPS, GROUPS>::SLAB;
    struct stem_sums<T, STEPS, GROUPS> sums;
    sums.clear(&s, slab);
    share_norm<GROUPS>(&s, first_channel, norm);
    stem_begin<T>(&s, &m);
    for (int tile = blockIdx.x, turn = 0; tile < s.tiling.tiles; tile += gridDim.x, turn ^= 1) {
        const struct stem_corner *const corner = stem_bring<T>(&s, &m, tile, turn);
        const long long at = corner->output + channel;
        const T *const gradient =
            kept((const T *)s.derivative.gradient + (student * s.derivative.gradient_stride + at));
        const T *const values = kept((const T *)s.derivative.values + (student * s.derivative.value_stride + at));
        const struct limits limits = corner->pixels;
        for (int row = warp * STEM_ROWS; row < s.tiling.height * s.tiling.width; row += TILE_THREADS / 32 * STEM_ROWS) {
            const struct spot *const pixels = m.pixels + row;
            const struct spot spots[2] = {pixels[threadIdx.x % 32 / 4], pixels[threadIdx.x % 32 / 4 + 8]};
            lay_out_derivative<T, GROUPS>(&s, gradient, values, norm, channel, limits, spots, dz, memory::DZ_PITCH);
            sums.lay_out(m.patch, spots, slab);
            __syncwarp();
            sums.multiply(m.patch, pixels, slab, dz, memory::DZ_PITCH);
            __syncwarp();
        }
        __syncthreads();
    }
    float *const results = (float *)shared;
    if (warp == 0)
        sums.template add_to<true>(results, GROUPS * 16);
    for (int next = 1; next < TILE_THREADS / 32; next++) {
        __syncthreads();
        if (warp == next)
            sums.template add_to<false>(results, GROUPS * 16);
    }
    __syncthreads();
    hand_in<GROUPS>(&s, results, GROUPS * 16, first_channel);
}

/* ---- host ---- */
static size_t weight_count(const struct conv_shape *s)
{
    return (size_t)s->out_c * s->in_c * s->kernel_h * s->kernel_w;
}

size_t stem_scratch(const struct conv_shape *shape)
{
    return STEM_BLOCKS * (weight_count(shape) + shape->out_c);
}

template <typename T, int STEPS, int GROUPS>
static enum status launch(const struct cuda_run *run, const struct stem *s, int blocks, struct error *err)
{
    typedef weights_memory<T, STEPS, GROUPS> memory;
    const size_t tile = stem_bytes<T>(&s->tiling) + memory::NORM + memory::SLABS;
    const size_t bytes = tile > memory::RESULTS ? tile : (size_t)memory::RESULTS;
    void (*const kernel)(struct stem) = stem_weights_kernel<T, STEPS, GROUPS>;
    const dim3 grid((unsigned)blocks, (unsigned)(s->shape.out_c + GROUPS * 16 - 1) / (GROUPS * 16),
                    (unsigned)run->students);
    enum status status = STATUS_OK;
    TRY(cuda_check(cudaFuncSetAttribute((const void *)kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)bytes),
                   "reserving shared memory for the first convolution", err));
    LAUNCH((stem_weights_kernel<T, STEPS, GROUPS>), grid, TILE_THREADS, bytes, run->stream, *s);
    TRY(cuda_launched("the weight gradient of the first convolution", err));
cleanup:
    return status;
}

enum status stem_weight_gradient(const struct cuda_run *run, const struct conv_shape *shape, struct error *err)
{
    const size_t weights = weight_count(shape);
    enum status status = STATUS_OK;
    struct stem s = stem_of(run, shape);
    const int blocks = stem_blocks(&s.tiling);
    s.derivative = cuda_derivative_of(run);
    s.arrived = run->arrived;
    s.weight_sums = cuda_partial_of(run, &run->step->weight, run->scratch, weights);
    if (s.bias)
        s.bias_sums = cuda_partial_of(run, &run->step->bias, run->scratch + (size_t)run->students * blocks * weights,
                                      shape->out_c);
    DISPATCH_STEM(run, shape, TRY((launch<T, STEPS, GROUPS>(run, &s, blocks, err))));
cleanup:
    return status;
}
