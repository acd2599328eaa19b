/* Files need not list nodes in the order in which they compute: converters to float16 append casts at the end. */
#include "formats/onnx/onnx_reader.h"

#include <stdlib.h>

enum visited { NEW, OPEN, DONE };

struct visit {
    int node;
    size_t next_input;
};

/* The node that makes input i of a node, or -1. */
static int maker_of(const struct onnx_reader *reader, const Onnx__NodeProto *node, size_t i)
{
    const struct onnx_value *value = node->input[i][0] ? onnx_find(reader, node->input[i]) : NULL;
    return value ? value->maker : -1;
}

/* Appends the node to order[] after all that it reads, which may be many nodes deep: so the stack is our own. Where
 * nodes read one another in a circle, the circle is cut and noted. */
static int visit_from(struct onnx_reader *reader, int first, unsigned char *visited, struct visit *stack,
                      Onnx__NodeProto **order, int count)
{
    int depth = 0;
    if (visited[first] != NEW)
        return count;
    visited[first] = OPEN;
    stack[depth++] = (struct visit){first, 0};
    while (depth > 0) {
        struct visit *top = &stack[depth - 1];
        Onnx__NodeProto *node = reader->model->node[top->node];
        if (top->next_input == node->n_input) {
            visited[top->node] = DONE;
            order[count++] = node;
            depth--;
            continue;
        }
        const int maker = maker_of(reader, node, top->next_input++);
        if (maker >= 0 && visited[maker] == OPEN)
            reader->circle = node->input[top->next_input - 1];
        if (maker >= 0 && visited[maker] == NEW) {
            visited[maker] = OPEN;
            stack[depth++] = (struct visit){maker, 0};
        }
    }
    return count;
}

static void renumber_makers(struct onnx_reader *reader)
{
    for (size_t i = 0; i < reader->model->n_node; i++)
        for (size_t k = 0; k < reader->model->node[i]->n_output; k++) {
            struct onnx_value *value = onnx_find(reader, reader->model->node[i]->output[k]);
            if (value && reader->model->node[i]->output[k][0])
                value->maker = (int)i;
        }
}

enum status onnx_sort_nodes(struct onnx_reader *reader)
{
    const size_t count = reader->model->n_node;
    enum status status = STATUS_OK;
    unsigned char *visited = calloc(count, sizeof *visited);
    struct visit *stack = calloc(count, sizeof *stack);
    Onnx__NodeProto **order = calloc(count, sizeof(Onnx__NodeProto *));
    int ordered = 0;
    if (!visited || !stack || !order)
        FAIL(error_no_memory(reader->err, count * sizeof *stack, "the nodes of a model"));
    for (size_t i = 0; i < count; i++)
        ordered = visit_from(reader, (int)i, visited, stack, order, ordered);
    for (size_t i = 0; i < count; i++)
        reader->model->node[i] = order[i];
    renumber_makers(reader);
cleanup:
    free(visited);
    free(stack);
    free(order);
    return status;
}
