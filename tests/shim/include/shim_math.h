/* The device functions that C's <math.h> does not have. */
#ifndef SHIM_MATH_H
#define SHIM_MATH_H

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <math.h>

/* ---- minimum and maximum, with CUDA's overloads for mixed signedness ---- */
#define SHIM_MIN_MAX(result, a_type, b_type)                  \
    static inline result min(a_type a, b_type b)              \
    {                                                         \
        return (result)a < (result)b ? (result)a : (result)b; \
    }                                                         \
    static inline result max(a_type a, b_type b)              \
    {                                                         \
        return (result)a > (result)b ? (result)a : (result)b; \
    }
SHIM_MIN_MAX(int, int, int)
SHIM_MIN_MAX(unsigned int, unsigned int, unsigned int)
SHIM_MIN_MAX(unsigned int, int, unsigned int)
SHIM_MIN_MAX(unsigned int, unsigned int, int)
SHIM_MIN_MAX(long, long, long)
SHIM_MIN_MAX(unsigned long, unsigned long, unsigned long)
SHIM_MIN_MAX(unsigned long, long, unsigned long)
SHIM_MIN_MAX(unsigned long, unsigned long, long)
SHIM_MIN_MAX(long long, long long, long long)
SHIM_MIN_MAX(unsigned long long, unsigned long long, unsigned long long)
SHIM_MIN_MAX(unsigned long long, long long, unsigned long long)
SHIM_MIN_MAX(unsigned long long, unsigned long long, long long)
#undef SHIM_MIN_MAX
/* Of a NaN and a number the number, as on the GPU. */
static inline float min(float a, float b)
{
    return fminf(a, b);
}
static inline float max(float a, float b)
{
    return fmaxf(a, b);
}
static inline double min(double a, double b)
{
    return fmin(a, b);
}
static inline double max(double a, double b)
{
    return fmax(a, b);
}

/* ---- functions; macros, because glibc declares functions of these names ---- */
static inline float shim_rsqrtf(float x)
{
    return (float)(1.0 / sqrt((double)x));
}
static inline double shim_rsqrt(double x)
{
    return 1.0 / sqrt(x);
}
#define rsqrtf(x) shim_rsqrtf(x)
#define rsqrt(x) shim_rsqrt(x)
#define __expf(x) expf(x)
#define __logf(x) logf(x)
#define __log2f(x) log2f(x)
#define __powf(x, y) powf(x, y)
#define __sinf(x) sinf(x)
#define __cosf(x) cosf(x)
static inline float __fdividef(float x, float y)
{
    return x / y;
}
static inline float __saturatef(float x)
{
    return x > 0.0f ? (x < 1.0f ? x : 1.0f) : 0.0f;
}

/* ---- arithmetic that no compiler may contract ---- */
static inline float __fadd_rn(float a, float b)
{
    return a + b;
}
static inline float __fsub_rn(float a, float b)
{
    return a - b;
}
static inline float __fmul_rn(float a, float b)
{
    return a * b;
}
static inline float __fdiv_rn(float a, float b)
{
    return a / b;
}
static inline float __fmaf_rn(float a, float b, float c)
{
    return fmaf(a, b, c);
}
static inline float __fsqrt_rn(float a)
{
    return sqrtf(a);
}
static inline float __frcp_rn(float a)
{
    return 1.0f / a;
}
static inline float __frsqrt_rn(float a)
{
    return rsqrtf(a);
}
static inline double __dadd_rn(double a, double b)
{
    return a + b;
}
static inline double __dsub_rn(double a, double b)
{
    return a - b;
}
static inline double __dmul_rn(double a, double b)
{
    return a * b;
}
static inline double __ddiv_rn(double a, double b)
{
    return a / b;
}
static inline double __dsqrt_rn(double a)
{
    return sqrt(a);
}
static inline double __fma_rn(double a, double b, double c)
{
    return fma(a, b, c);
}

/* ---- conversions: saturating, NaN becomes 0, as on the GPU ---- */
template <typename I, typename F> I shim_saturate(F x)
{
    if (!(x == x))
        return 0;
    if (x <= (F)std::numeric_limits<I>::min())
        return std::numeric_limits<I>::min();
    if (x >= (F)std::numeric_limits<I>::max())
        return std::numeric_limits<I>::max();
    return (I)x;
}
#define SHIM_CONVERSIONS(suffix, round)                       \
    static inline int __float2int_##suffix(float x)           \
    {                                                         \
        return shim_saturate<int>(round(x));                  \
    }                                                         \
    static inline unsigned int __float2uint_##suffix(float x) \
    {                                                         \
        return shim_saturate<unsigned int>(round(x));         \
    }                                                         \
    static inline long long __float2ll_##suffix(float x)      \
    {                                                         \
        return shim_saturate<long long>(round(x));            \
    }                                                         \
    static inline int __double2int_##suffix(double x)         \
    {                                                         \
        return shim_saturate<int>(round(x));                  \
    }                                                         \
    static inline long long __double2ll_##suffix(double x)    \
    {                                                         \
        return shim_saturate<long long>(round(x));            \
    }
SHIM_CONVERSIONS(rn, std::rint)
SHIM_CONVERSIONS(rz, std::trunc)
SHIM_CONVERSIONS(rd, std::floor)
SHIM_CONVERSIONS(ru, std::ceil)
#undef SHIM_CONVERSIONS
static inline float __int2float_rn(int x)
{
    return (float)x;
}
static inline float __uint2float_rn(unsigned int x)
{
    return (float)x;
}
static inline float __ll2float_rn(long long x)
{
    return (float)x;
}
static inline float __double2float_rn(double x)
{
    return (float)x;
}

/* ---- bits ---- */
template <typename T, typename S> T shim_bits(S from)
{
    static_assert(sizeof(T) == sizeof(S), "equal sizes");
    T to;
    memcpy(&to, &from, sizeof to);
    return to;
}
static inline int __float_as_int(float x)
{
    return shim_bits<int>(x);
}
static inline unsigned int __float_as_uint(float x)
{
    return shim_bits<unsigned int>(x);
}
static inline float __int_as_float(int x)
{
    return shim_bits<float>(x);
}
static inline float __uint_as_float(unsigned int x)
{
    return shim_bits<float>(x);
}
static inline long long __double_as_longlong(double x)
{
    return shim_bits<long long>(x);
}
static inline double __longlong_as_double(long long x)
{
    return shim_bits<double>(x);
}
static inline int __popc(unsigned int x)
{
    return __builtin_popcount(x);
}
static inline int __popcll(unsigned long long x)
{
    return __builtin_popcountll(x);
}
static inline int __clz(int x)
{
    return x ? __builtin_clz((unsigned int)x) : 32;
}
static inline int __clzll(long long x)
{
    return x ? __builtin_clzll((unsigned long long)x) : 64;
}
static inline int __ffs(int x)
{
    return __builtin_ffs(x);
}
static inline int __ffsll(long long x)
{
    return __builtin_ffsll(x);
}
static inline unsigned int __brev(unsigned int x)
{
    unsigned int reversed = 0;
    for (int bit = 0; bit < 32; bit++)
        reversed |= (x >> bit & 1u) << (31 - bit);
    return reversed;
}
static inline unsigned int __funnelshift_l(unsigned int low, unsigned int high, unsigned int shift)
{
    return (unsigned int)((((uint64_t)high << 32 | low) << (shift & 31)) >> 32);
}
static inline unsigned int __funnelshift_r(unsigned int low, unsigned int high, unsigned int shift)
{
    return (unsigned int)(((uint64_t)high << 32 | low) >> (shift & 31));
}
static inline unsigned int __byte_perm(unsigned int x, unsigned int y, unsigned int selector)
{
    const uint64_t bytes = (uint64_t)y << 32 | x;
    unsigned int result = 0;
    for (int i = 0; i < 4; i++) {
        const unsigned int pick = selector >> (4 * i) & 0xf;
        unsigned int byte = (unsigned int)(bytes >> (8 * (pick & 7))) & 0xff;
        if (pick & 8) /* replicate the sign */
            byte = byte & 0x80 ? 0xff : 0;
        result |= byte << (8 * i);
    }
    return result;
}

/* ---- integers ---- */
static inline int __mulhi(int a, int b)
{
    return (int)((int64_t)a * b >> 32);
}
static inline unsigned int __umulhi(unsigned int a, unsigned int b)
{
    return (unsigned int)((uint64_t)a * b >> 32);
}
static inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b)
{
    return (unsigned long long)((unsigned __int128)a * b >> 64);
}
static inline unsigned int __usad(unsigned int a, unsigned int b, unsigned int c)
{
    return (a > b ? a - b : b - a) + c;
}

#endif
