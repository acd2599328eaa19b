#include "shared/inference/cudnn/teacher_plan.h"

#include <stdlib.h>

static const char WHAT[] = "the teacher's plan"; /* in messages about memory */

enum { ALIGNMENT = 256 };

size_t teacher_value_bytes(const struct teacher_plan *plan, int value)
{
    const struct planned_value *v = &plan->values[value];
    return (size_t)plan->batch * (size_t)v->shape.h * (size_t)v->shape.w * (size_t)v->channels * dtype_size(v->type);
}

enum status teacher_plan_value(struct teacher_plan *plan, struct shape shape, int *index, struct error *err)
{
    enum status status = STATUS_OK;
    const enum dtype type = precision_dtype(plan->precision);
    const int vector = 16 / (int)dtype_size(type);
    TRY(array_grow(&plan->values, sizeof *plan->values, (size_t)plan->value_count, &plan->value_capacity, WHAT, err));
    plan->values[plan->value_count] = (struct planned_value){
        .shape = shape, .channels = (shape.c + vector - 1) / vector * vector, .type = type, .life = lifetime_new(0)};
    *index = plan->value_count++;
cleanup:
    return status;
}

enum status teacher_plan_step(struct teacher_plan *plan, const struct teacher_step *step, struct error *err)
{
    enum status status = STATUS_OK;
    TRY(array_grow(&plan->steps, sizeof *plan->steps, (size_t)plan->step_count, &plan->step_capacity, WHAT, err));
    struct teacher_step *added = &plan->steps[plan->step_count];
    *added = *step;
    added->name = arena_strdup(&plan->arena, step->name);
    if (!added->name)
        return error_no_memory(err, 1, WHAT);
    const int used[3] = {step->x, step->second, step->y};
    for (int i = 0; i < 3; i++)
        if (used[i] != NO_VALUE)
            lifetime_use(&plan->values[used[i]].life, plan->step_count);
    plan->step_count++;
cleanup:
    return status;
}

enum status teacher_place_values(struct teacher_plan *plan, struct error *err)
{
    enum status status = STATUS_OK;
    struct lifetime *lives = calloc((size_t)plan->value_count, sizeof *lives);
    if (!lives)
        return error_no_memory(err, (size_t)plan->value_count * sizeof *lives, WHAT);
    for (int i = 0; i < plan->output_count; i++)
        lifetime_use(&plan->values[plan->outputs[i]].life, plan->step_count); /* until the next pass */
    for (int i = 0; i < plan->value_count; i++) {
        lives[i] = plan->values[i].life;
        if (i != plan->input && lives[i].first != LIFETIME_UNUSED)
            lives[i].size = teacher_value_bytes(plan, i);
    }
    TRY(plan_memory(lives, plan->value_count, ALIGNMENT, &plan->value_bytes, err));
    for (int i = 0; i < plan->value_count; i++)
        plan->values[i].life = lives[i];
cleanup:
    free(lives);
    return status;
}

void teacher_plan_release(struct teacher_plan *plan)
{
    for (int i = 0; i < plan->step_count; i++) {
        conv_layer_free(plan->steps[i].conv_layer);
        linear_layer_free(plan->steps[i].linear_layer);
    }
    free(plan->steps);
    free(plan->values);
    arena_release(&plan->arena);
    *plan = (struct teacher_plan){0};
}
