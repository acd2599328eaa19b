/* Parts of a value and values joined: Split, Slice, Gather, Concat. Channels are selected, height and width are cropped
 * by a negative padding and thinned out by a pool of one element. */
#include "formats/onnx/onnx_reader.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* The part of a value that is being taken: nodes to emit, the last one with the result's name. */
struct part {
    struct shape shape;
    struct onnx_layout layout;
    int *channels; /* of the value's node, or NULL: all */
    int channel_count;
    struct node crop, thin;
    bool crops, thins;
};

static void part_begin(struct part *part, const struct onnx_reader *reader, const struct onnx_value *value)
{
    *part = (struct part){.shape = onnx_shape(reader, value),
                          .layout = value->layout,
                          .crop = node_default(OP_PAD),
                          .thin = node_default(OP_MAX_POOL)};
}

/* indices[count] of one factor of the channels, which are in order. */
static enum status take_channels(struct onnx_reader *reader, struct part *part, int d, const int64_t *indices,
                                 size_t count)
{
    const struct onnx_factor factor = part->layout.factors[onnx_layout_first(&part->layout, d)];
    const size_t old = part->channels ? (size_t)part->channel_count : (size_t)part->shape.c;
    const size_t inner = (size_t)factor.stride, outer = old / ((size_t)factor.size * inner);
    if (count < 1 || size_mul(outer * inner, count) > INT_MAX / 4)
        return onnx_refuse(reader, "it takes nothing, or too much");
    int *taken;
    const enum status status = onnx_channels_alloc(reader, outer * inner * count, &taken);
    if (status != STATUS_OK)
        return status;
    int *to = taken;
    for (size_t o = 0; o < outer; o++)
        for (size_t k = 0; k < count; k++)
            for (size_t i = 0; i < inner; i++) {
                const size_t from = (o * (size_t)factor.size + (size_t)indices[k]) * inner + i;
                *to++ = part->channels ? part->channels[from] : (int)from;
            }
    free(part->channels);
    part->channels = taken;
    part->channel_count = (int)(outer * inner * count);
    for (int k = 0; k < onnx_layout_first(&part->layout, part->layout.rank); k++) {
        struct onnx_factor *other = &part->layout.factors[k];
        if (other->axis == ONNX_C && other->stride > factor.stride)
            other->stride = other->stride / factor.size * (int)count;
    }
    onnx_layout_set(&part->layout, d, (struct onnx_factor){ONNX_C, (int)count, factor.stride});
    return STATUS_OK;
}

/* Indices of height or width: first, first + step, ... */
static enum status take_places(struct onnx_reader *reader, struct part *part, int d, enum onnx_axis axis,
                               const int64_t *indices, size_t count)
{
    const int64_t step = count > 1 ? indices[1] - indices[0] : 1;
    const int size = axis == ONNX_H ? part->shape.h : part->shape.w;
    if (count < 1 || step < 1)
        return onnx_refuse(reader, "height and width can be cut only from the start to the end");
    for (size_t i = 1; i < count; i++)
        if (indices[i] - indices[i - 1] != step)
            return onnx_refuse(reader, "height and width can be cut only in equal steps");
    const int before = (int)indices[0], after = size - 1 - (int)indices[count - 1];
    *(axis == ONNX_H ? &part->crop.pad_top : &part->crop.pad_left) = -before;
    *(axis == ONNX_H ? &part->crop.pad_bottom : &part->crop.pad_right) = -after;
    *(axis == ONNX_H ? &part->thin.stride_h : &part->thin.stride_w) = (int)step;
    part->crops = part->crops || before > 0 || after > 0;
    part->thins = part->thins || step > 1;
    onnx_layout_set(&part->layout, d, (struct onnx_factor){axis, (int)count, 1});
    return STATUS_OK;
}

/* Takes indices[count], each within the dimension, of dimension d. */
static enum status take(struct onnx_reader *reader, struct part *part, int d, const int64_t *indices, size_t count)
{
    const struct onnx_layout *layout = &part->layout;
    const struct onnx_factor *factor = &layout->factors[onnx_layout_first(layout, d)];
    bool all = (int64_t)count == layout->dims[d];
    for (size_t i = 0; all && i < count; i++)
        all = indices[i] == (int64_t)i;
    if (all)
        return STATUS_OK;
    if (count <= INT_MAX && (layout->counts[d] == 0 || (layout->counts[d] == 1 && factor->axis == ONNX_REPEAT))) {
        onnx_layout_set(&part->layout, d, (struct onnx_factor){ONNX_REPEAT, (int)count, 1});
        return STATUS_OK;
    }
    if (layout->counts[d] == 1 && factor->axis == ONNX_C)
        return take_channels(reader, part, d, indices, count);
    const enum onnx_axis axis = onnx_layout_axis(layout, part->shape, d);
    if (axis == ONNX_H || axis == ONNX_W)
        return take_places(reader, part, d, axis, indices, count);
    return onnx_refuse(reader, "only parts of the channels, of the height and of the width can be taken, not of "
                               "dimensions that mix them");
}

/* The result is the part. Frees it. */
static enum status part_emit(struct onnx_reader *reader, struct part *part, const struct onnx_value *value)
{
    enum status status = STATUS_OK;
    struct node steps[3];
    int count = 0, node = value->node;
    if (part->channels) {
        steps[count] = node_default(OP_SELECT);
        steps[count].channels = part->channels;
        steps[count++].channel_count = part->channel_count;
    }
    if (part->crops)
        steps[count++] = part->crop;
    if (part->thins)
        steps[count++] = part->thin;
    for (int i = 0; i < count - 1; i++)
        TRY(onnx_emit_helper(reader, &steps[i], "part", &node, 1, &node));
    if (count)
        TRY(onnx_emit(reader, &steps[count - 1], &node, 1, &part->layout));
    else
        onnx_alias(reader, value, &part->layout);
cleanup:
    free(part->channels);
    part->channels = NULL;
    return status;
}

/* ---- operators ---- */

bool onnx_find_axis(const struct onnx_reader *reader, const struct onnx_value *value, int64_t absent, int *d)
{
    int64_t axis = onnx_attribute_int(reader, "axis", absent);
    axis += axis < 0 ? value->layout.rank : 0;
    *d = (int)axis;
    return axis > 0 && axis < value->layout.rank;
}

/* A list of `count` indices within the budget: an Expand makes dimensions of any size. */
static enum status indices_alloc(struct onnx_reader *reader, int64_t count, int64_t **indices)
{
    const size_t bytes = size_mul((size_t)count, sizeof **indices);
    const enum status status = onnx_spend(reader, bytes, onnx_output_name(reader));
    if (status != STATUS_OK)
        return status;
    *indices = malloc(bytes);
    return *indices ? STATUS_OK : error_no_memory(reader->err, bytes, "a list of channels");
}

/* Sizes of the outputs: given, or equal parts, of which the last may be smaller (num_outputs). */
static enum status split_sizes(struct onnx_reader *reader, int64_t total, int64_t *sizes, size_t outputs)
{
    enum status status = STATUS_OK;
    const int64_t *given;
    size_t count;
    TRY(onnx_attribute_or_input(reader, "split", 1, &given, &count));
    if (given && count != outputs)
        return onnx_refuse(reader, "it has %zu sizes for %zu outputs", count, outputs);
    const int64_t part = (total + (int64_t)outputs - 1) / (int64_t)outputs;
    int64_t rest = total;
    for (size_t i = 0; i < outputs; i++) {
        sizes[i] = given ? given[i] : part < rest ? part : rest;
        if (sizes[i] < 1 || sizes[i] > rest)
            return onnx_refuse(reader, "its sizes do not fit");
        rest -= sizes[i];
    }
    if (rest != 0)
        return onnx_refuse(reader, "its sizes do not fit");
cleanup:
    return status;
}

enum status onnx_emit_piece(struct onnx_reader *reader, const struct onnx_value *value, int d, int64_t first,
                            int64_t count)
{
    enum status status = STATUS_OK;
    struct part part = {0};
    int64_t *indices = NULL;
    TRY(indices_alloc(reader, count, &indices));
    for (int64_t i = 0; i < count; i++)
        indices[i] = first + i;
    part_begin(&part, reader, value);
    TRY(take(reader, &part, d, indices, (size_t)count));
    TRY(part_emit(reader, &part, value));
cleanup:
    free(part.channels);
    free(indices);
    return status;
}

enum status onnx_read_split(struct onnx_reader *reader)
{
    enum status status = STATUS_OK;
    struct onnx_value *value;
    int64_t sizes[64], first = 0;
    int d;
    const size_t outputs = reader->op->n_output;
    TRY(onnx_node_input(reader, 0, &value));
    if (!onnx_find_axis(reader, value, 0, &d))
        return onnx_refuse(reader, "its axis is out of range, or the batch");
    if (outputs < 1 || outputs > sizeof sizes / sizeof *sizes)
        return onnx_refuse(reader, "it has %zu outputs", outputs);
    TRY(split_sizes(reader, value->layout.dims[d], sizes, outputs));
    for (size_t i = 0; i < outputs; first += sizes[i++]) {
        reader->result = i;
        const struct onnx_value *result = onnx_result(reader);
        if (result && result->needed)
            TRY(onnx_emit_piece(reader, value, d, first, sizes[i]));
    }
cleanup:
    reader->result = 0;
    return status;
}

static int64_t clamp(int64_t value, int64_t low, int64_t high)
{
    return value < low ? low : value > high ? high : value;
}

/* start, start + step, ... before end, as indices of dimension d. */
static enum status slice_axis(struct onnx_reader *reader, struct part *part, int d, int64_t start, int64_t end,
                              int64_t step)
{
    const int64_t extent = part->layout.dims[d];
    size_t count = 0;
    step = clamp(step, -extent, extent);
    start = clamp(start < 0 ? (start < -extent ? -1 : start + extent) : start, step > 0 ? 0 : -1,
                  step > 0 ? extent : extent - 1);
    end = clamp(end < 0 ? (end < -extent ? -1 : end + extent) : end, step > 0 ? 0 : -1, extent);
    int64_t *indices;
    enum status status = indices_alloc(reader, extent, &indices);
    if (status != STATUS_OK)
        return status;
    for (int64_t i = start; i >= 0 && (step > 0 ? i < end : i > end); i += step)
        indices[count++] = i;
    status = count ? take(reader, part, d, indices, count) : onnx_refuse(reader, "it leaves nothing of its input");
    free(indices);
    return status;
}

enum status onnx_read_slice(struct onnx_reader *reader)
{
    enum status status = STATUS_OK;
    struct onnx_value *value;
    struct part part = {0};
    const int64_t *starts, *ends, *axes, *steps;
    size_t start_count, end_count, axis_count, step_count;
    bool sliced[ONNX_MAX_RANK];
    TRY(onnx_node_input(reader, 0, &value));
    TRY(onnx_attribute_or_input(reader, "starts", 1, &starts, &start_count));
    TRY(onnx_attribute_or_input(reader, "ends", 2, &ends, &end_count));
    TRY(onnx_attribute_or_input(reader, "axes", 3, &axes, &axis_count));
    TRY(onnx_attribute_or_input(reader, "steps", 4, &steps, &step_count));
    part_begin(&part, reader, value);
    const int rank = part.layout.rank;
    if (start_count != end_count || start_count > (size_t)rank || (axes && axis_count != start_count) ||
        (steps && step_count != start_count) || (axes && !onnx_mark_axes(axes, axis_count, rank, sliced)))
        return onnx_refuse(reader, "starts, ends, axes and steps do not fit its input");
    for (size_t i = 0; i < start_count; i++) {
        const int64_t axis = !axes ? (int64_t)i : axes[i] < 0 ? axes[i] + rank : axes[i], step = steps ? steps[i] : 1;
        if (step == 0)
            FAIL(onnx_refuse(reader, "a step must not be 0"));
        if (axis == 0 && (starts[i] != 0 || ends[i] < INT_MAX || step != 1))
            FAIL(onnx_refuse(reader, "the batch cannot be cut"));
        if (axis != 0)
            TRY(slice_axis(reader, &part, (int)axis, starts[i], ends[i], step));
    }
    TRY(part_emit(reader, &part, value));
cleanup:
    free(part.channels);
    return status;
}

/* Indices in one dimension, or one index: then the dimension disappears. */
enum status onnx_read_gather(struct onnx_reader *reader)
{
    enum status status = STATUS_OK;
    struct onnx_value *value;
    const struct onnx_array *chosen;
    struct part part = {0};
    int64_t *indices = NULL;
    int d;
    if (onnx_input(reader, 1) && onnx_input(reader, 1)->kind == ONNX_COUNTED)
        return onnx_read_strided(reader);
    TRY(onnx_node_input(reader, 0, &value));
    TRY(onnx_ints_input(reader, 1, &chosen));
    if (!onnx_find_axis(reader, value, 0, &d))
        return onnx_refuse(reader, "its axis is out of range, or the batch");
    if (chosen->rank > 1 || chosen->count < 1)
        return onnx_refuse(reader, "its indices must be one number or a list");
    indices = malloc(chosen->count * sizeof *indices);
    if (!indices)
        return error_no_memory(reader->err, chosen->count * sizeof *indices, "a list of channels");
    for (size_t i = 0; i < chosen->count; i++) {
        indices[i] = chosen->ints[i] + (chosen->ints[i] < 0 ? value->layout.dims[d] : 0);
        if (indices[i] < 0 || indices[i] >= value->layout.dims[d])
            FAIL(onnx_refuse(reader, "an index is out of range"));
    }
    part_begin(&part, reader, value);
    TRY(take(reader, &part, d, indices, chosen->count));
    if (chosen->rank == 0)
        onnx_layout_remove(&part.layout, d);
    if (part.layout.rank < 2)
        FAIL(onnx_refuse(reader, "it leaves nothing but the batch"));
    TRY(part_emit(reader, &part, value));
cleanup:
    free(part.channels);
    free(indices);
    return status;
}

/* ---- concat ---- */

/* Whether dimension d can grow by more channels behind those that are there: it is the outermost factor of the
 * channels, or 1. *stride becomes the number of channels that one step of it has. */
static bool can_grow(const struct onnx_layout *layout, struct shape s, int d, int *stride)
{
    const int first = onnx_layout_first(layout, d);
    if (layout->counts[d] > 1 || (layout->counts[d] == 1 && layout->factors[first].axis != ONNX_C))
        return false;
    *stride = layout->counts[d] ? layout->factors[first].stride : s.c;
    return layout->counts[d] == 0 || layout->factors[first].size * *stride == s.c;
}

enum status onnx_read_concat(struct onnx_reader *reader)
{
    enum status status = STATUS_OK;
    struct node node = node_default(OP_CONCAT);
    struct onnx_value *values[NODE_MAX_INPUTS];
    int nodes[NODE_MAX_INPUTS], d = 1, stride = 0, total = 0;
    const size_t count = reader->op->n_input;
    struct onnx_layout first = {0};
    if (count < 1 || count > NODE_MAX_INPUTS)
        return onnx_refuse(reader, "it has %zu inputs; 1 to %d are supported", count, NODE_MAX_INPUTS);
    for (size_t i = 0; i < count; i++) {
        int own;
        TRY(onnx_node_input(reader, i, &values[i]));
        struct onnx_layout layout = values[i]->layout;
        const struct shape s = onnx_shape(reader, values[i]);
        if (!onnx_find_axis(reader, values[i], 1, &d) || !can_grow(&layout, s, d, &own))
            return onnx_refuse(reader, "only channels can be joined (axis 1, or the last one of channels last)");
        total += (int)layout.dims[d];
        onnx_layout_set(&layout, d, (struct onnx_factor){.size = 1});
        if (i == 0) {
            first = layout;
            stride = own;
        }
        if (!onnx_layout_equal(&layout, &first) || own != stride)
            return onnx_refuse(reader, "the shapes of its inputs do not fit, or their channels, height and width are "
                                       "arranged in different ways");
        nodes[i] = values[i]->node;
    }
    if (count == 1) {
        onnx_alias(reader, values[0], &values[0]->layout);
        return STATUS_OK;
    }
    if (!onnx_layout_set(&first, d, (struct onnx_factor){ONNX_C, total, stride}))
        return onnx_refuse(reader, "its inputs have too many dimensions");
    TRY(onnx_emit(reader, &node, nodes, (int)count, &first));
cleanup:
    return status;
}
