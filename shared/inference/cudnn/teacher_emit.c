#include "shared/inference/cudnn/teacher_emit.h"

struct emission {
    const struct emitter *emitter;
    const struct node *node;
    const struct teacher_fused *fused;
    struct teacher_step step; /* name, node, x and y are set; the functions below set the rest */
};

static int input_value(const struct emission *e, int index)
{
    return e->emitter->values[e->node->inputs[index]];
}

static struct shape input_shape(const struct emission *e, int index)
{
    return e->emitter->graph->nodes[e->node->inputs[index]].shape;
}

static struct teacher_window window_of(const struct node *node)
{
    return (struct teacher_window){node->kernel_h,   node->kernel_w, node->stride_h, node->stride_w,   node->dilation_h,
                                   node->dilation_w, node->pad_top,  node->pad_left, node->pad_bottom, node->pad_right};
}

static struct shape stored(const struct teacher_plan *plan, int value)
{
    const struct planned_value *v = &plan->values[value];
    return (struct shape){v->channels, v->shape.h, v->shape.w};
}

static enum status add(const struct emission *e, struct error *err)
{
    return teacher_plan_step(e->emitter->plan, &e->step, err);
}

/* A layer as a convolution of stored shapes. Every field is set: problems, which have no padding bytes, are compared
 * as bytes. */
static void fill_conv(struct emission *e, const struct teacher_window *window, int groups)
{
    const struct teacher_plan *plan = e->emitter->plan;
    struct conv_problem *conv = &e->step.conv;
    conv->in = stored(plan, e->step.x);
    conv->out = stored(plan, e->step.y);
    conv->window = *window;
    conv->batch = plan->batch;
    conv->groups = groups;
    conv->has_bias = e->node->bias >= 0;
    conv->has_addend = e->fused->addend != NO_VALUE;
    conv->activation = e->fused->pointwise.activation;
    conv->alpha = e->fused->pointwise.alpha;
    conv->beta = e->fused->pointwise.beta;
    conv->precision = plan->precision;
}

/* Depthwise convolutions are limited by memory and have our own kernel. cuDNN gets groups only if no channels were
 * added. */
static enum status emit_conv(struct emission *e, struct error *err)
{
    const struct node *node = e->node;
    const struct teacher_window window = window_of(node);
    const struct shape in = input_shape(e, 0);
    struct conv_problem *conv = &e->step.conv;
    e->step.second = e->fused->addend;
    fill_conv(e, &window, node->groups);
    if (node->groups > 1 && node->groups == in.c && node->groups == node->shape.c)
        e->step.kind = TEACHER_DEPTHWISE;
    else if (node->groups > 1 && (conv->in.c != in.c || conv->out.c != node->shape.c))
        e->step.kind = TEACHER_DIRECT_CONV;
    else
        e->step.kind = TEACHER_CONV;
    /* cuDNN's precompiled engines fuse only what follows a bias, and a bias of zeros costs nothing. */
    if (e->step.kind == TEACHER_CONV && (conv->has_addend || conv->activation != ACTIVATION_NONE))
        conv->has_bias = 1;
    return add(e, err);
}

static enum status emit_linear(struct emission *e, struct error *err)
{
    const struct teacher_window window = {
        .kernel_h = 1, .kernel_w = 1, .stride_h = 1, .stride_w = 1, .dilation_h = 1, .dilation_w = 1};
    e->step.kind = TEACHER_LINEAR;
    fill_conv(e, &window, 1);
    if (e->fused->is_result) /* logits are small, and in float they lose nothing */
        e->emitter->plan->values[e->step.y].type = DTYPE_FP32;
    return add(e, err);
}

/* A sum of any number of inputs, two at a time. */
static enum status emit_add(struct emission *e, struct error *err)
{
    enum status status = STATUS_OK;
    e->step.kind = TEACHER_COMBINE;
    for (int i = 1; i < e->node->input_count; i++) {
        e->step.x = i == 1 ? input_value(e, 0) : e->step.y;
        e->step.second = input_value(e, i);
        e->step.pointwise = i == e->node->input_count - 1 ? e->fused->pointwise : (struct pointwise){0};
        TRY(add(e, err));
    }
cleanup:
    return status;
}

static enum status emit_concat(struct emission *e, struct error *err)
{
    enum status status = STATUS_OK;
    e->step.kind = TEACHER_COPY_CHANNELS;
    for (int i = 0; i < e->node->input_count; i++) {
        e->step.x = input_value(e, i);
        TRY(add(e, err));
        e->step.to += input_shape(e, i).c;
    }
cleanup:
    return status;
}

static enum status emit_pool(struct emission *e, struct error *err)
{
    const struct node *node = e->node;
    e->step.kind = TEACHER_POOL;
    e->step.window = window_of(node);
    e->step.pool = node->op == OP_MAX_POOL   ? POOL_MAX
                   : node->count_include_pad ? POOL_AVERAGE_WITH_PADDING
                                             : POOL_AVERAGE;
    return add(e, err);
}

static enum status emit_affine(struct emission *e, struct error *err)
{
    const struct node *node = e->node;
    const struct weight *weights = e->emitter->graph->weights;
    const bool values = node->op == OP_SCALE && ((node->weight >= 0 && weights[node->weight].rank == 3) ||
                                                 (node->bias >= 0 && weights[node->bias].rank == 3));
    e->step.kind = TEACHER_AFFINE;
    e->step.pointwise = e->fused->pointwise;
    e->step.scale_positions = values ? (size_t)node->shape.h * (size_t)node->shape.w : 1;
    return add(e, err);
}

static enum status emit_norm(struct emission *e, struct error *err)
{
    e->step.kind = e->node->op == OP_LAYER_NORM   ? TEACHER_LAYER_NORM
                   : e->node->op == OP_GROUP_NORM ? TEACHER_GROUP_NORM
                                                  : TEACHER_LP_NORM;
    e->step.groups = e->node->groups;
    e->step.p = (int)e->node->alpha;
    e->step.epsilon = e->node->epsilon;
    return add(e, err);
}

static enum status emit_simple(struct emission *e, enum teacher_step_kind kind, struct error *err)
{
    e->step.kind = kind;
    return add(e, err);
}

static enum status emit_step(struct emission *e, struct error *err)
{
    const struct node *node = e->node;
    switch (node->op) {
    case OP_CONV:
        return emit_conv(e, err);
    case OP_LINEAR:
        return emit_linear(e, err);
    case OP_ADD:
        return emit_add(e, err);
    case OP_CONCAT:
        return emit_concat(e, err);
    case OP_MAX_POOL:
    case OP_AVERAGE_POOL:
        return emit_pool(e, err);
    case OP_BATCH_NORM:
    case OP_SCALE:
        return emit_affine(e, err);
    case OP_PRELU:
        return emit_simple(e, TEACHER_PRELU, err);
    case OP_GROUP_NORM:
    case OP_LAYER_NORM:
    case OP_LP_NORM:
        return emit_norm(e, err);
    case OP_SELECT:
        return emit_simple(e, TEACHER_SELECT, err);
    case OP_RESIZE:
        return emit_simple(e, TEACHER_RESIZE, err);
    case OP_ACTIVATION:
        e->step.pointwise = (struct pointwise){node->activation, node->alpha, node->beta};
        return emit_simple(e, TEACHER_COMBINE, err);
    case OP_MULTIPLY:
        e->step.second = input_value(e, 1);
        return emit_simple(e, TEACHER_MULTIPLY, err);
    case OP_GLOBAL_AVERAGE_POOL:
        return emit_simple(e, TEACHER_GLOBAL_POOL, err);
    case OP_PAD:
        e->step.padding = (struct padding){node->pad_mode, node->pad_top, node->pad_left, node->alpha};
        return emit_simple(e, TEACHER_PAD, err);
    case OP_FLATTEN:
        return emit_simple(e, TEACHER_FLATTEN, err);
    case OP_SOFTMAX:
        return emit_simple(e, TEACHER_SOFTMAX, err);
    case OP_LOG_SOFTMAX:
        return emit_simple(e, TEACHER_LOG_SOFTMAX, err);
    default:
        return error_set(err, STATUS_BAD_DATA, NULL, "node '%s' (%s) is not supported by the CUDA engine", node->name,
                         op_name(node->op));
    }
}

/* True if the node's result is its input, unchanged in memory. */
static bool is_alias(const struct emitter *emitter, const struct node *node)
{
    if (node->op == OP_DROPOUT)
        return true;
    const struct shape in = node->op == OP_FLATTEN ? emitter->graph->nodes[node->inputs[0]].shape : (struct shape){0};
    return node->op == OP_FLATTEN && in.h == 1 && in.w == 1;
}

enum status teacher_emit(const struct emitter *emitter, int node, const struct teacher_fused *fused, int *value,
                         struct error *err)
{
    enum status status = STATUS_OK;
    struct emission e = {.emitter = emitter, .node = &emitter->graph->nodes[node], .fused = fused};
    int x = input_value(&e, 0);
    if (is_alias(emitter, e.node)) {
        *value = x;
        return STATUS_OK;
    }
    TRY(teacher_plan_value(emitter->plan, e.node->shape, value, err));
    e.step.name = fused->name;
    e.step.node = node;
    e.step.x = x;
    e.step.y = *value;
    e.step.second = NO_VALUE;
    e.step.weights = e.step.bias = NO_WEIGHTS;
    TRY(emit_step(&e, err));
cleanup:
    return status;
}
