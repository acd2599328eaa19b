/* Converts a TensorProto to an array: every dtype that weights and shapes have, raw or typed. */
#ifndef FORMATS_ONNX_ONNX_TENSOR_H
#define FORMATS_ONNX_ONNX_TENSOR_H

#include "shared/base/error.h"
#include <onnx/onnx.pb-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ONNX_MAX_RANK = 8 };

/* A constant: floats or integers, the other pointer is NULL. A scalar has rank 0 and count 1. */
struct onnx_array {
    bool is_float;
    int rank;
    int64_t dims[ONNX_MAX_RANK];
    size_t count;
    float *floats; /* [count] of float, float16, bfloat16 and double tensors */
    int64_t *ints; /* [count] of integer and bool tensors */
};

/* Checks dtype, dims and the length of the data, and fills *array except its data pointers.
 * External data, strings and complex numbers are not supported. STATUS_BAD_DATA, STATUS_CONFIG. */
enum status onnx_tensor_header(const Onnx__TensorProto *tensor, const char *path, struct onnx_array *array,
                               struct error *err);

/* The data of a tensor whose header was accepted: out[count]. */
void onnx_tensor_floats(const Onnx__TensorProto *tensor, size_t count, float *out);
void onnx_tensor_ints(const Onnx__TensorProto *tensor, size_t count, int64_t *out);

#endif
