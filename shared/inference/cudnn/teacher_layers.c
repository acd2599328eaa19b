/* Chooses who computes each layer: cuDNN or cuBLASLt if they have a plan, otherwise our own kernels. */
#include "shared/inference/cudnn/teacher_plan.h"

static void need_workspace(struct teacher_plan *plan, size_t bytes)
{
    plan->workspace = bytes > plan->workspace ? bytes : plan->workspace;
}

static enum status plan_conv(struct teacher_plan *plan, struct teacher_step *step, struct libraries *libraries,
                             struct error *err)
{
    enum status status = STATUS_OK;
    plan->conv_count++;
    TRY(conv_layer_new(&step->conv_layer, libraries, &step->conv, &step->fused, err));
    if (!step->conv_layer) {
        step->kind = TEACHER_DIRECT_CONV;
        return STATUS_OK;
    }
    plan->conv_planned++;
    plan->conv_fused += step->fused;
    need_workspace(plan, conv_layer_workspace(step->conv_layer));
cleanup:
    return status;
}

/* Without cuBLASLt, a linear layer is a convolution of one position. */
static enum status plan_linear(struct teacher_plan *plan, struct teacher_step *step, struct libraries *libraries,
                               struct error *err)
{
    enum status status = STATUS_OK;
    struct planned_value *y = &plan->values[step->y];
    const struct conv_problem *conv = &step->conv;
    const struct linear_shape shape = {.batch = conv->batch,
                                       .in = conv->in.c,
                                       .out = conv->out.c,
                                       .has_bias = conv->has_bias != 0,
                                       .relu = conv->activation == ACTIVATION_RELU,
                                       .float_output = y->type == DTYPE_FP32,
                                       .precision = conv->precision};
    TRY(linear_layer_new(&step->linear_layer, libraries, &shape, err));
    if (step->linear_layer) {
        need_workspace(plan, linear_layer_workspace(step->linear_layer));
    } else {
        step->kind = TEACHER_DIRECT_CONV;
        y->type = precision_dtype(plan->precision);
    }
cleanup:
    return status;
}

enum status teacher_plan_layers(struct teacher_plan *plan, struct libraries *libraries, struct error *err)
{
    enum status status = STATUS_OK;
    for (int i = 0; i < plan->step_count; i++) {
        struct teacher_step *step = &plan->steps[i];
        if (step->kind == TEACHER_CONV)
            TRY(plan_conv(plan, step, libraries, err));
        else if (step->kind == TEACHER_LINEAR)
            TRY(plan_linear(plan, step, libraries, err));
    }
cleanup:
    return status;
}
