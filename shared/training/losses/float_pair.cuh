/* What the kernels of the terms compute in where floats are too coarse: `number`.
 *
 * A GeForce card has 64 times as many units for floats as for doubles. There a number is a pair of floats, their sum
 * high + low with |low| <= 2^-23 |high|: a result differs from the exact one by 2^-44 of it (of the operands, if those
 * cancel), a double by 2^-53. Where the units for doubles are half as many (compute capabilities 8.0, 9.0 and 10.0) a
 * number is a double. Both have 8 bytes. Host code must not hold a number, nor a kernel take one as an argument: to the
 * host it is a double, whatever the GPU.
 *
 * A pair has the range of floats: exp is 0 below -87 and infinite above 88, low loses its digits below 1e-38. What is
 * infinite, or beyond 3e38, is no number after the next operation.
 *
 * Sources: T. J. Dekker, A floating-point technique for extending the available precision, 1971; D. E. Knuth, The art
 * of computer programming 2, 4.2.2; T. Ogita, S. M. Rump, S. Oishi, Accurate sum and dot product, 2005. */
#ifndef SHARED_TRAINING_LOSSES_FLOAT_PAIR_CUH
#define SHARED_TRAINING_LOSSES_FLOAT_PAIR_CUH

#include "shared/device/cuda/cuda_sums.cuh"

#include <math.h>

struct float_pair {
    float high, low;
    float_pair() = default;
    __host__ __device__ constexpr float_pair(float first, float second) : high(first), low(second)
    {
    }
    __host__ __device__ constexpr float_pair(float x) : high(x), low(0)
    {
    }
    __host__ __device__ constexpr float_pair(int x) : high((float)x), low((float)(x - (int)(float)x))
    {
    }
    __host__ __device__ constexpr float_pair(double x) : high((float)x), low((float)(x - (float)x))
    {
    }
    __host__ __device__ explicit constexpr operator double() const
    {
        return (double)high + low;
    }
    __host__ __device__ explicit constexpr operator float() const
    {
        return high;
    }
};

/* ---- exact: no compiler may contract or reorder these ---- */
/* a + b */
static __device__ __forceinline__ float_pair sum_of(float a, float b)
{
    const float sum = __fadd_rn(a, b), of_b = __fsub_rn(sum, a);
    return {sum, __fadd_rn(__fsub_rn(a, __fsub_rn(sum, of_b)), __fsub_rn(b, of_b))};
}
/* a + b, |a| >= |b| or a = 0 */
static __device__ __forceinline__ float_pair ordered_sum(float a, float b)
{
    const float sum = __fadd_rn(a, b);
    return {sum, __fsub_rn(b, __fsub_rn(sum, a))};
}
/* a * b */
static __device__ __forceinline__ float_pair product_of(float a, float b)
{
    const float product = __fmul_rn(a, b);
    return {product, __fmaf_rn(a, b, -product)};
}

/* ---- rounded ---- */
static __device__ __forceinline__ float_pair operator-(float_pair a)
{
    return {-a.high, -a.low};
}
static __device__ __forceinline__ float_pair operator+(float_pair a, float_pair b)
{
    const float_pair sum = sum_of(a.high, b.high);
    return ordered_sum(sum.high, __fadd_rn(sum.low, __fadd_rn(a.low, b.low)));
}
static __device__ __forceinline__ float_pair operator-(float_pair a, float_pair b)
{
    return a + -b;
}
static __device__ __forceinline__ float_pair operator*(float_pair a, float_pair b)
{
    const float_pair product = product_of(a.high, b.high);
    return ordered_sum(product.high, __fmaf_rn(a.high, b.low, __fmaf_rn(a.low, b.high, product.low)));
}
static __device__ __forceinline__ float_pair operator/(float_pair a, float_pair b)
{
    const float quotient = __fdiv_rn(a.high, b.high);
    const float_pair back = product_of(quotient, b.high);
    const float rest = __fadd_rn(__fsub_rn(__fsub_rn(a.high, back.high), back.low), a.low);
    return ordered_sum(quotient, __fdiv_rn(__fmaf_rn(-quotient, b.low, rest), b.high));
}
static __device__ __forceinline__ void operator+=(float_pair &a, float_pair b)
{
    a = a + b;
}
static __device__ __forceinline__ void operator-=(float_pair &a, float_pair b)
{
    a = a - b;
}
static __device__ __forceinline__ void operator*=(float_pair &a, float_pair b)
{
    a = a * b;
}
static __device__ __forceinline__ void operator/=(float_pair &a, float_pair b)
{
    a = a / b;
}

static __device__ __forceinline__ bool operator<(float_pair a, float_pair b)
{
    return a.high < b.high || (a.high == b.high && a.low < b.low);
}
static __device__ __forceinline__ bool operator>(float_pair a, float_pair b)
{
    return b < a;
}
static __device__ __forceinline__ bool operator==(float_pair a, float_pair b)
{
    return a.high == b.high && a.low == b.low;
}
static __device__ __forceinline__ float_pair fabs(float_pair x)
{
    return x.high < 0 ? -x : x;
}
static __device__ __forceinline__ float_pair fmax(float_pair a, float_pair b)
{
    return a < b ? b : a;
}

static __device__ __forceinline__ float_pair sqrt(float_pair x)
{
    const float root = __fsqrt_rn(x.high);
    const float_pair square = product_of(root, root);
    const float rest = __fadd_rn(__fsub_rn(__fsub_rn(x.high, square.high), square.low), x.low);
    return root > 0 ? ordered_sum(root, __fdiv_rn(rest, __fadd_rn(root, root))) : float_pair(root);
}

/* sum * x + c, |c| > |sum * x|: one step of Horner's rule */
static __device__ __forceinline__ float_pair horner(float_pair sum, float x, float_pair c)
{
    const float_pair product = product_of(sum.high, x), next = ordered_sum(c.high, product.high);
    return {next.high, __fadd_rn(next.low, __fadd_rn(__fmaf_rn(sum.low, x, product.low), c.low))};
}
/* 2^turns * e^rest, |rest| <= log(2) / 2: the series, whose terms from rest^7 on need no more than floats. */
static __device__ __forceinline__ float_pair exp(float_pair x)
{
    /* log(2) in three parts; turns times the first is exact */
    const float log2_first = 0.693145751953125f, log2_second = 1.4286068e-06f, log2_third = 5.497923e-14f;
    const float turns = rintf(__fmul_rn(x.high, 1.44269504f));
    const float_pair second = product_of(turns, log2_second);
    float_pair rest = sum_of(__fmaf_rn(-turns, log2_first, x.high), -second.high);
    rest = sum_of(rest.high, __fsub_rn(__fadd_rn(rest.low, x.low), __fmaf_rn(turns, log2_third, second.low)));
    float tail = 1.0f / 39916800;
    tail = __fmaf_rn(tail, rest.high, 1.0f / 3628800);
    tail = __fmaf_rn(tail, rest.high, 1.0f / 362880);
    tail = __fmaf_rn(tail, rest.high, 1.0f / 40320);
    float_pair sum = __fmaf_rn(tail, rest.high, 1.0f / 5040);
    sum = horner(sum, rest.high, 1.0 / 720);
    sum = horner(sum, rest.high, 1.0 / 120);
    sum = horner(sum, rest.high, 1.0 / 24);
    sum = horner(sum, rest.high, 1.0 / 6);
    sum = horner(sum, rest.high, 0.5f);
    sum = horner(sum, rest.high, 1.0f);
    sum = horner(sum, rest.high, 1.0f);
    sum = ordered_sum(sum.high, __fmaf_rn(sum.high, rest.low, sum.low));
    if (x.high < -87)
        return 0;
    if (x.high > 88)
        return INFINITY;
    const float scale = __int_as_float(((int)turns + 127) << 23);
    return {__fmul_rn(sum.high, scale), __fmul_rn(sum.low, scale)};
}
/* A step of Newton's method from the logarithm of the float. */
static __device__ __forceinline__ float_pair log(float_pair x)
{
    const float first = logf(x.high);
    if (!(x.high > 0))
        return first;
    const float_pair more = exp(float_pair(-first)) * x - 1;
    return first + (more - more * more / 2);
}

static __device__ __forceinline__ float_pair warp_other(float_pair x, int distance)
{
    return {__shfl_xor_sync(0xffffffffu, x.high, distance), __shfl_xor_sync(0xffffffffu, x.low, distance)};
}
/* Every lane gets the same bits, as of doubles. */
static __device__ __forceinline__ float_pair warp_sum(float_pair x)
{
    for (int distance = WARP / 2; distance > 0; distance /= 2)
        x += warp_other(x, distance);
    return x;
}
static __device__ __forceinline__ float_pair warp_max(float_pair x)
{
    for (int distance = WARP / 2; distance > 0; distance /= 2)
        x = fmax(x, warp_other(x, distance));
    return x;
}

/* ---- sums of many products: sum += a * b, with what `rounded` leaves for later ---- */
static __device__ __forceinline__ void add_product(float_pair *sum, float a, float b)
{
    const float_pair product = product_of(a, b), next = sum_of(sum->high, product.high);
    *sum = {next.high, __fadd_rn(sum->low, __fadd_rn(next.low, product.low))};
}
static __device__ __forceinline__ void add_product(float_pair *sum, float_pair a, float b)
{
    const float_pair product = product_of(a.high, b), next = sum_of(sum->high, product.high);
    *sum = {next.high, __fadd_rn(sum->low, __fadd_rn(next.low, __fmaf_rn(a.low, b, product.low)))};
}
static __device__ __forceinline__ void add_product(float_pair *sum, float_pair a, float_pair b)
{
    const float_pair product = product_of(a.high, b.high), next = sum_of(sum->high, product.high);
    const float low = __fmaf_rn(a.high, b.low, __fmaf_rn(a.low, b.high, product.low));
    *sum = {next.high, __fadd_rn(sum->low, __fadd_rn(next.low, low))};
}
static __device__ __forceinline__ float_pair rounded(float_pair sum)
{
    return ordered_sum(sum.high, sum.low);
}
static __device__ __forceinline__ void add_product(double *sum, double a, double b)
{
    *sum += a * b;
}
static __device__ __forceinline__ double rounded(double sum)
{
    return sum;
}

#if defined LOSSES_IN_DOUBLE || (defined __CUDACC__ && (!defined __CUDA_ARCH__ || __CUDA_ARCH__ == 800 || \
                                                        __CUDA_ARCH__ == 900 || __CUDA_ARCH__ == 1000))
typedef double number;
#else
typedef float_pair number;
#endif

#endif
