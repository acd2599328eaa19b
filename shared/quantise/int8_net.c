#include "shared/quantise/int8_net.h"

#include "shared/graph/activation.h"
#include <float.h>
#include <math.h>
#include <stdlib.h>

static enum status no_memory(struct error *err)
{
    return error_no_memory(err, 0, "a quantised student");
}

enum status int8_factor(double factor, int32_t *multiplier, uint8_t *shift, struct error *err)
{
    int exponent;
    const double fraction = frexp(factor, &exponent); /* factor = fraction * 2^exponent, fraction in [0.5, 1) */
    int64_t whole = llround(ldexp(fraction, 31));
    if (whole == (int64_t)1 << 31) {
        whole >>= 1;
        exponent++;
    }
    if (exponent > 30)
        return error_set(err, STATUS_CONFIG, NULL, "the scales of two layers differ by a factor of %g", factor);
    for (; 31 - exponent > 62; exponent++)
        whole = (whole + 1) >> 1;
    *multiplier = (int32_t)whole;
    *shift = (uint8_t)(whole ? 31 - exponent : 1);
    return STATUS_OK;
}

/* ---- ranges ---- */
bool int8_keeps_scale(enum lowered_kind kind)
{
    return kind == LOWERED_MAX_POOL || kind == LOWERED_SELECT || kind == LOWERED_PAD;
}

void int8_ranges(const struct lowered *lowered, struct value_range *ranges)
{
    for (bool changed = true; changed;) {
        changed = false;
        for (int s = 0; s < lowered->step_count; s++) {
            const struct lowered_step *step = &lowered->steps[s];
            struct value_range *in = &ranges[step->inputs[0]], *out = &ranges[step->output];
            if (!int8_keeps_scale(step->kind))
                continue;
            const struct value_range both = {fminf(in->low, out->low), fmaxf(in->high, out->high)};
            changed = changed || both.low != in->low || both.low != out->low || both.high != in->high ||
                      both.high != out->high;
            *in = *out = both;
        }
    }
}

/* ---- one step ---- */
struct builder {
    struct int8_net *net;
    const struct lowered_step *from;
    struct int8_step *to;
    struct int8_value out;
    struct error *err;
};

static struct int8_value input_of(const struct builder *b, int k)
{
    return b->net->values[b->from->inputs[k]];
}

static enum status take_factors(const struct builder *b, int count)
{
    b->to->multiplier = arena_alloc(&b->net->arena, (size_t)count, sizeof *b->to->multiplier);
    b->to->shift = arena_alloc(&b->net->arena, (size_t)count, sizeof *b->to->shift);
    b->to->multiplier_count = count;
    return b->to->multiplier && b->to->shift ? STATUS_OK : no_memory(b->err);
}

/* The scale of an output channel's weights: of the largest one, but not so small that the bias is no int32. */
static float weight_scale(const float *weights, size_t count, float bias, float in_scale)
{
    const float least = fabsf(bias) / in_scale / (float)(1 << 29);
    float largest = 0;
    for (size_t i = 0; i < count; i++)
        largest = fmaxf(largest, fabsf(weights[i]));
    return fmaxf(int8_weight_scale(largest), least);
}

static void quantise_channel(const struct builder *b, size_t o, size_t row)
{
    const struct window *w = &b->from->window;
    const size_t taps = (size_t)w->kernel_h * (size_t)w->kernel_w, out = (size_t)w->out_c;
    const float *weights = b->from->weight + o * row, scale = b->to->weight_scale[o];
    for (size_t i = 0; i < row; i++) {
        const size_t to = b->from->kind == LOWERED_DEPTHWISE ? i % taps * out + o : o * row + i;
        b->to->weight[to] = (int8_t)fmaxf(-127, fminf(127, rintf(weights[i] / scale)));
    }
    b->to->bias[o] = (int32_t)llrint((double)b->from->bias[o] / ((double)input_of(b, 0).scale * (double)scale));
}

static enum status quantise_conv(const struct builder *b)
{
    enum status status = STATUS_OK;
    const struct window *w = &b->from->window;
    const size_t out = (size_t)w->out_c,
                 row = (size_t)w->kernel_h * (size_t)w->kernel_w * (size_t)(w->in_c / w->groups);
    const struct int8_value in = input_of(b, 0);
    if (row > ((size_t)1 << 30) / (255 * 127)) /* with the bias: below 2^31 */
        return error_set(b->err, STATUS_CONFIG, NULL,
                         "layer '%s' sums up %zu products per value, more than 32 bits hold",
                         b->net->lowered->graph.nodes[b->from->node].name, row);
    TRY(take_factors(b, w->out_c));
    b->to->weight = arena_alloc(&b->net->arena, out, row);
    b->to->bias = arena_alloc(&b->net->arena, out, sizeof *b->to->bias);
    b->to->weight_scale = arena_alloc(&b->net->arena, out, sizeof *b->to->weight_scale);
    if (!b->to->weight || !b->to->bias || !b->to->weight_scale)
        TRY(no_memory(b->err));
    for (size_t o = 0; o < out; o++) {
        b->to->weight_scale[o] = weight_scale(b->from->weight + o * row, row, b->from->bias[o], in.scale);
        quantise_channel(b, o, row);
        TRY(int8_factor((double)in.scale * (double)b->to->weight_scale[o] / (double)b->out.scale, &b->to->multiplier[o],
                        &b->to->shift[o], b->err));
    }
cleanup:
    return status;
}

/* Factors of inputs that are summed up in 32 bits, of which 9 are a value's: one shift, as large as all allow. */
static enum status quantise_sum(const struct builder *b, int first, int count)
{
    enum status status = STATUS_OK;
    double largest = 0;
    int spare = 0, exponent;
    for (; (1 << spare) < count + 1; spare++)
        ;
    for (int k = first; k < first + count; k++)
        largest = fmax(largest, (double)input_of(b, k).scale / (double)b->out.scale);
    frexp(largest, &exponent); /* largest < 2^exponent */
    const int shift = 22 - spare - exponent;
    if (shift < 1)
        FAIL(error_set(b->err, STATUS_CONFIG, NULL, "the scales of two layers differ by a factor of %g", largest));
    for (int k = first; k < first + count; k++) {
        const double factor = (double)input_of(b, k).scale / (double)b->out.scale;
        b->to->multiplier[k] = (int32_t)llround(ldexp(factor, shift > 30 ? 30 : shift));
        b->to->shift[k] = (uint8_t)(shift > 30 ? 30 : shift);
    }
cleanup:
    return status;
}

static enum status quantise_join(const struct builder *b)
{
    enum status status = STATUS_OK;
    TRY(take_factors(b, b->from->input_count));
    if (b->from->kind == LOWERED_ADD)
        return quantise_sum(b, 0, b->from->input_count);
    for (int k = 0; k < b->from->input_count; k++)
        TRY(quantise_sum(b, k, 1));
cleanup:
    return status;
}

/* Averages over 1, 2, ... pixels, or over `pixels` only; a product. */
static enum status quantise_factors(const struct builder *b)
{
    enum status status = STATUS_OK;
    const struct window *w = &b->from->window;
    const double in = (double)input_of(b, 0).scale, out = (double)b->out.scale;
    const int count = b->from->kind == LOWERED_AVERAGE_POOL ? w->kernel_h * w->kernel_w : 1;
    TRY(take_factors(b, count));
    for (int i = 0; i < count; i++) {
        const double factor = b->from->kind == LOWERED_MULTIPLY ? in * (double)input_of(b, 1).scale / out
                              : b->from->kind == LOWERED_MEAN   ? in / out / ((double)w->in_h * w->in_w)
                                                                : in / out / (i + 1);
        TRY(int8_factor(factor, &b->to->multiplier[i], &b->to->shift[i], b->err));
    }
cleanup:
    return status;
}

static enum status make_table(const struct builder *b)
{
    const struct int8_value in = input_of(b, 0);
    b->to->table = arena_alloc(&b->net->arena, 256, 1);
    if (!b->to->table)
        return no_memory(b->err);
    for (int q = -128; q < 128; q++)
        b->to->table[q + 128] = int8_quantise(
            activation_apply(b->from->activation, b->from->alpha, b->from->beta, in.scale * (float)(q - in.zero)),
            b->out);
    return STATUS_OK;
}

static enum status quantise_step(struct int8_net *net, int s, struct error *err)
{
    const struct lowered_step *from = &net->lowered->steps[s];
    const struct builder b = {net, from, &net->steps[s], net->values[from->output], err};
    b.to->low = from->low > -FLT_MAX ? int8_quantise(from->low, b.out) : -128;
    b.to->high = from->high < FLT_MAX ? int8_quantise(from->high, b.out) : 127;
    switch (from->kind) {
    case LOWERED_CONV:
    case LOWERED_DEPTHWISE:
        return quantise_conv(&b);
    case LOWERED_ADD:
    case LOWERED_CONCAT:
        return quantise_join(&b);
    case LOWERED_MULTIPLY:
    case LOWERED_AVERAGE_POOL:
    case LOWERED_MEAN:
        return quantise_factors(&b);
    case LOWERED_ACTIVATION:
        return make_table(&b);
    case LOWERED_MAX_POOL:
    case LOWERED_SELECT:
    case LOWERED_PAD:
    case LOWERED_KIND_COUNT:
        break;
    }
    return STATUS_OK;
}

enum status int8_net_init(struct int8_net *net, const struct lowered *lowered, const struct value_range *ranges,
                          float normalised[3][256], struct error *err)
{
    enum status status = STATUS_OK;
    const struct shape in = lowered->values[lowered->input].shape;
    const size_t count = (size_t)lowered->value_count;
    struct value_range *joined = malloc(count * sizeof *joined);
    *net = (struct int8_net){.lowered = lowered};
    net->values = arena_alloc(&net->arena, count, sizeof *net->values);
    net->steps = arena_alloc(&net->arena, (size_t)lowered->step_count, sizeof *net->steps);
    if (!joined || !net->values || !net->steps) {
        status = no_memory(err);
        goto cleanup;
    }
    for (size_t v = 0; v < count; v++)
        joined[v] = ranges[v];
    int8_ranges(lowered, joined);
    for (size_t v = 0; v < count; v++)
        net->values[v] = int8_value_of(joined[v]);
    for (int c = 0; c < in.c && c < 3; c++)
        for (int p = 0; p < 256; p++)
            net->pixels[c][p] = int8_quantise(normalised[c][p], net->values[lowered->input]);
    for (int s = 0; s < lowered->step_count; s++)
        TRY(quantise_step(net, s, err));
cleanup:
    free(joined);
    if (status != STATUS_OK)
        int8_net_release(net);
    return status;
}

void int8_net_release(struct int8_net *net)
{
    arena_release(&net->arena);
    *net = (struct int8_net){0};
}
