/* onnx_read: unpacks the model, chooses input and output, and reads the operators that the output needs, in order. */
#include "formats/onnx/onnx_read.h"

#include "formats/onnx/onnx_file.h"
#include "formats/onnx/onnx_names.h"
#include "formats/onnx/onnx_unpack.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_PARTS = 1 << 14, MAX_NODE_OUTPUTS = 64, MIN_OPSET = 6, MAX_OPSET = 25 };

static enum status check_model(struct onnx_reader *reader, const Onnx__ModelProto *model)
{
    const Onnx__GraphProto *graph = model->graph;
    if (!graph || graph->n_node == 0)
        return error_set(reader->err, STATUS_BAD_DATA, NULL, "is not an ONNX model: it has no graph with nodes");
    if (graph->n_node > MAX_PARTS || graph->n_initializer > MAX_PARTS || graph->n_input > MAX_PARTS)
        return error_set(reader->err, STATUS_BAD_DATA, NULL, "has more than %d nodes, weights or inputs", MAX_PARTS);
    for (size_t i = 0; i < model->n_opset_import; i++) {
        const Onnx__OperatorSetIdProto *set = model->opset_import[i];
        if (!set->domain || !set->domain[0] || strcmp(set->domain, "ai.onnx") == 0)
            reader->opset = set->version;
    }
    if (reader->opset < MIN_OPSET || reader->opset > MAX_OPSET)
        return error_set(reader->err, STATUS_CONFIG, NULL,
                         "uses operator set %lld, but %d to %d are supported: export again with opset 17",
                         (long long)reader->opset, MIN_OPSET, MAX_OPSET);
    reader->model = graph;
    return STATUS_OK;
}

/* Names are optional in ONNX's files. */
static const char *text_of(const char *name)
{
    return name ? name : "";
}

/* Adds every name of the model: initialisers, inputs, outputs of nodes. */
static enum status define_values(struct onnx_reader *reader)
{
    enum status status = STATUS_OK;
    const Onnx__GraphProto *model = reader->model;
    struct onnx_value *value;
    size_t capacity = model->n_initializer + model->n_input;
    for (size_t i = 0; i < model->n_node; i++) {
        if (model->node[i]->n_output > MAX_NODE_OUTPUTS)
            return error_set(reader->err, STATUS_BAD_DATA, NULL, "node %zu has more than %d outputs", i,
                             MAX_NODE_OUTPUTS);
        capacity += model->node[i]->n_output;
    }
    reader->table_size = 2 * capacity + 1;
    reader->values = calloc(capacity + 1, sizeof *reader->values);
    reader->table = calloc(reader->table_size, sizeof *reader->table);
    if (!reader->values || !reader->table)
        return error_no_memory(reader->err, capacity * sizeof *reader->values, "the tensors of a model");
    for (size_t i = 0; i < model->n_initializer; i++) {
        TRY(onnx_define(reader, text_of(model->initializer[i]->name), &value));
        value->kind = ONNX_CONSTANT;
        value->tensor = model->initializer[i];
    }
    for (size_t i = 0; i < model->n_input; i++) { /* old files list initialisers as inputs, too */
        const char *name = text_of(model->input[i]->name);
        if (!onnx_find(reader, name))
            TRY(onnx_define(reader, name, &value));
    }
    for (size_t i = 0; i < model->n_node; i++)
        for (size_t k = 0; k < model->node[i]->n_output; k++)
            if (model->node[i]->output[k][0]) {
                TRY(onnx_define(reader, model->node[i]->output[k], &value));
                value->maker = (int)i;
            }
cleanup:
    return status;
}

static enum status choose_output(struct onnx_reader *reader, struct onnx_value **output)
{
    const Onnx__GraphProto *model = reader->model;
    const char *wanted = reader->options.output ? reader->options.output : "logits", *chosen = NULL;
    for (size_t i = 0; i < model->n_output; i++) {
        const char *name = text_of(model->output[i]->name);
        struct onnx_value *value = onnx_find(reader, name);
        if (value)
            value->readers++;
        if (strcmp(name, wanted) == 0 || (!chosen && !reader->options.output))
            chosen = name;
    }
    *output = chosen ? onnx_find(reader, chosen) : NULL;
    if (!chosen)
        return error_set(reader->err, STATUS_CONFIG, NULL, "has no output '%.200s'", wanted);
    if (!*output)
        return error_set(reader->err, STATUS_BAD_DATA, NULL, "no node computes the output '%.200s'", chosen);
    (*output)->needed = true;
    return STATUS_OK;
}

static bool is_needed(const struct onnx_reader *reader, const Onnx__NodeProto *node)
{
    for (size_t k = 0; k < node->n_output; k++) {
        const struct onnx_value *value = node->output[k][0] ? onnx_find(reader, node->output[k]) : NULL;
        if (value && value->needed)
            return true;
    }
    return false;
}

/* Walks back from the output: marks what it needs, and counts how many needed nodes read each tensor. */
static void mark_needed(struct onnx_reader *reader)
{
    for (size_t i = reader->model->n_node; i-- > 0;) {
        const Onnx__NodeProto *node = reader->model->node[i];
        if (!is_needed(reader, node))
            continue;
        for (size_t k = 0; k < node->n_input; k++) {
            struct onnx_value *value = node->input[k][0] ? onnx_find(reader, node->input[k]) : NULL;
            if (value) {
                value->needed = true;
                value->readers++;
            }
        }
    }
}

/* Operators before which channels first or last makes no difference. */
static bool keeps_layout(const char *op)
{
    static const char *const names[] = {"Add", "Sub", "Mul", "Div", "Cast", "Identity", "Pad", "Clip", "Neg"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(op, names[i]) == 0)
            return true;
    return false;
}

/* Follows the input of four dimensions to its first readers of other kinds: Transpose(0, 3, 1, 2) means that the model
 * takes [batch, h, w, c], another one that it takes [batch, c, h, w]. */
static bool is_channels_last(struct onnx_reader *reader, struct onnx_value *input)
{
    static const int64_t to_channels_first[4] = {0, 3, 1, 2};
    bool found = false, other = false;
    input->follows_input = true;
    for (size_t i = 0; i < reader->model->n_node; i++) {
        reader->op = reader->model->node[i];
        reader->result = 0;
        struct onnx_value *result = onnx_result(reader);
        const char *op = reader->op->op_type ? reader->op->op_type : "";
        bool reads = false;
        for (size_t k = 0; is_needed(reader, reader->op) && k < reader->op->n_input; k++)
            reads = reads || (onnx_input(reader, k) && onnx_input(reader, k)->follows_input);
        if (!reads || !result || strcmp(op, "Shape") == 0)
            continue;
        const Onnx__AttributeProto *perm = onnx_attribute(reader, "perm");
        const bool turns = strcmp(op, "Transpose") == 0 && perm && perm->n_ints == 4 &&
                           memcmp(perm->ints, to_channels_first, sizeof to_channels_first) == 0;
        result->follows_input = keeps_layout(op);
        found = found || turns;
        other = other || (!turns && !keeps_layout(op));
    }
    return found && !other;
}

static int64_t dimension(const Onnx__TensorShapeProto *shape, size_t i)
{
    const Onnx__TensorShapeProto__Dimension *dim = shape->dim[i];
    return dim->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE ? dim->dim_value : 0;
}

static enum status bad_input(struct onnx_reader *reader, const char *name, const char *reason)
{
    return error_set(reader->err, STATUS_CONFIG, NULL, "input '%.200s' %s", name, reason);
}

static bool is_float_type(int32_t type)
{
    return type == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT || type == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16 ||
           type == ONNX__TENSOR_PROTO__DATA_TYPE__BFLOAT16 || type == ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE;
}

static enum status read_input(struct onnx_reader *reader, const Onnx__ValueInfoProto *info, struct onnx_value *value)
{
    struct node node = node_default(OP_INPUT);
    const char *name = value->name;
    if (!info->type || info->type->value_case != ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE || !info->type->tensor_type ||
        !info->type->tensor_type->shape)
        return bad_input(reader, name, "has no shape");
    const Onnx__TensorShapeProto *shape = info->type->tensor_type->shape;
    if (!is_float_type(info->type->tensor_type->elem_type))
        return bad_input(reader, name, "must be floats: export the model without its preprocessing");
    if (shape->n_dim != 4 && shape->n_dim != 2)
        return bad_input(reader, name, "must be [batch, channels, height, width]");
    char text[NODE_MAX_NAME];
    const bool last = shape->n_dim == 4 && is_channels_last(reader, value);
    int64_t c = dimension(shape, last ? 3 : 1), h = 1, w = 1;
    if (shape->n_dim == 4) {
        h = dimension(shape, last ? 1 : 2);
        w = dimension(shape, last ? 2 : 3);
        h = h > 0 ? h : reader->options.height;
        w = w > 0 ? w : reader->options.width;
        if (h <= 0 || w <= 0)
            return bad_input(reader, name, "has dynamic height and width: pass --size");
    }
    if (c <= 0 || c > INT32_MAX || h > INT32_MAX || w > INT32_MAX)
        return bad_input(reader, name, "has a dynamic number of channels, or a side out of range");
    if (!name[0])
        return bad_input(reader, name, "has no name");
    reader->batch = dimension(shape, 0) > 0 ? dimension(shape, 0) : 0;
    node.shape = (struct shape){(int)c, (int)h, (int)w};
    value->kind = ONNX_NODE;
    value->layout = shape->n_dim == 4 ? onnx_layout_map(node.shape, last) : onnx_layout_vector((int)c);
    return graph_add(reader->graph, &node, onnx_graph_name(name, text), NULL, 0, &value->node, reader->err);
}

static enum status choose_input(struct onnx_reader *reader)
{
    const Onnx__ValueInfoProto *chosen = NULL;
    struct onnx_value *value = NULL;
    for (size_t i = 0; i < reader->model->n_input; i++) {
        const Onnx__ValueInfoProto *info = reader->model->input[i];
        struct onnx_value *candidate = onnx_find(reader, text_of(info->name));
        if (candidate->kind == ONNX_CONSTANT || !candidate->needed)
            continue;
        if (chosen)
            return error_set(reader->err, STATUS_CONFIG, NULL, "has more than one input: '%.200s' and '%.200s'",
                             text_of(chosen->name), text_of(info->name));
        chosen = info;
        value = candidate;
    }
    if (!chosen && reader->circle)
        return error_set(reader->err, STATUS_BAD_DATA, NULL, "its nodes form a circle: '%.200s' depends on itself",
                         reader->circle);
    if (!chosen)
        return error_set(reader->err, STATUS_BAD_DATA, NULL, "its output does not depend on an input");
    return read_input(reader, chosen, value);
}

/* An input that no earlier node computes: a cycle, or a missing tensor. */
static enum status check_inputs(struct onnx_reader *reader)
{
    for (size_t k = 0; k < reader->op->n_input; k++) {
        const struct onnx_value *value = onnx_input(reader, k);
        if (onnx_has_input(reader, k) && (!value || value->kind == ONNX_UNDEFINED))
            return error_set(reader->err, STATUS_BAD_DATA, NULL,
                             "node '%.100s' (output '%.100s') reads '%.200s', which no earlier node computes",
                             text_of(reader->op->name), onnx_output_name(reader), reader->op->input[k]);
    }
    return STATUS_OK;
}

static enum status read_nodes(struct onnx_reader *reader)
{
    enum status status = STATUS_OK;
    for (size_t i = 0; i < reader->model->n_node; i++) {
        reader->op = reader->model->node[i];
        if (!is_needed(reader, reader->op))
            continue;
        TRY(check_inputs(reader));
        TRY(onnx_read_operator(reader));
    }
cleanup:
    return status;
}

/* The output must be what the graph has: logits, or a map with channels first. */
static enum status check_output(struct onnx_reader *reader, struct onnx_value *output)
{
    if (output->kind == ONNX_DEFERRED)
        return error_set(reader->err, STATUS_CONFIG, NULL, "%s", output->reason);
    if (output->kind != ONNX_NODE)
        return error_set(reader->err, STATUS_CONFIG, NULL, "its output '%.200s' is constant", output->name);
    if (output->maker >= 0) /* what is added here is the output's, not the last node's */
        reader->op = reader->model->node[output->maker];
    enum status status = onnx_settle(reader, output);
    if (status == STATUS_OK)
        status = onnx_write_repeats(reader, output);
    if (status != STATUS_OK)
        return status;
    const struct shape s = onnx_shape(reader, output);
    const int count = onnx_layout_first(&output->layout, output->layout.rank); /* of factors */
    bool vector = s.h == 1 && s.w == 1;
    for (int k = 0; k < count; k++)
        vector = vector && output->layout.factors[k].axis != ONNX_REPEAT;
    if (!vector && !onnx_layout_is_map(&output->layout, s))
        return error_set(reader->err, STATUS_CONFIG, NULL,
                         "its output '%.200s' has channels last, or mixes them with height and width", output->name);
    return STATUS_OK;
}

static enum status finish_output(struct onnx_reader *reader, struct onnx_value *output)
{
    struct graph *graph = reader->graph;
    enum status status = check_output(reader, output);
    if (status != STATUS_OK)
        return status;
    struct node *node = &graph->nodes[output->node];
    graph->output = output->node;
    char text[NODE_MAX_NAME];
    const char *name = onnx_graph_name(output->name, text);
    if (output->node != graph->input && strcmp(name, node->name) != 0 && graph_find(graph, name) < 0)
        node->name = arena_strdup(&graph->arena, name);
    graph->name = arena_strdup(&graph->arena, text_of(reader->model->name));
    return node->name && graph->name ? STATUS_OK : error_no_memory(reader->err, NODE_MAX_NAME, "a name");
}

/* Nodes that a recognised pattern has replaced. Those without weights stay: their values may be wanted as features. */
static enum status drop_pieces(struct onnx_reader *reader)
{
    struct graph *graph = reader->graph;
    bool *keep = calloc((size_t)graph->node_count + 1, sizeof *keep);
    if (!keep)
        return error_no_memory(reader->err, (size_t)graph->node_count, "a graph");
    keep[graph->output] = keep[graph->input] = true;
    for (int i = graph->node_count - 1; i >= 0; i--)
        for (int k = 0; keep[i] && k < graph->nodes[i].input_count; k++)
            keep[graph->nodes[i].inputs[k]] = true;
    for (int i = 0; i < graph->node_count; i++) {
        bool stays = graph->nodes[i].weight < 0 && graph->nodes[i].bias < 0;
        for (int k = 0; k < graph->nodes[i].input_count; k++)
            stays = stays && keep[graph->nodes[i].inputs[k]];
        keep[i] = keep[i] || stays;
    }
    graph_keep(graph, keep);
    free(keep);
    return STATUS_OK;
}

/* Buffers of the module, such as the mean of the images, that are not weights of a node: its state_dict has them. */
static enum status keep_buffers(struct onnx_reader *reader)
{
    enum status status = STATUS_OK;
    const struct onnx_array *array;
    for (size_t i = 0; i < reader->model->n_initializer; i++) {
        struct onnx_value *value = onnx_find(reader, text_of(reader->model->initializer[i]->name));
        const enum onnx_state state = onnx_state_of(reader, value->name);
        int dims[4], index;
        if (!value->needed || value->weight >= 0 || graph_find_weight(reader->graph, value->name) >= 0 ||
            (state != ONNX_BUFFER && !(state == ONNX_UNKNOWN && strchr(value->name, '.'))))
            continue;
        TRY(onnx_decode(reader, value, &array));
        if (!array->is_float || array->rank < 1 || array->rank > 4 || array->count == 0)
            continue;
        for (int k = 0; k < array->rank; k++)
            dims[k] = (int)array->dims[k];
        TRY(onnx_new_weight(reader, value->name, dims, array->rank, false, &index));
        memcpy(reader->graph->weights[index].data, array->floats, array->count * sizeof *array->floats);
    }
cleanup:
    return status;
}

static enum status check_weights(const struct onnx_reader *reader)
{
    for (int i = 0; i < reader->graph->weight_count; i++) {
        const struct weight *weight = &reader->graph->weights[i];
        for (size_t k = 0; k < weight->count; k++)
            if (!isfinite(weight->data[k]))
                return error_set(reader->err, STATUS_BAD_DATA, NULL, "weight '%.200s' is not finite at element %zu",
                                 weight->name, k);
    }
    return STATUS_OK;
}

static enum status read_model(struct onnx_reader *reader, const Onnx__ModelProto *model)
{
    enum status status = STATUS_OK;
    struct onnx_value *output;
    TRY(check_model(reader, model));
    TRY(define_values(reader));
    TRY(onnx_sort_nodes(reader));
    TRY(choose_output(reader, &output));
    mark_needed(reader);
    TRY(choose_input(reader));
    TRY(read_nodes(reader));
    TRY(finish_output(reader, output));
    TRY(drop_pieces(reader));
    if (reader->options.student)
        TRY(keep_buffers(reader));
    TRY(check_weights(reader));
cleanup:
    return status;
}

enum status onnx_read(struct graph *graph, const uint8_t *bytes, size_t size, const char *path,
                      const struct onnx_read_options *options, struct error *err)
{
    enum status status = STATUS_OK;
    struct onnx_message message = {0};
    struct error local = {0};
    struct onnx_reader reader = {.graph = graph, .err = &local, .opset = 1};
    graph_init(graph);
    if (options)
        reader.options = *options;
    TRY(onnx_unpack(&message, &onnx__model_proto__descriptor, bytes, size, path, &local));
    reader.budget = 8 * size + ((size_t)16 << 20);
    TRY(read_model(&reader, (const Onnx__ModelProto *)message.message));
cleanup:
    if (status != STATUS_OK) {
        error_set(err, status, path, "%s", local.message);
        graph_release(graph);
    }
    free(reader.values);
    free(reader.table);
    arena_release(&reader.arena);
    onnx_unpack_release(&message);
    return status;
}

enum status onnx_read_file(struct graph *graph, const char *path, const struct onnx_read_options *options,
                           struct error *err)
{
    unsigned char *bytes;
    size_t size;
    graph_init(graph);
    enum status status = onnx_file_read(path, &bytes, &size, NULL, err);
    if (status == STATUS_OK)
        status = onnx_read(graph, bytes, size, path, options, err);
    free(bytes);
    return status;
}
