#include "formats/onnx/onnx_write.h"

#include "formats/onnx/onnx_writer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const size_t MAX_SIZE = ((size_t)2 << 30) - 1;
enum { IR_VERSION = 7, OPSET = 14 };

/* Literals are written as Constant nodes: an initialiser would be a parameter for whoever trains the file. */
static void add_weights(struct onnx_writer *writer)
{
    for (int i = 0; i < writer->graph->weight_count; i++) {
        const struct weight *weight = &writer->graph->weights[i];
        int64_t dims[4];
        if (!graph_reads_weight(writer->graph, i))
            continue;
        for (int k = 0; k < weight->rank; k++)
            dims[k] = weight->dims[k];
        onnx_writer_tensor(writer, onnx_writer_text(writer, weight->name), ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT, dims,
                           (size_t)weight->rank, weight->data, weight->count * sizeof(float));
        if (weight->literal)
            onnx_writer_make_constant(writer);
    }
}

/* Adds a last node for the output if its node is the input, or is flat but of rank 4. */
static void finish_output(struct onnx_writer *writer)
{
    int i = writer->graph->output;
    struct shape s = writer->graph->nodes[i].shape;
    if (writer->failed || strcmp(writer->names[i], "logits") == 0)
        return;
    bool flat = s.h == 1 && s.w == 1;
    onnx_writer_node(writer, flat ? "Flatten" : "Identity", "logits", &writer->names[i], 1,
                     onnx_writer_text(writer, "logits"));
    writer->ranks[i] = flat ? 2 : 4;
}

/* The description of the model's input or output: float [batch, ...]. */
static Onnx__ValueInfoProto *value_info(struct onnx_writer *writer, const char *name, struct shape s, int rank)
{
    const int64_t sizes[4] = {0, s.c, s.h, s.w};
    Onnx__ValueInfoProto *info = onnx_writer_take(writer, 1, sizeof *info);
    Onnx__TypeProto *type = onnx_writer_take(writer, 1, sizeof *type);
    Onnx__TypeProto__Tensor *tensor = onnx_writer_take(writer, 1, sizeof *tensor);
    Onnx__TensorShapeProto *shape = onnx_writer_take(writer, 1, sizeof *shape);
    Onnx__TensorShapeProto__Dimension **dims = onnx_writer_take(writer, 4, sizeof *dims),
                                      *dim = onnx_writer_take(writer, 4, sizeof *dim);
    char *own_name = onnx_writer_text(writer, name), *batch = onnx_writer_text(writer, "batch");
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

enum { MOST_PARTS = 12 /* operators that a node is composed of, and two around its integers */ };

/* Memory for every node with a helper node for each of its inputs, and for the initialisers that these add. */
static void take_memory(struct onnx_writer *writer)
{
    size_t nodes = 2 + (size_t)writer->graph->weight_count, count = (size_t)writer->graph->node_count;
    for (int i = 0; i < writer->graph->node_count; i++)
        nodes += (size_t)writer->graph->nodes[i].input_count + MOST_PARTS;
    onnx__graph_proto__init(&writer->model);
    writer->model.node = onnx_writer_take(writer, nodes, sizeof *writer->model.node);
    writer->model.initializer =
        onnx_writer_take(writer, (size_t)writer->graph->weight_count + 2 * nodes, sizeof *writer->model.initializer);
    writer->names = onnx_writer_take(writer, count, sizeof *writer->names);
    writer->ranks = onnx_writer_take(writer, count, sizeof *writer->ranks);
}

static void build_model(struct onnx_writer *writer)
{
    const struct graph *graph = writer->graph;
    take_memory(writer);
    if (writer->failed)
        return;
    if (writer->int8)
        onnx_write_int8_weights(writer);
    else
        add_weights(writer);
    for (int i = 0; i < graph->node_count; i++) {
        if (graph->nodes[i].op == OP_INPUT) {
            writer->names[i] = onnx_writer_text(writer, "input");
            writer->ranks[i] = 4;
        } else {
            onnx_write_node(writer, i);
        }
        if (writer->int8)
            onnx_write_int8_value(writer, i);
    }
    finish_output(writer);
}

/* Attaches the metadata to the model. */
static void add_metadata(struct onnx_writer *writer, Onnx__ModelProto *model, const struct onnx_metadata *metadata,
                         size_t count)
{
    Onnx__StringStringEntryProto *entries = onnx_writer_take(writer, count, sizeof *entries);
    Onnx__StringStringEntryProto **list = onnx_writer_take(writer, count, sizeof *list);
    for (size_t i = 0; i < count && !writer->failed; i++) {
        onnx__string_string_entry_proto__init(&entries[i]);
        entries[i].key = onnx_writer_text(writer, metadata[i].key);
        entries[i].value = onnx_writer_text(writer, metadata[i].value);
        list[i] = &entries[i];
    }
    model->metadata_props = list;
    model->n_metadata_props = count;
}

/* Packs the model into *bytes. */
static enum status pack_model(struct onnx_writer *writer, const struct onnx_metadata *metadata, size_t count,
                              uint8_t **bytes, size_t *size, struct error *err)
{
    const struct graph *graph = writer->graph;
    Onnx__ValueInfoProto *input = value_info(writer, "input", graph->nodes[graph->input].shape, 4);
    Onnx__ValueInfoProto *output = value_info(writer, "logits", graph->nodes[graph->output].shape,
                                              writer->failed ? 4 : writer->ranks[graph->output]);
    char *name = onnx_writer_text(writer, graph->name && graph->name[0] ? graph->name : "softcache");
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
    add_metadata(writer, &model, metadata, count);
    if (writer->failed)
        return error_no_memory(err, 0, "an ONNX model");
    *size = onnx__model_proto__get_packed_size(&model);
    if (*size > MAX_SIZE)
        return error_set(err, STATUS_CONFIG, NULL, "the model has %zu bytes, more than an ONNX file can have", *size);
    *bytes = malloc(*size);
    if (!*bytes)
        return error_no_memory(err, *size, "an ONNX model");
    onnx__model_proto__pack(&model, *bytes);
    return STATUS_OK;
}

static enum status write_model(struct onnx_writer *writer, const struct onnx_metadata *metadata, size_t count,
                               uint8_t **bytes, size_t *size, struct error *err)
{
    *bytes = NULL;
    *size = 0;
    build_model(writer);
    enum status status = pack_model(writer, metadata, count, bytes, size, err);
    arena_release(&writer->arena);
    return status;
}

enum status onnx_write(const struct graph *graph, uint8_t **bytes, size_t *size, struct error *err)
{
    return onnx_write_described(graph, NULL, 0, bytes, size, err);
}

enum status onnx_write_described(const struct graph *graph, const struct onnx_metadata *metadata, size_t count,
                                 uint8_t **bytes, size_t *size, struct error *err)
{
    return write_model(&(struct onnx_writer){.graph = graph}, metadata, count, bytes, size, err);
}

enum status onnx_write_int8(const struct int8_net *net, const struct onnx_metadata *metadata, size_t count,
                            uint8_t **bytes, size_t *size, struct error *err)
{
    return write_model(&(struct onnx_writer){.graph = &net->lowered->graph, .int8 = net}, metadata, count, bytes, size,
                       err);
}
