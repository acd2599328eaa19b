/* Sums of partial results, always in the same order: out[i] = sum over slices of partial[slice][i].
 *
 * A block owns 32 neighbouring results. Each of its 32 rows of threads adds every 32nd slice with four loads in flight,
 * and the rows are added in order. Memory traffic: every partial result once, 128 bytes per warp. */
#include "shared/device/cuda/cuda_launch.cuh"
#include "shared/training/cuda/cuda_step.h"

enum { COLUMNS = 32, ROWS = 32 };

static __global__ void __launch_bounds__(COLUMNS *ROWS)
    reduce(const float *partial, int slices, size_t count, float *out, size_t out_stride)
{
    __shared__ float sums[ROWS][COLUMNS];
    const size_t i = (size_t)blockIdx.x * COLUMNS + threadIdx.x;
    const float *from = partial + blockIdx.z * count * slices + i;
    float sum = 0;
    if (i < count)
#pragma unroll 4
        for (int slice = threadIdx.y; slice < slices; slice += ROWS)
            sum += from[slice * count];
    sums[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y > 0 || i >= count)
        return;
    for (int row = 1; row < ROWS; row++)
        sum += sums[row][threadIdx.x];
    out[blockIdx.z * out_stride + i] = sum;
}

extern "C" enum status cuda_reduce(cudaStream_t stream, const float *partial, int slices, size_t count, int students,
                                   float *out, size_t out_stride, struct error *err)
{
    const dim3 grid((unsigned)((count + COLUMNS - 1) / COLUMNS), 1, (unsigned)students);
    LAUNCH(reduce, grid, dim3(COLUMNS, ROWS), 0, stream, partial, slices, count, out, out_stride);
    return cuda_launched("a sum of partial results", err);
}
