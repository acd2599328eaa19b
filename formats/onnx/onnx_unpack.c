#include "formats/onnx/onnx_unpack.h"

#include <stdbool.h>
#include <stdlib.h>

/* A model, its graph, a node, an attribute, a tensor: 5 levels. Subgraphs nest deeper, but no network needs 24.
 * protobuf-c recurses without a limit, with about 2 kB of stack per level. */
enum { MAX_DEPTH = 24 };
static const size_t SPARE_BYTES = (size_t)64 << 20; /* small messages need more memory unpacked than packed */

static bool read_varint(const uint8_t *bytes, size_t size, size_t *at, uint64_t *value)
{
    *value = 0;
    for (int shift = 0; shift < 64 && *at < size; shift += 7) {
        uint8_t byte = bytes[(*at)++];
        *value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return true;
    }
    return false;
}

/* Whether messages nest at most `depth` levels. Malformed bytes end the scan: unpacking will report them. */
static bool nests_within(const ProtobufCMessageDescriptor *type, const uint8_t *bytes, size_t size, int depth)
{
    static const size_t fixed_sizes[8] = {[1] = 8, [5] = 4};
    uint64_t key, length;
    size_t at = 0;
    if (depth == 0)
        return false;
    while (at < size && read_varint(bytes, size, &at, &key)) {
        unsigned wire_type = key & 7;
        length = fixed_sizes[wire_type];
        if (wire_type == 3 || wire_type == 4 || (wire_type == 0 && !read_varint(bytes, size, &at, &key)))
            return true;
        if (wire_type == 2 && !read_varint(bytes, size, &at, &length))
            return true;
        if (length > size - at)
            return true;
        const ProtobufCFieldDescriptor *field =
            wire_type == 2 ? protobuf_c_message_descriptor_get_field(type, (unsigned)(key >> 3)) : NULL;
        if (field && field->type == PROTOBUF_C_TYPE_MESSAGE &&
            !nests_within(field->descriptor, bytes + at, (size_t)length, depth - 1))
            return false;
        at += (size_t)length;
    }
    return true;
}

static void *allocate_within_budget(void *data, size_t size)
{
    struct onnx_message *message = data;
    if (size > message->budget)
        return NULL;
    message->budget -= size;
    void *block = malloc(size);
    message->out_of_memory |= !block;
    return block;
}

static void release_block(void *data, void *block)
{
    (void)data;
    free(block);
}

enum status onnx_unpack(struct onnx_message *out, const ProtobufCMessageDescriptor *type, const uint8_t *bytes,
                        size_t size, const char *path, struct error *err)
{
    *out = (struct onnx_message){.allocator = {allocate_within_budget, release_block, out}};
    if (size > SIZE_MAX / 2 - SPARE_BYTES)
        return error_set(err, STATUS_BAD_DATA, path, "is too large");
    if (!nests_within(type, bytes, size, MAX_DEPTH))
        return error_set(err, STATUS_BAD_DATA, path, "is not an ONNX file: messages nest deeper than %d levels",
                         MAX_DEPTH);
    out->budget = 2 * size + SPARE_BYTES;
    out->message = protobuf_c_message_unpack(type, &out->allocator, size, bytes);
    if (!out->message && out->out_of_memory)
        return error_no_memory(err, size, path);
    if (!out->message)
        return error_set(err, STATUS_BAD_DATA, path,
                         "is not an ONNX file, or is damaged: its protobuf encoding cannot be read");
    return STATUS_OK;
}

void onnx_unpack_release(struct onnx_message *message)
{
    if (message->message)
        protobuf_c_message_free_unpacked(message->message, &message->allocator);
    message->message = NULL;
}
