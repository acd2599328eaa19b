/* Batch norm: turns the partial results of blocks into the statistics and gradient coefficients that the steps apply
 * when they read a tensor or its gradient.
 *
 * One block of threads per channel and student. Thread t takes the partial results of blocks t, t + THREADS, ...; the
 * sums of the threads are added in pairs, in an order that does not depend on the GPU. All in double precision. Reads 3
 * (forward) or 2 (backward) floats per block and channel, which is nothing compared with the tensors: the cost is the
 * launch. */
#include "shared/device/cuda/cuda_number.cuh"
#include "shared/training/cuda/cuda_step.h"

enum { THREADS = 128 };

/* The batch norm of the first student, and the strides to the next student. */
struct norm {
    int channels;
    int observed;              /* statistics of this batch; otherwise running ones */
    double count;              /* values per channel */
    const float *gamma, *beta; /* [channels] */
    const float *layer_bias;   /* [channels], or NULL */
    float *running_mean, *running_var;
    float *rows;                                           /* [PLAN_STATISTICS][channels] */
    float *gamma_gradient, *beta_gradient, *bias_gradient; /* [channels]; the last one may be NULL */
    size_t parameter_stride, state_stride, row_stride;     /* floats from one student to the next */
    float epsilon, momentum;
};

/* Moves the pointers to the copies of student blockIdx.z and to channel blockIdx.x. */
static __device__ struct norm norm_of_block(struct norm n)
{
    const size_t parameters = blockIdx.z * n.parameter_stride + blockIdx.x,
                 state = blockIdx.z * n.state_stride + blockIdx.x;
    n.gamma += parameters;
    n.beta += parameters;
    n.gamma_gradient += parameters;
    n.beta_gradient += parameters;
    if (n.layer_bias) {
        n.layer_bias += parameters;
        n.bias_gradient += parameters;
    }
    n.running_mean += state;
    n.running_var += state;
    n.rows += blockIdx.z * n.row_stride + blockIdx.x;
    return n;
}

/* The sum of the values of all threads, returned to every thread. */
static __device__ double block_sum(double value)
{
    __shared__ double sums[THREADS];
    sums[threadIdx.x] = value;
    for (int step = THREADS / 2; step > 0; step /= 2) {
        __syncthreads();
        if ((int)threadIdx.x < step)
            sums[threadIdx.x] += sums[threadIdx.x + step];
    }
    __syncthreads();
    value = sums[0];
    __syncthreads();
    return value;
}

/* Mean and sum of squared deviations over all blocks. The sum of squares of every block is moved to the common mean, so
 * that nothing cancels (Chan, Golub, LeVeque 1979). */
static __device__ void merge_blocks(const struct norm *n, const float *moments, int blocks, double *mean,
                                    double *squares)
{
    const size_t c = (size_t)n->channels;
    double sum = 0;
    for (int i = threadIdx.x; i < blocks; i += THREADS)
        sum += (double)moments[(size_t)i * 3 * c] * (double)moments[((size_t)i * 3 + 1) * c];
    *mean = block_sum(sum) / n->count;
    sum = 0;
    for (int i = threadIdx.x; i < blocks; i += THREADS) {
        const double shift = (double)moments[((size_t)i * 3 + 1) * c] - *mean;
        sum += (double)moments[((size_t)i * 3 + 2) * c] + (double)moments[(size_t)i * 3 * c] * shift * shift;
    }
    *squares = block_sum(sum);
}

/* moments [students][blocks][3][channels] */
static __global__ void finish_statistics(struct norm first, const float *moments, int blocks)
{
    const struct norm n = norm_of_block(first);
    const size_t c = (size_t)n.channels;
    const double bias = n.layer_bias ? (double)*n.layer_bias : 0;
    double mean = (double)*n.running_mean - bias, variance = (double)*n.running_var;
    if (moments) {
        double squares;
        merge_blocks(&n, moments + (size_t)blockIdx.z * blocks * 3 * c + blockIdx.x, blocks, &mean, &squares);
        variance = squares > 0 ? squares / n.count : 0 * squares; /* a NaN stays a NaN */
    }
    if (threadIdx.x != 0)
        return;
    if (moments) {
        const double unbiased = n.count > 1 ? variance * n.count / (n.count - 1) : variance;
        *n.running_mean += n.momentum * ((float)(mean + bias) - *n.running_mean);
        *n.running_var += n.momentum * ((float)unbiased - *n.running_var);
    }
    const double inverse = 1 / sqrt(variance + (double)n.epsilon), scale = (double)*n.gamma * inverse;
    n.rows[PLAN_MEAN * c] = (float)mean;
    n.rows[PLAN_INVERSE_STD * c] = (float)inverse;
    n.rows[PLAN_SCALE * c] = (float)scale;
    n.rows[PLAN_SHIFT * c] = (float)((double)*n.beta - mean * scale);
}

/* sums [students][blocks][2][channels]: of g and of g * (z - mean) */
static __global__ void finish_gradient(struct norm first, const float *sums, int blocks)
{
    const struct norm n = norm_of_block(first);
    const size_t c = (size_t)n.channels;
    double sum = 0, product = 0;
    sums += (size_t)blockIdx.z * blocks * 2 * c + blockIdx.x;
    for (int i = threadIdx.x; i < blocks; i += THREADS) {
        sum += (double)sums[(size_t)i * 2 * c];
        product += (double)sums[((size_t)i * 2 + 1) * c];
    }
    sum = block_sum(sum);
    product = block_sum(product);
    if (threadIdx.x != 0)
        return;
    const double inverse = (double)n.rows[PLAN_INVERSE_STD * c], mean = (double)n.rows[PLAN_MEAN * c];
    const double a = (double)n.rows[PLAN_SCALE * c];
    /* running statistics are constants: only the scale is left */
    const double b = n.observed ? -a * inverse * inverse * product / n.count : 0;
    const double d = n.observed ? -a * sum / n.count - b * mean : 0;
    *n.gamma_gradient = (float)(product * inverse);
    *n.beta_gradient = (float)sum;
    if (n.bias_gradient)
        *n.bias_gradient = n.observed ? 0 : (float)(a * sum);
    n.rows[PLAN_GRADIENT_A * c] = (float)a;
    n.rows[PLAN_GRADIENT_B * c] = (float)b;
    n.rows[PLAN_GRADIENT_D * c] = (float)d;
}

static struct norm norm_of(const struct cuda_run *run, const struct plan_tensor *tensor)
{
    const struct plan_batch_norm *norm = &run->plan->batch_norms[tensor->batch_norm];
    const struct network_memory *memory = run->memory;
    struct norm n = {};
    n.channels = norm->channels;
    n.observed = pass_observes(run->pass);
    n.count = (double)run->pass->count * tensor->shape.h * tensor->shape.w;
    n.gamma = weight_values(memory, norm->weight);
    n.beta = weight_values(memory, norm->bias);
    n.gamma_gradient = weight_gradient(memory, norm->weight);
    n.beta_gradient = weight_gradient(memory, norm->bias);
    n.layer_bias = weight_values(memory, norm->layer_bias);
    n.bias_gradient = weight_gradient(memory, norm->layer_bias);
    n.running_mean = weight_values(memory, norm->running_mean);
    n.running_var = weight_values(memory, norm->running_var);
    n.rows = memory->statistics + norm->statistics;
    n.parameter_stride = run->plan->parameter_count;
    n.state_stride = run->plan->state_count;
    n.row_stride = run->plan->statistics_count;
    n.epsilon = norm->epsilon;
    n.momentum = norm->momentum;
    return n;
}

extern "C" enum status cuda_finish_statistics(const struct cuda_run *run, const float *moments, int blocks,
                                              struct error *err)
{
    const struct norm n = norm_of(run, cuda_output_of(run));
    const dim3 grid(n.channels, 1, run->students);
    LAUNCH(finish_statistics, grid, THREADS, 0, run->stream, n, moments, blocks);
    return cuda_launched("finish_statistics", err);
}

extern "C" enum status cuda_finish_gradient(const struct cuda_run *run, const float *sums, int blocks,
                                            struct error *err)
{
    const struct norm n = norm_of(run, cuda_input_of(run));
    const dim3 grid(n.channels, 1, run->students);
    LAUNCH(finish_gradient, grid, THREADS, 0, run->stream, n, sums, blocks);
    return cuda_launched("finish_gradient", err);
}
