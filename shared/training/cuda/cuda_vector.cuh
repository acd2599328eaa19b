/* Vectors of V neighbouring channels in a thread's registers, as floats. V is 4 where all pixels are aligned to vectors
 * (channels are a multiple of 4), and 1 otherwise. */
#ifndef SHARED_TRAINING_CUDA_CUDA_VECTOR_CUH
#define SHARED_TRAINING_CUDA_CUDA_VECTOR_CUH

#include "shared/device/cuda/cuda_number.cuh"

template <int V, typename T> static __device__ __forceinline__ void load_vector(const T *p, float *x)
{
    if (V == 4) {
        const float4 v = load4(p);
        x[0] = v.x, x[1 % V] = v.y, x[2 % V] = v.z, x[3 % V] = v.w;
    } else {
        x[0] = load(p);
    }
}
/* x becomes what was stored. */
template <int V, typename T> static __device__ __forceinline__ void store_vector(T *p, float *x)
{
    if (V == 4) {
        const float4 v = store4(p, make_float4(x[0], x[1 % V], x[2 % V], x[3 % V]));
        x[0] = v.x, x[1 % V] = v.y, x[2 % V] = v.z, x[3 % V] = v.w;
    } else {
        x[0] = store(p, x[0]);
    }
}
/* Rows of parameters have any alignment. */
template <int V> static __device__ __forceinline__ void load_row(const float *row, float absent, float *x)
{
#pragma unroll
    for (int v = 0; v < V; v++)
        x[v] = absent;
    if (!row)
        return;
#pragma unroll
    for (int v = 0; v < V; v++)
        x[v] = row[v];
}
template <int V> static __device__ __forceinline__ void clear(float *x)
{
#pragma unroll
    for (int v = 0; v < V; v++)
        x[v] = 0;
}

#endif
