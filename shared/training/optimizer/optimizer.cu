/* SGD, Adam and AdamW as torch.optim, gradient clipping as torch.nn.utils.clip_grad_norm_: the formulas of update.h, in
 * the CPU's float operations.
 *
 * All parameters of a student are one vector, so a step of all students is two launches. The first sums the squares of
 * the gradients over a fixed number of slices. The second updates; each of its blocks adds up those sums again.
 * Neighbouring threads take neighbouring elements, UNROLL of them each, so that adding the sums costs little.
 *
 * Bytes moved per parameter: 4 for the norm; SGD 12 (20 with momentum), Adam 28, each vector once in and once out. */
#include "shared/training/cuda/cuda_training.h"
#include "shared/training/optimizer/update.h"
#include "shared/device/cuda/cuda_sums.cuh"

enum { THREADS = SUM_WARPS * WARP, UNROLL = 4 };

/* The number of slices, each the sum of one block. It depends only on the length of the vectors. */
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

/* The factor of the gradients, returned to every thread of the block. The first block also stores the norm. */
static __device__ __forceinline__ float clip_factor(double clip, size_t count, const struct cuda_sums *sums,
                                                    double *norms)
{
    __shared__ float factor;
    if (threadIdx.x < WARP) {
        const double norm = sqrt(sum_of_blocks(sums, blockIdx.y, slice_count(count), 0));
        if (threadIdx.x == 0) {
            factor = clip_factor_of(clip, norm);
            if (blockIdx.x == 0)
                norms[blockIdx.y] = norm;
        }
    }
    __syncthreads();
    return factor;
}

/* KIND 0: SGD, 1: Adam and AdamW */
template <int KIND>
static __global__ void __launch_bounds__(THREADS)
    update(struct optimizer optimizer, struct optimizer_memory memory, size_t count, struct epoch_inputs inputs,
           const struct cuda_sums *sums)
{
    const struct step_scalars *scalars = &inputs.scalars[(size_t)*inputs.cursor * inputs.students + blockIdx.y];
    const float clip = clip_factor(optimizer.clip, count, sums, memory.norm);
    const struct update_rates r = update_rates_of(&optimizer, scalars, clip);
    const size_t at = blockIdx.y * count, first = (size_t)blockIdx.x * THREADS * UNROLL + threadIdx.x;
    memory.parameters += at;
    memory.gradients += at;
    memory.first += at;
    memory.second += at;
#pragma unroll
    for (int u = 0; u < UNROLL; u++) {
        const size_t i = first + (size_t)u * THREADS;
        if (i < count) {
            const struct update_rates own = update_rates_at(&r, &memory, i);
            KIND == 0 ? update_sgd(&own, &memory, i) : update_adam(&own, &memory, i);
        }
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
