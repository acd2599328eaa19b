/* Convolutions of one pixel, forward: z[pixels, out] = completed input[pixels, in] W^T + bias.
 *
 * A block keeps the weights in shared memory and walks over tiles of 16 KB of pixels: the tile is one run of memory,
 * read 8 or 16 bytes a thread with four loads in flight, completed, and multiplied whole. Results pass through shared
 * memory to threads that own channels, which store them as they read and keep the moments in registers to the end.
 *
 * Moved: the input once, the output once: the floor. */
#include "shared/backend/cuda/pointwise.cuh"

/* W^T [in, out], zeros around. */
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
static __device__ __forceinline__ void write_tile(const struct pointwise *p, const struct quad_lane *lane,
                                                  struct quad bias, int student, int first, int pixels,
                                                  const float *results, int pitch, struct quad_moments *moments)
{
    const size_t student_at = student * p->write.stride + lane->channel;
#pragma unroll 4
    for (int row = lane->row; row < pixels; row += lane->rows) {
        const size_t at = student_at + (size_t)(first + row) * p->out;
        struct quad q = quad_load(results + row * pitch + lane->channel, QUAD_VECTOR, 4);
#pragma unroll
        for (int i = 0; i < 4; i++)
            q.v[i] += bias.v[i];
        q = p->output_float ? quad_store((float *)p->write.values + at, q, p->write_access, lane->valid)
                            : quad_store((T *)p->write.values + at, q, p->write_access, lane->valid);
        if (p->write.moments)
            quad_note(moments, q);
    }
}

template <typename T, int SIDE>
static __global__ void __launch_bounds__(TILE_THREADS, 2) pointwise_forward_kernel(const struct pointwise p)
{
    typedef pointwise_memory<T, SIDE> memory;
    enum { SUMS = memory::PIXELS * SIDE / TILE_THREADS };
    DYNAMIC_SHARED(unsigned char, shared);
    T *const weights = (T *)shared, *const tile = (T *)(shared + memory::WEIGHT_BYTES);
    float *const results = (float *)tile;
    const int student = blockIdx.z, depth = tile_depth<T>(p.in);
    const struct quad_lane from = quad_lane_of(p.in, depth), to = quad_lane_of(p.out, (p.out + 3) / 4 * 4);
    const struct quad_completion completion = quad_completion_of(&p.read, student, from.channel, from.valid);
    struct quad_moments moments = {};
    struct quad bias = quad_zero();
    if (p.bias)
        bias = quad_row(p.bias + student * p.parameter_stride, to.channel, to.valid);
    load_weights<T, SIDE, memory::PITCH>(&p, student, weights);
    for (int i = blockIdx.x; i < p.tiles; i += gridDim.x) {
        const int first = i * memory::PIXELS, left = p.pixels - first;
        float sums[SUMS];
        pointwise_read<T, memory::PIXELS, memory::PITCH>(&p, &from, &completion, student, first, tile);
        __syncthreads();
        tile_clear<SUMS>(sums);
        tile_multiply<memory::PIXELS, SIDE, memory::DOWN, TILE_BY_ROW>(sums, tile, memory::PITCH, weights,
                                                                       memory::PITCH, depth);
        __syncthreads();
        tile_store<T, memory::PIXELS, SIDE, memory::DOWN, TILE_BY_ROW>(sums, results, memory::RESULT_PITCH);
        __syncthreads();
        write_tile<T>(&p, &to, bias, student, first, left < memory::PIXELS ? left : memory::PIXELS, results,
                      memory::RESULT_PITCH, &moments);
        __syncthreads();
    }
    if (p.write.moments)
        quad_moments_hand_in(&moments, &to, results,
                             p.write.moments + ((size_t)student * gridDim.x + blockIdx.x) * 3 * p.out, p.out, 0, p.out);
}

template <typename T, int SIDE>
static enum status launch(const struct cuda_run *run, struct pointwise *p, struct error *err)
{
    typedef pointwise_memory<T, SIDE> memory;
    void (*const kernel)(struct pointwise) = pointwise_forward_kernel<T, SIDE>;
    p->tiles = (p->pixels + memory::PIXELS - 1) / memory::PIXELS;
    const int blocks = pointwise_blocks(p->tiles, CUDA_MAX_BLOCKS);
    enum status status = STATUS_OK;
    TRY(cuda_check(
        cudaFuncSetAttribute((const void *)kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, memory::FORWARD_BYTES),
        "reserve shared memory for a pointwise convolution", err));
    LAUNCH((pointwise_forward_kernel<T, SIDE>), dim3((unsigned)blocks, 1, (unsigned)run->students), TILE_THREADS,
           memory::FORWARD_BYTES, run->stream, *p);
    TRY(cuda_launched("a pointwise convolution", err));
    if (run->step->statistics)
        TRY(cuda_finish_statistics(run, p->write.moments, blocks, err));
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
    const struct conv_shape shape = conv_shape_of(run->plan, run->step, run->pass->count);
    struct pointwise p = pointwise_of(run);
    p.write = cuda_write_of(run, run->scratch);
    p.read_access = conv_read_access(run, &shape);
    p.write_access = conv_write_access(run, &shape);
    return cuda_element_of(run, cuda_input_of(run)) == ELEMENT_BF16 ? launch_side<bf16>(run, &p, err)
                                                                    : launch_side<float>(run, &p, err);
}
