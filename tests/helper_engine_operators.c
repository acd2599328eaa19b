#include "tests/helper_engine_graphs.h"

#include <string.h>

/* Channels below, at and above a vector's length, one position, odd sizes, more than 64k values. */
static const struct shape shapes[] = {{1, 1, 1},  {5, 1, 1},   {16, 1, 1}, {1, 6, 5},   {3, 4, 7},
                                      {16, 5, 5}, {19, 3, 11}, {40, 9, 1}, {130, 2, 3}, {66, 33, 31}};
enum { SHAPE_COUNT = sizeof shapes / sizeof *shapes };

/* Adds the operator under test to the builder's graph; variant is its own. */
typedef int add_operator(struct graph_builder *builder, int input, int variant);

/* The operator on the input, and on what a convolution gives and another one takes. */
static void check_operator(engine_check *check, struct shape shape, add_operator *add, int variant)
{
    for (int between = 0; between < 2; between++) {
        struct graph_builder builder;
        build_init(&builder, (uint64_t)(shape.c + variant), !between ? shape.c : shape.c > 1 ? 3 : 1, shape.h, shape.w);
        const int x = between ? build_conv(&builder, 0, shape.c, 1, 1, 0, 1) : 0;
        const int y = add(&builder, x, variant);
        if (between)
            build_conv(&builder, y, 7, 1, 1, 0, 1);
        check(&builder);
        build_release(&builder);
    }
}

static bool is_large(struct shape shape)
{
    return shape.c * shape.h * shape.w > 10000;
}

/* Large shapes in one variant: the reference and the execution shim are slow. */
static void check_shapes(engine_check *check, add_operator *add, int variants)
{
    for (int i = 0; i < SHAPE_COUNT; i++)
        for (int variant = 0; variant < (is_large(shapes[i]) ? 1 : variants); variant++)
            check_operator(check, shapes[i], add, variant);
}

/* ---- norms ---- */

static int add_norm_weights(struct graph_builder *builder, struct node node, int input, bool weight, bool bias)
{
    const int channels = builder->graph.nodes[input].shape.c;
    if (weight)
        node.weight = build_weight(builder, "weight", &channels, 1, 1, 0.5f);
    if (bias)
        node.bias = build_weight(builder, "bias", &channels, 1, 0, 0.5f);
    return build_add1(builder, node, input);
}

static int layer_norm(struct graph_builder *builder, int input, int variant)
{
    struct node node = node_default(OP_LAYER_NORM);
    node.epsilon = variant ? 1e-6f : 1e-2f;
    return add_norm_weights(builder, node, input, variant > 0, variant == 1);
}

/* variant: the divisor of the channels that is the number of groups, 0 for one group of everything. */
static int group_norm(struct graph_builder *builder, int input, int variant)
{
    struct node node = node_default(OP_GROUP_NORM);
    const int channels = builder->graph.nodes[input].shape.c;
    node.groups = variant && channels % variant == 0 ? channels / variant : 1;
    return add_norm_weights(builder, node, input, variant != 1, variant != 2);
}

static int lp_norm(struct graph_builder *builder, int input, int variant)
{
    struct node node = node_default(OP_LP_NORM);
    node.alpha = variant & 1 ? 1 : 2;
    node.epsilon = variant & 2 ? 2.5f : 1e-12f; /* larger than some norms */
    return build_add1(builder, node, input);
}

void engine_norms(engine_check *check)
{
    check_shapes(check, layer_norm, 3);
    check_shapes(check, lp_norm, 4);
    for (int i = 0; i < SHAPE_COUNT; i++)
        for (int variant = is_large(shapes[i]) ? 1 : 0; variant < (is_large(shapes[i]) ? 2 : 6); variant++)
            if (variant == 0 || shapes[i].c % variant == 0)
                check_operator(check, shapes[i], group_norm, variant);
}

/* The input's channels again and again, plus something near 1000. It is exact: whatever an engine does with it, only
 * the norm can lose digits. */
static int large_values(struct graph_builder *builder, int input, int channels, float spread)
{
    struct node conv = node_default(OP_CONV), offset = node_default(OP_SCALE);
    const int given = builder->graph.nodes[input].shape.c;
    conv.kernel_h = conv.kernel_w = 1;
    const int copied = build_conv_node(builder, conv, input, channels, false);
    float *weight = builder->graph.weights[builder->graph.nodes[copied].weight].data;
    for (int c = 0; c < channels; c++)
        for (int i = 0; i < given; i++)
            weight[c * given + i] = i == c % given;
    offset.bias = build_weight(builder, "bias", &channels, 1, 1000, spread);
    return build_add1(builder, offset, copied);
}

void engine_large_means(engine_check *check)
{
    static const struct shape large[] = {{3, 17, 29}, {48, 16, 20}, {20, 5, 3}};
    for (int i = 0; i < 3; i++)
        for (int variant = 0; variant < 4; variant++) {
            struct graph_builder builder;
            build_init(&builder, (uint64_t)variant, 3, large[i].h, large[i].w);
            const int x = large_values(&builder, 0, large[i].c, variant & 1 ? 0 : 10);
            if (variant & 2)
                layer_norm(&builder, x, 1);
            else
                group_norm(&builder, x, large[i].c % 2 == 0 ? 2 : 0);
            check(&builder);
            build_release(&builder);
        }
}

/* ---- one number per channel or value ---- */

static int scale(struct graph_builder *builder, int input, int variant)
{
    struct node node = node_default(OP_SCALE);
    const struct shape shape = builder->graph.nodes[input].shape;
    const int per_value[3] = {shape.c, shape.h, shape.w};
    const int kinds[6][2] = {{1, 1}, {3, 3}, {1, 0}, {0, 1}, {3, 1}, {1, 3}}; /* ranks of weight and bias; 0: absent */
    if (kinds[variant][0])
        node.weight = build_weight(builder, "weight", per_value, kinds[variant][0], 1, 0.5f);
    if (kinds[variant][1])
        node.bias = build_weight(builder, "bias", per_value, kinds[variant][1], 0, 0.5f);
    return build_relu(builder, build_add1(builder, node, input));
}

static int prelu(struct graph_builder *builder, int input, int variant)
{
    struct node node = node_default(OP_PRELU);
    const int count = variant ? 1 : builder->graph.nodes[input].shape.c;
    node.weight = build_weight(builder, "weight", &count, 1, 0.2f, 0.4f);
    return build_add1(builder, node, input);
}

void engine_scales(engine_check *check)
{
    check_shapes(check, scale, 6);
    check_shapes(check, prelu, 2);
}

static int gate(struct graph_builder *builder, int input, int variant)
{
    const int by =
        variant ? build_conv(builder, input, 1, 1, 1, 0, 1) : build_op1(builder, OP_GLOBAL_AVERAGE_POOL, input);
    return build_op2(builder, OP_MULTIPLY, input, build_activation(builder, by, ACTIVATION_SIGMOID, 0, 0));
}

/* The input itself as the gate of a map with more channels. */
static int gate_of_input(struct graph_builder *builder, int input, int variant)
{
    (void)variant;
    return build_op2(builder, OP_MULTIPLY, build_conv(builder, input, 21, 1, 1, 0, 1), input);
}

void engine_gates(engine_check *check)
{
    check_shapes(check, gate, 2);
    check_operator(check, (struct shape){1, 5, 7}, gate_of_input, 0);
    check_operator(check, (struct shape){21, 1, 1}, gate_of_input, 0);
}

/* ---- values from other places ---- */

enum { MAX_SELECTED = 300 };

/* The halves of a split, a slice, a shuffle of two groups, a reversal, one channel several times. */
static int select_channels(struct graph_builder *builder, int input, int variant)
{
    static int channels[MAX_SELECTED];
    struct node node = node_default(OP_SELECT);
    const int c = builder->graph.nodes[input].shape.c, half = (c + 1) / 2;
    const int counts[6] = {half, c - c / 2, c > 2 ? c - 2 : c, c / 2 * 2, c, c + 3};
    node.channels = channels;
    node.channel_count = counts[variant] ? counts[variant] : 1;
    for (int i = 0; i < node.channel_count; i++) {
        const int from[6] = {i, c / 2 + i, c > 2 ? i + 1 : i, i / 2 + i % 2 * (c / 2), c - 1 - i, (i * 7 + 2) % c};
        channels[i] = from[variant];
    }
    return build_add1(builder, node, input);
}

void engine_selects(engine_check *check)
{
    check_shapes(check, select_channels, 6);
}

/* variant: the mode, with padding on every side, on some, and cropping. */
static int pad(struct graph_builder *builder, int input, int variant)
{
    static const int sides[4][4] = {{1, 2, 3, 4}, {0, 3, 0, 0}, {-1, 0, 2, -2}, {-1, -1, 0, 0}};
    const struct shape shape = builder->graph.nodes[input].shape;
    struct node node = node_default(OP_PAD);
    node.pad_mode = (enum pad_mode)(variant % PAD_MODE_COUNT);
    int *const fields[4] = {&node.pad_top, &node.pad_left, &node.pad_bottom, &node.pad_right};
    for (int i = 0; i < 4; i++) {
        const int size = i % 2 ? shape.w : shape.h, wanted = sides[variant / PAD_MODE_COUNT][i];
        const int most = node.pad_mode == PAD_REFLECT ? size - 1 : 9, least = size > 3 ? -2 : 0;
        *fields[i] = wanted > most ? most : wanted < least ? least : wanted;
    }
    node.alpha = variant < PAD_MODE_COUNT ? 0.75f : 0;
    return build_add1(builder, node, input);
}

void engine_pads(engine_check *check)
{
    check_shapes(check, pad, 4 * PAD_MODE_COUNT);
}

static struct resize_axis axis(int size, int out, int kind)
{
    const double ratio = (double)out / size;
    const struct resize_axis kinds[4] = {
        {out, ratio, 0.5, -0.5},                                             /* half_pixel */
        {out, ratio, 0, 0},                                                  /* asymmetric */
        {out, out > 1 && size > 1 ? (out - 1.0) / (size - 1) : ratio, 0, 0}, /* align_corners */
        {out, ratio * 1.1, -0.7, 1.3},                                       /* some other that leaves the image */
    };
    return kinds[kind];
}

static int resize(struct graph_builder *builder, int input, int variant)
{
    static const int sizes[5][2] = {{2, 1}, {3, 2}, {1, 2}, {7, 5}, {1, 5}};
    const struct shape shape = builder->graph.nodes[input].shape;
    const int *size = sizes[variant / 4 % 5];
    const int h = (shape.h * size[0] + size[1] - 1) / size[1], w = shape.w + variant % 3;
    struct node node = node_default(OP_RESIZE);
    node.resize = (struct resize){(enum resize_mode)(variant % RESIZE_MODE_COUNT), axis(shape.h, h, variant % 4),
                                  axis(shape.w, w, variant % 4)};
    return build_add1(builder, node, input);
}

void engine_resizes(engine_check *check)
{
    check_shapes(check, resize, 20);
}

/* ---- any of them, in a random graph ---- */

int engine_random_operator(struct graph_builder *builder, int input)
{
    static const struct {
        add_operator *add;
        int variants;
    } operators[] = {{layer_norm, 3}, {group_norm, 6},      {lp_norm, 4},
                     {scale, 6},      {prelu, 2},           {gate, 2},
                     {resize, 20},    {select_channels, 6}, {pad, 4 * PAD_MODE_COUNT}};
    const struct shape shape = builder->graph.nodes[input].shape;
    /* the last three change the shape: not where it is large already, or where little is left to cut */
    const bool any = shape.c < 100 && shape.h > 4 && shape.w > 4 && shape.h < 25 && shape.w < 25;
    const uint32_t which = random_below(&builder->random, any ? 9 : 6);
    return operators[which].add(builder, input,
                                (int)random_below(&builder->random, (uint32_t)operators[which].variants));
}
