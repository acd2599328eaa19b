/* Elementwise operators of one value: activations, and the pieces that exporters write activations in. */
#include "formats/onnx/onnx_function.h"

#include <float.h>
#include <math.h>
#include <string.h>

enum status onnx_finish_elementwise(struct onnx_reader *reader, const struct onnx_layout *layout, bool *done)
{
    struct node node;
    int input;
    *done = onnx_recognise(reader, onnx_result(reader), &node, &input);
    return *done ? onnx_emit(reader, &node, &input, 1, layout) : STATUS_OK;
}

static enum status emit_activation(struct onnx_reader *reader, enum activation activation, double alpha, double beta)
{
    enum status status = STATUS_OK;
    struct node node = node_default(OP_ACTIVATION);
    struct onnx_value *value;
    bool done = false;
    TRY(onnx_any_input(reader, 0, &value));
    node.activation = activation;
    node.alpha = (float)alpha;
    node.beta = (float)beta;
    if (!isfinite(node.alpha) || !isfinite(node.beta))
        return onnx_refuse(reader, "its parameters are not finite");
    if (value->kind == ONNX_DEFERRED) { /* tanh as a part of GELU */
        TRY(onnx_trace_activation(reader, value, &node));
        TRY(onnx_finish_elementwise(reader, &value->layout, &done));
        return done ? STATUS_OK : onnx_defer(reader, &value->layout, value->reason);
    }
    TRY(onnx_node_input(reader, 0, &value));
    TRY(onnx_trace_activation(reader, value, &node));
    TRY(onnx_emit(reader, &node, &value->node, 1, &value->layout));
cleanup:
    return status;
}

/* Operators whose attributes alpha and beta are the activation's. */
static const struct {
    const char *op;
    enum activation activation;
    float alpha, beta; /* without the attributes */
} activations[] = {
    {"Abs", ACTIVATION_ABS, 0, 0},
    {"Celu", ACTIVATION_CELU, 1, 0},
    {"Elu", ACTIVATION_ELU, 1, 0},
    {"HardSigmoid", ACTIVATION_HARD_SIGMOID, 0.2f, 0.5f},
    {"HardSwish", ACTIVATION_HARD_SWISH, 0, 0},
    {"LeakyRelu", ACTIVATION_LEAKY_RELU, 0.01f, 0},
    {"Mish", ACTIVATION_MISH, 0, 0},
    {"Relu", ACTIVATION_RELU, 0, 0},
    {"Sigmoid", ACTIVATION_SIGMOID, 0, 0},
    {"Softplus", ACTIVATION_SOFTPLUS, 0, 0},
    {"Softsign", ACTIVATION_SOFTSIGN, 0, 0},
    {"Swish", ACTIVATION_SILU, 1, 0},
    {"Tanh", ACTIVATION_TANH, 0, 0},
};

enum status onnx_read_activation(struct onnx_reader *reader)
{
    size_t i = 0;
    while (strcmp(activations[i].op, reader->op->op_type) != 0)
        i++;
    return emit_activation(reader, activations[i].activation,
                           onnx_attribute_float(reader, "alpha", activations[i].alpha),
                           onnx_attribute_float(reader, "beta", activations[i].beta));
}

enum status onnx_read_selu(struct onnx_reader *reader)
{
    return emit_activation(reader, ACTIVATION_SELU, onnx_attribute_float(reader, "alpha", 1.67326319217681884765625f),
                           onnx_attribute_float(reader, "gamma", 1.05070102214813232421875f));
}

enum status onnx_read_gelu(struct onnx_reader *reader)
{
    return emit_activation(
        reader, onnx_attribute_is(reader, "approximate", "tanh") ? ACTIVATION_GELU_TANH : ACTIVATION_GELU, 0, 0);
}

/* A missing or infinite bound becomes the largest float. */
enum status onnx_read_clip(struct onnx_reader *reader)
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

/* y = x > threshold ? x : 0 is Relu where the threshold is 0. */
enum status onnx_read_thresholded_relu(struct onnx_reader *reader)
{
    if (onnx_attribute_float(reader, "alpha", 1) != 0)
        return onnx_refuse(reader, "only a threshold of 0 is supported");
    return emit_activation(reader, ACTIVATION_RELU, 0, 0);
}

/* ---- pieces ---- */
static double square(double x)
{
    return x * x;
}

static double reciprocal(double x)
{
    return 1 / x;
}

static const struct {
    const char *op;
    double (*apply)(double x);
} pieces[] = {
    {"Erf", erf}, {"Exp", exp}, {"Log", log}, {"Reciprocal", reciprocal}, {"Sqrt", sqrt}, {"Square", square},
};

static double apply_piece(double x, const void *data)
{
    return pieces[*(const size_t *)data].apply(x);
}

/* An operator that the graph does not have: an activation ends with it, or it may be a part of one. */
enum status onnx_read_piece(struct onnx_reader *reader)
{
    enum status status = STATUS_OK;
    struct onnx_value *value;
    size_t i = 0;
    bool done;
    TRY(onnx_any_input(reader, 0, &value));
    while (strcmp(pieces[i].op, reader->op->op_type) != 0)
        i++;
    TRY(onnx_settle(reader, value));
    TRY(onnx_trace_unary(reader, value, apply_piece, &i));
    TRY(onnx_finish_elementwise(reader, &value->layout, &done));
    if (!done)
        TRY(onnx_defer(reader, &value->layout,
                       "it is supported as a part of activations (GELU, Swish, Mish ...) and of norms only"));
cleanup:
    return status;
}

/* ---- comparisons ---- */
enum status onnx_read_greater(struct onnx_reader *reader)
{
    enum status status = STATUS_OK;
    struct onnx_value *value;
    TRY(onnx_any_input(reader, 0, &value));
    TRY(onnx_defer(reader, &value->layout, "comparisons of computed values are supported as a part of Softplus only"));
cleanup:
    return status;
}

/* PyTorch's softplus: x > 20 ? x : log(1 + exp(x)). Beyond the threshold the two are equal to float's precision. */
enum status onnx_read_where(struct onnx_reader *reader)
{
    static const double EQUAL_FROM = 16; /* log(1 + exp(-16)) = 1.1e-7 */
    enum status status = STATUS_OK;
    const Onnx__NodeProto *compare = onnx_maker(reader, onnx_input(reader, 0), "Greater"),
                          *softplus = onnx_maker(reader, onnx_input(reader, 2), "Softplus");
    const Onnx__NodeProto *where = reader->op;
    double threshold = 0;
    if (!compare || !softplus || compare->n_input != 2 || softplus->n_input != 1 || where->n_input != 3 ||
        strcmp(compare->input[0], where->input[1]) != 0 || strcmp(softplus->input[0], where->input[1]) != 0)
        return onnx_refuse(reader, "of computed values it is supported as a part of Softplus only");
    reader->op = compare;
    status = onnx_number_input(reader, 1, &threshold);
    reader->op = where;
    if (status != STATUS_OK)
        return status;
    if (!(threshold >= EQUAL_FROM))
        return onnx_refuse(reader, "a softplus with a threshold of %g is not supported; 20 is", threshold);
    struct onnx_value *value;
    TRY(onnx_node_input(reader, 2, &value));
    onnx_alias(reader, value, &value->layout);
cleanup:
    return status;
}
