/* Constants in the order of a node's values, and weights made of them. */
#include "formats/onnx/onnx_names.h"

#include <stdio.h>
#include <string.h>

static float number_at(const struct onnx_array *array, size_t i)
{
    return array->is_float ? array->floats[i] : (float)array->ints[i];
}

/* The dimensions of the constant, aligned from the right: aligned[d] is 1 where it is repeated. False: no fit. */
static bool align(const struct onnx_array *array, const struct onnx_layout *layout, int64_t *aligned)
{
    if (array->rank > layout->rank)
        return false;
    for (int d = 0; d < layout->rank; d++) {
        const int own = d - (layout->rank - array->rank);
        aligned[d] = own < 0 ? 1 : array->dims[own];
        if (aligned[d] != 1 && (d == 0 || aligned[d] != layout->dims[d]))
            return false;
    }
    return true;
}

/* Whether the dimensions along which the constant changes are made of channels alone. */
static bool only_channels(const struct onnx_layout *layout, const int64_t *aligned)
{
    for (int d = 1; d < layout->rank; d++) {
        const int first = onnx_layout_first(layout, d);
        for (int k = 0; aligned[d] != 1 && k < layout->counts[d]; k++)
            if (layout->factors[first + k].axis != ONNX_C)
                return false;
    }
    return true;
}

static bool has_axis(const struct onnx_layout *layout, int d, enum onnx_axis axis)
{
    const int first = onnx_layout_first(layout, d);
    for (int k = 0; k < layout->counts[d]; k++)
        if (layout->factors[first + k].axis == axis)
            return true;
    return false;
}

/* Whether the constant changes along a dimension in which the value is repeated. */
static bool changes_repeats(const struct onnx_layout *layout, const int64_t *aligned)
{
    for (int d = 1; d < layout->rank; d++)
        if (aligned[d] != 1 && has_axis(layout, d, ONNX_REPEAT))
            return true;
    return false;
}

/* Writes the number of every element of the model's value to its place; elements that the constant is repeated for are
 * written again. */
static void fill(const struct onnx_array *array, const struct onnx_layout *layout, const int64_t *aligned,
                 struct shape s, struct onnx_spread *spread)
{
    int64_t index[ONNX_MAX_RANK] = {0}, end[ONNX_MAX_RANK] = {0};
    for (int d = 1; d < layout->rank; d++) /* where neither the constant nor the channel changes, once is enough */
        end[d] = spread->per_channel && aligned[d] == 1 && !has_axis(layout, d, ONNX_C) ? 1 : layout->dims[d];
    for (;;) {
        int place[3];
        size_t from = 0;
        for (int d = 1; d < layout->rank; d++)
            from = from * (size_t)aligned[d] + (size_t)(aligned[d] == 1 ? 0 : index[d]);
        onnx_layout_place(layout, index, place);
        const size_t to = spread->per_channel
                              ? (size_t)place[0]
                              : ((size_t)place[0] * (size_t)s.h + (size_t)place[1]) * (size_t)s.w + (size_t)place[2];
        spread->numbers[to] = number_at(array, from);
        int d = layout->rank - 1;
        while (d > 0 && ++index[d] == end[d])
            index[d--] = 0;
        if (d == 0)
            return;
    }
}

enum status onnx_spread(struct onnx_reader *reader, size_t i, struct onnx_value *value, struct onnx_spread *spread)
{
    enum status status = STATUS_OK;
    const struct onnx_array *array;
    int64_t aligned[ONNX_MAX_RANK];
    TRY(onnx_constant_input(reader, i, &array));
    if (array->count == 0 || !align(array, &value->layout, aligned))
        return onnx_refuse(reader, "the shape of its constant (input %zu) does not fit its value", i);
    if (changes_repeats(&value->layout, aligned))
        TRY(onnx_write_repeats(reader, value));
    if (changes_repeats(&value->layout, aligned))
        return onnx_refuse(reader, "its constant (input %zu) changes along a dimension that an Expand has made", i);
    const struct shape s = onnx_shape(reader, value);
    *spread = (struct onnx_spread){.per_channel = only_channels(&value->layout, aligned), .array_count = array->count};
    spread->count = (size_t)s.c * (spread->per_channel ? 1 : (size_t)s.h * (size_t)s.w);
    struct onnx_array numbers = {.is_float = true, .count = spread->count};
    TRY(onnx_array_alloc(reader, &numbers));
    spread->numbers = numbers.floats;
    if (array->count == 1)
        for (size_t k = 0; k < spread->count; k++)
            spread->numbers[k] = number_at(array, 0);
    else
        fill(array, &value->layout, aligned, s, spread);
    spread->in_order = array->is_float && array->count == spread->count &&
                       memcmp(array->floats, spread->numbers, spread->count * sizeof *spread->numbers) == 0;
cleanup:
    return status;
}

bool onnx_is_parameter(const struct onnx_reader *reader, const struct onnx_value *value, const char *name)
{
    const struct onnx_value *from = value->source ? value->source : value;
    const struct onnx_array *array = value->array; /* what a Constant node makes has one */
    const enum onnx_state state = onnx_state_of(reader, name ? name : from->name);
    if (state != ONNX_UNKNOWN || from->maker < 0)
        return state == ONNX_PARAMETER || state == ONNX_UNKNOWN;
    if (!onnx_maker(reader, from, "Constant") || !array->is_float)
        return false;
    for (size_t i = 1; i < array->count; i++)
        if (array->floats[i] != array->floats[0])
            return true;
    return false;
}

const struct onnx_value *onnx_parameter(const struct onnx_value *value)
{
    if (!value || value->kind != ONNX_CONSTANT)
        return NULL;
    const struct onnx_value *from = value->source ? value->source : value;
    return from->maker < 0 && from->tensor && from->array && from->array->count > 1 ? from : NULL;
}

void onnx_keep_source(struct onnx_reader *reader)
{
    const struct onnx_value *input = onnx_input(reader, 0);
    struct onnx_value *result = onnx_result(reader);
    result->source = input->source ? input->source : input;
}

enum status onnx_derived_weight(struct onnx_reader *reader, const char *suffix, const int *dims, int rank, int *weight)
{
    char name[2 * NODE_MAX_NAME], text[NODE_MAX_NAME];
    const char *output = onnx_graph_name(onnx_output_name(reader), text);
    snprintf(name, sizeof name, "%.*s.%s", NODE_MAX_NAME - 32, output, suffix);
    enum status status = onnx_new_weight(reader, name, dims, rank, false, weight);
    if (status == STATUS_OK)
        reader->graph->weights[*weight].literal = true;
    return status;
}

void onnx_train_weight(struct onnx_reader *reader, int weight)
{
    reader->graph->weights[weight].trained = true;
    reader->graph->weights[weight].literal = false;
}

enum status onnx_uniform_weight(struct onnx_reader *reader, const char *suffix, double number, int c, int *weight)
{
    enum status status = onnx_derived_weight(reader, suffix, &c, 1, weight);
    for (int i = 0; status == STATUS_OK && i < c; i++)
        reader->graph->weights[*weight].data[i] = (float)number;
    return status;
}

/* The weight is the parameter, and is saved in its shape. */
static void save_as(struct weight *weight, const struct onnx_array *array)
{
    bool same = array->rank == weight->rank;
    for (int k = 0; same && k < array->rank; k++)
        same = array->dims[k] == weight->dims[k];
    if (same || array->rank > 4 || array->rank < 1)
        return;
    weight->saved_rank = array->rank;
    for (int k = 0; k < array->rank; k++)
        weight->saved_dims[k] = (int)array->dims[k];
}

enum status onnx_spread_weight(struct onnx_reader *reader, size_t i, const struct onnx_spread *spread,
                               struct shape shape, const char *suffix, bool trained, int sibling, int *weight)
{
    enum status status = STATUS_OK;
    const int dims[3] = {shape.c, shape.h, shape.w}, rank = spread->per_channel ? 1 : 3;
    const struct onnx_value *parameter = spread->in_order ? onnx_parameter(onnx_input(reader, i)) : NULL;
    if (parameter && trained) {
        const bool made_up = onnx_is_made_up(reader, onnx_input(reader, i)); /* then the exporter has shaped it, too */
        struct onnx_value *from = made_up ? onnx_input(reader, i) : onnx_find(reader, parameter->name);
        const char *role = strcmp(suffix, "shift") == 0 || strcmp(suffix, "bias") == 0 ? "bias" : "weight";
        const char *leaf = strrchr(parameter->name, '.'); /* of the parameter that this one is joined with: gamma */
        const bool joined = made_up && leaf && leaf[1];
        role = joined ? leaf + 1 : role;
        TRY(onnx_weight(reader, from, dims, rank, true, role, sibling, weight));
        if (!made_up || joined)
            save_as(&reader->graph->weights[*weight], parameter->array);
        return STATUS_OK;
    }
    const bool is_parameter = onnx_is_parameter(reader, onnx_input(reader, i), NULL);
    TRY(onnx_derived_weight(reader, suffix, dims, rank, weight));
    if (trained && is_parameter)
        onnx_train_weight(reader, *weight);
    memcpy(reader->graph->weights[*weight].data, spread->numbers, spread->count * sizeof *spread->numbers);
cleanup:
    return status;
}
