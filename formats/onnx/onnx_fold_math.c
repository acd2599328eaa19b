/* Arithmetic, comparisons and choices whose inputs are all constant: what exporters compute from shapes at run time
 * (the SAME padding of TensorFlow's models, sizes of Reshape and Expand). Shapes broadcast as numpy's do. Integers and
 * bools are int64, floats float32.
 *
 * The batch size may be among the integers, but is not known (ONNX_BATCH): it passes through operators that leave it as
 * it is, such as multiplication by 1, and nothing else can be computed from it. */
#include "formats/onnx/onnx_reader.h"

#include <math.h>
#include <string.h>

/* ---- one number ---- */

/* False: the result is not defined, does not fit, or depends on the batch size. */
static bool int_add(int64_t a, int64_t b, int64_t *out)
{
    if (a == ONNX_BATCH || b == ONNX_BATCH) {
        *out = ONNX_BATCH;
        return a == 0 || b == 0;
    }
    return !__builtin_add_overflow(a, b, out);
}

static bool int_subtract(int64_t a, int64_t b, int64_t *out)
{
    if (a == ONNX_BATCH || b == ONNX_BATCH) {
        *out = ONNX_BATCH;
        return b == 0;
    }
    return !__builtin_sub_overflow(a, b, out);
}

static bool int_multiply(int64_t a, int64_t b, int64_t *out)
{
    if (a == ONNX_BATCH || b == ONNX_BATCH) {
        *out = ONNX_BATCH;
        return a == 1 || b == 1;
    }
    return !__builtin_mul_overflow(a, b, out);
}

static bool int_divide(int64_t a, int64_t b, int64_t *out)
{
    if (a == ONNX_BATCH || b == ONNX_BATCH) {
        *out = ONNX_BATCH;
        return b == 1;
    }
    if (b == 0)
        return false;
    *out = a / b; /* INT64_MIN / -1, which overflows, is ONNX_BATCH / -1 */
    return true;
}

/* The sign of the divisor, as Python's. */
static bool int_modulo(int64_t a, int64_t b, int64_t *out)
{
    if (a == ONNX_BATCH || b == ONNX_BATCH || b == 0)
        return false;
    *out = b == -1 ? 0 : a % b;
    if (*out != 0 && (*out < 0) != (b < 0))
        *out += b;
    return true;
}

static bool int_smaller(int64_t a, int64_t b, int64_t *out)
{
    *out = a < b ? a : b;
    return a == b || (a != ONNX_BATCH && b != ONNX_BATCH);
}

static bool int_larger(int64_t a, int64_t b, int64_t *out)
{
    *out = a > b ? a : b;
    return a == b || (a != ONNX_BATCH && b != ONNX_BATCH);
}

/* A batch has at least one sample. */
static bool int_equal(int64_t a, int64_t b, int64_t *out)
{
    *out = a == b;
    return (a != ONNX_BATCH && b != ONNX_BATCH) || a == b || (a < 1 && a != ONNX_BATCH) || (b < 1 && b != ONNX_BATCH);
}

static bool int_less(int64_t a, int64_t b, int64_t *out)
{
    *out = a < b;
    return a != ONNX_BATCH && b != ONNX_BATCH;
}

static bool int_less_or_equal(int64_t a, int64_t b, int64_t *out)
{
    *out = a <= b;
    return a != ONNX_BATCH && b != ONNX_BATCH;
}

static bool int_and(int64_t a, int64_t b, int64_t *out)
{
    *out = a && b;
    return true;
}

static bool int_or(int64_t a, int64_t b, int64_t *out)
{
    *out = a || b;
    return true;
}

static float float_add(float a, float b)
{
    return a + b;
}

static float float_subtract(float a, float b)
{
    return a - b;
}

static float float_multiply(float a, float b)
{
    return a * b;
}

static float float_divide(float a, float b)
{
    return a / b;
}

static float float_equal(float a, float b)
{
    return a == b;
}

static float float_less(float a, float b)
{
    return a < b;
}

static float float_less_or_equal(float a, float b)
{
    return a <= b;
}

struct binary {
    const char *name;
    bool (*ints)(int64_t a, int64_t b, int64_t *out);
    float (*floats)(float a, float b); /* NULL: of integers only */
    bool compares;                     /* the result is a bool */
    bool swaps;                        /* a and b change places */
};
static const struct binary binaries[] = {
    {.name = "Add", .ints = int_add, .floats = float_add},
    {.name = "Sub", .ints = int_subtract, .floats = float_subtract},
    {.name = "Mul", .ints = int_multiply, .floats = float_multiply},
    {.name = "Div", .ints = int_divide, .floats = float_divide},
    {.name = "Mod", .ints = int_modulo, .floats = fmodf},
    {.name = "Pow", .ints = NULL, .floats = powf},
    {.name = "Min", .ints = int_smaller, .floats = fminf},
    {.name = "Max", .ints = int_larger, .floats = fmaxf},
    {.name = "Equal", .ints = int_equal, .floats = float_equal, .compares = true},
    {.name = "Less", .ints = int_less, .floats = float_less, .compares = true},
    {.name = "LessOrEqual", .ints = int_less_or_equal, .floats = float_less_or_equal, .compares = true},
    {.name = "Greater", .ints = int_less, .floats = float_less, .compares = true, .swaps = true},
    {.name = "GreaterOrEqual",
     .ints = int_less_or_equal,
     .floats = float_less_or_equal,
     .compares = true,
     .swaps = true},
    {.name = "And", .ints = int_and, .compares = true},
    {.name = "Or", .ints = int_or, .compares = true},
};

static bool int_negate(int64_t a, int64_t *out)
{
    return a != ONNX_BATCH && !__builtin_sub_overflow((int64_t)0, a, out);
}

static bool int_absolute(int64_t a, int64_t *out)
{
    if (a >= 0 || a == ONNX_BATCH) {
        *out = a;
        return true;
    }
    return int_negate(a, out);
}

static bool int_not(int64_t a, int64_t *out)
{
    *out = !a;
    return a != ONNX_BATCH;
}

static bool int_sign(int64_t a, int64_t *out)
{
    *out = a == ONNX_BATCH || a > 0 ? 1 : a < 0 ? -1 : 0;
    return true;
}

static float float_negate(float a)
{
    return -a;
}

static float float_reciprocal(float a)
{
    return 1 / a;
}

static float float_sign(float a)
{
    return a > 0 ? 1 : a < 0 ? -1 : 0;
}

struct unary {
    const char *name;
    bool (*ints)(int64_t a, int64_t *out);
    float (*floats)(float a);
};
static const struct unary unaries[] = {
    {"Neg", int_negate, float_negate},
    {"Abs", int_absolute, fabsf},
    {"Not", int_not, NULL},
    {"Sign", int_sign, float_sign},
    {"Ceil", NULL, ceilf},
    {"Floor", NULL, floorf},
    {"Round", NULL, rintf},
    {"Sqrt", NULL, sqrtf},
    {"Reciprocal", NULL, float_reciprocal},
    {"Exp", NULL, expf},
    {"Log", NULL, logf},
};

/* ---- broadcasting ---- */

/* A constant as every element of the result sees it. */
struct operand {
    const struct onnx_array *array;
    int64_t strides[ONNX_MAX_RANK]; /* of the result's axes, in elements; 0 along which it is repeated */
    size_t at;
};

/* The result's dims from those of the operands; false if they do not fit, or nothing is left. */
static bool broadcast_dims(struct onnx_array *like, const struct operand *operands, int count)
{
    like->rank = 0;
    for (int k = 0; k < count; k++)
        like->rank = operands[k].array->rank > like->rank ? operands[k].array->rank : like->rank;
    like->count = 1;
    for (int axis = 0; axis < like->rank; axis++) {
        like->dims[axis] = 1;
        for (int k = 0; k < count; k++) {
            const struct onnx_array *a = operands[k].array;
            const int own = axis - (like->rank - a->rank);
            if (own < 0 || a->dims[own] == 1)
                continue;
            if (like->dims[axis] != 1 && like->dims[axis] != a->dims[own])
                return false;
            like->dims[axis] = a->dims[own];
        }
        like->count = size_mul(like->count, (size_t)like->dims[axis]);
    }
    return like->count > 0;
}

static void find_strides(struct operand *operand, const struct onnx_array *like)
{
    int64_t stride = 1;
    operand->at = 0;
    memset(operand->strides, 0, sizeof operand->strides);
    for (int own = operand->array->rank - 1; own >= 0; own--) {
        const int64_t extent = operand->array->dims[own];
        operand->strides[own + like->rank - operand->array->rank] = extent == 1 ? 0 : stride;
        stride *= extent;
    }
}

/* Moves all operands to the next element of the result. */
static void next_element(struct operand *operands, int count, const struct onnx_array *like, int64_t *index)
{
    for (int axis = like->rank - 1; axis >= 0; axis--) {
        const bool more = ++index[axis] < like->dims[axis];
        for (int k = 0; k < count; k++)
            operands[k].at +=
                (size_t)(more ? operands[k].strides[axis] : -operands[k].strides[axis] * (like->dims[axis] - 1));
        if (more)
            return;
        index[axis] = 0;
    }
}

/* A new array of the operands' common shape, which is not output 0 yet. It is allocated before the strides are
 * computed: the budget bounds its size, and so the strides. */
static enum status new_result(struct onnx_reader *reader, struct operand *operands, int count, bool is_float,
                              struct onnx_array **out)
{
    enum status status = STATUS_OK;
    struct onnx_array *array = arena_alloc(&reader->arena, 1, sizeof *array);
    if (!array)
        return error_no_memory(reader->err, sizeof *array, "a constant");
    array->is_float = is_float;
    if (!broadcast_dims(array, operands, count))
        return onnx_refuse(reader, "the shapes of its constants do not fit, or one is empty");
    TRY(onnx_array_alloc(reader, array));
    for (int k = 0; k < count; k++)
        find_strides(&operands[k], array);
    *out = array;
cleanup:
    return status;
}

/* ---- operators ---- */

static enum status not_computable(struct onnx_reader *reader)
{
    return onnx_refuse(reader, "constants cannot be combined: overflow, or they depend on the batch size");
}

static enum status combine(struct onnx_reader *reader, const struct binary *op, const struct onnx_array *a,
                           const struct onnx_array *b, struct onnx_array **result)
{
    enum status status = STATUS_OK;
    struct operand operands[2] = {{.array = op->swaps ? b : a}, {.array = op->swaps ? a : b}};
    const struct operand *left = &operands[0], *right = &operands[1];
    int64_t index[ONNX_MAX_RANK] = {0};
    struct onnx_array *out;
    TRY(new_result(reader, operands, 2, a->is_float && !op->compares, &out));
    for (size_t i = 0; i < out->count; i++) {
        if (!a->is_float) {
            if (!op->ints(left->array->ints[left->at], right->array->ints[right->at], &out->ints[i]))
                return not_computable(reader);
        } else {
            const float value = op->floats(left->array->floats[left->at], right->array->floats[right->at]);
            if (op->compares)
                out->ints[i] = value != 0;
            else
                out->floats[i] = value;
        }
        next_element(operands, 2, out, index);
    }
    *result = out;
cleanup:
    return status;
}

/* Two inputs; Min and Max have any number. */
enum status onnx_fold_binary(struct onnx_reader *reader)
{
    enum status status = STATUS_OK;
    const struct binary *op = binaries;
    const struct onnx_array *a, *b;
    struct onnx_array *out = NULL;
    while (strcmp(op->name, reader->op->op_type) != 0)
        op++;
    TRY(onnx_constant_input(reader, 0, &a));
    const bool any_number = strcmp(op->name, "Min") == 0 || strcmp(op->name, "Max") == 0;
    if (reader->op->n_input < 2 || (reader->op->n_input > 2 && !any_number))
        return onnx_refuse(reader, "it should have two inputs");
    for (size_t i = 1; i < reader->op->n_input; i++) {
        TRY(onnx_constant_input(reader, i, &b));
        if (a->is_float != b->is_float || (a->is_float ? !op->floats : !op->ints))
            return onnx_refuse(reader, "constants of these types cannot be combined");
        TRY(combine(reader, op, a, b, &out));
        a = out;
    }
    onnx_emit_constant(reader, out);
cleanup:
    return status;
}

enum status onnx_fold_unary(struct onnx_reader *reader)
{
    enum status status = STATUS_OK;
    const struct unary *op = unaries;
    const struct onnx_array *in;
    struct onnx_array *out, like;
    while (strcmp(op->name, reader->op->op_type) != 0)
        op++;
    TRY(onnx_constant_input(reader, 0, &in));
    if (in->is_float ? !op->floats : !op->ints)
        return onnx_refuse(reader, "constants of this type are not supported");
    like = onnx_without_data(in);
    TRY(onnx_emit_like(reader, &like, &out));
    for (size_t i = 0; i < out->count; i++) {
        if (in->is_float)
            out->floats[i] = op->floats(in->floats[i]);
        else if (!op->ints(in->ints[i], &out->ints[i]))
            return not_computable(reader);
    }
cleanup:
    return status;
}

enum status onnx_fold_where(struct onnx_reader *reader)
{
    enum status status = STATUS_OK;
    struct operand operands[3] = {{0}};
    int64_t index[ONNX_MAX_RANK] = {0};
    struct onnx_array *out;
    for (size_t i = 0; i < 3; i++)
        TRY(onnx_constant_input(reader, i, &operands[i].array));
    const struct onnx_array *condition = operands[0].array, *yes = operands[1].array, *no = operands[2].array;
    if (condition->is_float || yes->is_float != no->is_float)
        return onnx_refuse(reader, "constants of these types cannot be combined");
    TRY(new_result(reader, operands, 3, yes->is_float, &out));
    for (size_t i = 0; i < out->count; i++) {
        const struct operand *from = condition->ints[operands[0].at] ? &operands[1] : &operands[2];
        if (out->is_float)
            out->floats[i] = from->array->floats[from->at];
        else
            out->ints[i] = from->array->ints[from->at];
        next_element(operands, 3, out, index);
    }
    onnx_emit_constant(reader, out);
cleanup:
    return status;
}

/* A constant repeated to the shape of input 1. */
enum status onnx_fold_expand(struct onnx_reader *reader)
{
    enum status status = STATUS_OK;
    const struct onnx_array *in, *dims;
    struct onnx_array *out, shape = {.is_float = true};
    TRY(onnx_constant_input(reader, 0, &in));
    TRY(onnx_ints_input(reader, 1, &dims));
    if (dims->count > ONNX_MAX_RANK)
        return onnx_refuse(reader, "more than %d dimensions", ONNX_MAX_RANK);
    shape.rank = (int)dims->count;
    for (int i = 0; i < shape.rank; i++) {
        if (dims->ints[i] < 0)
            return onnx_refuse(reader, "a dimension is negative");
        shape.dims[i] = dims->ints[i];
    }
    struct operand operands[2] = {{.array = in}, {.array = &shape}};
    int64_t index[ONNX_MAX_RANK] = {0};
    TRY(new_result(reader, operands, 2, in->is_float, &out));
    for (size_t i = 0; i < out->count; i++) {
        if (out->is_float)
            out->floats[i] = in->floats[operands[0].at];
        else
            out->ints[i] = in->ints[operands[0].at];
        next_element(operands, 1, out, index);
    }
    onnx_emit_constant(reader, out);
cleanup:
    return status;
}

/* start, start + delta, ... before limit */
enum status onnx_fold_range(struct onnx_reader *reader)
{
    enum status status = STATUS_OK;
    const struct onnx_array *in[3];
    struct onnx_array *out, like = {.rank = 1};
    double number[3];
    for (size_t i = 0; i < 3; i++) {
        TRY(onnx_constant_input(reader, i, &in[i]));
        if (in[i]->count != 1 || in[i]->is_float != in[0]->is_float)
            return onnx_refuse(reader, "input %zu should be one number of the same type", i);
        if (!in[i]->is_float && in[i]->ints[0] == ONNX_BATCH)
            return onnx_refuse(reader, "input %zu depends on the batch size", i);
        number[i] = in[i]->is_float ? (double)in[i]->floats[0] : (double)in[i]->ints[0];
    }
    const double count = ceil((number[1] - number[0]) / number[2]);
    if (!isfinite(count) || count > (1 << 24))
        return onnx_refuse(reader, "it has no end, or more than %d numbers", 1 << 24);
    like.is_float = in[0]->is_float;
    like.count = count > 0 ? (size_t)count : 0;
    like.dims[0] = (int64_t)like.count;
    TRY(onnx_emit_like(reader, &like, &out));
    for (size_t i = 0; i < out->count; i++) {
        if (out->is_float)
            out->floats[i] = (float)(number[0] + (double)i * number[2]);
        else
            out->ints[i] = in[0]->ints[0] + (int64_t)i * in[2]->ints[0];
    }
cleanup:
    return status;
}
