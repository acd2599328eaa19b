/* Batch norms that PyTorch's exporters have fused into the layer before them.
 *
 * The dynamo exporter leaves traces: the fused Conv or Gemm keeps the weight's name, and its metadata is that of the
 * batch norm:
 *     pkg.onnxscript.rewriter.rule_name   "RemoveOptionalBiasFromConv, FuseBatchNormIntoConv"
 *     pkg.torch.onnx.name_scopes          "['', 'stem', 'stem.1', '_native_batch_norm_legit_no_training']"
 *     pkg.torch.onnx.class_hierarchy      "[..., 'torch.nn.modules.batchnorm.BatchNorm2d', 'aten....default']"
 *     pkg.torch.onnx.fx_node              "...(args = (%conv2d, %p_stem_1_weight, ..., 0.1, 1e-05), kwargs = {})"
 * With them the norm becomes a node again, with its momentum and epsilon, with weight 1, the fused bias, mean 0 and a
 * variance that with epsilon gives 1: it computes what the file computes, and can be trained. The bias of the layer
 * itself has gone into that of the norm; where the fused bias still has its name, the layer has had one, which is 0
 * now. */
#define _GNU_SOURCE
#include "formats/onnx/onnx_names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fused_norm {
    char module[NODE_MAX_NAME];     /* the batch norm's path */
    char layer_bias[NODE_MAX_NAME]; /* the name of the layer's own bias, or empty */
    float momentum, epsilon;
};

static bool contains(const struct onnx_text *text, const char *word)
{
    return memmem(text->text, text->size, word, strlen(word)) != NULL;
}

/* Whether the exporter has folded a batch norm into the current operator. */
static bool has_folded_norm(const struct onnx_reader *reader)
{
    struct onnx_text scopes, rules;
    const struct onnx_value *weight = onnx_input(reader, 1), *bias = onnx_input(reader, 2);
    if (onnx_metadata(reader->op, "pkg.onnxscript.rewriter.rule_name", &rules) && contains(&rules, "FuseBatchNorm"))
        return true;
    if (onnx_metadata(reader->op, "pkg.torch.onnx.name_scopes", &scopes))
        return contains(&scopes, "batch_norm");
    if (strncmp(onnx_output_name(reader), "getitem", strlen("getitem")) == 0) /* the first result of a batch norm */
        return true;
    return strcmp(reader->op->op_type, "Conv") == 0 && weight && bias && onnx_is_made_up(reader, weight) &&
           onnx_is_made_up(reader, bias);
}

/* "a.b.weight" without its end, or 0 characters. */
static int module_length(const char *weight)
{
    static const char end[] = ".weight";
    const size_t length = strlen(weight), tail = strlen(end);
    return length > tail && strcmp(weight + length - tail, end) == 0 ? (int)(length - tail) : 0;
}

/* An initialiser that only the current operator reads. */
static bool is_own(const struct onnx_value *value)
{
    return value && value->kind == ONNX_CONSTANT && value->tensor && !value->source && value->maker < 0 &&
           value->readers == 1;
}

/* The last two arguments of the batch norm's call, momentum and epsilon; the others are values, not None. */
static bool find_numbers(const Onnx__NodeProto *op, struct fused_norm *norm)
{
    static const char begin[] = "(args = (", end[] = "), kwargs";
    struct onnx_text call;
    char text[512];
    double numbers[2]; /* epsilon, momentum */
    if (!onnx_metadata(op, "pkg.torch.onnx.fx_node", &call) || call.size >= sizeof text)
        return false;
    memcpy(text, call.text, call.size);
    text[call.size] = 0;
    char *first = strstr(text, begin), *last = first ? strstr(first, end) : NULL;
    if (!last || !strstr(text, "batch_norm"))
        return false;
    *last = 0;
    for (int i = 0; i < 2; i++) {
        char *comma = strrchr(first, ','), *stop;
        if (!comma)
            return false;
        numbers[i] = strtod(comma + 1, &stop);
        if (stop == comma + 1 || *stop)
            return false;
        *comma = 0;
    }
    norm->epsilon = (float)numbers[0];
    norm->momentum = (float)numbers[1];
    return !strstr(first, "None") && norm->epsilon > 0 && norm->epsilon < 1 && norm->momentum >= 0 &&
           norm->momentum <= 1;
}

/* Whether the metadata names the module of the batch norm that is in the operator, as torch.nn's. */
static bool find_module(const Onnx__NodeProto *op, struct fused_norm *norm)
{
    struct onnx_text rules, classes, scopes, kind, function;
    return onnx_metadata(op, "pkg.onnxscript.rewriter.rule_name", &rules) && contains(&rules, "FuseBatchNormInto") &&
           onnx_metadata(op, "pkg.torch.onnx.name_scopes", &scopes) && onnx_metadata_part(&scopes, 0, &function) &&
           contains(&function, "batch_norm") && onnx_scope(op, norm->module, sizeof norm->module) &&
           onnx_metadata(op, "pkg.torch.onnx.class_hierarchy", &classes) && onnx_metadata_part(&classes, 1, &kind) &&
           contains(&kind, "BatchNorm");
}

/* Whether the file tells without doubt which batch norm is in the operator, and what its layer had. */
static bool find_norm(const struct onnx_reader *reader, struct fused_norm *norm)
{
    const struct onnx_value *weight = onnx_input(reader, 1), *bias = onnx_input(reader, 2);
    char none[2 * NODE_MAX_NAME]; /* the exporter's name of the fused bias if the layer has none */
    if (!find_module(reader->op, norm) || !find_numbers(reader->op, norm) || !is_own(weight) || (bias && !is_own(bias)))
        return false;
    const int length = module_length(weight->name);
    if (!length || length + (int)sizeof ".bias" > NODE_MAX_NAME ||
        ((size_t)length == strlen(norm->module) && memcmp(weight->name, norm->module, (size_t)length) == 0))
        return false;
    norm->layer_bias[0] = 0;
    snprintf(none, sizeof none, "%s_bias", weight->name);
    if (!bias || strcmp(bias->name, none) == 0)
        return true;
    snprintf(norm->layer_bias, sizeof norm->layer_bias, "%.*s.bias", length, weight->name);
    return strcmp(bias->name, norm->layer_bias) == 0;
}

static enum status norm_weight(struct onnx_reader *reader, const char *module, const char *role, int c, bool trained,
                               float number, int *index)
{
    char name[2 * NODE_MAX_NAME];
    snprintf(name, sizeof name, "%s.%s", module, role);
    enum status status = onnx_new_weight(reader, name, &c, 1, trained, index);
    for (int i = 0; status == STATUS_OK && i < c; i++)
        reader->graph->weights[*index].data[i] = number;
    return status;
}

static enum status rename_bias(struct onnx_reader *reader, const char *module, int bias)
{
    struct weight *weight = &reader->graph->weights[bias];
    weight->name = arena_printf(&reader->graph->arena, "%s.bias", module);
    weight->trained = true;
    weight->literal = false;
    return weight->name ? STATUS_OK : error_no_memory(reader->err, NODE_MAX_NAME, "a name");
}

/* The layer's node, and the batch norm that has its bias. */
static enum status emit_norm(struct onnx_reader *reader, const struct node *layer, int input,
                             const struct fused_norm *fused, const struct onnx_layout *layout)
{
    enum status status = STATUS_OK;
    struct graph *graph = reader->graph;
    struct node first = *layer, norm = node_default(OP_BATCH_NORM);
    const int c = graph->weights[layer->weight].dims[0];
    int before;
    norm.epsilon = fused->epsilon;
    norm.momentum = fused->momentum;
    TRY(norm_weight(reader, fused->module, "weight", c, true, 1, &norm.weight));
    if (layer->bias >= 0 && !fused->layer_bias[0])
        TRY(rename_bias(reader, fused->module, layer->bias));
    else
        TRY(norm_weight(reader, fused->module, "bias", c, true, 0, &norm.bias));
    TRY(norm_weight(reader, fused->module, "running_mean", c, false, 0, &norm.running_mean));
    TRY(norm_weight(reader, fused->module, "running_var", c, false, 1 - norm.epsilon, &norm.running_var));
    if (fused->layer_bias[0]) {
        struct weight *bias = &graph->weights[layer->bias];
        memcpy(graph->weights[norm.bias].data, bias->data, (size_t)c * sizeof *bias->data);
        memset(bias->data, 0, (size_t)c * sizeof *bias->data);
    } else if (layer->bias >= 0) {
        norm.bias = layer->bias;
        first.bias = -1;
    }
    TRY(onnx_emit_helper(reader, &first, "layer", &input, 1, &before));
    TRY(onnx_emit(reader, &norm, &before, 1, layout));
    graph->restored_norms++;
cleanup:
    return status;
}

enum status onnx_emit_layer(struct onnx_reader *reader, const struct node *node, int input,
                            const struct onnx_layout *layout)
{
    struct fused_norm fused;
    const bool folded = has_folded_norm(reader);
    if (folded && reader->options.student && find_norm(reader, &fused))
        return emit_norm(reader, node, input, &fused, layout);
    reader->graph->folded_norms += folded;
    return onnx_emit(reader, node, &input, 1, layout);
}
