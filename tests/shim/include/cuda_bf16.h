/* bfloat16 as in the CUDA toolkit's header of this name: the upper half of a float, rounded to nearest even. */
#ifndef SHIM_CUDA_BF16_H
#define SHIM_CUDA_BF16_H

#include "cuda_runtime.h"

struct __nv_bfloat16_raw {
    unsigned short x;
};

struct __nv_bfloat16 {
    unsigned short bits;

    __nv_bfloat16() = default;
    __nv_bfloat16(const __nv_bfloat16_raw &raw) : bits(raw.x)
    {
    }
    __nv_bfloat16(float value)
    {
        const unsigned int word = __float_as_uint(value);
        if (value != value)
            bits = 0x7fff;
        else
            bits = (unsigned short)((word + 0x7fffu + (word >> 16 & 1u)) >> 16);
    }
    operator float() const
    {
        return __uint_as_float((unsigned int)bits << 16);
    }
    operator __nv_bfloat16_raw() const
    {
        return {bits};
    }
};
typedef __nv_bfloat16 nv_bfloat16;

struct SHIM_ALIGNED(4) __nv_bfloat162 {
    __nv_bfloat16 x, y;

    __nv_bfloat162() = default;
    __nv_bfloat162(__nv_bfloat16 low, __nv_bfloat16 high) : x(low), y(high)
    {
    }
};
typedef __nv_bfloat162 nv_bfloat162;

template <> struct shim_can_shuffle<__nv_bfloat16> {
    static constexpr bool value = true;
};
template <> struct shim_can_shuffle<__nv_bfloat162> {
    static constexpr bool value = true;
};

static inline __nv_bfloat16 __float2bfloat16(float x)
{
    return __nv_bfloat16(x);
}
static inline __nv_bfloat16 __float2bfloat16_rn(float x)
{
    return __nv_bfloat16(x);
}
static inline float __bfloat162float(__nv_bfloat16 x)
{
    return (float)x;
}
static inline unsigned short __bfloat16_as_ushort(__nv_bfloat16 x)
{
    return x.bits;
}
static inline __nv_bfloat16 __ushort_as_bfloat16(unsigned short bits)
{
    return __nv_bfloat16(__nv_bfloat16_raw{bits});
}
static inline __nv_bfloat162 __floats2bfloat162_rn(float low, float high)
{
    return __nv_bfloat162(__nv_bfloat16(low), __nv_bfloat16(high));
}
static inline __nv_bfloat162 __float22bfloat162_rn(float2 x)
{
    return __floats2bfloat162_rn(x.x, x.y);
}
static inline __nv_bfloat162 __float2bfloat162_rn(float x)
{
    return __floats2bfloat162_rn(x, x);
}
static inline float2 __bfloat1622float2(__nv_bfloat162 x)
{
    return make_float2((float)x.x, (float)x.y);
}
static inline __nv_bfloat162 __halves2bfloat162(__nv_bfloat16 low, __nv_bfloat16 high)
{
    return __nv_bfloat162(low, high);
}
static inline __nv_bfloat162 make_bfloat162(__nv_bfloat16 low, __nv_bfloat16 high)
{
    return __nv_bfloat162(low, high);
}
static inline float __low2float(__nv_bfloat162 x)
{
    return (float)x.x;
}
static inline float __high2float(__nv_bfloat162 x)
{
    return (float)x.y;
}

#endif
