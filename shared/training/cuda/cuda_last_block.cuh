/* What the last block of a launch makes of the sums that all blocks have handed in: statistics and gradient
 * coefficients of batch norms, gradients of weights. So the kernels that make the sums need no others behind them.
 *
 * The rows of the blocks of a student (and of one blockIdx.y, which has channels of its own) are added up in a tree of
 * two levels: the last block of each group of neighbouring blocks adds the rows of its group, in their order, and the
 * last of those adds the groups'. With 256 blocks that is 16 rows and 16 rows, where a single block would wait for the
 * L2 cache 16 times as long. Which block comes last changes nothing but who does the same additions.
 *
 * Neighbouring threads take neighbouring columns. Memory traffic: each row once, from the L2 cache. The rows have up to
 * about 2,000 floats: 128 KB for a group, 2 us for one multiprocessor at about 64 GB/s. More are added by cuda_reduce,
 * with many blocks. In floats: a GPU may compute 64 of them in the time of a double. */
#ifndef SHARED_TRAINING_CUDA_CUDA_LAST_BLOCK_CUH
#define SHARED_TRAINING_CUDA_CUDA_LAST_BLOCK_CUH

#include "shared/device/cuda/cuda_arrival.cuh"
#include "shared/device/cuda/cuda_number.cuh"
#include "shared/training/cuda/cuda_step.h"

/* ---- the tree ---- */
enum { MIN_GROUP = 16 };
static_assert(CUDA_MAX_GROUPS * CUDA_MAX_GROUPS >= CUDA_MAX_BLOCKS, "groups of at most CUDA_MAX_GROUPS blocks");

/* add(row, step, count) must put the sum of the rows row, row + step, ... (count of them) into the first of these. True
 * in the last of all blocks, whose row 0 then has the sums of all; a thread may read what itself has added. */
template <typename ADD> static __device__ __forceinline__ bool add_rows(unsigned int *arrived, const ADD &add)
{
    const int rows = gridDim.x;
    int side = MIN_GROUP;
    while (side * side < rows)
        side++;
    const int groups = (rows + side - 1) / side, group = blockIdx.x / side, first = group * side;
    const int members = min(side, rows - first);
    arrived += (blockIdx.z * gridDim.y + blockIdx.y) * CUDA_ARRIVALS;
    if (!last_to_arrive(arrived + 1 + group, members))
        return false;
    add(first, 1, members);
    if (groups == 1)
        return true;
    if (!last_to_arrive(arrived, groups))
        return false;
    add(0, side, groups);
    return true;
}

/* Columns [first, first + count) of the rows of a student. */
struct row_sums {
    volatile float *rows; /* [blocks][pitch] */
    size_t pitch;
    int first, count;

    __device__ __forceinline__ void operator()(int row, int step, int many) const
    {
        for (int i = threadIdx.x; i < count; i += blockDim.x) {
            volatile float *const at = rows + row * pitch + first + i;
            float sum = at[0];
#pragma unroll 8
            for (int k = 1; k < many; k++)
                sum += at[k * step * pitch];
            at[0] = sum;
        }
    }
};

/* Channels [first, first + count) of moments [blocks][3][channels]. */
struct moment_rows {
    volatile float *rows;
    size_t channels;
    int first, count;

    __device__ __forceinline__ struct moments moments_at(int row, int channel) const
    {
        volatile float *const at = rows + row * 3 * channels + channel;
        const struct moments m = {at[0], at[channels], at[2 * channels]};
        return m;
    }

    __device__ __forceinline__ void operator()(int row, int step, int many) const
    {
        for (int c = first + threadIdx.x; c < first + count; c += blockDim.x) {
            struct moments all = moments_at(row, c);
#pragma unroll 8
            for (int k = 1; k < many; k++)
                all = moments_merge(all, moments_at(row + k * step, c));
            volatile float *const to = rows + row * 3 * channels + c;
            to[0] = all.count;
            to[channels] = all.mean;
            to[2 * channels] = all.squares;
        }
    }
};

/* ---- one channel of a batch norm ---- */
static __device__ __forceinline__ float *norm_row(const struct cuda_norm *n, int row, int channel)
{
    return n->rows + blockIdx.z * n->row_stride + (size_t)row * n->channels + channel;
}

/* The mean is that of the raw values, without the layer's bias. */
static __device__ __forceinline__ void set_scale(const struct cuda_norm *n, int channel, float mean, float variance)
{
    const size_t at = blockIdx.z * n->parameter_stride + channel;
    const float inverse = 1 / sqrtf(variance + n->epsilon), scale = n->gamma[at] * inverse;
    *norm_row(n, PLAN_MEAN, channel) = mean;
    *norm_row(n, PLAN_INVERSE_STD, channel) = inverse;
    *norm_row(n, PLAN_SCALE, channel) = scale;
    *norm_row(n, PLAN_SHIFT, channel) = fmaf(-mean, scale, n->beta[at]);
}

static __device__ __forceinline__ float layer_bias_of(const struct cuda_norm *n, int channel)
{
    return n->layer_bias ? n->layer_bias[blockIdx.z * n->parameter_stride + channel] : 0;
}

static __device__ __forceinline__ void use_running(const struct cuda_norm *n, int channel)
{
    const size_t state = blockIdx.z * n->state_stride + channel;
    set_scale(n, channel, n->running_mean[state] - layer_bias_of(n, channel), n->running_var[state]);
}

static __device__ __forceinline__ void use_moments(const struct cuda_norm *n, int channel, struct moments all)
{
    float *const mean = n->running_mean + blockIdx.z * n->state_stride + channel;
    float *const var = n->running_var + blockIdx.z * n->state_stride + channel;
    const float variance = all.squares > 0 ? all.squares / n->count : 0 * all.squares; /* a NaN stays a NaN */
    *mean += n->momentum * (all.mean + layer_bias_of(n, channel) - *mean);
    *var += n->momentum * (variance * n->unbiased - *var);
    set_scale(n, channel, all.mean, variance);
}

/* sum: of g; product: of g * (z - mean) */
static __device__ __forceinline__ void set_derivative(const struct cuda_norm *n, int channel, float sum, float product)
{
    const size_t at = blockIdx.z * n->parameter_stride + channel;
    const float inverse = *norm_row(n, PLAN_INVERSE_STD, channel), mean = *norm_row(n, PLAN_MEAN, channel);
    const float a = *norm_row(n, PLAN_SCALE, channel);
    /* running statistics are constants: only the scale is left */
    const float b = n->observed ? -a * inverse * inverse * product / n->count : 0;
    n->gamma_gradient[at] = product * inverse;
    n->beta_gradient[at] = sum;
    if (n->bias_gradient)
        n->bias_gradient[at] = n->observed ? 0 : a * sum;
    *norm_row(n, PLAN_GRADIENT_A, channel) = a;
    *norm_row(n, PLAN_GRADIENT_B, channel) = b;
    *norm_row(n, PLAN_GRADIENT_D, channel) = n->observed ? -a * sum / n->count - b * mean : 0;
}

/* ---- the ends of kernels ---- */
/* Out of line, by value: what happens once must not cost the loops registers, or put their arguments into memory. */
static __device__ __noinline__ void finish_statistics(const struct cuda_norm n, const struct moment_rows moments,
                                                      unsigned int *arrived)
{
    if (!add_rows(arrived, moments))
        return;
    for (int c = moments.first + threadIdx.x; c < moments.first + moments.count; c += blockDim.x)
        use_moments(&n, c, moments.moments_at(0, c));
}

/* The end of a kernel that makes outputs, for the channels [first, first + count) of its blockIdx.y, after the block's
 * moments were handed in. All threads of the block must call it. */
static __device__ __forceinline__ void finish_outputs(const struct cuda_write *write, int first, int count)
{
    const size_t channels = write->norm.channels;
    if (write->moments) {
        const struct moment_rows moments = {write->moments + (size_t)blockIdx.z * gridDim.x * 3 * channels, channels,
                                            first, count};
        finish_statistics(write->norm, moments, write->arrived);
    } else if (write->norm.rows && blockIdx.x == 0) {
        for (int c = first + threadIdx.x; c < first + count; c += blockDim.x)
            use_running(&write->norm, c);
    }
}

/* Columns [first, first + count) of a gradient of weights, and where their sums go. */
struct weight_sums {
    struct row_sums sums; /* count 0: nothing is to be done */
    float *gradient;      /* of the student */

    __device__ __forceinline__ void store() const
    {
        for (int i = threadIdx.x; i < sums.count; i += blockDim.x)
            gradient[sums.first + i] = sums.rows[sums.first + i];
    }
};

static __device__ __forceinline__ struct weight_sums weight_sums_of(const struct cuda_partial *partial, int first,
                                                                    int count)
{
    struct weight_sums w = {};
    if (partial->rows && partial->gradient) {
        w.sums.rows = partial->rows + (size_t)blockIdx.z * gridDim.x * partial->count;
        w.sums.pitch = partial->count;
        w.sums.first = first;
        w.sums.count = count;
        w.gradient = partial->gradient + blockIdx.z * partial->stride;
    }
    return w;
}

/* All that a kernel of gradients has handed in. */
struct gradient_rows {
    struct row_sums sums, products; /* of a batch norm */
    struct weight_sums weights, bias;

    __device__ __forceinline__ void operator()(int row, int step, int many) const
    {
        sums(row, step, many);
        products(row, step, many);
        weights.sums(row, step, many);
        bias.sums(row, step, many);
    }
};

static __device__ __noinline__ void finish_rows(const struct cuda_norm n, const struct gradient_rows rows,
                                                unsigned int *arrived)
{
    if (!add_rows(arrived, rows))
        return;
    for (int i = threadIdx.x; i < rows.sums.count; i += blockDim.x)
        set_derivative(&n, rows.sums.first + i, rows.sums.rows[rows.sums.first + i],
                       rows.products.rows[rows.products.first + i]);
    rows.weights.store();
    rows.bias.store();
}

/* The end of a kernel that gives gradients to channels [first, first + count) of the input and to weights, after the
 * block's sums were handed in. All threads of the block must call it. */
static __device__ __forceinline__ void finish_gradients(const struct cuda_give *give, int first, int count,
                                                        const struct weight_sums &weights = {},
                                                        const struct weight_sums &bias = {})
{
    const size_t channels = give->norm.channels;
    struct gradient_rows rows = {};
    rows.weights = weights;
    rows.bias = bias;
    if (give->sums) {
        float *const sums = give->sums + (size_t)blockIdx.z * gridDim.x * 2 * channels;
        rows.sums = {sums, 2 * channels, first, count};
        rows.products = {sums, 2 * channels, (int)channels + first, count};
    }
    if (give->sums || weights.sums.count || bias.sums.count)
        finish_rows(give->norm, rows, give->arrived);
}

/* The same for kernels that only make gradients of weights. */
static __device__ __forceinline__ void finish_weights(unsigned int *arrived, const struct weight_sums &weights,
                                                      const struct weight_sums &bias = {})
{
    struct gradient_rows rows = {};
    const struct cuda_norm none = {};
    rows.weights = weights;
    rows.bias = bias;
    finish_rows(none, rows, arrived);
}

#endif
