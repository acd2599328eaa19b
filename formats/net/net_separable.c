/* .net files, the blocks of depthwise and pointwise convolutions that take one line: dwpw, residual, inverted. Each
 * becomes plain layers NAME.dw, NAME.dw_bn, ...; the last of them has the block's name. */
#include "formats/net/net_build.h"

#include <stdio.h>

/* "NAME.part" */
struct part_name {
    char text[NODE_MAX_NAME];
};
static struct part_name part(const struct net_line *line, const char *part)
{
    struct part_name name;
    snprintf(name.text, sizeof name.text, "%s.%s", line->name, part);
    return name;
}

/* A convolution and its batch norm, whose value has the name `value`; NULL: the norm's own name. */
static enum status add_conv_norm(struct net_builder *builder, const struct net_line *line, const char *conv,
                                 const char *norm, int channels, const struct node *window, const char *value,
                                 struct error *err)
{
    enum status status = STATUS_OK;
    TRY(net_add_conv(builder, part(line, conv).text, channels, window, line->bias == 1, err));
    TRY(net_add_batch_norm(builder, part(line, norm).text, value, line->epsilon, line->momentum, err));
cleanup:
    return status;
}

/* Depthwise convolution, batch norm, ReLU, pointwise convolution, batch norm, ReLU. A number makes both of them
 * LeakyReLUs with that slope. */
enum status net_build_dwpw(struct net_builder *builder, const struct net_line *line, struct error *err)
{
    enum status status = STATUS_OK;
    const enum activation activation = line->value > 0 ? ACTIVATION_LEAKY_RELU : ACTIVATION_RELU;
    const float slope = line->value > 0 ? line->value : 0;
    const struct node pointwise = node_default(OP_CONV);
    struct node depthwise = net_window(OP_CONV, line, 3, 1, 1);
    depthwise.groups = net_channels(builder);
    TRY(add_conv_norm(builder, line, "dw", "dw_bn", depthwise.groups, &depthwise, NULL, err));
    TRY(net_add_activation(builder, activation, slope, 0, part(line, "dw_relu").text, "relu", err));
    TRY(add_conv_norm(builder, line, "pw", "pw_bn", line->counts[0], &pointwise, NULL, err));
    TRY(net_add_activation(builder, activation, slope, 0, line->name, "relu", err));
cleanup:
    return status;
}

static enum status add_block_activation(struct net_builder *builder, const struct net_line *line, const char *name,
                                        struct error *err)
{
    const enum activation activation = line->activation != ACTIVATION_NONE ? line->activation : ACTIVATION_HARD_SWISH;
    const float alpha = activation == ACTIVATION_SILU ? 1 : 0, beta = activation == ACTIVATION_CLIP ? 6 : 0;
    return net_add_activation(builder, activation, alpha, beta, part(line, name).text, "act", err);
}

/* The gate of squeeze and excitation that belongs to the block's activation, as in MobileNetV3 and EfficientNet. */
static enum net_gate gate_of(const struct net_line *line)
{
    switch (line->activation) {
    case ACTIVATION_NONE:
    case ACTIVATION_HARD_SWISH:
        return NET_GATE_HARD;
    case ACTIVATION_SILU:
        return NET_GATE_SILU;
    default:
        return NET_GATE_SIGMOID;
    }
}

/* residual: depthwise convolution, batch norm, activation, pointwise convolution, batch norm. inverted (MobileNetV2's
 * bottleneck): before these a pointwise convolution to more channels, batch norm, activation; left out if there are so
 * many channels already. Both add the block's input where it has the output's shape. */
enum status net_build_bottleneck(struct net_builder *builder, const struct net_line *line, struct error *err)
{
    enum status status = STATUS_OK;
    const struct node pointwise = node_default(OP_CONV), add = node_default(OP_ADD);
    const bool inverted = line->layer[0] == 'i';
    struct node depthwise = net_window(OP_CONV, line, 3, 1, 0);
    if (line->kernel_h % 2 == 0 || line->kernel_w % 2 == 0)
        return error_set(err, STATUS_BAD_DATA, NULL, "a %s block needs a window of odd size, such as 3x3 or 5x5",
                         line->layer);
    depthwise.pad_top = depthwise.pad_bottom = line->dilation * (line->kernel_h / 2);
    depthwise.pad_left = depthwise.pad_right = line->dilation * (line->kernel_w / 2);
    const int input = builder->current, channels = net_channels(builder), out = line->counts[0];
    const bool skip = channels == out && depthwise.stride_h == 1 && !line->noskip;
    const int inner = inverted ? line->counts[1] : channels;
    if (inner != channels) {
        TRY(add_conv_norm(builder, line, "expand", "expand_bn", inner, &pointwise, NULL, err));
        TRY(add_block_activation(builder, line, "expand_act", err));
    }
    depthwise.groups = inner;
    TRY(add_conv_norm(builder, line, "dw", "dw_bn", inner, &depthwise, NULL, err));
    TRY(add_block_activation(builder, line, "dw_act", err));
    if (line->squeeze > 0)
        TRY(net_add_squeeze(builder, part(line, "se").text, line->squeeze, gate_of(line), err));
    TRY(add_conv_norm(builder, line, "pw", "pw_bn", out, &pointwise, skip ? NULL : line->name, err));
    if (skip) {
        const int inputs[2] = {builder->current, input};
        TRY(net_append(builder, &add, line->name, "add", inputs, 2, err));
    }
cleanup:
    return status;
}
