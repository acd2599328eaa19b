/* Pad, Resize and Upsample. */
#include "formats/onnx/onnx_reader.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The axis that dimension d of a value is; one of size 1 is known by its place in [batch, c, h, w]. */
static enum onnx_axis axis_of(const struct onnx_layout *layout, struct shape s, int d)
{
    const enum onnx_axis axis = onnx_layout_axis(layout, s, d);
    return axis == ONNX_ONE && layout->rank == 4 && onnx_layout_is_map(layout, s) ? (enum onnx_axis)(ONNX_C + d - 1)
                                                                                  : axis;
}

/* ---- pad ---- */

/* amounts[2 * rank]: before every dimension, then behind every dimension. */
static enum status read_amounts(struct onnx_reader *reader, int rank, int64_t *amounts)
{
    enum status status = STATUS_OK;
    const int64_t *pads, *axes;
    size_t count, axis_count;
    bool marks[ONNX_MAX_RANK];
    memset(amounts, 0, 2 * ONNX_MAX_RANK * sizeof *amounts);
    TRY(onnx_attribute_or_input(reader, "pads", 1, &pads, &count));
    TRY(onnx_attribute_or_input(reader, "axes", 3, &axes, &axis_count));
    axis_count = axes ? axis_count : (size_t)rank;
    if (axis_count > (size_t)rank || count != 2 * axis_count ||
        (axes && !onnx_mark_axes(axes, axis_count, rank, marks)))
        return onnx_refuse(reader, "its pads do not fit its input");
    for (size_t i = 0; i < axis_count; i++) {
        const int64_t d = !axes ? (int64_t)i : axes[i] < 0 ? axes[i] + rank : axes[i];
        amounts[d] = pads[i];
        amounts[d + rank] = pads[i + axis_count];
    }
    for (int i = 0; i < 2 * rank; i++)
        if (amounts[i] < -INT_MAX / 4 || amounts[i] > INT_MAX / 4)
            return onnx_refuse(reader, "an amount is out of range");
cleanup:
    return status;
}

static enum status read_mode(struct onnx_reader *reader, struct node *node)
{
    double fill = onnx_attribute_float(reader, "value", 0);
    enum status status = onnx_number_input(reader, 2, &fill);
    if (status != STATUS_OK)
        return status;
    node->alpha = (float)fill;
    node->pad_mode = onnx_attribute_is(reader, "mode", "reflect") ? PAD_REFLECT
                     : onnx_attribute_is(reader, "mode", "edge")  ? PAD_EDGE
                                                                  : PAD_CONSTANT;
    if (node->pad_mode == PAD_CONSTANT && onnx_attribute(reader, "mode") &&
        !onnx_attribute_is(reader, "mode", "constant"))
        return onnx_refuse(reader, "its mode must be constant, reflect or edge");
    return isfinite(node->alpha) ? STATUS_OK : onnx_refuse(reader, "its value is not finite");
}

/* Channels are added (as copies of the first, times 0, plus the constant) or dropped. */
static enum status pad_channels(struct onnx_reader *reader, int *node, int before, int after, float fill)
{
    enum status status = STATUS_OK;
    const int old = reader->graph->nodes[*node].shape.c, count = before + old + after;
    struct node select = node_default(OP_SELECT), scale = node_default(OP_SCALE);
    int *channels = NULL;
    if (before < -old || after < -old || count < 1)
        return onnx_refuse(reader, "it leaves no channels");
    TRY(onnx_channels_alloc(reader, (size_t)count, &channels));
    select.channels = channels;
    select.channel_count = count;
    TRY(onnx_derived_weight(reader, "kept", &count, 1, &scale.weight));
    TRY(onnx_derived_weight(reader, "fill", &count, 1, &scale.bias));
    for (int i = 0; i < count; i++) {
        const bool is_old = i - before >= 0 && i - before < old;
        channels[i] = is_old ? i - before : 0;
        reader->graph->weights[scale.weight].data[i] = is_old;
        reader->graph->weights[scale.bias].data[i] = is_old ? 0 : fill;
    }
    TRY(onnx_emit_helper(reader, &select, "channels", node, 1, node));
    TRY(onnx_emit_helper(reader, &scale, "filled", node, 1, node));
cleanup:
    free(channels);
    return status;
}

enum status onnx_read_pad(struct onnx_reader *reader)
{
    enum status status = STATUS_OK;
    struct node node = node_default(OP_PAD);
    struct onnx_value *value;
    int64_t amounts[2 * ONNX_MAX_RANK];
    int channels[2] = {0};
    TRY(onnx_node_input(reader, 0, &value));
    TRY(onnx_write_repeats(reader, value));
    TRY(read_mode(reader, &node));
    struct onnx_layout layout = value->layout;
    const struct shape s = onnx_shape(reader, value);
    TRY(read_amounts(reader, layout.rank, amounts));
    for (int d = 0; d < layout.rank; d++) {
        const int before = (int)amounts[d], after = (int)amounts[d + layout.rank];
        if (before == 0 && after == 0)
            continue;
        const enum onnx_axis axis = d ? axis_of(&value->layout, s, d) : ONNX_MIXED;
        if (axis == ONNX_C && node.pad_mode == PAD_CONSTANT) {
            channels[0] = before;
            channels[1] = after;
        } else if (axis == ONNX_H) {
            node.pad_top = before;
            node.pad_bottom = after;
        } else if (axis == ONNX_W) {
            node.pad_left = before;
            node.pad_right = after;
        } else {
            return onnx_refuse(reader, "only channels (with a constant), height and width can be padded");
        }
        if (layout.dims[d] + before + after < 1)
            return onnx_refuse(reader, "it leaves nothing of its input");
        onnx_layout_set(&layout, d, (struct onnx_factor){axis, (int)layout.dims[d] + before + after, 1});
    }
    int from = value->node;
    if (channels[0] || channels[1])
        TRY(pad_channels(reader, &from, channels[0], channels[1], node.alpha));
    TRY(onnx_emit(reader, &node, &from, 1, &layout));
cleanup:
    return status;
}

/* ---- resize ---- */

/* Sizes and scales of the dimensions: whichever the operator gives; the other follows. */
static enum status read_scales(struct onnx_reader *reader, const struct onnx_layout *layout, int64_t *sizes,
                               double *scales)
{
    enum status status = STATUS_OK;
    const bool upsample = reader->op->op_type[0] == 'U';
    const size_t at = upsample || reader->opset < 11 ? 1 : 2;
    const Onnx__AttributeProto *attribute = onnx_attribute(reader, "scales"), *axes = onnx_attribute(reader, "axes");
    const struct onnx_array *given = NULL, *given_sizes = NULL;
    bool marks[ONNX_MAX_RANK];
    if (!attribute && onnx_has_input(reader, at))
        TRY(onnx_constant_input(reader, at, &given));
    if (at == 2 && onnx_has_input(reader, 3))
        TRY(onnx_ints_input(reader, 3, &given_sizes));
    if (given && given->count == 0)
        given = NULL;
    const size_t count = attribute     ? attribute->n_floats
                         : given       ? given->count
                         : given_sizes ? given_sizes->count
                                       : 0,
                 expected = axes ? axes->n_ints : (size_t)layout->rank;
    if (count == 0 || count != expected || (given && !given->is_float) ||
        (axes && !onnx_mark_axes(axes->ints, axes->n_ints, layout->rank, marks)))
        return onnx_refuse(reader, "it needs one scale or size for every dimension");
    for (int d = 0; d < layout->rank; d++) {
        sizes[d] = layout->dims[d];
        scales[d] = 1;
    }
    for (size_t i = 0; i < count; i++) {
        const int64_t d = !axes ? (int64_t)i : axes->ints[i] < 0 ? axes->ints[i] + layout->rank : axes->ints[i];
        if (attribute || given) {
            const float scale = attribute ? attribute->floats[i] : given->floats[i];
            if (!(scale > 0 && scale <= 65536) || (d == 0 && scale != 1))
                return onnx_refuse(reader, "a scale is out of range");
            scales[d] = (double)scale;
            sizes[d] = d ? (int64_t)floorf(scale * (float)layout->dims[d]) : ONNX_BATCH;
        } else if (d > 0) { /* the batch cannot be resized; its size is what it was */
            sizes[d] = given_sizes->ints[i];
            scales[d] = (double)sizes[d] / (double)layout->dims[d];
        }
        if (d > 0 && (sizes[d] < 1 || sizes[d] > 65536))
            return onnx_refuse(reader, "a size is out of range");
    }
cleanup:
    return status;
}

/* The source coordinate of output i is (i + before) / scale + after: false if the mode is not of this form. */
static bool transform(struct onnx_reader *reader, struct resize_axis *axis, int in)
{
    const char *const name = "coordinate_transformation_mode";
    const bool old = reader->op->op_type[0] == 'U' || reader->opset < 11, given = onnx_attribute(reader, name) != NULL;
    if (old || onnx_attribute_is(reader, name, "asymmetric"))
        return true;
    if (onnx_attribute_is(reader, name, "align_corners")) {
        if (fabs(axis->scale * in - axis->size) > 1e-3) /* ONNX's reference and onnxruntime differ */
            return false;
        if (in > 1 && axis->size > 1) /* otherwise it is the first place with any scale */
            axis->scale = (double)(axis->size - 1) / (in - 1);
        return true;
    }
    const bool pytorch = onnx_attribute_is(reader, name, "pytorch_half_pixel");
    if (pytorch && axis->size == 1)
        return true;
    axis->before = 0.5;
    if (onnx_attribute_is(reader, name, "tf_half_pixel_for_nn"))
        return true;
    axis->after = -0.5;
    if (onnx_attribute_is(reader, name, "half_pixel_symmetric")) {
        axis->after += (double)in / 2 * (1 - axis->size / (axis->scale * in));
        return true;
    }
    return !given || pytorch || onnx_attribute_is(reader, name, "half_pixel");
}

/* Exports of students know these: half pixels, aligned corners, asymmetric, and one mode for both axes. */
static bool can_be_written(const struct resize *resize, struct shape in)
{
    const struct resize_axis *const axes[2] = {&resize->y, &resize->x};
    const int sizes[2] = {in.h, in.w};
    int kinds[2] = {0, 0}, count = 0;
    for (int k = 0; k < 2; k++) {
        const struct resize_axis *axis = axes[k];
        if (axis->size == sizes[k] && axis->scale == 1)
            continue;
        const bool half = axis->before == 0.5 && axis->after == -0.5, plain = axis->before == 0 && axis->after == 0;
        if ((!half && !plain) || axis->size == sizes[k])
            return false;
        kinds[count++] = half ? 1 : axis->scale == (double)axis->size / sizes[k] ? 2 : 3;
    }
    return count < 2 || kinds[0] == kinds[1];
}

static enum status read_resize_mode(struct onnx_reader *reader, struct resize *resize, bool shrinks)
{
    const bool old = reader->op->op_type[0] == 'U' || reader->opset < 11;
    const char *const nearest = "nearest_mode";
    if (onnx_attribute_int(reader, "antialias", 0))
        return onnx_refuse(reader, "antialias is not supported");
    if (onnx_attribute(reader, "keep_aspect_ratio_policy") &&
        !onnx_attribute_is(reader, "keep_aspect_ratio_policy", "stretch"))
        return onnx_refuse(reader, "keep_aspect_ratio_policy must be stretch");
    resize->mode = RESIZE_NEAREST_HALF_DOWN;
    if (onnx_attribute_is(reader, "mode", "linear") || onnx_attribute_is(reader, "mode", "bilinear"))
        resize->mode = RESIZE_LINEAR;
    else if (onnx_attribute(reader, "mode") && !onnx_attribute_is(reader, "mode", "nearest"))
        return onnx_refuse(reader, "its mode must be nearest or linear");
    else if (old && shrinks)
        return onnx_refuse(reader, "making an image smaller is not defined before opset 11");
    else if (old || onnx_attribute_is(reader, nearest, "floor"))
        resize->mode = RESIZE_NEAREST_FLOOR;
    else if (onnx_attribute_is(reader, nearest, "ceil"))
        resize->mode = RESIZE_NEAREST_CEIL;
    else if (onnx_attribute_is(reader, nearest, "round_prefer_ceil"))
        resize->mode = RESIZE_NEAREST_HALF_UP;
    return STATUS_OK;
}

enum status onnx_read_resize(struct onnx_reader *reader)
{
    enum status status = STATUS_OK;
    struct node node = node_default(OP_RESIZE);
    struct onnx_value *value;
    int64_t sizes[ONNX_MAX_RANK];
    double scales[ONNX_MAX_RANK];
    bool shrinks = false;
    TRY(onnx_node_input(reader, 0, &value));
    struct onnx_layout layout = value->layout;
    const struct shape s = onnx_shape(reader, value);
    TRY(read_scales(reader, &layout, sizes, scales));
    node.resize.y = (struct resize_axis){.size = s.h, .scale = 1};
    node.resize.x = (struct resize_axis){.size = s.w, .scale = 1};
    for (int d = 1; d < layout.rank; d++) {
        if (sizes[d] == layout.dims[d] && scales[d] == 1)
            continue;
        const enum onnx_axis axis = axis_of(&value->layout, s, d);
        struct resize_axis *along = axis == ONNX_H ? &node.resize.y : &node.resize.x;
        if (axis != ONNX_H && axis != ONNX_W)
            return onnx_refuse(reader, "only height and width can be resized");
        *along = (struct resize_axis){.size = (int)sizes[d], .scale = scales[d]};
        shrinks = shrinks || sizes[d] < layout.dims[d];
        if (!transform(reader, along, (int)layout.dims[d]))
            return onnx_refuse(reader, "its coordinate_transformation_mode is not supported for this scale");
        onnx_layout_set(&layout, d, (struct onnx_factor){axis, (int)sizes[d], 1});
    }
    if (reader->options.student && !can_be_written(&node.resize, s))
        return onnx_refuse(reader, "a student's resize must be half_pixel, align_corners or asymmetric, the same for "
                                   "height and width; teachers may have others");
    TRY(read_resize_mode(reader, &node.resize, shrinks));
    TRY(onnx_emit(reader, &node, &value->node, 1, &layout));
cleanup:
    return status;
}
