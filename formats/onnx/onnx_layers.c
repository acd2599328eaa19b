/* Layers: Conv, Gemm, MatMul, PRelu. */
#include "formats/onnx/onnx_names.h"

#include <limits.h>
#include <math.h>
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
    const bool valid = onnx_attribute_is(reader, "auto_pad", "VALID");
    if (!valid && onnx_attribute(reader, "auto_pad") && !onnx_attribute_is(reader, "auto_pad", "NOTSET"))
        return onnx_refuse(reader, "its auto_pad must be NOTSET, VALID, SAME_UPPER or SAME_LOWER");
    if (!valid)
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

enum status onnx_vector_input(struct onnx_reader *reader, size_t i, int count, bool trained, const char *role,
                              int sibling, int *index)
{
    struct onnx_value *value = onnx_input(reader, i);
    if (!value || value->kind != ONNX_CONSTANT)
        return onnx_refuse(reader, "input %zu must be a constant", i);
    return onnx_weight(reader, value, &count, 1, trained, role, sibling, index);
}

/* Whether input i is a vector of zeros that is no parameter: what exporters write for a layer without a bias. */
static enum status is_zero_literal(struct onnx_reader *reader, size_t i, bool *zeros)
{
    enum status status = STATUS_OK;
    const struct onnx_value *value = onnx_input(reader, i);
    const struct onnx_array *array;
    *zeros = value && value->kind == ONNX_CONSTANT && value->maker >= 0 && !value->source && !value->tensor;
    if (!*zeros)
        return STATUS_OK;
    TRY(onnx_constant_input(reader, i, &array));
    for (size_t k = 0; *zeros && k < array->count; k++)
        *zeros = array->is_float && array->floats[k] == 0;
cleanup:
    return status;
}

enum status onnx_read_conv(struct onnx_reader *reader)
{
    enum status status = STATUS_OK;
    struct node node = node_default(OP_CONV);
    struct onnx_value *input;
    int dims[4], kernel[2];
    bool no_bias;
    TRY(onnx_map_input(reader, 0, &input));
    TRY(weight_dims(reader, 1, 4, dims));
    kernel[0] = node.kernel_h = dims[2];
    kernel[1] = node.kernel_w = dims[3];
    TRY(onnx_attribute_sizes(reader, "kernel_shape", 1, kernel, 2));
    if (kernel[0] != dims[2] || kernel[1] != dims[3])
        return onnx_refuse(reader, "kernel_shape does not fit its weight");
    TRY(onnx_window(reader, &node, onnx_shape(reader, input)));
    int64_t groups = onnx_attribute_int(reader, "group", 1);
    node.groups = groups > 0 && groups <= INT_MAX ? (int)groups : 0;
    TRY(onnx_weight(reader, onnx_input(reader, 1), dims, 4, true, "weight", -1, &node.weight));
    TRY(is_zero_literal(reader, 2, &no_bias));
    if (onnx_has_input(reader, 2) && !no_bias)
        TRY(onnx_vector_input(reader, 2, dims[0], true, "bias", node.weight, &node.bias));
    TRY(onnx_emit_layer(reader, &node, input->node, &(struct onnx_layout){0}));
    onnx_see_as_map(reader);
cleanup:
    return status;
}

/* ---- linear layers ---- */

/* The matrix of which input i is the transpose, if it is a constant that was transposed; otherwise input i itself.
 * *transposed changes accordingly. */
static struct onnx_value *stored_matrix(struct onnx_reader *reader, size_t i, bool *transposed)
{
    struct onnx_value *value = onnx_input(reader, i);
    const Onnx__NodeProto *maker = onnx_maker(reader, value, "Transpose");
    struct onnx_value *from = maker ? onnx_find(reader, maker->input[0]) : NULL;
    if (!from || from->kind != ONNX_CONSTANT || (from->tensor ? from->tensor->n_dims : (size_t)from->array->rank) != 2)
        return value;
    const Onnx__NodeProto *current = reader->op;
    reader->op = maker;
    const Onnx__AttributeProto *perm = onnx_attribute(reader, "perm");
    reader->op = current;
    if (perm && perm->ints[0] != 1 && perm->ints[0] != -1) /* it leaves them in place */
        return value;
    *transposed = !*transposed;
    return from;
}

/* Constant input i, [in, out] or with `transposed` [out, in], times alpha, as a weight [out, in]; of a convolution
 * [out, in, 1, 1], which is saved as [out, in]. */
static enum status linear_weight(struct onnx_reader *reader, size_t i, bool transposed, float alpha, bool conv,
                                 int *index)
{
    enum status status = STATUS_OK;
    const struct onnx_array *array;
    const int rank = conv ? 4 : 2;
    int stored[2], dims[4] = {1, 1, 1, 1};
    TRY(weight_dims(reader, i, 2, stored));
    dims[0] = stored[transposed ? 0 : 1];
    dims[1] = stored[transposed ? 1 : 0];
    struct onnx_value *value = stored_matrix(reader, i, &transposed);
    if (transposed && alpha == 1) {
        TRY(onnx_weight(reader, value, dims, rank, true, "weight", -1, index));
    } else {
        TRY(onnx_decode(reader, value, &array));
        if (!array->is_float)
            return onnx_refuse(reader, "its weight must be floats");
        char text[ONNX_WEIGHT_NAME];
        const char *name = onnx_weight_name(reader, value, "weight", -1, text);
        const bool parameter = onnx_is_parameter(reader, value, name);
        TRY(onnx_new_weight(reader, name, dims, rank, parameter, index));
        reader->graph->weights[*index].literal = !parameter;
        float *data = reader->graph->weights[*index].data;
        const size_t out = (size_t)dims[0], in = (size_t)dims[1];
        for (size_t o = 0; o < out; o++)
            for (size_t k = 0; k < in; k++)
                data[o * in + k] = alpha * array->floats[transposed ? o * in + k : k * out + o];
    }
    struct weight *weight = &reader->graph->weights[*index];
    if (conv) {
        weight->saved_rank = 2;
        weight->saved_dims[0] = dims[0];
        weight->saved_dims[1] = dims[1];
    }
cleanup:
    return status;
}

/* The bias of c channels from constant input i, one number or c, times beta. */
static enum status bias_input(struct onnx_reader *reader, size_t i, int c, float beta, int weight, int *index)
{
    enum status status = STATUS_OK;
    const struct onnx_array *array;
    TRY(onnx_constant_input(reader, i, &array));
    if (beta == 1 && array->count == (size_t)c && array->is_float &&
        (array->rank == 1 || array->dims[array->rank - 1] == c))
        return onnx_weight(reader, onnx_input(reader, i), &c, 1, true, "bias", weight, index);
    if (array->count != 1 && (array->count != (size_t)c || array->rank < 1 || array->dims[array->rank - 1] != c))
        return onnx_refuse(reader, "input %zu must be one number, or one per feature", i);
    TRY(onnx_derived_weight(reader, "bias", &c, 1, index));
    const bool parameter = onnx_is_parameter(reader, onnx_input(reader, i), NULL);
    if (parameter)
        onnx_train_weight(reader, *index);
    for (int k = 0; k < c; k++) {
        const size_t from = array->count == 1 ? 0 : (size_t)k;
        reader->graph->weights[*index].data[k] =
            beta * (array->is_float ? array->floats[from] : (float)array->ints[from]);
    }
cleanup:
    return status;
}

/* The input of a linear layer whose last dimension are the features. If they are the channels at every place of a map,
 * the layer is a 1x1 convolution: *conv. */
static enum status linear_input(struct onnx_reader *reader, struct node *node, struct onnx_value **input, bool *conv)
{
    enum status status = STATUS_OK;
    TRY(onnx_node_input(reader, 0, input));
    const struct shape s = onnx_shape(reader, *input);
    const struct onnx_layout *layout = &(*input)->layout;
    const enum onnx_axis last = layout->rank > 1 ? onnx_layout_axis(layout, s, layout->rank - 1) : ONNX_MIXED;
    if (last != ONNX_C && !(last == ONNX_ONE && s.c == 1))
        return onnx_refuse(reader,
                           "the last dimension of its input must be the features: [batch, features] or channels "
                           "last");
    for (int d = 1; d < layout->rank - 1; d++)
        for (int k = 0, first = onnx_layout_first(layout, d); k < layout->counts[d]; k++)
            if (layout->factors[first + k].axis == ONNX_REPEAT)
                return onnx_refuse(reader, "its input is repeated by an Expand");
    *conv = layout->rank > 2;
    node->op = *conv ? OP_CONV : OP_LINEAR;
cleanup:
    return status;
}

static enum status emit_linear(struct onnx_reader *reader, const struct node *node, const struct onnx_value *input)
{
    struct onnx_layout layout = input->layout;
    const int out = reader->graph->weights[node->weight].dims[0];
    if (!onnx_layout_set(&layout, layout.rank - 1, (struct onnx_factor){ONNX_C, out, 1}))
        return onnx_refuse(reader, "its input has too many dimensions");
    return onnx_emit_layer(reader, node, input->node, &layout);
}

/* Y = alpha * A * B' + beta * C */
enum status onnx_read_gemm(struct onnx_reader *reader)
{
    enum status status = STATUS_OK;
    struct node node = node_default(OP_LINEAR);
    struct onnx_value *input;
    bool conv;
    TRY(linear_input(reader, &node, &input, &conv));
    if (conv || onnx_attribute_int(reader, "transA", 0))
        return onnx_refuse(reader, "its input must be [batch, features], not transposed");
    TRY(linear_weight(reader, 1, onnx_attribute_int(reader, "transB", 0) != 0, onnx_attribute_float(reader, "alpha", 1),
                      false, &node.weight));
    if (onnx_has_input(reader, 2))
        TRY(bias_input(reader, 2, reader->graph->weights[node.weight].dims[0], onnx_attribute_float(reader, "beta", 1),
                       node.weight, &node.bias));
    TRY(emit_linear(reader, &node, input));
cleanup:
    return status;
}

enum status onnx_read_matmul(struct onnx_reader *reader)
{
    enum status status = STATUS_OK;
    struct node node = node_default(OP_LINEAR);
    struct onnx_value *input;
    bool conv;
    const struct onnx_value *second = onnx_input(reader, 1);
    if (!second || second->kind != ONNX_CONSTANT)
        return onnx_refuse(reader, "a product of two values is not supported (attention)");
    TRY(linear_input(reader, &node, &input, &conv));
    TRY(linear_weight(reader, 1, false, 1, conv, &node.weight));
    TRY(emit_linear(reader, &node, input));
cleanup:
    return status;
}

/* y = x > 0 ? x : slope * x; one slope per channel, or one for all */
enum status onnx_read_prelu(struct onnx_reader *reader)
{
    enum status status = STATUS_OK;
    struct node node = node_default(OP_PRELU);
    struct onnx_value *input;
    const struct onnx_array *slope;
    struct onnx_spread spread;
    TRY(onnx_node_input(reader, 0, &input));
    TRY(onnx_constant_input(reader, 1, &slope));
    if (!slope->is_float)
        return onnx_refuse(reader, "its slope must be floats");
    if (slope->count == 1) {
        TRY(onnx_weight(reader, onnx_input(reader, 1), (int[]){1}, 1, true, "weight", -1, &node.weight));
    } else {
        TRY(onnx_spread(reader, 1, input, &spread));
        if (!spread.per_channel)
            return onnx_refuse(reader, "its slope must be one number, or one per channel");
        TRY(onnx_spread_weight(reader, 1, &spread, onnx_shape(reader, input), "slope", true, -1, &node.weight));
    }
    TRY(onnx_emit(reader, &node, &input->node, 1, &input->layout));
cleanup:
    return status;
}
