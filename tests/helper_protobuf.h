/* Protobuf's wire format by hand, so that tests can write ONNX files that no exporter writes, and read the parts that
 * the readers hide. */
#ifndef TESTS_HELPER_PROTOBUF_H
#define TESTS_HELPER_PROTOBUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A message that is being written. Initialise it with zeros; release it with proto_release. Failures are cmocka
 * failures. */
struct proto {
    uint8_t *bytes;
    size_t size, capacity;
};

void proto_int(struct proto *out, int field, int64_t value);
void proto_float(struct proto *out, int field, float value);
void proto_bytes(struct proto *out, int field, const void *bytes, size_t size);
void proto_text(struct proto *out, int field, const char *text);
/* Appends *part as a submessage and releases it. */
void proto_message(struct proto *out, int field, struct proto *part);
void proto_release(struct proto *out);

/* One field of a message that is being read: value for numbers, bytes for strings and submessages. */
struct proto_field {
    int number;
    uint64_t value;
    const uint8_t *bytes;
    size_t size;
};
/* Reads the field at *at and advances *at behind it. Returns false at the end and if the bytes are malformed. */
bool proto_next(const uint8_t *bytes, size_t size, size_t *at, struct proto_field *field);

/* Numbers of ONNX's fields (onnx.proto). */
enum {
    MODEL_IR_VERSION = 1,
    MODEL_GRAPH = 7,
    MODEL_OPSET = 8,
    OPSET_VERSION = 2,
    GRAPH_NODE = 1,
    GRAPH_INITIALIZER = 5,
    GRAPH_INPUT = 11,
    GRAPH_OUTPUT = 12,
    GRAPH_METADATA = 16,
    NODE_INPUT = 1,
    NODE_OUTPUT = 2,
    NODE_NAME = 3,
    NODE_OP_TYPE = 4,
    NODE_ATTRIBUTE = 5,
    NODE_METADATA = 9,
    ATTRIBUTE_NAME = 1,
    ATTRIBUTE_INT = 3,
    ATTRIBUTE_GRAPH = 6,
    ATTRIBUTE_INTS = 8,
    TENSOR_DIMS = 1,
    TENSOR_DATA_TYPE = 2,
    TENSOR_FLOAT_DATA = 4,
    TENSOR_INT32_DATA = 5,
    TENSOR_NAME = 8,
    TENSOR_RAW_DATA = 9,
    TENSOR_DOUBLE_DATA = 10,
    TENSOR_EXTERNAL_DATA = 13,
    TENSOR_DATA_LOCATION = 14,
    ENTRY_KEY = 1,
    ENTRY_VALUE = 2,
    VALUE_NAME = 1,
    VALUE_TYPE = 2,
    TYPE_TENSOR = 1,
    TENSOR_TYPE_ELEMENT = 1,
    TENSOR_TYPE_SHAPE = 2,
    SHAPE_DIM = 1,
    DIM_VALUE = 1,
    DIM_PARAM = 2,
    ONNX_FLOAT = 1,
    ONNX_UINT8 = 2,
    ONNX_INT64 = 7,
    ONNX_FLOAT16 = 10,
    ONNX_DOUBLE = 11,
    ONNX_BFLOAT16 = 16,
};

#endif
