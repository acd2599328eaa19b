/* Operators that change how the model sees a value: they change its layout, and only flattening makes a node. */
#include "formats/onnx/onnx_reader.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* Cast, too: a computed value can be cast between float types only, because the graph computes in float. */
enum status onnx_read_identity(struct onnx_reader *reader)
{
    struct onnx_value *value;
    enum status status = onnx_any_input(reader, 0, &value);
    if (status != STATUS_OK)
        return status;
    const int64_t to = onnx_attribute_int(reader, "to", ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT);
    if (strcmp(reader->op->op_type, "Cast") == 0 && to != ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT &&
        to != ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16 && to != ONNX__TENSOR_PROTO__DATA_TYPE__BFLOAT16 &&
        to != ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE)
        return onnx_refuse(reader, "only casts between float types are supported");
    if (strcmp(reader->op->op_type, "CastLike") == 0 && onnx_input(reader, 1) &&
        onnx_input(reader, 1)->kind == ONNX_CONSTANT) {
        const struct onnx_array *like;
        status = onnx_constant_input(reader, 1, &like);
        if (status != STATUS_OK || !like->is_float)
            return status != STATUS_OK ? status : onnx_refuse(reader, "only casts between float types are supported");
    }
    onnx_alias(reader, value, &value->layout);
    return STATUS_OK;
}

/* ---- flattening ---- */

/* Elements of a sample, as the model sees them. */
static size_t features_of(const struct onnx_layout *layout)
{
    size_t count = 1;
    for (int d = 1; d < layout->rank; d++)
        count = size_mul(count, (size_t)layout->dims[d]);
    return count;
}

/* order[i]: which element of the flattened node is element i of the flattened value. False: it is element i. */
static bool flat_order(const struct onnx_layout *layout, struct shape s, int *order, int count)
{
    int64_t index[ONNX_MAX_RANK] = {0};
    bool moves = false;
    for (int i = 0; i < count; i++) {
        int place[3];
        onnx_layout_place(layout, index, place);
        order[i] = (place[0] * s.h + place[1]) * s.w + place[2];
        moves = moves || order[i] != i;
        for (int d = layout->rank - 1; d > 0 && ++index[d] == layout->dims[d]; d--)
            index[d] = 0;
    }
    return moves || count != s.c * s.h * s.w;
}

/* The result is the value as [batch, features]. */
static enum status emit_flat(struct onnx_reader *reader, const struct onnx_value *value)
{
    enum status status = STATUS_OK;
    struct node node = node_default(OP_FLATTEN);
    const size_t count = features_of(&value->layout);
    const struct onnx_layout layout = onnx_layout_vector((int)count);
    int flat, *order = NULL;
    if (value->kind == ONNX_DEFERRED) {
        struct onnx_layout seen = value->layout;
        const int64_t dims = (int64_t)count;
        if (!onnx_layout_reshape(&seen, &dims, 1))
            return onnx_refuse(reader, "flattening this value is not supported");
        onnx_alias(reader, value, &seen);
        return STATUS_OK;
    }
    const struct shape s = onnx_shape(reader, value);
    if (count > ((size_t)1 << 26))
        return onnx_refuse(reader, "%zu features are too many", count);
    order = malloc((count + 1) * sizeof *order);
    if (!order)
        return error_no_memory(reader->err, count * sizeof *order, "a list of features");
    if (flat_order(&value->layout, s, order, (int)count)) {
        TRY(onnx_spend(reader, count * sizeof *order, onnx_output_name(reader))); /* the graph's copy */
        TRY(onnx_emit_helper(reader, &node, "flat", &value->node, 1, &flat));
        TRY(onnx_emit_select(reader, flat, order, (int)count, &layout));
    } else {
        TRY(onnx_emit(reader, &node, &value->node, 1, &layout));
    }
    if (s.h > 1 || s.w > 1)
        onnx_result(reader)->whole = value;
cleanup:
    free(order);
    return status;
}

enum status onnx_read_flatten(struct onnx_reader *reader)
{
    struct onnx_value *value;
    enum status status = onnx_any_input(reader, 0, &value);
    if (status != STATUS_OK)
        return status;
    int64_t axis = onnx_attribute_int(reader, "axis", 1);
    if (axis != 1 && axis != 1 - value->layout.rank)
        return onnx_refuse(reader, "axis must be 1");
    return emit_flat(reader, value);
}

/* ---- reshape ---- */

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

/* The target of a Reshape without its batch, whose product is the value's number of features. */
static enum status target_dims(struct onnx_reader *reader, const struct onnx_layout *layout,
                               const struct onnx_array *dims, int64_t *target)
{
    const size_t total = features_of(layout);
    size_t known = 1;
    int open = -1;
    if (dims->count < 2 || dims->count > ONNX_MAX_RANK || !keeps_batch(reader, dims))
        return onnx_refuse(reader, "its new shape must begin with the batch, which must not be split or joined with "
                                   "others");
    for (size_t i = 1; i < dims->count; i++) {
        int64_t size = dims->ints[i];
        if (size == 0 && (int)i < layout->rank)
            size = layout->dims[i];
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
        return onnx_refuse(reader, "its new shape has a different number of elements, or joins the batch with others");
    return STATUS_OK;
}

enum status onnx_reshape_samples(struct onnx_reader *reader, const struct onnx_value *value, const int64_t *dims,
                                 int rank)
{
    if (rank == 1)
        return emit_flat(reader, value);
    const struct onnx_value *from = value->whole ? value->whole : value;
    struct onnx_layout layout = from->layout;
    if (!onnx_layout_reshape(&layout, dims, rank))
        return onnx_refuse(reader, "its new dimensions cut height, width or channels into pieces that do not fit");
    onnx_alias(reader, from, &layout);
    if (from != value) /* readers of the other value count, too */
        onnx_result(reader)->alias = NULL;
    return STATUS_OK;
}

/* Everything in one row, samples behind each other: what PyTorch's dynamo exporter makes of a tensor that it takes
 * pieces of by their places in memory. */
static enum status defer_row(struct onnx_reader *reader, const struct onnx_value *value)
{
    const struct onnx_layout row = {.rank = 1, .dims = {ONNX_BATCH}};
    enum status status = onnx_defer(reader, &row,
                                    "its new shape must begin with the batch, which must not be split or joined with "
                                    "others");
    if (status == STATUS_OK)
        onnx_result(reader)->whole = value;
    return status;
}

enum status onnx_read_reshape(struct onnx_reader *reader)
{
    enum status status = STATUS_OK;
    struct onnx_value *value;
    const struct onnx_array *dims;
    int64_t target[ONNX_MAX_RANK];
    TRY(onnx_any_input(reader, 0, &value));
    TRY(onnx_constant_input(reader, 1, &dims));
    if (dims->is_float)
        return onnx_refuse(reader, "its shape must be integers");
    if (value->kind == ONNX_NODE && dims->count == 1 && dims->ints[0] == -1)
        return defer_row(reader, value);
    TRY(target_dims(reader, &value->layout, dims, target));
    TRY(onnx_reshape_samples(reader, value, target, (int)dims->count - 1));
cleanup:
    return status;
}

/* The shape of a computed value as a constant, with ONNX_BATCH for the batch. */
enum status onnx_read_shape(struct onnx_reader *reader)
{
    enum status status = STATUS_OK;
    struct onnx_value *value;
    TRY(onnx_any_input(reader, 0, &value));
    const int rank = value->layout.rank;
    int64_t start = onnx_attribute_int(reader, "start", 0), end = onnx_attribute_int(reader, "end", rank);
    start += start < 0 ? rank : 0;
    end += end < 0 ? rank : 0;
    end = end > rank ? rank : end;
    if (start < 0 || start > end)
        return onnx_refuse(reader, "start or end is out of range");
    struct onnx_array *array = arena_alloc(&reader->arena, 1, sizeof *array);
    if (!array)
        return error_no_memory(reader->err, sizeof *array, "a shape");
    *array = (struct onnx_array){.rank = 1, .dims = {end - start}, .count = (size_t)(end - start)};
    TRY(onnx_array_alloc(reader, array));
    memcpy(array->ints, value->layout.dims + start, array->count * sizeof *array->ints);
    onnx_emit_constant(reader, array);
cleanup:
    return status;
}

/* ---- dimensions of 1 ---- */

/* A value without height and width is flattened, as [batch, c, 1, 1] is. */
static enum status emit_squeezed(struct onnx_reader *reader, const struct onnx_value *value,
                                 const struct onnx_layout *layout)
{
    struct shape s = value->kind == ONNX_NODE ? onnx_shape(reader, value) : (struct shape){1, 2, 2};
    if (layout->rank == 2 && value->layout.rank == 4 && s.h == 1 && s.w == 1)
        return emit_flat(reader, value);
    onnx_alias(reader, value, layout);
    return STATUS_OK;
}

enum status onnx_read_squeeze(struct onnx_reader *reader)
{
    enum status status = STATUS_OK;
    struct onnx_value *value;
    const int64_t *axes;
    size_t count;
    bool drop[ONNX_MAX_RANK];
    TRY(onnx_any_input(reader, 0, &value));
    TRY(onnx_attribute_or_input(reader, "axes", 1, &axes, &count));
    struct onnx_layout layout = value->layout;
    if (!onnx_mark_axes(axes, count, layout.rank, drop))
        return onnx_refuse(reader, "its axes are out of range");
    for (int d = 1; !axes && d < layout.rank; d++)
        drop[d] = layout.dims[d] == 1;
    if (drop[0] || (!axes && reader->batch == 1))
        return onnx_refuse(reader, "the batch cannot be dropped");
    for (int d = layout.rank - 1; d > 0; d--) {
        if (drop[d] && layout.dims[d] != 1)
            return onnx_refuse(reader, "only dimensions of 1 can be dropped");
        if (drop[d])
            onnx_layout_remove(&layout, d);
    }
    if (layout.rank < 2)
        return onnx_refuse(reader, "it leaves nothing but the batch");
    TRY(emit_squeezed(reader, value, &layout));
cleanup:
    return status;
}

enum status onnx_read_unsqueeze(struct onnx_reader *reader)
{
    enum status status = STATUS_OK;
    struct onnx_value *value;
    const int64_t *axes;
    size_t count;
    bool added[ONNX_MAX_RANK];
    TRY(onnx_any_input(reader, 0, &value));
    TRY(onnx_attribute_or_input(reader, "axes", 1, &axes, &count));
    struct onnx_layout layout = value->layout;
    const int rank = layout.rank + (int)(count > ONNX_MAX_RANK ? ONNX_MAX_RANK : count);
    if (rank > ONNX_MAX_RANK)
        return onnx_refuse(reader, "more than %d dimensions", ONNX_MAX_RANK);
    if (!onnx_mark_axes(axes, count, rank, added) || added[0])
        return onnx_refuse(reader, "its axes are out of range, or the batch would not be the first dimension");
    for (int d = 1; d < rank; d++)
        if (added[d] && !onnx_layout_insert(&layout, d))
            return onnx_refuse(reader, "its axes are out of range");
    onnx_alias(reader, value, &layout);
cleanup:
    return status;
}

/* ---- transpose, expand ---- */
enum status onnx_read_transpose(struct onnx_reader *reader)
{
    struct onnx_value *value;
    bool used[ONNX_MAX_RANK];
    int order[ONNX_MAX_RANK];
    enum status status = onnx_any_input(reader, 0, &value);
    if (status != STATUS_OK)
        return status;
    const Onnx__AttributeProto *perm = onnx_attribute(reader, "perm");
    struct onnx_layout layout = value->layout;
    if (perm && (perm->n_ints != (size_t)layout.rank || !onnx_mark_axes(perm->ints, perm->n_ints, layout.rank, used)))
        return onnx_refuse(reader, "its perm must be a permutation of %d axes", layout.rank);
    for (int d = 0; d < layout.rank; d++)
        order[d] = !perm ? layout.rank - 1 - d : (int)(perm->ints[d] < 0 ? perm->ints[d] + layout.rank : perm->ints[d]);
    if (!onnx_layout_permute(&layout, order))
        return onnx_refuse(reader, "the batch must stay the first dimension");
    onnx_alias(reader, value, &layout);
    return STATUS_OK;
}

/* Dimensions of 1 are repeated when a value that needs them is read. */
enum status onnx_read_expand(struct onnx_reader *reader)
{
    enum status status = STATUS_OK;
    struct onnx_value *value;
    const struct onnx_array *dims;
    TRY(onnx_any_input(reader, 0, &value));
    TRY(onnx_constant_input(reader, 1, &dims));
    struct onnx_layout layout = value->layout;
    if (dims->is_float || dims->count > (size_t)layout.rank)
        return onnx_refuse(reader, "its new shape must have the batch as its first dimension");
    for (size_t k = 1; k <= dims->count; k++) {
        const int d = layout.rank - (int)k;
        const int64_t size = dims->ints[dims->count - k];
        if (size == 1 || size == layout.dims[d] || (d == 0 && size == reader->batch))
            continue;
        if (d == 0 || layout.dims[d] != 1 || size < 1 || size > INT_MAX ||
            !onnx_layout_set(&layout, d, (struct onnx_factor){ONNX_REPEAT, (int)size, 1}))
            return onnx_refuse(reader, "its new shape does not fit");
    }
    onnx_alias(reader, value, &layout);
cleanup:
    return status;
}
