/* What the terms of the loss share that look at one row of logits at a time.
 *
 * A warp a row; the rows of a student are dealt to at most CUDA_SUM_BLOCKS blocks. Everything is computed in double
 * through log-softmax, as the CPU does it: exponents of differences of logits, and differences of probabilities, lose
 * too many digits in float, and there are only some thousand of them in a step. */
#ifndef SHARED_BACKEND_CUDA_LOSS_ROW_CUH
#define SHARED_BACKEND_CUDA_LOSS_ROW_CUH

#include "shared/backend/cuda/cuda_loss.h"
#include "shared/backend/cuda/cuda_sums.cuh"

enum { LOSS_WARPS = 4 }; /* rows that a block has in hand */

/* The grid of a kernel with LOSS_WARPS warps a block. */
static inline dim3 loss_grid(const struct loss_batch *batch)
{
    const int blocks = (batch->count + LOSS_WARPS - 1) / LOSS_WARPS;
    return dim3(blocks < CUDA_SUM_BLOCKS ? blocks : CUDA_SUM_BLOCKS, batch->students, 1);
}

/* ---- in a kernel: the student is blockIdx.y, and this warp's rows are
 *      for (int row = loss_first_row(); row < rows.batch.count; row += loss_row_step()) ---- */
static __device__ __forceinline__ int loss_first_row(void)
{
    return blockIdx.x * LOSS_WARPS + threadIdx.x / WARP;
}
static __device__ __forceinline__ int loss_row_step(void)
{
    return gridDim.x * LOSS_WARPS;
}
static __device__ __forceinline__ const float *loss_logits(const struct loss_rows &rows, int row) /* [classes] */
{
    return rows.batch.logits + blockIdx.y * rows.batch.logit_stride + (size_t)row * rows.feed.classes;
}
/* [classes], or NULL: only the value is wanted */
static __device__ __forceinline__ float *loss_gradient(const struct loss_rows &rows, int row)
{
    if (!rows.batch.gradient)
        return NULL;
    return rows.batch.gradient + blockIdx.y * rows.batch.gradient_stride + (size_t)row * rows.feed.classes;
}
/* The position in the feed of the batch's first row. */
static __device__ __forceinline__ size_t loss_position(const struct loss_rows &rows)
{
    return (size_t)*rows.feed.cursor * rows.feed.batch;
}
static __device__ __forceinline__ double loss_weight(const struct loss_rows &rows)
{
    return rows.feed.scalars[(size_t)*rows.feed.cursor * rows.feed.students + blockIdx.y].weights[rows.index];
}

/* max + log(sum(exp(z * inverse_t - max))) of a row z[classes]; by a whole warp, for every lane:
 * log_softmax(z / T)[k] = z[k] * inverse_t - log_sum_exp(z, classes, inverse_t) */
static __device__ __forceinline__ double log_sum_exp(const float *z, int classes, double inverse_t)
{
    double max = -INFINITY, sum = 0;
    for (int k = threadIdx.x % WARP; k < classes; k += WARP)
        max = fmax(max, z[k] * inverse_t);
    max = warp_max(max);
    for (int k = threadIdx.x % WARP; k < classes; k += WARP)
        sum += exp(z[k] * inverse_t - max);
    return max + log(warp_sum(sum));
}

/* Ends a term's kernel: `value` of all threads, added up and times `share`, is the term's value (the mean over the
 * batch), which the metrics get. */
static __device__ __forceinline__ void loss_finish(const struct loss_rows &rows, double value, double share)
{
    if (sum_over_blocks<1>(rows.sums, blockIdx.y, &value)) {
        double *metrics = rows.batch.metrics + blockIdx.y * METRIC_COUNT;
        value *= share;
        metrics[METRIC_TERMS + rows.index] += value * rows.batch.count;
        metrics[METRIC_ROWS + rows.index] += rows.batch.part == 0 ? rows.batch.count : 0;
        metrics[METRIC_LOSS] += loss_weight(rows) * value * rows.batch.count;
    }
}

#endif
