/* Adds outputs to a model without unpacking it. */
#include "formats/onnx/onnx_outline.h"

#include <stdlib.h>
#include <string.h>

enum { LENGTH_DELIMITED = 2, FIELD_MODEL_GRAPH = 7, FIELD_GRAPH_OUTPUT = 12, FIELD_VALUE_NAME = 1 };

static size_t varint_size(size_t value)
{
    size_t count = 1;
    for (; value >= 0x80; value >>= 7)
        count++;
    return count;
}

/* Appends "field, length". */
static uint8_t *put_head(uint8_t *at, int field, size_t length)
{
    *at++ = (uint8_t)(field << 3 | LENGTH_DELIMITED); /* fields below 16 */
    for (; length >= 0x80; length >>= 7)
        *at++ = (uint8_t)(length | 0x80);
    *at++ = (uint8_t)length;
    return at;
}

static size_t field_size(size_t length)
{
    return 1 + varint_size(length) + length;
}

/* Whether names[i] is neither an output of the model nor an earlier one of the names. */
static bool is_new(const struct onnx_outline *outline, const char *const *names, int i)
{
    for (int k = 0; k < outline->output_count; k++)
        if (strcmp(outline->outputs[k], names[i]) == 0)
            return false;
    for (int k = 0; k < i; k++)
        if (strcmp(names[k], names[i]) == 0)
            return false;
    return true;
}

/* In protobuf a message that occurs twice is one message, whose lists are joined: so a second graph with outputs only
 * is appended, and not a byte of the model changes. */
enum status onnx_with_outputs(const struct onnx_outline *outline, const uint8_t *bytes, size_t size,
                              const char *const *names, int count, uint8_t **out, size_t *out_size, struct error *err)
{
    size_t graph = 0;
    for (int i = 0; i < count; i++)
        if (is_new(outline, names, i))
            graph += field_size(field_size(strlen(names[i])));
    *out_size = size + (graph ? field_size(graph) : 0);
    *out = malloc(*out_size ? *out_size : 1);
    if (!*out)
        return error_no_memory(err, *out_size, "a model");
    memcpy(*out, bytes, size);
    if (!graph)
        return STATUS_OK;
    uint8_t *at = put_head(*out + size, FIELD_MODEL_GRAPH, graph);
    for (int i = 0; i < count; i++) {
        const size_t length = strlen(names[i]);
        if (!is_new(outline, names, i))
            continue;
        at = put_head(at, FIELD_GRAPH_OUTPUT, field_size(length));
        at = put_head(at, FIELD_VALUE_NAME, length);
        memcpy(at, names[i], length);
        at += length;
    }
    return STATUS_OK;
}
