/* cuBLASLt, opened at run time, so that the version of CUDA 12 (of a PyTorch that brings its own libraries) does as
 * well as that of CUDA 13: the functions and constants below are the same in both. */
#ifndef SHARED_INFERENCE_CUDNN_CUBLAS_LIBRARY_H
#define SHARED_INFERENCE_CUDNN_CUBLAS_LIBRARY_H

#include "shared/base/error.h"
#include <cublasLt.h>

#define CUBLAS_FUNCTIONS(X)                 \
    X(cublasLtCreate)                       \
    X(cublasLtDestroy)                      \
    X(cublasLtGetStatusString)              \
    X(cublasLtMatmul)                       \
    X(cublasLtMatmulAlgoGetHeuristic)       \
    X(cublasLtMatmulDescCreate)             \
    X(cublasLtMatmulDescDestroy)            \
    X(cublasLtMatmulDescSetAttribute)       \
    X(cublasLtMatmulPreferenceCreate)       \
    X(cublasLtMatmulPreferenceDestroy)      \
    X(cublasLtMatmulPreferenceSetAttribute) \
    X(cublasLtMatrixLayoutCreate)           \
    X(cublasLtMatrixLayoutDestroy)

/* A pointer to each function, under its name. */
struct cublas_library {
#define CUBLAS_POINTER(name) __typeof__(name) *name;
    CUBLAS_FUNCTIONS(CUBLAS_POINTER)
#undef CUBLAS_POINTER
};

/* The library by the loader's path, LD_LIBRARY_PATH included, or already in this process. It stays loaded until the
 * program ends. STATUS_CONFIG: neither version is there, or one lacks a function. */
enum status cublas_library_open(struct cublas_library *library, struct error *err);

#endif
