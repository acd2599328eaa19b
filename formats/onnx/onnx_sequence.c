/* Pieces of a value as a sequence, of which SequenceAt takes one: a split, as PyTorch's dynamo exporter writes it where
 * it does not optimise. */
#include "formats/onnx/onnx_reader.h"

#include <string.h>

enum status onnx_read_sequence(struct onnx_reader *reader)
{
    struct onnx_value *value;
    const enum status status = onnx_any_input(reader, 0, &value);
    return status == STATUS_OK ? onnx_defer(reader, &value->layout, "only SequenceAt can read a sequence") : status;
}

/* First and size of piece number `index` of `total` elements; false: there is none. split: one size for all pieces, of
 * which the last may be smaller, or the size of each. */
static bool find_piece(const struct onnx_array *split, int64_t total, int64_t index, int64_t *first, int64_t *size)
{
    const bool each = split->rank > 0;
    const int64_t step = each ? 0 : split->ints[0];
    if (!each && step < 1)
        return false;
    const int64_t count = each ? (int64_t)split->count : 1 + (total - 1) / step;
    index += index < 0 ? count : 0;
    if (index < 0 || index >= count)
        return false;
    *first = each ? 0 : index * step;
    for (int64_t i = 0; each && i < index; i++) {
        if (split->ints[i] < 0 || split->ints[i] > total)
            return false;
        *first += split->ints[i];
    }
    *size = each ? split->ints[index] : step < total - *first ? step : total - *first;
    return *size > 0 && *first <= total && *size <= total - *first;
}

enum status onnx_read_sequence_at(struct onnx_reader *reader)
{
    enum status status = STATUS_OK;
    const Onnx__NodeProto *op = reader->op;
    const struct onnx_value *sequence = onnx_input(reader, 0);
    const struct onnx_array *index, *split;
    struct onnx_value *value;
    int64_t first = 0, size = 0;
    int d;
    const Onnx__NodeProto *maker = onnx_maker(reader, sequence, "SplitToSequence");
    if (!maker)
        return onnx_refuse(reader, "its sequence must come from SplitToSequence");
    TRY(onnx_ints_input(reader, 1, &index));
    if (index->count != 1)
        FAIL(onnx_refuse(reader, "its position must be one number"));
    reader->op = maker;
    TRY(onnx_node_input(reader, 0, &value));
    TRY(onnx_ints_input(reader, 1, &split));
    if (!onnx_find_axis(reader, value, 0, &d))
        FAIL(onnx_refuse(reader, "its axis is out of range, or the batch"));
    if (!find_piece(split, value->layout.dims[d], index->ints[0], &first, &size))
        FAIL(onnx_refuse(reader, "its sizes do not fit"));
    reader->op = op;
    TRY(onnx_emit_piece(reader, value, d, first, size));
cleanup:
    reader->op = op;
    return status;
}
