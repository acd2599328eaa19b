/* What the processor can do at most: fused multiplications and additions of floats in registers, and bytes of a copy
 * that does not fit its caches, on one thread and on all. scripts/bench_cpu.py compares training steps with it. */
#define _GNU_SOURCE
#include "shared/device/cpu/cpu_device.h"

#include <immintrin.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS = 1 << 20, ACCUMULATORS = 12, COPY_BYTES = 64 << 20, MAX_THREADS = 64 };
static const double SECONDS = 0.5;

/* Processor seconds of this thread, so that other programs do not count. */
static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Twelve independent sums hide the latency of a fused operation on both of a core's units. */
#define MULTIPLY(suffix, vector, set, add, fma, instructions)                                            \
    __attribute__((target(instructions))) static float multiply_##suffix(void)                           \
    {                                                                                                    \
        vector sums[ACCUMULATORS], factor = set(0.999f), total = set(0);                                 \
        _Pragma("GCC unroll 12") for (int i = 0; i < ACCUMULATORS; i++) sums[i] = set(1e-3f * (float)i); \
        for (int round = 0; round < ROUNDS; round++) {                                                   \
            _Pragma("GCC unroll 12") for (int i = 0; i < ACCUMULATORS; i++)                              \
            {                                                                                            \
                sums[i] = fma(sums[i], factor, factor);                                                  \
                __asm__ volatile("" : "+v"(sums[i]));                                                    \
            }                                                                                            \
        }                                                                                                \
        _Pragma("GCC unroll 12") for (int i = 0; i < ACCUMULATORS; i++) total = add(total, sums[i]);     \
        float first;                                                                                     \
        memcpy(&first, &total, sizeof first);                                                            \
        return first;                                                                                    \
    }
MULTIPLY(avx2, __m256, _mm256_set1_ps, _mm256_add_ps, _mm256_fmadd_ps, "avx2,fma")
MULTIPLY(avx512, __m512, _mm512_set1_ps, _mm512_add_ps, _mm512_fmadd_ps, "avx512f")

struct worker {
    pthread_t thread;
    enum cpu_isa isa;
    bool copy;
    double rate; /* operations or bytes a processor second */
    float kept;
};

static void *work(void *argument)
{
    struct worker *w = argument;
    char *from = w->copy ? malloc(COPY_BYTES) : NULL, *to = w->copy ? malloc(COPY_BYTES) : NULL;
    const bool wide = w->isa == CPU_ISA_AVX512;
    double done = 0;
    if (w->copy && from && to) {
        memset(from, 1, COPY_BYTES);
        memset(to, 1, COPY_BYTES);
    }
    const double start = now();
    while (now() - start < SECONDS) {
        if (!w->copy) {
            w->kept += wide ? multiply_avx512() : multiply_avx2();
            done += 2.0 * (wide ? 16 : 8) * ROUNDS * ACCUMULATORS;
        } else if (from && to) {
            memcpy(to, from, COPY_BYTES);
            w->kept += to[(size_t)done % COPY_BYTES];
            done += 2.0 * COPY_BYTES;
        }
    }
    w->rate = done / (now() - start);
    free(from);
    free(to);
    return NULL;
}

static double rate(int threads, enum cpu_isa isa, bool copy)
{
    struct worker workers[MAX_THREADS] = {{0}};
    double sum = 0;
    for (int i = 0; i < threads; i++) {
        workers[i].isa = isa;
        workers[i].copy = copy;
        if (pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0)
            exit(70);
    }
    for (int i = 0; i < threads; i++) {
        pthread_join(workers[i].thread, NULL);
        sum += workers[i].rate;
    }
    return sum;
}

int main(void)
{
    const enum cpu_isa isa = cpu_isa_choose(NULL);
    const long processors = sysconf(_SC_NPROCESSORS_ONLN);
    const int all = processors < 1 ? 1 : processors > MAX_THREADS ? MAX_THREADS : (int)processors;
    if (isa == CPU_ISA_GENERIC) {
        printf("limits are measured with AVX2 or AVX-512, which this processor has not\n");
        return 0;
    }
    const int counts[] = {1, all};
    for (int i = 0; i < (all > 1 ? 2 : 1); i++)
        printf("%d threads, %s: %.1f GFLOP/s, %.1f GB/s read and written\n", counts[i], cpu_isa_names[isa],
               1e-9 * rate(counts[i], isa, false), 1e-9 * rate(counts[i], isa, true));
    return 0;
}
