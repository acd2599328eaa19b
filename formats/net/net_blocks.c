/* .net files, the layers of newer networks. */
#include "formats/net/net_build.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_SIDE = 1 << 16 }; /* of a map */

int net_channels(const struct net_builder *builder)
{
    return builder->graph->nodes[builder->current].shape.c;
}

/* One weight per channel; `prelu NAME 1` has one for all. */
enum status net_build_prelu(struct net_builder *builder, const struct net_line *line, struct error *err)
{
    enum status status = STATUS_OK;
    struct node node = node_default(OP_PRELU);
    const int count = line->value >= 0 ? 1 : net_channels(builder);
    if (line->value >= 0 && line->value != 1)
        return error_set(err, STATUS_BAD_DATA, NULL, "a prelu has one weight per channel, or with `prelu NAME 1` one");
    TRY(net_add_weight(builder, line->name, "weight", &count, 1, true, &node.weight, err));
    TRY(net_after_current(builder, &node, line->name, "prelu", err));
cleanup:
    return status;
}

/* groupnorm and layernorm: named like a batch norm. */
enum status net_build_norm(struct net_builder *builder, const struct net_line *line, struct error *err)
{
    enum status status = STATUS_OK;
    const bool group = line->layer[0] == 'g';
    struct node node = node_default(group ? OP_GROUP_NORM : OP_LAYER_NORM);
    char automatic[2 * NODE_MAX_NAME];
    const char *name = line->name, *suffix = group ? "gn" : "ln";
    const int channels = net_channels(builder);
    if (!name) {
        net_automatic_name(builder, suffix, automatic);
        name = automatic;
    }
    node.epsilon = line->epsilon > 0 ? line->epsilon : group ? 1e-5f : 1e-6f;
    node.groups = group ? line->counts[0] : 1;
    TRY(net_add_weight(builder, name, "weight", &channels, 1, true, &node.weight, err));
    TRY(net_add_weight(builder, name, "bias", &channels, 1, true, &node.bias, err));
    TRY(net_after_current(builder, &node, name, suffix, err));
cleanup:
    return status;
}

/* A trained factor per channel, such as ConvNeXt's LayerScale, which begins at 1e-6. */
enum status net_build_scale(struct net_builder *builder, const struct net_line *line, struct error *err)
{
    enum status status = STATUS_OK;
    struct node node = node_default(OP_SCALE);
    const int channels = net_channels(builder);
    TRY(net_add_weight(builder, line->name, "weight", &channels, 1, true, &node.weight, err));
    for (int i = 0; i < channels; i++)
        builder->graph->weights[node.weight].data[i] = line->value >= 0 ? line->value : 1;
    TRY(net_after_current(builder, &node, line->name, "scale", err));
cleanup:
    return status;
}

/* Squeeze and excitation with torchvision's names: NAME.fc1 and NAME.fc2 make a gate for the channels of the current
 * value. ReLU and sigmoid; SiLU and sigmoid (EfficientNet); ReLU and hard sigmoid (MobileNetV3). */
enum status net_add_squeeze(struct net_builder *builder, const char *name, int squeezed, enum net_gate gate,
                            struct error *err)
{
    enum status status = STATUS_OK;
    const struct node pool = node_default(OP_GLOBAL_AVERAGE_POOL), pointwise = node_default(OP_CONV),
                      multiply = node_default(OP_MULTIPLY);
    const enum activation inner = gate == NET_GATE_SILU ? ACTIVATION_SILU : ACTIVATION_RELU;
    const enum activation outer = gate == NET_GATE_HARD ? ACTIVATION_HARD_SIGMOID : ACTIVATION_SIGMOID;
    static const char *const parts[5] = {"avgpool", "fc1", "activation", "fc2", "scale_activation"};
    char names[5][NODE_MAX_NAME];
    for (int i = 0; i < 5; i++)
        snprintf(names[i], sizeof names[i], "%s.%s", name, parts[i]);
    int inputs[2] = {builder->current, 0};
    const int channels = net_channels(builder);
    TRY(net_after_current(builder, &pool, names[0], "gap", err));
    TRY(net_add_conv(builder, names[1], squeezed, &pointwise, true, err));
    TRY(net_add_activation(builder, inner, 1, 0, names[2], "relu", err));
    TRY(net_add_conv(builder, names[3], channels, &pointwise, true, err));
    TRY(net_add_activation(builder, outer, 1.0f / 6, 0.5f, names[4], "sigmoid", err));
    inputs[1] = builder->current;
    TRY(net_append(builder, &multiply, name, "se", inputs, 2, err));
cleanup:
    return status;
}

enum status net_build_se(struct net_builder *builder, const struct net_line *line, struct error *err)
{
    return net_add_squeeze(builder, line->name, line->counts[0], line->gate, err);
}

/* The current value times a named one; a gate may be either of them. */
enum status net_build_mul(struct net_builder *builder, const struct net_line *line, struct error *err)
{
    enum status status = STATUS_OK;
    const struct node node = node_default(OP_MULTIPLY);
    int inputs[2];
    if (line->name_count != 1)
        return error_set(err, STATUS_BAD_DATA, NULL, "mul multiplies the value above by one other value");
    TRY(net_find_value(builder, line->names[0], &inputs[1], err));
    inputs[0] = builder->current;
    const struct shape a = builder->graph->nodes[inputs[0]].shape, b = builder->graph->nodes[inputs[1]].shape;
    if ((size_t)a.c * (size_t)a.h * (size_t)a.w < (size_t)b.c * (size_t)b.h * (size_t)b.w) {
        inputs[0] = inputs[1];
        inputs[1] = builder->current;
    }
    TRY(net_append(builder, &node, line->name, "mul", inputs, 2, err));
cleanup:
    return status;
}

/* channels FIRST COUNT; shuffle GROUPS, as ShuffleNet: [groups, c / groups] becomes [c / groups, groups]. */
enum status net_build_select(struct net_builder *builder, const struct net_line *line, struct error *err)
{
    enum status status = STATUS_OK;
    struct node node = node_default(OP_SELECT);
    int *list = NULL;
    const bool shuffle = line->layer[0] == 's';
    const int c = net_channels(builder), groups = line->counts[0], count = shuffle ? c : line->counts[0];
    if (shuffle && c % groups)
        return error_set(err, STATUS_BAD_DATA, NULL, "%d groups do not divide %d channels", groups, c);
    if (!shuffle && (line->first > c || count > c - line->first))
        return error_set(err, STATUS_BAD_DATA, NULL, "channels %d to %d are wanted, but there are only %d", line->first,
                         line->first + count - 1, c);
    list = malloc((size_t)count * sizeof *list);
    if (!list)
        return error_no_memory(err, (size_t)count * sizeof *list, "a layer");
    for (int i = 0; i < count; i++)
        list[i] = shuffle ? i % groups * (c / groups) + i / groups : line->first + i;
    node.channels = list;
    node.channel_count = count;
    TRY(net_after_current(builder, &node, line->name, shuffle ? "shuffle" : "channels", err));
cleanup:
    free(list);
    return status;
}

/* upsample FACTOR [linear], as torch.nn.Upsample(scale_factor=FACTOR): nearest, or linear with align_corners=False. */
enum status net_build_upsample(struct net_builder *builder, const struct net_line *line, struct error *err)
{
    enum status status = STATUS_OK;
    struct node node = node_default(OP_RESIZE);
    const struct shape in = builder->graph->nodes[builder->current].shape;
    const int factor = line->counts[0];
    if (factor > MAX_SIDE / in.h || factor > MAX_SIDE / in.w)
        return error_set(err, STATUS_BAD_DATA, NULL, "%dx%d times %d is too large", in.h, in.w, factor);
    const double half = line->linear ? 0.5 : 0;
    node.resize = (struct resize){.mode = line->linear ? RESIZE_LINEAR : RESIZE_NEAREST_FLOOR,
                                  .y = {.size = in.h * factor, .scale = factor, .before = half, .after = -half},
                                  .x = {.size = in.w * factor, .scale = factor, .before = half, .after = -half}};
    TRY(net_after_current(builder, &node, line->name, "upsample", err));
cleanup:
    return status;
}
