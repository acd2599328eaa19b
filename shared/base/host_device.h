/* Formulas that the host and kernels share are written once, as `static inline HOST_DEVICE` functions of a header that C
 * and CUDA sources include. */
#ifndef SHARED_BASE_HOST_DEVICE_H
#define SHARED_BASE_HOST_DEVICE_H

#ifdef __CUDACC__
#define HOST_DEVICE __host__ __device__
#define HOST_DEVICE_UNROLL _Pragma("unroll")
#else
#define HOST_DEVICE
#define HOST_DEVICE_UNROLL
#endif

#endif
