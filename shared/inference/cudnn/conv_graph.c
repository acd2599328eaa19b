/* The order of the operations (addend before bias) is that of cuDNN's precompiled convolution-bias-activation engines,
 * the only ones below compute capability 8.0. Dimensions are given as N, C, H, W (weights K, C, R, S); the strides say
 * that channels are innermost. Intermediate values are virtual (never stored) and float; these engines need the bias in
 * the type of the values. */
#include "shared/inference/cudnn/conv_graph.h"

static cudnnDataType_t data_type(enum precision precision)
{
    switch (precision) {
    case PRECISION_FP16:
        return CUDNN_DATA_HALF;
    case PRECISION_BF16:
        return CUDNN_DATA_BFLOAT16;
    default:
        return CUDNN_DATA_FLOAT;
    }
}

static descriptor new_tensor(struct descriptor_set *set, int64_t id, cudnnDataType_t type, int64_t n,
                             struct shape shape, bool is_virtual)
{
    const int64_t c = shape.c, h = shape.h, w = shape.w;
    const int64_t dims[4] = {n, c, h, w}, strides[4] = {c * h * w, 1, c * w, c};
    descriptor tensor = descriptor_new(set, CUDNN_BACKEND_TENSOR_DESCRIPTOR);
    descriptor_put_type(set, tensor, CUDNN_ATTR_TENSOR_DATA_TYPE, type);
    descriptor_put(set, tensor, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, dims);
    descriptor_put(set, tensor, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, strides);
    descriptor_put_int(set, tensor, CUDNN_ATTR_TENSOR_UNIQUE_ID, id);
    descriptor_put_int(set, tensor, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, 16);
    descriptor_put_bool(set, tensor, CUDNN_ATTR_TENSOR_IS_VIRTUAL, is_virtual);
    descriptor_finish(set, tensor);
    return tensor;
}

static descriptor convolution(struct descriptor_set *set, const struct conv_problem *problem, descriptor y)
{
    const struct teacher_window *window = &problem->window;
    const cudnnDataType_t type = data_type(problem->precision);
    const cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
    const int64_t dilations[2] = {window->dilation_h, window->dilation_w},
                  strides[2] = {window->stride_h, window->stride_w}, before[2] = {window->pad_top, window->pad_left},
                  after[2] = {window->pad_bottom, window->pad_right};
    const struct shape filter = {problem->in.c / problem->groups, window->kernel_h, window->kernel_w};
    descriptor x = new_tensor(set, CONV_X, type, problem->batch, problem->in, false),
               w = new_tensor(set, CONV_W, type, problem->out.c, filter, false);
    descriptor rule = descriptor_new(set, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
    descriptor_put_int(set, rule, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, 2);
    descriptor_put_type(set, rule, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_DATA_FLOAT);
    descriptor_put(set, rule, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode);
    descriptor_put(set, rule, CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, 2, dilations);
    descriptor_put(set, rule, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, 2, strides);
    descriptor_put(set, rule, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, 2, before);
    descriptor_put(set, rule, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, 2, after);
    descriptor_finish(set, rule);
    descriptor operation = descriptor_new(set, CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR);
    descriptor_put_descriptor(set, operation, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, rule);
    descriptor_put_descriptor(set, operation, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, x);
    descriptor_put_descriptor(set, operation, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, w);
    descriptor_put_descriptor(set, operation, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, y);
    descriptor_put_double(set, operation, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, 1);
    descriptor_put_double(set, operation, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA, 0);
    descriptor_finish(set, operation);
    return operation;
}

static descriptor pointwise_rule(struct descriptor_set *set, cudnnPointwiseMode_t mode)
{
    descriptor rule = descriptor_new(set, CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
    descriptor_put(set, rule, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode);
    descriptor_put_type(set, rule, CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_DATA_FLOAT);
    return rule;
}

/* y = rule(x), or rule(x, b). */
static descriptor pointwise(struct descriptor_set *set, descriptor rule, descriptor x, descriptor b, descriptor y)
{
    descriptor operation = descriptor_new(set, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
    descriptor_put_descriptor(set, operation, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, rule);
    descriptor_put_descriptor(set, operation, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, x);
    if (b)
        descriptor_put_descriptor(set, operation, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, b);
    descriptor_put_descriptor(set, operation, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, y);
    descriptor_finish(set, operation);
    return operation;
}

bool conv_graph_has(enum activation activation, float alpha, float beta)
{
    return activation == ACTIVATION_NONE || activation == ACTIVATION_RELU || activation == ACTIVATION_LEAKY_RELU ||
           activation == ACTIVATION_SIGMOID || (activation == ACTIVATION_CLIP && alpha == 0 && beta > 0);
}

static descriptor activation_rule(struct descriptor_set *set, const struct conv_problem *problem)
{
    if (problem->activation == ACTIVATION_SIGMOID) {
        descriptor rule = pointwise_rule(set, CUDNN_POINTWISE_SIGMOID_FWD);
        descriptor_finish(set, rule);
        return rule;
    }
    descriptor rule = pointwise_rule(set, CUDNN_POINTWISE_RELU_FWD);
    if (problem->activation == ACTIVATION_CLIP) {
        descriptor_put_double(set, rule, CUDNN_ATTR_POINTWISE_RELU_LOWER_CLIP, 0);
        descriptor_put_double(set, rule, CUDNN_ATTR_POINTWISE_RELU_UPPER_CLIP, problem->beta);
    }
    if (problem->activation == ACTIVATION_LEAKY_RELU)
        descriptor_put_double(set, rule, CUDNN_ATTR_POINTWISE_RELU_LOWER_CLIP_SLOPE, problem->alpha);
    descriptor_finish(set, rule);
    return rule;
}

descriptor conv_graph(struct descriptor_set *set, const struct conv_problem *problem)
{
    enum { OPERATIONS = 4 };
    const cudnnDataType_t type = data_type(problem->precision);
    const bool follows[OPERATIONS] = {true, problem->has_addend != 0, problem->has_bias != 0,
                                      problem->activation != ACTIVATION_NONE};
    descriptor operations[OPERATIONS], value = NULL;
    int count = 0, last = OPERATIONS - 1;
    while (!follows[last])
        last--;
    for (int i = 0; i <= last; i++) {
        if (!follows[i])
            continue;
        bool stored = i == last;
        descriptor before = value;
        value = new_tensor(set, stored ? CONV_Y : CONV_VIRTUAL + i, stored ? type : CUDNN_DATA_FLOAT, problem->batch,
                           problem->out, !stored);
        if (i == 0) {
            operations[count++] = convolution(set, problem, value);
        } else if (i == 3) {
            operations[count++] = pointwise(set, activation_rule(set, problem), before, NULL, value);
        } else {
            const struct shape vector = {problem->out.c, 1, 1};
            descriptor added = i == 1 ? new_tensor(set, CONV_ADDEND, type, problem->batch, problem->out, false)
                                      : new_tensor(set, CONV_BIAS, type, 1, vector, false);
            descriptor rule = pointwise_rule(set, CUDNN_POINTWISE_ADD);
            descriptor_finish(set, rule);
            operations[count++] = pointwise(set, rule, before, added, value);
        }
    }
    descriptor graph = descriptor_new(set, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
    descriptor_put(set, graph, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, count, operations);
    descriptor_finish(set, graph);
    return graph;
}
