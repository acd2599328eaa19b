/* Turns errors of the CUDA runtime into ours. */
#ifndef SHARED_INFERENCE_CUDNN_TEACHER_CUDA_CHECK_H
#define SHARED_INFERENCE_CUDNN_TEACHER_CUDA_CHECK_H

#include "shared/base/error.h"
#include <cuda_runtime_api.h>

static inline enum status teacher_cuda_check(cudaError_t result, const char *what, struct error *err)
{
    if (result == cudaSuccess)
        return STATUS_OK;
    return error_set(err, STATUS_INTERNAL, NULL, "%s: the GPU failed: %s", what, cudaGetErrorString(result));
}

#endif
