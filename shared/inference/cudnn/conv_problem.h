/* A convolution of the teacher with everything that is fused into it. */
#ifndef SHARED_INFERENCE_CUDNN_CONV_PROBLEM_H
#define SHARED_INFERENCE_CUDNN_CONV_PROBLEM_H

#include "shared/tensor/dtype.h"
#include "shared/graph/graph.h"

/* The window of a convolution, a pool or a pad. */
struct teacher_window {
    int kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w;
    int pad_top, pad_left, pad_bottom, pad_right;
};

/* y = activation(convolution(x, w) + addend + bias): x [batch, in.h, in.w, in.c], y and addend [batch, out.h, out.w,
 * out.c], w [out.c, kernel_h, kernel_w, in.c / groups], bias [out.c]; channels as stored. Values are fp16, bf16 or
 * float, sums are float. It is compared byte by byte, so initialise all of it. */
struct conv_problem {
    struct shape in, out;
    struct teacher_window window;
    int batch, groups;
    int has_bias, has_addend;
    enum activation activation;
    float alpha, beta; /* of the activation */
    enum precision precision;
};

#endif
