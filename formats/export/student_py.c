/* student_py_write: the preamble, and layers with weights in __init__; student_py_forward.c writes forward(). */
#define _POSIX_C_SOURCE 200809L
#include "formats/export/student_py.h"

#include "formats/export/student_py_script.h"

#include "shared/base/number_text.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- literals ---- */

void student_py_string(const struct student_script *script, const char *text)
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

void student_py_number(const struct student_script *script, float value)
{
    char text[FLOAT_TEXT_SIZE];
    fputs(float_text(value, text), script->out);
}

/* ---- names ---- */

/* The length of the module path in "path.leaf"; -1 if the name does not have that form. */
static int path_length(const struct graph *graph, int weight, const char *leaf)
{
    const char *name = weight >= 0 ? graph->weights[weight].name : "";
    size_t length = strlen(name), leaf_length = strlen(leaf);
    if (length < leaf_length + 2 || name[length - leaf_length - 1] != '.' ||
        strcmp(name + length - leaf_length, leaf) != 0)
        return -1;
    return (int)(length - leaf_length - 1);
}

/* Whether the weight's name is the path of `first`, followed by ".leaf". */
static bool is_member(const struct graph *graph, int first, int length, int weight, const char *leaf)
{
    return path_length(graph, weight, leaf) == length &&
           strncmp(graph->weights[first].name, graph->weights[weight].name, (size_t)length) == 0;
}

/* Whether the weights of a node are those of one PyTorch module. */
static bool is_module(const struct graph *graph, const struct node *node)
{
    int length = path_length(graph, node->weight, "weight");
    if (length < 0 || !graph->weights[node->weight].trained || node->op == OP_SCALE || node->op == OP_LAYER_NORM)
        return false; /* PyTorch has no module for a scale, nor for a layer norm over the channels of a map */
    if (graph->weights[node->weight].saved_rank)
        return false; /* the module has another shape: a linear layer that is a convolution here */
    if (node->op == OP_GROUP_NORM && node->bias < 0)
        return false;
    if (node->op == OP_BATCH_NORM)
        return is_member(graph, node->weight, length, node->bias, "bias") &&
               is_member(graph, node->weight, length, node->running_mean, "running_mean") &&
               is_member(graph, node->weight, length, node->running_var, "running_var");
    return node->bias < 0 || is_member(graph, node->weight, length, node->bias, "bias");
}

/* A module is used by one node only; layers that share weights become functional calls. */
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

bool student_py_has_module(const struct graph *graph, const struct node *node)
{
    return is_module(graph, node) && !shares_weights(graph, node);
}

void student_py_path(const struct student_script *script, const struct node *node)
{
    char path[2 * NODE_MAX_NAME];
    int length = path_length(script->graph, node->weight, "weight");
    snprintf(path, sizeof path, "%.*s", length, script->graph->weights[node->weight].name);
    student_py_string(script, path);
}

static enum status check_names(const struct graph *graph, struct error *err)
{
    for (int i = 0; i < graph->weight_count; i++) {
        const char *name = graph->weights[i].name;
        size_t length = strlen(name);
        if (length == 0 || length >= NODE_MAX_NAME || name[0] == '.' || name[length - 1] == '.' || strstr(name, ".."))
            return error_set(err, STATUS_CONFIG, NULL, "weight '%.200s' has a name that is not allowed in PyTorch",
                             name);
    }
    return STATUS_OK;
}

/* ---- __init__ ---- */
bool student_py_even_padding(const struct node *node)
{
    return node->pad_top == node->pad_bottom && node->pad_left == node->pad_right;
}

void student_py_conv_options(const struct student_script *script, const struct node *node)
{
    FILE *out = script->out;
    if (node->stride_h != 1 || node->stride_w != 1)
        fprintf(out, ", stride=(%d, %d)", node->stride_h, node->stride_w);
    if (student_py_even_padding(node) && (node->pad_top || node->pad_left))
        fprintf(out, ", padding=(%d, %d)", node->pad_top, node->pad_left);
    if (node->dilation_h != 1 || node->dilation_w != 1)
        fprintf(out, ", dilation=(%d, %d)", node->dilation_h, node->dilation_w);
    if (node->groups != 1)
        fprintf(out, ", groups=%d", node->groups);
}

static void declare_module(const struct student_script *script, const struct node *node, int input_rank)
{
    const struct weight *weight = &script->graph->weights[node->weight];
    FILE *out = script->out;
    fputs("        put_module(self, ", out);
    student_py_path(script, node);
    if (node->op == OP_CONV) {
        fprintf(out, ", nn.Conv2d(%d, %d, (%d, %d)", weight->dims[1] * node->groups, weight->dims[0], node->kernel_h,
                node->kernel_w);
        student_py_conv_options(script, node);
        fputs(node->bias < 0 ? ", bias=False))\n" : "))\n", out);
    } else if (node->op == OP_LINEAR) {
        fprintf(out, ", nn.Linear(%d, %d%s))\n", weight->dims[1], weight->dims[0],
                node->bias < 0 ? ", bias=False" : "");
    } else if (node->op == OP_PRELU) {
        fprintf(out, ", nn.PReLU(%d))\n", weight->dims[0]);
    } else if (node->op == OP_GROUP_NORM) {
        fprintf(out, ", nn.GroupNorm(%d, %d, eps=", node->groups, weight->dims[0]);
        student_py_number(script, node->epsilon);
        fputs("))\n", out);
    } else {
        fprintf(out, ", nn.BatchNorm%dd(%d, eps=", input_rank == 4 ? 2 : 1, weight->dims[0]);
        student_py_number(script, node->epsilon);
        fputs(", momentum=", out);
        student_py_number(script, node->momentum);
        fputs("))\n", out);
    }
}

/* The numbers of a literal, which no file of weights has. */
static void put_literal(const struct student_script *script, const struct weight *weight)
{
    bool equal = true;
    for (size_t i = 1; equal && i < weight->count; i++)
        equal = weight->data[i] == weight->data[0];
    fputs(equal ? ", torch.full((" : ", torch.tensor([", script->out);
    for (size_t i = 0; !equal && i < weight->count; i++) {
        fputs(i ? ", " : "", script->out);
        student_py_number(script, weight->data[i]);
    }
    fputs(equal ? "" : "], dtype=torch.float32).reshape((", script->out);
    for (int i = 0; i < weight->rank; i++)
        fprintf(script->out, "%d, ", weight->dims[i]);
    fputs(equal ? "), " : "))", script->out);
    if (equal)
        student_py_number(script, weight->data[0]);
    fputs(equal ? ", dtype=torch.float32), trained=False, saved=False)\n" : ", trained=False, saved=False)\n",
          script->out);
}

static void declare_tensor(const struct student_script *script, int index)
{
    const struct weight *weight = &script->graph->weights[index];
    int length = path_length(script->graph, index, "running_mean");
    FILE *out = script->out;
    const struct weight *source = graph_weight_source(script->graph, weight);
    const int rank = source->saved_rank ? source->saved_rank : source->rank,
              *dims = source->saved_rank ? source->saved_dims : source->dims;
    if (script->placed[index])
        return;
    script->placed[index] = true;
    fputs("        put_tensor(self, ", out);
    student_py_string(script, weight->name);
    if (weight->literal) {
        put_literal(script, weight);
        return;
    }
    fputs(", torch.zeros(", out);
    for (int i = 0; i < rank; i++)
        fprintf(out, "%s%d", i ? ", " : "", dims[i]);
    fprintf(out, "), trained=%s)\n", weight->trained ? "True" : "False");
    if (length >= 0) {
        char name[2 * NODE_MAX_NAME];
        snprintf(name, sizeof name, "%.*s.num_batches_tracked", length, weight->name);
        fputs("        put_tensor(self, ", out);
        student_py_string(script, name);
        fputs(", torch.tensor(0), trained=False)\n", out);
    }
}

static void put_init(const struct student_script *script)
{
    const struct graph *graph = script->graph;
    fputs("    def __init__(self):\n        super().__init__()\n", script->out);
    for (int i = 0; i < graph->node_count; i++) {
        const struct node *node = &graph->nodes[i];
        const int weights[4] = {node->weight, node->bias, node->running_mean, node->running_var};
        if (node->weight >= 0 && student_py_has_module(graph, node)) {
            declare_module(script, node, script->ranks[node->inputs[0]]);
            continue;
        }
        for (int k = 0; k < 4; k++)
            if (weights[k] >= 0)
                declare_tensor(script, weights[k]);
    }
    for (int i = 0; i < graph->weight_count; i++) /* the state_dict of the module has them */
        if (!graph_reads_weight(graph, i))
            declare_tensor(script, i);
}

static const char heading[] =
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
    "\n";

static const char module_functions[] =
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
    "def put_tensor(root, path, tensor, trained, saved=True):\n"
    "    *parents, leaf = path.split(\".\")\n"
    "    root = container(root, parents)\n"
    "    if trained:\n"
    "        root.register_parameter(leaf, nn.Parameter(tensor))\n"
    "    else:\n"
    "        root.register_buffer(leaf, tensor, persistent=saved)\n"
    "\n"
    "\n"
    "def hard_sigmoid(x, alpha, beta):\n"
    "    return torch.clamp(alpha * x + beta, 0, 1)\n"
    "\n"
    "\n"
    "def silu(x, alpha):\n"
    "    return x * torch.sigmoid(alpha * x)\n"
    "\n"
    "\n"
    "def selu(x, alpha, beta):\n"
    "    return beta * F.elu(x, alpha)\n"
    "\n"
    "\n"
    "def gelu_tanh(x):\n"
    "    return F.gelu(x, approximate=\"tanh\")\n"
    "\n"
    "\n"
    "def per_channel(tensor, x):\n"
    "    \"\"\"A vector with a number per channel, so that it goes with x; other tensors as they are.\"\"\"\n"
    "    return tensor[:, None, None] if tensor.dim() == 1 and x.dim() == 4 else tensor\n"
    "\n"
    "\n"
    "def scale(x, weight, bias):\n"
    "    y = x if weight is None else x * per_channel(weight, x)\n"
    "    return y if bias is None else y + per_channel(bias, x)\n"
    "\n"
    "\n"
    "def channel_norm(x, weight, bias, eps):\n"
    "    \"\"\"A layer norm over the channels of every position.\"\"\"\n"
    "    variance, mean = torch.var_mean(x, 1, unbiased=False, keepdim=True)\n"
    "    return scale((x - mean) / torch.sqrt(variance + eps), weight, bias)\n"
    "\n"
    "\n"
    "def resample(x, rows, columns):\n"
    "    \"\"\"Of each output row and column: the first input, the second one, and the share of the second one.\"\"\"\n"
    "    for dim, taps in ((2, rows), (3, columns)):\n"
    "        low, high, share = zip(*taps)\n"
    "        share = torch.tensor(share, dtype=x.dtype, device=x.device)\n"
    "        share = share[:, None] if dim == 2 else share\n"
    "        low, high = torch.tensor(low, device=x.device), torch.tensor(high, device=x.device)\n"
    "        x = x.index_select(dim, low) * (1 - share) + x.index_select(dim, high) * share\n"
    "    return x\n"
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

/* The whole file, in order. False when out of memory. */
static bool put_file(const struct student_script *script, const struct model_card *card)
{
    const struct shape in = script->graph->nodes[script->graph->input].shape;
    if (card && !student_py_card(script, card))
        return false;
    if (!card)
        fputs(heading, script->out);
    fputs(module_functions, script->out);
    put_init(script);
    student_py_forward(script);
    if (card)
        student_py_main(script);
    else
        fprintf(script->out, ending, in.c, in.h, in.w);
    return !ferror(script->out);
}

enum status student_py_write(const struct graph *graph, const struct model_card *card, char **text, size_t *size,
                             struct error *err)
{
    struct student_script script = {.graph = graph};
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
        student_py_ranks(&script);
        ok = put_file(&script, card);
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
