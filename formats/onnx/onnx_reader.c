#include "formats/onnx/onnx_reader.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- values ---- */
static uint64_t hash_of(const char *name)
{
    uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a */
    for (const char *c = name; *c; c++)
        hash = (hash ^ (unsigned char)*c) * 0x100000001b3u;
    return hash;
}

static size_t slot_of(const struct onnx_reader *reader, const char *name)
{
    size_t slot = (size_t)(hash_of(name) % reader->table_size);
    while (reader->table[slot] && strcmp(reader->values[reader->table[slot] - 1].name, name) != 0)
        slot = (slot + 1) % reader->table_size;
    return slot;
}

struct onnx_value *onnx_find(const struct onnx_reader *reader, const char *name)
{
    size_t number = reader->table[slot_of(reader, name)];
    return number ? &reader->values[number - 1] : NULL;
}

enum status onnx_define(struct onnx_reader *reader, const char *name, struct onnx_value **value)
{
    size_t slot = slot_of(reader, name);
    if (reader->table[slot])
        return error_set(reader->err, STATUS_BAD_DATA, NULL, "tensor '%.200s' is computed twice", name);
    *value = &reader->values[reader->value_count++];
    **value = (struct onnx_value){.name = name, .weight = -1, .node = -1, .maker = -1};
    reader->table[slot] = reader->value_count;
    return STATUS_OK;
}

/* ---- the current operator ---- */
const char *onnx_output_name(const struct onnx_reader *reader)
{
    return reader->result < reader->op->n_output ? reader->op->output[reader->result] : "";
}

struct onnx_value *onnx_result(const struct onnx_reader *reader)
{
    return onnx_find(reader, onnx_output_name(reader));
}

const Onnx__NodeProto *onnx_maker(const struct onnx_reader *reader, const struct onnx_value *value, const char *op)
{
    const Onnx__NodeProto *node = value && value->maker >= 0 ? reader->model->node[value->maker] : NULL;
    return node && node->op_type && strcmp(node->op_type, op) == 0 ? node : NULL;
}

enum status onnx_refuse(struct onnx_reader *reader, const char *format, ...)
{
    char reason[512];
    va_list args;
    va_start(args, format);
    vsnprintf(reason, sizeof reason, format, args);
    va_end(args);
    return error_set(reader->err, STATUS_CONFIG, NULL, "%.60s '%.100s' (output '%.100s'): %s", reader->op->op_type,
                     reader->op->name ? reader->op->name : "", onnx_output_name(reader), reason);
}

bool onnx_has_input(const struct onnx_reader *reader, size_t i)
{
    return i < reader->op->n_input && reader->op->input[i][0];
}

struct onnx_value *onnx_input(const struct onnx_reader *reader, size_t i)
{
    return onnx_has_input(reader, i) ? onnx_find(reader, reader->op->input[i]) : NULL;
}

enum status onnx_constant_input(struct onnx_reader *reader, size_t i, const struct onnx_array **array)
{
    struct onnx_value *value = onnx_input(reader, i);
    if (!value || value->kind != ONNX_CONSTANT)
        return onnx_refuse(reader, "input %zu must be a constant", i);
    return onnx_decode(reader, value, array);
}

enum status onnx_ints_input(struct onnx_reader *reader, size_t i, const struct onnx_array **array)
{
    enum status status = onnx_constant_input(reader, i, array);
    if (status != STATUS_OK)
        return status;
    if ((*array)->is_float)
        return onnx_refuse(reader, "input %zu must be integers", i);
    for (size_t k = 0; k < (*array)->count; k++)
        if ((*array)->ints[k] == ONNX_BATCH)
            return onnx_refuse(reader, "input %zu depends on the batch size", i);
    return STATUS_OK;
}

enum status onnx_number_input(struct onnx_reader *reader, size_t i, double *number)
{
    const struct onnx_array *array;
    if (!onnx_has_input(reader, i))
        return STATUS_OK;
    enum status status = onnx_constant_input(reader, i, &array);
    if (status != STATUS_OK)
        return status;
    if (array->count != 1)
        return onnx_refuse(reader, "input %zu must be one number", i);
    *number = array->is_float ? (double)array->floats[0] : (double)array->ints[0];
    return STATUS_OK;
}

const Onnx__AttributeProto *onnx_attribute(const struct onnx_reader *reader, const char *name)
{
    for (size_t i = 0; i < reader->op->n_attribute; i++)
        if (reader->op->attribute[i]->name && strcmp(reader->op->attribute[i]->name, name) == 0)
            return reader->op->attribute[i];
    return NULL;
}

int64_t onnx_attribute_int(const struct onnx_reader *reader, const char *name, int64_t absent)
{
    const Onnx__AttributeProto *attribute = onnx_attribute(reader, name);
    return attribute && attribute->has_i ? attribute->i : absent;
}

float onnx_attribute_float(const struct onnx_reader *reader, const char *name, float absent)
{
    const Onnx__AttributeProto *attribute = onnx_attribute(reader, name);
    return attribute && attribute->has_f ? attribute->f : absent;
}

bool onnx_attribute_is(const struct onnx_reader *reader, const char *name, const char *text)
{
    const Onnx__AttributeProto *attribute = onnx_attribute(reader, name);
    size_t length = strlen(text);
    return attribute && attribute->has_s && attribute->s.len == length && memcmp(attribute->s.data, text, length) == 0;
}

enum status onnx_attribute_or_input(struct onnx_reader *reader, const char *name, size_t i, const int64_t **ints,
                                    size_t *count)
{
    const Onnx__AttributeProto *attribute = onnx_attribute(reader, name);
    const struct onnx_array *array;
    *ints = NULL;
    *count = 0;
    if (attribute) {
        *ints = attribute->ints;
        *count = attribute->n_ints;
        return STATUS_OK;
    }
    if (!onnx_has_input(reader, i))
        return STATUS_OK;
    enum status status = onnx_ints_input(reader, i, &array);
    if (status == STATUS_OK) {
        *ints = array->ints;
        *count = array->count;
    }
    return status;
}

enum status onnx_attribute_sizes(struct onnx_reader *reader, const char *name, int64_t low, int *out, size_t count)
{
    const Onnx__AttributeProto *attribute = onnx_attribute(reader, name);
    if (!attribute)
        return STATUS_OK;
    if (attribute->n_ints != count)
        return onnx_refuse(reader, "attribute %s has %zu values, expected %zu: only 2-d operators are supported", name,
                           attribute->n_ints, count);
    for (size_t i = 0; i < count; i++) {
        if (attribute->ints[i] < low || attribute->ints[i] > INT_MAX)
            return onnx_refuse(reader, "attribute %s is out of range", name);
        out[i] = (int)attribute->ints[i];
    }
    return STATUS_OK;
}

struct shape onnx_shape(const struct onnx_reader *reader, const struct onnx_value *value)
{
    return reader->graph->nodes[value->node].shape;
}

const char *onnx_graph_name(const char *name, char text[NODE_MAX_NAME])
{
    enum { KEPT = 120 }; /* leaves room for what layers of our own append */
    const size_t length = strlen(name);
    if (length < NODE_MAX_NAME)
        return name;
    const char *end = name + length - KEPT;
    while ((*end & 0xc0) == 0x80) /* not in the middle of a UTF-8 character */
        end++;
    snprintf(text, NODE_MAX_NAME, "%016llx..%s", (unsigned long long)hash_of(name), end);
    return text;
}

/* ---- results ---- */
enum status onnx_emit(struct onnx_reader *reader, const struct node *node, const int *inputs, int input_count,
                      const struct onnx_layout *layout)
{
    enum status status = STATUS_OK;
    struct onnx_value *value = onnx_result(reader);
    char text[NODE_MAX_NAME];
    TRY(graph_add(reader->graph, node, onnx_graph_name(value->name, text), inputs, input_count, &value->node,
                  reader->err));
    value->kind = ONNX_NODE;
    value->layout = *layout;
cleanup:
    return status;
}

void onnx_see_as_map(struct onnx_reader *reader)
{
    struct onnx_value *result = onnx_result(reader);
    result->layout = onnx_layout_map(onnx_shape(reader, result), false);
}

enum status onnx_emit_map(struct onnx_reader *reader, const struct node *node, int input)
{
    struct onnx_layout unknown = {0};
    enum status status = onnx_emit(reader, node, &input, 1, &unknown);
    if (status == STATUS_OK)
        onnx_see_as_map(reader);
    return status;
}

enum status onnx_emit_helper(struct onnx_reader *reader, const struct node *node, const char *suffix, const int *inputs,
                             int input_count, int *index)
{
    char name[NODE_MAX_NAME + 32], text[NODE_MAX_NAME];
    const char *output = onnx_graph_name(onnx_output_name(reader), text);
    snprintf(name, sizeof name, "%.*s.%s", NODE_MAX_NAME - 32, output, suffix);
    for (int i = 1; graph_find(reader->graph, name) >= 0; i++)
        snprintf(name, sizeof name, "%.*s.%s.%d", NODE_MAX_NAME - 32, output, suffix, i);
    return graph_add(reader->graph, node, name, inputs, input_count, index, reader->err);
}

void onnx_alias(struct onnx_reader *reader, const struct onnx_value *value, const struct onnx_layout *layout)
{
    struct onnx_value *result = onnx_result(reader), copy = *value;
    copy.name = result->name;
    copy.needed = result->needed;
    copy.maker = result->maker;
    copy.readers = result->readers;
    copy.layout = *layout;
    copy.alias = value;
    *result = copy;
}

enum status onnx_defer(struct onnx_reader *reader, const struct onnx_layout *layout, const char *reason)
{
    struct onnx_value *value = onnx_result(reader);
    char text[512];
    if (strstr(reason, "' (output '")) /* of an operator before this one */
        snprintf(text, sizeof text, "%s", reason);
    else
        snprintf(text, sizeof text, "%.60s '%.100s' (output '%.100s'): %s", reader->op->op_type,
                 reader->op->name ? reader->op->name : "", value->name, reason);
    value->reason = arena_strdup(&reader->arena, text);
    if (!value->reason)
        return error_no_memory(reader->err, sizeof text, "a message");
    value->kind = ONNX_DEFERRED;
    value->node = -1;
    value->layout = *layout;
    return STATUS_OK;
}

void onnx_emit_constant(struct onnx_reader *reader, struct onnx_array *array)
{
    struct onnx_value *value = onnx_result(reader);
    value->kind = ONNX_CONSTANT;
    value->array = array;
}

enum status onnx_spend(struct onnx_reader *reader, size_t bytes, const char *what)
{
    if (bytes > reader->budget)
        return error_set(reader->err, STATUS_BAD_DATA, NULL,
                         "'%.200s' needs %zu bytes, too much for a file of this size", what, bytes);
    reader->budget -= bytes;
    return STATUS_OK;
}

enum status onnx_channels_alloc(struct onnx_reader *reader, size_t count, int **channels)
{
    const size_t bytes = size_mul(count, sizeof **channels);
    const enum status status = onnx_spend(reader, size_mul(bytes, 2), onnx_output_name(reader));
    *channels = NULL;
    if (status != STATUS_OK)
        return status;
    *channels = malloc(bytes ? bytes : 1);
    return *channels ? STATUS_OK : error_no_memory(reader->err, bytes, "a list of channels");
}

enum status onnx_array_alloc(struct onnx_reader *reader, struct onnx_array *array)
{
    size_t size = array->is_float ? sizeof(float) : sizeof(int64_t), bytes = size_mul(array->count, size);
    enum status status = onnx_spend(reader, bytes, reader->op ? onnx_output_name(reader) : "a constant");
    if (status != STATUS_OK)
        return status;
    void *data = arena_alloc(&reader->arena, array->count ? array->count : 1, size);
    if (!data)
        return error_no_memory(reader->err, bytes, "a constant");
    array->floats = array->is_float ? data : NULL;
    array->ints = array->is_float ? NULL : data;
    return STATUS_OK;
}

enum status onnx_decode(struct onnx_reader *reader, struct onnx_value *value, const struct onnx_array **array)
{
    enum status status = STATUS_OK;
    if (!value->array) {
        struct onnx_array *decoded = arena_alloc(&reader->arena, 1, sizeof *decoded);
        if (!decoded)
            return error_no_memory(reader->err, sizeof *decoded, "a constant");
        TRY(onnx_tensor_header(value->tensor, NULL, decoded, reader->err));
        TRY(onnx_array_alloc(reader, decoded));
        if (decoded->is_float)
            onnx_tensor_floats(value->tensor, decoded->count, decoded->floats);
        else
            onnx_tensor_ints(value->tensor, decoded->count, decoded->ints);
        value->array = decoded;
    }
    *array = value->array;
cleanup:
    return status;
}

enum status onnx_new_weight(struct onnx_reader *reader, const char *name, const int *dims, int rank, bool trained,
                            int *index)
{
    char unique[NODE_MAX_NAME + 32], text[NODE_MAX_NAME];
    size_t bytes = sizeof(float);
    for (int i = 0; i < rank; i++)
        bytes = size_mul(bytes, (size_t)dims[i]);
    enum status status = onnx_spend(reader, bytes, name);
    if (status != STATUS_OK)
        return status;
    name = onnx_graph_name(name, text);
    snprintf(unique, sizeof unique, "%s", name);
    for (int i = reader->graph->weight_count; graph_find_weight(reader->graph, unique) >= 0; i++)
        snprintf(unique, sizeof unique, "%s.%d", name, i);
    return graph_add_weight(reader->graph, unique, dims, rank, trained, index, reader->err);
}

static bool has_dims(const struct weight *weight, const int *dims, int rank)
{
    for (int i = 0; i < rank; i++)
        if (weight->dims[i] != dims[i])
            return false;
    return weight->rank == rank;
}

/* Whether the weight has this name, or this name and a number. */
static bool is_named(const struct weight *weight, const char *name)
{
    return strncmp(weight->name, name, strlen(name)) == 0;
}

enum status onnx_weight(struct onnx_reader *reader, struct onnx_value *value, const int *dims, int rank, bool trained,
                        const char *role, int sibling, int *index)
{
    enum status status = STATUS_OK;
    struct onnx_array header;
    size_t count = 1;
    char own[ONNX_WEIGHT_NAME], text[NODE_MAX_NAME];
    const char *name = onnx_weight_name(reader, value, role, sibling, own);
    if (value->weight >= 0 && has_dims(&reader->graph->weights[value->weight], dims, rank) &&
        is_named(&reader->graph->weights[value->weight], onnx_graph_name(name, text))) {
        *index = value->weight;
        return onnx_note_other_name(reader, name, role);
    }
    if (value->array)
        header = *value->array;
    else
        TRY(onnx_tensor_header(value->tensor, NULL, &header, reader->err));
    for (int i = 0; i < rank; i++)
        count = size_mul(count, (size_t)dims[i]);
    if (count != header.count || !header.is_float)
        return onnx_refuse(reader, "weight '%.100s' has %zu values, expected %zu floats", value->name, header.count,
                           count);
    const bool parameter = onnx_is_parameter(reader, value, name);
    TRY(onnx_new_weight(reader, name, dims, rank, trained && parameter, index));
    reader->graph->weights[*index].literal = trained && !parameter;
    float *data = reader->graph->weights[*index].data;
    if (value->array)
        memcpy(data, value->array->floats, count * sizeof *data);
    else
        onnx_tensor_floats(value->tensor, count, data);
    value->weight = *index;
    TRY(onnx_note_other_name(reader, name, role));
cleanup:
    return status;
}
