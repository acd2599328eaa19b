/* What the kernels of all terms share: their rows, weight and scratch memory, and how a term ends.
 *
 * blockIdx.y is the student where a kernel's own comment says nothing else. In kernels that have a warp a row, the rows
 * of a student are dealt to at most CUDA_SUM_BLOCKS blocks. */
#ifndef SHARED_TRAINING_CUDA_CUDA_LOSS_CUH
#define SHARED_TRAINING_CUDA_CUDA_LOSS_CUH

#include "shared/training/cuda/cuda_loss.h"
#include "shared/device/cuda/cuda_sums.cuh"

enum { LOSS_WARPS = 4 }; /* rows that a block has in hand */

/* The grid of a kernel with LOSS_WARPS warps a block. */
static inline dim3 loss_grid(const struct loss_batch *batch)
{
    const int blocks = (batch->count + LOSS_WARPS - 1) / LOSS_WARPS;
    return dim3(blocks < CUDA_SUM_BLOCKS ? blocks : CUDA_SUM_BLOCKS, batch->students, 1);
}

/* This warp's rows: for (int row = loss_first_row(); row < loss_row_count(...); row += loss_row_step()) */
static __device__ __forceinline__ int loss_first_row(void)
{
    return blockIdx.x * LOSS_WARPS + threadIdx.x / WARP;
}
static __device__ __forceinline__ int loss_row_step(void)
{
    return gridDim.x * LOSS_WARPS;
}

/* Of the step and student. */
static __device__ __forceinline__ const struct step_scalars *loss_scalars(const struct loss_rows &rows, int student)
{
    return &rows.inputs.scalars[(size_t)*rows.inputs.cursor * rows.inputs.students + student];
}
static __device__ __forceinline__ double loss_weight(const struct loss_rows &rows)
{
    return loss_scalars(rows, blockIdx.y)->weights[rows.index];
}
/* How many rows the term sees: of logits all, of values the first of the batch. */
static __device__ __forceinline__ int loss_row_count(const struct loss_rows &rows, int student)
{
    if (!rows.batch.student)
        return rows.batch.count;
    return min(loss_scalars(rows, student)->rows[rows.index], (uint32_t)rows.batch.count);
}
/* The slot in the epoch inputs of the batch's first row. */
static __device__ __forceinline__ size_t loss_slot(const struct loss_rows &rows)
{
    return (size_t)*rows.inputs.cursor * rows.inputs.batch;
}
static __device__ __forceinline__ double *loss_scratch(const struct loss_rows &rows, int student)
{
    return (double *)((char *)rows.batch.scratch + student * rows.batch.scratch_stride);
}

/* By one thread of the student: the term's value (the mean over the rows that it saw), for the metrics. */
static __device__ __forceinline__ void loss_metrics(const struct loss_rows &rows, double value)
{
    double *metrics = rows.batch.metrics + blockIdx.y * METRIC_COUNT;
    const int count = loss_row_count(rows, blockIdx.y);
    metrics[METRIC_TERMS + rows.index] += value * count;
    metrics[METRIC_ROWS + rows.index] += rows.batch.part == 0 ? count : 0;
    metrics[METRIC_LOSS] += loss_weight(rows) * value * rows.batch.count;
}
/* Ends a term's kernel: `value` of all threads, added up and times `share`, is the term's value. */
static __device__ __forceinline__ void loss_finish(const struct loss_rows &rows, double value, double share)
{
    if (sum_over_blocks<1>(rows.sums, blockIdx.y, &value))
        loss_metrics(rows, value * share);
}

#endif
