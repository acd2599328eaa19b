/* Convolutions on CUDA: geometry, and the launchers of the three products that a layer needs. A linear layer is a
 * convolution whose kernel is the whole input. */
#ifndef SHARED_TRAINING_STEPS_CONV_CUH
#define SHARED_TRAINING_STEPS_CONV_CUH

#include "shared/training/cuda/cuda_last_block.cuh"
#include "shared/training/cuda/cuda_quad.cuh"
#include "shared/training/cuda/cuda_tile.cuh"

#include <limits.h>

/* A place that is outside of every image, whatever is added to it. */
enum { NOWHERE = INT_MIN / 2 };

struct conv_shape {
    int count; /* samples */
    int groups, in_h, in_w, in_c, out_h, out_w, out_c;
    int kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w, pad_top, pad_left;
};

/* One axis of a gather. Position `row` of what is computed (an output, or an input whose gradient it is) reads
 * positions
 *     row * row_step + start + tap * tap_step,   0 <= tap < taps
 * of the source, with weight first_tap + tap * tap_stride of the kernel. The data gradient of a convolution with stride
 * s falls into s phases: input positions phase, phase + s, ... read every s-th weight of the kernel, and no two phases
 * use the same weight. */
struct conv_axis {
    int rows, row_step, start, taps, tap_step, source;
    int first_tap, tap_stride;
    int target, target_first, target_step; /* what is computed: target_first + row * target_step, below target */
};

static __host__ __device__ __forceinline__ struct conv_axis conv_axis_forward(int in, int out, int kernel, int stride,
                                                                              int dilation, int pad)
{
    const struct conv_axis axis = {out, stride, -pad, kernel, dilation, in, 0, 1, out, 0, 1};
    return axis;
}

static __host__ __device__ __forceinline__ struct conv_axis conv_axis_backward(int in, int out, int kernel, int stride,
                                                                               int dilation, int pad, int phase)
{
    struct conv_axis axis = {(in + stride - 1) / stride, 1, 0, 0, 0, out, 0, 1, in, phase, stride};
    while (axis.tap_stride * dilation % stride)
        axis.tap_stride++;
    while (axis.first_tap < axis.tap_stride && (phase + pad - axis.first_tap * dilation) % stride)
        axis.first_tap++;
    if (axis.first_tap < axis.tap_stride && axis.first_tap < kernel)
        axis.taps = (kernel - 1 - axis.first_tap) / axis.tap_stride + 1;
    axis.start = (phase + pad - axis.first_tap * dilation) / stride;
    axis.tap_step = -axis.tap_stride * dilation / stride;
    return axis;
}

#ifdef __cplusplus
extern "C" {
#endif

/* ---- conv.cu ---- */
struct conv_shape conv_shape_of(const struct plan *plan, const struct plan_step *step, int count);

/* ---- conv_pack.cu ---- */
/* Packs the weights [out, in / groups, taps] of all students as the rows of a product:
 *     packed[student][group][tap, from][to]
 * `from` are the input's channels and `to` the output's; backward it is the other way round. `to` is padded with zeros
 * to a multiple of 4. The type is `element`. */
size_t conv_packed_count(const struct conv_shape *shape, int backward); /* elements per student */
enum status conv_pack(const struct cuda_run *run, const struct conv_shape *shape, int backward, enum dtype dtype,
                      void *packed, struct error *err);

/* ---- conv_product.cu ---- */
/* Makes the raw outputs and their statistics. packed: scratch memory filled by conv_pack. */
enum status conv_forward(const struct cuda_run *run, const struct conv_shape *shape, const void *packed,
                         const struct cuda_write *write, struct error *err);
/* Makes the gradient of the completed input, and what follows from its sums. */
enum status conv_data_gradient(const struct cuda_run *run, const struct conv_shape *shape, const void *packed,
                               const struct cuda_give *give, struct error *err);

/* ---- conv_weight_gradient.cu ---- */
/* Floats of scratch memory per student. */
size_t conv_weight_scratch(const struct conv_shape *shape, int bias);
/* Puts the gradients of weights and bias into run->memory. */
enum status conv_weight_gradient(const struct cuda_run *run, const struct conv_shape *shape, float *scratch,
                                 struct error *err);

#ifdef __cplusplus
}
#endif
#endif
