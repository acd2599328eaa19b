/* Operators with weights: Conv, BatchNormalization, Gemm, MatMul, and arithmetic of a value with a constant. */
#include "formats/onnx/onnx_reader.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- windows of convolutions and pools ---- */

/* SAME: the output has ceil(in / stride) elements; odd padding has its extra element at the end (UPPER) or start. */
static void same_padding(int in, int kernel, int stride, int dilation, bool upper, int *low, int *high)
{
    long long out = ((long long)in + stride - 1) / stride;
    long long total = (out - 1) * stride + (long long)dilation * (kernel - 1) + 1 - in;
    total = total < 0 ? 0 : total > INT_MAX ? INT_MAX : total;
    *low = (int)(upper ? total / 2 : (total + 1) / 2);
    *high = (int)(total - *low);
}

/* Reads strides, dilations, pads and auto_pad into node, whose kernel size is set. */
enum status onnx_window(struct onnx_reader *reader, struct node *node, struct shape in)
{
    enum status status = STATUS_OK;
    int strides[2] = {1, 1}, dilations[2] = {1, 1}, pads[4] = {0};
    bool upper = onnx_attribute_is(reader, "auto_pad", "SAME_UPPER");
    TRY(onnx_attribute_sizes(reader, "strides", 1, strides, 2));
    TRY(onnx_attribute_sizes(reader, "dilations", 1, dilations, 2));
    node->stride_h = strides[0];
    node->stride_w = strides[1];
    node->dilation_h = dilations[0];
    node->dilation_w = dilations[1];
    if (upper || onnx_attribute_is(reader, "auto_pad", "SAME_LOWER")) {
        same_padding(in.h, node->kernel_h, strides[0], dilations[0], upper, &node->pad_top, &node->pad_bottom);
        same_padding(in.w, node->kernel_w, strides[1], dilations[1], upper, &node->pad_left, &node->pad_right);
        return STATUS_OK;
    }
    if (!onnx_attribute_is(reader, "auto_pad", "VALID"))
        TRY(onnx_attribute_sizes(reader, "pads", 0, pads, 4));
    node->pad_top = pads[0];
    node->pad_left = pads[1];
    node->pad_bottom = pads[2];
    node->pad_right = pads[3];
cleanup:
    return status;
}

/* ---- weights ---- */

/* The dims of constant input i, which must be of this rank and positive. */
static enum status weight_dims(struct onnx_reader *reader, size_t i, int rank, int *dims)
{
    struct onnx_value *value = onnx_input(reader, i);
    struct onnx_array header;
    if (!value || value->kind != ONNX_CONSTANT)
        return onnx_refuse(reader, "its weight (input %zu) must be a constant", i);
    if (value->array)
        header = *value->array;
    else if (onnx_tensor_header(value->tensor, NULL, &header, reader->err) != STATUS_OK)
        return reader->err->code;
    if (header.rank != rank)
        return onnx_refuse(reader, "its weight '%.100s' has %d dimensions, expected %d", value->name, header.rank,
                           rank);
    for (int k = 0; k < rank; k++) {
        if (header.dims[k] < 1 || header.dims[k] > INT_MAX)
            return onnx_refuse(reader, "its weight '%.100s' has a dimension out of range", value->name);
        dims[k] = (int)header.dims[k];
    }
    return STATUS_OK;
}

/* Constant input i as a vector of `count` weights. */
static enum status vector_input(struct onnx_reader *reader, size_t i, int count, bool trained, int *index)
{
    struct onnx_value *value = onnx_input(reader, i);
    if (!value || value->kind != ONNX_CONSTANT)
        return onnx_refuse(reader, "input %zu must be a constant", i);
    return onnx_weight(reader, value, &count, 1, trained, index);
}

enum status onnx_read_conv(struct onnx_reader *reader)
{
    enum status status = STATUS_OK;
    struct node node = node_default(OP_CONV);
    const struct onnx_value *input;
    int dims[4], kernel[2];
    TRY(onnx_node_input(reader, 0, &input));
    if (input->rank != 4)
        return onnx_refuse(reader, "only 2-d convolutions of [batch, c, h, w] are supported");
    TRY(weight_dims(reader, 1, 4, dims));
    kernel[0] = node.kernel_h = dims[2];
    kernel[1] = node.kernel_w = dims[3];
    TRY(onnx_attribute_sizes(reader, "kernel_shape", 1, kernel, 2));
    if (kernel[0] != dims[2] || kernel[1] != dims[3])
        return onnx_refuse(reader, "kernel_shape does not fit its weight");
    TRY(onnx_window(reader, &node, onnx_shape(reader, input)));
    int64_t groups = onnx_attribute_int(reader, "group", 1);
    node.groups = groups > 0 && groups <= INT_MAX ? (int)groups : 0;
    TRY(onnx_weight(reader, onnx_input(reader, 1), dims, 4, true, &node.weight));
    if (onnx_has_input(reader, 2))
        TRY(vector_input(reader, 2, dims[0], true, &node.bias));
    TRY(onnx_emit(reader, &node, &input, 1, 4));
cleanup:
    return status;
}

enum status onnx_read_batch_norm(struct onnx_reader *reader)
{
    enum status status = STATUS_OK;
    struct node node = node_default(OP_BATCH_NORM);
    const struct onnx_value *input;
    TRY(onnx_node_input(reader, 0, &input));
    int c = onnx_shape(reader, input).c;
    node.epsilon = onnx_attribute_float(reader, "epsilon", 1e-5f);
    node.momentum = 1 - onnx_attribute_float(reader, "momentum", 0.9f);
    if (!(node.epsilon >= 0) || !isfinite(node.epsilon) || !isfinite(node.momentum))
        return onnx_refuse(reader, "its epsilon or momentum is out of range");
    TRY(vector_input(reader, 1, c, true, &node.weight));
    TRY(vector_input(reader, 2, c, true, &node.bias));
    TRY(vector_input(reader, 3, c, false, &node.running_mean));
    TRY(vector_input(reader, 4, c, false, &node.running_var));
    const struct weight *variance = &reader->graph->weights[node.running_var];
    for (size_t i = 0; i < variance->count; i++)
        if (!(variance->data[i] + node.epsilon > 0))
            return onnx_refuse(reader, "variance '%.100s' is not positive at element %zu", variance->name, i);
    TRY(onnx_emit(reader, &node, &input, 1, input->rank));
cleanup:
    return status;
}

/* Constant input i, [in, out] or with `transposed` [out, in], times alpha, as a weight [out, in]. */
static enum status linear_weight(struct onnx_reader *reader, size_t i, bool transposed, float alpha, int *index)
{
    enum status status = STATUS_OK;
    const struct onnx_array *array;
    int dims[2];
    TRY(weight_dims(reader, i, 2, dims));
    if (transposed && alpha == 1)
        return onnx_weight(reader, onnx_input(reader, i), dims, 2, true, index);
    TRY(onnx_constant_input(reader, i, &array));
    if (!array->is_float)
        return onnx_refuse(reader, "its weight must be floats");
    size_t out = (size_t)dims[transposed ? 0 : 1], in = (size_t)dims[transposed ? 1 : 0];
    TRY(onnx_new_weight(reader, onnx_input(reader, i)->name, (int[]){(int)out, (int)in}, 2, true, index));
    float *data = reader->graph->weights[*index].data;
    for (size_t o = 0; o < out; o++)
        for (size_t k = 0; k < in; k++)
            data[o * in + k] = alpha * array->floats[transposed ? o * in + k : k * out + o];
cleanup:
    return status;
}

/* Constant input i, broadcast to a value of the given rank, as one number per channel: *out[c], in the arena. */
static enum status per_channel(struct onnx_reader *reader, size_t i, int rank, int channels, float **out)
{
    enum status status = STATUS_OK;
    const struct onnx_array *array;
    struct onnx_array numbers = {.is_float = true, .count = (size_t)channels};
    TRY(onnx_constant_input(reader, i, &array));
    if (array->count != 1)
        for (int k = 1; k <= array->rank; k++)
            if (array->dims[array->rank - k] != (k == rank - 1 ? channels : 1))
                return onnx_refuse(reader, "input %zu must be one number, or one per channel", i);
    if (array->count != 1 && array->count != (size_t)channels)
        return onnx_refuse(reader, "input %zu must be one number, or one per channel", i);
    TRY(onnx_array_alloc(reader, &numbers));
    for (size_t k = 0; k < numbers.count; k++) {
        size_t from = array->count == 1 ? 0 : k;
        numbers.floats[k] = array->is_float ? array->floats[from] : (float)array->ints[from];
    }
    *out = numbers.floats;
cleanup:
    return status;
}

/* A new weight with the values numbers[count], named after the output. */
static enum status derived_weight(struct onnx_reader *reader, const char *suffix, const float *numbers, float factor,
                                  const int *dims, int rank, bool trained, int *index)
{
    char name[2 * NODE_MAX_NAME];
    const char *output = onnx_graph_name(reader, onnx_output_name(reader));
    if (!output)
        return error_no_memory(reader->err, NODE_MAX_NAME, "a name");
    snprintf(name, sizeof name, "%.*s.%s", NODE_MAX_NAME - 32, output, suffix);
    enum status status = onnx_new_weight(reader, name, dims, rank, trained, index);
    for (int k = 0; status == STATUS_OK && k < dims[0]; k++)
        reader->graph->weights[*index].data[k] = numbers[k] * factor;
    return status;
}

/* The bias of a layer of c channels from constant input i, times beta. */
static enum status bias_input(struct onnx_reader *reader, size_t i, int rank, int c, float beta, int *index)
{
    enum status status = STATUS_OK;
    float *numbers;
    TRY(per_channel(reader, i, rank, c, &numbers));
    if (beta == 1 && onnx_input(reader, i)->array->count == (size_t)c && onnx_input(reader, i)->array->is_float)
        return onnx_weight(reader, onnx_input(reader, i), &c, 1, true, index);
    TRY(derived_weight(reader, "bias", numbers, beta, &c, 1, true, index));
cleanup:
    return status;
}

/* Y = alpha * A * B' + beta * C */
enum status onnx_read_gemm(struct onnx_reader *reader)
{
    enum status status = STATUS_OK;
    struct node node = node_default(OP_LINEAR);
    const struct onnx_value *input;
    TRY(onnx_node_input(reader, 0, &input));
    if (input->rank != 2 || onnx_attribute_int(reader, "transA", 0))
        return onnx_refuse(reader, "its input must be [batch, features], not transposed");
    TRY(linear_weight(reader, 1, onnx_attribute_int(reader, "transB", 0) != 0, onnx_attribute_float(reader, "alpha", 1),
                      &node.weight));
    if (onnx_has_input(reader, 2))
        TRY(bias_input(reader, 2, 2, reader->graph->weights[node.weight].dims[0],
                       onnx_attribute_float(reader, "beta", 1), &node.bias));
    TRY(onnx_emit(reader, &node, &input, 1, 2));
cleanup:
    return status;
}

enum status onnx_read_matmul(struct onnx_reader *reader)
{
    enum status status = STATUS_OK;
    struct node node = node_default(OP_LINEAR);
    const struct onnx_value *input;
    TRY(onnx_node_input(reader, 0, &input));
    if (input->rank != 2)
        return onnx_refuse(reader, "its first input must be [batch, features]");
    TRY(linear_weight(reader, 1, false, 1, &node.weight));
    TRY(onnx_emit(reader, &node, &input, 1, 2));
cleanup:
    return status;
}

/* ---- arithmetic of a value with a constant ---- */

/* MatMul + Add: a constant added to a layer without a bias, which nothing else reads, becomes its bias. */
static bool is_bias_of(struct onnx_reader *reader, const struct onnx_value *value)
{
    const struct node *node = &reader->graph->nodes[value->node];
    const char *name = onnx_graph_name(reader, value->name);
    return (node->op == OP_LINEAR || node->op == OP_CONV) && node->bias < 0 && value->readers == 1 && name &&
           strcmp(node->name, name) == 0;
}

static enum status add_bias(struct onnx_reader *reader, const struct onnx_value *value, size_t constant)
{
    enum status status = STATUS_OK;
    int bias;
    TRY(bias_input(reader, constant, value->rank, onnx_shape(reader, value).c, 1, &bias));
    struct node *node = &reader->graph->nodes[value->node];
    node->bias = bias;
    const char *name = onnx_graph_name(reader, onnx_output_name(reader));
    node->name = name ? arena_strdup(&reader->graph->arena, name) : NULL;
    if (!node->name)
        return error_no_memory(reader->err, NODE_MAX_NAME, "a name");
    TRY(onnx_alias(reader, value, value->rank, false));
cleanup:
    return status;
}

/* y = scale * x + shift per channel, as a depthwise 1x1 convolution whose weights are not trained. */
static enum status emit_scale_shift(struct onnx_reader *reader, const struct onnx_value *value, const float *scale,
                                    const float *shift)
{
    enum status status = STATUS_OK;
    struct node node = node_default(OP_CONV);
    int c = onnx_shape(reader, value).c;
    node.groups = c;
    TRY(derived_weight(reader, "scale", scale, 1, (int[]){c, 1, 1, 1}, 4, false, &node.weight));
    TRY(derived_weight(reader, "shift", shift, 1, (int[]){c}, 1, false, &node.bias));
    TRY(onnx_emit(reader, &node, &value, 1, value->rank));
cleanup:
    return status;
}

/* Add, Sub, Mul, Div with one constant input. */
enum status onnx_read_scale_shift(struct onnx_reader *reader)
{
    enum status status = STATUS_OK;
    const struct onnx_value *value;
    struct onnx_array ones = {.is_float = true}, zeros = {.is_float = true};
    float *numbers;
    char op = reader->op->op_type[0]; /* of Add, Sub, Mul, Div */
    struct onnx_value *second = onnx_input(reader, 1);
    size_t constant = second && second->kind == ONNX_CONSTANT ? 1 : 0;
    TRY(onnx_node_input(reader, 1 - constant, &value));
    if (op == 'D' && constant == 0)
        return onnx_refuse(reader, "a constant divided by a value is not supported");
    if (op == 'A' && is_bias_of(reader, value))
        return add_bias(reader, value, constant);
    int c = onnx_shape(reader, value).c;
    TRY(per_channel(reader, constant, value->rank, c, &numbers));
    ones.count = zeros.count = (size_t)c;
    TRY(onnx_array_alloc(reader, &ones));
    TRY(onnx_array_alloc(reader, &zeros));
    for (int k = 0; k < c; k++) {
        ones.floats[k] = op == 'S' && constant == 0 ? -1 : 1;
        if (op == 'D' || (op == 'S' && constant == 1))
            numbers[k] = op == 'D' ? 1 / numbers[k] : -numbers[k];
    }
    if (op == 'A' || op == 'S')
        TRY(emit_scale_shift(reader, value, ones.floats, numbers));
    else
        TRY(emit_scale_shift(reader, value, numbers, zeros.floats));
cleanup:
    return status;
}
