/* Numbers that are constant but for the size of the batch, such as Range(0, batch). Exporters compute with them where
 * each sample's place in memory counts: PyTorch's dynamo exporter writes the mean of a map with channels last as a row
 * of all samples, from which Gather takes element k of sample n at n * stride + k.
 *
 * They are folded twice, as if the batch were 1 and as if it were 2. What uses them checks that the second sample is
 * as the first, one stride further; what holds for one step holds for all, as these numbers are linear in the batch. */
#include "formats/onnx/onnx_reader.h"

#include <stdlib.h>
#include <string.h>

enum { BATCHES = 2 };

static bool has_batch(const struct onnx_array *array)
{
    for (size_t i = 0; array && !array->is_float && i < array->count; i++)
        if (array->ints[i] == ONNX_BATCH)
            return true;
    return false;
}

/* Only Range makes such numbers: elsewhere the size of the batch is a dimension, which ONNX_BATCH stands for. */
bool onnx_is_counted(const struct onnx_reader *reader)
{
    const bool range = strcmp(reader->op->op_type, "Range") == 0;
    bool counted = false;
    for (size_t i = 0; i < reader->op->n_input; i++) {
        const struct onnx_value *value = onnx_input(reader, i);
        if (value && value->kind != ONNX_CONSTANT && value->kind != ONNX_COUNTED)
            return false;
        counted = counted || (value && (value->kind == ONNX_COUNTED || (range && has_batch(value->array))));
    }
    return counted;
}

/* A copy with the batch as a number. */
static enum status with_batch(struct onnx_reader *reader, const struct onnx_array *from, int64_t batch,
                              struct onnx_array **to)
{
    enum status status = STATUS_OK;
    *to = arena_alloc(&reader->arena, 1, sizeof **to);
    if (!*to)
        return error_no_memory(reader->err, sizeof **to, "a constant");
    **to = onnx_without_data(from);
    TRY(onnx_array_alloc(reader, *to));
    for (size_t i = 0; i < from->count; i++)
        (*to)->ints[i] = from->ints[i] == ONNX_BATCH ? batch : from->ints[i];
cleanup:
    return status;
}

enum status onnx_fold_counted(struct onnx_reader *reader, onnx_operator *fold)
{
    enum { MAX_INPUTS = 8 };
    enum status status = STATUS_OK;
    struct onnx_value *inputs[MAX_INPUTS], kept[MAX_INPUTS];
    struct onnx_array *results[BATCHES] = {NULL, NULL};
    const size_t count = reader->op->n_input;
    if (count > MAX_INPUTS)
        return onnx_refuse(reader, "more than %d inputs that depend on the batch size", MAX_INPUTS);
    for (size_t i = 0; i < count; i++) {
        inputs[i] = onnx_input(reader, i);
        if (inputs[i])
            kept[i] = *inputs[i];
    }
    struct onnx_value *result = onnx_result(reader);
    for (int b = 0; b < BATCHES && status == STATUS_OK; b++) {
        for (size_t i = 0; i < count && status == STATUS_OK; i++) {
            if (inputs[i] && kept[i].kind == ONNX_COUNTED) {
                inputs[i]->kind = ONNX_CONSTANT;
                inputs[i]->array = kept[i].counted[b];
            } else if (inputs[i] && has_batch(kept[i].array)) {
                status = with_batch(reader, kept[i].array, b + 1, &inputs[i]->array);
            }
        }
        const struct onnx_value before = *result;
        if (status == STATUS_OK)
            status = fold(reader);
        results[b] = result->array;
        *result = before;
        for (size_t i = 0; i < count; i++)
            if (inputs[i])
                *inputs[i] = kept[i];
    }
    if (status == STATUS_OK) {
        result->kind = ONNX_COUNTED;
        memcpy(result->counted, results, sizeof results);
    }
    return status;
}

enum status onnx_read_strided(struct onnx_reader *reader)
{
    const struct onnx_value *row = onnx_input(reader, 0), *value = row ? row->whole : NULL;
    const struct onnx_array *one = onnx_input(reader, 1)->counted[0], *two = onnx_input(reader, 1)->counted[1];
    if (!row || row->kind != ONNX_DEFERRED || !value || onnx_attribute_int(reader, "axis", 0) != 0)
        return onnx_refuse(reader, "its indices depend on the batch size");
    size_t features = 1;
    for (int d = 1; d < value->layout.rank; d++)
        features = size_mul(features, (size_t)value->layout.dims[d]);
    bool same = !one->is_float && one->rank > 1 && one->rank == two->rank && one->dims[0] == 1 && two->dims[0] == 2 &&
                one->count == features && two->count == 2 * features;
    for (size_t i = 0; same && i < features; i++)
        same = one->ints[i] == (int64_t)i && two->ints[i] == (int64_t)i &&
               two->ints[features + i] == (int64_t)(features + i);
    if (!same)
        return onnx_refuse(reader, "it takes elements from other places than those of whole samples in their order");
    return onnx_reshape_samples(reader, value, one->dims + 1, one->rank - 1);
}
