/* The last block: what many blocks have stored is read by the one that finishes last, without another launch. */
#ifndef SHARED_DEVICE_CUDA_CUDA_ARRIVAL_CUH
#define SHARED_DEVICE_CUDA_CUDA_ARRIVAL_CUH

#include "shared/device/cuda/cuda_launch.cuh"

/* True in the last of `count` blocks to call it, which then sees what the others stored before their calls; it must
 * read that through volatile pointers, because the L1 cache may not know what other multiprocessors have written.
 * *arrived is 0 before the first call and after the last one. All threads of a block must call it. */
static __device__ __forceinline__ bool last_to_arrive(unsigned int *arrived, unsigned int count)
{
    bool last = false;
    __syncthreads();
    if (threadIdx.x == 0) {
        __threadfence();
        last = atomicInc(arrived, count - 1) == count - 1; /* and back to 0 */
        if (last)
            __threadfence();
    }
    return __syncthreads_or(last);
}

#endif
