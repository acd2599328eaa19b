/* Unpacks untrusted protobuf bytes: nesting and memory are limited before and while protobuf-c unpacks. */
#ifndef FORMATS_ONNX_ONNX_UNPACK_H
#define FORMATS_ONNX_ONNX_UNPACK_H

#include "shared/base/error.h"
#include <protobuf-c/protobuf-c.h>
#include <stddef.h>
#include <stdbool.h>
#include <stdint.h>

struct onnx_message {
    ProtobufCMessage *message; /* NULL, or owned */
    ProtobufCAllocator allocator;
    size_t budget; /* bytes that may still be allocated */
    bool out_of_memory;
};

/* *out is zeroed on error. It must not move between this call and onnx_unpack_release. STATUS_BAD_DATA,
 * STATUS_INTERNAL when out of memory. */
enum status onnx_unpack(struct onnx_message *out, const ProtobufCMessageDescriptor *type, const uint8_t *bytes,
                        size_t size, const char *path, struct error *err);
void onnx_unpack_release(struct onnx_message *message);

#endif
