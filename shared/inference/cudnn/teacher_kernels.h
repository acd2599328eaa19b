/* Our own kernels of the teacher's pass: what cuDNN and cuBLASLt do not do. One operation per .cu file.
 *
 * Values are [n, h, w, channels] with channels a multiple of 16 bytes' worth of elements, in memory aligned to 16
 * bytes; sums are float. Channels beyond those of the network get finite numbers. Launchers enqueue on the stream and
 * return the result of the launch. */
#ifndef SHARED_INFERENCE_CUDNN_TEACHER_KERNELS_H
#define SHARED_INFERENCE_CUDNN_TEACHER_KERNELS_H

#include "shared/inference/cudnn/conv_problem.h"
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

/* y = activation(x * scale[c] + shift[c]): batch norm that is not part of a layer. x, y [positions, channels]; scale,
 * shift [channels] float. */
cudaError_t teacher_affine(enum dtype type, const void *x, const float *scale, const float *shift, void *y,
                           size_t positions, int channels, struct pointwise pointwise, cudaStream_t stream);

/* y = x * gate: x, y [n, positions, channels]; gate the same (gate_positions = positions) or one factor per channel
 * (gate_positions = 1). */
cudaError_t teacher_multiply(enum dtype type, const void *x, const void *gate, void *y, int n, int positions,
                             int gate_positions, int channels, cudaStream_t stream);

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

/* Zeros around height and width: x [n, in.h, in.w, in.c] -> y [n, out.h, out.w, in.c]. */
cudaError_t teacher_pad(enum dtype type, const void *x, void *y, int n, struct shape in, struct shape out, int top,
                        int left, cudaStream_t stream);

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
