/* The table of operators. To add one, write a function that reads reader->op and calls onnx_emit, and add a line. */
#include "formats/onnx/onnx_reader.h"

#include <stdio.h>
#include <string.h>

/* Operators in the order of their names. */
static const struct {
    const char *name;
    onnx_operator *fold; /* for constant inputs; NULL: cannot be folded */
    onnx_operator *read; /* NULL: can only be folded */
} operators[] = {
    {"Abs", onnx_fold_unary, onnx_read_activation},
    {"Add", onnx_fold_binary, onnx_read_arithmetic},
    {"And", onnx_fold_binary, NULL},
    {"AveragePool", NULL, onnx_read_pool},
    {"BatchNormalization", onnx_fold_batch_norm, onnx_read_batch_norm},
    {"Cast", onnx_fold_cast, onnx_read_identity},
    {"CastLike", onnx_fold_cast, onnx_read_identity},
    {"Ceil", onnx_fold_unary, NULL},
    {"Celu", NULL, onnx_read_activation},
    {"Clip", onnx_fold_clip, onnx_read_clip},
    {"Concat", onnx_fold_concat, onnx_read_concat},
    {"Constant", onnx_fold_constant, NULL},
    {"ConstantOfShape", onnx_fold_filled, NULL},
    {"Conv", NULL, onnx_read_conv},
    {"Div", onnx_fold_binary, onnx_read_arithmetic},
    {"Dropout", NULL, onnx_read_dropout},
    {"Elu", NULL, onnx_read_activation},
    {"Equal", onnx_fold_binary, NULL},
    {"Erf", NULL, onnx_read_piece},
    {"Exp", onnx_fold_unary, onnx_read_piece},
    {"Expand", onnx_fold_expand, onnx_read_expand},
    {"Flatten", NULL, onnx_read_flatten},
    {"Floor", onnx_fold_unary, NULL},
    {"Gather", onnx_fold_gather, onnx_read_gather},
    {"Gelu", NULL, onnx_read_gelu},
    {"Gemm", NULL, onnx_read_gemm},
    {"GlobalAveragePool", NULL, onnx_read_global_pool},
    {"GlobalMaxPool", NULL, onnx_read_global_pool},
    {"Greater", onnx_fold_binary, onnx_read_greater},
    {"GreaterOrEqual", onnx_fold_binary, NULL},
    {"GroupNormalization", NULL, onnx_read_group_norm},
    {"HardSigmoid", NULL, onnx_read_activation},
    {"HardSwish", NULL, onnx_read_activation},
    {"Identity", onnx_fold_identity, onnx_read_identity},
    {"InstanceNormalization", NULL, onnx_read_instance_norm},
    {"LayerNormalization", NULL, onnx_read_layer_norm},
    {"LeakyRelu", NULL, onnx_read_activation},
    {"Less", onnx_fold_binary, NULL},
    {"LessOrEqual", onnx_fold_binary, NULL},
    {"Log", onnx_fold_unary, onnx_read_piece},
    {"LogSoftmax", NULL, onnx_read_softmax},
    {"LpNormalization", NULL, onnx_read_lp_norm},
    {"MatMul", NULL, onnx_read_matmul},
    {"Max", onnx_fold_binary, onnx_read_extreme},
    {"MaxPool", NULL, onnx_read_pool},
    {"Mean", NULL, onnx_read_sum},
    {"Min", onnx_fold_binary, onnx_read_extreme},
    {"Mish", NULL, onnx_read_activation},
    {"Mod", onnx_fold_binary, NULL},
    {"Mul", onnx_fold_binary, onnx_read_arithmetic},
    {"Neg", onnx_fold_unary, onnx_read_negative},
    {"Not", onnx_fold_unary, NULL},
    {"Or", onnx_fold_binary, NULL},
    {"PRelu", NULL, onnx_read_prelu},
    {"Pad", NULL, onnx_read_pad},
    {"Pow", onnx_fold_binary, onnx_read_arithmetic},
    {"Range", onnx_fold_range, NULL},
    {"Reciprocal", onnx_fold_unary, onnx_read_piece},
    {"ReduceL1", onnx_fold_reduce, onnx_read_reduce},
    {"ReduceL2", onnx_fold_reduce, onnx_read_reduce},
    {"ReduceMax", onnx_fold_reduce, onnx_read_reduce},
    {"ReduceMean", onnx_fold_reduce, onnx_read_reduce},
    {"ReduceMin", onnx_fold_reduce, NULL},
    {"ReduceProd", onnx_fold_reduce, NULL},
    {"ReduceSum", onnx_fold_reduce, onnx_read_reduce},
    {"ReduceSumSquare", onnx_fold_reduce, onnx_read_reduce},
    {"Relu", NULL, onnx_read_activation},
    {"Reshape", onnx_fold_reshape, onnx_read_reshape},
    {"Resize", NULL, onnx_read_resize},
    {"Round", onnx_fold_unary, NULL},
    {"Selu", NULL, onnx_read_selu},
    {"SequenceAt", NULL, onnx_read_sequence_at},
    {"Shape", onnx_fold_shape, onnx_read_shape},
    {"Sigmoid", NULL, onnx_read_activation},
    {"Sign", onnx_fold_unary, NULL},
    {"Size", onnx_fold_shape, NULL},
    {"Slice", onnx_fold_slice, onnx_read_slice},
    {"Softmax", NULL, onnx_read_softmax},
    {"Softplus", NULL, onnx_read_activation},
    {"Softsign", NULL, onnx_read_activation},
    {"Split", NULL, onnx_read_split},
    {"SplitToSequence", NULL, onnx_read_sequence},
    {"Sqrt", onnx_fold_unary, onnx_read_piece},
    {"Squeeze", onnx_fold_squeeze, onnx_read_squeeze},
    {"Sub", onnx_fold_binary, onnx_read_arithmetic},
    {"Sum", NULL, onnx_read_sum},
    {"Swish", NULL, onnx_read_activation},
    {"Tanh", NULL, onnx_read_activation},
    {"ThresholdedRelu", NULL, onnx_read_thresholded_relu},
    {"Transpose", onnx_fold_transpose, onnx_read_transpose},
    {"Unsqueeze", onnx_fold_unsqueeze, onnx_read_unsqueeze},
    {"Upsample", NULL, onnx_read_resize},
    {"Where", onnx_fold_where, onnx_read_where},
};
enum { OPERATOR_COUNT = sizeof operators / sizeof *operators };

static enum status refuse_unknown(struct onnx_reader *reader)
{
    char list[1600] = "";
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

/* Whether the operator can be folded: its inputs are constant, or all but the one that gives CastLike its type. */
static bool is_constant(const struct onnx_reader *reader)
{
    const struct onnx_value *first = onnx_input(reader, 0);
    return all_constant(reader) ||
           (strcmp(reader->op->op_type, "CastLike") == 0 && first && first->kind == ONNX_CONSTANT);
}

/* Only the first output of an operator is computed, except those of Split; reading another one (indices, masks) is an
 * error. */
static enum status check_outputs(struct onnx_reader *reader)
{
    if (strcmp(reader->op->op_type, "Split") == 0)
        return STATUS_OK;
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
    reader->result = 0;
    bool standard = !op->domain || !op->domain[0] || strcmp(op->domain, "ai.onnx") == 0;
    for (int i = 0; standard && i < OPERATOR_COUNT; i++) {
        if (strcmp(operators[i].name, name) != 0)
            continue;
        enum status status = check_outputs(reader);
        if (status != STATUS_OK)
            return status;
        if (operators[i].fold && onnx_is_counted(reader))
            return onnx_fold_counted(reader, operators[i].fold);
        bool constant = is_constant(reader);
        if (constant && operators[i].fold)
            return operators[i].fold(reader);
        if (!constant && operators[i].read)
            return operators[i].read(reader);
        return onnx_refuse(reader, constant ? "its inputs are all constant" : "it is supported for constants only");
    }
    return refuse_unknown(reader);
}
