#include "formats/onnx_write.h"

#include <onnx/onnx.pb-c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const size_t MAX_SIZE = ((size_t)2 << 30) - 1;
enum { IR_VERSION = 7, OPSET = 14, MAX_ATTRIBUTES = 8 };

/* A model under construction. Everything is in the arena but the weights' data, which stay the graph's. Running out of
 * memory is noted in `failed` and reported once at the end. */
struct writer {
    const struct graph *graph;
    struct arena arena;
    Onnx__GraphProto model;
    size_t node_room, initializer_room;
    const char **names; /* [node_count] tensor name of every node's value */
    int *ranks;         /* [node_count] 4: [batch, c, h, w]; 2: [batch, c] */
    bool failed;
};

static void *take(struct writer *writer, size_t count, size_t size)
{
    void *memory = writer->failed ? NULL : arena_alloc(&writer->arena, count ? count : 1, size);
    writer->failed = writer->failed || !memory;
    return memory;
}

static char *copy_text(struct writer *writer, const char *text)
{
    char *copy = take(writer, strlen(text) + 1, 1);
    return copy ? strcpy(copy, text) : NULL;
}

static bool is_taken(const struct writer *writer, const char *name)
{
    for (size_t i = 0; i < writer->model.n_initializer; i++)
        if (strcmp(writer->model.initializer[i]->name, name) == 0)
            return true;
    for (size_t i = 0; i < writer->model.n_node; i++)
        if (strcmp(writer->model.node[i]->output[0], name) == 0)
            return true;
    return strcmp(name, "input") == 0 || strcmp(name, "logits") == 0;
}

/* `name` and `suffix`, with as many underscores as make it new. */
static char *new_name(struct writer *writer, const char *name, const char *suffix)
{
    size_t length = strlen(name) + strlen(suffix);
    char *text = take(writer, length + 64, 1);
    if (!text)
        return NULL;
    snprintf(text, length + 64, "%s%s", name, suffix);
    for (size_t i = length; i < length + 62 && is_taken(writer, text); i++)
        text[i] = '_';
    return text;
}

/* ---- initialisers ---- */
static const char *add_tensor(struct writer *writer, char *name, int32_t type, const int64_t *dims, size_t rank,
                              const void *data, size_t bytes)
{
    Onnx__TensorProto *tensor = take(writer, 1, sizeof *tensor);
    int64_t *own_dims = take(writer, rank, sizeof *own_dims);
    if (writer->failed || !name)
        return "";
    onnx__tensor_proto__init(tensor);
    if (rank)
        memcpy(own_dims, dims, rank * sizeof *dims);
    tensor->name = name;
    tensor->dims = own_dims;
    tensor->n_dims = rank;
    tensor->has_data_type = 1;
    tensor->data_type = type;
    tensor->has_raw_data = 1;
    tensor->raw_data = (ProtobufCBinaryData){bytes, (uint8_t *)data};
    writer->model.initializer[writer->model.n_initializer++] = tensor;
    return name;
}

static const char *add_ints(struct writer *writer, const char *node, const char *suffix, const int64_t *values,
                            size_t count)
{
    int64_t *own = take(writer, count, sizeof *own), dims[1] = {(int64_t)count};
    if (own)
        memcpy(own, values, count * sizeof *values);
    return add_tensor(writer, new_name(writer, node, suffix), ONNX__TENSOR_PROTO__DATA_TYPE__INT64, dims, 1, own,
                      count * sizeof *own);
}

static const char *add_scalar(struct writer *writer, const char *node, const char *suffix, float value)
{
    float *own = take(writer, 1, sizeof *own);
    if (own)
        *own = value;
    return add_tensor(writer, new_name(writer, node, suffix), ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT, NULL, 0, own,
                      sizeof *own);
}

static void add_weights(struct writer *writer)
{
    for (int i = 0; i < writer->graph->weight_count; i++) {
        const struct weight *weight = &writer->graph->weights[i];
        int64_t dims[4];
        for (int k = 0; k < weight->rank; k++)
            dims[k] = weight->dims[k];
        add_tensor(writer, copy_text(writer, weight->name), ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT, dims,
                   (size_t)weight->rank, weight->data, weight->count * sizeof(float));
    }
}

/* ---- nodes ---- */
static Onnx__NodeProto *add_node(struct writer *writer, const char *op, const char *name, const char *const *inputs,
                                 size_t input_count, char *output)
{
    Onnx__NodeProto *node = take(writer, 1, sizeof *node);
    char **own_inputs = take(writer, input_count, sizeof *own_inputs), **outputs = take(writer, 1, sizeof *outputs);
    Onnx__AttributeProto **attributes = take(writer, MAX_ATTRIBUTES, sizeof *attributes);
    char *own_op = copy_text(writer, op), *own_name = copy_text(writer, name);
    if (writer->failed || !output)
        return NULL;
    onnx__node_proto__init(node);
    memcpy(own_inputs, inputs, input_count * sizeof *inputs);
    outputs[0] = output;
    node->op_type = own_op;
    node->name = own_name;
    node->input = own_inputs;
    node->n_input = input_count;
    node->output = outputs;
    node->n_output = 1;
    node->attribute = attributes;
    writer->model.node[writer->model.n_node++] = node;
    return node;
}

static Onnx__AttributeProto *add_attribute(struct writer *writer, Onnx__NodeProto *node, const char *name,
                                           Onnx__AttributeProto__AttributeType type)
{
    Onnx__AttributeProto *attribute = take(writer, 1, sizeof *attribute);
    char *own_name = copy_text(writer, name);
    if (writer->failed || !node)
        return NULL;
    onnx__attribute_proto__init(attribute);
    attribute->name = own_name;
    attribute->has_type = 1;
    attribute->type = type;
    node->attribute[node->n_attribute++] = attribute;
    return attribute;
}

static void set_int(struct writer *writer, Onnx__NodeProto *node, const char *name, int64_t value)
{
    Onnx__AttributeProto *attribute = add_attribute(writer, node, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT);
    if (attribute) {
        attribute->has_i = 1;
        attribute->i = value;
    }
}

static void set_float(struct writer *writer, Onnx__NodeProto *node, const char *name, float value)
{
    Onnx__AttributeProto *attribute = add_attribute(writer, node, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT);
    if (attribute) {
        attribute->has_f = 1;
        attribute->f = value;
    }
}

static void set_ints(struct writer *writer, Onnx__NodeProto *node, const char *name, const int64_t *values,
                     size_t count)
{
    Onnx__AttributeProto *attribute = add_attribute(writer, node, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS);
    int64_t *own = take(writer, count, sizeof *own);
    if (attribute && own) {
        memcpy(own, values, count * sizeof *values);
        attribute->ints = own;
        attribute->n_ints = count;
    }
}

/* The value of node i with the given rank; where it has the other one, a Flatten or Unsqueeze is put in between. */
static const char *value_of(struct writer *writer, int i, int rank)
{
    static const int64_t spatial_axes[2] = {2, 3};
    const char *name = writer->names[i], *inputs[2] = {name};
    if (!name || writer->ranks[i] == rank)
        return name ? name : "";
    char *result = new_name(writer, name, rank == 2 ? "/flat" : "/map");
    if (!result)
        return "";
    if (rank == 4)
        inputs[1] = add_ints(writer, name, "/axes", spatial_axes, 2);
    add_node(writer, rank == 2 ? "Flatten" : "Unsqueeze", result, inputs, rank == 2 ? 1 : 2, result);
    return result;
}

static void set_window(struct writer *writer, Onnx__NodeProto *out, const struct node *node)
{
    set_ints(writer, out, "kernel_shape", (int64_t[]){node->kernel_h, node->kernel_w}, 2);
    set_ints(writer, out, "strides", (int64_t[]){node->stride_h, node->stride_w}, 2);
    set_ints(writer, out, "pads", (int64_t[]){node->pad_top, node->pad_left, node->pad_bottom, node->pad_right}, 4);
    if (node->op != OP_AVERAGE_POOL)
        set_ints(writer, out, "dilations", (int64_t[]){node->dilation_h, node->dilation_w}, 2);
    if (node->op == OP_CONV)
        set_int(writer, out, "group", node->groups);
    else
        set_int(writer, out, "ceil_mode", node->ceil_mode);
    if (node->op == OP_AVERAGE_POOL)
        set_int(writer, out, "count_include_pad", node->count_include_pad);
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
    };
    if (node->op == OP_ACTIVATION)
        return activation_operator(node->activation);
    return node->op == OP_ADD && node->input_count > 2 ? "Sum" : operators[node->op];
}

/* The rank that a node wants its inputs in. */
static int input_rank(const struct writer *writer, const struct node *node)
{
    int rank = writer->ranks[node->inputs[0]];
    switch (node->op) {
    case OP_CONV:
    case OP_MAX_POOL:
    case OP_AVERAGE_POOL:
    case OP_GLOBAL_AVERAGE_POOL:
    case OP_PAD:
        return 4;
    case OP_LINEAR:
        return 2;
    default:
        for (int k = 1; k < node->input_count; k++)
            rank = writer->ranks[node->inputs[k]] == 4 ? 4 : rank;
        return rank;
    }
}

/* Appends what follows the values among a node's inputs: weights, bounds, amounts. */
static size_t add_parameters(struct writer *writer, const struct node *node, const char *name, const char **inputs,
                             size_t count)
{
    const int weights[4] = {node->weight, node->bias, node->running_mean, node->running_var};
    for (int k = 0; k < 4; k++)
        if (weights[k] >= 0)
            inputs[count++] = writer->graph->weights[weights[k]].name;
    if (node->op == OP_ACTIVATION && node->activation == ACTIVATION_CLIP) {
        inputs[count++] = add_scalar(writer, name, ".min", node->alpha);
        inputs[count++] = add_scalar(writer, name, ".max", node->beta);
    } else if (node->op == OP_DROPOUT) {
        inputs[count++] = add_scalar(writer, name, ".ratio", node->dropout);
    } else if (node->op == OP_PAD) {
        const int64_t pads[8] = {0, 0, node->pad_top, node->pad_left, 0, 0, node->pad_bottom, node->pad_right};
        inputs[count++] = add_ints(writer, name, ".pads", pads, 8);
    }
    return count;
}

static void set_attributes(struct writer *writer, Onnx__NodeProto *out, const struct node *node)
{
    switch (node->op) {
    case OP_CONV:
    case OP_MAX_POOL:
    case OP_AVERAGE_POOL:
        set_window(writer, out, node);
        break;
    case OP_BATCH_NORM:
        set_float(writer, out, "epsilon", node->epsilon);
        set_float(writer, out, "momentum", 1 - node->momentum);
        break;
    case OP_CONCAT:
    case OP_FLATTEN:
    case OP_SOFTMAX:
        set_int(writer, out, "axis", 1);
        break;
    case OP_LINEAR:
        set_int(writer, out, "transB", 1);
        break;
    case OP_ACTIVATION:
        if (node->activation == ACTIVATION_LEAKY_RELU || node->activation == ACTIVATION_HARD_SIGMOID)
            set_float(writer, out, "alpha", node->alpha);
        if (node->activation == ACTIVATION_HARD_SIGMOID)
            set_float(writer, out, "beta", node->beta);
        break;
    default:
        break;
    }
}

static void write_node(struct writer *writer, int i)
{
    const struct node *node = &writer->graph->nodes[i];
    const char *inputs[NODE_MAX_INPUTS + 4];
    size_t count = 0;
    int rank = input_rank(writer, node);
    for (int k = 0; k < node->input_count; k++)
        inputs[count++] = value_of(writer, node->inputs[k], rank);
    writer->ranks[i] = node->op == OP_FLATTEN ? 2 : rank;
    bool is_result = i == writer->graph->output && (writer->ranks[i] == 2 || node->shape.h > 1 || node->shape.w > 1);
    char *output = is_result ? copy_text(writer, "logits") : new_name(writer, node->name, "");
    count = add_parameters(writer, node, node->name, inputs, count);
    Onnx__NodeProto *out = add_node(writer, operator_of(node), node->name, inputs, count, output);
    set_attributes(writer, out, node);
    writer->names[i] = output;
}

/* Where the output's node is the input, or flat but of rank 4, a last node gives the output. */
static void finish_output(struct writer *writer)
{
    int i = writer->graph->output;
    struct shape s = writer->graph->nodes[i].shape;
    if (writer->failed || strcmp(writer->names[i], "logits") == 0)
        return;
    bool flat = s.h == 1 && s.w == 1;
    add_node(writer, flat ? "Flatten" : "Identity", "logits", &writer->names[i], 1, copy_text(writer, "logits"));
    writer->ranks[i] = flat ? 2 : 4;
}

/* A value of the model's interface: float [batch, ...]. */
static Onnx__ValueInfoProto *value_info(struct writer *writer, const char *name, struct shape s, int rank)
{
    const int64_t sizes[4] = {0, s.c, s.h, s.w};
    Onnx__ValueInfoProto *info = take(writer, 1, sizeof *info);
    Onnx__TypeProto *type = take(writer, 1, sizeof *type);
    Onnx__TypeProto__Tensor *tensor = take(writer, 1, sizeof *tensor);
    Onnx__TensorShapeProto *shape = take(writer, 1, sizeof *shape);
    Onnx__TensorShapeProto__Dimension **dims = take(writer, 4, sizeof *dims), *dim = take(writer, 4, sizeof *dim);
    char *own_name = copy_text(writer, name), *batch = copy_text(writer, "batch");
    if (writer->failed)
        return NULL;
    onnx__value_info_proto__init(info);
    onnx__type_proto__init(type);
    onnx__type_proto__tensor__init(tensor);
    onnx__tensor_shape_proto__init(shape);
    for (int i = 0; i < rank; i++) {
        onnx__tensor_shape_proto__dimension__init(&dim[i]);
        dim[i].value_case = i ? ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE
                              : ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
        if (i)
            dim[i].dim_value = sizes[i];
        else
            dim[i].dim_param = batch;
        dims[i] = &dim[i];
    }
    shape->n_dim = (size_t)rank;
    shape->dim = dims;
    tensor->has_elem_type = 1;
    tensor->elem_type = ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT;
    tensor->shape = shape;
    type->value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
    type->tensor_type = tensor;
    info->name = own_name;
    info->type = type;
    return info;
}

/* Room for every node with a helper for each of its inputs, and for what helpers and parameters add. */
static void make_room(struct writer *writer)
{
    size_t nodes = 2, count = (size_t)writer->graph->node_count;
    for (int i = 0; i < writer->graph->node_count; i++)
        nodes += (size_t)writer->graph->nodes[i].input_count + 1;
    onnx__graph_proto__init(&writer->model);
    writer->model.node = take(writer, nodes, sizeof *writer->model.node);
    writer->model.initializer =
        take(writer, (size_t)writer->graph->weight_count + 2 * nodes, sizeof *writer->model.initializer);
    writer->names = take(writer, count, sizeof *writer->names);
    writer->ranks = take(writer, count, sizeof *writer->ranks);
}

static void build_model(struct writer *writer)
{
    const struct graph *graph = writer->graph;
    make_room(writer);
    if (writer->failed)
        return;
    add_weights(writer);
    for (int i = 0; i < graph->node_count; i++) {
        if (graph->nodes[i].op == OP_INPUT) {
            writer->names[i] = copy_text(writer, "input");
            writer->ranks[i] = 4;
        } else {
            write_node(writer, i);
        }
    }
    finish_output(writer);
}

/* Packs model into *bytes. */
static enum status pack_model(struct writer *writer, uint8_t **bytes, size_t *size, struct error *err)
{
    const struct graph *graph = writer->graph;
    Onnx__ValueInfoProto *input = value_info(writer, "input", graph->nodes[graph->input].shape, 4);
    Onnx__ValueInfoProto *output = value_info(writer, "logits", graph->nodes[graph->output].shape,
                                              writer->failed ? 4 : writer->ranks[graph->output]);
    char *name = copy_text(writer, graph->name && graph->name[0] ? graph->name : "softcache");
    if (writer->failed)
        return error_no_memory(err, 0, "an ONNX model");
    writer->model.name = name;
    writer->model.input = &input;
    writer->model.n_input = 1;
    writer->model.output = &output;
    writer->model.n_output = 1;

    char domain[] = "", producer[] = "softcache", version[] = SOFTCACHE_VERSION;
    Onnx__OperatorSetIdProto set = ONNX__OPERATOR_SET_ID_PROTO__INIT, *sets[] = {&set};
    Onnx__ModelProto model = ONNX__MODEL_PROTO__INIT;
    set.domain = domain;
    set.has_version = 1;
    set.version = OPSET;
    model.has_ir_version = 1;
    model.ir_version = IR_VERSION;
    model.producer_name = producer;
    model.producer_version = version;
    model.opset_import = sets;
    model.n_opset_import = 1;
    model.graph = &writer->model;
    *size = onnx__model_proto__get_packed_size(&model);
    if (*size > MAX_SIZE)
        return error_set(err, STATUS_CONFIG, NULL, "the model of %zu bytes is larger than ONNX files can be", *size);
    *bytes = malloc(*size);
    if (!*bytes)
        return error_no_memory(err, *size, "an ONNX model");
    onnx__model_proto__pack(&model, *bytes);
    return STATUS_OK;
}

enum status onnx_write(const struct graph *graph, uint8_t **bytes, size_t *size, struct error *err)
{
    struct writer writer = {.graph = graph};
    *bytes = NULL;
    *size = 0;
    build_model(&writer);
    enum status status = pack_model(&writer, bytes, size, err);
    arena_release(&writer.arena);
    return status;
}
