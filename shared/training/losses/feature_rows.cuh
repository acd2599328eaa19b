/* What the kernels share that compare features of student and teacher element by element (hint, at, cosine, vid).
 * Sums over elements are in `number` (float_pair.cuh), those over rows in double, in a fixed order. Neighbouring
 * threads read neighbouring elements. */
#ifndef SHARED_TRAINING_LOSSES_FEATURE_ROWS_CUH
#define SHARED_TRAINING_LOSSES_FEATURE_ROWS_CUH

#include "shared/training/cuda/cuda_loss.cuh"

enum { FEATURE_THREADS = SUM_WARPS * WARP };

/* What student blockIdx.y's term works on. */
struct feature_rows {
    const float *student, *teacher; /* [rows, pixels, channels]; at: the teacher may have other channels */
    float *gradient;                /* [rows, pixels, channels], NULL: only the value is wanted */
    size_t size, total;             /* floats of a row and of all rows */
    int rows, pixels, channels;
};
static __device__ __forceinline__ struct feature_rows feature_rows_of(const struct cuda_loss_args &args)
{
    const struct loss_batch &batch = args.batch;
    const size_t at = blockIdx.y * batch.student_stride;
    struct feature_rows f;
    f.student = batch.student + at;
    f.teacher = batch.teacher;
    f.gradient = batch.student_gradient ? batch.student_gradient + at : NULL;
    f.rows = loss_row_count(args, blockIdx.y);
    f.pixels = batch.shape.pixels;
    f.channels = batch.shape.channels;
    f.size = (size_t)f.pixels * f.channels;
    f.total = f.rows * f.size;
    return f;
}

/* 1 / (a * b), 0 if that is not positive */
static __device__ __forceinline__ double share_of(double a, double b)
{
    return a * b > 0 ? 1 / (a * b) : 0;
}

/* The sums over the block; every thread of it gets them. */
template <int VALUES> static __device__ __forceinline__ void sum_for_block(double *values)
{
    __shared__ double sums[VALUES];
    sum_over_block<VALUES>(values);
    for (int i = 0; threadIdx.x == 0 && i < VALUES; i++)
        sums[i] = values[i];
    __syncthreads();
    for (int i = 0; i < VALUES; i++)
        values[i] = sums[i];
    __syncthreads();
}

/* ---- host ---- */
/* Blocks of a student that has work for `most`. */
static inline int feature_blocks(size_t most)
{
    return most < CUDA_SUM_BLOCKS ? (int)most : CUDA_SUM_BLOCKS;
}
/* The grid of a kernel with one block per row. */
static inline dim3 feature_row_grid(const struct loss_batch *batch)
{
    return dim3(feature_blocks(batch->count), batch->students, 1);
}

#endif
