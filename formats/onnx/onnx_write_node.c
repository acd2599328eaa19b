/* Writes nodes of the graph as ONNX operators. */
#include "formats/onnx/onnx_writer.h"

/* The value of node i with the given rank; if it has the other one, a Flatten or Unsqueeze is inserted. */
static const char *value_of(struct onnx_writer *writer, int i, int rank)
{
    static const int64_t spatial_axes[2] = {2, 3};
    const char *name = writer->names[i], *inputs[2] = {name};
    if (!name || writer->ranks[i] == rank)
        return name ? name : "";
    char *result = onnx_writer_name(writer, name, rank == 2 ? "/flat" : "/map");
    if (!result)
        return "";
    if (rank == 4)
        inputs[1] = onnx_writer_ints(writer, name, "/axes", spatial_axes, 2);
    onnx_writer_node(writer, rank == 2 ? "Flatten" : "Unsqueeze", result, inputs, rank == 2 ? 1 : 2, result);
    return result;
}

static void set_window(struct onnx_writer *writer, Onnx__NodeProto *out, const struct node *node)
{
    onnx_writer_set_ints(writer, out, "kernel_shape", (int64_t[]){node->kernel_h, node->kernel_w}, 2);
    onnx_writer_set_ints(writer, out, "strides", (int64_t[]){node->stride_h, node->stride_w}, 2);
    onnx_writer_set_ints(writer, out, "pads",
                         (int64_t[]){node->pad_top, node->pad_left, node->pad_bottom, node->pad_right}, 4);
    if (node->op != OP_AVERAGE_POOL)
        onnx_writer_set_ints(writer, out, "dilations", (int64_t[]){node->dilation_h, node->dilation_w}, 2);
    if (node->op == OP_CONV)
        onnx_writer_set_int(writer, out, "group", node->groups);
    else
        onnx_writer_set_int(writer, out, "ceil_mode", node->ceil_mode);
    if (node->op == OP_AVERAGE_POOL)
        onnx_writer_set_int(writer, out, "count_include_pad", node->count_include_pad);
}

static const char *activation_operator(enum activation activation)
{
    static const char *const operators[ACTIVATION_COUNT] = {
        [ACTIVATION_NONE] = "Identity",
        [ACTIVATION_RELU] = "Relu",
        [ACTIVATION_LEAKY_RELU] = "LeakyRelu",
        [ACTIVATION_CLIP] = "Clip",
        [ACTIVATION_HARD_SIGMOID] = "HardSigmoid",
        [ACTIVATION_HARD_SWISH] = "HardSwish",
        [ACTIVATION_SIGMOID] = "Sigmoid",
        [ACTIVATION_ELU] = "Elu",
        [ACTIVATION_SELU] = "Selu",
        [ACTIVATION_CELU] = "Celu",
        [ACTIVATION_TANH] = "Tanh",
        [ACTIVATION_SOFTPLUS] = "Softplus",
        [ACTIVATION_SOFTSIGN] = "Softsign",
        [ACTIVATION_ABS] = "Abs",
    };
    return operators[activation];
}

static const char *operator_of(const struct node *node)
{
    static const char *const operators[OP_COUNT] = {
        [OP_CONV] = "Conv",
        [OP_BATCH_NORM] = "BatchNormalization",
        [OP_MAX_POOL] = "MaxPool",
        [OP_AVERAGE_POOL] = "AveragePool",
        [OP_GLOBAL_AVERAGE_POOL] = "GlobalAveragePool",
        [OP_ADD] = "Add",
        [OP_MULTIPLY] = "Mul",
        [OP_CONCAT] = "Concat",
        [OP_FLATTEN] = "Flatten",
        [OP_LINEAR] = "Gemm",
        [OP_DROPOUT] = "Dropout",
        [OP_PAD] = "Pad",
        [OP_SOFTMAX] = "Softmax",
        [OP_LOG_SOFTMAX] = "LogSoftmax",
        [OP_SELECT] = "Gather",
        [OP_RESIZE] = "Resize",
    };
    if (node->op == OP_ACTIVATION)
        return activation_operator(node->activation);
    return node->op == OP_ADD && node->input_count > 2 ? "Sum" : operators[node->op];
}

/* A weight with a number for every value of a map. */
static bool has_values(const struct onnx_writer *writer, int weight)
{
    return weight >= 0 && writer->graph->weights[weight].rank == 3;
}

/* The rank that a node needs for its inputs. */
static int input_rank(const struct onnx_writer *writer, const struct node *node)
{
    int rank = writer->ranks[node->inputs[0]];
    switch (node->op) {
    case OP_CONV:
    case OP_MAX_POOL:
    case OP_AVERAGE_POOL:
    case OP_GLOBAL_AVERAGE_POOL:
    case OP_PAD:
    case OP_RESIZE:
        return 4;
    case OP_SCALE:
        return has_values(writer, node->weight) || has_values(writer, node->bias) ? 4 : rank;
    case OP_LINEAR:
        return 2;
    default:
        for (int k = 1; k < node->input_count; k++)
            rank = writer->ranks[node->inputs[k]] == 4 ? 4 : rank;
        return rank;
    }
}

static const char *add_channels(struct onnx_writer *writer, const struct node *node, const char *name)
{
    int64_t *channels = onnx_writer_take(writer, (size_t)node->channel_count, sizeof *channels);
    for (int i = 0; channels && i < node->channel_count; i++)
        channels[i] = node->channels[i];
    return channels ? onnx_writer_ints(writer, name, ".channels", channels, (size_t)node->channel_count) : "";
}

/* The scale is that of the sizes, as it is with half pixels and aligned corners; otherwise it must be given. */
static bool scales_by_size(const struct resize_axis *axis, int in)
{
    return axis->scale == (double)axis->size / in ||
           (axis->before == 0 && axis->after == 0 && in > 1 && axis->scale == (axis->size - 1.0) / (in - 1.0));
}

/* No region; scales or sizes. */
static size_t add_sizes(struct onnx_writer *writer, const struct node *node, const char *name, const char **inputs,
                        size_t count)
{
    const struct node *from = &writer->graph->nodes[node->inputs[0]];
    const float scales[4] = {1, 1, (float)node->resize.y.scale, (float)node->resize.x.scale};
    inputs[count++] = "";
    if (scales_by_size(&node->resize.y, from->shape.h) && scales_by_size(&node->resize.x, from->shape.w)) {
        const float exact[4] = {1, 1, (float)node->shape.h / (float)from->shape.h,
                                (float)node->shape.w / (float)from->shape.w};
        inputs[count++] = onnx_writer_floats(writer, name, ".scales", exact, 4);
    } else {
        inputs[count++] = onnx_writer_floats(writer, name, ".scales", scales, 4);
    }
    return count;
}

/* Appends what follows the values among a node's inputs: weights, bounds, amounts. */
static size_t add_parameters(struct onnx_writer *writer, const struct node *node, const char *name, const char **inputs,
                             size_t count)
{
    const int weights[4] = {node->weight, node->bias, node->running_mean, node->running_var};
    for (int k = 0; k < 4; k++)
        if (weights[k] >= 0)
            inputs[count++] = writer->graph->weights[weights[k]].name;
    if (node->op == OP_ACTIVATION && node->activation == ACTIVATION_CLIP) {
        inputs[count++] = onnx_writer_scalar(writer, name, ".min", node->alpha);
        inputs[count++] = onnx_writer_scalar(writer, name, ".max", node->beta);
    } else if (node->op == OP_DROPOUT) {
        inputs[count++] = onnx_writer_scalar(writer, name, ".ratio", node->dropout);
    } else if (node->op == OP_PAD) {
        const int64_t pads[8] = {0, 0, node->pad_top, node->pad_left, 0, 0, node->pad_bottom, node->pad_right};
        inputs[count++] = onnx_writer_ints(writer, name, ".pads", pads, 8);
        if (node->pad_mode == PAD_CONSTANT && node->alpha != 0)
            inputs[count++] = onnx_writer_scalar(writer, name, ".value", node->alpha);
    } else if (node->op == OP_SELECT) {
        inputs[count++] = add_channels(writer, node, name);
    } else if (node->op == OP_RESIZE) {
        count = add_sizes(writer, node, name, inputs, count);
    }
    return count;
}

static void set_resize(struct onnx_writer *writer, Onnx__NodeProto *out, const struct node *node)
{
    static const char *const nearest[RESIZE_MODE_COUNT] = {
        [RESIZE_LINEAR] = "round_prefer_floor",
        [RESIZE_NEAREST_FLOOR] = "floor",
        [RESIZE_NEAREST_CEIL] = "ceil",
        [RESIZE_NEAREST_HALF_DOWN] = "round_prefer_floor",
        [RESIZE_NEAREST_HALF_UP] = "round_prefer_ceil",
    };
    const struct node *from = &writer->graph->nodes[node->inputs[0]];
    const bool wide = node->resize.y.size == from->shape.h; /* only the width changes: it has the mode */
    const struct resize_axis *axis = wide ? &node->resize.x : &node->resize.y;
    const int in = wide ? from->shape.w : from->shape.h;
    const bool half = axis->before != 0;
    const bool corners =
        !half && in > 1 && axis->scale == (axis->size - 1.0) / (in - 1.0) && axis->scale != (double)axis->size / in;
    onnx_writer_set_string(writer, out, "mode", node->resize.mode == RESIZE_LINEAR ? "linear" : "nearest");
    onnx_writer_set_string(writer, out, "coordinate_transformation_mode",
                           half      ? "half_pixel"
                           : corners ? "align_corners"
                                     : "asymmetric");
    if (node->resize.mode != RESIZE_LINEAR)
        onnx_writer_set_string(writer, out, "nearest_mode", nearest[node->resize.mode]);
}

static void set_attributes(struct onnx_writer *writer, Onnx__NodeProto *out, const struct node *node)
{
    switch (node->op) {
    case OP_CONV:
    case OP_MAX_POOL:
    case OP_AVERAGE_POOL:
        set_window(writer, out, node);
        break;
    case OP_BATCH_NORM:
        onnx_writer_set_float(writer, out, "epsilon", node->epsilon);
        onnx_writer_set_float(writer, out, "momentum", 1 - node->momentum);
        break;
    case OP_PAD:
        if (node->pad_mode != PAD_CONSTANT)
            onnx_writer_set_string(writer, out, "mode", node->pad_mode == PAD_REFLECT ? "reflect" : "edge");
        break;
    case OP_RESIZE:
        set_resize(writer, out, node);
        break;
    case OP_SELECT:
    case OP_CONCAT:
    case OP_FLATTEN:
    case OP_SOFTMAX:
    case OP_LOG_SOFTMAX:
        onnx_writer_set_int(writer, out, "axis", 1);
        break;
    case OP_LINEAR:
        onnx_writer_set_int(writer, out, "transB", 1);
        break;
    case OP_ACTIVATION:
        if (node->activation == ACTIVATION_LEAKY_RELU || node->activation == ACTIVATION_HARD_SIGMOID ||
            node->activation == ACTIVATION_ELU || node->activation == ACTIVATION_SELU ||
            node->activation == ACTIVATION_CELU)
            onnx_writer_set_float(writer, out, "alpha", node->alpha);
        if (node->activation == ACTIVATION_SELU)
            onnx_writer_set_float(writer, out, "gamma", node->beta);
        if (node->activation == ACTIVATION_HARD_SIGMOID)
            onnx_writer_set_float(writer, out, "beta", node->beta);
        break;
    default:
        break;
    }
}

bool onnx_writer_is_result(const struct onnx_writer *writer, int i)
{
    const struct shape s = writer->graph->nodes[i].shape;
    return i == writer->graph->output && (writer->ranks[i] == 2 || s.h > 1 || s.w > 1);
}

void onnx_write_node(struct onnx_writer *writer, int i)
{
    const struct node *node = &writer->graph->nodes[i];
    const char *inputs[NODE_MAX_INPUTS + 4];
    size_t count = 0;
    int rank = input_rank(writer, node);
    for (int k = 0; k < node->input_count; k++)
        inputs[count++] = value_of(writer, node->inputs[k], rank);
    writer->ranks[i] = node->op == OP_FLATTEN ? 2 : rank;
    const bool is_result = onnx_writer_is_result(writer, i) && !writer->int8;
    char *output = is_result ? onnx_writer_text(writer, "logits") : onnx_writer_name(writer, node->name, "");
    writer->names[i] = output;
    if (onnx_write_composed(writer, node, inputs[0], rank, output))
        return;
    count = add_parameters(writer, node, node->name, inputs, count);
    Onnx__NodeProto *out = onnx_writer_node(writer, operator_of(node), node->name, inputs, count, output);
    set_attributes(writer, out, node);
}
