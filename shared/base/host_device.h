/* Functions that the CPU and the GPU share: HOST_DEVICE double square(double x) { return x * x; }
 *
 * A header of such functions is plain C that is C++ too: no designated initialisers, no compound literals. Both sides
 * then compute the same formula; what differs between them (who adds what up, in which order) stays in their files. */
#ifndef SHARED_BASE_HOST_DEVICE_H
#define SHARED_BASE_HOST_DEVICE_H

#ifdef __CUDACC__
#define HOST_DEVICE static __host__ __device__ __forceinline__
#else
#define HOST_DEVICE static inline
#endif

#endif
