#include "shared/inference/onednn/onednn_compile.h"

#include "shared/inference/onednn/onednn_layers.h"

#include <stdlib.h>

/* A chain of nodes that one primitive computes: a layer, maybe an add, maybe an activation. It is run where its last
 * node stands, so that the other input of the add is there. */
struct chains {
    int *host;    /* [node_count] the layer whose primitive computes this node; itself for one that stands alone */
    int *next;    /* [node_count] the node that takes this one into its chain, or -1: the chain ends here */
    int *readers; /* [node_count] by needed nodes */
    bool *needed; /* [node_count] some output depends on it */
    bool *wanted; /* [node_count] it is an output: must exist as itself */
    bool *done;   /* [node_count] its steps are in the plan */
};

static enum status chains_new(struct chains *chains, const struct graph *graph, const int *wanted, int wanted_count,
                              struct error *err)
{
    size_t count = (size_t)graph->node_count;
    *chains = (struct chains){calloc(count, sizeof(int)),  calloc(count, sizeof(int)),  calloc(count, sizeof(int)),
                              calloc(count, sizeof(bool)), calloc(count, sizeof(bool)), calloc(count, sizeof(bool))};
    if (!chains->host || !chains->next || !chains->readers || !chains->needed || !chains->wanted || !chains->done)
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
    free(chains->done);
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

static void find_chains(struct chains *chains, const struct graph *graph)
{
    for (int i = 0; i < graph->node_count; i++) {
        const struct node *node = &graph->nodes[i];
        if (!chains->needed[i])
            continue;
        if (node->op == OP_ADD && node->input_count == 2) {
            int late = node->inputs[0] > node->inputs[1] ? 0 : 1, early = 1 - late;
            for (int k = 0; k < 2 && chains->host[i] == i; k++) {
                int input = node->inputs[k == 0 ? late : early];
                if (may_vanish(chains, input) && onednn_fuses_add(&graph->nodes[input]))
                    link_nodes(chains, input, i);
            }
        }
        if (node->op == OP_ACTIVATION && may_vanish(chains, node->inputs[0])) {
            const struct node *host = &graph->nodes[chains->host[node->inputs[0]]];
            if (onednn_fuses_activation(host, node->activation) && graph->nodes[node->inputs[0]].op != OP_ACTIVATION)
                link_nodes(chains, node->inputs[0], i);
        }
    }
}

/* Whether a node that is not in the plan yet reads the storage of tensor. */
static bool read_later(const struct layers *layers, const struct chains *chains, int tensor)
{
    const struct graph *graph = layers->graph;
    int storage = layers->plan->tensors[tensor].storage;
    for (int i = 0; i < graph->node_count; i++)
        for (int k = 0; chains->needed[i] && !chains->done[i] && k < graph->nodes[i].input_count; k++) {
            int value = layers->values[graph->nodes[i].inputs[k]];
            if (value >= 0 && layers->plan->tensors[value].storage == storage)
                return true;
        }
    return false;
}

/* Appends the steps of the chain that ends with node `last`. */
static enum status append_chain(const struct layers *layers, struct chains *chains, int last, struct error *err)
{
    const struct graph *graph = layers->graph;
    int host = chains->host[last];
    struct fused fused = {.addend = -1};
    for (int i = host; i != last; i = chains->next[i]) {
        const struct node *next = &graph->nodes[chains->next[i]];
        if (next->op == OP_ADD)
            fused.addend = layers->values[next->inputs[next->inputs[0] == i ? 1 : 0]];
        else
            fused.activation = next->activation, fused.alpha = next->alpha, fused.beta = next->beta;
        chains->done[chains->next[i]] = true; /* it reads the addend now, not later */
    }
    if (fused.addend >= 0)
        fused.keep_addend = layers->plan->storages[layers->plan->tensors[fused.addend].storage].kind != STORAGE_ARENA ||
                            read_later(layers, chains, fused.addend);
    chains->done[host] = true;
    return onednn_append_node(layers, &graph->nodes[host], &fused, &layers->values[last], err);
}

/* Copies the value of node to memory of the caller, as soon as it exists: later steps may overwrite it. */
static enum status append_output(const struct layers *layers, int node, int *tensor, struct error *err)
{
    enum status status = STATUS_OK;
    dnnl_memory_desc_t md = onednn_plain_md(layers->graph->nodes[node].shape, dnnl_nchw);
    TRY(onednn_tensor(layers->plan, &md, STORAGE_CALLER, tensor, err));
    TRY(onednn_reorder(layers->plan, layers->graph->nodes[node].name, layers->values[node], *tensor, err));
cleanup:
    return status;
}

static enum status append_nodes(const struct layers *layers, struct chains *chains, const int *wanted, int wanted_count,
                                int *outputs, struct error *err)
{
    enum status status = STATUS_OK;
    for (int i = 0; i < layers->graph->node_count; i++) {
        if (!chains->needed[i] || chains->next[i] >= 0)
            continue;
        if (i != layers->graph->input)
            TRY(append_chain(layers, chains, i, err));
        for (int k = 0; chains->wanted[i] && k < wanted_count; k++)
            if (wanted[k] == i)
                TRY(append_output(layers, i, &outputs[k], err));
    }
cleanup:
    return status;
}

enum status onednn_compile(struct onednn_plan *plan, const struct graph *graph, const int *wanted, int wanted_count,
                           int *input, int *outputs, struct error *err)
{
    enum status status = STATUS_OK;
    struct chains chains = {0};
    struct layers layers = {plan, graph, malloc((size_t)graph->node_count * sizeof(int))};
    dnnl_memory_desc_t md = onednn_plain_md(graph->nodes[graph->input].shape, dnnl_nhwc);
    if (!layers.values) {
        status = error_no_memory(err, (size_t)graph->node_count * sizeof(int), "the teacher's plan");
        goto cleanup;
    }
    for (int i = 0; i < graph->node_count; i++)
        layers.values[i] = NOT_A_TENSOR;
    TRY(chains_new(&chains, graph, wanted, wanted_count, err));
    find_chains(&chains, graph);
    TRY(onednn_tensor(plan, &md, STORAGE_CALLER, input, err));
    layers.values[graph->input] = *input;
    TRY(append_nodes(&layers, &chains, wanted, wanted_count, outputs, err));
    TRY(onednn_plan_finish(plan, err));
cleanup:
    chains_free(&chains);
    free(layers.values);
    return status;
}
