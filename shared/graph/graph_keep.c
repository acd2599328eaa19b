#include "shared/graph/graph.h"

/* Which of the graph's weights no node that is kept reads, although another one does. Weights that no node reads at all
 * belong to a loss. */
static bool is_left(const struct graph *graph, const bool *keep, int weight)
{
    bool read = false;
    for (int i = 0; i < graph->node_count; i++) {
        const struct node *node = &graph->nodes[i];
        if (node->weight != weight && node->bias != weight && node->running_mean != weight &&
            node->running_var != weight)
            continue;
        if (keep[i])
            return false;
        read = true;
    }
    return read;
}

static void renumber_weight(struct graph *graph, int from, int to)
{
    for (int i = 0; i < graph->node_count; i++) {
        int *const weights[4] = {&graph->nodes[i].weight, &graph->nodes[i].bias, &graph->nodes[i].running_mean,
                                 &graph->nodes[i].running_var};
        for (int k = 0; k < 4; k++)
            if (*weights[k] == from)
                *weights[k] = to;
    }
}

static void drop_weights(struct graph *graph, const bool *keep)
{
    int count = 0;
    for (int i = 0; i < graph->weight_count; i++) {
        if (is_left(graph, keep, i)) {
            memory_free(graph->weights[i].data);
            renumber_weight(graph, i, -1);
        } else {
            graph->weights[count] = graph->weights[i];
            if (count != i)
                renumber_weight(graph, i, count);
            count++;
        }
    }
    graph->weight_count = count;
}

static void renumber_node(struct graph *graph, int from, int to)
{
    for (int i = to + 1; i < graph->node_count; i++)
        for (int k = 0; k < graph->nodes[i].input_count; k++)
            if (graph->nodes[i].inputs[k] == from)
                graph->nodes[i].inputs[k] = to;
    graph->input = graph->input == from ? to : graph->input;
    graph->output = graph->output == from ? to : graph->output;
}

void graph_keep(struct graph *graph, const bool *keep)
{
    int count = 0;
    bool all = true;
    for (int i = 0; i < graph->node_count; i++)
        all = all && keep[i];
    if (all)
        return;
    drop_weights(graph, keep);
    for (int i = 0; i < graph->node_count; i++) {
        if (!keep[i])
            continue;
        graph->nodes[count] = graph->nodes[i];
        if (count != i)
            renumber_node(graph, i, count);
        count++;
    }
    graph->node_count = count;
}
