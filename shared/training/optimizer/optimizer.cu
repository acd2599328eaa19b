/* SGD, Adam and AdamW step for step as torch.optim, gradient clipping as torch.nn.utils.clip_grad_norm_: the float
 * operations of cpu_optimizer.c, none of them contracted.
 *
 * Idea: all parameters of a student are one vector, so a step of all students is two launches: the sums of the
 * gradients' squares over a fixed number of slices, and the update, whose every block adds those sums again.
 * Neighbouring threads take neighbouring elements, UNROLL of them each, so that adding the sums costs little. Bytes
 * moved a parameter: 4 for the norm; SGD 12 (20 with momentum), Adam 28, each vector once in and once out. */
#include "shared/training/cuda/cuda_training.h"
#include "shared/device/cuda/cuda_sums.cuh"

enum { THREADS = SUM_WARPS * WARP, UNROLL = 4 };

static __device__ __forceinline__ float mul(float a, float b)
{
    return __fmul_rn(a, b);
}
static __device__ __forceinline__ float add(float a, float b)
{
    return __fadd_rn(a, b);
}

/* Slices of the vectors, each the sum of a block: as many as the vectors' length alone says. */
static __device__ __host__ __forceinline__ int slice_count(size_t count)
{
    const size_t slices = (count + THREADS - 1) / THREADS;
    return slices < CUDA_SUM_BLOCKS ? (int)slices : CUDA_SUM_BLOCKS;
}

/* Slice blockIdx.x of student blockIdx.y. */
static __global__ void __launch_bounds__(THREADS)
    sum_squares(const float *gradients, size_t count, struct cuda_sums *sums)
{
    const size_t length = (count + gridDim.x - 1) / gridDim.x;
    const size_t from = blockIdx.x * length, to = from + length < count ? from + length : count;
    const float *g = gradients + blockIdx.y * count;
    double sum = 0;
    for (size_t i = from + threadIdx.x; i < to; i += THREADS)
        sum += (double)g[i] * g[i];
    sum_over_block<1>(&sum);
    if (threadIdx.x == 0)
        sums->partial[blockIdx.y][blockIdx.x][0] = sum;
}

/* The factor of the gradients, for every thread of the block; the first block also tells the norm. */
static __device__ __forceinline__ float clip_factor(double clip, size_t count, const struct cuda_sums *sums,
                                                    double *norms)
{
    __shared__ float factor;
    if (threadIdx.x < WARP) {
        const double norm = sqrt(sum_of_blocks(sums, blockIdx.y, slice_count(count), 0));
        if (threadIdx.x == 0) {
            factor = clip > 0 && clip / (norm + 1e-6) < 1 ? (float)(clip / (norm + 1e-6)) : 1;
            if (blockIdx.x == 0)
                norms[blockIdx.y] = norm;
        }
    }
    __syncthreads();
    return factor;
}

/* What a step's update needs beside the vectors, in float as the CPU has it. */
struct rates {
    float clip, rate, decay, momentum, keep, beta1, beta2, rest1, rest2, epsilon, root_correction;
    bool nesterov, first; /* first: the momentum buffer is empty yet */
};

static __device__ __forceinline__ struct rates rates_of(const struct optimizer &optimizer,
                                                        const struct step_scalars &scalars, float clip)
{
    const bool sgd = optimizer.kind == OPTIMIZER_SGD, decoupled = optimizer.kind == OPTIMIZER_ADAMW;
    struct rates r;
    r.clip = clip;
    r.rate = (float)(sgd ? scalars.learning_rate : scalars.learning_rate / scalars.correction1);
    r.decay = decoupled ? 0 : (float)optimizer.weight_decay;
    r.keep = decoupled ? (float)(1 - scalars.learning_rate * optimizer.weight_decay) : 1;
    r.momentum = (float)optimizer.momentum;
    r.nesterov = optimizer.nesterov;
    r.first = scalars.step == 0;
    r.beta1 = (float)optimizer.beta1;
    r.beta2 = (float)optimizer.beta2;
    r.rest1 = (float)(1 - optimizer.beta1);
    r.rest2 = (float)(1 - optimizer.beta2);
    r.epsilon = (float)optimizer.epsilon;
    r.root_correction = (float)scalars.root_correction2;
    return r;
}

/* Both take element i of the vectors to the next step. */
static __device__ __forceinline__ void step_sgd(const struct rates &r, const struct optimizer_memory &m, size_t i)
{
    float g = add(mul(m.gradients[i], r.clip), mul(r.decay, m.parameters[i]));
    if (r.momentum != 0) {
        const float velocity = r.first ? g : add(mul(r.momentum, m.first[i]), g);
        m.first[i] = velocity;
        g = r.nesterov ? add(g, mul(r.momentum, velocity)) : velocity;
    }
    m.parameters[i] = add(m.parameters[i], -mul(r.rate, g));
}
static __device__ __forceinline__ void step_adam(const struct rates &r, const struct optimizer_memory &m, size_t i)
{
    const float parameter = mul(m.parameters[i], r.keep);
    const float g = add(mul(m.gradients[i], r.clip), mul(r.decay, parameter));
    const float first = add(mul(r.beta1, m.first[i]), mul(r.rest1, g));
    const float second = add(mul(r.beta2, m.second[i]), mul(mul(r.rest2, g), g));
    m.first[i] = first;
    m.second[i] = second;
    m.parameters[i] = add(parameter, -(mul(r.rate, first) / add(sqrtf(second) / r.root_correction, r.epsilon)));
}

/* KIND 0: SGD, 1: Adam and AdamW */
template <int KIND>
static __global__ void __launch_bounds__(THREADS)
    update(struct optimizer optimizer, struct optimizer_memory memory, size_t count, struct epoch_inputs inputs,
           const struct cuda_sums *sums)
{
    const struct step_scalars *scalars = &inputs.scalars[(size_t)*inputs.cursor * inputs.students + blockIdx.y];
    const float clip = clip_factor(optimizer.clip, count, sums, memory.norm);
    const struct rates r = rates_of(optimizer, *scalars, clip);
    const size_t at = blockIdx.y * count, first = (size_t)blockIdx.x * THREADS * UNROLL + threadIdx.x;
    memory.parameters += at;
    memory.gradients += at;
    memory.first += at;
    memory.second += at;
#pragma unroll
    for (int u = 0; u < UNROLL; u++) {
        const size_t i = first + (size_t)u * THREADS;
        if (i < count)
            KIND == 0 ? step_sgd(r, memory, i) : step_adam(r, memory, i);
    }
}

static enum status step(struct device *device, const struct optimizer *optimizer, const struct optimizer_memory *memory,
                        size_t count, const struct epoch_inputs *inputs, struct error *err)
{
    const size_t share = THREADS * UNROLL;
    const dim3 slices(slice_count(count), inputs->students),
        blocks((unsigned)((count + share - 1) / share), inputs->students);
    enum status status = STATUS_OK;
    LAUNCH(sum_squares, slices, THREADS, 0, device->stream, memory->gradients, count, device->sums);
    TRY(cuda_launched("gradient norm", err));
    if (optimizer->kind == OPTIMIZER_SGD)
        LAUNCH(update<0>, blocks, THREADS, 0, device->stream, *optimizer, *memory, count, *inputs, device->sums);
    else
        LAUNCH(update<1>, blocks, THREADS, 0, device->stream, *optimizer, *memory, count, *inputs, device->sums);
    TRY(cuda_launched("optimiser", err));
cleanup:
    return status;
}

const struct optimizer_ops cuda_optimizer_ops = {step, cuda_ema_update};
