#include "formats/onnx/onnx_outline.h"

#include "formats/onnx/onnx_unpack.h"
#include <onnx/onnx.pb-c.h>
#include <stdio.h>
#include <string.h>

enum { MAX_TENSORS = 1 << 20, MAX_STEPS = 64 };

struct reader {
    struct onnx_outline *outline;
    const Onnx__ModelProto *model;
    const Onnx__GraphProto *graph;
    const char *path;
    struct error *err;
};

static const char *text(const char *string)
{
    return string ? string : "";
}

static enum status keep(struct reader *r, const char *string, const char **out)
{
    *out = arena_strdup(&r->outline->arena, text(string));
    return *out ? STATUS_OK : error_no_memory(r->err, strlen(text(string)), "a name");
}

/* ---- the input ---- */

static bool is_initializer(const Onnx__GraphProto *graph, const char *name)
{
    for (size_t i = 0; i < graph->n_initializer; i++)
        if (strcmp(text(graph->initializer[i]->name), name) == 0)
            return true;
    return false;
}

static enum status bad_input(const struct reader *r, const char *name, const char *reason)
{
    return error_set(r->err, STATUS_CONFIG, r->path, "input '%.200s' %s", name, reason);
}

static enum status read_type(struct reader *r, const char *name, const Onnx__TypeProto__Tensor *type)
{
    r->outline->half = type->elem_type == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16;
    if (r->outline->half || type->elem_type == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT)
        return STATUS_OK;
    if (type->elem_type == ONNX__TENSOR_PROTO__DATA_TYPE__UINT8 ||
        type->elem_type == ONNX__TENSOR_PROTO__DATA_TYPE__INT8)
        return bad_input(r, name,
                         "takes bytes, but teachers get normalised floats: export the model without its "
                         "preprocessing or its quantised input");
    return bad_input(r, name, "must be float or float16: convert the model");
}

/* Pictures have 3 channels, or 1: where such a dim is says which layout it is. */
static enum status read_layout(struct reader *r, const char *name)
{
    struct onnx_outline *o = r->outline;
    const int64_t *d = o->dims;
    if (o->rank != 4)
        return STATUS_OK;
    o->channels_last = d[1] != 3 && d[1] != 1 && (d[3] == 3 || d[3] == 1);
    const int64_t channels = d[o->channels_last ? 3 : 1];
    if (channels != 0 && channels != 1 && channels != 3)
        return bad_input(r, name,
                         "has neither 3 channels nor 1: [batch, channels, height, width] and [batch, height, "
                         "width, channels] are known");
    if (channels == 0) /* nothing says it */
        o->dims[1] = 3;
    return STATUS_OK;
}

static enum status read_input(struct reader *r)
{
    enum status status = STATUS_OK;
    struct onnx_outline *o = r->outline;
    const Onnx__ValueInfoProto *chosen = NULL;
    for (size_t i = 0; i < r->graph->n_input; i++) {
        const Onnx__ValueInfoProto *info = r->graph->input[i];
        if (is_initializer(r->graph, text(info->name)))
            continue;
        if (chosen)
            return error_set(r->err, STATUS_CONFIG, r->path, "has more than one input: '%.200s' and '%.200s'",
                             text(chosen->name), text(info->name));
        chosen = info;
    }
    if (!chosen || !text(chosen->name)[0])
        return error_set(r->err, STATUS_BAD_DATA, r->path, "has no input");
    const Onnx__TypeProto *type = chosen->type;
    TRY(keep(r, chosen->name, &o->input));
    if (!type || type->value_case != ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE || !type->tensor_type ||
        !type->tensor_type->shape)
        return bad_input(r, o->input, "has no shape");
    const Onnx__TensorShapeProto *shape = type->tensor_type->shape;
    if (shape->n_dim < 2 || shape->n_dim > ONNX_OUTLINE_RANK)
        return bad_input(r, o->input, "must be [batch, channels, height, width]");
    o->rank = (int)shape->n_dim;
    for (int i = 0; i < o->rank; i++) {
        const Onnx__TensorShapeProto__Dimension *dim = shape->dim[i];
        o->dims[i] = dim->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE ? dim->dim_value : 0;
        if (o->dims[i] < 0)
            o->dims[i] = 0;
        if (o->dims[i] > INT32_MAX)
            return bad_input(r, o->input, "has a side out of range");
    }
    TRY(read_type(r, o->input, type->tensor_type));
    TRY(read_layout(r, o->input));
cleanup:
    return status;
}

/* ---- the output ---- */

static const Onnx__NodeProto *maker_of(const Onnx__GraphProto *graph, const char *tensor)
{
    for (size_t i = 0; i < graph->n_node; i++)
        for (size_t k = 0; k < graph->node[i]->n_output; k++)
            if (tensor[0] && strcmp(text(graph->node[i]->output[k]), tensor) == 0)
                return graph->node[i];
    return NULL;
}

static bool is_one_of(const char *op, const char *const *list)
{
    for (; *list; list++)
        if (strcmp(op, *list) == 0)
            return true;
    return false;
}

/* exp(x) / sum(exp(x)), as some exporters write a softmax. */
static bool is_written_out_softmax(const Onnx__GraphProto *graph, const Onnx__NodeProto *node)
{
    if (strcmp(text(node->op_type), "Div") != 0 || node->n_input != 2)
        return false;
    const Onnx__NodeProto *above = maker_of(graph, node->input[0]), *below = maker_of(graph, node->input[1]);
    return above && below && strcmp(text(above->op_type), "Exp") == 0 && strcmp(text(below->op_type), "ReduceSum") == 0;
}

static enum status read_output(struct reader *r)
{
    static const char *const passes[] = {"Identity", "Reshape",   "Squeeze", "Unsqueeze",      "Flatten",
                                         "Cast",     "Transpose", "Dropout", "QuantizeLinear", "DequantizeLinear",
                                         NULL};
    static const char *const probable[] = {"Softmax", "Sigmoid", NULL};
    struct onnx_outline *o = r->outline;
    enum status status = STATUS_OK;
    const char *chosen = NULL;
    o->outputs = arena_alloc(&o->arena, r->graph->n_output + 1, sizeof *o->outputs);
    if (!o->outputs)
        return error_no_memory(r->err, r->graph->n_output * sizeof *o->outputs, "the outputs of a model");
    for (size_t i = 0; i < r->graph->n_output; i++) {
        TRY(keep(r, r->graph->output[i]->name, &o->outputs[o->output_count++]));
        if (!chosen || strcmp(o->outputs[i], "logits") == 0)
            chosen = o->outputs[i];
    }
    if (!chosen || !chosen[0])
        return error_set(r->err, STATUS_BAD_DATA, r->path, "has no output");
    o->output = chosen;
    const Onnx__NodeProto *node = maker_of(r->graph, chosen);
    for (int i = 0; node && i < MAX_STEPS && is_one_of(text(node->op_type), passes) && node->n_input > 0; i++)
        node = maker_of(r->graph, node->input[0]);
    o->probabilities = node && (is_one_of(text(node->op_type), probable) || is_written_out_softmax(r->graph, node));
    TRY(keep(r, node ? node->op_type : "", &o->output_op));
cleanup:
    return status;
}

/* ---- tensors ---- */

static enum status list_tensors(struct reader *r)
{
    enum status status = STATUS_OK;
    struct onnx_outline *o = r->outline;
    size_t capacity = 0;
    for (size_t i = 0; i < r->graph->n_node; i++)
        capacity += r->graph->node[i]->n_output;
    if (capacity > MAX_TENSORS)
        return error_set(r->err, STATUS_BAD_DATA, r->path, "has %zu tensors", capacity);
    o->tensors = arena_alloc(&o->arena, capacity + 1, sizeof *o->tensors);
    if (!o->tensors)
        return error_no_memory(r->err, capacity * sizeof *o->tensors, "the tensors of a model");
    for (size_t i = 0; i < r->graph->n_node; i++) {
        const Onnx__NodeProto *node = r->graph->node[i];
        for (size_t k = 0; k < node->n_output && strcmp(text(node->op_type), "Constant") != 0; k++) {
            struct onnx_outline_tensor *tensor = &o->tensors[o->tensor_count];
            if (!text(node->output[k])[0])
                continue;
            TRY(keep(r, node->output[k], &tensor->name));
            TRY(keep(r, node->op_type, &tensor->op));
            o->tensor_count++;
        }
    }
    for (size_t i = 0; i < r->graph->n_initializer; i++) {
        const Onnx__TensorProto *weight = r->graph->initializer[i];
        double count = weight->data_type == ONNX__TENSOR_PROTO__DATA_TYPE__INT64 ? 0 : 1;
        for (size_t k = 0; k < weight->n_dims; k++)
            count *= (double)weight->dims[k];
        o->parameters += count > 0 ? count : 0;
    }
cleanup:
    return status;
}

static int count_ops(const struct onnx_outline *o, const char *const *ops)
{
    int count = 0;
    for (int i = 0; i < o->tensor_count; i++)
        count += is_one_of(o->tensors[i].op, ops);
    return count;
}

/* In words that users know, from what its operators and its exporter's name say. */
static enum status name_kind(struct reader *r)
{
    static const char *const quantised[] = {"QuantizeLinear", "DynamicQuantizeLinear", "QLinearConv", "ConvInteger",
                                            "MatMulInteger",  "QLinearMatMul",         NULL};
    static const char *const softmax[] = {"Softmax", NULL}, *const norm[] = {"LayerNormalization", NULL},
                             *const product[] = {"MatMul", "Gemm", "Einsum", NULL},
                             *const attention[] = {"Attention", "MultiHeadAttention", NULL};
    static const char *const control[] = {"If", "Loop", "Scan", NULL};
    struct onnx_outline *o = r->outline;
    const char *producer = text(r->model->producer_name);
    const int softmaxes = count_ops(o, softmax), norms = count_ops(o, norm);
    char kind[200] = "";
    if (count_ops(o, quantised))
        snprintf(kind, sizeof kind, "a quantised model (%d quantisation operators)", count_ops(o, quantised));
    else if (count_ops(o, attention) || (softmaxes > 0 && count_ops(o, product) >= 4 * softmaxes))
        snprintf(kind, sizeof kind, "a transformer (%d attention layers)", softmaxes + count_ops(o, attention));
    else if (norms > 0)
        snprintf(kind, sizeof kind, "a network with %d layer normalisations, like ConvNeXt", norms);
    else if (count_ops(o, control))
        snprintf(kind, sizeof kind, "a model with branches or loops");
    else if (strstr(producer, "tf2onnx") || strstr(producer, "keras"))
        snprintf(kind, sizeof kind, "a model of Keras or TensorFlow, converted by %.60s", producer);
    return keep(r, kind, &o->kind);
}

enum status onnx_outline_read(struct onnx_outline *outline, const uint8_t *bytes, size_t size, const char *path,
                              struct error *err)
{
    enum status status = STATUS_OK;
    struct onnx_message message = {0};
    *outline = (struct onnx_outline){0};
    TRY(onnx_unpack(&message, &onnx__model_proto__descriptor, bytes, size, path, err));
    const Onnx__ModelProto *model = (const Onnx__ModelProto *)message.message;
    struct reader reader = {outline, model, model->graph, path, err};
    if (!model->graph || model->graph->n_node == 0)
        FAIL(error_set(err, STATUS_BAD_DATA, path, "is not an ONNX model: it has no graph with nodes"));
    TRY(read_input(&reader));
    TRY(read_output(&reader));
    TRY(list_tensors(&reader));
    TRY(name_kind(&reader));
cleanup:
    onnx_unpack_release(&message);
    if (status != STATUS_OK)
        onnx_outline_release(outline);
    return status;
}

void onnx_outline_release(struct onnx_outline *outline)
{
    arena_release(&outline->arena);
    *outline = (struct onnx_outline){0};
}
