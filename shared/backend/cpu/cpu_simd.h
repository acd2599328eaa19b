/* A vector of LANES floats, for the kernels that are compiled once per instruction set: 16 (AVX-512), 8 (AVX2 and FMA)
 * or 4 (any processor, GCC's generic vectors). Arithmetic is written with operators; a * b + c becomes one FMA where
 * the instruction set has it (-ffp-contract=fast for these files only). */
#ifndef SHARED_BACKEND_CPU_CPU_SIMD_H
#define SHARED_BACKEND_CPU_CPU_SIMD_H

#if LANES > 4
#include <immintrin.h>
#endif
#include <stddef.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

typedef float vec __attribute__((vector_size(LANES * 4)));
typedef float unaligned_vec __attribute__((vector_size(LANES * 4), aligned(4), may_alias));

INLINE vec load(const float *p)
{
    return *(const unaligned_vec *)p;
}

INLINE void store(float *p, vec x)
{
    *(unaligned_vec *)p = x;
}

INLINE vec splat(float x)
{
    return x - (vec){0};
}

/* The first count lanes, 0 < count <= LANES; the others are 0, and their memory is not touched. */
INLINE vec load_part(const float *p, int count)
{
#if LANES == 16
    return _mm512_maskz_loadu_ps((__mmask16)((1u << count) - 1), p);
#else
    vec x = {0};
    memcpy(&x, p, (size_t)count * sizeof *p);
    return x;
#endif
}

INLINE void store_part(float *p, vec x, int count)
{
#if LANES == 16
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << count) - 1), x);
#else
    memcpy(p, &x, (size_t)count * sizeof *p);
#endif
}

/* a > b ? x : y, lane by lane; a NaN chooses y. */
INLINE vec select_greater(vec a, vec b, vec x, vec y)
{
#if LANES == 16
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_GT_OQ), y, x);
#elif LANES == 8
    return _mm256_blendv_ps(y, x, _mm256_cmp_ps(a, b, _CMP_GT_OQ));
#else
    typedef int mask __attribute__((vector_size(LANES * 4)));
    mask m = a > b;
    return (vec)(((mask)x & m) | ((mask)y & ~m));
#endif
}

/* a == b ? x : y */
INLINE vec select_equal(vec a, vec b, vec x, vec y)
{
#if LANES == 16
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ), y, x);
#elif LANES == 8
    return _mm256_blendv_ps(y, x, _mm256_cmp_ps(a, b, _CMP_EQ_OQ));
#else
    typedef int mask __attribute__((vector_size(LANES * 4)));
    mask m = a == b;
    return (vec)(((mask)x & m) | ((mask)y & ~m));
#endif
}

INLINE vec larger(vec a, vec b)
{
    return select_greater(a, b, a, b);
}

INLINE vec smaller(vec a, vec b)
{
    return select_greater(a, b, b, a);
}

#endif
