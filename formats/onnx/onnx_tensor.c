#include "formats/onnx/onnx_tensor.h"

#include "shared/base/memory.h"
#include "shared/tensor/half.h"
#include <string.h>

#define TYPE(name) ONNX__TENSOR_PROTO__DATA_TYPE__##name

static const char *name_of(const Onnx__TensorProto *tensor)
{
    return tensor->name ? tensor->name : "";
}

static bool is_raw(const Onnx__TensorProto *tensor)
{
    return tensor->has_raw_data && tensor->raw_data.len > 0;
}

/* Bytes per raw element, and the number of elements in the typed field; 0 bytes if the type is not supported. */
static size_t dtype_size(const Onnx__TensorProto *tensor, size_t *typed_count, bool *is_float)
{
    *typed_count = tensor->n_int32_data;
    *is_float = false;
    switch (tensor->data_type) {
    case TYPE(FLOAT):
        *typed_count = tensor->n_float_data;
        *is_float = true;
        return 4;
    case TYPE(DOUBLE):
        *typed_count = tensor->n_double_data;
        *is_float = true;
        return 8;
    case TYPE(FLOAT16):
    case TYPE(BFLOAT16):
        *is_float = true;
        return 2;
    case TYPE(INT64):
        *typed_count = tensor->n_int64_data;
        return 8;
    case TYPE(INT32):
        return 4;
    case TYPE(UINT8):
    case TYPE(INT8):
    case TYPE(BOOL):
        return 1;
    default:
        return 0;
    }
}

enum status onnx_tensor_header(const Onnx__TensorProto *tensor, const char *path, struct onnx_array *array,
                               struct error *err)
{
    size_t typed_count;
    *array = (struct onnx_array){.count = 1};
    size_t size = dtype_size(tensor, &typed_count, &array->is_float);
    if (tensor->n_external_data ||
        (tensor->has_data_location && tensor->data_location == ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL))
        return error_set(err, STATUS_CONFIG, path,
                         "tensor '%s' has its data in another file: save the model as one file", name_of(tensor));
    if (size == 0)
        return error_set(err, STATUS_CONFIG, path,
                         "tensor '%s' has element type %d; float, float16, bfloat16, double, int64, int32, int8, "
                         "uint8 and bool are supported",
                         name_of(tensor), (int)tensor->data_type);
    if (tensor->n_dims > ONNX_MAX_RANK)
        return error_set(err, STATUS_CONFIG, path, "tensor '%s' has %zu dimensions; at most %d are supported",
                         name_of(tensor), tensor->n_dims, ONNX_MAX_RANK);
    array->rank = (int)tensor->n_dims;
    for (int i = 0; i < array->rank; i++) {
        if (tensor->dims[i] < 0)
            return error_set(err, STATUS_BAD_DATA, path, "tensor '%s' has a negative dimension", name_of(tensor));
        array->dims[i] = tensor->dims[i];
        array->count = size_mul(array->count, (size_t)tensor->dims[i]);
    }
    size_t expected = is_raw(tensor) ? size_mul(array->count, size) : array->count;
    size_t found = is_raw(tensor) ? tensor->raw_data.len : typed_count;
    if (expected != found)
        return error_set(err, STATUS_BAD_DATA, path, "tensor '%s' must have %zu %s of data, but has %zu",
                         name_of(tensor), expected, is_raw(tensor) ? "bytes" : "elements", found);
    return STATUS_OK;
}

/* Element i of a raw tensor with `size` bytes per element, zero-extended. */
static uint64_t raw_bits(const Onnx__TensorProto *tensor, size_t i, size_t size)
{
    uint64_t bits = 0;
    memcpy(&bits, tensor->raw_data.data + i * size, size);
    return bits;
}

static float float_of_bfloat16(uint16_t bits)
{
    float value;
    uint32_t wide = (uint32_t)bits << 16;
    memcpy(&value, &wide, sizeof value);
    return value;
}

static double double_of_bits(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

void onnx_tensor_floats(const Onnx__TensorProto *tensor, size_t count, float *out)
{
    bool raw = is_raw(tensor);
    if (tensor->data_type == TYPE(FLOAT)) {
        if (count)
            memcpy(out, raw ? (const void *)tensor->raw_data.data : tensor->float_data, count * sizeof *out);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        if (tensor->data_type == TYPE(DOUBLE)) {
            out[i] = (float)(raw ? double_of_bits(raw_bits(tensor, i, 8)) : tensor->double_data[i]);
        } else {
            uint16_t bits = (uint16_t)(raw ? raw_bits(tensor, i, 2) : (uint64_t)tensor->int32_data[i]);
            out[i] = tensor->data_type == TYPE(FLOAT16) ? half_to_float(bits) : float_of_bfloat16(bits);
        }
    }
}

void onnx_tensor_ints(const Onnx__TensorProto *tensor, size_t count, int64_t *out)
{
    bool raw = is_raw(tensor);
    for (size_t i = 0; i < count; i++) {
        if (tensor->data_type == TYPE(INT64))
            out[i] = raw ? (int64_t)raw_bits(tensor, i, 8) : tensor->int64_data[i];
        else if (tensor->data_type == TYPE(INT32))
            out[i] = raw ? (int32_t)raw_bits(tensor, i, 4) : tensor->int32_data[i];
        else if (tensor->data_type == TYPE(INT8))
            out[i] = raw ? (int8_t)raw_bits(tensor, i, 1) : tensor->int32_data[i];
        else
            out[i] = raw ? (int64_t)raw_bits(tensor, i, 1) : tensor->int32_data[i];
    }
}
