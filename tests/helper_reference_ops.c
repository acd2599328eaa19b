#include "tests/helper_reference_ops.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

size_t reference_at(struct shape s, int n, int c, int y, int x)
{
    return (((size_t)n * (size_t)s.c + (size_t)c) * (size_t)s.h + (size_t)y) * (size_t)s.w + (size_t)x;
}

static size_t elements(struct shape s)
{
    return (size_t)s.c * (size_t)s.h * (size_t)s.w;
}

/* ---- activations ---- */
static double value_of(const struct node *o, double x)
{
    const double alpha = (double)o->alpha, beta = (double)o->beta;
    switch (o->activation) {
    case ACTIVATION_RELU:
        return fmax(x, 0);
    case ACTIVATION_LEAKY_RELU:
        return x > 0 ? x : alpha * x;
    case ACTIVATION_CLIP:
        return fmin(fmax(x, alpha), beta);
    case ACTIVATION_HARD_SIGMOID:
        return fmin(fmax(alpha * x + beta, 0), 1);
    case ACTIVATION_HARD_SWISH:
        return x * fmin(fmax(x / 6 + 0.5, 0), 1);
    case ACTIVATION_SIGMOID:
        return 1 / (1 + exp(-x));
    case ACTIVATION_SILU:
        return x / (1 + exp(-alpha * x));
    case ACTIVATION_ELU:
        return x > 0 ? x : alpha * expm1(x);
    case ACTIVATION_SELU:
        return beta * (x > 0 ? x : alpha * expm1(x));
    case ACTIVATION_CELU:
        return x > 0 ? x : alpha * expm1(x / alpha);
    case ACTIVATION_GELU:
        return x / 2 * erfc(-x / sqrt(2));
    case ACTIVATION_GELU_TANH:
        return x / 2 * (1 + tanh(sqrt(2 / acos(-1)) * (x + 0.044715 * x * x * x)));
    case ACTIVATION_MISH:
        return x * tanh(log1p(exp(x)));
    case ACTIVATION_TANH:
        return tanh(x);
    case ACTIVATION_SOFTPLUS:
        return log1p(exp(x));
    case ACTIVATION_SOFTSIGN:
        return x / (1 + fabs(x));
    case ACTIVATION_ABS:
        return fabs(x);
    case ACTIVATION_NONE:
        return x;
    case ACTIVATION_COUNT:
        break;
    }
    abort();
}

/* At kinks PyTorch's choice; elsewhere the slope of the values themselves. */
static double slope_of(const struct node *o, double x)
{
    const double alpha = (double)o->alpha, beta = (double)o->beta, step = 1e-5;
    const double line = alpha * x + beta;
    switch (o->activation) {
    case ACTIVATION_RELU:
        return x > 0;
    case ACTIVATION_LEAKY_RELU:
        return x > 0 ? 1 : alpha;
    case ACTIVATION_CLIP:
        return x > alpha && x < beta;
    case ACTIVATION_HARD_SIGMOID:
        return line > 0 && line < 1 ? alpha : 0;
    case ACTIVATION_HARD_SWISH:
        return x < -3 ? 0 : x <= 3 ? x / 3 + 0.5 : 1;
    case ACTIVATION_ELU:
        return x > 0 ? 1 : alpha * exp(x);
    case ACTIVATION_SELU:
        return beta * (x > 0 ? 1 : alpha * exp(x));
    case ACTIVATION_ABS:
        return x > 0 ? 1 : x < 0 ? -1 : 0;
    default: /* smooth at least once: a central difference of fourth order */
        return (8 * (value_of(o, x + step) - value_of(o, x - step)) -
                (value_of(o, x + 2 * step) - value_of(o, x - 2 * step))) /
               (12 * step);
    }
}

void reference_activation(struct reference *r, const struct reference_place *p, bool backward)
{
    for (size_t i = 0; i < (size_t)r->count * elements(p->node->shape); i++)
        if (backward)
            p->dx[i] += slope_of(p->node, p->x[i]) * p->dy[i];
        else
            p->y[i] = value_of(p->node, p->x[i]);
}

/* ---- weights and products ---- */
void reference_multiply(struct reference *r, const struct reference_place *p, int which, bool backward)
{
    const struct shape out = p->node->shape, in = p->from->shape;
    const double *other = r->values[p->node->inputs[1 - which]];
    const struct shape other_shape = r->graph->nodes[p->node->inputs[1 - which]].shape;
    for (int n = 0; n < r->count; n++)
        for (int c = 0; c < out.c; c++)
            for (int y = 0; y < out.h; y++)
                for (int x = 0; x < out.w; x++) {
                    const size_t to = reference_at(out, n, c, y, x);
                    const size_t from = reference_at(in, n, in.c == 1 ? 0 : c, in.h == 1 ? 0 : y, in.w == 1 ? 0 : x);
                    const size_t beside = reference_at(other_shape, n, other_shape.c == 1 ? 0 : c,
                                                       other_shape.h == 1 ? 0 : y, other_shape.w == 1 ? 0 : x);
                    if (backward)
                        p->dx[from] += p->dy[to] * other[beside];
                    else
                        p->y[to] = p->x[from] * other[beside];
                }
}

/* Where the number of a weight for (c, position) lies. */
static size_t number_of(const struct reference *r, int weight, int c, size_t position, size_t pixels)
{
    const struct weight *w = &r->graph->weights[weight];
    return w->rank == 3 ? (size_t)c * pixels + position : w->count == 1 ? 0 : (size_t)c;
}

void reference_scale(struct reference *r, const struct reference_place *p, bool backward)
{
    const struct node *o = p->node;
    const size_t pixels = (size_t)o->shape.h * (size_t)o->shape.w;
    for (size_t i = 0; i < (size_t)r->count * elements(o->shape); i++) {
        const int c = (int)(i / pixels % (size_t)o->shape.c);
        const size_t w = o->weight < 0 ? 0 : number_of(r, o->weight, c, i % pixels, pixels);
        const size_t b = o->bias < 0 ? 0 : number_of(r, o->bias, c, i % pixels, pixels);
        const double weight = o->weight < 0 ? 1 : r->weights[o->weight][w];
        if (!backward) {
            p->y[i] = p->x[i] * weight + (o->bias < 0 ? 0 : r->weights[o->bias][b]);
            continue;
        }
        p->dx[i] += p->dy[i] * weight;
        if (o->weight >= 0)
            r->weight_gradients[o->weight][w] += p->dy[i] * p->x[i];
        if (o->bias >= 0)
            r->weight_gradients[o->bias][b] += p->dy[i];
    }
}

void reference_prelu(struct reference *r, const struct reference_place *p, bool backward)
{
    const struct node *o = p->node;
    const size_t pixels = (size_t)o->shape.h * (size_t)o->shape.w;
    for (size_t i = 0; i < (size_t)r->count * elements(o->shape); i++) {
        const size_t w = number_of(r, o->weight, (int)(i / pixels % (size_t)o->shape.c), 0, 1);
        const double weight = r->weights[o->weight][w];
        if (!backward)
            p->y[i] = p->x[i] > 0 ? p->x[i] : p->x[i] * weight;
        else if (p->x[i] > 0)
            p->dx[i] += p->dy[i];
        else {
            p->dx[i] += p->dy[i] * weight;
            r->weight_gradients[o->weight][w] += p->dy[i] * p->x[i];
        }
    }
}

void reference_select(struct reference *r, const struct reference_place *p, bool backward)
{
    const struct shape in = p->from->shape, out = p->node->shape;
    const size_t pixels = (size_t)in.h * (size_t)in.w;
    for (int n = 0; n < r->count; n++)
        for (int c = 0; c < out.c; c++)
            for (size_t i = 0; i < pixels; i++) {
                const size_t to = reference_at(out, n, c, 0, 0) + i;
                const size_t from = reference_at(in, n, p->node->channels[c], 0, 0) + i;
                if (backward)
                    p->dx[from] += p->dy[to];
                else
                    p->y[to] = p->x[from];
            }
}

/* ---- norms: the values of a set, at[count], share their statistics ---- */
struct set {
    const size_t *at;
    size_t count;
};

static int channel_of(struct shape s, size_t i)
{
    return (int)(i / ((size_t)s.h * (size_t)s.w) % (size_t)s.c);
}

static void moments_norm(struct reference *r, const struct reference_place *p, const struct set *set, bool backward)
{
    const struct node *o = p->node;
    const double count = (double)set->count;
    double mean = 0, variance = 0, sum = 0, product = 0;
    for (size_t k = 0; k < set->count; k++)
        mean += p->x[set->at[k]] / count;
    for (size_t k = 0; k < set->count; k++)
        variance += (p->x[set->at[k]] - mean) * (p->x[set->at[k]] - mean) / count;
    const double inverse = 1 / sqrt(variance + (double)o->epsilon);
    for (int pass = 0; pass < 2; pass++)
        for (size_t k = 0; k < set->count; k++) {
            const size_t i = set->at[k];
            const int c = channel_of(o->shape, i);
            const double weight = o->weight < 0 ? 1 : r->weights[o->weight][c];
            const double xhat = (p->x[i] - mean) * inverse;
            if (!backward) {
                p->y[i] = xhat * weight + (o->bias < 0 ? 0 : r->weights[o->bias][c]);
            } else if (pass == 0) {
                sum += weight * p->dy[i] / count;
                product += weight * p->dy[i] * xhat / count;
                if (o->weight >= 0)
                    r->weight_gradients[o->weight][c] += p->dy[i] * xhat;
                if (o->bias >= 0)
                    r->weight_gradients[o->bias][c] += p->dy[i];
            } else {
                p->dx[i] += inverse * (weight * p->dy[i] - sum - xhat * product);
            }
        }
}

static void lp_norm(const struct reference_place *p, const struct set *set, bool backward)
{
    const double exponent = (double)p->node->alpha, epsilon = (double)p->node->epsilon;
    double norm = 0, product = 0;
    for (size_t k = 0; k < set->count; k++)
        norm += pow(fabs(p->x[set->at[k]]), exponent);
    norm = pow(norm, 1 / exponent);
    const double divisor = fmax(norm, epsilon);
    for (size_t k = 0; k < set->count; k++)
        product += p->x[set->at[k]] * p->dy[set->at[k]];
    for (size_t k = 0; k < set->count; k++) {
        const size_t i = set->at[k];
        /* d norm / dx = sign(x) * (|x| / norm)^(p - 1) */
        const double slope = norm > epsilon ? copysign(pow(fabs(p->x[i]) / norm, exponent - 1), p->x[i]) : 0;
        if (backward)
            p->dx[i] += p->dy[i] / divisor - slope * product / (divisor * divisor);
        else
            p->y[i] = p->x[i] / divisor;
    }
}

void reference_norm(struct reference *r, const struct reference_place *p, bool backward)
{
    const struct node *o = p->node;
    const struct shape s = o->shape;
    const size_t pixels = (size_t)s.h * (size_t)s.w;
    const bool grouped = o->op == OP_GROUP_NORM;
    const int groups = grouped ? o->groups : 1, size = s.c / groups;
    size_t *at = malloc(elements(s) * sizeof *at);
    if (!at)
        abort();
    for (int n = 0; n < r->count; n++)
        for (int group = 0; group < groups; group++)
            for (size_t first = 0; first < (grouped ? 1 : pixels); first++) {
                struct set set = {at, 0};
                for (int c = group * size; c < (group + 1) * size; c++)
                    for (size_t i = first; i < (grouped ? pixels : first + 1); i++)
                        at[set.count++] = reference_at(s, n, c, 0, 0) + i;
                if (o->op == OP_LP_NORM)
                    lp_norm(p, &set, backward);
                else
                    moments_norm(r, p, &set, backward);
            }
    free(at);
}

/* ---- other positions ---- */
/* Reads the input's position (y, x), or the constant; adds share of it. */
static void take(const struct reference_place *p, int n, int c, size_t to, const int position[2], double share,
                 bool backward)
{
    const size_t from = reference_at(p->from->shape, n, c, position[0], position[1]);
    if (backward)
        p->dx[from] += share * p->dy[to];
    else
        p->y[to] += share * p->x[from];
}

/* Walks to the inside of [0, size) as the mode says, one step at a time; -1: outside. */
static int inside(enum pad_mode mode, int i, int size)
{
    int direction = i < 0 ? 1 : -1;
    if (i >= 0 && i < size)
        return i;
    if (mode == PAD_CONSTANT)
        return -1;
    const int border = i < 0 ? 0 : size - 1, distance = abs(border - i);
    return mode == PAD_EDGE ? border : border + direction * distance;
}

void reference_pad(struct reference *r, const struct reference_place *p, bool backward)
{
    const struct node *o = p->node;
    const struct shape in = p->from->shape, out = o->shape;
    for (int n = 0; n < r->count; n++)
        for (int c = 0; c < out.c; c++)
            for (int y = 0; y < out.h; y++)
                for (int x = 0; x < out.w; x++) {
                    const int from[2] = {inside(o->pad_mode, y - o->pad_top, in.h),
                                         inside(o->pad_mode, x - o->pad_left, in.w)};
                    const size_t to = reference_at(out, n, c, y, x);
                    const bool outside = from[0] < 0 || from[1] < 0;
                    if (!backward)
                        p->y[to] = outside ? (double)o->alpha : 0;
                    if (!outside)
                        take(p, n, c, to, from, 1, backward);
                }
}

/* The weight of source coordinate i for the position `at`: a hat for linear, otherwise one for the rounded one. */
static double resize_weight(enum resize_mode mode, double at, int i, int size)
{
    const double held = fmin(fmax(at, 0), size - 1);
    double nearest = at;
    if (mode == RESIZE_LINEAR)
        return fmax(0, 1 - fabs(held - i));
    nearest = mode == RESIZE_NEAREST_FLOOR       ? floor(at)
              : mode == RESIZE_NEAREST_CEIL      ? ceil(at)
              : mode == RESIZE_NEAREST_HALF_DOWN ? ceil(at - 0.5)
                                                 : floor(at + 0.5);
    return fmin(fmax(nearest, 0), size - 1) == i;
}

void reference_resize(struct reference *r, const struct reference_place *p, bool backward)
{
    const struct resize *z = &p->node->resize;
    const struct shape in = p->from->shape, out = p->node->shape;
    for (int n = 0; n < r->count; n++)
        for (int c = 0; c < out.c; c++)
            for (int y = 0; y < out.h; y++)
                for (int x = 0; x < out.w; x++) {
                    const double top = (y + z->y.before) / z->y.scale + z->y.after;
                    const double left = (x + z->x.before) / z->x.scale + z->x.after;
                    const size_t to = reference_at(out, n, c, y, x);
                    if (!backward)
                        p->y[to] = 0;
                    for (int sy = 0; sy < in.h; sy++)
                        for (int sx = 0; sx < in.w; sx++)
                            take(p, n, c, to, (const int[2]){sy, sx},
                                 resize_weight(z->mode, top, sy, in.h) * resize_weight(z->mode, left, sx, in.w),
                                 backward);
                }
}

void reference_quantise(struct reference *r, const struct reference_place *p, bool training, bool backward)
{
    const struct shape s = p->node->shape;
    const size_t count = (size_t)r->count * (size_t)s.c * (size_t)s.h * (size_t)s.w;
    double *range = r->weights[p->node->weight], low = p->x[0], high = p->x[0];
    for (size_t i = 0; i < count; i++) {
        low = fmin(low, p->x[i]);
        high = fmax(high, p->x[i]);
    }
    if (training && !backward) {
        const bool known = range[0] <= range[1];
        low = fmin(fmax(low, (double)p->node->alpha), (double)p->node->beta);
        high = fmin(fmax(high, (double)p->node->alpha), (double)p->node->beta);
        range[0] = known ? range[0] + 0.01 * (low - range[0]) : low;
        range[1] = known ? range[1] + 0.01 * (high - range[1]) : high;
    }
    const double scale = (fmax(range[1], 0) - fmin(range[0], 0)) / 255, zero = rint(-128 - fmin(range[0], 0) / scale);
    for (size_t i = 0; i < count; i++) {
        const double q = rint(p->x[i] / scale) + zero;
        if (!backward)
            p->y[i] = (fmin(fmax(q, -128), 127) - zero) * scale;
        else if (q >= -128 && q <= 127)
            p->dx[i] += p->dy[i];
    }
}
