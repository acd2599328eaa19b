#include "shared/graph/plan.h"

const char *const plan_step_names[STEP_KIND_COUNT] = {
    [STEP_CONV] = "conv",
    [STEP_POINTWISE] = "pointwise",
    [STEP_DEPTHWISE] = "depthwise",
    [STEP_LINEAR] = "linear",
    [STEP_MAX_POOL] = "max_pool",
    [STEP_AVERAGE_POOL] = "average_pool",
    [STEP_GLOBAL_AVERAGE_POOL] = "global_average_pool",
    [STEP_ADD] = "add",
    [STEP_CONCAT] = "concat",
    [STEP_DROPOUT] = "dropout",
    [STEP_COPY] = "copy",
    [STEP_MULTIPLY] = "multiply",
    [STEP_SCALE] = "scale",
    [STEP_PRELU] = "prelu",
    [STEP_SELECT] = "select",
    [STEP_GROUP_NORM] = "group_norm",
    [STEP_LAYER_NORM] = "layer_norm",
    [STEP_LP_NORM] = "lp_norm",
    [STEP_PAD] = "pad",
    [STEP_RESIZE] = "resize",
    [STEP_QUANTISE] = "quantise",
};

struct plan_cost plan_cost_of(const struct plan *plan)
{
    struct plan_cost cost = {0};
    for (int i = 0; i < plan->step_count; i++) {
        const struct plan_step *step = &plan->steps[i];
        const struct node *node = &plan->graph->nodes[step->node];
        const struct shape out = plan->tensors[step->output].shape;
        const double passes = plan->tensors[step->inputs[0].tensor].gradient == PLAN_NONE ? 2 : 3;
        if (node->op == OP_CONV || node->op == OP_LINEAR)
            cost.operations += 2 * passes * (double)plan->graph->weights[node->weight].count * out.h * out.w;
    }
    for (int i = 0; i < plan->tensor_count; i++) {
        const struct shape s = plan->tensors[i].shape;
        cost.values += (i == plan->input ? 2.0 : 6.0) * s.c * s.h * s.w;
    }
    return cost;
}
