/* Formulas that the host and kernels share are written once, as `static inline HOST_DEVICE` functions of a header that
 * C and CUDA sources include. */
#ifndef SHARED_BASE_HOST_DEVICE_H
#define SHARED_BASE_HOST_DEVICE_H

#ifdef __CUDACC__
#define HOST_DEVICE __host__ __device__
#else
#define HOST_DEVICE
#endif

/* Before a loop: unrolls it in kernels. The host's compiler does not know the pragma. */
#ifdef __CUDA_ARCH__
#define HOST_DEVICE_UNROLL _Pragma("unroll")
#else
#define HOST_DEVICE_UNROLL
#endif

#endif
