/* Convolutions of one pixel, backward, in one pass: dx[pixels, in] = dz W and dW[out, in] = dz^T input.
 *
 * A block keeps the weights in shared memory and walks over tiles of pixels. It reads g and z of the output (together
 * dz) and the completed input of a tile once, and multiplies them twice: by rows for dx, which passes through shared
 * memory to threads that own channels and give it to the input, and by depth for dW, whose sums stay in registers to
 * the end. Blocks are so few that their partial results weigh little beside the tensors; cuda_reduce adds them in
 * order.
 *
 * Moved: g, z and the input once, its raw values once more (from the L2 cache, for act'), the input's gradient once. */
#include "shared/backend/cuda/pointwise.cuh"

enum {
    MAX_PARTIAL = 1 << 21, /* floats of all blocks' weight gradients together, if MIN_BLOCKS fit */
    MIN_BLOCKS = 128
};

/* W [out, in] as it is, zeros around. */
template <typename T, int SIDE, int PITCH>
static __device__ __forceinline__ void load_weights(const struct pointwise *p, int student, T *tile)
{
    const float *weights = p->weights + student * p->parameter_stride;
    for (int i = threadIdx.x; i < SIDE * SIDE; i += TILE_THREADS) {
        const int in = i % SIDE, out = i / SIDE;
        store(tile + out * PITCH + in, in < p->in && out < p->out ? weights[out * p->in + in] : 0.0f);
    }
}

template <typename T>
static __device__ __forceinline__ void give_tile(const struct pointwise *p, const struct quad_lane *lane, int student,
                                                 int first, int pixels, const float *results, int pitch,
                                                 struct quad_give *give)
{
#pragma unroll 2
    for (int row = lane->row; row < pixels; row += lane->rows)
        quad_hand_over<T>(&p->give, give, student, (size_t)(first + row) * p->in + lane->channel,
                          quad_load(results + row * pitch + lane->channel, QUAD_VECTOR, 4), p->give_access,
                          lane->valid);
}

/* The block's sums [SIDE, pitch] to its partial gradient. */
template <int SIDE>
static __device__ __forceinline__ void store_weights(const struct pointwise *p, int student, const float *results)
{
    float *to = p->weight_partial + student * p->weight_student + blockIdx.x * p->weight_block;
    for (int i = threadIdx.x; i < SIDE * SIDE; i += TILE_THREADS) {
        const int in = i % SIDE, out = i / SIDE;
        if (in < p->in && out < p->out)
            to[out * p->in + in] = results[out * (SIDE + 4) + in];
    }
}

template <typename T, int SIDE>
static __global__ void __launch_bounds__(TILE_THREADS, SIDE == 128 ? 1 : 2)
    pointwise_backward_kernel(const struct pointwise p)
{
    typedef pointwise_memory<T, SIDE> memory;
    enum { SUMS = memory::PIXELS * SIDE / TILE_THREADS, WEIGHT_SUMS = SIDE * SIDE / TILE_THREADS };
    enum { WEIGHTS_DOWN = SIDE == 32 ? 2 : 4 };
    DYNAMIC_SHARED(unsigned char, shared);
    T *const weights = (T *)shared, *const dz = (T *)(shared + memory::WEIGHT_BYTES);
    T *const input = dz + memory::PIXELS * memory::PITCH;
    float *const results = (float *)dz;
    const int student = blockIdx.z, depth = tile_depth<T>(p.out);
    const struct quad_lane from = quad_lane_of(p.out, depth), to = quad_lane_of(p.in, (p.in + 3) / 4 * 4);
    const struct quad_slope through = quad_slope_of(&p.slope, student, from.channel, from.valid);
    const struct quad_completion completion = quad_completion_of(&p.read, student, to.channel, to.valid);
    struct quad_give give = quad_give_of(&p.give, student, to.channel, to.valid);
    float weight_sums[WEIGHT_SUMS], bias = 0;
    tile_clear<WEIGHT_SUMS>(weight_sums);
    load_weights<T, SIDE, memory::PITCH>(&p, student, weights);
    for (int i = blockIdx.x; i < p.tiles; i += gridDim.x) {
        const int first = i * memory::PIXELS, left = p.pixels - first;
        pointwise_slope<T, memory::PIXELS, memory::PITCH>(&p, &from, &through, student, first, dz);
        pointwise_read<T, memory::PIXELS, memory::PITCH>(&p, &to, &completion, student, first, input);
        __syncthreads();
        tile_multiply<SIDE, SIDE, WEIGHTS_DOWN, TILE_BY_DEPTH>(weight_sums, dz, memory::PITCH, input, memory::PITCH,
                                                               memory::PIXELS);
        for (int row = 0; p.bias_partial && (int)threadIdx.x < p.out && row < memory::PIXELS; row++)
            bias += load(dz + row * memory::PITCH + threadIdx.x);
        if (p.give.gradient) {
            float sums[SUMS];
            tile_clear<SUMS>(sums);
            tile_multiply<memory::PIXELS, SIDE, memory::DOWN, TILE_BY_ROW>(sums, dz, memory::PITCH, weights,
                                                                           memory::PITCH, depth);
            __syncthreads();
            tile_store<T, memory::PIXELS, SIDE, memory::DOWN, TILE_BY_ROW>(sums, results, memory::RESULT_PITCH);
            __syncthreads();
            give_tile<T>(&p, &to, student, first, left < memory::PIXELS ? left : memory::PIXELS, results,
                         memory::RESULT_PITCH, &give);
        }
        __syncthreads();
    }
    if (p.give.sums)
        quad_sums_hand_in(&give, &to, results, p.give.sums + ((size_t)student * gridDim.x + blockIdx.x) * 2 * p.in,
                          p.in, 0, p.in);
    __syncthreads();
    tile_store<T, SIDE, SIDE, WEIGHTS_DOWN, TILE_BY_DEPTH>(weight_sums, (float *)shared, SIDE + 4);
    __syncthreads();
    store_weights<SIDE>(&p, student, (const float *)shared);
    if (p.bias_partial && (int)threadIdx.x < p.out)
        p.bias_partial[student * p.bias_student + blockIdx.x * p.bias_block + threadIdx.x] = bias;
}

/* ---- host ---- */
static size_t tiles_of(int in, int out, size_t pixels, enum element element)
{
    const size_t tile = POINTWISE_TILE_BYTES / (pointwise_side(in, out) * element_size(element));
    return (pixels + tile - 1) / tile;
}

static size_t most_blocks(int in, int out)
{
    const size_t most = MAX_PARTIAL / ((size_t)in * out);
    return most < MIN_BLOCKS ? (size_t)MIN_BLOCKS : most > CUDA_MAX_BLOCKS ? (size_t)CUDA_MAX_BLOCKS : most;
}

size_t pointwise_scratch(int in, int out, size_t pixels, enum element element, int bias)
{
    const size_t tiles = tiles_of(in, out, pixels, element), most = most_blocks(in, out);
    return (tiles < most ? tiles : most) * ((size_t)in * out + (bias ? out : 0) + 2 * (size_t)in);
}

template <typename T, int SIDE>
static enum status launch(const struct cuda_run *run, struct pointwise *p, int blocks, struct error *err)
{
    typedef pointwise_memory<T, SIDE> memory;
    void (*const kernel)(struct pointwise) = pointwise_backward_kernel<T, SIDE>;
    enum status status = STATUS_OK;
    p->tiles = (p->pixels + memory::PIXELS - 1) / memory::PIXELS;
    TRY(cuda_check(
        cudaFuncSetAttribute((const void *)kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, memory::BACKWARD_BYTES),
        "reserve shared memory for a pointwise convolution", err));
    LAUNCH((pointwise_backward_kernel<T, SIDE>), dim3((unsigned)blocks, 1, (unsigned)run->students), TILE_THREADS,
           memory::BACKWARD_BYTES, run->stream, *p);
    TRY(cuda_launched("the gradients of a pointwise convolution", err));
cleanup:
    return status;
}

template <typename T>
static enum status launch_side(const struct cuda_run *run, struct pointwise *p, int blocks, struct error *err)
{
    switch (pointwise_side(p->in, p->out)) {
    case 32:
        return launch<T, 32>(run, p, blocks, err);
    case 64:
        return launch<T, 64>(run, p, blocks, err);
    default:
        return launch<T, 128>(run, p, blocks, err);
    }
}

/* Scratch memory: partial weight gradients, partial bias gradients, sums; of all students each. */
enum status pointwise_backward(const struct cuda_run *run, struct error *err)
{
    const struct conv_shape shape = conv_shape_of(run->plan, run->step, run->pass->count);
    const enum element element = cuda_element_of(run, cuda_input_of(run));
    const size_t parameters = run->plan->parameter_count;
    float *const gradients = run->memory->parameter_gradients;
    enum status status = STATUS_OK;
    struct pointwise p = pointwise_of(run);
    const int blocks = pointwise_blocks(tiles_of(p.in, p.out, p.pixels, element), most_blocks(p.in, p.out));
    const size_t rows = (size_t)run->students * blocks;
    p.weight_block = (size_t)p.in * p.out;
    p.weight_student = blocks * p.weight_block;
    p.weight_partial = run->scratch;
    p.bias_block = p.bias ? p.out : 0;
    p.bias_student = blocks * p.bias_block;
    p.bias_partial = p.bias ? p.weight_partial + rows * p.weight_block : NULL;
    p.slope = cuda_slope_of(run);
    p.read_access = conv_read_access(run, &shape);
    p.slope_access = conv_slope_access(run, &shape);
    if (cuda_input_of(run)->gradient != PLAN_NONE) {
        p.give = cuda_give_of(run, p.weight_partial + rows * (p.weight_block + p.bias_block));
        p.give_access = conv_give_access(run, &shape);
    }
    if (element == ELEMENT_BF16)
        TRY(launch_side<bf16>(run, &p, blocks, err));
    else
        TRY(launch_side<float>(run, &p, blocks, err));
    TRY(cuda_reduce(run->stream, p.weight_partial, blocks, p.weight_block, run->students, gradients + run->step->weight,
                    parameters, err));
    if (p.bias)
        TRY(cuda_reduce(run->stream, p.bias_partial, blocks, p.out, run->students, gradients + run->step->bias,
                        parameters, err));
    if (p.give.sums)
        TRY(cuda_finish_gradient(run, p.give.sums, blocks, err));
cleanup:
    return status;
}
