/* Stored numbers in vectors of 16 bytes; computations are in float. */
#ifndef SHARED_INFERENCE_CUDNN_TEACHER_NUMBER_CUH
#define SHARED_INFERENCE_CUDNN_TEACHER_NUMBER_CUH

#include "shared/device/cuda/cuda_number.cuh"
#include "shared/inference/cudnn/teacher_kernels.h"

/* One 16-byte load or store. */
template <typename T> struct alignas(16) vector {
    static const int count = 16 / sizeof(T);
    T item[count];
};

template <typename T> static __device__ __forceinline__ void load_vector(float *to, const T *from)
{
    const vector<T> v = *(const vector<T> *)from;
    for (int i = 0; i < vector<T>::count; i++)
        to[i] = load(&v.item[i]);
}

template <typename T> static __device__ __forceinline__ void store_vector(T *to, const float *from)
{
    vector<T> v;
    for (int i = 0; i < vector<T>::count; i++)
        store(&v.item[i], from[i]);
    *(vector<T> *)to = v;
}

static __device__ __forceinline__ float apply(struct pointwise pointwise, float x)
{
    return activate(pointwise.activation, pointwise.alpha, pointwise.beta, x);
}

enum { BLOCK_THREADS = 256, WARP = 32 };

/* The sum over a warp, in every lane. */
static __device__ __forceinline__ float warp_sum(float value)
{
    for (int step = WARP / 2; step > 0; step /= 2)
        value += __shfl_xor_sync(0xffffffffu, value, step);
    return value;
}

static inline unsigned blocks_for(size_t threads)
{
    return (unsigned)((threads + BLOCK_THREADS - 1) / BLOCK_THREADS);
}

static __device__ __forceinline__ size_t thread_index(void)
{
    return (size_t)blockIdx.x * blockDim.x + threadIdx.x;
}

#endif
