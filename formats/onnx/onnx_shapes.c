/* Operators that change the shape of a value, and padding: what exporters write around a network's layers. */
#include "formats/onnx/onnx_reader.h"

#include <limits.h>
#include <string.h>

static size_t features(struct shape s)
{
    return (size_t)s.c * (size_t)s.h * (size_t)s.w;
}

static bool is_flat(struct shape s)
{
    return s.h == 1 && s.w == 1;
}

/* Input 0, in any layout. */
static enum status any_input(struct onnx_reader *reader, const struct onnx_value **value)
{
    *value = onnx_input(reader, 0);
    return *value && (*value)->kind == ONNX_NODE ? STATUS_OK
                                                 : onnx_refuse(reader, "its input must be a computed value");
}

/* Bit k of *set: axis k is among axes. False if one is out of range. */
static bool axis_set(const int64_t *axes, size_t count, int rank, unsigned *set)
{
    *set = 0;
    for (size_t i = 0; i < count; i++) {
        int64_t axis = axes[i] < 0 ? axes[i] + rank : axes[i];
        if (axis < 0 || axis >= rank)
            return false;
        *set |= 1u << axis;
    }
    return true;
}

/* The input as [batch, features]. */
static enum status emit_flat(struct onnx_reader *reader, const struct onnx_value *value)
{
    struct node node = node_default(OP_FLATTEN);
    if (value->channels_last && !is_flat(onnx_shape(reader, value)))
        return onnx_refuse(reader, "flattening a value with channels last is not supported");
    return onnx_emit(reader, &node, &value, 1, 2);
}

enum status onnx_read_flatten(struct onnx_reader *reader)
{
    const struct onnx_value *value;
    enum status status = any_input(reader, &value);
    if (status != STATUS_OK)
        return status;
    int64_t axis = onnx_attribute_int(reader, "axis", 1);
    if (axis != 1 && axis != 1 - value->rank)
        return onnx_refuse(reader, "axis must be 1");
    return emit_flat(reader, value);
}

/* Whether a Reshape's dims keep the batch as the first: 0, -1, the batch itself or its declared size; or 1, which
 * exporters write behind a dynamic batch when their example had one sample. The other dims tell: they must hold a whole
 * sample. */
static bool keeps_batch(const struct onnx_reader *reader, const struct onnx_array *dims)
{
    int64_t first = dims->ints[0];
    bool zero_copies = !onnx_attribute_int(reader, "allowzero", 0);
    return first == ONNX_BATCH || first == -1 || (first == 0 && zero_copies) || first == 1 ||
           (first > 0 && first == reader->batch);
}

/* The target of a Reshape without its batch: at most 3 dims, whose product is the value's number of features. */
static enum status target_dims(struct onnx_reader *reader, const struct onnx_value *value,
                               const struct onnx_array *dims, int64_t *target)
{
    int64_t old[4];
    size_t total = features(onnx_shape(reader, value)), known = 1;
    int open = -1;
    onnx_dims(reader, value, old);
    if (dims->count < 2 || dims->count > 4 || !keeps_batch(reader, dims))
        return onnx_refuse(reader, "its new shape must be [batch, features] or [batch, c, h, w]");
    for (size_t i = 1; i < dims->count; i++) {
        int64_t size = dims->ints[i];
        if (size == 0 && (int)i < value->rank)
            size = old[i];
        if (size == -1 && open < 0 && dims->ints[0] != -1)
            open = (int)i - 1;
        else if (size < 1)
            return onnx_refuse(reader, "its new shape is not valid");
        else
            known = size_mul(known, (size_t)size);
        target[i - 1] = size;
    }
    if (open >= 0)
        target[open] = (int64_t)(total / known);
    if (size_mul(known, open >= 0 ? (size_t)target[open] : 1) != total)
        return onnx_refuse(reader, "its new shape has a different number of elements");
    return STATUS_OK;
}

enum status onnx_read_reshape(struct onnx_reader *reader)
{
    enum status status = STATUS_OK;
    const struct onnx_value *value;
    const struct onnx_array *dims;
    int64_t target[3];
    TRY(any_input(reader, &value));
    TRY(onnx_constant_input(reader, 1, &dims));
    if (dims->is_float)
        return onnx_refuse(reader, "its shape must be integers");
    TRY(target_dims(reader, value, dims, target));
    struct shape s = onnx_shape(reader, value);
    if (dims->count == 2)
        return emit_flat(reader, value);
    if (dims->count == 4 && !value->channels_last && target[0] == s.c && target[1] == s.h && target[2] == s.w)
        return onnx_alias(reader, value, 4, false);
    status = onnx_refuse(reader, "only flattening and adding dimensions of 1 are supported");
cleanup:
    return status;
}

/* The shape of a computed value as a constant, with ONNX_BATCH for the batch. */
enum status onnx_read_shape(struct onnx_reader *reader)
{
    enum status status = STATUS_OK;
    const struct onnx_value *value;
    int64_t dims[4];
    TRY(any_input(reader, &value));
    int64_t start = onnx_attribute_int(reader, "start", 0), end = onnx_attribute_int(reader, "end", value->rank);
    start += start < 0 ? value->rank : 0;
    end += end < 0 ? value->rank : 0;
    if (start < 0 || end > value->rank || start > end)
        return onnx_refuse(reader, "start or end is out of range");
    struct onnx_array *array = arena_alloc(&reader->arena, 1, sizeof *array);
    if (!array)
        return error_no_memory(reader->err, sizeof *array, "a shape");
    *array = (struct onnx_array){.rank = 1, .dims = {end - start}, .count = (size_t)(end - start)};
    TRY(onnx_array_alloc(reader, array));
    onnx_dims(reader, value, dims);
    memcpy(array->ints, dims + start, array->count * sizeof *dims);
    TRY(onnx_emit_constant(reader, array));
cleanup:
    return status;
}

/* The axes of height and width of a value of rank 4, as a set of bits. */
static unsigned spatial_axes(const struct onnx_value *value)
{
    return value->channels_last ? 1u << 1 | 1u << 2 : 1u << 2 | 1u << 3;
}

enum status onnx_read_squeeze(struct onnx_reader *reader)
{
    enum status status = STATUS_OK;
    const struct onnx_value *value;
    const int64_t *axes;
    size_t count;
    unsigned set;
    TRY(any_input(reader, &value));
    TRY(onnx_attribute_or_input(reader, "axes", 1, &axes, &count));
    if (!axis_set(axes, count, value->rank, &set))
        return onnx_refuse(reader, "its axes are out of range");
    if (!axes && value->rank == 4 && reader->batch != 1 && onnx_shape(reader, value).c > 1)
        set = spatial_axes(value);
    if (value->rank != 4 || set != spatial_axes(value) || !is_flat(onnx_shape(reader, value)))
        return onnx_refuse(reader, "only height and width of 1 can be dropped");
    TRY(emit_flat(reader, value));
cleanup:
    return status;
}

enum status onnx_read_unsqueeze(struct onnx_reader *reader)
{
    enum status status = STATUS_OK;
    const struct onnx_value *value;
    const int64_t *axes;
    size_t count;
    unsigned set;
    TRY(onnx_node_input(reader, 0, &value));
    TRY(onnx_attribute_or_input(reader, "axes", 1, &axes, &count));
    if (value->rank != 2 || count != 2 || !axis_set(axes, count, 4, &set) || set != (1u << 2 | 1u << 3))
        return onnx_refuse(reader, "only [batch, c] to [batch, c, 1, 1] is supported");
    TRY(onnx_alias(reader, value, 4, false));
cleanup:
    return status;
}

/* Between channels first and last. The graph has them first; only the layout that the model sees is noted. */
enum status onnx_read_transpose(struct onnx_reader *reader)
{
    static const int64_t same[4] = {0, 1, 2, 3}, to_first[4] = {0, 3, 1, 2}, to_last[4] = {0, 2, 3, 1};
    const struct onnx_value *value;
    enum status status = any_input(reader, &value);
    if (status != STATUS_OK)
        return status;
    const Onnx__AttributeProto *perm = onnx_attribute(reader, "perm");
    if (!perm || perm->n_ints != (size_t)value->rank)
        return onnx_refuse(reader, "its perm must have %d axes", value->rank);
    if (memcmp(perm->ints, same, perm->n_ints * sizeof *same) == 0)
        return onnx_alias(reader, value, value->rank, value->channels_last);
    bool last = value->rank == 4 && memcmp(perm->ints, to_last, sizeof to_last) == 0;
    bool first = value->rank == 4 && memcmp(perm->ints, to_first, sizeof to_first) == 0;
    if ((last && !value->channels_last) || (first && value->channels_last))
        return onnx_alias(reader, value, 4, last);
    return onnx_refuse(reader, "only transposing between channels first and last is supported");
}

enum status onnx_read_reduce_mean(struct onnx_reader *reader)
{
    enum status status = STATUS_OK;
    struct node node = node_default(OP_GLOBAL_AVERAGE_POOL);
    const struct onnx_value *value;
    const int64_t *axes;
    size_t count;
    unsigned set;
    TRY(any_input(reader, &value));
    TRY(onnx_attribute_or_input(reader, "axes", 1, &axes, &count));
    bool keep = onnx_attribute_int(reader, "keepdims", 1) != 0;
    if (value->rank != 4 || !axis_set(axes, count, 4, &set) || set != spatial_axes(value) ||
        (value->channels_last && keep))
        return onnx_refuse(reader, "only the mean over height and width is supported");
    TRY(onnx_emit(reader, &node, &value, 1, keep ? 4 : 2));
cleanup:
    return status;
}

enum status onnx_read_pad(struct onnx_reader *reader)
{
    enum status status = STATUS_OK;
    struct node node = node_default(OP_PAD);
    const struct onnx_value *value;
    const int64_t *pads, *axes;
    int64_t all[8] = {0}; /* the start of every axis, then the end of every axis */
    size_t count, axis_count;
    double fill = onnx_attribute_float(reader, "value", 0);
    TRY(onnx_node_input(reader, 0, &value));
    TRY(onnx_attribute_or_input(reader, "pads", 1, &pads, &count));
    TRY(onnx_number_input(reader, 2, &fill));
    TRY(onnx_attribute_or_input(reader, "axes", 3, &axes, &axis_count));
    if (fill != 0 || (onnx_attribute(reader, "mode") && !onnx_attribute_is(reader, "mode", "constant")))
        return onnx_refuse(reader, "only padding with zeros is supported");
    axis_count = axes ? axis_count : 4;
    if (value->rank != 4 || axis_count > 4 || count != 2 * axis_count)
        return onnx_refuse(reader, "its input must be [batch, c, h, w]");
    for (size_t i = 0; i < axis_count; i++) {
        int64_t axis = !axes ? (int64_t)i : axes[i] < 0 ? axes[i] + 4 : axes[i];
        if (axis < 0 || axis > 3)
            return onnx_refuse(reader, "its axes are out of range");
        all[axis] = pads[i];
        all[axis + 4] = pads[i + axis_count];
    }
    for (int i = 0; i < 8; i++)
        if (all[i] < 0 || all[i] > INT_MAX || (i % 4 < 2 && all[i] != 0))
            return onnx_refuse(reader, "only height and width can be padded, and not by negative amounts");
    node.pad_top = (int)all[2];
    node.pad_left = (int)all[3];
    node.pad_bottom = (int)all[6];
    node.pad_right = (int)all[7];
    TRY(onnx_emit(reader, &node, &value, 1, 4));
cleanup:
    return status;
}
