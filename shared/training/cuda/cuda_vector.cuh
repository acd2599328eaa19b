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

/* The same pointer to global memory, but the compiler no longer knows how it was computed. So it keeps it in registers,
 * where it would otherwise compute it again at every use. */
template <typename T> static __device__ __forceinline__ T *kept(T *p)
{
#ifdef __CUDA_ARCH__
    asm volatile("" : "+l"(p));
    __builtin_assume(__isGlobal(p));
#endif
    return p;
}

/* Neighbouring values as they lie in memory, aligned to their size: what a thread holds while loads are in flight. */
template <int BYTES> struct raw_bits;
template <> struct raw_bits<16> {
    typedef uint4 type;
};
template <> struct raw_bits<8> {
    typedef uint2 type;
};
template <> struct raw_bits<4> {
    typedef uint32_t type;
};
template <> struct raw_bits<2> {
    typedef uint16_t type;
};
template <typename T, int COUNT> struct raw_vector {
    typename raw_bits<COUNT *(int)sizeof(T)>::type bits;
};

template <typename T, int COUNT> static __device__ __forceinline__ raw_vector<T, COUNT> fetch_vector(const T *p)
{
    const raw_vector<T, COUNT> raw = *(const raw_vector<T, COUNT> *)p;
    return raw;
}

template <int COUNT, typename T>
static __device__ __forceinline__ void unpack_vector(const raw_vector<T, COUNT> &raw, float *x)
{
    const T *values = (const T *)&raw;
    if (sizeof(T) == 4 || COUNT == 1) {
#pragma unroll
        for (int i = 0; i < COUNT; i++)
            x[i] = load(values + i);
    } else {
#pragma unroll
        for (int i = 0; i < COUNT; i += 4) {
            const float4 four = load4(values + i);
            x[i] = four.x, x[(i + 1) % COUNT] = four.y, x[(i + 2) % COUNT] = four.z, x[(i + 3) % COUNT] = four.w;
        }
    }
}

#endif
