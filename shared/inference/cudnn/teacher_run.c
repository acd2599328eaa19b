#include "shared/inference/cudnn/teacher_run.h"

#include "shared/inference/cudnn/teacher_cuda_check.h"

struct run {
    const struct teacher_plan *plan;
    cudaStream_t stream;
};

void *teacher_place(const struct teacher_plan *plan, const struct teacher_memory *memory, int value)
{
    return value == plan->input ? memory->input : memory->values + plan->values[value].life.offset;
}

static const void *weights_at(const struct teacher_memory *memory, size_t offset)
{
    return offset == NO_WEIGHTS ? NULL : memory->weights + offset;
}

static struct layer_memory operands_of(const struct teacher_plan *plan, const struct teacher_memory *memory,
                                       const struct teacher_step *step)
{
    return (struct layer_memory){
        .x = teacher_place(plan, memory, step->x),
        .w = weights_at(memory, step->weights),
        .bias = weights_at(memory, step->bias),
        .addend = step->second == NO_VALUE ? NULL : teacher_place(plan, memory, step->second),
        .y = teacher_place(plan, memory, step->y),
        .workspace = memory->workspace,
    };
}

enum status teacher_bind_steps(const struct teacher_plan *plan, const struct teacher_memory *memory, struct error *err)
{
    enum status status = STATUS_OK;
    for (int i = 0; i < plan->step_count; i++) {
        const struct teacher_step *step = &plan->steps[i];
        const struct layer_memory operands = operands_of(plan, memory, step);
        if (step->kind == TEACHER_CONV)
            TRY(conv_layer_bind(step->conv_layer, &operands, step->name, err));
        else if (step->kind == TEACHER_LINEAR)
            TRY(linear_layer_bind(step->linear_layer, &operands, err));
    }
cleanup:
    return status;
}

static size_t positions_of(const struct teacher_plan *plan, const struct planned_value *value)
{
    return (size_t)plan->batch * (size_t)value->shape.h * (size_t)value->shape.w;
}

/* cuDNN's part, then the addend and the activation if they are not fused. */
static enum status run_conv(const struct run *run, const struct teacher_step *step, const struct layer_memory *operands,
                            struct error *err)
{
    enum status status = STATUS_OK;
    const struct planned_value *y = &run->plan->values[step->y];
    const struct pointwise pointwise = {step->conv.activation, step->conv.alpha, step->conv.beta};
    TRY(conv_layer_run(step->conv_layer, step->name, err));
    if (!step->fused)
        TRY(teacher_cuda_check(teacher_combine(y->type, operands->y, operands->addend, operands->y,
                                               positions_of(run->plan, y) * (size_t)y->channels, pointwise,
                                               run->stream),
                               step->name, err));
cleanup:
    return status;
}

static cudaError_t run_own_conv(const struct run *run, const struct teacher_step *step,
                                const struct layer_memory *operands)
{
    const struct planned_value *x = &run->plan->values[step->x], *y = &run->plan->values[step->y];
    const struct conv_operands all = {operands->x, operands->w, operands->bias, operands->addend, operands->y};
    const int groups = step->conv.groups;
    if (step->kind == TEACHER_DEPTHWISE)
        return teacher_depthwise(y->type, &step->conv, &all, run->stream);
    return teacher_direct_conv(y->type, &step->conv, groups == 1 ? x->channels : x->shape.c / groups,
                               y->shape.c / groups, &all, run->stream);
}

static cudaError_t run_copy_channels(const struct run *run, const struct teacher_step *step,
                                     const struct planned_value *x, const struct planned_value *y,
                                     const struct layer_memory *operands)
{
    const bool is_last = step->to + x->shape.c == y->shape.c;
    const int count = is_last ? y->channels - step->to : x->shape.c;
    return teacher_copy_channels(y->type, operands->x, x->channels, x->shape.c, operands->y, y->channels, step->to,
                                 count, positions_of(run->plan, y), run->stream);
}

static cudaError_t run_multiply(const struct run *run, const struct teacher_step *step, const struct planned_value *x,
                                const struct layer_memory *operands)
{
    const struct planned_value *second = &run->plan->values[step->second];
    const struct shape gate = second->shape;
    if (gate.c != x->shape.c)
        return teacher_multiply_position(x->type, operands->x, operands->addend, second->channels, operands->y,
                                         positions_of(run->plan, x), x->channels, run->stream);
    return teacher_multiply(x->type, operands->x, operands->addend, operands->y, run->plan->batch,
                            x->shape.h * x->shape.w, gate.h * gate.w, x->channels, run->stream);
}

static struct shape stored(const struct planned_value *value)
{
    return (struct shape){value->channels, value->shape.h, value->shape.w};
}

static cudaError_t run_kernel(const struct run *run, const struct teacher_step *step,
                              const struct layer_memory *operands)
{
    const struct planned_value *x = &run->plan->values[step->x], *y = &run->plan->values[step->y];
    const void *from = operands->x;
    void *to = operands->y;
    const int n = run->plan->batch;
    switch (step->kind) {
    case TEACHER_COMBINE:
        return teacher_combine(y->type, from, operands->addend, to, positions_of(run->plan, y) * (size_t)y->channels,
                               step->pointwise, run->stream);
    case TEACHER_AFFINE:
        return teacher_affine(y->type, from, operands->w, operands->bias, to, positions_of(run->plan, y),
                              step->scale_positions, y->channels, step->pointwise, run->stream);
    case TEACHER_PRELU:
        return teacher_prelu(y->type, from, operands->w, to, positions_of(run->plan, y), y->channels, run->stream);
    case TEACHER_LAYER_NORM:
        return teacher_layer_norm(y->type, from, operands->w, operands->bias, to, positions_of(run->plan, y),
                                  y->shape.c, y->channels, step->epsilon, run->stream);
    case TEACHER_LP_NORM:
        return teacher_lp_norm(y->type, from, to, positions_of(run->plan, y), y->shape.c, y->channels, step->p,
                               step->epsilon, run->stream);
    case TEACHER_GROUP_NORM:
        return teacher_group_norm(y->type, from, operands->w, operands->bias, to, n, y->shape.h * y->shape.w,
                                  step->groups, y->shape.c, y->channels, step->epsilon, run->stream);
    case TEACHER_SELECT:
        return teacher_select(y->type, from, x->channels, operands->w, y->shape.c, to, y->channels,
                              positions_of(run->plan, y), run->stream);
    case TEACHER_RESIZE:
        return teacher_resize(y->type, from, operands->w, operands->bias, to, n, stored(x), stored(y), run->stream);
    case TEACHER_MULTIPLY:
        return run_multiply(run, step, x, operands);
    case TEACHER_POOL:
        return teacher_pool(y->type, step->pool, from, to, n, stored(x), stored(y), step->window, run->stream);
    case TEACHER_GLOBAL_POOL:
        return teacher_global_pool(y->type, from, to, n, x->shape.h * x->shape.w, x->channels, run->stream);
    case TEACHER_COPY_CHANNELS:
        return run_copy_channels(run, step, x, y, operands);
    case TEACHER_PAD:
        return teacher_pad(y->type, from, to, n, stored(x), stored(y), step->padding, run->stream);
    case TEACHER_FLATTEN:
        return teacher_flatten(y->type, from, x->channels, to, y->channels, n, x->shape, run->stream);
    case TEACHER_SOFTMAX:
    case TEACHER_LOG_SOFTMAX:
        return teacher_softmax(y->type, step->kind == TEACHER_LOG_SOFTMAX, from, to, positions_of(run->plan, y),
                               y->shape.c, y->channels, run->stream);
    default:
        return run_own_conv(run, step, operands);
    }
}

enum status teacher_run_steps(const struct teacher_plan *plan, const struct teacher_memory *memory, cudaStream_t stream,
                              struct error *err)
{
    enum status status = STATUS_OK;
    const struct run run = {plan, stream};
    for (int i = 0; i < plan->step_count; i++) {
        const struct teacher_step *step = &plan->steps[i];
        const struct layer_memory operands = operands_of(plan, memory, step);
        if (step->kind == TEACHER_CONV)
            TRY(run_conv(&run, step, &operands, err));
        else if (step->kind == TEACHER_LINEAR)
            TRY(linear_layer_run(step->linear_layer, step->name, err));
        else
            TRY(teacher_cuda_check(run_kernel(&run, step, &operands), step->name, err));
    }
cleanup:
    return status;
}
