/* Stored types and their arithmetic: bfloat16 and half as CUDA's headers have them. Conversions round to nearest even.
 */
#ifndef SHARED_DEVICE_CUDA_CUDA_NUMBER_CUH
#define SHARED_DEVICE_CUDA_CUDA_NUMBER_CUH

#include "shared/device/cuda/cuda_launch.cuh"
extern "C" {
#include "shared/graph/graph.h"
}
#include "shared/graph/activation.h"
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <stdint.h>

typedef __nv_bfloat16 bf16;

static __device__ __forceinline__ float load(const float *p)
{
    return *p;
}
static __device__ __forceinline__ float load(const bf16 *p)
{
    return __bfloat162float(*p);
}
static __device__ __forceinline__ float load(const __half *p)
{
    return __half2float(*p);
}
static __device__ __forceinline__ float load(const int8_t *p)
{
    return *p;
}

/* Stores the value and returns what was stored: the rounded value, which sums must be made of. */
static __device__ __forceinline__ float store(float *p, float value)
{
    *p = value;
    return value;
}
static __device__ __forceinline__ float store(bf16 *p, float value)
{
    const bf16 rounded = __float2bfloat16_rn(value);
    *p = rounded;
    return __bfloat162float(rounded);
}
static __device__ __forceinline__ float store(__half *p, float value)
{
    const __half rounded = __float2half_rn(value);
    *p = rounded;
    return __half2float(rounded);
}

/* Four neighbouring channels at once; p is aligned to four elements. */
static __device__ __forceinline__ float4 load4(const float *p)
{
    return *(const float4 *)p;
}
static __device__ __forceinline__ float4 load4(const bf16 *p)
{
    const uint2 raw = *(const uint2 *)p;
    return make_float4(__uint_as_float(raw.x << 16), __uint_as_float(raw.x & 0xffff0000u), __uint_as_float(raw.y << 16),
                       __uint_as_float(raw.y & 0xffff0000u));
}
static __device__ __forceinline__ float4 load4(const __half *p)
{
    const uint2 raw = *(const uint2 *)p;
    const __half *v = (const __half *)&raw;
    return make_float4(load(v), load(v + 1), load(v + 2), load(v + 3));
}
static __device__ __forceinline__ float4 load4(const int8_t *p)
{
    const uint32_t raw = *(const uint32_t *)p;
    return make_float4((int8_t)raw, (int8_t)(raw >> 8), (int8_t)(raw >> 16), (int8_t)(raw >> 24));
}
static __device__ __forceinline__ float4 store4(float *p, float4 v)
{
    *(float4 *)p = v;
    return v;
}
/* One instruction from compute capability 8.0 on; a value at a time it would be two, of those that the slow unit for
 * conversions executes. */
static __device__ __forceinline__ uint32_t pack2(float low, float high)
{
    const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
    return *(const uint32_t *)&pair;
}
static __device__ __forceinline__ float4 store4(bf16 *p, float4 v)
{
    const uint2 raw = make_uint2(pack2(v.x, v.y), pack2(v.z, v.w));
    *(uint2 *)p = raw;
    return make_float4(__uint_as_float(raw.x << 16), __uint_as_float(raw.x & 0xffff0000u), __uint_as_float(raw.y << 16),
                       __uint_as_float(raw.y & 0xffff0000u));
}

static __device__ __forceinline__ float4 store4(__half *p, float4 v)
{
    const uint32_t a = __half_as_ushort(__float2half_rn(v.x)), b = __half_as_ushort(__float2half_rn(v.y));
    const uint32_t c = __half_as_ushort(__float2half_rn(v.z)), d = __half_as_ushort(__float2half_rn(v.w));
    *(uint2 *)p = make_uint2(a | b << 16, c | d << 16);
    return make_float4(load(p), load(p + 1), load(p + 2), load(p + 3));
}

/* activation_apply for descriptions of layers that hold the activation as an int. */
static __device__ __forceinline__ float activate(int activation, float alpha, float beta, float x)
{
    return activation_apply((enum activation)activation, alpha, beta, x);
}

/* The moments of some values: their number, mean, and sum of squared deviations from the mean. Merged pairwise they
 * keep their digits where sums of squares would cancel (Chan, Golub, LeVeque 1979). */
struct moments {
    float count, mean, squares;
};
static __device__ __forceinline__ struct moments moments_merge(struct moments a, struct moments b)
{
    const float count = a.count + b.count, delta = b.mean - a.mean, share = count > 0 ? b.count / count : 0;
    const struct moments both = {count, a.mean + delta * share,
                                 a.squares + b.squares + delta * delta * a.count * share};
    return both;
}

/* ---- dispatch over dtypes: the statement with T as the stored type ---- */
/* What students train in: float or bfloat16. */
#define DISPATCH_TYPE(dtype, T, ...) \
    do {                             \
        if ((dtype) == DTYPE_FP32) { \
            typedef float T;         \
            __VA_ARGS__;             \
        } else {                     \
            typedef bf16 T;          \
            __VA_ARGS__;             \
        }                            \
    } while (0)

/* What teachers compute in: those, and half. T is the name of the type. */
#define FOR_DTYPE(type, ...)     \
    switch (type) {              \
    case DTYPE_FP16: {           \
        typedef __half T;        \
        __VA_ARGS__;             \
        break;                   \
    }                            \
    case DTYPE_BF16: {           \
        typedef __nv_bfloat16 T; \
        __VA_ARGS__;             \
        break;                   \
    }                            \
    default: {                   \
        typedef float T;         \
        __VA_ARGS__;             \
        break;                   \
    }                            \
    }

#endif
