/* Pointwise convolutions, forward: z[pixels, out] = completed input[pixels, in] W^T + bias.
 *
 * A block keeps the weights in shared memory and walks over tiles of 16 KB of pixels. A tile is one run of memory: it
 * is fetched with 8 or 16 bytes per thread while the tile before is being worked on, gets its epilogue, and is
 * multiplied as a whole. Results pass through shared memory to threads that own channels, which store them as they read
 * them and keep the moments in registers to the end.
 *
 * Memory traffic is the minimum: the input once, the output once. */
#include "shared/training/steps/pointwise.cuh"

/* That share the tiles: two for each multiprocessor of a large GPU. With more, a block would load the weights for a
 * tile or two. */
enum { FORWARD_BLOCKS = 256 };

/* W^T [in, out], with zeros around it. */
template <typename T, int SIDE, int PITCH>
static __device__ __forceinline__ void load_weights(const struct pointwise *p, int student, T *tile)
{
    const float *weights = p->weights + student * p->parameter_stride;
    for (int i = threadIdx.x; i < SIDE * SIDE; i += TILE_THREADS) {
        const int in = i % SIDE, out = i / SIDE;
        store(tile + in * PITCH + out, in < p->in && out < p->out ? weights[out * p->in + in] : 0.0f);
    }
}

template <typename T>
static __device__ __forceinline__ void write_tile(const struct pointwise *p, const struct quad_lane *lane, int student,
                                                  int first, int pixels, const float *results, int pitch,
                                                  struct quad_moments *moments)
{
    struct quad bias = quad_zero();
    if (p->bias)
        bias = quad_row(p->bias + student * p->parameter_stride, QUAD_SCALAR, lane->channel, 4);
    T *const values = (T *)p->write.values + student * p->write.stride + lane->channel;
#pragma unroll 2
    for (int row = lane->row; row < pixels; row += lane->rows) {
        struct quad q = quad_load(results + row * pitch + lane->channel, QUAD_VECTOR, 4);
#pragma unroll
        for (int i = 0; i < 4; i++)
            q.v[i] += bias.v[i];
        q = quad_store(values + (size_t)(first + row) * p->out, q, QUAD_VECTOR, 4);
        if (p->write.moments)
            quad_note(moments, q);
    }
}

template <typename T, int SIDE> struct forward_memory : pointwise_memory<T, SIDE, 16384 / SIDE / (int)sizeof(T)> {
    typedef pointwise_memory<T, SIDE, 16384 / SIDE / (int)sizeof(T)> base;
    enum {
        PIXELS = 16384 / SIDE / (int)sizeof(T),
        RESULT_BYTES = base::RESULT_BYTES,
        BYTES = base::WEIGHT_BYTES + (RESULT_BYTES > base::TILE_BYTES ? RESULT_BYTES : base::TILE_BYTES)
    };
};

template <typename T, int SIDE>
static __global__ void __launch_bounds__(TILE_THREADS, 2) pointwise_forward_kernel(const struct pointwise p)
{
    typedef forward_memory<T, SIDE> memory;
    enum { PIXELS = memory::PIXELS, PITCH = memory::PITCH, SHARE = memory::SHARE };
    enum { SUMS = PIXELS * SIDE / TILE_THREADS };
    DYNAMIC_SHARED(unsigned char, shared);
    T *const weights = (T *)shared, *const tile = (T *)(shared + memory::WEIGHT_BYTES);
    float *const results = (float *)tile;
    const int student = blockIdx.z, depth = tile_depth<T>(p.in);
    const struct quad_lane from = quad_lane_of(p.in, depth), to = quad_lane_of(p.out, p.out);
    const T *const values = (const T *)p.read.values + student * p.read.stride + from.channel;
    quad_raw<T> share[SHARE] = {};
    struct quad_moments moments = {};
    pointwise_fetch<T, PIXELS, SHARE>(&from, values, p.in, blockIdx.x * PIXELS, p.pixels, share);
    load_weights<T, SIDE, PITCH>(&p, student, weights);
    for (int i = blockIdx.x; i < p.tiles; i += gridDim.x) {
        const int first = i * PIXELS, left = p.pixels - first;
        float sums[SUMS];
        pointwise_fill_input<T, PIXELS, SHARE, PITCH>(&p, &from, student, first, share, tile);
        __syncthreads();
        if (i + (int)gridDim.x < p.tiles)
            pointwise_fetch<T, PIXELS, SHARE>(&from, values, p.in, first + gridDim.x * PIXELS, p.pixels, share);
        tile_clear<SUMS>(sums);
        tile_multiply<PIXELS, SIDE, memory::DOWN, TILE_BY_ROW>(sums, tile, PITCH, weights, PITCH, depth);
        __syncthreads();
        tile_store<T, PIXELS, SIDE, memory::DOWN, TILE_BY_ROW>(sums, results, memory::RESULT_PITCH);
        __syncthreads();
        write_tile<T>(&p, &to, student, first, left < PIXELS ? left : PIXELS, results, memory::RESULT_PITCH, &moments);
        __syncthreads();
    }
    quad_moments_hand_in(&moments, &to, results, &p.write, 0, p.out);
    finish_outputs(&p.write, 0, p.out);
}

/* ---- host ---- */
template <typename T> static size_t bytes_of(int side)
{
    switch (side) {
    case 32:
        return forward_memory<T, 32>::BYTES;
    case 64:
        return forward_memory<T, 64>::BYTES;
    default:
        return forward_memory<T, 128>::BYTES;
    }
}

size_t pointwise_forward_bytes(int in, int out, enum dtype dtype)
{
    const int side = pointwise_side(in, out);
    return dtype == DTYPE_BF16 ? bytes_of<bf16>(side) : bytes_of<float>(side);
}

template <typename T, int SIDE>
static enum status launch(const struct cuda_run *run, struct pointwise *p, struct error *err)
{
    typedef forward_memory<T, SIDE> memory;
    void (*const kernel)(struct pointwise) = pointwise_forward_kernel<T, SIDE>;
    p->tiles = (p->pixels + memory::PIXELS - 1) / memory::PIXELS;
    const int blocks = pointwise_blocks(p->tiles, FORWARD_BLOCKS);
    enum status status = STATUS_OK;
    TRY(cuda_check(
        cudaFuncSetAttribute((const void *)kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, memory::BYTES),
        "reserving shared memory for a pointwise convolution", err));
    LAUNCH((pointwise_forward_kernel<T, SIDE>), dim3((unsigned)blocks, 1, (unsigned)run->students), TILE_THREADS,
           memory::BYTES, run->stream, *p);
    TRY(cuda_launched("a pointwise convolution", err));
cleanup:
    return status;
}

template <typename T> static enum status launch_side(const struct cuda_run *run, struct pointwise *p, struct error *err)
{
    switch (pointwise_side(p->in, p->out)) {
    case 32:
        return launch<T, 32>(run, p, err);
    case 64:
        return launch<T, 64>(run, p, err);
    default:
        return launch<T, 128>(run, p, err);
    }
}

enum status pointwise_forward(const struct cuda_run *run, struct error *err)
{
    struct pointwise p = pointwise_of(run);
    p.write = cuda_write_of(run, run->scratch);
    return cuda_dtype_of(run, cuda_input_of(run)) == DTYPE_BF16 ? launch_side<bf16>(run, &p, err)
                                                                : launch_side<float>(run, &p, err);
}
