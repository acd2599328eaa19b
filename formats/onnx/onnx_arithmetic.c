/* Add, Sub, Mul, Div and the like: of values with each other, and of a value with constants. */
#include "formats/onnx/onnx_function.h"
#include "formats/onnx/onnx_join.h"
#include "formats/onnx/onnx_names.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* Two values: an activation may end here, or a norm. */
static enum status read_two_values(struct onnx_reader *reader)
{
    enum status status = STATUS_OK;
    struct onnx_value *a = onnx_input(reader, 0), *b = onnx_input(reader, 1);
    bool done = false;
    const char op = reader->op->op_type[0];
    struct onnx_layout layout;
    TRY(onnx_settle(reader, a));
    TRY(onnx_settle(reader, b));
    TRY(onnx_trace_binary(reader, a, b));
    TRY(onnx_finish_elementwise(reader, &a->layout, &done));
    if (!done)
        TRY(onnx_read_norm_pattern(reader, &done));
    if (done)
        return STATUS_OK;
    layout = a->layout;
    if (a->kind == ONNX_DEFERRED || b->kind == ONNX_DEFERRED || op == 'D' || op == 'P' || op == 'M') {
        if (a->kind == ONNX_NODE && b->kind == ONNX_NODE && strcmp(reader->op->op_type, "Mul") == 0)
            return onnx_join_values(reader);
        if (!onnx_join_layouts(&layout, &b->layout))
            return onnx_join_refused(reader);
        return onnx_defer(reader, &layout,
                          a->kind == ONNX_DEFERRED   ? a->reason
                          : b->kind == ONNX_DEFERRED ? b->reason
                                                     : "it is not supported for two values, except as a part of "
                                                       "activations and norms");
    }
    TRY(onnx_join_values(reader));
cleanup:
    return status;
}

/* ---- a value with constants ---- */

/* Which input is constant; 2 if none is. */
static size_t constant_of(const struct onnx_reader *reader)
{
    for (size_t i = 0; i < 2; i++) {
        const struct onnx_value *value = onnx_input(reader, i);
        if (value && value->kind == ONNX_CONSTANT)
            return i;
    }
    return 2;
}

/* The layout of value + constant, where the constant has dimensions of more than 1 that the value lacks: only channels
 * of a map (a gray image and three means). */
static enum status widen(struct onnx_reader *reader, struct onnx_value **value, const struct onnx_array *array)
{
    enum status status = STATUS_OK;
    struct onnx_value *wide;
    struct onnx_layout layout = (*value)->layout;
    struct shape to = onnx_shape(reader, *value);
    if (layout.rank < array->rank)
        return onnx_join_refused(reader);
    for (int k = 1; k <= array->rank; k++) {
        const int d = layout.rank - k;
        const int64_t size = array->dims[array->rank - k];
        if (size == 1 || (d > 0 && size == layout.dims[d]))
            continue;
        if (d != 1 || layout.dims[1] != 1 || to.c != 1 || size > INT32_MAX || size < 1)
            return onnx_join_refused(reader);
        to.c = (int)size;
        onnx_layout_set(&layout, 1, (struct onnx_factor){ONNX_C, to.c, 1});
    }
    if (onnx_layout_equal(&layout, &(*value)->layout))
        return STATUS_OK;
    wide = arena_alloc(&reader->arena, 1, sizeof *wide);
    if (!wide)
        return error_no_memory(reader->err, sizeof *wide, "a value");
    *wide = **value;
    wide->layout = layout;
    TRY(onnx_repeat(reader, wide->node, to, &wide->node));
    wide->trace_count = 0;
    wide->alias = *value;
    *value = wide;
cleanup:
    return status;
}

/* A layer without a bias to which a constant is added becomes one with a bias, if nothing else reads it; a norm without
 * a weight can take one, too. */
static bool takes(const struct node *node, bool bias)
{
    const bool norm = node->op == OP_GROUP_NORM || node->op == OP_LAYER_NORM;
    if (bias)
        return node->bias < 0 && (node->op == OP_LINEAR || node->op == OP_CONV || node->op == OP_SCALE || norm);
    return norm && node->weight < 0 && node->bias < 0;
}

/* A node's weight and bias are trained together, or neither is. */
static bool fits_training(const struct onnx_reader *reader, const struct node *node, bool trained)
{
    return node->op != OP_SCALE || node->weight < 0 || reader->graph->weights[node->weight].trained == trained;
}

/* Whether the value's node is read through this value alone. */
static bool is_sole_owner(const struct onnx_reader *reader, const struct onnx_value *value)
{
    char text[NODE_MAX_NAME];
    const char *made = reader->graph->nodes[value->node].name;
    for (; value; value = value->alias) {
        if (value->readers != 1)
            return false;
        if (strcmp(onnx_graph_name(value->name, text), made) == 0)
            return true;
    }
    return false;
}

static enum status absorb(struct onnx_reader *reader, const struct onnx_value *value, int weight, bool bias)
{
    struct node *node = &reader->graph->nodes[value->node];
    *(bias ? &node->bias : &node->weight) = weight;
    char text[NODE_MAX_NAME];
    node->name = arena_strdup(&reader->graph->arena, onnx_graph_name(onnx_output_name(reader), text));
    if (!node->name)
        return error_no_memory(reader->err, NODE_MAX_NAME, "a name");
    onnx_alias(reader, value, &value->layout);
    struct onnx_value *result = onnx_result(reader);
    result->alias = NULL;
    result->trace_count = 0; /* those of the layer without it */
    return STATUS_OK;
}

/* Parameters are trained; a single number, a literal, and what is done to the image before the first layer are not. */
static bool is_trained(struct onnx_reader *reader, const struct onnx_value *value, size_t constant)
{
    const struct onnx_value *parameter = onnx_parameter(onnx_input(reader, constant));
    int i = value->node;
    const char op = reader->op->op_type[0];
    while (reader->graph->nodes[i].op == OP_SCALE || reader->graph->nodes[i].op == OP_SELECT)
        i = reader->graph->nodes[i].inputs[0];
    return parameter && (op == 'M' || op == 'A') && reader->graph->nodes[i].op != OP_INPUT;
}

/* y = x * numbers or x + numbers; numbers in the node's order, one per channel or per value. */
static enum status emit_scale(struct onnx_reader *reader, struct onnx_value *value, const struct onnx_spread *spread,
                              size_t constant, bool bias)
{
    enum status status = STATUS_OK;
    struct node node = node_default(OP_SCALE);
    const struct shape s = onnx_shape(reader, value);
    const struct node *before = &reader->graph->nodes[value->node];
    const bool layer = before->op == OP_CONV || before->op == OP_LINEAR;
    const bool parameter = onnx_is_parameter(reader, onnx_input(reader, constant), NULL);
    const bool trained =
        layer && bias ? parameter && spread->array_count > 1 : is_trained(reader, value, constant) && spread->in_order;
    const bool merges = takes(before, bias) && is_sole_owner(reader, value) && spread->per_channel &&
                        (layer ? trained : fits_training(reader, before, trained));
    int weight;
    TRY(onnx_spread_weight(reader, constant, spread, s, bias ? (merges && layer ? "bias" : "shift") : "scale",
                           layer && !merges ? is_trained(reader, value, constant) && spread->in_order : trained,
                           bias && merges ? before->weight : -1, &weight));
    if (merges)
        return absorb(reader, value, weight, bias);
    *(bias ? &node.bias : &node.weight) = weight;
    TRY(onnx_emit(reader, &node, &value->node, 1, &value->layout));
cleanup:
    return status;
}

/* The constant as the graph applies it: x - k is x + -k, x / k is x * (1 / k). */
static enum status prepared(struct onnx_reader *reader, struct onnx_value *value, size_t constant,
                            struct onnx_spread *spread)
{
    enum status status = STATUS_OK;
    const char op = reader->op->op_type[0];
    TRY(onnx_spread(reader, constant, value, spread));
    const bool changes = op == 'D' || (op == 'S' && constant == 1);
    for (size_t i = 0; changes && i < spread->count; i++)
        spread->numbers[i] = op == 'D' ? 1 / spread->numbers[i] : -spread->numbers[i];
    spread->in_order = spread->in_order && !changes;
cleanup:
    return status;
}

/* Max, Min and Pow with one number, and 1 / x: pieces of activations, or bounds. */
static enum status read_other(struct onnx_reader *reader, struct onnx_value *value, double number, size_t constant)
{
    enum status status = STATUS_OK;
    struct node node = node_default(OP_ACTIVATION);
    const char *op = reader->op->op_type;
    if (value->kind == ONNX_NODE && op[0] == 'M' && isfinite(number)) {
        node.activation = ACTIVATION_CLIP;
        node.alpha = op[1] == 'a' ? (float)number : -FLT_MAX;
        node.beta = op[1] == 'a' ? FLT_MAX : (float)number;
        return onnx_emit(reader, &node, &value->node, 1, &value->layout);
    }
    if (value->kind == ONNX_NODE && op[0] == 'P' && constant == 1 && number == 1) {
        onnx_alias(reader, value, &value->layout);
        return STATUS_OK;
    }
    TRY(onnx_defer(reader, &value->layout,
                   value->kind == ONNX_DEFERRED ? value->reason
                                                : "it is supported as a part of activations and norms only"));
cleanup:
    return status;
}

/* Is the constant one number that the module trains? */
static bool is_trained_number(const struct onnx_reader *reader, const struct onnx_value *constant,
                              const struct onnx_array *array)
{
    const struct onnx_value *from = constant->source ? constant->source : constant;
    const enum onnx_state state = onnx_state_of(reader, from->name);
    return array->count == 1 && array->is_float &&
           (state == ONNX_PARAMETER || (state == ONNX_UNKNOWN && from->maker < 0 && strchr(from->name, '.')));
}

/* Add, Sub, Mul, Div, Min, Max, Pow of a value and a constant. */
static enum status read_with_constant(struct onnx_reader *reader, size_t constant)
{
    enum status status = STATUS_OK;
    struct onnx_value *value = onnx_input(reader, 1 - constant);
    const struct onnx_array *array;
    struct onnx_spread spread;
    const char *op = reader->op->op_type;
    const bool other = strcmp(op, "Min") == 0 || strcmp(op, "Max") == 0 || op[0] == 'P' || (op[0] == 'D' && !constant);
    bool done = false;
    if (!value || (value->kind != ONNX_NODE && value->kind != ONNX_DEFERRED))
        return onnx_refuse(reader, "an input is missing");
    TRY(onnx_constant_input(reader, constant, &array));
    TRY(onnx_settle(reader, value));
    const double number = array->is_float ? (double)array->floats[0] : (double)array->ints[0];
    if (array->count == 0)
        return onnx_refuse(reader, "its constant is empty");
    if (reader->options.student && is_trained_number(reader, onnx_input(reader, constant), array))
        return onnx_refuse(reader,
                           "'%.100s' is one trained number for all channels, which is not supported: make it one per "
                           "channel, or a number that is not trained",
                           reader->op->input[constant]);
    if (array->count == 1 && array->rank <= value->layout.rank) {
        TRY(onnx_trace_number(reader, value, number, constant == 0));
        TRY(onnx_finish_elementwise(reader, &value->layout, &done));
        if (!done)
            TRY(onnx_read_norm_pattern(reader, &done));
        if (done)
            return STATUS_OK;
        if (other || value->kind == ONNX_DEFERRED)
            return read_other(reader, value, number, constant);
    }
    if (other)
        return onnx_refuse(reader, "it is supported with one number only");
    TRY(onnx_node_input(reader, 1 - constant, &value));
    TRY(widen(reader, &value, array));
    TRY(prepared(reader, value, constant, &spread));
    if (op[0] == 'S' && constant == 0) {
        struct onnx_value *negative = arena_alloc(&reader->arena, 1, sizeof *negative);
        if (!negative)
            return error_no_memory(reader->err, sizeof *negative, "a value");
        *negative = *value;
        negative->readers = 0;
        TRY(onnx_scaled(reader, value->node, -1, &negative->node));
        value = negative;
    }
    TRY(emit_scale(reader, value, &spread, constant, op[0] == 'A' || op[0] == 'S'));
cleanup:
    return status;
}

enum status onnx_read_arithmetic(struct onnx_reader *reader)
{
    if (reader->op->n_input != 2 || !onnx_input(reader, 0) || !onnx_input(reader, 1))
        return onnx_refuse(reader, "it must have two inputs");
    const size_t constant = constant_of(reader);
    const Onnx__AttributeProto *axis =
        onnx_attribute(reader, "axis"); /* before opset 7: where a smaller input begins */
    const struct onnx_array *array;
    if (reader->opset < 7 && axis && constant == 1) {
        enum status status = onnx_constant_input(reader, 1, &array);
        if (status != STATUS_OK)
            return status;
        if (axis->i + array->rank != onnx_input(reader, 0)->layout.rank && axis->i >= 0)
            return onnx_refuse(reader,
                               "broadcasting at axis %lld is not supported; export with operator set 7 or later",
                               (long long)axis->i);
    }
    return constant < 2 ? read_with_constant(reader, constant) : read_two_values(reader);
}

/* Sum and Mean of any number of values */
enum status onnx_read_sum(struct onnx_reader *reader)
{
    const size_t count = reader->op->n_input;
    if (count < 1 || count > NODE_MAX_INPUTS)
        return onnx_refuse(reader, "it has %zu inputs; 1 to %d are supported", count, NODE_MAX_INPUTS);
    return onnx_join_values(reader);
}

/* Min and Max of a value and a constant, or of two values where that is an activation */
enum status onnx_read_extreme(struct onnx_reader *reader)
{
    if (reader->op->n_input == 1) {
        struct onnx_value *value;
        enum status status = onnx_node_input(reader, 0, &value);
        if (status == STATUS_OK)
            onnx_alias(reader, value, &value->layout);
        return status;
    }
    return onnx_read_arithmetic(reader);
}

static double negated(double x, const void *data)
{
    (void)data;
    return -x;
}

enum status onnx_read_negative(struct onnx_reader *reader)
{
    enum status status = STATUS_OK;
    struct onnx_value *value;
    struct node node = node_default(OP_SCALE);
    bool done;
    TRY(onnx_any_input(reader, 0, &value));
    TRY(onnx_settle(reader, value));
    TRY(onnx_trace_unary(reader, value, negated, NULL));
    TRY(onnx_finish_elementwise(reader, &value->layout, &done));
    if (done)
        return STATUS_OK;
    if (value->kind == ONNX_DEFERRED)
        return onnx_defer(reader, &value->layout, value->reason);
    TRY(onnx_node_input(reader, 0, &value));
    TRY(onnx_uniform_weight(reader, "factor", -1, onnx_shape(reader, value).c, &node.weight));
    TRY(onnx_emit(reader, &node, &value->node, 1, &value->layout));
cleanup:
    return status;
}
