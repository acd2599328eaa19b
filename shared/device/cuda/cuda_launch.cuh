/* How kernels are launched, and how they get dynamic shared memory: the only two things that the tests' execution shim
 * (tests/shim) does differently. Its cuda_runtime.h defines these macros before this header can. */
#ifndef SHARED_DEVICE_CUDA_CUDA_LAUNCH_CUH
#define SHARED_DEVICE_CUDA_CUDA_LAUNCH_CUH

#include <cuda_runtime.h>

/* LAUNCH(kernel, grid, block, shared_bytes, stream, arguments...). A kernel with commas in its template arguments goes
 * in parentheses, with all template arguments written out:
 *     LAUNCH((blur<float, 3>), grid, block, 0, stream, p);
 * Check cudaGetLastError() after it. */
#ifndef LAUNCH
#define LAUNCH(kernel, grid, block, shared_bytes, stream, ...) \
    kernel<<<(grid), (block), (shared_bytes), (stream)>>>(__VA_ARGS__)
#endif

/* DYNAMIC_SHARED(float, tile) declares `float *const tile`, the block's dynamic shared memory, aligned to 16 bytes. */
#ifndef DYNAMIC_SHARED
#define DYNAMIC_SHARED(type, name)                                         \
    extern __shared__ __align__(16) unsigned char dynamic_shared_memory[]; \
    type *const name = (type *)dynamic_shared_memory
#endif

#endif
