/* Layers with weights, and what all operators share. oneDNN's dilation is PyTorch's minus 1. */
#include "shared/inference/onednn/onednn_layers.h"

#include <string.h>

/* Descriptors of 1 to 5 dimensions and fixed tags cannot fail: the graph has checked the extents. */
static dnnl_memory_desc_t md_by_tag(int rank, const dnnl_dims_t dims, dnnl_format_tag_t tag)
{
    dnnl_memory_desc_t md;
    memset(&md, 0, sizeof md);
    dnnl_memory_desc_init_by_tag(&md, rank, dims, dnnl_f32, tag);
    return md;
}

dnnl_memory_desc_t onednn_any_md(struct shape shape)
{
    return onednn_plain_md(shape, dnnl_format_tag_any);
}

dnnl_memory_desc_t onednn_plain_md(struct shape shape, dnnl_format_tag_t tag)
{
    return md_by_tag(4, (dnnl_dims_t){1, shape.c, shape.h, shape.w}, tag);
}

static dnnl_memory_desc_t vector_md(int count)
{
    return md_by_tag(1, (dnnl_dims_t){count}, dnnl_a);
}

const dnnl_memory_desc_t *onednn_md(const struct onednn_layers *layers, int tensor)
{
    return &layers->plan->tensors[tensor].md;
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
    case ACTIVATION_HARD_SWISH:
        out[0] = (struct eltwise){dnnl_eltwise_hardswish, 0, 0};
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
    case ACTIVATION_SOFTPLUS:
        out[0] = (struct eltwise){dnnl_eltwise_soft_relu, 0, 0};
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

enum status onednn_describe(const struct onednn_layers *layers, const char *name, const_dnnl_op_desc_t operation,
                            const struct onednn_fused *fused, dnnl_primitive_desc_t *descriptor, struct error *err)
{
    enum status status = STATUS_OK;
    dnnl_primitive_attr_t attributes = NULL;
    dnnl_post_ops_t operations = NULL;
    *descriptor = NULL;
    ONEDNN(dnnl_primitive_attr_create(&attributes));
    ONEDNN(dnnl_primitive_attr_set_scratchpad_mode(attributes, dnnl_scratchpad_mode_user));
    if (fused) {
        struct eltwise parts[ONEDNN_MAX_ELTWISE];
        int count = onednn_eltwise(fused->activation, fused->alpha, fused->beta, parts);
        ONEDNN(dnnl_post_ops_create(&operations));
        if (fused->addend != NOT_A_TENSOR)
            ONEDNN(dnnl_post_ops_append_sum(operations, 1.0f));
        for (int i = 0; i < count; i++)
            ONEDNN(dnnl_post_ops_append_eltwise(operations, 1.0f, parts[i].kind, parts[i].alpha, parts[i].beta));
        ONEDNN(dnnl_primitive_attr_set_post_ops(attributes, operations));
    }
    ONEDNN(dnnl_primitive_desc_create(descriptor, operation, attributes, layers->plan->engine, NULL));
cleanup:
    if (operations)
        dnnl_post_ops_destroy(operations);
    if (attributes)
        dnnl_primitive_attr_destroy(attributes);
    return status;
}

/* The tensor that a layer writes: a new one, or the addend's memory. */
static enum status destination(const struct onednn_layers *layers, const char *name, const dnnl_memory_desc_t *md,
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
    dnnl_memory_desc_t md = vector_md(node->shape.c);
    return onednn_add_constant(layers->plan, node->name, layers->graph->weights[weight].data, &md, &md, tensor, err);
}

/* The step of a convolution or linear layer. `given` is PyTorch's layout of its weights. Takes descriptor. */
static enum status add_layer(const struct onednn_layers *layers, const struct node *node,
                             dnnl_primitive_desc_t descriptor, const dnnl_memory_desc_t *given, int source,
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
    struct shape in = layers->graph->nodes[node->inputs[0]].shape;
    dnnl_primitive_desc_t descriptor;
    dnnl_convolution_desc_t operation;
    int groups = node->groups, rank = groups > 1 ? 5 : 4;
    const dnnl_dims_t dense = {node->shape.c, in.c, node->kernel_h, node->kernel_w},
                      grouped = {groups, node->shape.c / groups, in.c / groups, node->kernel_h, node->kernel_w},
                      stride = {node->stride_h, node->stride_w},
                      dilation = {node->dilation_h - 1, node->dilation_w - 1}, before = {node->pad_top, node->pad_left},
                      after = {node->pad_bottom, node->pad_right};
    const dnnl_dim_t *dims = groups > 1 ? grouped : dense;
    dnnl_memory_desc_t source = onednn_any_md(in), target = onednn_any_md(node->shape), bias = vector_md(node->shape.c),
                       weights = md_by_tag(rank, dims, dnnl_format_tag_any),
                       given = md_by_tag(rank, dims, groups > 1 ? dnnl_goihw : dnnl_oihw);
    ONEDNN(dnnl_dilated_convolution_forward_desc_init(&operation, dnnl_forward_inference, dnnl_convolution_direct,
                                                      &source, &weights, node->bias >= 0 ? &bias : NULL, &target,
                                                      stride, dilation, before, after));
    TRY(onednn_describe(layers, name, &operation, fused, &descriptor, err));
    TRY(add_layer(layers, node, descriptor, &given, onednn_input(layers, node, 0), fused, value, err));
cleanup:
    return status;
}

static enum status linear(const struct onednn_layers *layers, const struct node *node, const struct onednn_fused *fused,
                          int *value, struct error *err)
{
    enum status status = STATUS_OK;
    const char *name = node->name;
    struct shape in = layers->graph->nodes[node->inputs[0]].shape;
    dnnl_primitive_desc_t descriptor;
    dnnl_inner_product_desc_t operation;
    const dnnl_dims_t dims = {node->shape.c, in.c};
    dnnl_memory_desc_t source = md_by_tag(2, (dnnl_dims_t){1, in.c}, dnnl_nc),
                       target = md_by_tag(2, (dnnl_dims_t){1, node->shape.c}, dnnl_nc), bias = vector_md(node->shape.c),
                       weights = md_by_tag(2, dims, dnnl_format_tag_any), given = md_by_tag(2, dims, dnnl_oi),
                       source_map = onednn_plain_md(in, dnnl_nchw),
                       target_map = onednn_plain_md(node->shape, dnnl_nchw);
    int flat;
    ONEDNN(dnnl_inner_product_forward_desc_init(&operation, dnnl_forward_inference, &source, &weights,
                                                node->bias >= 0 ? &bias : NULL, &target));
    TRY(onednn_add_layout(layers->plan, name, onednn_input(layers, node, 0), &source_map, &flat, err));
    TRY(onednn_add_view(layers->plan, flat, &source, &flat, err));
    TRY(onednn_describe(layers, name, &operation, fused, &descriptor, err));
    TRY(add_layer(layers, node, descriptor, &given, flat, fused, &flat, err));
    TRY(onednn_add_view(layers->plan, flat, &target_map, value, err));
cleanup:
    return status;
}

static enum status batch_norm(const struct onednn_layers *layers, const struct node *node,
                              const struct onednn_fused *fused, int *value, struct error *err)
{
    enum status status = STATUS_OK;
    const char *name = node->name;
    int source = onednn_input(layers, node, 0);
    dnnl_primitive_desc_t descriptor;
    dnnl_batch_normalization_desc_t operation;
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
    ONEDNN(dnnl_batch_normalization_forward_desc_init(&operation, dnnl_forward_inference, onednn_md(layers, source),
                                                      node->epsilon, flags));
    TRY(onednn_describe(layers, name, &operation, NULL, &descriptor, err));
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
