/* Norms that are one operator: BatchNormalization, LayerNormalization, GroupNormalization, InstanceNormalization,
 * LpNormalization. */
#include "formats/onnx/onnx_norms.h"

#include <float.h>
#include <math.h>
#include <string.h>

enum status onnx_read_batch_norm(struct onnx_reader *reader)
{
    enum status status = STATUS_OK;
    struct node node = node_default(OP_BATCH_NORM);
    struct onnx_value *input;
    TRY(onnx_node_input(reader, 0, &input));
    const struct shape s = onnx_shape(reader, input);
    const enum onnx_axis axis = input->layout.rank > 1 ? onnx_layout_axis(&input->layout, s, 1) : ONNX_MIXED;
    if (axis != ONNX_C && !(axis == ONNX_ONE && s.c == 1))
        return onnx_refuse(reader, "the channels of its input must be its second dimension");
    node.epsilon = onnx_attribute_float(reader, "epsilon", 1e-5f);
    node.momentum = 1 - onnx_attribute_float(reader, "momentum", 0.9f);
    if (!(node.epsilon >= 0) || !isfinite(node.epsilon) || !isfinite(node.momentum))
        return onnx_refuse(reader, "its epsilon or momentum is out of range");
    TRY(onnx_vector_input(reader, 1, s.c, true, "weight", -1, &node.weight));
    TRY(onnx_vector_input(reader, 2, s.c, true, "bias", node.weight, &node.bias));
    TRY(onnx_vector_input(reader, 3, s.c, false, "running_mean", node.weight, &node.running_mean));
    TRY(onnx_vector_input(reader, 4, s.c, false, "running_var", node.weight, &node.running_var));
    const struct weight *variance = &reader->graph->weights[node.running_var];
    for (size_t i = 0; i < variance->count; i++)
        if (!(variance->data[i] + node.epsilon > 0))
            return onnx_refuse(reader, "variance '%.100s' is not positive at element %zu", variance->name, i);
    TRY(onnx_emit(reader, &node, &input->node, 1, &input->layout));
cleanup:
    return status;
}

/* Weight and bias of a norm from constant inputs 1 and 2, which may be absent. */
static enum status norm_weights(struct onnx_reader *reader, struct onnx_value *value, struct onnx_spread *spread,
                                int *weights)
{
    enum status status = STATUS_OK;
    static const char *const suffixes[2] = {"scale", "shift"};
    weights[0] = weights[1] = -1;
    for (size_t i = 0; i < 2; i++) {
        if (!onnx_has_input(reader, 1 + i))
            continue;
        TRY(onnx_spread(reader, 1 + i, value, &spread[i]));
        TRY(onnx_spread_weight(reader, 1 + i, &spread[i], onnx_shape(reader, value), suffixes[i],
                               spread[i].array_count > 1, weights[0], &weights[i]));
    }
cleanup:
    return status;
}

bool onnx_norm_node(const struct onnx_layout *layout, struct shape s, const bool *gone, struct node *node)
{
    bool some[3] = {false}, kept[3] = {s.c == 1, s.h == 1, s.w == 1};
    int kept_channels = 1;
    for (int d = 1; d < layout->rank; d++)
        for (int k = 0, first = onnx_layout_first(layout, d); k < layout->counts[d]; k++) {
            const struct onnx_factor *factor = &layout->factors[first + k];
            if (factor->axis == ONNX_REPEAT)
                return false;
            *(gone[d] ? &some[factor->axis] : &kept[factor->axis]) = true;
            if (!gone[d] && factor->axis == ONNX_C) {
                if (factor->stride * factor->size * kept_channels != s.c) /* groups are the outer part */
                    return false;
                kept_channels *= factor->size;
            }
        }
    const bool places = (some[ONNX_H] || s.h == 1) && (some[ONNX_W] || s.w == 1) &&
                        !(some[ONNX_H] && s.h > 1 && kept[ONNX_H]) && !(some[ONNX_W] && s.w > 1 && kept[ONNX_W]);
    if (some[ONNX_C] && kept_channels == 1 && !some[ONNX_H] && !some[ONNX_W]) {
        *node = node_default(OP_LAYER_NORM);
        return true;
    }
    *node = node_default(OP_GROUP_NORM);
    node->groups = kept_channels;
    return places;
}

enum status onnx_read_layer_norm(struct onnx_reader *reader)
{
    enum status status = STATUS_OK;
    struct node node, scale = node_default(OP_SCALE);
    struct onnx_value *value;
    struct onnx_spread spread[2] = {{.per_channel = true}, {.per_channel = true}};
    bool gone[ONNX_MAX_RANK] = {false};
    int weights[2], normed;
    TRY(onnx_node_input(reader, 0, &value));
    int64_t axis = onnx_attribute_int(reader, "axis", -1);
    axis += axis < 0 ? value->layout.rank : 0;
    if (axis < 1 || axis >= value->layout.rank)
        return onnx_refuse(reader, "its axis is out of range, or the batch");
    for (int d = (int)axis; d < value->layout.rank; d++)
        gone[d] = true;
    if (!onnx_norm_node(&value->layout, onnx_shape(reader, value), gone, &node))
        return onnx_refuse(reader, "only norms over the channels, or over channels, height and width, are supported");
    node.epsilon = onnx_attribute_float(reader, "epsilon", 1e-5f);
    if (!(node.epsilon >= 0) || !isfinite(node.epsilon))
        return onnx_refuse(reader, "its epsilon is out of range");
    TRY(norm_weights(reader, value, spread, weights));
    if (spread[0].per_channel && spread[1].per_channel) {
        node.weight = weights[0];
        node.bias = weights[1];
        TRY(onnx_emit(reader, &node, &value->node, 1, &value->layout));
    } else {
        scale.weight = weights[0];
        scale.bias = weights[1];
        TRY(onnx_emit_helper(reader, &node, "norm", &value->node, 1, &normed));
        TRY(onnx_emit(reader, &scale, &normed, 1, &value->layout));
    }
cleanup:
    return status;
}

/* Inputs 1 and 2 are vectors, one number for each of `groups` groups or one for each channel. Absent if they do
 * nothing. */
static enum status group_weights(struct onnx_reader *reader, struct node *node, int c)
{
    enum status status = STATUS_OK;
    static const char *const suffixes[2] = {"scale", "shift"};
    int *const to[2] = {&node->weight, &node->bias};
    const struct onnx_array *array;
    for (size_t i = 0; i < 2; i++) {
        TRY(onnx_constant_input(reader, 1 + i, &array));
        if (array->count == (size_t)c) {
            TRY(onnx_vector_input(reader, 1 + i, c, true, i ? "bias" : "weight", node->weight, to[i]));
            continue;
        }
        if (array->count != (size_t)node->groups || !array->is_float)
            return onnx_refuse(reader, "input %zu must have one number per channel or group", 1 + i);
        bool nothing = true;
        for (size_t k = 0; k < array->count; k++)
            nothing = nothing && array->floats[k] == (i == 0);
        if (nothing)
            continue;
        TRY(onnx_derived_weight(reader, suffixes[i], &c, 1, to[i]));
        for (int k = 0; k < c; k++)
            reader->graph->weights[*to[i]].data[k] = array->floats[k / (c / node->groups)];
    }
cleanup:
    return status;
}

/* GroupNormalization and InstanceNormalization: dimension 1 is divided into groups, all others are reduced. For
 * InstanceNormalization of [batch, groups, ...], a Reshape has made the groups. */
static enum status read_grouped(struct onnx_reader *reader, int64_t groups)
{
    enum status status = STATUS_OK;
    struct node node;
    struct onnx_value *value;
    bool gone[ONNX_MAX_RANK] = {false};
    TRY(onnx_node_input(reader, 0, &value));
    const struct shape s = onnx_shape(reader, value);
    struct onnx_layout layout = value->layout;
    if (layout.rank < 3)
        return onnx_refuse(reader, "its input must be [batch, channels, ...]");
    if (groups) {
        const enum onnx_axis axis = onnx_layout_axis(&layout, s, 1);
        if ((axis != ONNX_C && !(axis == ONNX_ONE && s.c == 1)) || groups < 1 || groups > s.c || s.c % groups)
            return onnx_refuse(reader, "%lld groups do not fit its channels", (long long)groups);
    }
    for (int d = 2; d < layout.rank; d++)
        gone[d] = true;
    if (!onnx_norm_node(&layout, s, gone, &node))
        return onnx_refuse(reader, "its second dimension must be the channels, or groups of them");
    if (node.op != OP_GROUP_NORM) /* one group of one place */
        node = node_default(OP_GROUP_NORM);
    if (groups)
        node.groups = (int)groups;
    node.epsilon = onnx_attribute_float(reader, "epsilon", 1e-5f);
    if (!(node.epsilon >= 0) || !isfinite(node.epsilon))
        return onnx_refuse(reader, "its epsilon is out of range");
    TRY(group_weights(reader, &node, s.c));
    TRY(onnx_emit(reader, &node, &value->node, 1, &layout));
cleanup:
    return status;
}

enum status onnx_read_group_norm(struct onnx_reader *reader)
{
    const int64_t groups = onnx_attribute_int(reader, "num_groups", 0);
    return groups < 1 ? onnx_refuse(reader, "num_groups is missing") : read_grouped(reader, groups);
}

enum status onnx_read_instance_norm(struct onnx_reader *reader)
{
    return read_grouped(reader, 0);
}

enum status onnx_read_lp_norm(struct onnx_reader *reader)
{
    enum status status = STATUS_OK;
    struct node node = node_default(OP_LP_NORM);
    struct onnx_value *value;
    TRY(onnx_node_input(reader, 0, &value));
    int64_t axis = onnx_attribute_int(reader, "axis", -1), p = onnx_attribute_int(reader, "p", 2);
    const struct shape s = onnx_shape(reader, value);
    axis += axis < 0 ? value->layout.rank : 0;
    if (axis < 1 || axis >= value->layout.rank || onnx_layout_axis(&value->layout, s, (int)axis) != ONNX_C)
        return onnx_refuse(reader, "only norms over the channels are supported");
    if (p != 1 && p != 2)
        return onnx_refuse(reader, "p must be 1 or 2");
    node.alpha = (float)p;
    node.epsilon = FLT_MIN; /* 0 stays 0 */
    TRY(onnx_emit(reader, &node, &value->node, 1, &value->layout));
cleanup:
    return status;
}
