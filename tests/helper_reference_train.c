#include "tests/helper_reference_train.h"

#include "tests/helper_reference_ops.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static size_t sample_size(const struct node *n)
{
    return (size_t)n->shape.c * (size_t)n->shape.h * (size_t)n->shape.w;
}

static void *array(size_t count, size_t size)
{
    void *block = calloc(count + 1, size);
    if (!block)
        abort();
    return block;
}

void reference_init(struct reference *r, const struct graph *graph, int count)
{
    const size_t nodes = (size_t)graph->node_count, weights = (size_t)graph->weight_count;
    *r = (struct reference){.graph = graph, .count = count};
    r->values = array(nodes, sizeof(double *));
    r->gradients = array(nodes, sizeof(double *));
    r->mean = array(nodes, sizeof(double *));
    r->inverse = array(nodes, sizeof(double *));
    r->stored = array(nodes, sizeof(double *));
    r->departures = array(nodes, sizeof(double));
    r->weights = array(weights, sizeof(double *));
    r->weight_gradients = array(weights, sizeof(double *));
    for (size_t i = 0; i < nodes; i++) {
        const size_t floats = (size_t)count * sample_size(&graph->nodes[i]);
        r->values[i] = array(floats, sizeof(double));
        r->gradients[i] = array(floats, sizeof(double));
        r->mean[i] = array((size_t)graph->nodes[i].shape.c, sizeof(double));
        r->inverse[i] = array((size_t)graph->nodes[i].shape.c, sizeof(double));
    }
    for (size_t i = 0; i < weights; i++) {
        r->weights[i] = array(graph->weights[i].count, sizeof(double));
        r->weight_gradients[i] = array(graph->weights[i].count, sizeof(double));
        for (size_t k = 0; k < graph->weights[i].count; k++)
            r->weights[i][k] = (double)graph->weights[i].data[k];
    }
}

static void free_all(double **blocks, int count)
{
    for (int i = 0; i < count; i++)
        free(blocks[i]);
    free(blocks);
}

void reference_release(struct reference *r)
{
    free_all(r->values, r->graph->node_count);
    free_all(r->gradients, r->graph->node_count);
    free_all(r->mean, r->graph->node_count);
    free_all(r->inverse, r->graph->node_count);
    free_all(r->stored, r->graph->node_count);
    free(r->departures);
    free_all(r->weights, r->graph->weight_count);
    free_all(r->weight_gradients, r->graph->weight_count);
}

/* ---- the operators: each function goes forward (backward false) or backward over the same indices ---- */
/* One weight of a kernel over one row of the output, which begins at to, and one row of the input, at from. Forward,
 * adds to y and returns 0; backward, adds to dx and returns the weight's gradient. */
static double convolve_row(const struct reference_place *p, size_t to, size_t from, int shift, double weight,
                           bool backward)
{
    const int stride = p->node->stride_w, width = p->from->shape.w;
    double gradient = 0;
    int first = 0, end = p->node->shape.w; /* the pixels x whose x * stride + shift is in the input */
    while (first < end && first * stride + shift < 0)
        first++;
    while (first < end && (end - 1) * stride + shift >= width)
        end--;
    for (int x = first; x < end; x++) {
        const size_t at = from + (size_t)(x * stride + shift);
        if (backward) {
            gradient += p->dy[to + (size_t)x] * p->x[at];
            p->dx[at] += p->dy[to + (size_t)x] * weight;
        } else {
            p->y[to + (size_t)x] += p->x[at] * weight;
        }
    }
    return gradient;
}

static void convolution(struct reference *r, const struct reference_place *p, bool backward)
{
    const struct node *o = p->node;
    const struct shape in = p->from->shape, out = o->shape;
    const int in_group = in.c / o->groups, out_group = out.c / o->groups;
    const size_t pixels = (size_t)out.h * (size_t)out.w;
    for (int n = 0; n < r->count; n++)
        for (int c = 0; c < out.c; c++) {
            const size_t map = reference_at(out, n, c, 0, 0);
            for (size_t i = 0; i < pixels; i++)
                if (!backward)
                    p->y[map + i] = o->bias >= 0 ? r->weights[o->bias][c] : 0;
                else if (o->bias >= 0)
                    r->weight_gradients[o->bias][c] += p->dy[map + i];
            size_t k = (size_t)c * (size_t)(in_group * o->kernel_h * o->kernel_w);
            for (int i = 0; i < in_group; i++)
                for (int ky = 0; ky < o->kernel_h; ky++)
                    for (int kx = 0; kx < o->kernel_w; kx++, k++)
                        for (int y = 0; y < out.h; y++) {
                            const int iy = y * o->stride_h - o->pad_top + ky * o->dilation_h;
                            if (iy < 0 || iy >= in.h)
                                continue;
                            r->weight_gradients[o->weight][k] +=
                                convolve_row(p, reference_at(out, n, c, y, 0),
                                             reference_at(in, n, c / out_group * in_group + i, iy, 0),
                                             kx * o->dilation_w - o->pad_left, r->weights[o->weight][k], backward);
                        }
        }
}

static void linear(struct reference *r, const struct reference_place *p, bool backward)
{
    const struct node *o = p->node;
    const size_t in = sample_size(p->from), out = (size_t)o->shape.c;
    for (size_t n = 0; n < (size_t)r->count; n++)
        for (size_t c = 0; c < out; c++) {
            const double *w = r->weights[o->weight] + c * in, *x = p->x + n * in;
            double sum = o->bias >= 0 ? r->weights[o->bias][c] : 0;
            for (size_t i = 0; i < in; i++) {
                sum += w[i] * x[i];
                if (backward) {
                    r->weight_gradients[o->weight][c * in + i] += p->dy[n * out + c] * x[i];
                    p->dx[n * in + i] += p->dy[n * out + c] * w[i];
                }
            }
            if (!backward)
                p->y[n * out + c] = sum;
            else if (o->bias >= 0)
                r->weight_gradients[o->bias][c] += p->dy[n * out + c];
        }
}

static void pool(struct reference *r, const struct reference_place *p, bool backward)
{
    const struct node *o = p->node;
    const struct shape in = p->from->shape, out = o->shape;
    const bool max = o->op == OP_MAX_POOL;
    for (int n = 0; n < r->count; n++)
        for (int c = 0; c < out.c; c++)
            for (int y = 0; y < out.h; y++)
                for (int x = 0; x < out.w; x++) {
                    const size_t to = reference_at(out, n, c, y, x);
                    double sum = 0, top = -INFINITY;
                    size_t best = 0;
                    int positions = 0;
                    for (int pass = 0; pass < 2; pass++) /* the second pass knows the divisor */
                        for (int ky = 0; ky < o->kernel_h; ky++)
                            for (int kx = 0; kx < o->kernel_w; kx++) {
                                const int iy = y * o->stride_h - o->pad_top + ky * o->dilation_h;
                                const int ix = x * o->stride_w - o->pad_left + kx * o->dilation_w;
                                const bool inside = iy >= 0 && iy < in.h && ix >= 0 && ix < in.w;
                                const bool padded = iy < in.h + o->pad_bottom && ix < in.w + o->pad_right;
                                if (pass == 0)
                                    positions += inside || (o->count_include_pad && padded);
                                if (!inside)
                                    continue;
                                const size_t from = reference_at(in, n, c, iy, ix);
                                if (pass == 0 && p->x[from] > top) {
                                    top = p->x[from];
                                    best = from;
                                }
                                if (pass == 1)
                                    sum += p->x[from];
                                if (pass == 1 && backward && !max)
                                    p->dx[from] += p->dy[to] / positions;
                            }
                    if (!backward)
                        p->y[to] = max ? top : sum / positions;
                    else if (max)
                        p->dx[best] += p->dy[to];
                }
}

static void global_pool(struct reference *r, const struct reference_place *p, bool backward)
{
    const size_t pixels = (size_t)p->from->shape.h * (size_t)p->from->shape.w;
    for (size_t i = 0; i < (size_t)r->count * (size_t)p->node->shape.c; i++) {
        double sum = 0;
        for (size_t k = 0; k < pixels; k++) {
            sum += p->x[i * pixels + k];
            if (backward)
                p->dx[i * pixels + k] += p->dy[i] / (double)pixels;
        }
        if (!backward)
            p->y[i] = sum / (double)pixels;
    }
}

static void batch_norm_forward(struct reference *r, const struct reference_place *p, int node, bool training)
{
    const struct node *o = p->node;
    const struct shape s = o->shape;
    const size_t pixels = (size_t)s.h * (size_t)s.w;
    const double count = (double)r->count * (double)pixels, momentum = (double)o->momentum;
    for (int c = 0; c < s.c; c++) {
        double mean = r->weights[o->running_mean][c], variance = r->weights[o->running_var][c];
        if (training) {
            double sum = 0, squares = 0;
            for (int n = 0; n < r->count; n++)
                for (size_t i = 0; i < pixels; i++)
                    sum += p->x[reference_at(s, n, c, 0, 0) + i];
            mean = sum / count;
            for (int n = 0; n < r->count; n++)
                for (size_t i = 0; i < pixels; i++)
                    squares +=
                        (p->x[reference_at(s, n, c, 0, 0) + i] - mean) * (p->x[reference_at(s, n, c, 0, 0) + i] - mean);
            variance = squares / count;
            r->weights[o->running_mean][c] += momentum * (mean - r->weights[o->running_mean][c]);
            r->weights[o->running_var][c] +=
                momentum * (variance * count / (count > 1 ? count - 1 : 1) - r->weights[o->running_var][c]);
        }
        r->mean[node][c] = mean;
        r->inverse[node][c] = 1 / sqrt(variance + (double)o->epsilon);
        for (int n = 0; n < r->count; n++)
            for (size_t i = 0; i < pixels; i++)
                p->y[reference_at(s, n, c, 0, 0) + i] =
                    (p->x[reference_at(s, n, c, 0, 0) + i] - mean) * r->inverse[node][c] * r->weights[o->weight][c] +
                    r->weights[o->bias][c];
    }
}

static void batch_norm_backward(struct reference *r, const struct reference_place *p, int node, bool training)
{
    const struct node *o = p->node;
    const struct shape s = o->shape;
    const size_t pixels = (size_t)s.h * (size_t)s.w;
    const double count = (double)r->count * (double)pixels;
    for (int c = 0; c < s.c; c++) {
        const double mean = r->mean[node][c], inverse = r->inverse[node][c], gamma = r->weights[o->weight][c];
        double sum = 0, product = 0;
        for (int n = 0; n < r->count; n++)
            for (size_t i = 0, k = reference_at(s, n, c, 0, 0); i < pixels; i++, k++) {
                sum += p->dy[k];
                product += p->dy[k] * (p->x[k] - mean) * inverse;
            }
        r->weight_gradients[o->weight][c] += product;
        r->weight_gradients[o->bias][c] += sum;
        for (int n = 0; n < r->count; n++)
            for (size_t i = 0, k = reference_at(s, n, c, 0, 0); i < pixels; i++, k++) {
                const double xhat = (p->x[k] - mean) * inverse;
                const double centred = training ? p->dy[k] - sum / count - xhat * product / count : p->dy[k];
                p->dx[k] += gamma * inverse * centred;
            }
    }
}

/* add and concat: input number `which` of the node */
static void combine(struct reference *r, const struct reference_place *p, const struct node *from, int which,
                    bool backward)
{
    const struct node *o = p->node;
    const size_t in = sample_size(from), out = sample_size(o);
    size_t skip = 0;
    for (int i = 0; o->op == OP_CONCAT && i < which; i++)
        skip += sample_size(&r->graph->nodes[o->inputs[i]]);
    for (size_t n = 0; n < (size_t)r->count; n++)
        for (size_t i = 0; i < in; i++) {
            const size_t k = n * out + skip + i;
            if (backward)
                p->dx[n * in + i] += p->dy[k];
            else
                p->y[k] = (o->op == OP_ADD && which > 0 ? p->y[k] : 0) + p->x[n * in + i];
        }
}

static void run_node(struct reference *r, int node, bool training, bool backward)
{
    const struct node *o = &r->graph->nodes[node];
    for (int which = 0; which < o->input_count; which++) {
        const int input = o->inputs[which];
        const struct reference_place p = {
            o, &r->graph->nodes[input], r->values[input], r->gradients[node], r->values[node], r->gradients[input]};
        switch (o->op) {
        case OP_CONV:
            convolution(r, &p, backward);
            break;
        case OP_LINEAR:
            linear(r, &p, backward);
            break;
        case OP_BATCH_NORM:
            (backward ? batch_norm_backward : batch_norm_forward)(r, &p, node, training);
            break;
        case OP_ACTIVATION:
            reference_activation(r, &p, backward);
            break;
        case OP_MAX_POOL:
        case OP_AVERAGE_POOL:
            pool(r, &p, backward);
            break;
        case OP_GLOBAL_AVERAGE_POOL:
            global_pool(r, &p, backward);
            break;
        case OP_PAD:
            reference_pad(r, &p, backward);
            break;
        case OP_ADD:
        case OP_CONCAT:
        case OP_FLATTEN:
        case OP_DROPOUT:
            combine(r, &p, p.from, which, backward);
            break;
        case OP_MULTIPLY:
            reference_multiply(r, &p, which, backward);
            break;
        case OP_SCALE:
            reference_scale(r, &p, backward);
            break;
        case OP_PRELU:
            reference_prelu(r, &p, backward);
            break;
        case OP_SELECT:
            reference_select(r, &p, backward);
            break;
        case OP_GROUP_NORM:
        case OP_LAYER_NORM:
        case OP_LP_NORM:
            reference_norm(r, &p, backward);
            break;
        case OP_RESIZE:
            reference_resize(r, &p, backward);
            break;
        case OP_QUANTISE:
            reference_quantise(r, &p, training, backward);
            break;
        case OP_INPUT:
        case OP_SOFTMAX:
        case OP_LOG_SOFTMAX:
        case OP_COUNT:
            abort();
        }
    }
}

void reference_store(struct reference *r, int node, const double *values)
{
    const size_t count = (size_t)r->count * sample_size(&r->graph->nodes[node]);
    if (!r->stored[node])
        r->stored[node] = array(count, sizeof(double));
    memcpy(r->stored[node], values, count * sizeof *values);
}

static void take_stored(struct reference *r, int node)
{
    const size_t count = (size_t)r->count * sample_size(&r->graph->nodes[node]);
    double difference = 0, largest = 0;
    for (size_t i = 0; i < count; i++) {
        const double off = fabs(r->stored[node][i] - r->values[node][i]);
        difference = off > difference || isnan(off) ? off : difference;
        largest = fmax(largest, fabs(r->values[node][i]));
    }
    r->departures[node] = difference == 0 ? 0 : difference / largest;
    memcpy(r->values[node], r->stored[node], count * sizeof(double));
}

void reference_forward(struct reference *r, const float *input, bool training)
{
    const struct shape s = r->graph->nodes[r->graph->input].shape;
    for (int n = 0; n < r->count; n++)
        for (int y = 0; y < s.h; y++)
            for (int x = 0; x < s.w; x++)
                for (int c = 0; c < s.c; c++)
                    r->values[r->graph->input][reference_at(s, n, c, y, x)] = (double)*input++;
    for (int node = 0; node < r->graph->node_count; node++) {
        run_node(r, node, training, false);
        if (r->stored[node])
            take_stored(r, node);
    }
}

void reference_backward(struct reference *r, bool training)
{
    for (int node = r->graph->node_count - 1; node >= 0; node--)
        run_node(r, node, training, true);
}
