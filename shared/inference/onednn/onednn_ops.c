/* Operators without weights that oneDNN computes. */
#include "shared/inference/onednn/onednn_layers.h"

static enum status activation(const struct onednn_layers *layers, const struct node *node, bool overwrite, int *value,
                              struct error *err)
{
    enum status status = STATUS_OK;
    const char *name = node->name;
    dnnl_primitive_desc_t descriptor;
    struct eltwise parts[ONEDNN_MAX_ELTWISE];
    int count = onednn_eltwise(node->activation, node->alpha, node->beta, parts);
    if (!count)
        return onednn_add_activation(layers, node, overwrite, value, err);
    *value = onednn_input(layers, node, 0);
    for (int i = 0; i < count; i++) {
        ONEDNN(onednn_new_eltwise(&descriptor, layers->plan->engine, parts[i].kind, onednn_md(layers, *value),
                                  parts[i].alpha, parts[i].beta, layers->plan->attributes));
        TRY(onednn_add_operation(layers, name, descriptor, *value, NOT_A_TENSOR, NOT_A_TENSOR, NULL, value, err));
    }
cleanup:
    return status;
}

/* The padding after the input, along one axis, with which `extent` windows fit exactly (ceil_mode changes it). */
static int padding_after(int extent, int size, int kernel, int stride, int dilation, int before)
{
    int after = (extent - 1) * stride + dilation * (kernel - 1) + 1 - size - before;
    return after > 0 ? after : 0;
}

/* window: the pool's node; a global pool is given as an ordinary pool over the whole map. */
static enum status pool(const struct onednn_layers *layers, struct node window, int *value, struct error *err)
{
    enum status status = STATUS_OK;
    const char *name = window.name;
    struct shape in = layers->graph->nodes[window.inputs[0]].shape;
    dnnl_primitive_desc_t descriptor;
    const_dnnl_memory_desc_t target;
    int source = onednn_input(layers, &window, 0);
    bool padded = window.pad_top || window.pad_left || window.pad_bottom || window.pad_right;
    /* The divisor counts the padding, but not what ceil_mode adds behind it, so the padding becomes part of the
     * input. */
    if (window.op == OP_AVERAGE_POOL && window.count_include_pad && padded) {
        TRY(onednn_add_pad(layers, &window, source, in, &source, err));
        in.h += window.pad_top + window.pad_bottom;
        in.w += window.pad_left + window.pad_right;
        window.pad_top = window.pad_left = 0;
    }
    const struct onednn_window axes = {
        .kernel = {window.kernel_h, window.kernel_w},
        .stride = {window.stride_h, window.stride_w},
        .dilation = {window.dilation_h - 1, window.dilation_w - 1},
        .before = {window.pad_top, window.pad_left},
        .after = {
            padding_after(window.shape.h, in.h, window.kernel_h, window.stride_h, window.dilation_h, window.pad_top),
            padding_after(window.shape.w, in.w, window.kernel_w, window.stride_w, window.dilation_w, window.pad_left)}};
    const dnnl_alg_kind_t kind = window.op == OP_MAX_POOL ? dnnl_pooling_max : dnnl_pooling_avg_exclude_padding;
    TRY(onednn_add_map_md(layers->plan, window.shape, dnnl_format_tag_any, &target, err));
    ONEDNN(onednn_new_pool(&descriptor, layers->plan->engine, kind, onednn_md(layers, source), target, &axes,
                           layers->plan->attributes));
    TRY(onednn_add_operation(layers, name, descriptor, source, NOT_A_TENSOR, NOT_A_TENSOR, NULL, value, err));
cleanup:
    return status;
}

static enum status global_pool(const struct onednn_layers *layers, const struct node *node, int *value,
                               struct error *err)
{
    struct node window = node_default(OP_AVERAGE_POOL);
    window.name = node->name;
    window.inputs = node->inputs;
    window.shape = node->shape;
    window.kernel_h = layers->graph->nodes[node->inputs[0]].shape.h;
    window.kernel_w = layers->graph->nodes[node->inputs[0]].shape.w;
    return pool(layers, window, value, err);
}

/* add and concat: any number of sources. */
static enum status combine(const struct onednn_layers *layers, const struct node *node, int *value, struct error *err)
{
    enum status status = STATUS_OK;
    const char *name = node->name;
    struct onednn_plan *plan = layers->plan;
    dnnl_primitive_desc_t descriptor;
    const_dnnl_memory_desc_t sources[NODE_MAX_INPUTS], target;
    struct onednn_argument arguments[NODE_MAX_INPUTS + 1];
    int count = node->input_count, first = onednn_input(layers, node, 0);
    for (int i = 0; i < count; i++) {
        int source = onednn_input(layers, node, i);
        if (node->op == OP_ADD) /* one layout for all, otherwise oneDNN uses its slow reference */
            TRY(onednn_add_layout(plan, name, source, onednn_md(layers, first), &source, err));
        sources[i] = onednn_md(layers, source);
        arguments[i] = (struct onednn_argument){DNNL_ARG_MULTIPLE_SRC + i, source};
    }
    TRY(onednn_add_map_md(plan, node->shape, dnnl_format_tag_any, &target, err));
    if (node->op == OP_ADD)
        ONEDNN(onednn_new_sum(&descriptor, plan->engine, count, sources, plan->attributes));
    else
        ONEDNN(onednn_new_concat(&descriptor, plan->engine, target, count, sources, plan->attributes));
    status = onednn_add_tensor(plan, dnnl_primitive_desc_query_md(descriptor, dnnl_query_dst_md, 0), ONEDNN_ARENA,
                               value, err);
    if (status != STATUS_OK) {
        dnnl_primitive_desc_destroy(descriptor);
        goto cleanup;
    }
    arguments[count] = (struct onednn_argument){DNNL_ARG_DST, *value};
    TRY(onednn_add_step(plan, name, descriptor, arguments, count + 1, err));
cleanup:
    return status;
}

static enum status multiply(const struct onednn_layers *layers, const struct node *node, int *value, struct error *err)
{
    enum status status = STATUS_OK;
    const char *name = node->name;
    struct onednn_plan *plan = layers->plan;
    dnnl_primitive_desc_t descriptor;
    int first = onednn_input(layers, node, 0), second = onednn_input(layers, node, 1);
    struct shape gate = layers->graph->nodes[node->inputs[1]].shape;
    const const_dnnl_memory_desc_t md = onednn_md(layers, first);
    if (gate.c != node->shape.c || gate.h != node->shape.h || gate.w != node->shape.w)
        return onednn_add_lanes(layers, node, value, err);
    TRY(onednn_add_layout(plan, name, second, md, &second, err));
    TRY(onednn_add_tensor(plan, md, ONEDNN_ARENA, value, err));
    ONEDNN(onednn_new_product(&descriptor, plan->engine, md, plan->attributes));
    const struct onednn_argument arguments[3] = {
        {DNNL_ARG_SRC_0, first}, {DNNL_ARG_SRC_1, second}, {DNNL_ARG_DST, *value}};
    TRY(onednn_add_step(plan, name, descriptor, arguments, 3, err));
cleanup:
    return status;
}

static enum status flatten(const struct onednn_layers *layers, const struct node *node, int *value, struct error *err)
{
    enum status status = STATUS_OK;
    const_dnnl_memory_desc_t map, vector;
    int arranged;
    TRY(onednn_add_map_md(layers->plan, layers->graph->nodes[node->inputs[0]].shape, dnnl_nchw, &map, err));
    TRY(onednn_add_map_md(layers->plan, node->shape, dnnl_nchw, &vector, err));
    TRY(onednn_add_layout(layers->plan, node->name, onednn_input(layers, node, 0), map, &arranged, err));
    TRY(onednn_add_view(layers->plan, arranged, vector, value, err));
cleanup:
    return status;
}

/* OP_SOFTMAX and OP_LOG_SOFTMAX */
static enum status softmax(const struct onednn_layers *layers, const struct node *node, int *value, struct error *err)
{
    enum status status = STATUS_OK;
    const char *name = node->name;
    dnnl_primitive_desc_t descriptor;
    int source = onednn_input(layers, node, 0);
    ONEDNN(onednn_new_softmax(&descriptor, layers->plan->engine, node->op == OP_LOG_SOFTMAX, onednn_md(layers, source),
                              layers->plan->attributes));
    TRY(onednn_add_operation(layers, name, descriptor, source, NOT_A_TENSOR, NOT_A_TENSOR, NULL, value, err));
cleanup:
    return status;
}

enum status onednn_add_op(const struct onednn_layers *layers, const struct node *node, const struct onednn_fused *fused,
                          int *value, struct error *err)
{
    switch (node->op) {
    case OP_ACTIVATION:
        return activation(layers, node, fused->overwrite, value, err);
    case OP_MAX_POOL:
    case OP_AVERAGE_POOL:
        return pool(layers, *node, value, err);
    case OP_GLOBAL_AVERAGE_POOL:
        return global_pool(layers, node, value, err);
    case OP_ADD:
    case OP_CONCAT:
        if (node->op == OP_CONCAT && onednn_concat_is_ours(layers, node))
            return onednn_add_lanes(layers, node, value, err);
        return combine(layers, node, value, err);
    case OP_MULTIPLY:
        return multiply(layers, node, value, err);
    case OP_FLATTEN:
        return flatten(layers, node, value, err);
    case OP_DROPOUT:
        *value = onednn_input(layers, node, 0);
        return STATUS_OK;
    case OP_SOFTMAX:
    case OP_LOG_SOFTMAX:
        return softmax(layers, node, value, err);
    default:
        return error_set(err, STATUS_BAD_DATA, NULL, "node '%s' (%s) is not supported by the CPU engine", node->name,
                         op_name(node->op));
    }
}
