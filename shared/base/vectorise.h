/* VECTORISE before a function: its loops are vectorised, and it is compiled for AVX-512, for AVX2 and for the baseline;
 * when the program starts, it takes the best version for the processor. Floating-point results must not depend on the
 * processor: sums need a fixed order, and the compiler may not contract products and sums (-ffp-contract=off). */
#ifndef SHARED_BASE_VECTORISE_H
#define SHARED_BASE_VECTORISE_H

/* ThreadSanitizer cannot start a program whose functions are chosen at load time. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_THREAD__)
#define VECTORISE __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default"), optimize("O3")))
#else
#define VECTORISE
#endif

/* FINITE after VECTORISE: minimum and maximum may be single instructions, which treat NaN and -0 in their own way. It
 * changes no sum. VECTORISE_LOOP before a short loop: the compiler makes vectors of it before it would unroll it, and
 * its sources and its result do not overlap. */
#if defined(__GNUC__) && !defined(__clang__)
#define FINITE __attribute__((optimize("O3", "finite-math-only", "no-signed-zeros")))
#define VECTORISE_LOOP _Pragma("GCC ivdep") _Pragma("GCC unroll 1")
#else
#define FINITE
#define VECTORISE_LOOP
#endif

#endif
