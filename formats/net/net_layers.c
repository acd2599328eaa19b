/* .net files, the layers: turns one struct net_line into nodes and weights of the graph. */
#include "formats/net/net_build.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum status net_begin(struct net_builder *builder, int channels, int height, int width, struct error *err)
{
    struct node node = node_default(OP_INPUT);
    if (builder->current >= 0)
        return STATUS_OK;
    node.shape = (struct shape){channels, height, width};
    enum status status = graph_add(builder->graph, &node, "input", NULL, 0, &builder->current, err);
    if (status == STATUS_OK)
        builder->graph->input = builder->current;
    return status;
}

/* The number of a name STEM (1), STEM2, STEM3, ...; 0 for other names and for numbers above limit. */
static int number_of(const char *name, const char *stem, size_t stem_length, int limit)
{
    if (strncmp(name, stem, stem_length) != 0)
        return 0;
    const char *digits = name + stem_length;
    if (!*digits)
        return 1;
    const size_t count = strspn(digits, "0123456789");
    const int number = count > 0 && count < 8 && !digits[count] && *digits != '0' ? atoi(digits) : 0;
    return number > 1 && number <= limit ? number : 0;
}

/* The name of a layer without a name in the file: LAST_suffix, with the first number that is free from the second one
 * on. One pass over the graph: a file may have thousands of such layers. */
void net_automatic_name(const struct net_builder *builder, const char *suffix, char name[2 * NODE_MAX_NAME])
{
    enum { LIMIT = NET_TEXT_MAX_LAYERS * 4 }; /* a line makes a few nodes at most */
    bool taken[LIMIT + 2] = {true};
    const struct graph *graph = builder->graph;
    const int length =
        snprintf(name, 2 * NODE_MAX_NAME, "%s_%s", builder->last_name[0] ? builder->last_name : "input", suffix);
    int number = 1;
    for (int i = 0; i < graph->node_count; i++)
        taken[number_of(graph->nodes[i].name, name, (size_t)length, LIMIT)] = true;
    while (taken[number])
        number++;
    if (number > 1)
        snprintf(name + length, 2 * NODE_MAX_NAME - (size_t)length, "%d", number);
}

/* Appends a node that reads inputs[count] and makes it the current one. name NULL: an automatic name. */
enum status net_append(struct net_builder *builder, const struct node *node, const char *name, const char *suffix,
                       const int *inputs, int count, struct error *err)
{
    char automatic[2 * NODE_MAX_NAME];
    if (!name) {
        net_automatic_name(builder, suffix, automatic);
        name = automatic;
    }
    if (strlen(name) >= NODE_MAX_NAME)
        return error_set(err, STATUS_BAD_DATA, NULL, "the name '%.40s...' is too long", name);
    if (graph_find(builder->graph, name) >= 0)
        return error_set(err, STATUS_BAD_DATA, NULL, "the name '%s' is used twice", name);
    return graph_add(builder->graph, node, name, inputs, count, &builder->current, err);
}

enum status net_after_current(struct net_builder *builder, const struct node *node, const char *name,
                              const char *suffix, struct error *err)
{
    int input = builder->current;
    return net_append(builder, node, name, suffix, &input, 1, err);
}

/* Weight "LAYER.part". */
enum status net_add_weight(struct net_builder *builder, const char *layer, const char *part, const int *dims, int rank,
                           bool trained, int *index, struct error *err)
{
    char name[2 * NODE_MAX_NAME + 32];
    size_t count = 1;
    for (int i = 0; i < rank; i++)
        count = size_mul(count, (size_t)dims[i]);
    if (count > NET_TEXT_MAX_WEIGHTS - builder->weights)
        return error_set(err, STATUS_BAD_DATA, NULL, "with this layer the net has more than %d weights",
                         NET_TEXT_MAX_WEIGHTS);
    builder->weights += count;
    snprintf(name, sizeof name, "%s.%s", layer, part);
    return graph_add_weight(builder->graph, name, dims, rank, trained, index, err);
}

enum status net_add_conv(struct net_builder *builder, const char *name, int channels, const struct node *window,
                         bool bias, struct error *err)
{
    enum status status = STATUS_OK;
    struct node node = *window;
    int in = builder->graph->nodes[builder->current].shape.c;
    if (in % node.groups || channels % node.groups)
        FAIL(error_set(err, STATUS_BAD_DATA, NULL, "%d groups do not divide %d channels in and %d out", node.groups, in,
                       channels));
    TRY(net_add_weight(builder, name, "weight", (int[]){channels, in / node.groups, node.kernel_h, node.kernel_w}, 4,
                       true, &node.weight, err));
    if (bias)
        TRY(net_add_weight(builder, name, "bias", &channels, 1, true, &node.bias, err));
    TRY(net_after_current(builder, &node, name, "conv", err));
cleanup:
    return status;
}

enum status net_add_batch_norm(struct net_builder *builder, const char *name, const char *value, float epsilon,
                               float momentum, struct error *err)
{
    enum status status = STATUS_OK;
    struct node node = node_default(OP_BATCH_NORM);
    char automatic[2 * NODE_MAX_NAME];
    int channels = builder->graph->nodes[builder->current].shape.c;
    if (!name) {
        net_automatic_name(builder, "bn", automatic);
        name = automatic;
    }
    if (epsilon > 0)
        node.epsilon = epsilon;
    if (momentum >= 0)
        node.momentum = momentum;
    TRY(net_add_weight(builder, name, "weight", &channels, 1, true, &node.weight, err));
    TRY(net_add_weight(builder, name, "bias", &channels, 1, true, &node.bias, err));
    TRY(net_add_weight(builder, name, "running_mean", &channels, 1, false, &node.running_mean, err));
    TRY(net_add_weight(builder, name, "running_var", &channels, 1, false, &node.running_var, err));
    TRY(net_after_current(builder, &node, value ? value : name, "bn", err));
cleanup:
    return status;
}

struct node net_window(enum op op, const struct net_line *line, int kernel, int stride, int pad)
{
    struct node node = node_default(op);
    node.kernel_h = line->kernel_h ? line->kernel_h : kernel;
    node.kernel_w = line->kernel_w ? line->kernel_w : kernel;
    node.stride_h = line->stride ? line->stride : stride ? stride : node.kernel_h;
    node.stride_w = line->stride ? line->stride : stride ? stride : node.kernel_w;
    node.dilation_h = node.dilation_w = line->dilation;
    node.pad_top = node.pad_left = node.pad_bottom = node.pad_right = line->pad >= 0 ? line->pad : pad;
    node.groups = line->groups;
    node.ceil_mode = line->ceil;
    node.count_include_pad = op == OP_AVERAGE_POOL;
    return node;
}

static enum status build_input(struct net_builder *builder, const struct net_line *line, struct error *err)
{
    const struct net_text_options *options = builder->options;
    const int *shape = line->counts;
    if (builder->current >= 0)
        return error_set(err, STATUS_BAD_DATA, NULL, "`input` may appear once, before all layers");
    if (shape[0] != options->channels || shape[1] != options->size || shape[2] != options->size)
        return error_set(err, STATUS_CONFIG, NULL,
                         "the net is made for %dx%dx%d, but the images are %dx%dx%d; without an `input` line it takes "
                         "images of any size",
                         shape[0], shape[1], shape[2], options->channels, options->size, options->size);
    return net_begin(builder, shape[0], shape[1], shape[2], err);
}

static enum status build_conv(struct net_builder *builder, const struct net_line *line, struct error *err)
{
    struct node window = net_window(OP_CONV, line, 1, 1, 0);
    return net_add_conv(builder, line->name, line->counts[0], &window, line->bias != 0, err);
}

static enum status build_bn(struct net_builder *builder, const struct net_line *line, struct error *err)
{
    return net_add_batch_norm(builder, line->name, NULL, line->epsilon, line->momentum, err);
}

enum status net_add_activation(struct net_builder *builder, enum activation activation, float alpha, float beta,
                               const char *name, const char *suffix, struct error *err)
{
    struct node node = node_default(OP_ACTIVATION);
    node.activation = activation;
    node.alpha = alpha;
    node.beta = beta;
    return net_after_current(builder, &node, name, suffix, err);
}

static enum status build_activation(struct net_builder *builder, const struct net_line *line, struct error *err)
{
    static const struct {
        const char *layer;
        enum activation activation;
        float alpha, beta;
    } kinds[] = {{"relu", ACTIVATION_RELU, 0, 0},
                 {"leaky_relu", ACTIVATION_LEAKY_RELU, 0.01f, 0},
                 {"relu6", ACTIVATION_CLIP, 0, 6},
                 {"hardswish", ACTIVATION_HARD_SWISH, 0, 0},
                 {"hardsigmoid", ACTIVATION_HARD_SIGMOID, 1.0f / 6, 0.5f},
                 {"sigmoid", ACTIVATION_SIGMOID, 0, 0},
                 {"silu", ACTIVATION_SILU, 1, 0},
                 {"elu", ACTIVATION_ELU, 1, 0},
                 {"selu", ACTIVATION_SELU, 1.67326324f, 1.05070099f},
                 {"celu", ACTIVATION_CELU, 1, 0},
                 {"gelu", ACTIVATION_GELU, 0, 0},
                 {"gelu_tanh", ACTIVATION_GELU_TANH, 0, 0},
                 {"mish", ACTIVATION_MISH, 0, 0},
                 {"tanh", ACTIVATION_TANH, 0, 0},
                 {"softplus", ACTIVATION_SOFTPLUS, 0, 0},
                 {"softsign", ACTIVATION_SOFTSIGN, 0, 0},
                 {"abs", ACTIVATION_ABS, 0, 0}};
    size_t i = 0;
    while (strcmp(kinds[i].layer, line->layer) != 0)
        i++;
    float alpha = line->value >= 0 ? line->value : kinds[i].alpha;
    return net_add_activation(builder, kinds[i].activation, alpha, kinds[i].beta, line->name, line->layer, err);
}

static enum status build_pool(struct net_builder *builder, const struct net_line *line, struct error *err)
{
    struct node node = net_window(line->layer[0] == 'm' ? OP_MAX_POOL : OP_AVERAGE_POOL, line, 1, 0, 0);
    return net_after_current(builder, &node, line->name, "pool", err);
}

static enum status build_gap(struct net_builder *builder, const struct net_line *line, struct error *err)
{
    struct node node = node_default(OP_GLOBAL_AVERAGE_POOL);
    return net_after_current(builder, &node, line->name, "gap", err);
}

static enum status build_flatten(struct net_builder *builder, const struct net_line *line, struct error *err)
{
    struct node node = node_default(OP_FLATTEN);
    return net_after_current(builder, &node, line->name, "flatten", err);
}

/* Flattens a map first, so that `gap` or `maxpool` may come directly before it. */
static enum status build_fc(struct net_builder *builder, const struct net_line *line, struct error *err)
{
    enum status status = STATUS_OK;
    struct node node = node_default(OP_LINEAR), flatten = node_default(OP_FLATTEN);
    struct shape in = builder->graph->nodes[builder->current].shape;
    if (in.h != 1 || in.w != 1) {
        TRY(net_after_current(builder, &flatten, NULL, "flatten", err));
        in = builder->graph->nodes[builder->current].shape;
    }
    TRY(net_add_weight(builder, line->name, "weight", (int[]){line->counts[0], in.c}, 2, true, &node.weight, err));
    if (line->bias != 0)
        TRY(net_add_weight(builder, line->name, "bias", line->counts, 1, true, &node.bias, err));
    TRY(net_after_current(builder, &node, line->name, "fc", err));
cleanup:
    return status;
}

static enum status build_dropout(struct net_builder *builder, const struct net_line *line, struct error *err)
{
    struct node node = node_default(OP_DROPOUT);
    node.dropout = line->value >= 0 ? line->value : 0.5f;
    if (node.dropout >= 1)
        return error_set(err, STATUS_BAD_DATA, NULL, "a dropout probability must be below 1");
    return net_after_current(builder, &node, line->name, "dropout", err);
}

enum status net_find_value(const struct net_builder *builder, const char *name, int *index, struct error *err)
{
    *index = graph_find(builder->graph, name);
    if (*index < 0)
        return error_set(err, STATUS_BAD_DATA, NULL, "no layer above is named '%s'", name);
    return STATUS_OK;
}

/* add and concat: the named values; with a single name, the current value and that one. */
static enum status build_join(struct net_builder *builder, const struct net_line *line, struct error *err)
{
    enum status status = STATUS_OK;
    struct node node = node_default(line->layer[0] == 'a' ? OP_ADD : OP_CONCAT);
    int inputs[NET_LINE_MAX_NAMES + 1], count = 0;
    if (line->name_count == 1)
        inputs[count++] = builder->current;
    for (int i = 0; i < line->name_count; i++)
        TRY(net_find_value(builder, line->names[i], &inputs[count++], err));
    TRY(net_append(builder, &node, line->name, line->layer, inputs, count, err));
cleanup:
    return status;
}

static enum status build_from(struct net_builder *builder, const struct net_line *line, struct error *err)
{
    if (line->name_count != 1)
        return error_set(err, STATUS_BAD_DATA, NULL, "from takes one name, not %d", line->name_count);
    return net_find_value(builder, line->names[0], &builder->current, err);
}

const struct net_layer net_layers[] = {
    {"input", "ccc", "", "input CHANNELS HEIGHT WIDTH", build_input},
    {"conv", "nck", "/pdgb", "conv NAME CHANNELS SIZE [/STRIDE] [pad N] [dilation N] [groups N] [nobias]", build_conv},
    {"bn", "", "ea", "bn [eps X] [momentum X] [as NAME]", build_bn},
    {"relu", "", "a", "relu [as NAME]", build_activation},
    {"leaky_relu", "x", "a", "leaky_relu [SLOPE] [as NAME]", build_activation},
    {"relu6", "", "a", "relu6 [as NAME]", build_activation},
    {"hardswish", "", "a", "hardswish [as NAME]", build_activation},
    {"hardsigmoid", "", "a", "hardsigmoid [as NAME]", build_activation},
    {"sigmoid", "", "a", "sigmoid [as NAME]", build_activation},
    {"silu", "", "a", "silu [as NAME]", build_activation},
    {"elu", "x", "a", "elu [ALPHA] [as NAME]", build_activation},
    {"selu", "", "a", "selu [as NAME]", build_activation},
    {"celu", "x", "a", "celu [ALPHA] [as NAME]", build_activation},
    {"gelu", "", "a", "gelu [as NAME]", build_activation},
    {"gelu_tanh", "", "a", "gelu_tanh [as NAME]", build_activation},
    {"mish", "", "a", "mish [as NAME]", build_activation},
    {"tanh", "", "a", "tanh [as NAME]", build_activation},
    {"softplus", "", "a", "softplus [as NAME]", build_activation},
    {"softsign", "", "a", "softsign [as NAME]", build_activation},
    {"abs", "", "a", "abs [as NAME]", build_activation},
    {"prelu", "nx", "", "prelu NAME [1]", net_build_prelu},
    {"groupnorm", "c", "sa", "groupnorm GROUPS [eps X] [as NAME]", net_build_norm},
    {"layernorm", "", "sa", "layernorm [eps X] [as NAME]", net_build_norm},
    {"scale", "nx", "", "scale NAME [INITIAL]", net_build_scale},
    {"se", "nc", "h", "se NAME CHANNELS [silu|hard]", net_build_se},
    {"mul", "v", "a", "mul NAME [as NAME]", net_build_mul},
    {"channels", "ic", "a", "channels FIRST COUNT [as NAME]", net_build_select},
    {"shuffle", "c", "a", "shuffle GROUPS [as NAME]", net_build_select},
    {"dwpw", "ncx", "/pbe", "dwpw NAME CHANNELS [SLOPE] [/STRIDE] [pad N] [bias] [eps X] [momentum X]", net_build_dwpw},
    {"residual", "nck", "/dbetqn",
     "residual NAME CHANNELS SIZE [/STRIDE] [dilation N] [ACTIVATION] [se CHANNELS] [noskip] [bias] [eps X] "
     "[momentum X]",
     net_build_bottleneck},
    {"inverted", "ncck", "/dbetqn",
     "inverted NAME CHANNELS INNER SIZE [/STRIDE] [dilation N] [ACTIVATION] [se CHANNELS] [noskip] [bias] "
     "[eps X] [momentum X]",
     net_build_bottleneck},
    {"maxpool", "k", "/pca", "maxpool SIZE [/STRIDE] [pad N] [ceil] [as NAME]", build_pool},
    {"avgpool", "k", "/pca", "avgpool SIZE [/STRIDE] [pad N] [ceil] [as NAME]", build_pool},
    {"gap", "", "a", "gap [as NAME]", build_gap},
    {"upsample", "c", "la", "upsample FACTOR [linear] [as NAME]", net_build_upsample},
    {"flatten", "", "a", "flatten [as NAME]", build_flatten},
    {"fc", "nc", "b", "fc NAME FEATURES [nobias]", build_fc},
    {"dropout", "x", "a", "dropout [PROBABILITY] [as NAME]", build_dropout},
    {"add", "v", "a", "add NAME [NAME...] [as NAME]", build_join},
    {"concat", "v", "a", "concat NAME [NAME...] [as NAME]", build_join},
    {"from", "v", "", "from NAME", build_from},
};
const int net_layer_count = sizeof net_layers / sizeof *net_layers;
_Static_assert(sizeof net_layers / sizeof *net_layers <= NET_MAX_LAYER_KINDS, "raise NET_MAX_LAYER_KINDS");
