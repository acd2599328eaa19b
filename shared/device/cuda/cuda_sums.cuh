/* Sums over all blocks of a student in one launch and in a fixed order, so without float atomics. Every block adds up
 * the values of its threads and stores the sum in struct cuda_sums; the last block to arrive adds the sums of the
 * blocks, in their order. It does not matter which block is last, since all would do the same additions. */
#ifndef SHARED_DEVICE_CUDA_CUDA_SUMS_CUH
#define SHARED_DEVICE_CUDA_CUDA_SUMS_CUH

#include "shared/device/cuda/cuda_arrival.cuh"
#include "shared/device/cuda/cuda_device.h"

enum { WARP = 32, SUM_WARPS = 8 }; /* the most warps of a block that sums */

/* Every lane gets the same bits: each step adds the same two values, in one order or the other. */
static __device__ __forceinline__ double warp_sum(double value)
{
    for (int distance = WARP / 2; distance > 0; distance /= 2)
        value += __shfl_xor_sync(0xffffffffu, value, distance);
    return value;
}
static __device__ __forceinline__ double warp_max(double value)
{
    for (int distance = WARP / 2; distance > 0; distance /= 2)
        value = fmax(value, __shfl_xor_sync(0xffffffffu, value, distance));
    return value;
}

/* Adds up the partial sums of the blocks. Called by a whole warp; every lane gets the sum. The loads bypass the L1
 * cache, which may not know what other multiprocessors have written. */
static __device__ __forceinline__ double sum_of_blocks(const struct cuda_sums *sums, int student, int blocks, int value)
{
    double sum = 0;
    for (int block = threadIdx.x % WARP; block < blocks; block += WARP)
        sum += *(const volatile double *)&sums->partial[student][block][value];
    return warp_sum(sum);
}

/* Adds up VALUES values of every thread of the block; the block's first thread gets the sums. */
template <int VALUES> static __device__ __forceinline__ void sum_over_block(double *values)
{
    __shared__ double warps[SUM_WARPS][VALUES];
    for (int i = 0; i < VALUES; i++) {
        values[i] = warp_sum(values[i]);
        if (threadIdx.x % WARP == 0)
            warps[threadIdx.x / WARP][i] = values[i];
    }
    __syncthreads();
    for (int i = 0; threadIdx.x == 0 && i < VALUES; i++)
        for (int warp = 1; warp < (int)(blockDim.x / WARP); warp++)
            values[i] += warps[warp][i];
}

/* Adds up values[VALUES] of all threads of all blocks (gridDim.x <= CUDA_SUM_BLOCKS of them for this student). Returns
 * true in one thread, whose values then are the sums. */
template <int VALUES>
static __device__ __forceinline__ bool sum_over_blocks(struct cuda_sums *sums, int student, double *values)
{
    sum_over_block<VALUES>(values);
    for (int i = 0; threadIdx.x == 0 && i < VALUES; i++)
        sums->partial[student][blockIdx.x][i] = values[i];
    if (!last_to_arrive(&sums->arrived[student], gridDim.x) || threadIdx.x >= WARP)
        return false;
    for (int i = 0; i < VALUES; i++)
        values[i] = sum_of_blocks(sums, student, gridDim.x, i);
    return threadIdx.x == 0;
}

#endif
