/* Random numbers in kernels. */
#ifndef SHARED_DEVICE_CUDA_CUDA_RANDOM_CUH
#define SHARED_DEVICE_CUDA_CUDA_RANDOM_CUH

#include "shared/device/cuda/cuda_launch.cuh"
#include "shared/base/random.h"

/* philox4x32 of (c0 to c3, k0, k1). */
static __device__ __forceinline__ void philox(uint32_t c0, uint32_t c1, uint32_t c2, uint32_t c3, uint32_t k0,
                                              uint32_t k1, uint32_t out[4])
{
    const uint32_t counter[4] = {c0, c1, c2, c3}, key[2] = {k0, k1};
    philox4x32(counter, key, out);
}

#endif
