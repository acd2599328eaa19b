/* Operators that rearrange constants: join, cut, transpose, reshape. */
#include "formats/onnx/onnx_reader.h"

#include <string.h>

/* A negative axis counts from the end; false if there is no such axis. */
static bool normalise_axis(int64_t axis, int rank, int *out)
{
    if (axis < -rank || axis >= rank)
        return false;
    *out = (int)(axis < 0 ? axis + rank : axis);
    return true;
}

/* Elements before, along and after an axis: an array is [outer, extent, inner]. */
struct axis_view {
    size_t outer, extent, inner;
};

static struct axis_view view_axis(const struct onnx_array *array, int axis)
{
    struct axis_view view = {1, array->rank ? (size_t)array->dims[axis] : 1, 1};
    for (int i = 0; i < array->rank; i++)
        *(i < axis ? &view.outer : &view.inner) *= i == axis ? 1 : (size_t)array->dims[i];
    return view;
}

/* Slices of the data along an axis; indices of any shape take that axis's place. */
enum status onnx_fold_gather(struct onnx_reader *reader)
{
    enum status status = STATUS_OK;
    const struct onnx_array *data, *indices;
    struct onnx_array *out, like;
    int axis;
    TRY(onnx_constant_input(reader, 0, &data));
    TRY(onnx_ints_input(reader, 1, &indices));
    if (data->count == 0)
        return onnx_refuse(reader, "its input is empty");
    if (data->rank == 0 || !normalise_axis(onnx_attribute_int(reader, "axis", 0), data->rank, &axis))
        return onnx_refuse(reader, "its axis is out of range");
    if (data->rank - 1 + indices->rank > ONNX_MAX_RANK)
        return onnx_refuse(reader, "more than %d dimensions", ONNX_MAX_RANK);
    const struct axis_view view = view_axis(data, axis);
    like = onnx_without_data(data);
    like.rank = data->rank - 1 + indices->rank;
    memcpy(like.dims + axis, indices->dims, (size_t)indices->rank * sizeof *like.dims);
    memcpy(like.dims + axis + indices->rank, data->dims + axis + 1,
           (size_t)(data->rank - axis - 1) * sizeof *like.dims);
    like.count = size_mul(size_mul(view.outer, indices->count), view.inner);
    TRY(onnx_emit_like(reader, &like, &out));
    const size_t bytes = view.inner * onnx_element_size(data);
    char *to = onnx_array_data(out);
    for (size_t o = 0; o < view.outer; o++)
        for (size_t i = 0; i < indices->count; i++, to += bytes) {
            const int64_t index = indices->ints[i] < 0 ? indices->ints[i] + (int64_t)view.extent : indices->ints[i];
            if (index < 0 || index >= (int64_t)view.extent)
                return onnx_refuse(reader, "an index is out of range");
            memcpy(to, (char *)onnx_array_data(data) + (o * view.extent + (size_t)index) * bytes, bytes);
        }
cleanup:
    return status;
}

enum status onnx_fold_concat(struct onnx_reader *reader)
{
    enum status status = STATUS_OK;
    const struct onnx_array *first, *in;
    struct onnx_array *out, like;
    int axis;
    TRY(onnx_constant_input(reader, 0, &first));
    like = onnx_without_data(first);
    if (!normalise_axis(onnx_attribute_int(reader, "axis", 0), first->rank, &axis))
        return onnx_refuse(reader, "its axis is out of range");
    if (first->rank > 1 && first->count == 0) /* an empty vector may be joined */
        return onnx_refuse(reader, "its input is empty");
    for (size_t i = 1; i < reader->op->n_input; i++) {
        TRY(onnx_constant_input(reader, i, &in));
        bool fits = in->rank == first->rank && in->is_float == first->is_float && (in->rank == 1 || in->count > 0);
        for (int k = 0; fits && k < in->rank; k++)
            fits = k == axis || in->dims[k] == first->dims[k];
        if (!fits)
            return onnx_refuse(reader, "the shapes or types of its constants do not fit");
        like.dims[axis] += in->dims[axis];
        like.count += in->count;
    }
    TRY(onnx_emit_like(reader, &like, &out));
    char *at = onnx_array_data(out);
    for (size_t o = 0, outer = view_axis(first, axis).outer; o < outer; o++)
        for (size_t i = 0; i < reader->op->n_input; i++) {
            TRY(onnx_constant_input(reader, i, &in));
            const size_t bytes = in->count / outer * onnx_element_size(in);
            memcpy(at, (char *)onnx_array_data(in) + o * bytes, bytes);
            at += bytes;
        }
cleanup:
    return status;
}

/* Shape and Size of a constant. */
enum status onnx_fold_shape(struct onnx_reader *reader)
{
    enum status status = STATUS_OK;
    const struct onnx_array *in;
    struct onnx_array *out, like = {.count = 1};
    const bool is_shape = strcmp(reader->op->op_type, "Shape") == 0;
    TRY(onnx_constant_input(reader, 0, &in));
    int64_t start = onnx_attribute_int(reader, "start", 0), end = onnx_attribute_int(reader, "end", in->rank);
    start += start < 0 ? in->rank : 0;
    end += end < 0 ? in->rank : 0;
    if (start < 0 || end > in->rank || start > end)
        return onnx_refuse(reader, "start or end is out of range");
    if (is_shape)
        like = (struct onnx_array){.rank = 1, .dims = {end - start}, .count = (size_t)(end - start)};
    TRY(onnx_emit_like(reader, &like, &out));
    if (is_shape)
        memcpy(out->ints, in->dims + start, out->count * sizeof *out->ints);
    else
        out->ints[0] = (int64_t)in->count;
cleanup:
    return status;
}

enum status onnx_fold_reshape(struct onnx_reader *reader)
{
    enum status status = STATUS_OK;
    const struct onnx_array *in, *dims;
    struct onnx_array *out, like;
    int open = -1;
    size_t known = 1;
    TRY(onnx_constant_input(reader, 0, &in));
    TRY(onnx_ints_input(reader, 1, &dims));
    like = *in;
    if (dims->count > ONNX_MAX_RANK)
        return onnx_refuse(reader, "more than %d dimensions", ONNX_MAX_RANK);
    like.rank = (int)dims->count;
    for (int i = 0; i < like.rank; i++) {
        like.dims[i] = dims->ints[i] == 0 && i < in->rank ? in->dims[i] : dims->ints[i];
        if (like.dims[i] == -1 && open < 0)
            open = i;
        else if (like.dims[i] < 0)
            return onnx_refuse(reader, "a dimension is negative");
        else
            known = size_mul(known, (size_t)like.dims[i]);
    }
    if (open >= 0)
        like.dims[open] = known ? (int64_t)(in->count / known) : 0;
    if (size_mul(known, open >= 0 ? (size_t)like.dims[open] : 1) != in->count)
        return onnx_refuse(reader, "the new shape has a different number of elements");
    TRY(onnx_emit_like(reader, &like, &out));
    onnx_keep_source(reader);
cleanup:
    return status;
}

bool onnx_mark_axes(const int64_t *axes, size_t count, int rank, bool *marks)
{
    memset(marks, 0, ONNX_MAX_RANK * sizeof *marks);
    for (size_t i = 0; i < count; i++) {
        int axis;
        if (!normalise_axis(axes[i], rank, &axis) || marks[axis])
            return false;
        marks[axis] = true;
    }
    return true;
}

enum status onnx_fold_squeeze(struct onnx_reader *reader)
{
    enum status status = STATUS_OK;
    const struct onnx_array *in;
    struct onnx_array *out, like;
    const int64_t *axes;
    size_t count;
    bool drop[ONNX_MAX_RANK];
    TRY(onnx_constant_input(reader, 0, &in));
    TRY(onnx_attribute_or_input(reader, "axes", 1, &axes, &count));
    like = *in;
    like.rank = 0;
    if (!onnx_mark_axes(axes, count, in->rank, drop))
        return onnx_refuse(reader, "its axes are out of range");
    for (int i = 0; i < in->rank; i++) {
        if (drop[i] && in->dims[i] != 1)
            return onnx_refuse(reader, "an axis to drop must have size 1");
        if (!drop[i] && (axes || in->dims[i] != 1))
            like.dims[like.rank++] = in->dims[i];
    }
    TRY(onnx_emit_like(reader, &like, &out));
    onnx_keep_source(reader);
cleanup:
    return status;
}

enum status onnx_fold_unsqueeze(struct onnx_reader *reader)
{
    enum status status = STATUS_OK;
    const struct onnx_array *in;
    struct onnx_array *out, like;
    const int64_t *axes;
    size_t count;
    bool added[ONNX_MAX_RANK];
    TRY(onnx_constant_input(reader, 0, &in));
    TRY(onnx_attribute_or_input(reader, "axes", 1, &axes, &count));
    if (count > (size_t)(ONNX_MAX_RANK - in->rank))
        return onnx_refuse(reader, "more than %d dimensions", ONNX_MAX_RANK);
    like = *in;
    like.rank = in->rank + (int)count;
    if (!onnx_mark_axes(axes, count, like.rank, added))
        return onnx_refuse(reader, "its axes are out of range");
    for (int i = 0, from = 0; i < like.rank; i++)
        like.dims[i] = added[i] ? 1 : in->dims[from++];
    TRY(onnx_emit_like(reader, &like, &out));
    onnx_keep_source(reader);
cleanup:
    return status;
}

/* out[i0, i1, ...] = in[base + i0 * strides[0] + i1 * strides[1] + ...], counted in elements. */
static void copy_strided(const struct onnx_array *out, const struct onnx_array *in, int64_t base,
                         const int64_t *strides)
{
    int64_t index[ONNX_MAX_RANK] = {0}, from = base;
    size_t size = onnx_element_size(out);
    for (size_t i = 0; i < out->count; i++) {
        memcpy((char *)onnx_array_data(out) + i * size, (const char *)onnx_array_data(in) + (size_t)from * size, size);
        for (int axis = out->rank - 1; axis >= 0; axis--) {
            from += strides[axis];
            if (++index[axis] < out->dims[axis])
                break;
            from -= strides[axis] * out->dims[axis];
            index[axis] = 0;
        }
    }
}

static void row_strides(const struct onnx_array *array, int64_t *strides)
{
    int64_t stride = 1;
    for (int i = array->rank - 1; i >= 0; i--) {
        strides[i] = stride;
        stride *= array->dims[i];
    }
}

enum status onnx_fold_transpose(struct onnx_reader *reader)
{
    enum status status = STATUS_OK;
    const struct onnx_array *in;
    struct onnx_array *out, like;
    int64_t from[ONNX_MAX_RANK], strides[ONNX_MAX_RANK];
    bool used[ONNX_MAX_RANK];
    const Onnx__AttributeProto *perm = onnx_attribute(reader, "perm");
    TRY(onnx_constant_input(reader, 0, &in));
    if (perm && (perm->n_ints != (size_t)in->rank || !onnx_mark_axes(perm->ints, perm->n_ints, in->rank, used)))
        return onnx_refuse(reader, "perm is not a permutation");
    if (in->count == 0)
        return onnx_refuse(reader, "its input is empty");
    like = onnx_without_data(in);
    row_strides(in, from);
    for (int i = 0; i < in->rank; i++) {
        int axis = in->rank - 1 - i;
        if (perm)
            normalise_axis(perm->ints[i], in->rank, &axis);
        like.dims[i] = in->dims[axis];
        strides[i] = from[axis];
    }
    TRY(onnx_emit_like(reader, &like, &out));
    copy_strided(out, in, 0, strides);
cleanup:
    return status;
}

static int64_t clamp(int64_t value, int64_t low, int64_t high)
{
    return value < low ? low : value > high ? high : value;
}

/* One axis of a slice: *start becomes the first element, *size the number of elements. */
static void slice_axis(int64_t extent, int64_t *start, int64_t end, int64_t step, int64_t *size)
{
    *start += *start < 0 ? extent : 0;
    end += end < 0 ? extent : 0;
    *start = clamp(*start, 0, step > 0 ? extent : extent - 1);
    end = clamp(end, step > 0 ? 0 : -1, extent);
    int64_t distance = step > 0 ? end - *start : *start - end, magnitude = step > 0 ? step : -step;
    *size = distance > 0 ? (distance - 1) / magnitude + 1 : 0;
}

enum status onnx_fold_slice(struct onnx_reader *reader)
{
    enum status status = STATUS_OK;
    const struct onnx_array *in;
    struct onnx_array *out, like;
    const int64_t *starts, *ends, *axes, *steps;
    size_t start_count, end_count, axis_count, step_count;
    int64_t strides[ONNX_MAX_RANK], base = 0;
    bool sliced[ONNX_MAX_RANK];
    TRY(onnx_constant_input(reader, 0, &in));
    TRY(onnx_attribute_or_input(reader, "starts", 1, &starts, &start_count));
    TRY(onnx_attribute_or_input(reader, "ends", 2, &ends, &end_count));
    TRY(onnx_attribute_or_input(reader, "axes", 3, &axes, &axis_count));
    TRY(onnx_attribute_or_input(reader, "steps", 4, &steps, &step_count));
    if (start_count != end_count || start_count > (size_t)in->rank || (axes && axis_count != start_count) ||
        (steps && step_count != start_count) || (axes && !onnx_mark_axes(axes, axis_count, in->rank, sliced)))
        return onnx_refuse(reader, "starts, ends, axes and steps do not fit its input");
    if (in->count == 0)
        return onnx_refuse(reader, "its input is empty");
    like = onnx_without_data(in);
    row_strides(in, strides);
    like.count = 1;
    for (size_t i = 0; i < start_count; i++) {
        int axis = (int)i;
        int64_t step = steps ? steps[i] : 1, start = starts[i];
        if (axes)
            normalise_axis(axes[i], in->rank, &axis);
        if (step == 0)
            return onnx_refuse(reader, "a step must not be 0");
        step = clamp(step, -in->dims[axis], in->dims[axis]);
        slice_axis(in->dims[axis], &start, ends[i], step, &like.dims[axis]);
        base += start * strides[axis];
        strides[axis] *= step;
    }
    for (int i = 0; i < like.rank; i++)
        like.count = size_mul(like.count, (size_t)like.dims[i]);
    TRY(onnx_emit_like(reader, &like, &out));
    copy_strided(out, in, base, strides);
cleanup:
    return status;
}
