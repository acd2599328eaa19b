/* graph_add: appends a node, checks its inputs and weights, infers its output shape. */
#include "shared/graph/graph.h"

#include <limits.h>
#include <math.h>
#include <string.h>

enum { MAX_EXTENT = 1 << 16 }; /* of a side, a kernel or a padding: larger values are surely mistakes */
static const size_t MAX_ELEMENTS = (size_t)1 << 31;

static enum status bad(struct error *err, const struct node *node, const char *what)
{
    return error_set(err, STATUS_BAD_DATA, NULL, "node '%s' (%s): %s", node->name, op_name(node->op), what);
}

/* Output extent of a window operator along one axis; 0 if the window does not fit. PyTorch's rule for ceil_mode: a
 * window that would start in the right padding is dropped. */
static int window_extent(int size, int kernel, int stride, int dilation, int pad_low, int pad_high, bool ceil_mode)
{
    int span = dilation * (kernel - 1) + 1, capacity = size + pad_low + pad_high - span;
    if (capacity < 0)
        return 0;
    int extent = (ceil_mode ? (capacity + stride - 1) : capacity) / stride + 1;
    if (ceil_mode && (extent - 1) * stride >= size + pad_low)
        extent--;
    return extent;
}

static bool in_range(int value, int low)
{
    return value >= low && value <= MAX_EXTENT;
}

static enum status window_shape(struct node *node, struct shape in, struct error *err)
{
    if (!in_range(node->kernel_h, 1) || !in_range(node->kernel_w, 1) || !in_range(node->stride_h, 1) ||
        !in_range(node->stride_w, 1) || !in_range(node->dilation_h, 1) || !in_range(node->dilation_w, 1) ||
        !in_range(node->pad_top, 0) || !in_range(node->pad_left, 0) || !in_range(node->pad_bottom, 0) ||
        !in_range(node->pad_right, 0) || (long long)node->dilation_h * node->kernel_h > MAX_EXTENT ||
        (long long)node->dilation_w * node->kernel_w > MAX_EXTENT)
        return bad(err, node, "kernel, stride, dilation or padding is out of range");
    node->shape.h = window_extent(in.h, node->kernel_h, node->stride_h, node->dilation_h, node->pad_top,
                                  node->pad_bottom, node->ceil_mode);
    node->shape.w = window_extent(in.w, node->kernel_w, node->stride_w, node->dilation_w, node->pad_left,
                                  node->pad_right, node->ceil_mode);
    if (node->shape.h < 1 || node->shape.w < 1)
        return error_set(err, STATUS_CONFIG, NULL,
                         "node '%s' (%s): its input of %dx%d is smaller than its %dx%d window", node->name,
                         op_name(node->op), in.h, in.w, node->kernel_h, node->kernel_w);
    return STATUS_OK;
}

static bool vector_of(const struct graph *graph, int weight, int count)
{
    return weight >= 0 && weight < graph->weight_count && graph->weights[weight].count == (size_t)count;
}

/* A weight that may be absent, with `count` values. */
static bool optional_vector(const struct graph *graph, int weight, int count)
{
    return weight < 0 || vector_of(graph, weight, count);
}

/* One number per channel, or one per value; or absent. */
static bool fits_scale(const struct graph *graph, int weight, struct shape in)
{
    if (optional_vector(graph, weight, in.c) && (weight < 0 || graph->weights[weight].rank == 1))
        return true;
    if (weight >= graph->weight_count)
        return false;
    const struct weight *w = &graph->weights[weight];
    return w->rank == 3 && w->dims[0] == in.c && w->dims[1] == in.h && w->dims[2] == in.w;
}

/* Norms without running statistics, scale and PReLU: the shape stays, weights are per channel. */
static enum status channelwise_shape(const struct graph *graph, struct node *node, struct shape in, struct error *err)
{
    node->shape = in;
    if (node->op == OP_SCALE) {
        if (!fits_scale(graph, node->weight, in) || !fits_scale(graph, node->bias, in))
            return bad(err, node, "weight and bias need one number per channel or one per value");
    } else if (node->op == OP_PRELU) {
        if (!vector_of(graph, node->weight, 1) && !vector_of(graph, node->weight, in.c))
            return bad(err, node, "its weight needs one number, or one per channel");
    } else if (!optional_vector(graph, node->weight, in.c) || !optional_vector(graph, node->bias, in.c)) {
        return bad(err, node, "weight and bias need one number per channel");
    }
    if (node->op == OP_GROUP_NORM && (node->groups < 1 || in.c % node->groups))
        return error_set(err, STATUS_CONFIG, NULL, "node '%s' (group_norm): %d channels cannot be split into %d groups",
                         node->name, in.c, node->groups);
    return STATUS_OK;
}

static enum status select_shape(struct node *node, struct shape in, struct error *err)
{
    for (int i = 0; i < node->channel_count; i++)
        if (node->channels[i] < 0 || node->channels[i] >= in.c)
            return bad(err, node, "it selects a channel that its input does not have");
    node->shape = (struct shape){node->channel_count, in.h, in.w};
    return STATUS_OK;
}

static bool pad_fits(enum pad_mode mode, int low, int high, int size)
{
    const int most = mode == PAD_REFLECT ? size - 1 : MAX_EXTENT;
    return low >= -size && high >= -size && low <= most && high <= most;
}

static enum status pad_shape(struct node *node, struct shape in, struct error *err)
{
    if ((unsigned)node->pad_mode >= PAD_MODE_COUNT ||
        !pad_fits(node->pad_mode, node->pad_top, node->pad_bottom, in.h) ||
        !pad_fits(node->pad_mode, node->pad_left, node->pad_right, in.w))
        return bad(err, node, "padding is out of range");
    node->shape =
        (struct shape){in.c, in.h + node->pad_top + node->pad_bottom, in.w + node->pad_left + node->pad_right};
    return STATUS_OK;
}

static bool axis_is_valid(const struct resize_axis *axis)
{
    return in_range(axis->size, 1) && axis->scale > 0 && axis->scale <= MAX_EXTENT && isfinite(axis->before) &&
           isfinite(axis->after);
}

static enum status resize_shape(struct node *node, struct shape in, struct error *err)
{
    if ((unsigned)node->resize.mode >= RESIZE_MODE_COUNT || !axis_is_valid(&node->resize.y) ||
        !axis_is_valid(&node->resize.x))
        return bad(err, node, "its size or scale is out of range");
    node->shape = (struct shape){in.c, node->resize.y.size, node->resize.x.size};
    return STATUS_OK;
}

static enum status weighted_shape(const struct graph *graph, struct node *node, struct shape in, struct error *err)
{
    if (node->weight < 0 || node->weight >= graph->weight_count)
        return bad(err, node, "it has no weights");
    const struct weight *weight = &graph->weights[node->weight];
    enum status status = STATUS_OK;
    if (node->op == OP_BATCH_NORM) {
        node->shape = in;
        if (!vector_of(graph, node->weight, in.c) || !vector_of(graph, node->bias, in.c) ||
            !vector_of(graph, node->running_mean, in.c) || !vector_of(graph, node->running_var, in.c))
            return bad(err, node, "weight, bias, mean and variance need one value per input channel");
        return STATUS_OK;
    }
    node->shape = (struct shape){weight->dims[0], 1, 1};
    if (node->op == OP_LINEAR) {
        if (weight->rank != 2 || in.h != 1 || in.w != 1 || weight->dims[1] != in.c)
            return error_set(err, STATUS_CONFIG, NULL,
                             "node '%s' (linear): its weight takes %d features, its input has %dx%dx%d", node->name,
                             weight->dims[1], in.c, in.h, in.w);
    } else {
        if (node->groups < 1 || in.c % node->groups || weight->dims[0] % node->groups || weight->rank != 4 ||
            weight->dims[1] != in.c / node->groups)
            return error_set(err, STATUS_CONFIG, NULL,
                             "node '%s' (conv): a weight of %dx%dx%dx%d in %d groups does not fit %d input channels",
                             node->name, weight->dims[0], weight->dims[1], weight->dims[2], weight->dims[3],
                             node->groups, in.c);
        node->kernel_h = weight->dims[2];
        node->kernel_w = weight->dims[3];
        status = window_shape(node, in, err);
    }
    if (status == STATUS_OK && node->bias >= 0 && !vector_of(graph, node->bias, node->shape.c))
        return bad(err, node, "its bias needs one value per output channel");
    return status;
}

static bool same_shape(struct shape a, struct shape b)
{
    return a.c == b.c && a.h == b.h && a.w == b.w;
}

static enum status combined_shape(const struct graph *graph, struct node *node, struct error *err)
{
    struct shape first = graph->nodes[node->inputs[0]].shape;
    node->shape = first;
    for (int i = 1; i < node->input_count; i++) {
        struct shape next = graph->nodes[node->inputs[i]].shape;
        bool gate = node->op == OP_MULTIPLY && ((next.c == first.c && next.h == 1 && next.w == 1) ||
                                                (next.c == 1 && next.h == first.h && next.w == first.w));
        bool fits = node->op == OP_CONCAT ? next.h == first.h && next.w == first.w : same_shape(first, next) || gate;
        if (!fits)
            return error_set(err, STATUS_CONFIG, NULL, "node '%s' (%s): input shapes %dx%dx%d and %dx%dx%d do not fit",
                             node->name, op_name(node->op), first.c, first.h, first.w, next.c, next.h, next.w);
        if (node->op == OP_CONCAT && next.c > INT_MAX - node->shape.c)
            return bad(err, node, "too many channels");
        if (node->op == OP_CONCAT)
            node->shape.c += next.c;
    }
    return STATUS_OK;
}

static enum status infer_shape(const struct graph *graph, struct node *node, struct error *err)
{
    struct shape in = node->input_count ? graph->nodes[node->inputs[0]].shape : node->shape;
    switch (node->op) {
    case OP_CONV:
    case OP_LINEAR:
    case OP_BATCH_NORM:
        return weighted_shape(graph, node, in, err);
    case OP_MAX_POOL:
    case OP_AVERAGE_POOL:
        node->shape.c = in.c;
        if (2 * node->pad_top > node->kernel_h || 2 * node->pad_left > node->kernel_w)
            return bad(err, node, "padding is more than half of the window");
        return window_shape(node, in, err);
    case OP_GLOBAL_AVERAGE_POOL:
        node->shape = (struct shape){in.c, 1, 1};
        return STATUS_OK;
    case OP_FLATTEN:
        if ((size_t)in.c * (size_t)in.h * (size_t)in.w > INT_MAX)
            return bad(err, node, "too many features");
        node->shape = (struct shape){in.c * in.h * in.w, 1, 1};
        return STATUS_OK;
    case OP_ADD:
    case OP_MULTIPLY:
    case OP_CONCAT:
        return combined_shape(graph, node, err);
    case OP_PAD:
        return pad_shape(node, in, err);
    case OP_SELECT:
        return select_shape(node, in, err);
    case OP_RESIZE:
        return resize_shape(node, in, err);
    case OP_SCALE:
    case OP_PRELU:
    case OP_GROUP_NORM:
    case OP_LAYER_NORM:
        return channelwise_shape(graph, node, in, err);
    case OP_LP_NORM:
        node->shape = in;
        return node->alpha == 1 || node->alpha == 2 ? STATUS_OK : bad(err, node, "its p must be 1 or 2");
    case OP_QUANTISE:
        node->shape = in;
        return node->weight >= 0 && graph->weights[node->weight].count == 2 ? STATUS_OK
                                                                            : bad(err, node, "it has no range");
    default:
        node->shape = in;
        return STATUS_OK;
    }
}

static enum status check_inputs(const struct graph *graph, const struct node *node, const int *inputs,
                                struct error *err)
{
    int low = node->op == OP_INPUT ? 0 : node->op == OP_ADD || node->op == OP_MULTIPLY ? 2 : 1;
    int high = node->op == OP_ADD || node->op == OP_CONCAT ? NODE_MAX_INPUTS
               : node->op == OP_MULTIPLY                   ? 2
               : node->op == OP_INPUT                      ? 0
                                                           : 1;
    if (node->input_count < low || node->input_count > high)
        return error_set(err, STATUS_BAD_DATA, NULL, "node '%s' (%s) has %d inputs, expected %d to %d", node->name,
                         op_name(node->op), node->input_count, low, high);
    for (int i = 0; i < node->input_count; i++)
        if (inputs[i] < 0 || inputs[i] >= graph->node_count)
            return bad(err, node, "an input is not the output of an earlier node");
    return STATUS_OK;
}

/* The graph keeps its own copy of a select's list. */
static enum status copy_channels(struct graph *graph, struct node *added, struct error *err)
{
    if (added->op != OP_SELECT)
        return STATUS_OK;
    if (added->channel_count < 1)
        return bad(err, added, "it selects no channel");
    const size_t count = (size_t)added->channel_count;
    int *channels = arena_alloc(&graph->arena, count, sizeof *channels);
    if (!channels)
        return error_no_memory(err, count * sizeof *channels, "a graph's node");
    memcpy(channels, added->channels, count * sizeof *channels);
    added->channels = channels;
    return STATUS_OK;
}

enum status graph_add(struct graph *graph, const struct node *node, const char *name, const int *inputs,
                      int input_count, int *index, struct error *err)
{
    enum status status = STATUS_OK;
    struct node added = *node;
    added.name = arena_strdup(&graph->arena, name);
    added.inputs = arena_alloc(&graph->arena, (size_t)(input_count > 0 ? input_count : 1), sizeof *added.inputs);
    added.input_count = input_count;
    if (!added.name || !added.inputs)
        return error_no_memory(err, strlen(name), "a graph's node");
    TRY(copy_channels(graph, &added, err));
    if (graph_find(graph, name) >= 0)
        return bad(err, &added, "its name is used twice");
    TRY(array_grow(&graph->nodes, sizeof *graph->nodes, (size_t)graph->node_count, &graph->node_capacity, "a graph",
                   err));
    TRY(check_inputs(graph, &added, inputs, err));
    if (input_count)
        memcpy(added.inputs, inputs, (size_t)input_count * sizeof *inputs);
    TRY(infer_shape(graph, &added, err));
    struct shape s = added.shape;
    if (!in_range(s.h, 1) || !in_range(s.w, 1) || s.c < 1 || (size_t)s.c * (size_t)s.h > MAX_ELEMENTS / (size_t)s.w)
        return bad(err, &added, "its output shape is out of range");
    graph->nodes[graph->node_count] = added;
    if (index)
        *index = graph->node_count;
    if (added.op == OP_INPUT)
        graph->input = graph->node_count;
    graph->output = graph->node_count++; /* the last node, unless the caller sets another */
cleanup:
    return status;
}
