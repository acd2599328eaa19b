/* From a folded graph to steps: which nodes share a step, and the order of the steps. */
#include "shared/inference/cudnn/teacher_emit.h"

#include <stdlib.h>

/* A chain of nodes that one layer computes: the layer (its host), maybe an add, maybe an activation. It is run where
 * its last node stands, so that the other input of the add is there. */
struct chains {
    int *host;    /* [node_count] the first node of this node's chain; itself for one that stands alone */
    int *next;    /* [node_count] the node that takes this one into its chain, or -1: the chain ends here */
    int *readers; /* [node_count] by needed nodes */
    bool *needed; /* [node_count] some output depends on it */
    bool *wanted; /* [node_count] it is an output: must exist as itself */
};

static enum status chains_new(struct chains *chains, const struct graph *graph, const int *wanted, int wanted_count,
                              struct error *err)
{
    size_t count = (size_t)graph->node_count;
    *chains = (struct chains){calloc(count, sizeof(int)), calloc(count, sizeof(int)), calloc(count, sizeof(int)),
                              calloc(count, sizeof(bool)), calloc(count, sizeof(bool))};
    if (!chains->host || !chains->next || !chains->readers || !chains->needed || !chains->wanted)
        return error_no_memory(err, count * sizeof(int), "the teacher's plan");
    for (int i = 0; i < wanted_count; i++)
        chains->needed[wanted[i]] = chains->wanted[wanted[i]] = true;
    for (int i = graph->node_count - 1; i >= 0; i--) {
        const struct node *node = &graph->nodes[i];
        chains->host[i] = i;
        chains->next[i] = -1;
        for (int k = 0; chains->needed[i] && k < node->input_count; k++) {
            chains->needed[node->inputs[k]] = true;
            chains->readers[node->inputs[k]]++;
        }
    }
    return STATUS_OK;
}

static void chains_free(struct chains *chains)
{
    free(chains->host);
    free(chains->next);
    free(chains->readers);
    free(chains->needed);
    free(chains->wanted);
}

/* Whether the value of node i is needed by its one reader only, so that it may vanish in the reader's chain. */
static bool may_vanish(const struct chains *chains, int i)
{
    return chains->readers[i] == 1 && !chains->wanted[i];
}

static void link_nodes(struct chains *chains, int before, int after)
{
    chains->next[before] = after;
    chains->host[after] = chains->host[before];
}

static bool takes_activation(const struct node *host, enum activation activation)
{
    return host->op == OP_CONV || host->op == OP_BATCH_NORM || host->op == OP_ADD ||
           (host->op == OP_LINEAR && activation == ACTIVATION_RELU);
}

static void find_chains(struct chains *chains, const struct graph *graph)
{
    for (int i = 0; i < graph->node_count; i++) {
        const struct node *node = &graph->nodes[i];
        if (!chains->needed[i])
            continue;
        if (node->op == OP_ADD && node->input_count == 2) {
            int late = node->inputs[0] > node->inputs[1] ? 0 : 1;
            for (int k = 0; k < 2 && chains->host[i] == i; k++) {
                int input = node->inputs[k == 0 ? late : 1 - late];
                if (may_vanish(chains, input) && graph->nodes[input].op == OP_CONV)
                    link_nodes(chains, input, i);
            }
        }
        if (node->op == OP_ACTIVATION && may_vanish(chains, node->inputs[0])) {
            const struct node *host = &graph->nodes[chains->host[node->inputs[0]]];
            if (takes_activation(host, node->activation) && graph->nodes[node->inputs[0]].op != OP_ACTIVATION)
                link_nodes(chains, node->inputs[0], i);
        }
    }
}

/* Emits the steps of the chain that ends with node `last`. */
static enum status emit_chain(const struct emitter *emitter, const struct chains *chains, int last, struct error *err)
{
    const struct graph *graph = emitter->graph;
    int host = chains->host[last];
    struct fused fused = {.addend = NO_VALUE, .name = graph->nodes[last].name};
    fused.is_result = chains->wanted[last] && chains->readers[last] == 0;
    for (int i = host; i != last; i = chains->next[i]) {
        const struct node *next = &graph->nodes[chains->next[i]];
        if (next->op == OP_ADD)
            fused.addend = emitter->values[next->inputs[next->inputs[0] == i ? 1 : 0]];
        else
            fused.pointwise = (struct pointwise){next->activation, next->alpha, next->beta};
    }
    return teacher_emit(emitter, host, &fused, &emitter->values[last], err);
}

enum status teacher_compile(struct teacher_plan *plan, const struct graph *graph, const int *wanted, int wanted_count,
                            struct error *err)
{
    enum status status = STATUS_OK;
    struct chains chains = {0};
    struct emitter emitter = {plan, graph, malloc((size_t)graph->node_count * sizeof(int))};
    plan->outputs = arena_alloc(&plan->arena, (size_t)wanted_count, sizeof(int));
    if (!emitter.values || !plan->outputs) {
        status = error_no_memory(err, (size_t)graph->node_count * sizeof(int), "the teacher's plan");
        goto cleanup;
    }
    TRY(chains_new(&chains, graph, wanted, wanted_count, err));
    find_chains(&chains, graph);
    TRY(teacher_plan_value(plan, graph->nodes[graph->input].shape, &plan->input, err));
    emitter.values[graph->input] = plan->input;
    for (int i = 0; i < graph->node_count; i++)
        if (chains.needed[i] && chains.next[i] < 0 && i != graph->input)
            TRY(emit_chain(&emitter, &chains, i, err));
    for (int i = 0; i < wanted_count; i++)
        plan->outputs[i] = emitter.values[wanted[i]];
    plan->output_count = wanted_count;
cleanup:
    chains_free(&chains);
    free(emitter.values);
    return status;
}
