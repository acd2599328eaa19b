/* Layers with weights, and what all operators share. oneDNN's dilation is PyTorch's minus 1. */
#include "shared/inference/onednn/onednn_layers.h"

static enum status vector_md(const struct onednn_layers *layers, int count, const_dnnl_memory_desc_t *md,
                             struct error *err)
{
    return onednn_add_md(layers->plan, 1, (dnnl_dims_t){count}, dnnl_a, md, err);
}

const_dnnl_memory_desc_t onednn_md(const struct onednn_layers *layers, int tensor)
{
    return layers->plan->tensors[tensor].md;
}

int onednn_input(const struct onednn_layers *layers, const struct node *node, int index)
{
    return layers->values[node->inputs[index]];
}

int onednn_eltwise(enum activation activation, float alpha, float beta, struct eltwise out[ONEDNN_MAX_ELTWISE])
{
    switch (activation) {
    case ACTIVATION_RELU:
        out[0] = (struct eltwise){dnnl_eltwise_relu, 0, 0};
        return 1;
    case ACTIVATION_LEAKY_RELU:
        out[0] = (struct eltwise){dnnl_eltwise_relu, alpha, 0};
        return 1;
    case ACTIVATION_CLIP:
        out[0] = (struct eltwise){dnnl_eltwise_clip, alpha, beta};
        return 1;
    case ACTIVATION_HARD_SIGMOID:
        out[0] = (struct eltwise){dnnl_eltwise_linear, alpha, beta};
        out[1] = (struct eltwise){dnnl_eltwise_clip, 0, 1};
        return 2;
    case ACTIVATION_HARD_SWISH: /* x * clip(x / 6 + 1 / 2, 0, 1); oneDNN 2.6 has these numbers, and ignores ours */
        out[0] = (struct eltwise){dnnl_eltwise_hardswish, 1.0f / 6, 0.5f};
        return 1;
    case ACTIVATION_SIGMOID:
        out[0] = (struct eltwise){dnnl_eltwise_logistic, 0, 0};
        return 1;
    case ACTIVATION_ELU:
        out[0] = (struct eltwise){dnnl_eltwise_elu, alpha, 0};
        return 1;
    case ACTIVATION_SELU:
        out[0] = (struct eltwise){dnnl_eltwise_elu, alpha, 0};
        out[1] = (struct eltwise){dnnl_eltwise_linear, beta, 0};
        return 2;
    case ACTIVATION_CELU: /* alpha * elu(x / alpha) */
        out[0] = (struct eltwise){dnnl_eltwise_linear, 1 / alpha, 0};
        out[1] = (struct eltwise){dnnl_eltwise_elu, 1, 0};
        out[2] = (struct eltwise){dnnl_eltwise_linear, alpha, 0};
        return alpha > 0 ? 3 : 0;
    case ACTIVATION_GELU:
        out[0] = (struct eltwise){dnnl_eltwise_gelu_erf, 0, 0};
        return 1;
    case ACTIVATION_GELU_TANH:
        out[0] = (struct eltwise){dnnl_eltwise_gelu_tanh, 0, 0};
        return 1;
    case ACTIVATION_MISH:
        out[0] = (struct eltwise){dnnl_eltwise_mish, 0, 0};
        return 1;
    case ACTIVATION_TANH:
        out[0] = (struct eltwise){dnnl_eltwise_tanh, 0, 0};
        return 1;
    case ACTIVATION_SOFTPLUS: /* log(1 + exp(alpha * x)) / alpha; oneDNN 2.6 has no alpha, and ignores it */
        out[0] = (struct eltwise){dnnl_eltwise_soft_relu, 1, 0};
        return 1;
    case ACTIVATION_ABS:
        out[0] = (struct eltwise){dnnl_eltwise_abs, 0, 0};
        return 1;
    case ACTIVATION_SILU: /* a pass of our own takes less time than oneDNN's behind a convolution */
    case ACTIVATION_SOFTSIGN:
    case ACTIVATION_NONE:
    case ACTIVATION_COUNT:
        break;
    }
    return 0;
}

bool onednn_fuses(const struct node *host, const struct node *follower)
{
    if (follower->op == OP_ADD)
        return host->op == OP_CONV;
    struct eltwise parts[ONEDNN_MAX_ELTWISE];
    const int count = onednn_eltwise(follower->activation, follower->alpha, follower->beta, parts);
    /* Three after an inner product give wrong values in oneDNN 2.6. */
    return ((host->op == OP_CONV || host->op == OP_LINEAR) && count > 0 && count < 3) ||
           (host->op == OP_BATCH_NORM && follower->activation == ACTIVATION_RELU);
}

/* The attributes of a layer with what is fused into it. The caller destroys *attributes, also after an error. */
static enum status fuse(const char *name, const struct onednn_fused *fused, dnnl_primitive_attr_t *attributes,
                        struct error *err)
{
    enum status status = STATUS_OK;
    dnnl_post_ops_t operations = NULL;
    struct eltwise parts[ONEDNN_MAX_ELTWISE];
    const int count = onednn_eltwise(fused->activation, fused->alpha, fused->beta, parts);
    TRY(onednn_new_attributes(attributes, name, err));
    ONEDNN(dnnl_post_ops_create(&operations));
    if (fused->addend != NOT_A_TENSOR)
        ONEDNN(onednn_post_sum(operations));
    for (int i = 0; i < count; i++)
        ONEDNN(onednn_post_eltwise(operations, parts[i].kind, parts[i].alpha, parts[i].beta));
    ONEDNN(dnnl_primitive_attr_set_post_ops(*attributes, operations));
cleanup:
    if (operations)
        dnnl_post_ops_destroy(operations);
    return status;
}

/* The tensor that a layer writes: a new one, or the addend's memory. */
static enum status destination(const struct onednn_layers *layers, const char *name, const_dnnl_memory_desc_t md,
                               const struct onednn_fused *fused, int *tensor, struct error *err)
{
    enum status status = STATUS_OK;
    int addend = fused ? fused->addend : NOT_A_TENSOR, arranged;
    if (addend == NOT_A_TENSOR)
        return onednn_add_tensor(layers->plan, md, ONEDNN_ARENA, tensor, err);
    TRY(onednn_add_layout(layers->plan, name, addend, md, &arranged, err));
    if (arranged != addend || !fused->keep_addend)
        return onednn_add_view(layers->plan, arranged, md, tensor, err);
    TRY(onednn_add_tensor(layers->plan, md, ONEDNN_ARENA, tensor, err));
    TRY(onednn_add_reorder(layers->plan, name, addend, *tensor, err));
cleanup:
    return status;
}

enum status onednn_add_operation(const struct onednn_layers *layers, const char *name, dnnl_primitive_desc_t descriptor,
                                 int source, int weights, int bias, const struct onednn_fused *fused, int *value,
                                 struct error *err)
{
    enum status status = STATUS_OK;
    struct onednn_argument arguments[4] = {{DNNL_ARG_SRC, source}, {DNNL_ARG_DST, NOT_A_TENSOR}};
    int count = 2;
    TRY(onednn_add_layout(layers->plan, name, source, dnnl_primitive_desc_query_md(descriptor, dnnl_query_src_md, 0),
                          &arguments[0].tensor, err));
    TRY(destination(layers, name, dnnl_primitive_desc_query_md(descriptor, dnnl_query_dst_md, 0), fused,
                    &arguments[1].tensor, err));
    *value = arguments[1].tensor;
    if (weights != NOT_A_TENSOR)
        arguments[count++] = (struct onednn_argument){DNNL_ARG_WEIGHTS, weights};
    if (bias != NOT_A_TENSOR)
        arguments[count++] = (struct onednn_argument){DNNL_ARG_BIAS, bias};
    return onednn_add_step(layers->plan, name, descriptor, arguments, count, err);
cleanup:
    dnnl_primitive_desc_destroy(descriptor);
    return status;
}

static enum status pack_vector(const struct onednn_layers *layers, const struct node *node, int weight, int *tensor,
                               struct error *err)
{
    enum status status = STATUS_OK;
    const_dnnl_memory_desc_t md;
    TRY(vector_md(layers, node->shape.c, &md, err));
    TRY(onednn_add_constant(layers->plan, node->name, layers->graph->weights[weight].data, md, md, tensor, err));
cleanup:
    return status;
}

/* The step of a convolution or linear layer. `given` is PyTorch's layout of its weights. Takes descriptor. */
static enum status add_layer(const struct onednn_layers *layers, const struct node *node,
                             dnnl_primitive_desc_t descriptor, const_dnnl_memory_desc_t given, int source,
                             const struct onednn_fused *fused, int *value, struct error *err)
{
    enum status status = STATUS_OK;
    int weights, bias = NOT_A_TENSOR;
    TRY(onednn_add_constant(layers->plan, node->name, layers->graph->weights[node->weight].data, given,
                            dnnl_primitive_desc_query_md(descriptor, dnnl_query_weights_md, 0), &weights, err));
    if (node->bias >= 0)
        TRY(pack_vector(layers, node, node->bias, &bias, err));
    return onednn_add_operation(layers, node->name, descriptor, source, weights, bias, fused, value, err);
cleanup:
    dnnl_primitive_desc_destroy(descriptor);
    return status;
}

static enum status convolution(const struct onednn_layers *layers, const struct node *node,
                               const struct onednn_fused *fused, int *value, struct error *err)
{
    enum status status = STATUS_OK;
    const char *name = node->name;
    struct onednn_plan *plan = layers->plan;
    const struct shape in = layers->graph->nodes[node->inputs[0]].shape;
    dnnl_primitive_attr_t attributes = NULL;
    dnnl_primitive_desc_t descriptor;
    const_dnnl_memory_desc_t source, weights, given, bias = NULL, target;
    const int groups = node->groups, rank = groups > 1 ? 5 : 4;
    const dnnl_dims_t dense = {node->shape.c, in.c, node->kernel_h, node->kernel_w},
                      grouped = {groups, node->shape.c / groups, in.c / groups, node->kernel_h, node->kernel_w};
    const dnnl_dim_t *dims = groups > 1 ? grouped : dense;
    const struct onednn_window window = {.stride = {node->stride_h, node->stride_w},
                                         .dilation = {node->dilation_h - 1, node->dilation_w - 1},
                                         .before = {node->pad_top, node->pad_left},
                                         .after = {node->pad_bottom, node->pad_right}};
    TRY(onednn_add_map_md(plan, in, dnnl_format_tag_any, &source, err));
    TRY(onednn_add_md(plan, rank, dims, dnnl_format_tag_any, &weights, err));
    TRY(onednn_add_md(plan, rank, dims, groups > 1 ? dnnl_goihw : dnnl_oihw, &given, err));
    if (node->bias >= 0)
        TRY(vector_md(layers, node->shape.c, &bias, err));
    TRY(onednn_add_map_md(plan, node->shape, dnnl_format_tag_any, &target, err));
    TRY(fuse(name, fused, &attributes, err));
    ONEDNN(onednn_new_convolution(&descriptor, plan->engine, source, weights, bias, target, &window, attributes));
    TRY(add_layer(layers, node, descriptor, given, onednn_input(layers, node, 0), fused, value, err));
cleanup:
    if (attributes)
        dnnl_primitive_attr_destroy(attributes);
    return status;
}

static enum status linear(const struct onednn_layers *layers, const struct node *node, const struct onednn_fused *fused,
                          int *value, struct error *err)
{
    enum status status = STATUS_OK;
    const char *name = node->name;
    struct onednn_plan *plan = layers->plan;
    const struct shape in = layers->graph->nodes[node->inputs[0]].shape;
    dnnl_primitive_attr_t attributes = NULL;
    dnnl_primitive_desc_t descriptor;
    const_dnnl_memory_desc_t source, weights, given, bias = NULL, target, source_map, target_map;
    const dnnl_dims_t dims = {node->shape.c, in.c};
    int flat;
    TRY(onednn_add_md(plan, 2, (dnnl_dims_t){1, in.c}, dnnl_nc, &source, err));
    TRY(onednn_add_md(plan, 2, dims, dnnl_format_tag_any, &weights, err));
    TRY(onednn_add_md(plan, 2, dims, dnnl_oi, &given, err));
    if (node->bias >= 0)
        TRY(vector_md(layers, node->shape.c, &bias, err));
    TRY(onednn_add_md(plan, 2, (dnnl_dims_t){1, node->shape.c}, dnnl_nc, &target, err));
    TRY(onednn_add_map_md(plan, in, dnnl_nchw, &source_map, err));
    TRY(onednn_add_map_md(plan, node->shape, dnnl_nchw, &target_map, err));
    TRY(onednn_add_layout(plan, name, onednn_input(layers, node, 0), source_map, &flat, err));
    TRY(onednn_add_view(plan, flat, source, &flat, err));
    TRY(fuse(name, fused, &attributes, err));
    ONEDNN(onednn_new_inner_product(&descriptor, plan->engine, source, weights, bias, target, attributes));
    TRY(add_layer(layers, node, descriptor, given, flat, fused, &flat, err));
    TRY(onednn_add_view(plan, flat, target_map, value, err));
cleanup:
    if (attributes)
        dnnl_primitive_attr_destroy(attributes);
    return status;
}

static enum status batch_norm(const struct onednn_layers *layers, const struct node *node,
                              const struct onednn_fused *fused, int *value, struct error *err)
{
    enum status status = STATUS_OK;
    const char *name = node->name;
    int source = onednn_input(layers, node, 0);
    dnnl_primitive_desc_t descriptor;
    unsigned flags = dnnl_use_global_stats | dnnl_use_scale | dnnl_use_shift;
    if (fused->activation == ACTIVATION_RELU)
        flags |= dnnl_fuse_norm_relu;
    struct onednn_argument arguments[6] = {{DNNL_ARG_SRC, source},         {DNNL_ARG_DST, NOT_A_TENSOR},
                                           {DNNL_ARG_SCALE, NOT_A_TENSOR}, {DNNL_ARG_SHIFT, NOT_A_TENSOR},
                                           {DNNL_ARG_MEAN, NOT_A_TENSOR},  {DNNL_ARG_VARIANCE, NOT_A_TENSOR}};
    TRY(onednn_add_tensor(layers->plan, onednn_md(layers, source), ONEDNN_ARENA, &arguments[1].tensor, err));
    TRY(pack_vector(layers, node, node->weight, &arguments[2].tensor, err));
    TRY(pack_vector(layers, node, node->bias, &arguments[3].tensor, err));
    TRY(pack_vector(layers, node, node->running_mean, &arguments[4].tensor, err));
    TRY(pack_vector(layers, node, node->running_var, &arguments[5].tensor, err));
    ONEDNN(onednn_new_batch_norm(&descriptor, layers->plan->engine, onednn_md(layers, source), node->epsilon, flags,
                                 layers->plan->attributes));
    TRY(onednn_add_step(layers->plan, name, descriptor, arguments, 6, err));
    *value = arguments[1].tensor;
cleanup:
    return status;
}

enum status onednn_add_node(const struct onednn_layers *layers, const struct node *node,
                            const struct onednn_fused *fused, int *value, struct error *err)
{
    switch (node->op) {
    case OP_CONV:
        return convolution(layers, node, fused, value, err);
    case OP_LINEAR:
        return linear(layers, node, fused, value, err);
    case OP_BATCH_NORM:
        return batch_norm(layers, node, fused, value, err);
    case OP_PAD:
    case OP_SCALE:
    case OP_PRELU:
    case OP_SELECT:
    case OP_GROUP_NORM:
    case OP_LAYER_NORM:
    case OP_LP_NORM:
    case OP_RESIZE:
        return onednn_add_lanes(layers, node, value, err);
    default:
        return onednn_add_op(layers, node, fused, value, err);
    }
}
