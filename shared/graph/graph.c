#include "shared/graph/graph.h"

#include "shared/base/random.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const op_names[OP_COUNT] = {
    [OP_INPUT] = "input",
    [OP_CONV] = "conv",
    [OP_BATCH_NORM] = "batch_norm",
    [OP_ACTIVATION] = "activation",
    [OP_MAX_POOL] = "max_pool",
    [OP_AVERAGE_POOL] = "average_pool",
    [OP_GLOBAL_AVERAGE_POOL] = "global_average_pool",
    [OP_ADD] = "add",
    [OP_MULTIPLY] = "multiply",
    [OP_CONCAT] = "concat",
    [OP_FLATTEN] = "flatten",
    [OP_LINEAR] = "linear",
    [OP_DROPOUT] = "dropout",
    [OP_PAD] = "pad",
    [OP_SOFTMAX] = "softmax",
    [OP_LOG_SOFTMAX] = "log_softmax",
    [OP_SCALE] = "scale",
    [OP_PRELU] = "prelu",
    [OP_SELECT] = "select",
    [OP_GROUP_NORM] = "group_norm",
    [OP_LAYER_NORM] = "layer_norm",
    [OP_LP_NORM] = "lp_norm",
    [OP_RESIZE] = "resize",
    [OP_QUANTISE] = "quantise",
};
static const char *const activation_names[ACTIVATION_COUNT] = {
    [ACTIVATION_NONE] = "none",
    [ACTIVATION_RELU] = "relu",
    [ACTIVATION_LEAKY_RELU] = "leaky_relu",
    [ACTIVATION_CLIP] = "clip",
    [ACTIVATION_HARD_SIGMOID] = "hard_sigmoid",
    [ACTIVATION_HARD_SWISH] = "hard_swish",
    [ACTIVATION_SIGMOID] = "sigmoid",
    [ACTIVATION_SILU] = "silu",
    [ACTIVATION_ELU] = "elu",
    [ACTIVATION_SELU] = "selu",
    [ACTIVATION_CELU] = "celu",
    [ACTIVATION_GELU] = "gelu",
    [ACTIVATION_GELU_TANH] = "gelu_tanh",
    [ACTIVATION_MISH] = "mish",
    [ACTIVATION_TANH] = "tanh",
    [ACTIVATION_SOFTPLUS] = "softplus",
    [ACTIVATION_SOFTSIGN] = "softsign",
    [ACTIVATION_ABS] = "abs",
};

const char *op_name(enum op op)
{
    return (unsigned)op < OP_COUNT ? op_names[op] : "unknown";
}

const char *activation_name(enum activation activation)
{
    return (unsigned)activation < ACTIVATION_COUNT ? activation_names[activation] : "unknown";
}

void graph_init(struct graph *graph)
{
    *graph = (struct graph){.input = -1, .output = -1};
}

void graph_release(struct graph *graph)
{
    for (int i = 0; i < graph->weight_count; i++)
        memory_free(graph->weights[i].data);
    free(graph->nodes);
    free(graph->weights);
    arena_release(&graph->arena);
    graph_init(graph);
}

struct node node_default(enum op op)
{
    return (struct node){
        .op = op,
        .kernel_h = 1,
        .kernel_w = 1,
        .stride_h = 1,
        .stride_w = 1,
        .dilation_h = 1,
        .dilation_w = 1,
        .groups = 1,
        .epsilon = 1e-5f,
        .momentum = 0.1f,
        .weight = -1,
        .bias = -1,
        .running_mean = -1,
        .running_var = -1,
        .resize = {.y = {.scale = 1}, .x = {.scale = 1}},
    };
}

bool graph_pads_zeros(const struct node *node)
{
    return node->op == OP_PAD && node->pad_mode == PAD_CONSTANT && node->alpha == 0 && node->pad_top >= 0 &&
           node->pad_left >= 0 && node->pad_bottom >= 0 && node->pad_right >= 0;
}

int graph_find(const struct graph *graph, const char *name)
{
    for (int i = 0; i < graph->node_count; i++)
        if (strcmp(graph->nodes[i].name, name) == 0)
            return i;
    return -1;
}

int graph_find_weight(const struct graph *graph, const char *weight_name)
{
    for (int i = 0; i < graph->weight_count; i++)
        if (strcmp(graph->weights[i].name, weight_name) == 0)
            return i;
    return -1;
}

const struct weight *graph_weight_source(const struct graph *graph, const struct weight *weight)
{
    const int source = weight->copy_of ? graph_find_weight(graph, weight->copy_of) : -1;
    return source >= 0 ? &graph->weights[source] : weight;
}

bool graph_reads_weight(const struct graph *graph, int weight)
{
    for (int i = 0; i < graph->node_count; i++) {
        const struct node *node = &graph->nodes[i];
        if (node->weight == weight || node->bias == weight || node->running_mean == weight ||
            node->running_var == weight)
            return true;
    }
    return false;
}

enum status graph_add_weight(struct graph *graph, const char *name, const int *dims, int rank, bool trained, int *index,
                             struct error *err)
{
    struct weight weight = {.dims = {1, 1, 1, 1}, .rank = rank, .count = 1, .trained = trained};
    enum status status = STATUS_OK;
    TRY(array_grow(&graph->weights, sizeof weight, (size_t)graph->weight_count, &graph->weight_capacity, "a graph",
                   err));
    if (rank < 1 || rank > 4)
        return error_set(err, STATUS_BAD_DATA, NULL, "weight '%s' has %d dimensions; 1 to 4 are supported", name, rank);
    for (int i = 0; i < rank; i++) {
        if (dims[i] < 1)
            return error_set(err, STATUS_BAD_DATA, NULL, "weight '%s' has a dimension of %d", name, dims[i]);
        weight.dims[i] = dims[i];
        weight.count = size_mul(weight.count, (size_t)dims[i]);
    }
    weight.name = arena_strdup(&graph->arena, name);
    if (!weight.name)
        return error_no_memory(err, strlen(name), "a weight's name");
    TRY(memory_new((void **)&weight.data, weight.count, sizeof(float), weight.name, err));
    graph->weights[graph->weight_count] = weight;
    *index = graph->weight_count++;
cleanup:
    return status;
}

size_t graph_parameter_count(const struct graph *graph)
{
    size_t count = 0;
    for (int i = 0; i < graph->weight_count; i++)
        count += graph->weights[i].trained ? graph->weights[i].count : 0;
    return count;
}

size_t graph_multiply_count(const struct graph *graph)
{
    size_t count = 0;
    for (int i = 0; i < graph->node_count; i++) {
        const struct node *node = &graph->nodes[i];
        if (node->op == OP_CONV)
            count += graph->weights[node->weight].count * (size_t)node->shape.h * (size_t)node->shape.w;
        if (node->op == OP_LINEAR)
            count += graph->weights[node->weight].count;
    }
    return count;
}

void graph_consumers(const struct graph *graph, int *counts)
{
    memset(counts, 0, (size_t)graph->node_count * sizeof *counts);
    for (int i = 0; i < graph->node_count; i++)
        for (int k = 0; k < graph->nodes[i].input_count; k++)
            counts[graph->nodes[i].inputs[k]]++;
    if (graph->output >= 0)
        counts[graph->output]++;
}

void graph_fill_uniform(struct weight *weight, uint64_t seed, int index, float bound)
{
    struct random_stream stream;
    random_stream_init(&stream, seed, RANDOM_INIT, (uint32_t)index, 0);
    for (size_t i = 0; i < weight->count; i++)
        weight->data[i] = (2 * random_uniform(&stream) - 1) * bound;
}

static void fill_value(struct graph *graph, int index, float value)
{
    for (size_t i = 0; index >= 0 && i < graph->weights[index].count; i++)
        graph->weights[index].data[i] = value;
}

/* Constants of the network keep their values. */
static void fill_trained(struct graph *graph, int index, float value)
{
    if (index >= 0 && graph->weights[index].trained)
        fill_value(graph, index, value);
}

void graph_initialise(struct graph *graph, uint64_t seed)
{
    for (int i = 0; i < graph->node_count; i++) {
        const struct node *node = &graph->nodes[i];
        if (node->op == OP_CONV || node->op == OP_LINEAR) {
            struct weight *weight = &graph->weights[node->weight];
            float bound = 1 / sqrtf((float)(weight->count / (size_t)weight->dims[0]));
            graph_fill_uniform(weight, seed, node->weight, bound);
            if (node->bias >= 0)
                graph_fill_uniform(&graph->weights[node->bias], seed, node->bias, bound);
        } else if (node->op == OP_PRELU) {
            fill_trained(graph, node->weight, 0.25f);
        } else if (node->op == OP_BATCH_NORM || node->op == OP_GROUP_NORM || node->op == OP_LAYER_NORM) {
            fill_trained(graph, node->weight, 1);
            fill_trained(graph, node->bias, 0);
            fill_value(graph, node->running_mean, 0);
            fill_value(graph, node->running_var, 1);
        }
    }
}
