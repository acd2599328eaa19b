/* Operators whose inputs are all constant: shapes that exporters compute at run time, weights behind Identity, Cast and
 * Transpose. Folded while reading. */
#include "formats/onnx_reader.h"

#include <string.h>

static size_t element_size(const struct onnx_array *array)
{
    return array->is_float ? sizeof(float) : sizeof(int64_t);
}

static void *data_of(const struct onnx_array *array)
{
    return array->is_float ? (void *)array->floats : (void *)array->ints;
}

static struct onnx_array *new_array(struct onnx_reader *reader, const struct onnx_array *like)
{
    struct onnx_array *array = arena_alloc(&reader->arena, 1, sizeof *array);
    if (array)
        *array = *like;
    return array;
}

/* Emits a copy of *like, which shares its data where it has some and gets zeroed data where it has none. */
static enum status emit_like(struct onnx_reader *reader, const struct onnx_array *like, struct onnx_array **out)
{
    enum status status = STATUS_OK;
    struct onnx_array *array = new_array(reader, like);
    if (!array)
        return error_no_memory(reader->err, sizeof *array, "a constant");
    if (!data_of(array))
        TRY(onnx_array_alloc(reader, array));
    TRY(onnx_emit_constant(reader, array));
    *out = array;
cleanup:
    return status;
}

static struct onnx_array without_data(const struct onnx_array *array)
{
    struct onnx_array copy = *array;
    copy.floats = NULL;
    copy.ints = NULL;
    return copy;
}

/* A negative axis counts from the end; false where there is no such axis. */
static bool normalise_axis(int64_t axis, int rank, int *out)
{
    if (axis < -rank || axis >= rank)
        return false;
    *out = (int)(axis < 0 ? axis + rank : axis);
    return true;
}

enum status onnx_fold_constant(struct onnx_reader *reader)
{
    enum status status = STATUS_OK;
    struct onnx_array *array, like = {.count = 1};
    const Onnx__AttributeProto *a = reader->op->n_attribute == 1 ? reader->op->attribute[0] : NULL;
    if (!a)
        return onnx_refuse(reader, "it should have one attribute");
    if (a->t) {
        TRY(onnx_tensor_header(a->t, NULL, &like, reader->err));
        TRY(emit_like(reader, &like, &array));
        if (array->is_float)
            onnx_tensor_floats(a->t, array->count, array->floats);
        else
            onnx_tensor_ints(a->t, array->count, array->ints);
        return STATUS_OK;
    }
    like.is_float = a->has_f || a->n_floats;
    like.rank = a->n_floats || a->n_ints;
    like.count = a->n_floats ? a->n_floats : a->n_ints ? a->n_ints : 1;
    like.dims[0] = (int64_t)like.count;
    if (!a->has_f && !a->n_floats && !a->has_i && !a->n_ints)
        return onnx_refuse(reader, "it holds neither a tensor nor numbers");
    TRY(emit_like(reader, &like, &array));
    memcpy(data_of(array),
           a->n_floats ? (void *)a->floats
           : a->n_ints ? (void *)a->ints
           : a->has_f  ? (void *)&a->f
                       : (void *)&a->i,
           array->count * element_size(array));
cleanup:
    return status;
}

enum status onnx_fold_identity(struct onnx_reader *reader)
{
    struct onnx_value *value = onnx_input(reader, 0), *result = onnx_find(reader, onnx_output_name(reader));
    if (!value || !result || result->kind != ONNX_UNDEFINED)
        return onnx_refuse(reader, "it has no input or output");
    result->kind = ONNX_CONSTANT;
    result->tensor = value->tensor;
    result->array = value->array;
    result->weight = value->weight;
    return STATUS_OK;
}

enum status onnx_fold_cast(struct onnx_reader *reader)
{
    enum status status = STATUS_OK;
    const struct onnx_array *in;
    struct onnx_array *out, like;
    int64_t to = onnx_attribute_int(reader, "to", 0);
    TRY(onnx_constant_input(reader, 0, &in));
    like = *in;
    like.is_float = to == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT || to == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16 ||
                    to == ONNX__TENSOR_PROTO__DATA_TYPE__BFLOAT16 || to == ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE;
    if (like.is_float == in->is_float)
        return emit_like(reader, &like, &out);
    like = without_data(&like);
    TRY(emit_like(reader, &like, &out));
    for (size_t i = 0; i < in->count; i++) {
        if (!out->is_float && !(in->floats[i] > -1e15f && in->floats[i] < 1e15f))
            return onnx_refuse(reader, "a number is out of range");
        if (out->is_float && in->ints[i] == ONNX_BATCH)
            return onnx_refuse(reader, "the batch size cannot be a float");
        if (out->is_float)
            out->floats[i] = (float)in->ints[i];
        else
            out->ints[i] = (int64_t)in->floats[i];
    }
cleanup:
    return status;
}

enum status onnx_fold_gather(struct onnx_reader *reader)
{
    enum status status = STATUS_OK;
    const struct onnx_array *data, *indices;
    struct onnx_array *out, like;
    TRY(onnx_constant_input(reader, 0, &data));
    TRY(onnx_ints_input(reader, 1, &indices));
    if (data->rank != 1 || indices->rank > 1)
        return onnx_refuse(reader, "only elements of constant vectors can be gathered");
    like = without_data(data);
    like.rank = indices->rank;
    like.count = indices->count;
    like.dims[0] = indices->dims[0];
    TRY(emit_like(reader, &like, &out));
    for (size_t i = 0; i < indices->count; i++) {
        int64_t index = indices->ints[i] < 0 ? indices->ints[i] + data->dims[0] : indices->ints[i];
        if (index < 0 || index >= data->dims[0])
            return onnx_refuse(reader, "an index is out of range");
        if (data->is_float)
            out->floats[i] = data->floats[index];
        else
            out->ints[i] = data->ints[index];
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
    like = without_data(first);
    if (!normalise_axis(onnx_attribute_int(reader, "axis", 0), first->rank, &axis))
        return onnx_refuse(reader, "its axis is out of range");
    for (size_t i = 1; i < reader->op->n_input; i++) {
        TRY(onnx_constant_input(reader, i, &in));
        if (in->rank != 1 || first->rank != 1 || in->is_float != first->is_float)
            return onnx_refuse(reader, "only constant vectors can be joined");
        like.dims[0] += in->dims[0];
        like.count += in->count;
    }
    TRY(emit_like(reader, &like, &out));
    char *at = data_of(out);
    for (size_t i = 0; i < reader->op->n_input; i++) {
        TRY(onnx_constant_input(reader, i, &in));
        memcpy(at, data_of(in), in->count * element_size(in));
        at += in->count * element_size(in);
    }
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
        return onnx_refuse(reader, "the new shape has another number of elements");
    TRY(emit_like(reader, &like, &out));
cleanup:
    return status;
}

/* axes[0..count) as marks[rank]; false where one is out of range or twice there. */
static bool mark_axes(const int64_t *axes, size_t count, int rank, bool *marks)
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
    if (!mark_axes(axes, count, in->rank, drop))
        return onnx_refuse(reader, "its axes are out of range");
    for (int i = 0; i < in->rank; i++) {
        if (drop[i] && in->dims[i] != 1)
            return onnx_refuse(reader, "an axis to drop is not 1");
        if (!drop[i] && (axes || in->dims[i] != 1))
            like.dims[like.rank++] = in->dims[i];
    }
    TRY(emit_like(reader, &like, &out));
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
    if (!mark_axes(axes, count, like.rank, added))
        return onnx_refuse(reader, "its axes are out of range");
    for (int i = 0, from = 0; i < like.rank; i++)
        like.dims[i] = added[i] ? 1 : in->dims[from++];
    TRY(emit_like(reader, &like, &out));
cleanup:
    return status;
}

/* out[i0, i1, ...] = in[base + i0 * strides[0] + i1 * strides[1] + ...], counted in elements. */
static void copy_strided(const struct onnx_array *out, const struct onnx_array *in, int64_t base,
                         const int64_t *strides)
{
    int64_t index[ONNX_MAX_RANK] = {0}, from = base;
    size_t size = element_size(out);
    for (size_t i = 0; i < out->count; i++) {
        memcpy((char *)data_of(out) + i * size, (const char *)data_of(in) + (size_t)from * size, size);
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
    if (perm && (perm->n_ints != (size_t)in->rank || !mark_axes(perm->ints, perm->n_ints, in->rank, used)))
        return onnx_refuse(reader, "perm is no permutation");
    if (in->count == 0)
        return onnx_refuse(reader, "its input is empty");
    like = without_data(in);
    row_strides(in, from);
    for (int i = 0; i < in->rank; i++) {
        int axis = in->rank - 1 - i;
        if (perm)
            normalise_axis(perm->ints[i], in->rank, &axis);
        like.dims[i] = in->dims[axis];
        strides[i] = from[axis];
    }
    TRY(emit_like(reader, &like, &out));
    copy_strided(out, in, 0, strides);
cleanup:
    return status;
}

static int64_t clamp(int64_t value, int64_t low, int64_t high)
{
    return value < low ? low : value > high ? high : value;
}

/* One axis of a slice: *start becomes its first element, *size their number. */
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
        (steps && step_count != start_count) || (axes && !mark_axes(axes, axis_count, in->rank, sliced)))
        return onnx_refuse(reader, "starts, ends, axes and steps do not fit its input");
    if (in->count == 0)
        return onnx_refuse(reader, "its input is empty");
    like = without_data(in);
    row_strides(in, strides);
    like.count = 1;
    for (size_t i = 0; i < start_count; i++) {
        int axis = (int)i;
        int64_t step = steps ? steps[i] : 1, start = starts[i];
        if (axes)
            normalise_axis(axes[i], in->rank, &axis);
        if (step == 0)
            return onnx_refuse(reader, "a step is 0");
        step = clamp(step, -in->dims[axis], in->dims[axis]);
        slice_axis(in->dims[axis], &start, ends[i], step, &like.dims[axis]);
        base += start * strides[axis];
        strides[axis] *= step;
    }
    for (int i = 0; i < like.rank; i++)
        like.count = size_mul(like.count, (size_t)like.dims[i]);
    TRY(emit_like(reader, &like, &out));
    copy_strided(out, in, base, strides);
cleanup:
    return status;
}

/* ConstantOfShape */
enum status onnx_fold_filled(struct onnx_reader *reader)
{
    enum status status = STATUS_OK;
    const struct onnx_array *dims;
    struct onnx_array *out, like = {.is_float = true, .count = 1}, header;
    const Onnx__AttributeProto *value = onnx_attribute(reader, "value");
    float number = 0;
    int64_t integer = 0;
    TRY(onnx_ints_input(reader, 0, &dims));
    if (dims->count > ONNX_MAX_RANK)
        return onnx_refuse(reader, "more than %d dimensions", ONNX_MAX_RANK);
    if (value && value->t) {
        TRY(onnx_tensor_header(value->t, NULL, &header, reader->err));
        if (header.count != 1)
            return onnx_refuse(reader, "its value should be one number");
        like.is_float = header.is_float;
        if (header.is_float)
            onnx_tensor_floats(value->t, 1, &number);
        else
            onnx_tensor_ints(value->t, 1, &integer);
    }
    like.rank = (int)dims->count;
    for (int i = 0; i < like.rank; i++) {
        if (dims->ints[i] < 0)
            return onnx_refuse(reader, "a dimension is negative");
        like.dims[i] = dims->ints[i];
        like.count = size_mul(like.count, (size_t)dims->ints[i]);
    }
    TRY(emit_like(reader, &like, &out));
    for (size_t i = 0; i < out->count; i++) {
        if (out->is_float)
            out->floats[i] = number;
        else
            out->ints[i] = integer;
    }
cleanup:
    return status;
}

/* a op b in 64 bits; false where the result is not defined or does not fit. */
static bool combine_ints(char op, int64_t a, int64_t b, int64_t *out)
{
    if (a == ONNX_BATCH || b == ONNX_BATCH)
        return false;
    if (op == 'A')
        return !__builtin_add_overflow(a, b, out);
    if (op == 'S')
        return !__builtin_sub_overflow(a, b, out);
    if (op == 'M')
        return !__builtin_mul_overflow(a, b, out);
    *out = b ? a / b : 0;
    return b != 0;
}

static float combine_floats(char op, float a, float b)
{
    return op == 'A' ? a + b : op == 'S' ? a - b : op == 'M' ? a * b : a / b;
}

/* Whether the dims are equal but for leading ones. */
static bool same_dims(const struct onnx_array *a, const struct onnx_array *b)
{
    for (int i = 1; i <= a->rank || i <= b->rank; i++)
        if ((i <= a->rank ? a->dims[a->rank - i] : 1) != (i <= b->rank ? b->dims[b->rank - i] : 1))
            return false;
    return true;
}

/* Add, Sub, Mul, Div of constants of one shape, or of which one is a single number. */
enum status onnx_fold_arithmetic(struct onnx_reader *reader)
{
    enum status status = STATUS_OK;
    const struct onnx_array *a, *b;
    struct onnx_array *out, like;
    char op = reader->op->op_type[0];
    TRY(onnx_constant_input(reader, 0, &a));
    TRY(onnx_constant_input(reader, 1, &b));
    if (a->is_float != b->is_float || (a->count != 1 && b->count != 1 && !same_dims(a, b)))
        return onnx_refuse(reader, "constants of these shapes cannot be combined");
    like = without_data(a->count > b->count || (a->count == b->count && a->rank >= b->rank) ? a : b);
    if (a->count == 0 || b->count == 0)
        return onnx_refuse(reader, "a constant is empty");
    TRY(emit_like(reader, &like, &out));
    for (size_t i = 0; i < out->count; i++) {
        size_t k = a->count == 1 ? 0 : i, l = b->count == 1 ? 0 : i;
        if (out->is_float)
            out->floats[i] = combine_floats(op, a->floats[k], b->floats[l]);
        else if (!combine_ints(op, a->ints[k], b->ints[l], &out->ints[i]))
            return onnx_refuse(reader, "constants cannot be combined (overflow, or the batch size is among them)");
    }
cleanup:
    return status;
}
