/* student_py_write: layers with weights first (in __init__), then one line of forward() for every node. */
#define _POSIX_C_SOURCE 200809L
#include "formats/student_py.h"

#include "shared/base/number_text.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct script {
    const struct graph *graph;
    FILE *out;
    int *ranks;   /* [node_count] 4: [n, c, h, w]; 2: [n, c] */
    bool *placed; /* [weight_count] the weight has been declared */
};

/* ---- literals ---- */

/* A Python string literal. Names come from files: nothing in them may end the literal or the line. */
static void put_string(const struct script *script, const char *text)
{
    fputc('"', script->out);
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if (*c == '"' || *c == '\\')
            fprintf(script->out, "\\%c", *c);
        else if (*c < 0x20 || *c == 0x7f)
            fprintf(script->out, "\\x%02x", *c);
        else
            fputc(*c, script->out);
    }
    fputc('"', script->out);
}

static void put_comment(const struct script *script, const char *text)
{
    fputs("  # ", script->out);
    for (const unsigned char *c = (const unsigned char *)text; *c; c++)
        fputc(*c < 0x20 || *c > 0x7e ? '?' : *c, script->out);
    fputc('\n', script->out);
}

static void put_number(const struct script *script, float value)
{
    char text[FLOAT_TEXT_SIZE];
    fputs(float_text(value, text), script->out);
}

/* ---- names ---- */

/* The length of the module path in "path.leaf", or -1 where the name is another. */
static int path_length(const struct graph *graph, int weight, const char *leaf)
{
    const char *name = weight >= 0 ? graph->weights[weight].name : "";
    size_t length = strlen(name), leaf_length = strlen(leaf);
    if (length < leaf_length + 2 || name[length - leaf_length - 1] != '.' ||
        strcmp(name + length - leaf_length, leaf) != 0)
        return -1;
    return (int)(length - leaf_length - 1);
}

/* Whether weight is called like `first` up to the path's end, and then ".leaf". */
static bool is_member(const struct graph *graph, int first, int length, int weight, const char *leaf)
{
    return path_length(graph, weight, leaf) == length &&
           strncmp(graph->weights[first].name, graph->weights[weight].name, (size_t)length) == 0;
}

/* The weights of a node are those of one PyTorch module. */
static bool is_module(const struct graph *graph, const struct node *node)
{
    int length = path_length(graph, node->weight, "weight");
    if (length < 0 || !graph->weights[node->weight].trained)
        return false;
    if (node->op == OP_BATCH_NORM)
        return is_member(graph, node->weight, length, node->bias, "bias") &&
               is_member(graph, node->weight, length, node->running_mean, "running_mean") &&
               is_member(graph, node->weight, length, node->running_var, "running_var");
    return node->bias < 0 || is_member(graph, node->weight, length, node->bias, "bias");
}

/* A module is used by one node only; layers that share weights are functional calls. */
static bool shares_weights(const struct graph *graph, const struct node *node)
{
    for (int i = 0; i < graph->node_count; i++) {
        const struct node *other = &graph->nodes[i];
        if (other == node)
            continue;
        const int mine[4] = {node->weight, node->bias, node->running_mean, node->running_var};
        const int theirs[4] = {other->weight, other->bias, other->running_mean, other->running_var};
        for (int k = 0; k < 16; k++)
            if (mine[k / 4] >= 0 && mine[k / 4] == theirs[k % 4])
                return true;
    }
    return false;
}

static bool has_module(const struct graph *graph, const struct node *node)
{
    return is_module(graph, node) && !shares_weights(graph, node);
}

static void put_module_path(const struct script *script, const struct node *node)
{
    char path[2 * NODE_MAX_NAME];
    int length = path_length(script->graph, node->weight, "weight");
    snprintf(path, sizeof path, "%.*s", length, script->graph->weights[node->weight].name);
    put_string(script, path);
}

static enum status check_names(const struct graph *graph, struct error *err)
{
    for (int i = 0; i < graph->weight_count; i++) {
        const char *name = graph->weights[i].name;
        size_t length = strlen(name);
        if (length == 0 || length >= NODE_MAX_NAME || name[0] == '.' || name[length - 1] == '.' || strstr(name, ".."))
            return error_set(err, STATUS_CONFIG, NULL, "weight '%.200s' has a name that a PyTorch module cannot have",
                             name);
    }
    return STATUS_OK;
}

/* ---- __init__ ---- */
static bool has_even_padding(const struct node *node)
{
    return node->pad_top == node->pad_bottom && node->pad_left == node->pad_right;
}

static void put_conv_options(const struct script *script, const struct node *node)
{
    FILE *out = script->out;
    if (node->stride_h != 1 || node->stride_w != 1)
        fprintf(out, ", stride=(%d, %d)", node->stride_h, node->stride_w);
    if (has_even_padding(node) && (node->pad_top || node->pad_left))
        fprintf(out, ", padding=(%d, %d)", node->pad_top, node->pad_left);
    if (node->dilation_h != 1 || node->dilation_w != 1)
        fprintf(out, ", dilation=(%d, %d)", node->dilation_h, node->dilation_w);
    if (node->groups != 1)
        fprintf(out, ", groups=%d", node->groups);
}

static void declare_module(const struct script *script, const struct node *node, int input_rank)
{
    const struct weight *weight = &script->graph->weights[node->weight];
    FILE *out = script->out;
    fputs("        put_module(self, ", out);
    put_module_path(script, node);
    if (node->op == OP_CONV) {
        fprintf(out, ", nn.Conv2d(%d, %d, (%d, %d)", weight->dims[1] * node->groups, weight->dims[0], node->kernel_h,
                node->kernel_w);
        put_conv_options(script, node);
        fputs(node->bias < 0 ? ", bias=False))\n" : "))\n", out);
    } else if (node->op == OP_LINEAR) {
        fprintf(out, ", nn.Linear(%d, %d%s))\n", weight->dims[1], weight->dims[0],
                node->bias < 0 ? ", bias=False" : "");
    } else {
        fprintf(out, ", nn.BatchNorm%dd(%d, eps=", input_rank == 4 ? 2 : 1, weight->dims[0]);
        put_number(script, node->epsilon);
        fputs(", momentum=", out);
        put_number(script, node->momentum);
        fputs("))\n", out);
    }
}

static void declare_tensor(const struct script *script, int index)
{
    const struct weight *weight = &script->graph->weights[index];
    int length = path_length(script->graph, index, "running_mean");
    FILE *out = script->out;
    if (script->placed[index])
        return;
    script->placed[index] = true;
    fputs("        put_tensor(self, ", out);
    put_string(script, weight->name);
    fputs(", torch.zeros(", out);
    for (int i = 0; i < weight->rank; i++)
        fprintf(out, "%s%d", i ? ", " : "", weight->dims[i]);
    fprintf(out, "), trained=%s)\n", weight->trained ? "True" : "False");
    if (length >= 0) {
        char name[2 * NODE_MAX_NAME];
        snprintf(name, sizeof name, "%.*s.num_batches_tracked", length, weight->name);
        fputs("        put_tensor(self, ", out);
        put_string(script, name);
        fputs(", torch.tensor(0), trained=False)\n", out);
    }
}

static void put_init(const struct script *script)
{
    const struct graph *graph = script->graph;
    fputs("    def __init__(self):\n        super().__init__()\n", script->out);
    for (int i = 0; i < graph->node_count; i++) {
        const struct node *node = &graph->nodes[i];
        const int weights[4] = {node->weight, node->bias, node->running_mean, node->running_var};
        if (node->weight >= 0 && has_module(graph, node)) {
            declare_module(script, node, script->ranks[node->inputs[0]]);
            continue;
        }
        for (int k = 0; k < 4; k++)
            if (weights[k] >= 0)
                declare_tensor(script, weights[k]);
    }
}

/* ---- forward ---- */

/* The rank that a node wants its inputs in. */
static int input_rank(const struct script *script, const struct node *node)
{
    int rank = 2;
    if (node->op == OP_CONV || node->op == OP_MAX_POOL || node->op == OP_AVERAGE_POOL ||
        node->op == OP_GLOBAL_AVERAGE_POOL || node->op == OP_PAD)
        return 4;
    if (node->op == OP_LINEAR)
        return 2;
    for (int k = 0; k < node->input_count; k++)
        rank = script->ranks[node->inputs[k]] == 4 ? 4 : rank;
    return rank;
}

static void find_ranks(const struct script *script)
{
    for (int i = 0; i < script->graph->node_count; i++) {
        const struct node *node = &script->graph->nodes[i];
        script->ranks[i] = node->op == OP_INPUT ? 4 : node->op == OP_FLATTEN ? 2 : input_rank(script, node);
    }
}

/* Input k of a node as an expression of the rank that the node wants. */
static void put_input(const struct script *script, const struct node *node, int k)
{
    int rank = input_rank(script, node), found = script->ranks[node->inputs[k]];
    fprintf(script->out, "x%d%s", node->inputs[k],
            rank == found ? ""
            : rank == 2   ? ".flatten(1)"
                          : "[:, :, None, None]");
}

/* The first input, padded where PyTorch's own padding cannot do it. */
static void put_padded_input(const struct script *script, const struct node *node, int right, int bottom,
                             const char *value)
{
    bool pads = node->pad_left || right || node->pad_top || bottom;
    fputs(pads ? "F.pad(" : "", script->out);
    put_input(script, node, 0);
    if (pads)
        fprintf(script->out, ", (%d, %d, %d, %d)%s)", node->pad_left, right, node->pad_top, bottom, value);
}

static void put_tensor(const struct script *script, int weight)
{
    if (weight < 0) {
        fputs("None", script->out);
        return;
    }
    fputs(script->graph->weights[weight].trained ? "self.get_parameter(" : "self.get_buffer(", script->out);
    put_string(script, script->graph->weights[weight].name);
    fputs(")", script->out);
}

static void put_functional(const struct script *script, const struct node *node)
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
        put_conv_options(script, node);
    } else if (node->op == OP_BATCH_NORM) {
        fputs(", self.training, ", out);
        put_number(script, node->momentum);
        fputs(", ", out);
        put_number(script, node->epsilon);
    }
}

static void put_layer(const struct script *script, const struct node *node)
{
    bool module = has_module(script->graph, node);
    if (module) {
        fputs("self.get_submodule(", script->out);
        put_module_path(script, node);
        fputs(")(", script->out);
    } else {
        fputs(node->op == OP_CONV ? "F.conv2d(" : node->op == OP_LINEAR ? "F.linear(" : "F.batch_norm(", script->out);
    }
    if (node->op == OP_CONV && !has_even_padding(node))
        put_padded_input(script, node, node->pad_right, node->pad_bottom, "");
    else
        put_input(script, node, 0);
    if (!module)
        put_functional(script, node);
    fputs(")", script->out);
}

/* Padding at the end of an axis that makes the last window whole: PyTorch's ceil_mode, spelled out. */
static int whole_padding(int out, int in, int kernel, int stride, int dilation, int low)
{
    return (out - 1) * stride + dilation * (kernel - 1) + 1 - in - low;
}

static void put_pool(const struct script *script, const struct node *node)
{
    FILE *out = script->out;
    struct shape in = script->graph->nodes[node->inputs[0]].shape;
    int bottom = whole_padding(node->shape.h, in.h, node->kernel_h, node->stride_h, node->dilation_h, node->pad_top);
    int right = whole_padding(node->shape.w, in.w, node->kernel_w, node->stride_w, node->dilation_w, node->pad_left);
    bool even = has_even_padding(node), maximum = node->op == OP_MAX_POOL;
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

/* f(x), f(x, alpha) or f(x, alpha, beta) by the number of parameters. */
static void put_activation(const struct script *script, const struct node *node)
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
    };
    const float parameters[2] = {node->alpha, node->beta};
    fputs(calls[node->activation].call, script->out);
    put_input(script, node, 0);
    for (int k = 0; k < calls[node->activation].parameters; k++) {
        fputs(", ", script->out);
        put_number(script, parameters[k]);
    }
    fputs(")", script->out);
}

static void put_join(const struct script *script, const struct node *node)
{
    const char *between = node->op == OP_ADD ? " + " : node->op == OP_MULTIPLY ? " * " : ", ";
    fputs(node->op == OP_CONCAT ? "torch.cat((" : "", script->out);
    for (int k = 0; k < node->input_count; k++) {
        fputs(k ? between : "", script->out);
        put_input(script, node, k);
    }
    fputs(node->op == OP_CONCAT ? ",), 1)" : "", script->out);
}

static void put_expression(const struct script *script, const struct node *node)
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
        put_padded_input(script, node, node->pad_right, node->pad_bottom, "");
        return;
    case OP_DROPOUT:
        fputs("F.dropout(", script->out);
        put_input(script, node, 0);
        fputs(", ", script->out);
        put_number(script, node->dropout);
        fputs(", self.training)", script->out);
        return;
    case OP_GLOBAL_AVERAGE_POOL:
    case OP_FLATTEN:
    case OP_SOFTMAX:
    case OP_INPUT:
    case OP_COUNT:
        put_input(script, node, 0);
        fputs(node->op == OP_GLOBAL_AVERAGE_POOL ? ".mean((2, 3), keepdim=True)"
              : node->op == OP_FLATTEN           ? ".flatten(1)"
                                                 : ".softmax(1)",
              script->out);
    }
}

static void put_forward(const struct script *script)
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

static const char preamble[] =
    "\"\"\"A network written by softcache. Needs torch; loading the weights needs safetensors.\n"
    "\n"
    "    from safetensors.torch import load_file\n"
    "    model = Student()\n"
    "    model.load_state_dict(load_file(\"student.safetensors\"), strict=True)\n"
    "    model.eval()\n"
    "\"\"\"\n"
    "import torch\n"
    "import torch.nn.functional as F\n"
    "from torch import nn\n"
    "\n"
    "\n"
    "def container(root, names):\n"
    "    for name in names:\n"
    "        if name not in root._modules:\n"
    "            root.add_module(name, nn.Module())\n"
    "        root = root._modules[name]\n"
    "    return root\n"
    "\n"
    "\n"
    "def put_module(root, path, module):\n"
    "    *parents, leaf = path.split(\".\")\n"
    "    root = container(root, parents)\n"
    "    if leaf in root._modules:  # a container so far: it keeps what it holds\n"
    "        module._modules.update(root._modules[leaf]._modules)\n"
    "    root.add_module(leaf, module)\n"
    "\n"
    "\n"
    "def put_tensor(root, path, tensor, trained):\n"
    "    *parents, leaf = path.split(\".\")\n"
    "    root = container(root, parents)\n"
    "    if trained:\n"
    "        root.register_parameter(leaf, nn.Parameter(tensor))\n"
    "    else:\n"
    "        root.register_buffer(leaf, tensor)\n"
    "\n"
    "\n"
    "def hard_sigmoid(x, alpha, beta):\n"
    "    return torch.clamp(alpha * x + beta, 0, 1)\n"
    "\n"
    "\n"
    "def average_pool(x, kernel, stride, pad, whole, count_include_pad):\n"
    "    \"\"\"Uneven padding: the sum of each window divided by the number of its elements that count.\"\"\"\n"
    "    ones = F.pad(torch.ones_like(x[:1, :1]), pad, value=float(count_include_pad))\n"
    "    x, ones = F.pad(F.pad(x, pad), whole), F.pad(ones, whole)\n"
    "    return F.avg_pool2d(x, kernel, stride) / F.avg_pool2d(ones, kernel, stride)\n"
    "\n"
    "\n"
    "class Student(nn.Module):\n";

static const char ending[] =
    "if __name__ == \"__main__\":\n"
    "    import sys\n"
    "    from safetensors.torch import load_file\n"
    "\n"
    "    model = Student()\n"
    "    model.load_state_dict(load_file(sys.argv[1] if len(sys.argv) > 1 else \"student.safetensors\"), strict=True)\n"
    "    model.eval()\n"
    "    with torch.no_grad():\n"
    "        print(tuple(model(torch.zeros(1, %d, %d, %d)).shape))\n";

enum status student_py_write(const struct graph *graph, char **text, size_t *size, struct error *err)
{
    struct script script = {.graph = graph};
    struct shape in = graph->nodes[graph->input].shape;
    *text = NULL;
    *size = 0;
    enum status status = check_names(graph, err);
    if (status != STATUS_OK)
        return status;
    script.ranks = calloc((size_t)graph->node_count + 1, sizeof *script.ranks);
    script.placed = calloc((size_t)graph->weight_count + 1, sizeof *script.placed);
    script.out = open_memstream(text, size);
    bool ok = script.ranks && script.placed && script.out;
    if (ok) {
        find_ranks(&script);
        fputs(preamble, script.out);
        put_init(&script);
        put_forward(&script);
        fprintf(script.out, ending, in.c, in.h, in.w);
        ok = !ferror(script.out);
    }
    if (script.out && fclose(script.out) != 0)
        ok = false;
    free(script.ranks);
    free(script.placed);
    if (ok)
        return STATUS_OK;
    free(*text);
    *text = NULL;
    return error_no_memory(err, 0, "a Python file");
}
