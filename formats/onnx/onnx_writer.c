#include "formats/onnx/onnx_writer.h"

#include <stdio.h>
#include <string.h>

enum { MAX_ATTRIBUTES = 8 };

void *onnx_writer_take(struct onnx_writer *writer, size_t count, size_t size)
{
    void *memory = writer->failed ? NULL : arena_alloc(&writer->arena, count ? count : 1, size);
    writer->failed = writer->failed || !memory;
    return memory;
}

char *onnx_writer_text(struct onnx_writer *writer, const char *text)
{
    char *copy = onnx_writer_take(writer, strlen(text) + 1, 1);
    return copy ? strcpy(copy, text) : NULL;
}

static bool is_taken(const struct onnx_writer *writer, const char *name)
{
    for (size_t i = 0; i < writer->model.n_initializer; i++)
        if (strcmp(writer->model.initializer[i]->name, name) == 0)
            return true;
    for (size_t i = 0; i < writer->model.n_node; i++)
        if (strcmp(writer->model.node[i]->output[0], name) == 0)
            return true;
    return strcmp(name, "input") == 0 || strcmp(name, "logits") == 0;
}

char *onnx_writer_name(struct onnx_writer *writer, const char *name, const char *suffix)
{
    size_t length = strlen(name) + strlen(suffix);
    char *text = onnx_writer_take(writer, length + 64, 1);
    if (!text)
        return NULL;
    snprintf(text, length + 64, "%s%s", name, suffix);
    for (size_t i = length; i < length + 62 && is_taken(writer, text); i++)
        text[i] = '_';
    return text;
}

static Onnx__AttributeProto *add_attribute(struct onnx_writer *writer, Onnx__NodeProto *node, const char *name,
                                           Onnx__AttributeProto__AttributeType type);

/* ---- initialisers ---- */
const char *onnx_writer_tensor(struct onnx_writer *writer, char *name, int32_t type, const int64_t *dims, size_t rank,
                               const void *data, size_t bytes)
{
    Onnx__TensorProto *tensor = onnx_writer_take(writer, 1, sizeof *tensor);
    int64_t *own_dims = onnx_writer_take(writer, rank, sizeof *own_dims);
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

void onnx_writer_make_constant(struct onnx_writer *writer)
{
    if (writer->failed)
        return;
    Onnx__TensorProto *tensor = writer->model.initializer[--writer->model.n_initializer];
    char *name = tensor->name;
    Onnx__NodeProto *node = onnx_writer_node(writer, "Constant", name, NULL, 0, name);
    Onnx__AttributeProto *value = add_attribute(writer, node, "value", ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TENSOR);
    if (value)
        value->t = tensor;
}

const char *onnx_writer_ints(struct onnx_writer *writer, const char *node, const char *suffix, const int64_t *values,
                             size_t count)
{
    int64_t *own = onnx_writer_take(writer, count, sizeof *own), dims[1] = {(int64_t)count};
    if (own)
        memcpy(own, values, count * sizeof *values);
    return onnx_writer_tensor(writer, onnx_writer_name(writer, node, suffix), ONNX__TENSOR_PROTO__DATA_TYPE__INT64,
                              dims, 1, own, count * sizeof *own);
}

const char *onnx_writer_floats(struct onnx_writer *writer, const char *node, const char *suffix, const float *values,
                               size_t count)
{
    float *own = onnx_writer_take(writer, count, sizeof *own);
    const int64_t dims[1] = {(int64_t)count};
    if (own)
        memcpy(own, values, count * sizeof *values);
    return onnx_writer_tensor(writer, onnx_writer_name(writer, node, suffix), ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT,
                              dims, 1, own, count * sizeof *own);
}

const char *onnx_writer_scalar(struct onnx_writer *writer, const char *node, const char *suffix, float value)
{
    float *own = onnx_writer_take(writer, 1, sizeof *own);
    if (own)
        *own = value;
    return onnx_writer_tensor(writer, onnx_writer_name(writer, node, suffix), ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT,
                              NULL, 0, own, sizeof *own);
}

/* ---- nodes ---- */
Onnx__NodeProto *onnx_writer_node(struct onnx_writer *writer, const char *op, const char *name,
                                  const char *const *inputs, size_t input_count, char *output)
{
    Onnx__NodeProto *node = onnx_writer_take(writer, 1, sizeof *node);
    char **own_inputs = onnx_writer_take(writer, input_count, sizeof *own_inputs),
         **outputs = onnx_writer_take(writer, 1, sizeof *outputs);
    Onnx__AttributeProto **attributes = onnx_writer_take(writer, MAX_ATTRIBUTES, sizeof *attributes);
    char *own_op = onnx_writer_text(writer, op), *own_name = onnx_writer_text(writer, name);
    if (writer->failed || !output)
        return NULL;
    onnx__node_proto__init(node);
    if (input_count)
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

static Onnx__AttributeProto *add_attribute(struct onnx_writer *writer, Onnx__NodeProto *node, const char *name,
                                           Onnx__AttributeProto__AttributeType type)
{
    Onnx__AttributeProto *attribute = onnx_writer_take(writer, 1, sizeof *attribute);
    char *own_name = onnx_writer_text(writer, name);
    if (writer->failed || !node)
        return NULL;
    onnx__attribute_proto__init(attribute);
    attribute->name = own_name;
    attribute->has_type = 1;
    attribute->type = type;
    node->attribute[node->n_attribute++] = attribute;
    return attribute;
}

void onnx_writer_set_int(struct onnx_writer *writer, Onnx__NodeProto *node, const char *name, int64_t value)
{
    Onnx__AttributeProto *attribute = add_attribute(writer, node, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT);
    if (attribute) {
        attribute->has_i = 1;
        attribute->i = value;
    }
}

void onnx_writer_set_float(struct onnx_writer *writer, Onnx__NodeProto *node, const char *name, float value)
{
    Onnx__AttributeProto *attribute = add_attribute(writer, node, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT);
    if (attribute) {
        attribute->has_f = 1;
        attribute->f = value;
    }
}

void onnx_writer_set_ints(struct onnx_writer *writer, Onnx__NodeProto *node, const char *name, const int64_t *values,
                          size_t count)
{
    Onnx__AttributeProto *attribute = add_attribute(writer, node, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS);
    int64_t *own = onnx_writer_take(writer, count, sizeof *own);
    if (attribute && own) {
        memcpy(own, values, count * sizeof *values);
        attribute->ints = own;
        attribute->n_ints = count;
    }
}

void onnx_writer_set_string(struct onnx_writer *writer, Onnx__NodeProto *node, const char *name, const char *value)
{
    Onnx__AttributeProto *attribute = add_attribute(writer, node, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING);
    char *own = onnx_writer_text(writer, value);
    if (attribute && own) {
        attribute->has_s = 1;
        attribute->s = (ProtobufCBinaryData){strlen(own), (uint8_t *)own};
    }
}
