/* The first convolution, forward: z[pixels, out] = columns[pixels, taps x 4] W + bias (stem.cuh).
 *
 * Each warp takes 16 pixels of the tile at a time. In bfloat16 a lane keeps its part of W in registers as long as the
 * block lives, and reads its part of the columns from the patch: eight bytes are the four channels of one tap. Columns
 * may be in any order as long as the rows of W are in the same: the four channels are columns 2t, 2t + 1, 2t + 8 and
 * 2t + 9 of the product's instruction, and the same for the outputs, so that a lane ends with four neighbouring
 * channels of two pixels, which it stores as they are. Floats have the same form, with W in shared memory.
 *
 * Memory traffic is the minimum, the input once and the output once; neighbouring patches overlap by a ninth, which
 * comes from the L2 cache. */
#include "shared/training/steps/stem.cuh"

/* ---- the product ---- */
template <typename T, int STEPS, int GROUPS> struct stem_filter;

/* Lane 4g + t has tap 4 * step + t of pixels g and g + 8. */
template <int STEPS, int GROUPS> struct stem_filter<bf16, STEPS, GROUPS> {
    int taps[STEPS];
    uint32_t weights[STEPS][GROUPS][2][2];

    /* first: the block's first channel */
    __device__ __forceinline__ void load(const struct stem *s, int first, unsigned char *)
    {
        const int lane = threadIdx.x % 32, taps_count = s->shape.kernel_h * s->shape.kernel_w;
        const float *const w = s->weights + blockIdx.z * s->parameter_stride;
#pragma unroll
        for (int step = 0; step < STEPS; step++) {
            const int tap = step * 4 + lane % 4;
            taps[step] = stem_tap_position(s, tap);
#pragma unroll
            for (int i = 0; i < GROUPS * 2; i++) {
                const int out = first + i / 2 * 16 + lane / 8 * 4 + i % 2 * 2 + lane / 4 % 2;
                struct quad q = quad_zero();
#pragma unroll
                for (int c = 0; c < 4; c++)
                    if (c < s->shape.in_c && tap < taps_count && out < s->shape.out_c)
                        q.v[c] = w[(out * s->shape.in_c + c) * taps_count + tap];
                weights[step][i / 2][i % 2][0] = pack2(q.v[0], q.v[1]);
                weights[step][i / 2][i % 2][1] = pack2(q.v[2], q.v[3]);
            }
        }
    }

    /* sums += the windows that begin at two positions of the patch, times the weights */
    __device__ __forceinline__ void multiply(const struct stem *, const bf16 *patch, const int (&positions)[2],
                                             struct quad (&sums)[2][GROUPS]) const
    {
        float d[GROUPS][2][4];
#pragma unroll
        for (int i = 0; i < GROUPS * 8; i++)
            d[i / 8][i / 4 % 2][i % 4] = sums[i % 4 / 2][i / 8].v[i / 4 % 2 * 2 + i % 2];
#pragma unroll
        for (int step = 0; step < STEPS; step++) {
            const uint2 upper = *(const uint2 *)(patch + 4 * (positions[0] + taps[step]));
            const uint2 lower = *(const uint2 *)(patch + 4 * (positions[1] + taps[step]));
            const uint32_t x[4] = {upper.x, lower.x, upper.y, lower.y};
#pragma unroll
            for (int i = 0; i < GROUPS * 2; i++)
                matrix_multiply(d[i / 2][i % 2], x, weights[step][i / 2][i % 2]);
        }
#pragma unroll
        for (int i = 0; i < GROUPS * 8; i++)
            sums[i % 4 / 2][i / 8].v[i / 4 % 2 * 2 + i % 2] = d[i / 8][i / 4 % 2][i % 4];
    }
};

template <int STEPS, int GROUPS> struct stem_filter<float, STEPS, GROUPS> {
    const float *weights; /* in shared memory: [tap][in_c][GROUPS * 16] */

    __device__ __forceinline__ void load(const struct stem *s, int first, unsigned char *shared)
    {
        const int taps = s->shape.kernel_h * s->shape.kernel_w, in = s->shape.in_c;
        const float *const w = s->weights + blockIdx.z * s->parameter_stride;
        for (int i = threadIdx.x; i < taps * in * GROUPS * 16; i += TILE_THREADS) {
            const int out = first + i % (GROUPS * 16), row = i / (GROUPS * 16);
            ((float *)shared)[i] = out < s->shape.out_c ? w[(out * in + row % in) * taps + row / in] : 0.0f;
        }
        weights = (const float *)shared;
    }

    __device__ __forceinline__ void multiply(const struct stem *s, const float *patch, const int (&positions)[2],
                                             struct quad (&sums)[2][GROUPS]) const
    {
        const struct conv_shape *shape = &s->shape;
        const float *w = weights + threadIdx.x % 4 * 4;
        for (int y = 0; y < shape->kernel_h; y++)
            for (int x = 0; x < shape->kernel_w; x++) {
                const int tap = y * shape->dilation_h * s->tiling.columns + x * shape->dilation_w;
                const struct quad upper = quad_load(patch + 4 * (positions[0] + tap), QUAD_VECTOR, 4);
                const struct quad lower = quad_load(patch + 4 * (positions[1] + tap), QUAD_VECTOR, 4);
#pragma unroll
                for (int c = 0; c < 4; c++) {
                    if (c >= shape->in_c)
                        break;
#pragma unroll
                    for (int group = 0; group < GROUPS; group++, w += 16) {
                        const struct quad q = quad_load(w, QUAD_VECTOR, 4);
#pragma unroll
                        for (int i = 0; i < 4; i++) {
                            sums[0][group].v[i] = fmaf(upper.v[c], q.v[i], sums[0][group].v[i]);
                            sums[1][group].v[i] = fmaf(lower.v[c], q.v[i], sums[1][group].v[i]);
                        }
                    }
                }
            }
    }
};

/* ---- the kernel ---- */
/* Stores what a lane has of pixels g and g + 8. spots: of pixel g; to: of the tile's first pixel and of the lane's
 * first channel */
template <typename T, int GROUPS>
static __device__ __forceinline__ void
store_pixels(const struct stem *s, struct limits limits, const struct spot *spots, int channel,
             const struct quad (&sums)[2][GROUPS], T *to, struct quad_moments (&moments)[GROUPS])
{
#pragma unroll
    for (int i = 0; i < 2 * GROUPS; i++) {
        const struct spot spot = spots[i % 2 * 8];
        const int group = i / 2, valid = stem_valid(s->shape.out_c, channel + group * 16);
        if (!is_within(limits, spot.place) || valid == 0)
            continue;
        const struct quad q = quad_store(to + spot.offset + group * 16, sums[i % 2][group], s->access, valid);
        if (s->write.moments)
            quad_note(&moments[group], q);
    }
}

template <typename T, int STEPS, int GROUPS>
static __global__ void __launch_bounds__(TILE_THREADS, 2) stem_forward_kernel(const struct stem s)
{
    DYNAMIC_SHARED(unsigned char, shared);
    const struct stem_memory<T> m = stem_memory_of<T>(&s.tiling, shared);
    const int out_c = s.shape.out_c, first_channel = blockIdx.y * GROUPS * 16, student = blockIdx.z;
    const int channel = first_channel + threadIdx.x % 4 * 4; /* of the first group */
    struct quad bias[GROUPS];
    struct quad_moments moments[GROUPS] = {};
    struct stem_filter<T, STEPS, GROUPS> filter;
    filter.load(&s, first_channel, m.rest);
#pragma unroll
    for (int group = 0; group < GROUPS; group++)
        bias[group] = s.bias ? quad_row(s.bias + student * s.parameter_stride, QUAD_SCALAR, channel + group * 16,
                                        stem_valid(out_c, channel + group * 16))
                             : quad_zero();
    stem_begin<T>(&s, &m);
    for (int tile = blockIdx.x, turn = 0; tile < s.tiling.tiles; tile += gridDim.x, turn ^= 1) {
        const struct stem_corner *const corner = stem_bring<T>(&s, &m, tile, turn);
        T *const to = kept((T *)s.write.values + (student * s.write.stride + corner->output) + channel);
        const struct limits limits = corner->pixels;
        for (int row = threadIdx.x / 32 * STEM_ROWS; row < s.tiling.height * s.tiling.width;
             row += TILE_THREADS / 32 * STEM_ROWS) {
            __syncwarp(); /* the product's instructions want whole warps together */
            const struct spot *const spots = m.pixels + row + threadIdx.x % 32 / 4;
            const int positions[2] = {(int)(spots[0].place >> PLACE_POSITION), (int)(spots[8].place >> PLACE_POSITION)};
            struct quad sums[2][GROUPS];
#pragma unroll
            for (int i = 0; i < 2 * GROUPS; i++)
                sums[i % 2][i / 2] = bias[i / 2];
            filter.multiply(&s, m.patch, positions, sums);
            store_pixels<T, GROUPS>(&s, limits, spots, channel, sums, to, moments);
        }
        __syncthreads();
    }
    const struct quad_lane lane = quad_lane_of(16, 16);
#pragma unroll
    for (int group = 0; group < GROUPS; group++) {
        const int first = first_channel + group * 16;
        quad_moments_hand_in(&moments[group], &lane, (float *)shared, &s.write, first, clamped(out_c - first, 0, 16));
    }
    finish_outputs(&s.write, first_channel, clamped(out_c - first_channel, 0, GROUPS * 16));
}

/* ---- host ---- */
bool stem_fits(const struct conv_shape *s)
{
    return s->groups == 1 && s->in_c <= 4 && s->kernel_h * s->kernel_w < stem_taps(7) &&
           (size_t)s->count * s->out_h * s->out_w <= INT_MAX / 2 &&
           (size_t)s->in_h * s->in_w * s->in_c <= INT_MAX / 2 &&
           (size_t)s->out_h * s->out_w * s->out_c <= INT_MAX / 2 && stem_tiling_of(s).tiles > 0;
}

template <typename T, int STEPS, int GROUPS>
static enum status launch(const struct cuda_run *run, const struct stem *s, struct error *err)
{
    enum { MOMENTS = TILE_THREADS * 12 * sizeof(float), WEIGHTS = stem_taps(STEPS) * 4 * GROUPS * 16 * sizeof(float) };
    const size_t tile = stem_bytes<T>(&s->tiling) + (sizeof(T) == 4 ? WEIGHTS : 0);
    const size_t bytes = tile > MOMENTS ? tile : (size_t)MOMENTS;
    const dim3 grid((unsigned)stem_blocks(&s->tiling), (unsigned)(s->shape.out_c + GROUPS * 16 - 1) / (GROUPS * 16),
                    (unsigned)run->students);
    LAUNCH((stem_forward_kernel<T, STEPS, GROUPS>), grid, TILE_THREADS, bytes, run->stream, *s);
    return cuda_launched("the first convolution", err);
}

enum status stem_forward(const struct cuda_run *run, const struct conv_shape *shape, struct error *err)
{
    struct stem s = stem_of(run, shape);
    enum status status = STATUS_OK;
    s.write = cuda_write_of(run, run->scratch);
    DISPATCH_STEM(run, shape, TRY((launch<T, STEPS, GROUPS>(run, &s, err))));
cleanup:
    return status;
}
