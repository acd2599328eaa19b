/* Our own kernels of the teacher's pass: what cuDNN and cuBLASLt do not do. One operation per .cu file.
 *
 * Values are [n, h, w, channels] with channels a multiple of 16 bytes' worth of elements, in memory aligned to 16
 * bytes; sums are float. Channels beyond those of the network get finite numbers. Launchers enqueue on the stream and
 * return the result of the launch. */
#ifndef SHARED_INFERENCE_CUDNN_TEACHER_KERNELS_H
#define SHARED_INFERENCE_CUDNN_TEACHER_KERNELS_H

#include "shared/inference/cudnn/conv_problem.h"
#include "shared/graph/resize.h"
#include <cuda_runtime_api.h>

#ifdef __cplusplus
extern "C" {
#endif

struct pointwise {
    enum activation activation;
    float alpha, beta;
};

/* y = activation(a + b); b may be NULL, y may be a. [count] elements each, count is a multiple of the vector's length.
 * */
cudaError_t teacher_combine(enum dtype type, const void *a, const void *b, void *y, size_t count,
                            struct pointwise pointwise, cudaStream_t stream);

/* y = activation(x * scale + shift): batch norm that is not part of a layer, and scales. x, y [positions, channels];
 * scale, shift [scale_positions, channels] float, again and again: 1, or the positions of a sample. */
cudaError_t teacher_affine(enum dtype type, const void *x, const float *scale, const float *shift, void *y,
                           size_t positions, size_t scale_positions, int channels, struct pointwise pointwise,
                           cudaStream_t stream);

/* y = x > 0 ? x : x * weight[c]; weight [channels] float. */
cudaError_t teacher_prelu(enum dtype type, const void *x, const float *weight, void *y, size_t positions, int channels,
                          cudaStream_t stream);

/* y = x * gate: x, y [n, positions, channels]; gate the same (gate_positions = positions) or one factor per channel
 * (gate_positions = 1). */
cudaError_t teacher_multiply(enum dtype type, const void *x, const void *gate, void *y, int n, int positions,
                             int gate_positions, int channels, cudaStream_t stream);

/* y = x * gate with one factor per position: x, y [positions, channels]; gate [positions, gate_channels], of which the
 * first is used. */
cudaError_t teacher_multiply_position(enum dtype type, const void *x, const void *gate, int gate_channels, void *y,
                                      size_t positions, int channels, cudaStream_t stream);

/* OP_LAYER_NORM and OP_LP_NORM over the first `used` channels of every position; the others become 0. x, y [positions,
 * channels]; weight, bias [channels] float. */
cudaError_t teacher_layer_norm(enum dtype type, const void *x, const float *weight, const float *bias, void *y,
                               size_t positions, int used, int channels, float epsilon, cudaStream_t stream);
cudaError_t teacher_lp_norm(enum dtype type, const void *x, void *y, size_t positions, int used, int channels, int p,
                            float epsilon, cudaStream_t stream);
/* OP_GROUP_NORM: x, y [n, positions, channels], the groups are in the first `used` channels; the others become 0. */
cudaError_t teacher_group_norm(enum dtype type, const void *x, const float *weight, const float *bias, void *y, int n,
                               int positions, int groups, int used, int channels, float epsilon, cudaStream_t stream);

/* y[p, c] = c < used ? x[p, channels[c]] : 0. x [positions, x_channels], y [positions, y_channels], channels [used] in
 * device memory. */
cudaError_t teacher_select(enum dtype type, const void *x, int x_channels, const int *channels, int used, void *y,
                           int y_channels, size_t positions, cudaStream_t stream);

/* OP_RESIZE: x [n, in.h, in.w, in.c] -> y [n, out.h, out.w, in.c]; rows [out.h] and columns [out.w] in device memory.
 */
cudaError_t teacher_resize(enum dtype type, const void *x, const struct resize_tap *rows,
                           const struct resize_tap *columns, void *y, int n, struct shape in, struct shape out,
                           cudaStream_t stream);

enum pool_kind { POOL_MAX, POOL_AVERAGE, POOL_AVERAGE_WITH_PADDING };
/* x [n, in.h, in.w, in.c] -> y [n, out.h, out.w, in.c]; divisors as graph_reference.c defines them. */
cudaError_t teacher_pool(enum dtype type, enum pool_kind kind, const void *x, void *y, int n, struct shape in,
                         struct shape out, struct teacher_window window, cudaStream_t stream);

/* x [n, positions, channels] -> y [n, channels]: means. */
cudaError_t teacher_global_pool(enum dtype type, const void *x, void *y, int n, int positions, int channels,
                                cudaStream_t stream);

/* y[p, to + c] = c < used ? x[p, c] : 0 for c < count. x [positions, x_channels], y [positions, y_channels]. */
cudaError_t teacher_copy_channels(enum dtype type, const void *x, int x_channels, int used, void *y, int y_channels,
                                  int to, int count, size_t positions, cudaStream_t stream);

struct padding {
    enum pad_mode mode;
    int top, left;
    float constant;
};
/* OP_PAD: x [n, in.h, in.w, in.c] -> y [n, out.h, out.w, in.c]. */
cudaError_t teacher_pad(enum dtype type, const void *x, void *y, int n, struct shape in, struct shape out,
                        struct padding padding, cudaStream_t stream);

/* PyTorch's order of a flattened map: x [n, in.h, in.w, x_channels] with in.c used -> y [n, y_channels], of which
 * in.c * in.h * in.w are used and the rest is 0. */
cudaError_t teacher_flatten(enum dtype type, const void *x, int x_channels, void *y, int y_channels, int n,
                            struct shape in, cudaStream_t stream);

/* Softmax, or its logarithm, over the first `used` channels of every position; the others become 0. x, y [positions,
 * channels]. */
cudaError_t teacher_softmax(enum dtype type, bool logarithm, const void *x, void *y, size_t positions, int used,
                            int channels, cudaStream_t stream);

/* The operands of a convolution; bias and addend may be NULL. */
struct conv_operands {
    const void *x, *w, *bias, *addend;
    void *y;
};

/* problem->groups = channels: w [kernel_h, kernel_w, channels], bias [channels]. */
cudaError_t teacher_depthwise(enum dtype type, const struct conv_problem *problem, const struct conv_operands *operands,
                              cudaStream_t stream);

/* Any convolution: w [used outputs, kernel_h, kernel_w, in_group]. A group reads in_group channels and writes out_group
 * (without groups: in.c, with zeros if the network has fewer, and the used outputs); outputs beyond groups * out_group
 * become 0. */
cudaError_t teacher_direct_conv(enum dtype type, const struct conv_problem *problem, int in_group, int out_group,
                                const struct conv_operands *operands, cudaStream_t stream);

#ifdef __cplusplus
}
#endif

#endif
