/* Norms that exporters write in pieces:
 *     (x - mean(x)) / sqrt(mean((x - mean(x))^2) + epsilon)      layer norm and its kin
 *     x / max(norm(x), epsilon)                                  F.normalize
 * They are recognised at the last division, or multiplication by the reciprocal, from which the reader looks back. */
#include "formats/onnx/onnx_norms.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* What an operator that leaves the numbers as they are has made this of; NULL: another operator has. A Cast of a value
 * of the graph is one between float types; one of a constant may round it, or make 0 or 1 of it. */
static const struct onnx_value *before(const struct onnx_reader *reader, const struct onnx_value *value, bool spread)
{
    const Onnx__NodeProto *maker = onnx_maker(reader, value, "Identity");
    if (!maker && value && value->kind != ONNX_CONSTANT)
        maker = onnx_maker(reader, value, "Cast");
    maker = maker || !spread ? maker : onnx_maker(reader, value, "Expand");
    return maker ? onnx_find(reader, maker->input[0]) : NULL;
}

/* Input i of a node, seen through operators that leave the numbers as they are; with `spread` also through Expand. */
static const struct onnx_value *seen_through(const struct onnx_reader *reader, const Onnx__NodeProto *node, size_t i,
                                             bool spread)
{
    const struct onnx_value *value = i < node->n_input ? onnx_find(reader, node->input[i]) : NULL, *from;
    for (int steps = 0; steps < 8 && (from = before(reader, value, spread)); steps++)
        value = from;
    return value;
}

/* What is normalised, or a function of each of its elements: repeated, it would have another norm. */
static const struct onnx_value *input_of(const struct onnx_reader *reader, const Onnx__NodeProto *node, size_t i)
{
    return seen_through(reader, node, i, false);
}

/* A mean, a norm or a number, which some exporters repeat before it is used: see fits(). */
static const struct onnx_value *spread_of(const struct onnx_reader *reader, const Onnx__NodeProto *node, size_t i)
{
    return seen_through(reader, node, i, true);
}

/* A constant of one number. */
static bool number_of(struct onnx_reader *reader, const struct onnx_value *value, double *number)
{
    const struct onnx_array *array;
    struct onnx_value *own = value ? onnx_find(reader, value->name) : NULL;
    if (!own || own->kind != ONNX_CONSTANT || onnx_decode(reader, own, &array) != STATUS_OK || array->count != 1)
        return false;
    *number = array->is_float ? (double)array->floats[0] : (double)array->ints[0];
    return true;
}

/* A node of two inputs, one of which is a number: the other one, and the number. */
static const struct onnx_value *with_number(struct onnx_reader *reader, const Onnx__NodeProto *node, double *number)
{
    for (size_t i = 0; node && node->n_input == 2 && i < 2; i++)
        if (number_of(reader, spread_of(reader, node, i), number))
            return spread_of(reader, node, 1 - i);
    return NULL;
}

/* The input of a reduction, and the axes; NULL if it is not `op`. */
static const struct onnx_value *reduced(struct onnx_reader *reader, const struct onnx_value *value, const char *op,
                                        bool *gone)
{
    const Onnx__NodeProto *node = onnx_maker(reader, value, op), *current = reader->op;
    const struct onnx_value *in = node ? input_of(reader, node, 0) : NULL;
    if (!in || (in->kind != ONNX_NODE && in->kind != ONNX_DEFERRED))
        return NULL;
    reader->op = node;
    const enum status status = onnx_reduced_axes(reader, in->layout.rank, gone);
    const bool keeps = onnx_attribute_int(reader, "keepdims", 1) != 0;
    reader->op = current;
    return status == STATUS_OK && keeps ? in : NULL;
}

/* The value whose square this is. */
static const struct onnx_value *root_of(struct onnx_reader *reader, const struct onnx_value *value)
{
    const Onnx__NodeProto *product = onnx_maker(reader, value, "Mul"), *power = onnx_maker(reader, value, "Pow");
    double exponent;
    if (product && product->n_input == 2 && input_of(reader, product, 0) == input_of(reader, product, 1))
        return input_of(reader, product, 0);
    if (power && power->n_input == 2 && number_of(reader, input_of(reader, power, 1), &exponent) && exponent == 2)
        return input_of(reader, power, 0);
    return NULL;
}

/* The value of which this is the square root, by Sqrt or Pow; with `inverse` one over it. */
static const struct onnx_value *square_of(struct onnx_reader *reader, const struct onnx_value *value, bool inverse)
{
    double number;
    const Onnx__NodeProto *power = onnx_maker(reader, value, "Pow"), *root = onnx_maker(reader, value, "Sqrt");
    if (power && power->n_input == 2 && number_of(reader, spread_of(reader, power, 1), &number) &&
        number == (inverse ? -0.5 : 0.5))
        return spread_of(reader, power, 0);
    if (!inverse)
        return root ? spread_of(reader, root, 0) : NULL;
    const Onnx__NodeProto *reciprocal = onnx_maker(reader, value, "Reciprocal"),
                          *quotient = onnx_maker(reader, value, "Div");
    if (reciprocal)
        return square_of(reader, spread_of(reader, reciprocal, 0), false);
    if (quotient && quotient->n_input == 2 && number_of(reader, spread_of(reader, quotient, 0), &number) && number == 1)
        return square_of(reader, spread_of(reader, quotient, 1), false);
    return NULL;
}

/* x of x - mean(x) over axes. */
static const struct onnx_value *centred(struct onnx_reader *reader, const struct onnx_value *value, bool *gone)
{
    const Onnx__NodeProto *difference = onnx_maker(reader, value, "Sub");
    if (!difference || difference->n_input != 2)
        return NULL;
    const struct onnx_value *x = input_of(reader, difference, 0),
                            *of = reduced(reader, spread_of(reader, difference, 1), "ReduceMean", gone);
    return x == of ? x : NULL;
}

/* Whether input i of the operator has the dimensions of x, or 1 in their place: then the result has those of x. */
static bool fits(const struct onnx_reader *reader, size_t i, const struct onnx_value *x)
{
    const struct onnx_value *value = onnx_input(reader, i);
    bool same = value && value->layout.rank == x->layout.rank;
    for (int d = 0; same && d < x->layout.rank; d++)
        same = value->layout.dims[d] == x->layout.dims[d] || value->layout.dims[d] == 1;
    return same;
}

static bool same_axes(const bool *a, const bool *b, int rank)
{
    return memcmp(a, b, (size_t)rank * sizeof *a) == 0;
}

/* numerator / sqrt(denominator): x and the axes of the norm, or NULL. */
static const struct onnx_value *standardised(struct onnx_reader *reader, const struct onnx_value *numerator,
                                             const struct onnx_value *denominator, bool *gone, double *epsilon)
{
    bool other[ONNX_MAX_RANK], third[ONNX_MAX_RANK];
    const struct onnx_value *x = centred(reader, numerator, gone),
                            *variance = with_number(reader, onnx_maker(reader, denominator, "Add"), epsilon);
    const struct onnx_value *squares = x ? reduced(reader, variance, "ReduceMean", other) : NULL;
    const struct onnx_value *root = squares ? root_of(reader, squares) : NULL;
    return root && centred(reader, root, third) == x && same_axes(gone, other, x->layout.rank) &&
                   same_axes(gone, third, x->layout.rank)
               ? x
               : NULL;
}

static enum status emit_standardised(struct onnx_reader *reader, const struct onnx_value *x, const bool *gone,
                                     double epsilon, bool *done)
{
    struct node node;
    *done = x->kind == ONNX_NODE && fits(reader, 0, x) && fits(reader, 1, x) &&
            onnx_layout_is_ordered(&x->layout, ONNX_C) &&
            onnx_norm_node(&x->layout, onnx_shape(reader, x), gone, &node) && epsilon >= 0 && epsilon < 1e6;
    if (!*done)
        return STATUS_OK;
    node.epsilon = (float)epsilon;
    return onnx_emit(reader, &node, &x->node, 1, &x->layout);
}

/* The value of which this is the norm over axes, and its p; NULL: none. */
static const struct onnx_value *norm_of(struct onnx_reader *reader, const struct onnx_value *value, bool *gone, int *p)
{
    const struct onnx_value *x = reduced(reader, value, "ReduceL1", gone);
    *p = x ? 1 : 2;
    x = x ? x : reduced(reader, value, "ReduceL2", gone);
    if (x)
        return x;
    const struct onnx_value *sum = square_of(reader, value, false);
    x = sum ? reduced(reader, sum, "ReduceSumSquare", gone) : NULL;
    if (x)
        return x;
    const struct onnx_value *squares = sum ? reduced(reader, sum, "ReduceSum", gone) : NULL;
    return squares ? root_of(reader, squares) : NULL;
}

/* x / max(norm(x), epsilon) */
static enum status read_normalised(struct onnx_reader *reader, const struct onnx_value *x,
                                   const struct onnx_value *denominator, bool *done)
{
    enum status status = STATUS_OK;
    struct node node = node_default(OP_LP_NORM);
    const Onnx__NodeProto *clip = onnx_maker(reader, denominator, "Clip"), *current = reader->op;
    bool gone[ONNX_MAX_RANK], only_channels = true;
    double epsilon = FLT_MIN, high = FLT_MAX;
    int p;
    if (clip) {
        reader->op = clip;
        epsilon = onnx_attribute_float(reader, "min", 0);
        high = onnx_attribute_float(reader, "max", FLT_MAX);
        status = onnx_number_input(reader, 1, &epsilon);
        status = status == STATUS_OK ? onnx_number_input(reader, 2, &high) : status;
        reader->op = current;
        denominator = spread_of(reader, clip, 0);
    } else if (onnx_maker(reader, denominator, "Max")) {
        denominator = with_number(reader, onnx_maker(reader, denominator, "Max"), &epsilon);
    }
    if (status != STATUS_OK || norm_of(reader, denominator, gone, &p) != x || x->kind != ONNX_NODE ||
        !fits(reader, 0, x) || !fits(reader, 1, x) || high < (double)FLT_MAX || !(epsilon >= 0))
        return status;
    for (int d = 1; d < x->layout.rank; d++) {
        const enum onnx_axis axis = onnx_layout_axis(&x->layout, onnx_shape(reader, x), d);
        only_channels = only_channels && (axis == ONNX_ONE || gone[d] == (axis == ONNX_C));
    }
    if (!only_channels)
        return STATUS_OK;
    node.alpha = (float)p;
    node.epsilon = fmaxf((float)epsilon, FLT_MIN);
    *done = true;
    return onnx_emit(reader, &node, &x->node, 1, &x->layout);
}

enum status onnx_read_norm_pattern(struct onnx_reader *reader, bool *done)
{
    enum status status = STATUS_OK;
    const bool quotient = strcmp(reader->op->op_type, "Div") == 0;
    bool gone[ONNX_MAX_RANK];
    double epsilon;
    *done = false;
    if (!quotient && strcmp(reader->op->op_type, "Mul") != 0)
        return STATUS_OK;
    for (size_t i = 0; i < (quotient ? 1 : 2) && !*done; i++) {
        const struct onnx_value *numerator = input_of(reader, reader->op, i),
                                *denominator = spread_of(reader, reader->op, 1 - i);
        const struct onnx_value *square = square_of(reader, denominator, !quotient);
        const struct onnx_value *x = square ? standardised(reader, numerator, square, gone, &epsilon) : NULL;
        if (x)
            TRY(emit_standardised(reader, x, gone, epsilon, done));
        if (!*done && quotient)
            TRY(read_normalised(reader, numerator, denominator, done));
    }
cleanup:
    return status;
}
