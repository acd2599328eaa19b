#include "shared/inference/onednn/onednn_compile.h"

#include "shared/graph/graph_chains.h"
#include "shared/inference/onednn/onednn_layers.h"

#include <stdlib.h>

/* True if the storage of tensor is read after the chain or, if `by_host`, while the chain's host runs. The chain's own
 * addition does not count, because it adds in place. */
static bool is_read_later(const struct onednn_layers *layers, const struct graph_chains *chains,
                          struct graph_chain chain, bool by_host, int tensor)
{
    const struct graph *graph = layers->graph;
    int storage = layers->plan->tensors[tensor].storage;
    for (int i = 0; i < graph->node_count; i++) {
        bool reads = chains->needed[i] && ((by_host && i == chain.host) || chains->last[i] > chain.last);
        for (int k = 0; reads && k < graph->nodes[i].input_count; k++) {
            int value = layers->values[graph->nodes[i].inputs[k]];
            if (value >= 0 && layers->plan->tensors[value].storage == storage)
                return true;
        }
    }
    return false;
}

/* True for memory that steps may overwrite: not weights, and not the caller's. */
static bool is_ours(const struct onednn_layers *layers, int tensor)
{
    return layers->plan->storages[layers->plan->tensors[tensor].storage].kind == ONEDNN_ARENA;
}

/* Appends the steps of the chain that ends with node `last`. */
static enum status add_chain(const struct onednn_layers *layers, const struct graph_chains *chains, int last,
                             struct error *err)
{
    const struct graph *graph = layers->graph;
    const struct graph_chain chain = graph_chain_ending_at(chains, graph, last);
    struct onednn_fused fused = {.addend = NOT_A_TENSOR};
    if (chain.activation >= 0) {
        const struct node *node = &graph->nodes[chain.activation];
        fused.activation = node->activation;
        fused.alpha = node->alpha;
        fused.beta = node->beta;
    }
    if (chain.addend >= 0) {
        fused.addend = layers->values[chain.addend];
        fused.keep_addend = !is_ours(layers, fused.addend) || is_read_later(layers, chains, chain, true, fused.addend);
    }
    if (graph->nodes[chain.host].op == OP_ACTIVATION) {
        const int source = layers->values[graph->nodes[chain.host].inputs[0]];
        fused.overwrite = is_ours(layers, source) && !is_read_later(layers, chains, chain, false, source);
    }
    return onednn_add_node(layers, &graph->nodes[chain.host], &fused, &layers->values[last], err);
}

/* Copies the value of node to the caller's memory as soon as it exists: later steps may overwrite it. */
static enum status add_output(const struct onednn_layers *layers, int node, int *tensor, struct error *err)
{
    enum status status = STATUS_OK;
    const_dnnl_memory_desc_t md;
    TRY(onednn_add_map_md(layers->plan, layers->graph->nodes[node].shape, dnnl_nchw, &md, err));
    TRY(onednn_add_tensor(layers->plan, md, ONEDNN_CALLER, tensor, err));
    TRY(onednn_add_reorder(layers->plan, layers->graph->nodes[node].name, layers->values[node], *tensor, err));
cleanup:
    return status;
}

static enum status add_chains(const struct onednn_layers *layers, const struct graph_chains *chains, const int *wanted,
                              int wanted_count, int *outputs, struct error *err)
{
    enum status status = STATUS_OK;
    for (int i = 0; i < layers->graph->node_count; i++) {
        if (!graph_chains_ends_at(chains, i))
            continue;
        if (i != layers->graph->input)
            TRY(add_chain(layers, chains, i, err));
        for (int k = 0; chains->retained[i] && k < wanted_count; k++)
            if (wanted[k] == i)
                TRY(add_output(layers, i, &outputs[k], err));
    }
cleanup:
    return status;
}

enum status onednn_compile(struct onednn_plan *plan, const struct graph *graph, const int *wanted, int wanted_count,
                           int *input, int *outputs, struct error *err)
{
    enum status status = STATUS_OK;
    struct graph_chains chains = {0};
    struct onednn_layers layers = {plan, graph, malloc((size_t)graph->node_count * sizeof(int))};
    const_dnnl_memory_desc_t md;
    if (!layers.values) {
        status = error_no_memory(err, (size_t)graph->node_count * sizeof(int), "the teacher's plan");
        goto cleanup;
    }
    for (int i = 0; i < graph->node_count; i++)
        layers.values[i] = NOT_A_TENSOR;
    TRY(graph_chains_find(&chains, graph, wanted, wanted_count, onednn_fuses, err));
    TRY(onednn_add_map_md(plan, graph->nodes[graph->input].shape, dnnl_nhwc, &md, err));
    TRY(onednn_add_tensor(plan, md, ONEDNN_CALLER, input, err));
    layers.values[graph->input] = *input;
    TRY(add_chains(&layers, &chains, wanted, wanted_count, outputs, err));
    TRY(onednn_plan_finish(plan, err));
cleanup:
    graph_chains_release(&chains);
    free(layers.values);
    return status;
}
