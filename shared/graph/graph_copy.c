#include "shared/graph/graph.h"

#include <string.h>

enum status graph_copy_weights(const struct graph *from, struct graph *to, struct error *err)
{
    enum status status = STATUS_OK;
    for (int i = 0; i < from->weight_count; i++) {
        const struct weight *weight = &from->weights[i];
        int index;
        TRY(graph_add_weight(to, weight->name, weight->dims, weight->rank, weight->trained, &index, err));
        memcpy(to->weights[index].data, weight->data, weight->count * sizeof *weight->data);
        memcpy(to->weights[index].saved_dims, weight->saved_dims, sizeof weight->saved_dims);
        to->weights[index].saved_rank = weight->saved_rank;
        to->weights[index].literal = weight->literal;
        to->weights[index].int8 = weight->int8;
        to->weights[index].copy_of = weight->copy_of ? arena_strdup(&to->arena, weight->copy_of) : NULL;
        if (weight->copy_of && !to->weights[index].copy_of)
            FAIL(error_no_memory(err, strlen(weight->copy_of), "a weight's name"));
    }
cleanup:
    return status;
}

enum status graph_copy(const struct graph *from, struct graph *to, struct error *err)
{
    enum status status = STATUS_OK;
    graph_init(to);
    TRY(graph_copy_weights(from, to, err));
    for (int i = 0; i < from->node_count; i++) {
        const struct node *node = &from->nodes[i];
        TRY(graph_add(to, node, node->name, node->inputs, node->input_count, NULL, err));
    }
    to->input = from->input;
    to->output = from->output;
    to->folded_norms = from->folded_norms;
    to->restored_norms = from->restored_norms;
cleanup:
    if (status != STATUS_OK)
        graph_release(to);
    return status;
}
