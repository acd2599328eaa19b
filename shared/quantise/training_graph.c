#include "shared/quantise/training_graph.h"

#include "shared/quantise/calibration.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A value that only moves numbers of its input has the input's scale: the step that makes it; otherwise NULL. */
static const struct lowered_step *moving_step(const struct lowered *lowered, int value)
{
    for (int s = 0; s < lowered->step_count; s++)
        if (lowered->steps[s].output == value)
            return int8_keeps_scale(lowered->steps[s].kind) ? &lowered->steps[s] : NULL;
    return NULL;
}

static void name_of(const char *value, char name[NODE_MAX_NAME + 8])
{
    snprintf(name, NODE_MAX_NAME + 8, "%.*s.int8", NODE_MAX_NAME, value);
}

/* value_of[from->node_count]: the value of the integer network that the node's is, or -1. */
static int *find_values(const struct graph *from, const struct lowered *lowered)
{
    int *value_of = malloc(((size_t)from->node_count + 1) * sizeof *value_of);
    for (int i = 0; value_of && i < from->node_count; i++)
        value_of[i] = -1;
    for (int v = 0; value_of && v < lowered->value_count; v++) {
        const int node = graph_find(from, lowered->graph.nodes[lowered->values[v].node].name);
        if (node >= 0 && !moving_step(lowered, v))
            value_of[node] = v;
    }
    return value_of;
}

/* Appends the node behind `node`, which becomes it. */
static enum status add_quantise(struct graph *to, const char *value, struct value_range limits, int *node,
                                struct error *err)
{
    enum status status = STATUS_OK;
    char name[NODE_MAX_NAME + 8], range[NODE_MAX_NAME + 16];
    struct node quantise = node_default(OP_QUANTISE);
    name_of(value, name);
    snprintf(range, sizeof range, "%s.range", name);
    TRY(graph_add_weight(to, range, (const int[]){2}, 1, false, &quantise.weight, err));
    struct weight *weight = &to->weights[quantise.weight];
    weight->literal = true;
    weight->data[0] = 1;
    weight->data[1] = -1;
    quantise.alpha = limits.low;
    quantise.beta = limits.high;
    TRY(graph_add(to, &quantise, name, node, 1, node, err));
cleanup:
    return status;
}

static void round_layers(struct graph *graph)
{
    for (int i = 0; i < graph->node_count; i++) {
        const struct node *node = &graph->nodes[i];
        if (node->op == OP_CONV || node->op == OP_LINEAR)
            graph->weights[node->weight].int8 = graph->weights[node->weight].trained;
    }
}

static enum status add_nodes(const struct graph *from, const struct lowered *lowered, const int *value_of, int *map,
                             struct graph *to, struct error *err)
{
    enum status status = STATUS_OK;
    for (int i = 0; i < from->node_count; i++) {
        const struct node *node = &from->nodes[i];
        int inputs[NODE_MAX_INPUTS];
        for (int k = 0; k < node->input_count; k++)
            inputs[k] = map[node->inputs[k]];
        TRY(graph_add(to, node, node->name, inputs, node->input_count, &map[i], err));
        if (value_of[i] >= 0)
            TRY(add_quantise(to, node->name, calibration_limits(lowered, value_of[i]), &map[i], err));
    }
    to->output = map[from->output];
cleanup:
    return status;
}

enum status training_graph(const struct graph *from, struct graph *to, struct error *err)
{
    enum status status = STATUS_OK;
    struct lowered lowered = {0};
    int *value_of = NULL, *map = calloc((size_t)from->node_count + 1, sizeof *map);
    graph_init(to);
    TRY(lowered_init(&lowered, from, err));
    value_of = find_values(from, &lowered);
    if (!value_of || !map)
        FAIL(error_no_memory(err, (size_t)from->node_count * sizeof *map, "a graph"));
    TRY(graph_copy_weights(from, to, err));
    TRY(add_nodes(from, &lowered, value_of, map, to, err));
    round_layers(to);
cleanup:
    lowered_release(&lowered);
    free(value_of);
    free(map);
    if (status != STATUS_OK)
        graph_release(to);
    return status;
}

bool training_graph_ranges(const struct graph *graph, const struct lowered *lowered, struct value_range *ranges)
{
    for (int v = 0; v < lowered->value_count; v++) {
        const struct lowered_step *moved = moving_step(lowered, v);
        char name[NODE_MAX_NAME + 8];
        name_of(lowered->graph.nodes[lowered->values[v].node].name, name);
        const int node = moved ? -1 : graph_find(graph, name);
        if (!moved && (node < 0 || graph->nodes[node].op != OP_QUANTISE))
            return false;
        if (moved) {
            ranges[v] = ranges[moved->inputs[0]]; /* values are in the order of steps */
        } else {
            const float *range = graph->weights[graph->nodes[node].weight].data;
            ranges[v] = (struct value_range){range[0], range[1]};
        }
        if (!value_range_known(ranges[v]))
            return false;
    }
    return true;
}
