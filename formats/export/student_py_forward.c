/* forward() of student.py: every node becomes one assignment, x7 = f(x6). */
#include "formats/export/student_py_script.h"

#include "shared/graph/resize.h"

static void put_comment(const struct student_script *script, const char *text)
{
    fputs("  # ", script->out);
    for (const unsigned char *c = (const unsigned char *)text; *c; c++)
        fputc(*c < 0x20 || *c > 0x7e ? '?' : *c, script->out);
    fputc('\n', script->out);
}

/* A scale with a number for every value of a map. */
static bool per_value(const struct student_script *script, const struct node *node)
{
    return node->op == OP_SCALE && ((node->weight >= 0 && script->graph->weights[node->weight].rank == 3) ||
                                    (node->bias >= 0 && script->graph->weights[node->bias].rank == 3));
}

/* The rank that a node needs for its inputs. */
static int input_rank(const struct student_script *script, const struct node *node)
{
    int rank = 2;
    if (node->op == OP_CONV || node->op == OP_MAX_POOL || node->op == OP_AVERAGE_POOL ||
        node->op == OP_GLOBAL_AVERAGE_POOL || node->op == OP_PAD || node->op == OP_RESIZE || per_value(script, node))
        return 4;
    if (node->op == OP_LINEAR)
        return 2;
    for (int k = 0; k < node->input_count; k++)
        rank = script->ranks[node->inputs[k]] == 4 ? 4 : rank;
    return rank;
}

void student_py_ranks(const struct student_script *script)
{
    for (int i = 0; i < script->graph->node_count; i++) {
        const struct node *node = &script->graph->nodes[i];
        script->ranks[i] = node->op == OP_INPUT ? 4 : node->op == OP_FLATTEN ? 2 : input_rank(script, node);
    }
}

/* Input k of a node as an expression, of the rank that the node needs. */
static void put_input(const struct student_script *script, const struct node *node, int k)
{
    int rank = input_rank(script, node), found = script->ranks[node->inputs[k]];
    fprintf(script->out, "x%d%s", node->inputs[k],
            rank == found ? ""
            : rank == 2   ? ".flatten(1)"
                          : "[:, :, None, None]");
}

/* The first input, padded if PyTorch's own padding cannot do it. */
static void put_padded_input(const struct student_script *script, const struct node *node, int right, int bottom,
                             const char *value)
{
    bool pads = node->pad_left || right || node->pad_top || bottom;
    fputs(pads ? "F.pad(" : "", script->out);
    put_input(script, node, 0);
    if (pads)
        fprintf(script->out, ", (%d, %d, %d, %d)%s)", node->pad_left, right, node->pad_top, bottom, value);
}

static void put_tensor(const struct student_script *script, int weight)
{
    if (weight < 0) {
        fputs("None", script->out);
        return;
    }
    const struct weight *w = &script->graph->weights[weight];
    fputs(w->trained ? "self.get_parameter(" : "self.get_buffer(", script->out);
    student_py_string(script, w->name);
    fputs(")", script->out);
    if (w->saved_rank) {
        fputs(".reshape(", script->out);
        for (int i = 0; i < w->rank; i++)
            fprintf(script->out, i ? ", %d" : "%d", w->dims[i]);
        fputs(")", script->out);
    }
}

static void put_functional(const struct student_script *script, const struct node *node)
{
    FILE *out = script->out;
    fputs(", ", out);
    if (node->op == OP_BATCH_NORM) {
        put_tensor(script, node->running_mean);
        fputs(", ", out);
        put_tensor(script, node->running_var);
        fputs(", ", out);
    }
    put_tensor(script, node->weight);
    fputs(", ", out);
    put_tensor(script, node->bias);
    if (node->op == OP_CONV) {
        student_py_conv_options(script, node);
    } else if (node->op == OP_BATCH_NORM) {
        fputs(", self.training, ", out);
        student_py_number(script, node->momentum);
        fputs(", ", out);
        student_py_number(script, node->epsilon);
    }
}

static void put_layer(const struct student_script *script, const struct node *node)
{
    bool module = student_py_has_module(script->graph, node);
    if (module) {
        fputs("self.get_submodule(", script->out);
        student_py_path(script, node);
        fputs(")(", script->out);
    } else {
        fputs(node->op == OP_CONV ? "F.conv2d(" : node->op == OP_LINEAR ? "F.linear(" : "F.batch_norm(", script->out);
    }
    if (node->op == OP_CONV && !student_py_even_padding(node))
        put_padded_input(script, node, node->pad_right, node->pad_bottom, "");
    else
        put_input(script, node, 0);
    if (!module)
        put_functional(script, node);
    fputs(")", script->out);
}

/* Padding at the end of an axis that makes the last window whole, as PyTorch's ceil_mode does. */
static int whole_padding(int out, int in, int kernel, int stride, int dilation, int low)
{
    return (out - 1) * stride + dilation * (kernel - 1) + 1 - in - low;
}

static void put_pool(const struct student_script *script, const struct node *node)
{
    FILE *out = script->out;
    struct shape in = script->graph->nodes[node->inputs[0]].shape;
    int bottom = whole_padding(node->shape.h, in.h, node->kernel_h, node->stride_h, node->dilation_h, node->pad_top);
    int right = whole_padding(node->shape.w, in.w, node->kernel_w, node->stride_w, node->dilation_w, node->pad_left);
    bool even = student_py_even_padding(node), maximum = node->op == OP_MAX_POOL;
    if (!even && !maximum) {
        fputs("average_pool(", out);
        put_input(script, node, 0);
        fprintf(out, ", (%d, %d), (%d, %d), pad=(%d, %d, %d, %d), whole=(0, %d, 0, %d), count_include_pad=%s)",
                node->kernel_h, node->kernel_w, node->stride_h, node->stride_w, node->pad_left, node->pad_right,
                node->pad_top, node->pad_bottom, right - node->pad_right, bottom - node->pad_bottom,
                node->count_include_pad ? "True" : "False");
        return;
    }
    fputs(maximum ? "F.max_pool2d(" : "F.avg_pool2d(", out);
    if (even)
        put_input(script, node, 0);
    else
        put_padded_input(script, node, right, bottom, ", value=float(\"-inf\")");
    fprintf(out, ", (%d, %d), (%d, %d)", node->kernel_h, node->kernel_w, node->stride_h, node->stride_w);
    if (even && (node->pad_top || node->pad_left))
        fprintf(out, ", padding=(%d, %d)", node->pad_top, node->pad_left);
    if (maximum && (node->dilation_h != 1 || node->dilation_w != 1))
        fprintf(out, ", dilation=(%d, %d)", node->dilation_h, node->dilation_w);
    if (even && node->ceil_mode)
        fputs(", ceil_mode=True", out);
    if (!maximum)
        fprintf(out, ", count_include_pad=%s", node->count_include_pad ? "True" : "False");
    fputs(")", out);
}

/* f(x), f(x, alpha) or f(x, alpha, beta), depending on the number of parameters. */
static void put_activation(const struct student_script *script, const struct node *node)
{
    static const struct {
        const char *call;
        int parameters;
    } calls[ACTIVATION_COUNT] = {
        [ACTIVATION_NONE] = {"(", 0},
        [ACTIVATION_RELU] = {"F.relu(", 0},
        [ACTIVATION_LEAKY_RELU] = {"F.leaky_relu(", 1},
        [ACTIVATION_CLIP] = {"torch.clamp(", 2},
        [ACTIVATION_HARD_SIGMOID] = {"hard_sigmoid(", 2},
        [ACTIVATION_HARD_SWISH] = {"F.hardswish(", 0},
        [ACTIVATION_SIGMOID] = {"torch.sigmoid(", 0},
        [ACTIVATION_SILU] = {"silu(", 1},
        [ACTIVATION_ELU] = {"F.elu(", 1},
        [ACTIVATION_SELU] = {"selu(", 2},
        [ACTIVATION_CELU] = {"F.celu(", 1},
        [ACTIVATION_GELU] = {"F.gelu(", 0},
        [ACTIVATION_GELU_TANH] = {"gelu_tanh(", 0},
        [ACTIVATION_MISH] = {"F.mish(", 0},
        [ACTIVATION_TANH] = {"torch.tanh(", 0},
        [ACTIVATION_SOFTPLUS] = {"F.softplus(", 0},
        [ACTIVATION_SOFTSIGN] = {"F.softsign(", 0},
        [ACTIVATION_ABS] = {"torch.abs(", 0},
    };
    const float parameters[2] = {node->alpha, node->beta};
    const bool plain_silu = node->activation == ACTIVATION_SILU && node->alpha == 1;
    fputs(plain_silu ? "F.silu(" : calls[node->activation].call, script->out);
    put_input(script, node, 0);
    for (int k = 0; !plain_silu && k < calls[node->activation].parameters; k++) {
        fputs(", ", script->out);
        student_py_number(script, parameters[k]);
    }
    fputs(")", script->out);
}

static void put_join(const struct student_script *script, const struct node *node)
{
    const char *between = node->op == OP_ADD ? " + " : node->op == OP_MULTIPLY ? " * " : ", ";
    fputs(node->op == OP_CONCAT ? "torch.cat((" : "", script->out);
    for (int k = 0; k < node->input_count; k++) {
        fputs(k ? between : "", script->out);
        put_input(script, node, k);
    }
    fputs(node->op == OP_CONCAT ? ",), 1)" : "", script->out);
}

/* The call of a helper of the preamble with the node's weights. */
static void put_helper(const struct student_script *script, const struct node *node, const char *name)
{
    fprintf(script->out, "%s(", name);
    put_input(script, node, 0);
    fputs(", ", script->out);
    put_tensor(script, node->weight);
    fputs(", ", script->out);
    put_tensor(script, node->bias);
}

/* Norms without running statistics, PReLU, scale. */
static void put_channelwise(const struct student_script *script, const struct node *node)
{
    FILE *out = script->out;
    if (student_py_has_module(script->graph, node)) {
        fputs("self.get_submodule(", out);
        student_py_path(script, node);
        fputs(")(", out);
        put_input(script, node, 0);
    } else if (node->op == OP_PRELU) {
        fputs("F.prelu(", out);
        put_input(script, node, 0);
        fputs(", ", out);
        put_tensor(script, node->weight);
    } else if (node->op == OP_GROUP_NORM) {
        fputs("F.group_norm(", out);
        put_input(script, node, 0);
        fprintf(out, ", %d", node->groups);
        put_functional(script, node);
        fputs(", ", out);
        student_py_number(script, node->epsilon);
    } else {
        put_helper(script, node, node->op == OP_SCALE ? "scale" : "channel_norm");
        if (node->op == OP_LAYER_NORM) {
            fputs(", ", out);
            student_py_number(script, node->epsilon);
        }
    }
    fputs(")", out);
}

static void put_select(const struct student_script *script, const struct node *node)
{
    bool run = true;
    for (int i = 1; i < node->channel_count; i++)
        run = run && node->channels[i] == node->channels[0] + i;
    put_input(script, node, 0);
    if (run) {
        fprintf(script->out, "[:, %d:%d]", node->channels[0], node->channels[0] + node->channel_count);
        return;
    }
    fputs("[:, [", script->out);
    for (int i = 0; i < node->channel_count; i++)
        fprintf(script->out, "%s%d", i ? ", " : "", node->channels[i]);
    fputs("]]", script->out);
}

static void put_pad(const struct student_script *script, const struct node *node)
{
    static const char *const modes[PAD_MODE_COUNT] = {
        [PAD_CONSTANT] = "constant", [PAD_REFLECT] = "reflect", [PAD_EDGE] = "replicate"};
    fputs("F.pad(", script->out);
    put_input(script, node, 0);
    fprintf(script->out, ", (%d, %d, %d, %d), mode=\"%s\"", node->pad_left, node->pad_right, node->pad_top,
            node->pad_bottom, modes[node->pad_mode]);
    if (node->pad_mode == PAD_CONSTANT) {
        fputs(", value=", script->out);
        student_py_number(script, node->alpha);
    }
    fputs(")", script->out);
}

static void put_lp_norm(const struct student_script *script, const struct node *node)
{
    fputs("F.normalize(", script->out);
    put_input(script, node, 0);
    fprintf(script->out, ", p=%d, dim=1, eps=", (int)node->alpha);
    student_py_number(script, node->epsilon);
    fputs(")", script->out);
}

/* Along one axis: which inputs, and how much of the second one. */
static void put_axis(const struct student_script *script, const struct node *node, const struct resize_axis *axis,
                     int size)
{
    FILE *out = script->out;
    fputs(", [", out);
    for (int i = 0; i < axis->size; i++) {
        const struct resize_tap tap = resize_tap(node->resize.mode, axis, size, i);
        fprintf(out, "%s(%d, %d, ", i ? ", " : "", tap.low, tap.high);
        student_py_number(script, tap.fraction);
        fputs(")", out);
    }
    fputs("]", out);
}

static void put_resize(const struct student_script *script, const struct node *node)
{
    const struct shape in = script->graph->nodes[node->inputs[0]].shape;
    fputs("resample(", script->out);
    put_input(script, node, 0);
    put_axis(script, node, &node->resize.y, in.h);
    put_axis(script, node, &node->resize.x, in.w);
    fputs(")", script->out);
}

static void put_expression(const struct student_script *script, const struct node *node)
{
    switch (node->op) {
    case OP_CONV:
    case OP_LINEAR:
    case OP_BATCH_NORM:
        put_layer(script, node);
        return;
    case OP_ACTIVATION:
        put_activation(script, node);
        return;
    case OP_MAX_POOL:
    case OP_AVERAGE_POOL:
        put_pool(script, node);
        return;
    case OP_ADD:
    case OP_MULTIPLY:
    case OP_CONCAT:
        put_join(script, node);
        return;
    case OP_PAD:
        put_pad(script, node);
        return;
    case OP_SCALE:
    case OP_PRELU:
    case OP_GROUP_NORM:
    case OP_LAYER_NORM:
        put_channelwise(script, node);
        return;
    case OP_SELECT:
        put_select(script, node);
        return;
    case OP_LP_NORM:
        put_lp_norm(script, node);
        return;
    case OP_RESIZE:
        put_resize(script, node);
        return;
    case OP_QUANTISE: /* export sees the graph without it */
    case OP_DROPOUT:
        fputs("F.dropout(", script->out);
        put_input(script, node, 0);
        fputs(", ", script->out);
        student_py_number(script, node->dropout);
        fputs(", self.training)", script->out);
        return;
    case OP_GLOBAL_AVERAGE_POOL:
    case OP_FLATTEN:
    case OP_SOFTMAX:
    case OP_LOG_SOFTMAX:
    case OP_INPUT:
    case OP_COUNT:
        put_input(script, node, 0);
        fputs(node->op == OP_GLOBAL_AVERAGE_POOL ? ".mean((2, 3), keepdim=True)"
              : node->op == OP_FLATTEN           ? ".flatten(1)"
              : node->op == OP_LOG_SOFTMAX       ? ".log_softmax(1)"
                                                 : ".softmax(1)",
              script->out);
    }
}

void student_py_forward(const struct student_script *script)
{
    const struct graph *graph = script->graph;
    const struct node *output = &graph->nodes[graph->output];
    bool flatten = output->shape.h == 1 && output->shape.w == 1 && script->ranks[graph->output] == 4;
    fprintf(script->out, "\n    def forward(self, x%d):\n", graph->input);
    for (int i = 0; i < graph->node_count; i++) {
        if (i == graph->input)
            continue;
        fprintf(script->out, "        x%d = ", i);
        put_expression(script, &graph->nodes[i]);
        put_comment(script, graph->nodes[i].name);
    }
    fprintf(script->out, "        return x%d%s\n\n\n", graph->output, flatten ? ".flatten(1)" : "");
}
