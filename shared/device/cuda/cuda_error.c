/* Puts CUDA's errors into words. */
#include "shared/device/cuda/cuda_device.h"

enum status cuda_check(cudaError_t result, const char *what, struct error *err)
{
    if (result == cudaSuccess)
        return STATUS_OK;
    cudaGetLastError(); /* so that the next launch does not report it */
    if (result == cudaErrorNoKernelImageForDevice)
        return error_set(err, STATUS_CONFIG, NULL,
                         "%s: this build has no code for this GPU: build with CUDA_ARCHS set to its compute capability",
                         what);
    return error_set(err, STATUS_INTERNAL, NULL, "%s: the GPU reports: %s (%s)", what, cudaGetErrorString(result),
                     cudaGetErrorName(result));
}

enum status cuda_launched(const char *kernel, struct error *err)
{
    return cuda_check(cudaGetLastError(), kernel, err);
}
