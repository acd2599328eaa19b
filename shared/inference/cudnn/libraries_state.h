/* What teacher_libraries.c and linear_layer.c share. */
#ifndef SHARED_INFERENCE_CUDNN_LIBRARIES_STATE_H
#define SHARED_INFERENCE_CUDNN_LIBRARIES_STATE_H

#include "shared/inference/cudnn/conv_choice.h"
#include "shared/inference/cudnn/cublas_library.h"
#include "shared/inference/cudnn/teacher_libraries.h"

struct libraries {
    cudnnHandle_t cudnn;                  /* NULL without a GPU */
    struct cublas_library cublas_library; /* opened with a GPU */
    cublasLtHandle_t cublas;              /* NULL without a GPU */
    cudaStream_t stream;
    struct conv_device device;
    struct conv_chooser chooser;
    char name[64];
};

#endif
