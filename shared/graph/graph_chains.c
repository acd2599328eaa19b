#include "shared/graph/graph_chains.h"

/* Which nodes are needed, and how often each is read. Every node starts as a chain of its own. */
static void survey(struct graph_chains *chains, const struct graph *graph, const int *retained, int retained_count)
{
    for (int i = 0; i < retained_count; i++)
        chains->needed[retained[i]] = chains->retained[retained[i]] = true;
    for (int i = graph->node_count - 1; i >= 0; i--) {
        const struct node *node = &graph->nodes[i];
        chains->host[i] = chains->last[i] = i;
        chains->next[i] = -1;
        for (int k = 0; chains->needed[i] && k < node->input_count; k++) {
            chains->needed[node->inputs[k]] = true;
            chains->readers[node->inputs[k]]++;
        }
    }
}

/* True if only one reader sees the value of a node. */
static bool may_vanish(const struct graph_chains *chains, int node)
{
    return chains->readers[node] == 1 && !chains->retained[node];
}

static void link_nodes(struct graph_chains *chains, int before, int after)
{
    chains->next[before] = after;
    chains->host[after] = chains->host[before];
}

/* The addition joins the chain of one of its inputs: of the later one if both could take it, because the earlier one is
 * then computed already. A chain has one addition, so the input must be the host itself. */
static void join_add(struct graph_chains *chains, const struct graph *graph, int add, graph_fuses *fuses)
{
    const struct node *node = &graph->nodes[add];
    const int late = node->inputs[0] > node->inputs[1] ? 0 : 1;
    const int candidates[2] = {node->inputs[late], node->inputs[1 - late]};
    for (int k = 0; k < 2; k++) {
        const int input = candidates[k];
        if (may_vanish(chains, input) && chains->host[input] == input && fuses(&graph->nodes[input], node)) {
            link_nodes(chains, input, add);
            return;
        }
    }
}

/* The activation joins its input's chain, unless that has one already. */
static void join_activation(struct graph_chains *chains, const struct graph *graph, int activation, graph_fuses *fuses)
{
    const struct node *node = &graph->nodes[activation];
    const int input = node->inputs[0];
    if (may_vanish(chains, input) && graph->nodes[input].op != OP_ACTIVATION &&
        fuses(&graph->nodes[chains->host[input]], node))
        link_nodes(chains, input, activation);
}

enum status graph_chains_find(struct graph_chains *chains, const struct graph *graph, const int *retained,
                              int retained_count, graph_fuses *fuses, struct error *err)
{
    const size_t count = (size_t)graph->node_count;
    *chains = (struct graph_chains){0};
    chains->host = arena_alloc(&chains->arena, count, sizeof *chains->host);
    chains->last = arena_alloc(&chains->arena, count, sizeof *chains->last);
    chains->next = arena_alloc(&chains->arena, count, sizeof *chains->next);
    chains->readers = arena_alloc(&chains->arena, count, sizeof *chains->readers);
    chains->needed = arena_alloc(&chains->arena, count, sizeof *chains->needed);
    chains->retained = arena_alloc(&chains->arena, count, sizeof *chains->retained);
    if (!chains->host || !chains->last || !chains->next || !chains->readers || !chains->needed || !chains->retained) {
        graph_chains_release(chains);
        return error_no_memory(err, count * sizeof(int), "the chains of a graph");
    }
    survey(chains, graph, retained, retained_count);
    for (int i = 0; i < graph->node_count; i++) {
        const struct node *node = &graph->nodes[i];
        if (chains->needed[i] && node->op == OP_ADD && node->input_count == 2)
            join_add(chains, graph, i, fuses);
        if (chains->needed[i] && node->op == OP_ACTIVATION)
            join_activation(chains, graph, i, fuses);
    }
    for (int i = graph->node_count - 1; i >= 0; i--)
        if (chains->next[i] >= 0)
            chains->last[i] = chains->last[chains->next[i]];
    return STATUS_OK;
}

void graph_chains_release(struct graph_chains *chains)
{
    arena_release(&chains->arena);
    *chains = (struct graph_chains){0};
}

bool graph_chains_ends_at(const struct graph_chains *chains, int node)
{
    return chains->needed[node] && chains->next[node] < 0;
}

struct graph_chain graph_chain_ending_at(const struct graph_chains *chains, const struct graph *graph, int last)
{
    struct graph_chain chain = {.host = chains->host[last], .last = last, .addend = -1, .activation = -1};
    for (int i = chain.host; i != last; i = chains->next[i]) {
        const int follower = chains->next[i];
        const struct node *node = &graph->nodes[follower];
        if (node->op == OP_ADD)
            chain.addend = node->inputs[node->inputs[0] == i ? 1 : 0];
        else
            chain.activation = follower;
    }
    return chain;
}
