#include "tests/helper_onnx_model.h"

#include <string.h>

void model_put_value(struct proto *graph, int field, const char *name, int type, const int64_t *dims, int rank)
{
    struct proto value = {0}, type_proto = {0}, tensor = {0}, shape = {0};
    for (int i = 0; i < rank; i++) {
        struct proto dim = {0};
        if (dims[i] > 0)
            proto_int(&dim, DIM_VALUE, dims[i]);
        else
            proto_text(&dim, DIM_PARAM, "open");
        proto_message(&shape, SHAPE_DIM, &dim);
    }
    proto_int(&tensor, TENSOR_TYPE_ELEMENT, type);
    proto_message(&tensor, TENSOR_TYPE_SHAPE, &shape);
    proto_message(&type_proto, TYPE_TENSOR, &tensor);
    proto_text(&value, VALUE_NAME, name);
    proto_message(&value, VALUE_TYPE, &type_proto);
    proto_message(graph, field, &value);
}

void model_put_tensor(struct proto *graph, const char *name, int type, const int64_t *dims, int rank, const void *data,
                      size_t bytes)
{
    struct proto tensor = {0};
    for (int i = 0; i < rank; i++)
        proto_int(&tensor, TENSOR_DIMS, dims[i]);
    proto_int(&tensor, TENSOR_DATA_TYPE, type);
    proto_text(&tensor, TENSOR_NAME, name);
    proto_bytes(&tensor, TENSOR_RAW_DATA, data, bytes);
    proto_message(graph, GRAPH_INITIALIZER, &tensor);
}

static void put_entry(struct proto *tensor, const char *key, const char *value)
{
    struct proto entry = {0};
    if (!value)
        return;
    proto_text(&entry, ENTRY_KEY, key);
    proto_text(&entry, ENTRY_VALUE, value);
    proto_message(tensor, TENSOR_EXTERNAL_DATA, &entry);
}

void model_put_external(struct proto *graph, const char *name, const int64_t *dims, int rank, const char *location,
                        const char *offset, const char *length)
{
    struct proto tensor = {0};
    for (int i = 0; i < rank; i++)
        proto_int(&tensor, TENSOR_DIMS, dims[i]);
    proto_int(&tensor, TENSOR_DATA_TYPE, ONNX_FLOAT);
    proto_text(&tensor, TENSOR_NAME, name);
    put_entry(&tensor, "location", location);
    put_entry(&tensor, "offset", offset);
    put_entry(&tensor, "length", length);
    proto_int(&tensor, TENSOR_DATA_LOCATION, 1);
    proto_message(graph, GRAPH_INITIALIZER, &tensor);
}

void model_put_node(struct proto *graph, const char *op, const char *inputs, const char *output)
{
    struct proto node = {0};
    while (*inputs) {
        size_t length = strcspn(inputs, " ");
        proto_bytes(&node, NODE_INPUT, inputs, length);
        inputs += length + (inputs[length] == ' ');
    }
    proto_text(&node, NODE_OUTPUT, output);
    proto_text(&node, NODE_NAME, "the_node");
    proto_text(&node, NODE_OP_TYPE, op);
    proto_message(graph, GRAPH_NODE, &node);
}

void model_make(struct proto *model, struct proto *graph, int opset)
{
    struct proto set = {0};
    proto_int(&set, OPSET_VERSION, opset);
    proto_int(model, MODEL_IR_VERSION, 7);
    proto_message(model, MODEL_OPSET, &set);
    proto_message(model, MODEL_GRAPH, graph);
}
