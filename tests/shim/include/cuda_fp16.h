/* float16 as in the CUDA toolkit's header of this name, rounded to nearest even. */
#ifndef SHIM_CUDA_FP16_H
#define SHIM_CUDA_FP16_H

#include "cuda_runtime.h"

struct __half_raw {
    unsigned short x;
};

static inline unsigned short shim_float_to_half(float value)
{
    const unsigned int word = __float_as_uint(value), sign = word >> 16 & 0x8000u, magnitude = word & 0x7fffffffu;
    if (magnitude > 0x7f800000u)
        return 0x7fff;
    if (magnitude >= 0x477ff000u) /* 65520 and more round to infinity */
        return (unsigned short)(sign | 0x7c00u);
    if (magnitude < 0x38800000u) { /* subnormal: the sum's last bit is 2^-24, so the addition rounds */
        const unsigned int sum = __float_as_uint(__uint_as_float(magnitude) + 0.5f);
        return (unsigned short)(sign | (sum - 0x3f000000u));
    }
    const unsigned int rounded = magnitude - 0x38000000u + 0xfffu + (magnitude >> 13 & 1u);
    return (unsigned short)(sign | rounded >> 13);
}

static inline float shim_half_to_float(unsigned short bits)
{
    const unsigned int sign = (bits & 0x8000u) << 16, exponent = bits >> 10 & 0x1fu, fraction = bits & 0x3ffu;
    if (exponent == 0) {
        const float subnormal = (float)fraction * 0x1p-24f;
        return sign ? -subnormal : subnormal;
    }
    return __uint_as_float(sign | (exponent == 31 ? 0x7f800000u : (exponent + 112) << 23) | fraction << 13);
}

struct __half {
    unsigned short bits;

    __half() = default;
    __half(const __half_raw &raw) : bits(raw.x)
    {
    }
    __half(float value) : bits(shim_float_to_half(value))
    {
    }
    operator float() const
    {
        return shim_half_to_float(bits);
    }
    operator __half_raw() const
    {
        return {bits};
    }
};
typedef __half half;

struct SHIM_ALIGNED(4) __half2 {
    __half x, y;

    __half2() = default;
    __half2(__half low, __half high) : x(low), y(high)
    {
    }
};
typedef __half2 half2;

template <> struct shim_can_shuffle<__half> {
    static constexpr bool value = true;
};
template <> struct shim_can_shuffle<__half2> {
    static constexpr bool value = true;
};

static inline __half __float2half(float x)
{
    return __half(x);
}
static inline __half __float2half_rn(float x)
{
    return __half(x);
}
static inline float __half2float(__half x)
{
    return (float)x;
}
static inline unsigned short __half_as_ushort(__half x)
{
    return x.bits;
}
static inline __half __ushort_as_half(unsigned short bits)
{
    return __half(__half_raw{bits});
}
static inline __half2 __floats2half2_rn(float low, float high)
{
    return __half2(__half(low), __half(high));
}
static inline __half2 __float22half2_rn(float2 x)
{
    return __floats2half2_rn(x.x, x.y);
}
static inline __half2 __float2half2_rn(float x)
{
    return __floats2half2_rn(x, x);
}
static inline float2 __half22float2(__half2 x)
{
    return make_float2((float)x.x, (float)x.y);
}
static inline __half2 __halves2half2(__half low, __half high)
{
    return __half2(low, high);
}
static inline __half2 make_half2(__half low, __half high)
{
    return __half2(low, high);
}
static inline float __low2float(__half2 x)
{
    return (float)x.x;
}
static inline float __high2float(__half2 x)
{
    return (float)x.y;
}

#endif
