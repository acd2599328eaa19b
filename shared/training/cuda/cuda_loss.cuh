/* What the kernels of all terms share: their rows, weight and scratch memory, and how a term ends.
 *
 * blockIdx.y is the student unless a kernel's own comment says otherwise. In kernels with one warp per row, the rows of
 * a student are dealt to at most CUDA_SUM_BLOCKS blocks. */
#ifndef SHARED_TRAINING_CUDA_CUDA_LOSS_CUH
#define SHARED_TRAINING_CUDA_CUDA_LOSS_CUH

#include "shared/training/cuda/cuda_loss.h"
#include "shared/training/losses/loss_math.h"

#include "shared/device/cuda/cuda_sums.cuh"

enum { LOSS_WARPS = 4 }; /* rows that a block works on at a time */

/* The grid of a kernel with LOSS_WARPS warps per block. */
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

/* The step's scalars of a student. */
static __device__ __forceinline__ const struct step_scalars *loss_scalars(const struct cuda_loss_args &args,
                                                                          int student)
{
    return &args.inputs.scalars[(size_t)*args.inputs.cursor * args.inputs.students + student];
}
static __device__ __forceinline__ double loss_weight(const struct cuda_loss_args &args)
{
    return loss_scalars(args, blockIdx.y)->weights[args.index];
}
/* The rows that the term sees: of logits all, of features the first of the batch. */
static __device__ __forceinline__ int loss_row_count(const struct cuda_loss_args &args, int student)
{
    if (!args.batch.student)
        return args.batch.count;
    return min(loss_scalars(args, student)->rows[args.index], (uint32_t)args.batch.count);
}
/* The slot of the batch's first row in the epoch inputs. */
static __device__ __forceinline__ size_t loss_slot(const struct cuda_loss_args &args)
{
    return (size_t)*args.inputs.cursor * args.inputs.batch;
}
static __device__ __forceinline__ number *loss_scratch(const struct cuda_loss_args &args, int student)
{
    return (number *)((char *)args.batch.scratch + student * args.batch.scratch_stride + args.gate_bytes);
}
/* With a gate: the teacher's logits [batch, classes] behind it, and for each row whether it is left out. */
static __device__ __forceinline__ float *loss_gated_logits(const struct cuda_loss_args &args, int student)
{
    return (float *)((char *)args.batch.scratch + student * args.batch.scratch_stride);
}
static __device__ __forceinline__ unsigned char *loss_left_out(const struct cuda_loss_args &args, int student)
{
    return (unsigned char *)(loss_gated_logits(args, student) + (size_t)args.batch.shape.batch * args.inputs.classes);
}

/* By one thread of the student: the term's value (the mean over the rows that it saw), for the metrics. */
static __device__ __forceinline__ void loss_metrics(const struct cuda_loss_args &args, double value)
{
    double *metrics = args.batch.metrics + blockIdx.y * METRIC_COUNT;
    const int count = loss_row_count(args, blockIdx.y);
    metrics[METRIC_TERMS + args.index] += value * count;
    metrics[METRIC_ROWS + args.index] += args.batch.part == 0 ? count : 0;
    metrics[METRIC_LOSS] += loss_weight(args) * value * args.batch.count;
}
/* Ends a term's kernel: the term's value is `share` times the sum of `value` over all threads. */
static __device__ __forceinline__ void loss_finish(const struct cuda_loss_args &args, number value, number share)
{
    double sum = (double)value;
    if (sum_over_blocks<1>(args.sums, blockIdx.y, &sum))
        loss_metrics(args, sum * (double)share);
}

#endif
