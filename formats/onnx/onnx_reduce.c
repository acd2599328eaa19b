/* Reductions of values: over height and width they are pools, over channels a 1x1 convolution. */
#include "formats/onnx/onnx_reader.h"

#include <string.h>

enum status onnx_reduced_axes(struct onnx_reader *reader, int rank, bool *gone)
{
    enum status status = STATUS_OK;
    const int64_t *axes;
    size_t count;
    TRY(onnx_attribute_or_input(reader, "axes", 1, &axes, &count));
    if (!onnx_mark_axes(axes, count, rank, gone))
        return onnx_refuse(reader, "its axes are out of range");
    if (count == 0 && onnx_attribute_int(reader, "noop_with_empty_axes", 0))
        return STATUS_OK;
    for (int d = 0; count == 0 && d < rank; d++)
        gone[d] = true; /* no axes: all of them */
    if (gone[0])
        return onnx_refuse(reader, "it reduces over the batch");
cleanup:
    return status;
}

/* Which axes of the node are reduced, whole. False: only a part of one is. */
static bool reduced_axes(const struct onnx_layout *layout, const bool *gone, bool *c, bool *h, bool *w)
{
    bool *const axes[3] = {c, h, w};
    bool kept[3] = {false};
    *c = *h = *w = false;
    for (int d = 1; d < layout->rank; d++)
        for (int k = 0, first = onnx_layout_first(layout, d); k < layout->counts[d]; k++) {
            const enum onnx_axis axis = layout->factors[first + k].axis;
            if (axis == ONNX_REPEAT) {
                if (gone[d])
                    return false;
                continue;
            }
            if (gone[d])
                *axes[axis] = true;
            else
                kept[axis] = true;
        }
    return !(*c && kept[0]) && !(*h && kept[1]) && !(*w && kept[2]);
}

/* The layout without the reduced dimensions, or with 1 in their places. */
static void reduce_layout(struct onnx_layout *layout, const bool *gone, bool keep)
{
    for (int d = layout->rank - 1; d > 0; d--) {
        if (gone[d] && keep)
            onnx_layout_set(layout, d, (struct onnx_factor){.size = 1});
        else if (gone[d])
            onnx_layout_remove(layout, d);
    }
}

/* The nodes that reduce, before the last one, which has the result's name. */
struct steps {
    struct node nodes[3];
    const char *names[3];
    int count;
};

static void add_step(struct steps *steps, struct node node, const char *name)
{
    steps->names[steps->count] = name;
    steps->nodes[steps->count++] = node;
}

/* Over height and width, or one of them. */
static void pool_step(struct steps *steps, struct shape s, bool maximum, bool h, bool w)
{
    struct node node = node_default(maximum ? OP_MAX_POOL : OP_AVERAGE_POOL);
    if (!maximum && h && w)
        node.op = OP_GLOBAL_AVERAGE_POOL;
    node.kernel_h = h ? s.h : 1;
    node.kernel_w = w ? s.w : 1;
    add_step(steps, node, "pooled");
}

/* Over channels: a convolution with equal weights, which is not trained. */
static enum status channel_step(struct onnx_reader *reader, struct steps *steps, int channels, double weight)
{
    enum status status = STATUS_OK;
    struct node node = node_default(OP_CONV);
    const int dims[4] = {1, channels, 1, 1};
    TRY(onnx_derived_weight(reader, "average", dims, 4, &node.weight));
    for (int i = 0; i < channels; i++)
        reader->graph->weights[node.weight].data[i] = (float)weight;
    add_step(steps, node, "averaged");
cleanup:
    return status;
}

/* ReduceMean, ReduceSum and ReduceMax over axes of the node, at least one of which is longer than 1. */
static enum status plan(struct onnx_reader *reader, struct steps *steps, struct shape s, bool c, bool h, bool w)
{
    enum status status = STATUS_OK;
    const bool maximum = strcmp(reader->op->op_type, "ReduceMax") == 0,
               sum = strcmp(reader->op->op_type, "ReduceSum") == 0;
    const double places = (double)(h ? s.h : 1) * (w ? s.w : 1);
    if (h || w)
        pool_step(steps, s, maximum, h, w);
    if (c)
        TRY(channel_step(reader, steps, s.c, sum ? places : 1.0 / s.c));
    else if (sum) {
        struct node node = node_default(OP_SCALE);
        TRY(onnx_uniform_weight(reader, "count", places, s.c, &node.weight));
        add_step(steps, node, "sum");
    }
cleanup:
    return status;
}

/* The value is the input of an operator that the graph has not: a norm may be made of it. */
static enum status defer(struct onnx_reader *reader, const struct onnx_value *value, const bool *gone, bool keep,
                         const char *reason)
{
    struct onnx_layout layout = value->layout;
    reduce_layout(&layout, gone, keep);
    return onnx_defer(reader, &layout, value->kind == ONNX_DEFERRED ? value->reason : reason);
}

enum status onnx_read_reduce(struct onnx_reader *reader)
{
    enum status status = STATUS_OK;
    struct onnx_value *value;
    struct steps steps = {.count = 0};
    bool gone[ONNX_MAX_RANK], c, h, w;
    const char *op = reader->op->op_type;
    const bool keep = onnx_attribute_int(reader, "keepdims", 1) != 0, maximum = strcmp(op, "ReduceMax") == 0;
    const bool supported = maximum || strcmp(op, "ReduceMean") == 0 || strcmp(op, "ReduceSum") == 0;
    TRY(onnx_any_input(reader, 0, &value));
    TRY(onnx_settle(reader, value));
    TRY(onnx_reduced_axes(reader, value->layout.rank, gone));
    if (value->kind == ONNX_DEFERRED || !supported)
        return defer(reader, value, gone, keep, "it is supported as a part of norms only");
    TRY(onnx_node_input(reader, 0, &value));
    struct onnx_layout layout = value->layout;
    const struct shape s = onnx_shape(reader, value);
    int node = value->node;
    if (!reduced_axes(&layout, gone, &c, &h, &w))
        return defer(reader, value, gone, keep,
                     "it reduces over a part of the channels, of the height or of the width");
    reduce_layout(&layout, gone, keep);
    if (maximum && c)
        return defer(reader, value, gone, keep, "the maximum over channels is not supported");
    if (!c && !h && !w) {
        onnx_alias(reader, value, &layout);
        return STATUS_OK;
    }
    TRY(plan(reader, &steps, s, c, h, w));
    for (int i = 0; i < steps.count - 1; i++)
        TRY(onnx_emit_helper(reader, &steps.nodes[i], steps.names[i], &node, 1, &node));
    TRY(onnx_emit(reader, &steps.nodes[steps.count - 1], &node, 1, &layout));
cleanup:
    return status;
}
