/* Brings the graph's value into the form that an operator needs: channels in the model's order, repeated values
 * written out. */
#include "formats/onnx/onnx_reader.h"

#include <stdlib.h>
#include <string.h>

enum status onnx_emit_select(struct onnx_reader *reader, int node, const int *channels, int count,
                             const struct onnx_layout *layout)
{
    struct node select = node_default(OP_SELECT);
    select.channels = channels;
    select.channel_count = count;
    return onnx_emit(reader, &select, &node, 1, layout);
}

static enum status add_select(struct onnx_reader *reader, const char *suffix, int from, const int *channels, int count,
                              int *node)
{
    struct node select = node_default(OP_SELECT);
    select.channels = channels;
    select.channel_count = count;
    return onnx_emit_helper(reader, &select, suffix, &from, 1, node);
}

/* channels[i]: the channel of the node that is the model's channel i, where the model's order is that of the factors.
 * The factors in *layout become those of the ordered channels. */
static void order_channels(struct onnx_layout *layout, int *channels, int count)
{
    const int factors = onnx_layout_first(layout, layout->rank);
    int stride = count;
    for (int i = 0; i < count; i++) {
        int rest = i;
        channels[i] = 0;
        for (int k = factors - 1; k >= 0; k--) {
            const struct onnx_factor *factor = &layout->factors[k];
            if (factor->axis != ONNX_C)
                continue;
            channels[i] += rest % factor->size * factor->stride;
            rest /= factor->size;
        }
    }
    for (int k = 0; k < factors; k++)
        if (layout->factors[k].axis == ONNX_C)
            layout->factors[k].stride = stride /= layout->factors[k].size;
}

/* Dimensions whose factors have become neighbours. */
static void merge_dims(struct onnx_layout *layout)
{
    onnx_layout_reshape(layout, layout->dims + 1, layout->rank - 1);
}

enum status onnx_settle(struct onnx_reader *reader, struct onnx_value *value)
{
    enum status status = STATUS_OK;
    if (value->kind != ONNX_NODE || onnx_layout_is_ordered(&value->layout, ONNX_C))
        return STATUS_OK;
    const int count = reader->graph->nodes[value->node].shape.c;
    int *channels;
    TRY(onnx_channels_alloc(reader, (size_t)count, &channels));
    order_channels(&value->layout, channels, count);
    merge_dims(&value->layout);
    TRY(add_select(reader, "order", value->node, channels, count, &value->node));
    value->alias = NULL;
    value->trace_count = 0;
cleanup:
    free(channels);
    return status;
}

enum status onnx_repeat(struct onnx_reader *reader, int from, struct shape to, int *node)
{
    enum status status = STATUS_OK;
    struct shape s = reader->graph->nodes[from].shape;
    int *channels = NULL;
    if (s.c != to.c) {
        TRY(onnx_channels_alloc(reader, (size_t)to.c, &channels));
        memset(channels, 0, (size_t)to.c * sizeof *channels);
        TRY(add_select(reader, "repeat", from, channels, to.c, &from));
    }
    if (s.h != to.h || s.w != to.w) { /* the only value of a row or column is at its edge */
        struct node pad = node_default(OP_PAD);
        pad.pad_mode = PAD_EDGE;
        pad.pad_bottom = to.h - s.h;
        pad.pad_right = to.w - s.w;
        TRY(onnx_emit_helper(reader, &pad, "repeat", &from, 1, &from));
    }
    *node = from;
cleanup:
    free(channels);
    return status;
}

enum status onnx_write_repeats(struct onnx_reader *reader, struct onnx_value *value)
{
    enum status status = STATUS_OK;
    struct shape s = reader->graph->nodes[value->node].shape, to = s;
    struct onnx_layout layout = value->layout;
    int *const sizes[3] = {&to.c, &to.h, &to.w};
    if (layout.rank != 4 && !(layout.rank == 2 && s.h == 1 && s.w == 1))
        return STATUS_OK;
    for (int d = 1; d < layout.rank; d++)
        if (onnx_layout_axis(&layout, s, d) == ONNX_REPEAT && *sizes[d - 1] == 1) {
            *sizes[d - 1] = (int)layout.dims[d];
            onnx_layout_set(&layout, d, (struct onnx_factor){(enum onnx_axis)(ONNX_C + d - 1), (int)layout.dims[d], 1});
        }
    if (onnx_layout_equal(&layout, &value->layout))
        return STATUS_OK;
    TRY(onnx_repeat(reader, value->node, to, &value->node));
    value->layout = layout;
    value->alias = NULL;
    value->trace_count = 0;
cleanup:
    return status;
}

enum status onnx_any_input(struct onnx_reader *reader, size_t i, struct onnx_value **value)
{
    *value = onnx_input(reader, i);
    return *value && ((*value)->kind == ONNX_NODE || (*value)->kind == ONNX_DEFERRED)
               ? STATUS_OK
               : onnx_refuse(reader, "input %zu must be a computed value", i);
}

enum status onnx_node_input(struct onnx_reader *reader, size_t i, struct onnx_value **value)
{
    *value = onnx_input(reader, i);
    if (*value && (*value)->kind == ONNX_DEFERRED)
        return error_set(reader->err, STATUS_CONFIG, NULL, "%s", (*value)->reason);
    if (!*value || (*value)->kind != ONNX_NODE)
        return onnx_refuse(reader, "input %zu must be a computed value", i);
    return onnx_settle(reader, *value);
}

enum status onnx_map_input(struct onnx_reader *reader, size_t i, struct onnx_value **value)
{
    enum status status = STATUS_OK;
    TRY(onnx_node_input(reader, i, value));
    TRY(onnx_write_repeats(reader, *value));
    const struct onnx_layout *layout = &(*value)->layout;
    const struct shape s = onnx_shape(reader, *value);
    if (layout->rank != 4)
        return onnx_refuse(reader, "input '%.100s' has %d dimensions: only [batch, c, h, w] is supported",
                           (*value)->name, layout->rank);
    if (onnx_layout_find(layout, s, ONNX_C) == 3)
        return onnx_refuse(reader, "input '%.100s' has channels last; export with channels first", (*value)->name);
    if (!onnx_layout_is_map(layout, s))
        return onnx_refuse(reader,
                           "the channels, height and width of input '%.100s' are mixed by a Reshape or Transpose",
                           (*value)->name);
cleanup:
    return status;
}
