/* Activations that exporters write in pieces: GELU with erf or tanh, Swish, HardSwish, Mish, ReLU6 and others, in
 * whatever order and with whatever operators.
 *
 * For every value whose elements are a function f of the same elements of an earlier node, the reader keeps f as its
 * values at fixed points, one trace per such node. A piece computes its samples from those of its inputs. A function
 * that equals an activation at all points is that activation of the earlier node. The points are close together where
 * activations bend and reach far out, and the reader compares to float's precision; two functions made from a few
 * elementwise operators do not agree there unless they are the same. */
#include "formats/onnx/onnx_function.h"

#include "shared/graph/activation.h"
#include <float.h>
#include <math.h>
#include <string.h>

enum { NEAR = 161, FAR = 32, POINTS = NEAR + 2 * FAR };

/* -12 ... 12, then both ways to about 1e7 */
static double point(int i)
{
    if (i < NEAR)
        return (i - NEAR / 2) * 0.15;
    const int k = (i - NEAR) / 2;
    return ((i - NEAR) % 2 ? -1 : 1) * 12.6 * pow(1.55, k);
}

/* ---- traces ---- */
/* Samples of the value as a function of `node`, or NULL. *own (room for POINTS) is used where that is the identity. */
static const double *samples_of(const struct onnx_value *value, int node, double *own)
{
    if (value->node == node) {
        for (int i = 0; i < POINTS; i++)
            own[i] = point(i);
        return own;
    }
    for (int i = 0; i < value->trace_count; i++)
        if (value->traces[i].node == node)
            return value->traces[i].samples;
    return NULL;
}

/* The nodes that a value is a function of: candidate k, or -1 at the end. */
static int candidate(const struct onnx_value *value, int k)
{
    if (k < value->trace_count)
        return value->traces[k].node;
    return k == value->trace_count && value->kind == ONNX_NODE ? value->node : -1;
}

static enum status add_trace(struct onnx_reader *reader, struct onnx_value *result, int node, const double *samples)
{
    if (result->trace_count == ONNX_MAX_TRACES) { /* the oldest is the least likely to be needed */
        memmove(result->traces, result->traces + 1, (ONNX_MAX_TRACES - 1) * sizeof *result->traces);
        result->trace_count--;
    }
    double *copy = arena_alloc(&reader->arena, POINTS, sizeof *copy);
    if (!copy)
        return error_no_memory(reader->err, POINTS * sizeof *copy, "an activation");
    memcpy(copy, samples, POINTS * sizeof *copy);
    result->traces[result->trace_count++] = (struct onnx_trace){node, copy};
    return STATUS_OK;
}

enum status onnx_trace_unary(struct onnx_reader *reader, const struct onnx_value *input, onnx_unary *apply,
                             const void *data)
{
    enum status status = STATUS_OK;
    struct onnx_value *result = onnx_result(reader);
    double own[POINTS], out[POINTS];
    for (int k = 0, node; (node = candidate(input, k)) >= 0; k++) {
        const double *in = samples_of(input, node, own);
        for (int i = 0; i < POINTS; i++)
            out[i] = apply(in[i], data);
        TRY(add_trace(reader, result, node, out));
    }
cleanup:
    return status;
}

static double combine(const char *op, double a, double b)
{
    if (strcmp(op, "Add") == 0 || strcmp(op, "Sum") == 0)
        return a + b;
    if (strcmp(op, "Sub") == 0)
        return a - b;
    if (strcmp(op, "Mul") == 0)
        return a * b;
    if (strcmp(op, "Div") == 0)
        return a / b;
    if (strcmp(op, "Pow") == 0)
        return pow(a, b);
    return strcmp(op, "Min") == 0 ? fmin(a, b) : fmax(a, b);
}

enum status onnx_trace_binary(struct onnx_reader *reader, const struct onnx_value *a, const struct onnx_value *b)
{
    enum status status = STATUS_OK;
    struct onnx_value *result = onnx_result(reader);
    double own_a[POINTS], own_b[POINTS], out[POINTS];
    if (!onnx_layout_equal(&a->layout, &b->layout))
        return STATUS_OK;
    for (int k = 0, node; (node = candidate(a, k)) >= 0; k++) {
        const double *left = samples_of(a, node, own_a), *right = samples_of(b, node, own_b);
        if (!right)
            continue;
        for (int i = 0; i < POINTS; i++)
            out[i] = combine(reader->op->op_type, left[i], right[i]);
        TRY(add_trace(reader, result, node, out));
    }
cleanup:
    return status;
}

struct with_number {
    const char *op;
    double number;
    bool number_first;
};

static double apply_number(double x, const void *data)
{
    const struct with_number *w = data;
    return w->number_first ? combine(w->op, w->number, x) : combine(w->op, x, w->number);
}

enum status onnx_trace_number(struct onnx_reader *reader, const struct onnx_value *input, double number,
                              bool number_first)
{
    const struct with_number with = {reader->op->op_type, number, number_first};
    return onnx_trace_unary(reader, input, apply_number, &with);
}

static double apply_activation(double x, const void *data)
{
    const struct node *node = data;
    return (double)activation_apply(node->activation, node->alpha, node->beta, (float)x);
}

enum status onnx_trace_activation(struct onnx_reader *reader, const struct onnx_value *input, const struct node *node)
{
    return onnx_trace_unary(reader, input, apply_activation, node);
}

/* ---- recognition ---- */
/* The value of the function nearest to x. */
static double at(const double *samples, double x)
{
    int best = 0;
    for (int i = 1; i < POINTS; i++)
        if (fabs(point(i) - x) < fabs(point(best) - x))
            best = i;
    return samples[best];
}

/* Whether the node's activation has these samples. Far out, pieces may overflow where the activation does not. */
static bool agrees(const struct node *node, const double *samples)
{
    for (int i = 0; i < POINTS; i++) {
        const double x = point(i), right = apply_activation(x, node);
        if (!isfinite(samples[i]) && fabs(x) > 80)
            continue;
        if (!(fabs(samples[i] - right) <= 2e-6 * fmax(1, fabs(right))))
            return false;
    }
    return true;
}

static double logit(double p)
{
    return log(p / (1 - p));
}

/* Parameters that the activation must have if the samples are its. */
static void guess(struct node *node, const double *samples)
{
    const double far = point(POINTS - 2), one = point(NEAR / 2 + 7); /* 1.05 */
    switch (node->activation) {
    case ACTIVATION_LEAKY_RELU:
        node->alpha = (float)(at(samples, -one) / -one);
        break;
    case ACTIVATION_CLIP:
        node->alpha = (float)fmax(at(samples, -far), -FLT_MAX);
        node->beta = (float)fmin(at(samples, far), FLT_MAX);
        node->alpha = node->alpha <= -1e6f ? -FLT_MAX : node->alpha;
        node->beta = node->beta >= 1e6f ? FLT_MAX : node->beta;
        break;
    case ACTIVATION_HARD_SIGMOID:
        node->beta = (float)at(samples, 0);
        node->alpha = (float)((at(samples, 0.15) - at(samples, 0)) / 0.15);
        break;
    case ACTIVATION_SILU:
        node->alpha = (float)(logit(at(samples, one) / one) / one);
        break;
    case ACTIVATION_ELU:
        node->alpha = (float)(at(samples, -one) / expm1(-one));
        break;
    case ACTIVATION_SELU:
        node->alpha = 1.6732632f;
        node->beta = 1.0507010f;
        break;
    default:
        break;
    }
}

/* Constants that exporters round differently: 1, 1 / 6, 1.702. */
static void round_parameters(struct node *node)
{
    static const float usual[] = {0, 0.5f, 1, 6, 1.702f, 1.0f / 6, 0.2f, 0.01f, 0.1f, 0.3f};
    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++) {
        if (fabsf(node->alpha - usual[i]) < 3e-6f)
            node->alpha = usual[i];
        if (fabsf(node->beta - usual[i]) < 3e-6f)
            node->beta = usual[i];
    }
}

/* An activation, other than the identity, that has these samples. */
static bool recognise(const double *samples, struct node *node)
{
    for (int i = 0; i < ACTIVATION_COUNT; i++) {
        *node = node_default(OP_ACTIVATION);
        node->activation = (enum activation)i;
        if (i == ACTIVATION_NONE || i == ACTIVATION_CELU)
            continue;
        guess(node, samples);
        round_parameters(node);
        const bool bounded = node->activation != ACTIVATION_CLIP || node->alpha > -FLT_MAX || node->beta < FLT_MAX;
        const bool bends = node->activation != ACTIVATION_LEAKY_RELU || node->alpha != 1;
        if (bounded && bends && isfinite(node->alpha) && isfinite(node->beta) && agrees(node, samples))
            return true;
    }
    return false;
}

bool onnx_recognise(struct onnx_reader *reader, const struct onnx_value *traced, struct node *node, int *input)
{
    (void)reader;
    for (int i = 0; i < traced->trace_count; i++)
        if (recognise(traced->traces[i].samples, node)) {
            *input = traced->traces[i].node;
            return true;
        }
    return false;
}
