/* The second half of plan_compile: the order in which gradients are written, and where everything lies. */
#include "shared/graph/plan_compile.h"

#include "shared/graph/plan_memory.h"

enum {
    ALIGNMENT = 32, /* elements; every tensor begins at a multiple of it, so on a cache line */
    GAP = 16        /* elements behind a tensor, which vectors read in part, and no thread writes */
};

enum status plan_order_gradients(struct plan_compiler *c)
{
    struct plan *plan = c->plan;
    struct plan_input **last = arena_alloc(&plan->arena, (size_t)plan->tensor_count, sizeof(struct plan_input *));
    if (!last)
        return error_no_memory(c->err, (size_t)plan->tensor_count * sizeof *last, "a plan");
    for (int s = plan->step_count - 1; s >= 0; s--)
        for (int i = 0; i < plan->steps[s].input_count; i++) {
            struct plan_input *input = &plan->steps[s].inputs[i];
            input->accumulate = last[input->tensor] != NULL || c->external[input->tensor];
            last[input->tensor] = input;
        }
    for (int t = 0; t < plan->tensor_count; t++)
        if (last[t])
            last[t]->finish = true;
    return STATUS_OK;
}

/* Elements of a tensor for the whole batch, with the gap; the output's are always as wide as floats. */
static size_t tensor_elements(const struct plan *plan, int tensor)
{
    struct shape s = plan->tensors[tensor].shape;
    size_t count = size_mul(size_mul((size_t)s.c, (size_t)s.h), size_mul((size_t)s.w, (size_t)plan->batch));
    if (tensor == plan->output)
        count = size_mul(count, sizeof(float) / dtype_size(plan->dtype));
    return count > SIZE_MAX / 64 ? SIZE_MAX / 64 : (count + GAP + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

/* From the step that makes a tensor to the last one that reads it; in the gradient buffer the other way round. A loss
 * reads retained tensors at the end. */
static void find_lifetimes(const struct plan_compiler *c, struct lifetime *lives)
{
    const struct plan *plan = c->plan;
    for (int t = 0; t < plan->tensor_count; t++) {
        lives[t].first = lives[t].last = c->maker[t] < 0 ? 0 : c->maker[t];
        if (c->external[t])
            lives[t].last = plan->step_count;
    }
    for (int s = 0; s < plan->step_count; s++)
        for (int i = 0; i < plan->steps[s].input_count; i++) {
            struct lifetime *life = &lives[plan->steps[s].inputs[i].tensor];
            life->last = life->last > s ? life->last : s;
        }
}

static enum status place_values_over_time(struct plan_compiler *c, struct lifetime *lives)
{
    struct plan *plan = c->plan;
    lives[plan->output].last = plan->step_count;
    lives[plan->input].last = plan->step_count; /* students that run one after the other copy it from the first one */
    const enum status status = plan_memory(lives, plan->tensor_count, ALIGNMENT, &plan->value_count, c->err);
    for (int t = 0; t < plan->tensor_count && status == STATUS_OK; t++) {
        plan->tensors[t].value = lives[t].offset;
        plan->tensors[t].gradient = PLAN_NONE;
    }
    return status;
}

static enum status place_gradients(struct plan_compiler *c, struct lifetime *lives)
{
    struct plan *plan = c->plan;
    for (int t = 0; t < plan->tensor_count; t++) {
        plan->tensors[t].value = plan->value_count;
        plan->value_count += lives[t].size;
        lives[t].size = c->learns[t] ? lives[t].size : 0;
    }
    const enum status status = plan_memory(lives, plan->tensor_count, ALIGNMENT, &plan->gradient_count, c->err);
    for (int t = 0; t < plan->tensor_count && status == STATUS_OK; t++)
        plan->tensors[t].gradient = c->learns[t] ? lives[t].offset : PLAN_NONE;
    return status;
}

enum status plan_place_tensors(struct plan_compiler *c, bool forward_only)
{
    struct plan *plan = c->plan;
    struct lifetime *lives = arena_alloc(&plan->arena, (size_t)plan->tensor_count, sizeof *lives);
    size_t total = 0;
    if (!lives)
        return error_no_memory(c->err, (size_t)plan->tensor_count * sizeof *lives, "a plan");
    for (int t = 0; t < plan->tensor_count; t++) {
        lives[t].size = tensor_elements(plan, t);
        if (lives[t].size >= SIZE_MAX / 64 - total)
            return error_no_memory(c->err, SIZE_MAX, "activations: use a smaller batch");
        total += lives[t].size;
    }
    find_lifetimes(c, lives);
    return forward_only ? place_values_over_time(c, lives) : place_gradients(c, lives);
}
