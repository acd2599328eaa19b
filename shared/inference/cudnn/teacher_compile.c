/* From a folded graph to steps, in their order. */
#include "shared/graph/graph_chains.h"
#include "shared/inference/cudnn/teacher_emit.h"

#include <stdlib.h>

/* What a step can compute after its host. ReLU is the only epilogue of cuBLASLt. */
static bool fuses(const struct node *host, const struct node *follower)
{
    if (follower->op == OP_ADD)
        return host->op == OP_CONV;
    return host->op == OP_CONV || host->op == OP_BATCH_NORM || host->op == OP_SCALE || host->op == OP_ADD ||
           (host->op == OP_LINEAR && follower->activation == ACTIVATION_RELU);
}

/* Emits the steps of the chain that ends with node `last`. */
static enum status emit_chain(const struct emitter *emitter, const struct graph_chains *chains, int last,
                              struct error *err)
{
    const struct graph *graph = emitter->graph;
    const struct graph_chain chain = graph_chain_ending_at(chains, graph, last);
    struct teacher_fused fused = {.addend = NO_VALUE, .name = graph->nodes[last].name};
    fused.is_result = chains->retained[last] && chains->readers[last] == 0;
    if (chain.addend >= 0)
        fused.addend = emitter->values[chain.addend];
    if (chain.activation >= 0) {
        const struct node *node = &graph->nodes[chain.activation];
        fused.pointwise = (struct pointwise){node->activation, node->alpha, node->beta};
    }
    return teacher_emit(emitter, chain.host, &fused, &emitter->values[last], err);
}

enum status teacher_compile(struct teacher_plan *plan, const struct graph *graph, const int *wanted, int wanted_count,
                            struct error *err)
{
    enum status status = STATUS_OK;
    struct graph_chains chains = {0};
    struct emitter emitter = {plan, graph, malloc((size_t)graph->node_count * sizeof(int))};
    plan->outputs = arena_alloc(&plan->arena, (size_t)wanted_count, sizeof(int));
    if (!emitter.values || !plan->outputs) {
        status = error_no_memory(err, (size_t)graph->node_count * sizeof(int), "the teacher's plan");
        goto cleanup;
    }
    TRY(graph_chains_find(&chains, graph, wanted, wanted_count, fuses, err));
    TRY(teacher_plan_value(plan, graph->nodes[graph->input].shape, &plan->input, err));
    emitter.values[graph->input] = plan->input;
    for (int i = 0; i < graph->node_count; i++)
        if (graph_chains_ends_at(&chains, i) && i != graph->input)
            TRY(emit_chain(&emitter, &chains, i, err));
    for (int i = 0; i < wanted_count; i++)
        plan->outputs[i] = emitter.values[wanted[i]];
    plan->output_count = wanted_count;
cleanup:
    graph_chains_release(&chains);
    free(emitter.values);
    return status;
}
