#include "shared/graph/graph_reference.h"

#include "shared/graph/activation.h"
#include "shared/graph/int8_value.h"
#include "shared/graph/resize.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* One node and one sample. */
struct node_run {
    const struct graph *graph;
    const struct node *node;
    const float *const *in; /* [input_count] values of the inputs, each [c, h, w] of its shape */
    const struct shape *in_shapes;
    float *out; /* [c, h, w] of node->shape */
};

static size_t elements(struct shape s)
{
    return (size_t)s.c * (size_t)s.h * (size_t)s.w;
}

static size_t at(struct shape s, int c, int y, int x)
{
    return ((size_t)c * (size_t)s.h + (size_t)y) * (size_t)s.w + (size_t)x;
}

static const float *weights_of(const struct node_run *run, int weight)
{
    return weight >= 0 ? run->graph->weights[weight].data : NULL;
}

/* out[o, y, x] = bias[o] + sum over i, ky, kx of
 *     weight[o, i, ky, kx] * in[i of o's group, y * stride + ky * dilation - pad, x * stride + kx * dilation - pad] */
static double conv_at(const struct node_run *run, int o, int y, int x)
{
    const struct node *node = run->node;
    struct shape in = run->in_shapes[0];
    int group_in = in.c / node->groups, group = o / (node->shape.c / node->groups);
    const float *weight = weights_of(run, node->weight), *bias = weights_of(run, node->bias);
    double sum = bias ? bias[o] : 0;
    for (int i = 0; i < group_in; i++)
        for (int ky = 0; ky < node->kernel_h; ky++)
            for (int kx = 0; kx < node->kernel_w; kx++) {
                int sy = y * node->stride_h + ky * node->dilation_h - node->pad_top;
                int sx = x * node->stride_w + kx * node->dilation_w - node->pad_left;
                if (sy < 0 || sy >= in.h || sx < 0 || sx >= in.w)
                    continue;
                size_t w = (((size_t)o * (size_t)group_in + (size_t)i) * (size_t)node->kernel_h + (size_t)ky) *
                               (size_t)node->kernel_w +
                           (size_t)kx;
                sum += (double)weight[w] * (double)run->in[0][at(in, group * group_in + i, sy, sx)];
            }
    return sum;
}

static double linear_at(const struct node_run *run, int o)
{
    const float *weight = weights_of(run, run->node->weight), *bias = weights_of(run, run->node->bias);
    size_t features = elements(run->in_shapes[0]);
    double sum = bias ? bias[o] : 0;
    for (size_t i = 0; i < features; i++)
        sum += (double)weight[(size_t)o * features + i] * (double)run->in[0][i];
    return sum;
}

static double batch_norm_of(const struct node_run *run, int c, double x)
{
    const struct node *node = run->node;
    double mean = weights_of(run, node->running_mean)[c], variance = weights_of(run, node->running_var)[c];
    return (x - mean) / sqrt(variance + (double)node->epsilon) * (double)weights_of(run, node->weight)[c] +
           (double)weights_of(run, node->bias)[c];
}

static int smaller(int a, int b)
{
    return a < b ? a : b;
}

/* Maximum or average over a window. The average divides by the number of values in the window; with count_include_pad
 * the padding counts too, but not what ceil_mode adds beyond the padding (PyTorch's rule). */
static double pool_at(const struct node_run *run, int c, int y, int x)
{
    const struct node *node = run->node;
    struct shape in = run->in_shapes[0];
    int top = y * node->stride_h - node->pad_top, left = x * node->stride_w - node->pad_left, valid = 0;
    double sum = 0, maximum = -INFINITY;
    for (int ky = 0; ky < node->kernel_h; ky++)
        for (int kx = 0; kx < node->kernel_w; kx++) {
            int sy = top + ky * node->dilation_h, sx = left + kx * node->dilation_w;
            if (sy < 0 || sy >= in.h || sx < 0 || sx >= in.w)
                continue;
            double value = run->in[0][at(in, c, sy, sx)];
            sum += value;
            maximum = value > maximum ? value : maximum;
            valid++;
        }
    if (node->op == OP_MAX_POOL)
        return maximum;
    if (node->count_include_pad)
        valid = (smaller(top + node->kernel_h, in.h + node->pad_bottom) - top) *
                (smaller(left + node->kernel_w, in.w + node->pad_right) - left);
    return valid ? sum / valid : 0;
}

static double global_average_at(const struct node_run *run, int c)
{
    struct shape in = run->in_shapes[0];
    double sum = 0;
    for (int y = 0; y < in.h; y++)
        for (int x = 0; x < in.w; x++)
            sum += run->in[0][at(in, c, y, x)];
    return sum / ((double)in.h * in.w);
}

static double add_at(const struct node_run *run, size_t i)
{
    double sum = 0;
    for (int k = 0; k < run->node->input_count; k++)
        sum += run->in[k][i];
    return sum;
}

static double multiply_at(const struct node_run *run, int c, size_t i)
{
    struct shape first = run->in_shapes[0], second = run->in_shapes[1];
    const size_t plane = (size_t)first.h * (size_t)first.w;
    if (first.h != second.h || first.w != second.w) /* second is [c, 1, 1] */
        return (double)run->in[0][i] * (double)run->in[1][c];
    return (double)run->in[0][i] * (double)run->in[1][first.c != second.c ? i % plane : i]; /* [1, h, w] or equal */
}

static double concat_at(const struct node_run *run, int c, int y, int x)
{
    int k = 0;
    for (; c >= run->in_shapes[k].c; k++)
        c -= run->in_shapes[k].c;
    return run->in[k][at(run->in_shapes[k], c, y, x)];
}

/* The coordinate inside [0, size) that a coordinate outside stands for, or -1: the constant. */
static int padded(enum pad_mode mode, int i, int size)
{
    if (i >= 0 && i < size)
        return i;
    if (mode == PAD_CONSTANT)
        return -1;
    if (mode == PAD_EDGE)
        return i < 0 ? 0 : size - 1;
    return i < 0 ? -i : 2 * (size - 1) - i;
}

static double pad_at(const struct node_run *run, int c, int y, int x)
{
    const struct node *node = run->node;
    struct shape in = run->in_shapes[0];
    y = padded(node->pad_mode, y - node->pad_top, in.h);
    x = padded(node->pad_mode, x - node->pad_left, in.w);
    return y < 0 || x < 0 ? node->alpha : run->in[0][at(in, c, y, x)];
}

/* One number per channel or one per value; `absent` without a weight. */
static double weight_at(const struct node_run *run, int weight, int c, size_t i, double absent)
{
    if (weight < 0)
        return absent;
    const struct weight *w = &run->graph->weights[weight];
    return w->data[w->count == 1 ? 0 : w->rank == 3 ? i : (size_t)c];
}

/* (x - mean) / sqrt(var + epsilon) * weight + bias over channels [first, first + count) of rows [y0, y1), columns
 * [x0, x1) */
static double norm_at(const struct node_run *run, int first, int count, int c, int y, int x)
{
    const struct node *node = run->node;
    const struct shape in = run->in_shapes[0];
    const bool here = node->op == OP_LAYER_NORM;
    const int y0 = here ? y : 0, y1 = here ? y + 1 : in.h, x0 = here ? x : 0, x1 = here ? x + 1 : in.w;
    const double n = (double)count * (y1 - y0) * (x1 - x0);
    double mean = 0, variance = 0;
    for (int pass = 0; pass < 2; pass++)
        for (int k = first; k < first + count; k++)
            for (int sy = y0; sy < y1; sy++)
                for (int sx = x0; sx < x1; sx++) {
                    const double value = run->in[0][at(in, k, sy, sx)];
                    if (pass == 0)
                        mean += value / n;
                    else
                        variance += (value - mean) * (value - mean) / n;
                }
    const size_t i = at(in, c, y, x);
    return (run->in[0][i] - mean) / sqrt(variance + (double)node->epsilon) * weight_at(run, node->weight, c, i, 1) +
           weight_at(run, node->bias, c, i, 0);
}

static double lp_norm_at(const struct node_run *run, int c, int y, int x)
{
    const struct shape in = run->in_shapes[0];
    double norm = 0;
    for (int k = 0; k < in.c; k++) {
        const double value = run->in[0][at(in, k, y, x)];
        norm += run->node->alpha == 1 ? fabs(value) : value * value;
    }
    norm = run->node->alpha == 1 ? norm : sqrt(norm);
    return run->in[0][at(in, c, y, x)] / fmax(norm, (double)run->node->epsilon);
}

static double resize_at(const struct node_run *run, int c, int y, int x)
{
    const struct resize *resize = &run->node->resize;
    const struct shape in = run->in_shapes[0];
    const struct resize_tap v = resize_tap(resize->mode, &resize->y, in.h, y),
                            h = resize_tap(resize->mode, &resize->x, in.w, x);
    const double low = run->in[0][at(in, c, v.low, h.low)] * (1 - (double)h.fraction) +
                       run->in[0][at(in, c, v.low, h.high)] * (double)h.fraction;
    const double high = run->in[0][at(in, c, v.high, h.low)] * (1 - (double)h.fraction) +
                        run->in[0][at(in, c, v.high, h.high)] * (double)h.fraction;
    return low * (1 - (double)v.fraction) + high * (double)v.fraction;
}

static double softmax_at(const struct node_run *run, int c, int y, int x)
{
    struct shape in = run->in_shapes[0];
    double maximum = -INFINITY, sum = 0;
    for (int k = 0; k < in.c; k++)
        maximum = fmax(maximum, run->in[0][at(in, k, y, x)]);
    for (int k = 0; k < in.c; k++)
        sum += exp(run->in[0][at(in, k, y, x)] - maximum);
    const double z = run->in[0][at(in, c, y, x)] - maximum;
    return run->node->op == OP_LOG_SOFTMAX ? z - log(sum) : exp(z) / sum;
}

/* A value whose range is not known yet stays as it is. */
static double quantise_of(const struct node_run *run, float value)
{
    const float *range = run->graph->weights[run->node->weight].data;
    return int8_rounded(value, int8_value_of((struct value_range){range[0], range[1]}));
}

static double value_at(const struct node_run *run, int c, int y, int x)
{
    const struct node *node = run->node;
    size_t i = at(node->shape, c, y, x);
    switch (node->op) {
    case OP_CONV:
        return conv_at(run, c, y, x);
    case OP_LINEAR:
        return linear_at(run, c);
    case OP_BATCH_NORM:
        return batch_norm_of(run, c, run->in[0][i]);
    case OP_ACTIVATION:
        return activation_apply(node->activation, node->alpha, node->beta, run->in[0][i]);
    case OP_MAX_POOL:
    case OP_AVERAGE_POOL:
        return pool_at(run, c, y, x);
    case OP_GLOBAL_AVERAGE_POOL:
        return global_average_at(run, c);
    case OP_ADD:
        return add_at(run, i);
    case OP_MULTIPLY:
        return multiply_at(run, c, i);
    case OP_CONCAT:
        return concat_at(run, c, y, x);
    case OP_PAD:
        return pad_at(run, c, y, x);
    case OP_SOFTMAX:
    case OP_LOG_SOFTMAX:
        return softmax_at(run, c, y, x);
    case OP_SCALE:
        return run->in[0][i] * weight_at(run, node->weight, c, i, 1) + weight_at(run, node->bias, c, i, 0);
    case OP_PRELU:
        return run->in[0][i] > 0 ? run->in[0][i] : run->in[0][i] * weight_at(run, node->weight, c, i, 1);
    case OP_SELECT:
        return run->in[0][at(run->in_shapes[0], node->channels[c], y, x)];
    case OP_GROUP_NORM: {
        const int size = node->shape.c / node->groups;
        return norm_at(run, c / size * size, size, c, y, x);
    }
    case OP_LAYER_NORM:
        return norm_at(run, 0, node->shape.c, c, y, x);
    case OP_LP_NORM:
        return lp_norm_at(run, c, y, x);
    case OP_RESIZE:
        return resize_at(run, c, y, x);
    case OP_QUANTISE:
        return quantise_of(run, run->in[0][i]);
    case OP_INPUT:
    case OP_FLATTEN:
    case OP_DROPOUT:
    case OP_COUNT:
        break;
    }
    return run->in[0][i];
}

static void run_node(const struct node_run *run)
{
    struct shape s = run->node->shape;
    for (int c = 0; c < s.c; c++)
        for (int y = 0; y < s.h; y++)
            for (int x = 0; x < s.w; x++)
                run->out[at(s, c, y, x)] = (float)value_at(run, c, y, x);
}

/* One sample through nodes 0..last; values[i] has room for node i. */
static void forward_sample(const struct graph *graph, const float *input, int last, float *const *values)
{
    for (int i = 0; i <= last; i++) {
        const struct node *node = &graph->nodes[i];
        const float *in[NODE_MAX_INPUTS] = {input};
        struct shape in_shapes[NODE_MAX_INPUTS] = {node->shape};
        for (int k = 0; k < node->input_count; k++) {
            in[k] = values[node->inputs[k]];
            in_shapes[k] = graph->nodes[node->inputs[k]].shape;
        }
        run_node(&(struct node_run){graph, node, in, in_shapes, values[i]});
    }
}

enum status graph_forward_reference(const struct graph *graph, const float *input, int n, int node, float *output,
                                    struct error *err)
{
    enum status status = STATUS_OK;
    float **values = calloc((size_t)node + 1, sizeof *values);
    if (!values)
        return error_no_memory(err, ((size_t)node + 1) * sizeof *values, "the values of a graph");
    for (int i = 0; i <= node; i++)
        TRY(memory_new((void **)&values[i], elements(graph->nodes[i].shape), sizeof(float), graph->nodes[i].name, err));
    size_t in_size = elements(graph->nodes[graph->input].shape), out_size = elements(graph->nodes[node].shape);
    for (int sample = 0; sample < n; sample++) {
        forward_sample(graph, input + (size_t)sample * in_size, node, values);
        memcpy(output + (size_t)sample * out_size, values[node], out_size * sizeof(float));
    }
cleanup:
    for (int i = 0; i <= node; i++)
        memory_free(values[i]);
    free(values);
    return status;
}
