/* Conversions between the layout of a teacher's values on the GPU, [n, pixels, stored] of which the first `channels`
 * are used, and the host's. */
#ifndef SHARED_INFERENCE_CUDA_VALUE_LAYOUT_H
#define SHARED_INFERENCE_CUDA_VALUE_LAYOUT_H

#include "shared/base/error.h"
#include "shared/tensor/dtype.h"

#ifdef __cplusplus
extern "C" {
#endif

struct value_layout {
    enum dtype dtype;
    int pixels, channels, stored; /* stored >= channels */
};

/* planes[count, channels, pixels] float = values: PyTorch's order. stream: a cudaStream_t. */
enum status values_to_planes(void *stream, const struct value_layout *layout, const void *values, int count,
                             float *planes, struct error *err);
/* values = rows[count, pixels, channels] float, rounded; channels beyond are 0. */
enum status values_from_rows(void *stream, const struct value_layout *layout, const float *rows, int count,
                             void *values, struct error *err);
/* to = act(scale[channel] * from + shift[channel]) over [rows, channels], float: applies the epilogue to a plan's raw
 * values. scale NULL: no scale and shift. activation: enum activation with its two parameters. */
struct value_epilogue {
    const float *scale, *shift; /* [channels] */
    int activation;
    float alpha, beta;
};
enum status values_apply_epilogue(void *stream, const struct value_epilogue *epilogue, const float *from, size_t rows,
                                  int channels, float *to, struct error *err);

#ifdef __cplusplus
}
#endif
#endif
