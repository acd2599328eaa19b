/* The table of operators, and those without weights: activations, pools, joins. To add an operator, write a function
 * that reads reader->op and calls onnx_emit, and add a line to the table. */
#include "formats/onnx/onnx_reader.h"

#include <float.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- activations ---- */
static enum status emit_activation(struct onnx_reader *reader, enum activation activation, double alpha, double beta)
{
    struct node node = node_default(OP_ACTIVATION);
    const struct onnx_value *value;
    enum status status = onnx_node_input(reader, 0, &value);
    if (status != STATUS_OK)
        return status;
    node.activation = activation;
    node.alpha = (float)alpha;
    node.beta = (float)beta;
    if (!isfinite(node.alpha) || !isfinite(node.beta))
        return onnx_refuse(reader, "its parameters are not finite");
    return onnx_emit(reader, &node, &value, 1, value->rank);
}

static enum status read_relu(struct onnx_reader *reader)
{
    return emit_activation(reader, ACTIVATION_RELU, 0, 0);
}

static enum status read_leaky_relu(struct onnx_reader *reader)
{
    return emit_activation(reader, ACTIVATION_LEAKY_RELU, onnx_attribute_float(reader, "alpha", 0.01f), 0);
}

static enum status read_sigmoid(struct onnx_reader *reader)
{
    return emit_activation(reader, ACTIVATION_SIGMOID, 0, 0);
}

static enum status read_hard_sigmoid(struct onnx_reader *reader)
{
    return emit_activation(reader, ACTIVATION_HARD_SIGMOID, onnx_attribute_float(reader, "alpha", 0.2f),
                           onnx_attribute_float(reader, "beta", 0.5f));
}

static enum status read_hard_swish(struct onnx_reader *reader)
{
    return emit_activation(reader, ACTIVATION_HARD_SWISH, 0, 0);
}

/* A missing or infinite bound becomes the largest float. */
static enum status read_clip(struct onnx_reader *reader)
{
    enum status status = STATUS_OK;
    double low = onnx_attribute_float(reader, "min", -FLT_MAX), high = onnx_attribute_float(reader, "max", FLT_MAX);
    TRY(onnx_number_input(reader, 1, &low));
    TRY(onnx_number_input(reader, 2, &high));
    if (isnan(low) || isnan(high) || low > high)
        return onnx_refuse(reader, "its lower bound %g is above its upper bound %g", low, high);
    TRY(emit_activation(reader, ACTIVATION_CLIP, fmin(fmax(low, -FLT_MAX), FLT_MAX),
                        fmin(fmax(high, -FLT_MAX), FLT_MAX)));
cleanup:
    return status;
}

/* Softmax and LogSoftmax */
static enum status read_softmax(struct onnx_reader *reader)
{
    struct node node = node_default(reader->op->op_type[0] == 'L' ? OP_LOG_SOFTMAX : OP_SOFTMAX);
    const struct onnx_value *value;
    enum status status = onnx_node_input(reader, 0, &value);
    if (status != STATUS_OK)
        return status;
    int64_t axis = onnx_attribute_int(reader, "axis", reader->opset < 13 ? 1 : -1);
    struct shape s = onnx_shape(reader, value);
    axis += axis < 0 ? value->rank : 0;
    /* before opset 13, all axes from `axis` on are taken together */
    if (axis != 1 || (reader->opset < 13 && (s.h != 1 || s.w != 1)))
        return onnx_refuse(reader, "only softmax over channels is supported");
    return onnx_emit(reader, &node, &value, 1, value->rank);
}

/* Dropout: the ratio is an attribute before opset 12, an input after it. */
static enum status read_dropout(struct onnx_reader *reader)
{
    enum status status = STATUS_OK;
    struct node node = node_default(OP_DROPOUT);
    const struct onnx_value *value;
    double ratio = onnx_attribute_float(reader, "ratio", 0.5f);
    TRY(onnx_node_input(reader, 0, &value));
    TRY(onnx_number_input(reader, 1, &ratio));
    if (!(ratio >= 0 && ratio <= 1))
        return onnx_refuse(reader, "its ratio must be between 0 and 1");
    node.dropout = (float)ratio;
    TRY(onnx_emit(reader, &node, &value, 1, value->rank));
cleanup:
    return status;
}

static enum status read_identity(struct onnx_reader *reader)
{
    const struct onnx_value *value = onnx_input(reader, 0);
    if (!value || value->kind != ONNX_NODE)
        return onnx_refuse(reader, "its input is missing");
    return onnx_alias(reader, value, value->rank, value->channels_last);
}

/* A computed value can be cast between float types only: the graph computes in float. */
static enum status read_cast(struct onnx_reader *reader)
{
    int64_t to = onnx_attribute_int(reader, "to", 0);
    if (to != ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT && to != ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16 &&
        to != ONNX__TENSOR_PROTO__DATA_TYPE__BFLOAT16 && to != ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE)
        return onnx_refuse(reader, "only casts between float types are supported");
    return read_identity(reader);
}

/* ---- pools ---- */
static enum status read_pool(struct onnx_reader *reader, enum op op)
{
    enum status status = STATUS_OK;
    struct node node = node_default(op);
    const struct onnx_value *value;
    int kernel[2] = {0, 0};
    TRY(onnx_node_input(reader, 0, &value));
    TRY(onnx_attribute_sizes(reader, "kernel_shape", 1, kernel, 2));
    if (value->rank != 4 || kernel[0] < 1)
        return onnx_refuse(reader, "only 2-d pooling of [batch, c, h, w] is supported");
    node.kernel_h = kernel[0];
    node.kernel_w = kernel[1];
    node.ceil_mode = onnx_attribute_int(reader, "ceil_mode", 0) != 0;
    node.count_include_pad = onnx_attribute_int(reader, "count_include_pad", 0) != 0;
    TRY(onnx_window(reader, &node, onnx_shape(reader, value)));
    if (op == OP_AVERAGE_POOL && (node.dilation_h != 1 || node.dilation_w != 1))
        return onnx_refuse(reader, "dilations are not supported");
    TRY(onnx_emit(reader, &node, &value, 1, 4));
cleanup:
    return status;
}

static enum status read_max_pool(struct onnx_reader *reader)
{
    return read_pool(reader, OP_MAX_POOL);
}

static enum status read_average_pool(struct onnx_reader *reader)
{
    return read_pool(reader, OP_AVERAGE_POOL);
}

static enum status read_global_pool(struct onnx_reader *reader)
{
    bool average = reader->op->op_type[strlen("Global")] == 'A';
    struct node node = node_default(average ? OP_GLOBAL_AVERAGE_POOL : OP_MAX_POOL);
    const struct onnx_value *value;
    enum status status = onnx_node_input(reader, 0, &value);
    if (status != STATUS_OK)
        return status;
    if (value->rank != 4)
        return onnx_refuse(reader, "only 2-d pooling of [batch, c, h, w] is supported");
    if (!average) {
        node.kernel_h = onnx_shape(reader, value).h;
        node.kernel_w = onnx_shape(reader, value).w;
    }
    return onnx_emit(reader, &node, &value, 1, 4);
}

/* ---- joins ---- */
static enum status emit_join(struct onnx_reader *reader, enum op op)
{
    enum status status = STATUS_OK;
    struct node node = node_default(op);
    const struct onnx_value *values[NODE_MAX_INPUTS];
    size_t count = reader->op->n_input;
    if (count < 1 || count > NODE_MAX_INPUTS)
        return onnx_refuse(reader, "it has %zu inputs; 1 to %d are supported", count, NODE_MAX_INPUTS);
    for (size_t i = 0; i < count; i++) {
        TRY(onnx_node_input(reader, i, &values[i]));
        if (values[i]->rank != values[0]->rank)
            return onnx_refuse(reader, "its inputs have different numbers of dimensions");
    }
    if (count == 1)
        return onnx_alias(reader, values[0], values[0]->rank, false);
    struct shape first = onnx_shape(reader, values[0]), second = onnx_shape(reader, values[1]);
    if (op == OP_MULTIPLY && first.h == 1 && first.w == 1 && (second.h > 1 || second.w > 1)) {
        const struct onnx_value *gate = values[0]; /* the graph has the gate second */
        values[0] = values[1];
        values[1] = gate;
    }
    TRY(onnx_emit(reader, &node, values, (int)count, values[0]->rank));
cleanup:
    return status;
}

static bool has_constant_input(const struct onnx_reader *reader)
{
    for (size_t i = 0; i < reader->op->n_input; i++) {
        const struct onnx_value *value = onnx_input(reader, i);
        if (value && value->kind == ONNX_CONSTANT)
            return true;
    }
    return false;
}

static enum status read_arithmetic(struct onnx_reader *reader)
{
    char op = reader->op->op_type[0]; /* of Add, Sub, Mul, Div */
    if (reader->op->n_input != 2)
        return onnx_refuse(reader, "it must have two inputs");
    if (has_constant_input(reader))
        return onnx_read_scale_shift(reader);
    if (op == 'S' || op == 'D')
        return onnx_refuse(reader, "only constants can be subtracted or divided by");
    return emit_join(reader, op == 'A' ? OP_ADD : OP_MULTIPLY);
}

static enum status read_sum(struct onnx_reader *reader)
{
    return emit_join(reader, OP_ADD);
}

static enum status read_concat(struct onnx_reader *reader)
{
    const struct onnx_value *first;
    enum status status = onnx_node_input(reader, 0, &first);
    if (status != STATUS_OK)
        return status;
    int64_t axis = onnx_attribute_int(reader, "axis", 1);
    if (axis != 1 && axis != 1 - first->rank)
        return onnx_refuse(reader, "only channels can be joined (axis 1)");
    return emit_join(reader, OP_CONCAT);
}

/* ---- the table ---- */
static const struct {
    const char *name;
    onnx_operator *fold; /* for constant inputs; NULL: cannot be folded */
    onnx_operator *read; /* NULL: can only be folded */
} operators[] = {
    {"Abs", onnx_fold_unary, NULL},
    {"Add", onnx_fold_binary, read_arithmetic},
    {"And", onnx_fold_binary, NULL},
    {"AveragePool", NULL, read_average_pool},
    {"BatchNormalization", NULL, onnx_read_batch_norm},
    {"Cast", onnx_fold_cast, read_cast},
    {"Ceil", onnx_fold_unary, NULL},
    {"Clip", onnx_fold_clip, read_clip},
    {"Concat", onnx_fold_concat, read_concat},
    {"Constant", onnx_fold_constant, NULL},
    {"ConstantOfShape", onnx_fold_filled, NULL},
    {"Conv", NULL, onnx_read_conv},
    {"Div", onnx_fold_binary, read_arithmetic},
    {"Dropout", NULL, read_dropout},
    {"Equal", onnx_fold_binary, NULL},
    {"Exp", onnx_fold_unary, NULL},
    {"Expand", onnx_fold_expand, NULL},
    {"Flatten", NULL, onnx_read_flatten},
    {"Floor", onnx_fold_unary, NULL},
    {"Gather", onnx_fold_gather, NULL},
    {"Gemm", NULL, onnx_read_gemm},
    {"GlobalAveragePool", NULL, read_global_pool},
    {"GlobalMaxPool", NULL, read_global_pool},
    {"Greater", onnx_fold_binary, NULL},
    {"GreaterOrEqual", onnx_fold_binary, NULL},
    {"HardSigmoid", NULL, read_hard_sigmoid},
    {"HardSwish", NULL, read_hard_swish},
    {"Identity", onnx_fold_identity, read_identity},
    {"LeakyRelu", NULL, read_leaky_relu},
    {"Less", onnx_fold_binary, NULL},
    {"LessOrEqual", onnx_fold_binary, NULL},
    {"Log", onnx_fold_unary, NULL},
    {"LogSoftmax", NULL, read_softmax},
    {"MatMul", NULL, onnx_read_matmul},
    {"Max", onnx_fold_binary, NULL},
    {"MaxPool", NULL, read_max_pool},
    {"Min", onnx_fold_binary, NULL},
    {"Mod", onnx_fold_binary, NULL},
    {"Mul", onnx_fold_binary, read_arithmetic},
    {"Neg", onnx_fold_unary, NULL},
    {"Not", onnx_fold_unary, NULL},
    {"Or", onnx_fold_binary, NULL},
    {"Pad", NULL, onnx_read_pad},
    {"Pow", onnx_fold_binary, NULL},
    {"Range", onnx_fold_range, NULL},
    {"Reciprocal", onnx_fold_unary, NULL},
    {"ReduceL1", onnx_fold_reduce, NULL},
    {"ReduceL2", onnx_fold_reduce, NULL},
    {"ReduceMax", onnx_fold_reduce, NULL},
    {"ReduceMean", onnx_fold_reduce, onnx_read_reduce_mean},
    {"ReduceMin", onnx_fold_reduce, NULL},
    {"ReduceProd", onnx_fold_reduce, NULL},
    {"ReduceSum", onnx_fold_reduce, NULL},
    {"ReduceSumSquare", onnx_fold_reduce, NULL},
    {"Relu", NULL, read_relu},
    {"Reshape", onnx_fold_reshape, onnx_read_reshape},
    {"Round", onnx_fold_unary, NULL},
    {"Shape", onnx_fold_shape, onnx_read_shape},
    {"Sigmoid", NULL, read_sigmoid},
    {"Sign", onnx_fold_unary, NULL},
    {"Size", onnx_fold_shape, NULL},
    {"Slice", onnx_fold_slice, NULL},
    {"Softmax", NULL, read_softmax},
    {"Sqrt", onnx_fold_unary, NULL},
    {"Squeeze", onnx_fold_squeeze, onnx_read_squeeze},
    {"Sub", onnx_fold_binary, read_arithmetic},
    {"Sum", NULL, read_sum},
    {"Transpose", onnx_fold_transpose, onnx_read_transpose},
    {"Unsqueeze", onnx_fold_unsqueeze, onnx_read_unsqueeze},
    {"Where", onnx_fold_where, NULL},
};
enum { OPERATOR_COUNT = sizeof operators / sizeof *operators };

static enum status refuse_unknown(struct onnx_reader *reader)
{
    char list[640] = "";
    size_t used = 0;
    for (int i = 0; i < OPERATOR_COUNT && used < sizeof list; i++)
        if (operators[i].read)
            used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", used ? ", " : "", operators[i].name);
    const char *domain = reader->op->domain ? reader->op->domain : "";
    return error_set(reader->err, STATUS_CONFIG, NULL,
                     "operator '%.60s%s%.60s' (node '%.60s', output '%.60s') is not supported; supported are: %s",
                     domain, domain[0] ? "::" : "", reader->op->op_type ? reader->op->op_type : "",
                     reader->op->name ? reader->op->name : "", onnx_output_name(reader), list);
}

static bool all_constant(const struct onnx_reader *reader)
{
    for (size_t i = 0; i < reader->op->n_input; i++) {
        const struct onnx_value *value = onnx_input(reader, i);
        if (value && value->kind != ONNX_CONSTANT)
            return false;
    }
    return true;
}

/* Only the first output of an operator is computed; reading another one (indices, masks) is an error. */
static enum status check_outputs(struct onnx_reader *reader)
{
    for (size_t i = 1; i < reader->op->n_output; i++) {
        const struct onnx_value *value = reader->op->output[i][0] ? onnx_find(reader, reader->op->output[i]) : NULL;
        if (value && value->needed)
            return onnx_refuse(reader, "its output %zu ('%.100s') is used; only the first is supported", i,
                               value->name);
    }
    return STATUS_OK;
}

enum status onnx_read_operator(struct onnx_reader *reader)
{
    const Onnx__NodeProto *op = reader->op;
    const char *name = op->op_type ? op->op_type : "";
    bool standard = !op->domain || !op->domain[0] || strcmp(op->domain, "ai.onnx") == 0;
    for (int i = 0; standard && i < OPERATOR_COUNT; i++) {
        if (strcmp(operators[i].name, name) != 0)
            continue;
        enum status status = check_outputs(reader);
        if (status != STATUS_OK)
            return status;
        bool constant = all_constant(reader);
        if (constant && operators[i].fold)
            return operators[i].fold(reader);
        if (!constant && operators[i].read)
            return operators[i].read(reader);
        return onnx_refuse(reader, constant ? "its inputs are all constant" : "it is supported for constants only");
    }
    return refuse_unknown(reader);
}
