/* The inner loops of the CPU backend. One source (cpu_*.inc) is compiled for each instruction set; which one runs is
 * chosen when the device opens. The loops work on rows in the caller's memory and know nothing of plans and threads.
 *
 * In NHWC tensors the parameters of the channels repeat along memory. If the number of channels is not a multiple of
 * 16, 16 pixels are treated as one row of 16 * channels. So parameters are arrays of `width` floats (width = channels,
 * or 16 * channels with the parameters repeated), every run of n floats begins at a pixel, and vectors are full for any
 * number of channels. */
#ifndef SHARED_TRAINING_CPU_CPU_KERNELS_H
#define SHARED_TRAINING_CPU_CPU_KERNELS_H

#include "shared/device/cpu/cpu_device.h"
#include "shared/graph/graph.h"
#include "shared/graph/int8_value.h"
#include <stdbool.h>
#include <stddef.h>

enum { KERNEL_SLACK = 16 /* floats that kernels may read beyond an array, where it says so (GAP of plan_layout.c) */ };

static inline int row_width(int channels)
{
    return channels % 16 ? 16 * channels : channels;
}

/* read(x) = act(scale * x + shift) */
struct epilogue {
    int width;
    const float *scale, *shift; /* [width], or NULL: no batch norm */
    const float *mean;          /* [width] of x, for the sums in finish */
    enum activation activation;
    float alpha, beta;
};

/* Memory that the caller reads next. Products and windows ask for it while they compute, some cache lines at a time:
 * otherwise memory rests while they compute, and they rest while the next tile is read. */
enum { MOST_AHEAD = 2, LINE_BYTES = 64 };
struct ahead {
    int count;
    struct {
        const char *at, *end;
    } ranges[MOST_AHEAD];
};

static inline void ahead_add(struct ahead *ahead, const void *from, size_t bytes)
{
    ahead->ranges[ahead->count].at = from;
    ahead->ranges[ahead->count++].end = (const char *)from + bytes;
}

/* Lines that nobody has asked for yet. */
static inline size_t ahead_lines(const struct ahead *ahead)
{
    size_t bytes = 0;
    for (int i = 0; i < ahead->count; i++)
        bytes += (size_t)(ahead->ranges[i].end - ahead->ranges[i].at);
    return bytes / LINE_BYTES;
}

/* Asks for the next `lines` lines. */
static inline void ahead_fetch(struct ahead *ahead, size_t lines)
{
    while (lines && ahead->count) {
        const char *at = ahead->ranges[ahead->count - 1].at, *end = ahead->ranges[ahead->count - 1].end;
        for (; lines && end - at >= LINE_BYTES; lines--, at += LINE_BYTES)
            __builtin_prefetch(at, 0, 2); /* to the L2 cache */
        ahead->ranges[ahead->count - 1].at = at;
        ahead->count -= end - at < LINE_BYTES;
    }
}

/* How an array is given: written, added to, or written past the caches, because nobody reads it soon. */
enum give { GIVE_WRITE, GIVE_ADD, GIVE_STREAM };

/* C[group][row][column] (+)= bias[column] + sum over outer o, inner i, step k of
 *     A[group * a_group + row * a_row + o * a_outer + i * a_inner + k * a_step] *
 *     B[column / lanes * b_panel + column % lanes + o * b_outer + i * b_inner + k * b_step]
 * Either a_row is 1 (A is transposed) or a_step is 1. B is read in whole vectors: up to KERNEL_SLACK floats beyond the
 * last column. */
struct gemm {
    int groups, rows, columns;
    int outer, inner, depth;
    const float *a;
    ptrdiff_t a_group, a_row, a_outer, a_inner, a_step;
    const float *b;
    ptrdiff_t b_panel, b_outer, b_inner, b_step;
    float *c;
    ptrdiff_t c_group, c_row;
    const float *bias;   /* [columns] or NULL */
    bool accumulate;     /* add to C */
    struct ahead *ahead; /* or NULL; about ahead_lines of it are asked for */
    size_t ahead_lines;
};

/* A window that slides over an image, each channel for itself:
 *     out[row * out_pitch + pixel * out_step + c] = bias[c] + sum over taps t of
 *         weights[t * channels + c] * in[row * in_pitch + pixel * in_step + offsets[t] + c]
 * `in` and `weights` are read up to KERNEL_SLACK floats beyond the last channel. */
struct window_job {
    int rows, pixels, channels, taps;
    const ptrdiff_t *offsets; /* [taps] */
    const float *weights;     /* [taps, channels] */
    const float *bias;        /* [channels] or NULL */
    const float *in;
    ptrdiff_t in_pitch, in_step;
    float *out;
    ptrdiff_t out_pitch, out_step;
    struct ahead *ahead; /* or NULL; about ahead_lines of it are asked for */
    size_t ahead_lines;
};

/* The loops that a step begins and ends with, for tensors that store fp32 (float) or bf16 (uint16_t). They read and
 * write stored elements, and compute with floats; sums are of what is stored. */
struct stored_kernels {
    /* out[n] = read(x[n]) */
    void (*apply_epilogue)(const struct epilogue *epilogue, const void *x, float *out, size_t n);
    /* sums[2 * width] = the sums of x - pivot and of its square; copy[n] (or NULL) = x, written or streamed */
    void (*moments)(const float *x, size_t n, int width, const float *pivot, float *sums, void *copy, enum give give);
    /* dz[n] = a * g + b * z + d: a gradient taken through a batch norm */
    void (*through_norm)(const void *g, const void *z, float *dz, size_t n, int width, const float *a, const float *b,
                         const float *d);
    /* gradient[n] = (dx[n] + gradient[n] if GIVE_ADD) * act'(scale * x + shift); sums[2 * width] (or NULL) = the sums
     * of the result and of the result * (x - mean) */
    void (*finish)(const struct epilogue *epilogue, const void *x, const float *dx, void *gradient, enum give give,
                   size_t n, float *sums);
};

struct cpu_kernels {
    int lanes;
    struct stored_kernels fp32, bf16;

    /* out[n] += factor * x[n] */
    void (*add_scaled)(float *out, const float *x, float factor, size_t n);

    /* int8_value.h: low and high, if a value is below or above; out[n] = the rounded values; dx[n] = g, or 0 where the
     * value is clipped */
    void (*bounds)(const float *x, size_t n, float *low, float *high);
    void (*quantise)(const float *x, struct int8_value to, float *out, size_t n);
    void (*quantise_gradient)(const float *x, const float *g, struct int8_value to, float *dx, size_t n);

    /* out[n] = a * b (+ out, if accumulate) */
    void (*multiply)(float *out, const float *a, const float *b, bool accumulate, size_t n);
    /* sums[width] = the sums of a * b */
    void (*column_products)(const float *a, const float *b, size_t n, int width, float *sums);
    /* out[n] = x > 0 ? x : x * weight; backward: dx[n], and sums[width] = the sums of the weights' gradients */
    void (*prelu)(const float *x, const float *weight, float *out, size_t n, int width);
    void (*prelu_gradient)(const float *x, const float *g, const float *weight, float *dx, size_t n, int width,
                           float *sums);
    /* A layer norm over the `channels` floats of every pixel: out[n] = xhat * weight + bias, xhat = (x - mean) / sqrt(
     * var + epsilon); backward: dx[n], and products[n] = g * xhat. Weight and bias are read up to KERNEL_SLACK floats
     * beyond the last channel. */
    void (*layer_norm)(const float *x, const float *weight, const float *bias, float epsilon, float *out, size_t n,
                       int channels);
    void (*layer_norm_gradient)(const float *x, const float *g, const float *weight, float epsilon, float *dx,
                                float *products, size_t n, int channels);

    void (*gemm)(const struct gemm *gemm);
    /* Products of bf16, with sums in floats: NULL where the processor has none. gemm_pairs is gemm on words of two
     * neighbours in depth: a and b hold words, and `depth` is half. pairs_of_rows makes words of neighbours in a row of
     * x[rows, width]: out[rows, (width + 1) / 2]; pairs_of_columns of neighbours in a column: out[(rows + 1) / 2,
     * width], which may be x itself. What has no neighbour gets 0. */
    void (*gemm_pairs)(const struct gemm *gemm);
    void (*pairs_of_rows)(const float *x, size_t rows, int width, float *out);
    void (*pairs_of_columns)(const float *x, size_t rows, int width, float *out);
    void (*window)(const struct window_job *window);
    /* The gradient of a window's weights: gradient[taps, channels] += sum over rows and pixels of out * in; out holds
     * dz */
    void (*window_weights)(const struct window_job *window, float *gradient);
    /* The same without weights. out = the largest of the taps of in */
    void (*window_maximum)(const struct window_job *window);
    /* backward: dz (laid out as out) goes to the first tap that equals out: dx (laid out as in) += dz */
    void (*window_maximum_gradient)(const struct window_job *window, const float *dz, float *dx);
    /* dx[every tap] += dz: the gradient of a sum */
    void (*window_sum_gradient)(const struct window_job *window, const float *dz, float *dx);
};

extern const struct cpu_kernels cpu_kernels_avx512_bf16, cpu_kernels_avx512, cpu_kernels_avx2, cpu_kernels_generic;

const struct cpu_kernels *cpu_kernels_of(enum cpu_isa isa);

#endif
