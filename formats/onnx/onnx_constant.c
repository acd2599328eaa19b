/* Operators whose inputs are all constant are folded while reading: shapes that exporters compute at run time, weights
 * behind Identity, Cast and Transpose. This file has the operators that make values; onnx_fold_math.c and
 * onnx_fold_reduce.c have those that compute, onnx_constant_layout.c those that only move values. */
#include "formats/onnx/onnx_reader.h"

#include <string.h>

size_t onnx_element_size(const struct onnx_array *array)
{
    return array->is_float ? sizeof(float) : sizeof(int64_t);
}

void *onnx_array_data(const struct onnx_array *array)
{
    return array->is_float ? (void *)array->floats : (void *)array->ints;
}

enum status onnx_emit_like(struct onnx_reader *reader, const struct onnx_array *like, struct onnx_array **out)
{
    enum status status = STATUS_OK;
    struct onnx_array *array = arena_alloc(&reader->arena, 1, sizeof *array);
    if (!array)
        return error_no_memory(reader->err, sizeof *array, "a constant");
    *array = *like;
    if (!onnx_array_data(array))
        TRY(onnx_array_alloc(reader, array));
    onnx_emit_constant(reader, array);
    *out = array;
cleanup:
    return status;
}

struct onnx_array onnx_without_data(const struct onnx_array *array)
{
    struct onnx_array copy = *array;
    copy.floats = NULL;
    copy.ints = NULL;
    return copy;
}

enum status onnx_fold_constant(struct onnx_reader *reader)
{
    enum status status = STATUS_OK;
    struct onnx_array *array, like = {.count = 1};
    const Onnx__AttributeProto *a = reader->op->n_attribute == 1 ? reader->op->attribute[0] : NULL;
    if (!a)
        return onnx_refuse(reader, "it must have one attribute");
    if (a->t) {
        TRY(onnx_tensor_header(a->t, NULL, &like, reader->err));
        TRY(onnx_emit_like(reader, &like, &array));
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
        return onnx_refuse(reader, "its attribute must be a tensor or numbers");
    TRY(onnx_emit_like(reader, &like, &array));
    memcpy(onnx_array_data(array),
           a->n_floats ? (void *)a->floats
           : a->n_ints ? (void *)a->ints
           : a->has_f  ? (void *)&a->f
                       : (void *)&a->i,
           array->count * onnx_element_size(array));
cleanup:
    return status;
}

enum status onnx_fold_identity(struct onnx_reader *reader)
{
    struct onnx_value *value = onnx_input(reader, 0), *result = onnx_result(reader);
    if (!value)
        return onnx_refuse(reader, "it has no input");
    result->kind = ONNX_CONSTANT;
    result->tensor = value->tensor;
    result->array = value->array;
    result->weight = value->weight;
    onnx_keep_source(reader);
    return STATUS_OK;
}

/* The type of input 1. */
static enum status like_type(struct onnx_reader *reader, int64_t *to)
{
    const struct onnx_array *array;
    const struct onnx_value *like = onnx_input(reader, 1);
    if (like && like->kind != ONNX_CONSTANT) { /* the graph computes in floats */
        *to = ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT;
        return STATUS_OK;
    }
    enum status status = onnx_constant_input(reader, 1, &array);
    if (status == STATUS_OK)
        *to = like->tensor      ? like->tensor->data_type
              : array->is_float ? ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT
                                : ONNX__TENSOR_PROTO__DATA_TYPE__INT64;
    return status;
}

static bool is_float_type(int64_t type)
{
    return type == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT || type == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16 ||
           type == ONNX__TENSOR_PROTO__DATA_TYPE__BFLOAT16 || type == ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE;
}

struct integer_type {
    const char *name;
    int64_t type;
    int bits; /* that are kept; of bool, which is 0 or 1, one */
    bool is_signed;
};

static const struct integer_type *integer_type(int64_t type)
{
#define TYPE(name) #name, ONNX__TENSOR_PROTO__DATA_TYPE__##name
    static const struct integer_type types[] = {
        {TYPE(BOOL), 1, false},    {TYPE(INT8), 8, true},     {TYPE(UINT8), 8, false},
        {TYPE(INT16), 16, true},   {TYPE(UINT16), 16, false}, {TYPE(INT32), 32, true},
        {TYPE(UINT32), 32, false}, {TYPE(INT64), 64, true},   {TYPE(UINT64), 64, true}, /* our integers are int64 */
    };
#undef TYPE
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (types[i].type == type)
            return &types[i];
    return NULL;
}

/* An integer in a shorter type loses its upper bits; the size of the batch fits into all. */
static int64_t cast_integer(int64_t number, const struct integer_type *type)
{
    if (type->bits == 1)
        return number != 0;
    if (number == ONNX_BATCH || type->bits == 64)
        return number;
    const int lost = 64 - type->bits;
    const uint64_t kept = (uint64_t)number << lost;
    return type->is_signed ? (int64_t)kept >> lost : (int64_t)(kept >> lost);
}

enum status onnx_fold_cast(struct onnx_reader *reader)
{
    enum status status = STATUS_OK;
    const struct onnx_array *in;
    struct onnx_array *out, like;
    int64_t to = onnx_attribute_int(reader, "to", 0);
    TRY(onnx_constant_input(reader, 0, &in));
    if (strcmp(reader->op->op_type, "CastLike") == 0)
        TRY(like_type(reader, &to));
    const struct integer_type *integer = integer_type(to);
    like = *in;
    like.is_float = is_float_type(to);
    if (!like.is_float && !integer)
        return onnx_refuse(reader, "casts to element type %lld are not supported", (long long)to);
    if (like.is_float == in->is_float && (like.is_float || to == ONNX__TENSOR_PROTO__DATA_TYPE__INT64)) {
        TRY(onnx_emit_like(reader, &like, &out));
        onnx_keep_source(reader);
        return STATUS_OK;
    }
    like = onnx_without_data(&like);
    TRY(onnx_emit_like(reader, &like, &out));
    for (size_t i = 0; i < in->count; i++) {
        int64_t number = in->is_float ? 0 : in->ints[i];
        if (in->is_float && integer->bits == 1)
            number = in->floats[i] != 0;
        else if (in->is_float && !(in->floats[i] > -1e15f && in->floats[i] < 1e15f))
            return onnx_refuse(reader, "%g is out of the range of %s", (double)in->floats[i], integer->name);
        else if (in->is_float)
            number = (int64_t)in->floats[i];
        if (to == ONNX__TENSOR_PROTO__DATA_TYPE__UINT64 && number < 0 && number != ONNX_BATCH)
            return onnx_refuse(reader, "%lld is out of the range of %s", (long long)number, integer->name);
        if (!out->is_float)
            out->ints[i] = cast_integer(number, integer);
        else if (number == ONNX_BATCH)
            return onnx_refuse(reader, "the batch size cannot be a float");
        else
            out->floats[i] = (float)number;
    }
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
            return onnx_refuse(reader, "its value must be one number");
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
    TRY(onnx_emit_like(reader, &like, &out));
    for (size_t i = 0; i < out->count; i++) {
        if (out->is_float)
            out->floats[i] = number;
        else
            out->ints[i] = integer;
    }
cleanup:
    return status;
}
