#include "shared/inference/cudnn/conv_choice.h"

#include "shared/base/memory.h"
#include <stdlib.h>
#include <string.h>

struct conv_problem conv_problem_unfused(const struct conv_problem *problem)
{
    struct conv_problem unfused = *problem;
    unfused.has_addend = 0;
    unfused.activation = ACTIVATION_NONE;
    unfused.alpha = unfused.beta = 0;
    return unfused;
}

static bool is_unfused(const struct conv_problem *problem)
{
    return !problem->has_addend && problem->activation == ACTIVATION_NONE;
}

static void free_plans(struct conv_plan **plans, int count)
{
    for (int i = 0; i < count; i++)
        conv_plan_free(plans[i]);
}

/* Takes the best of the plans for `problem` out of plans[count] and frees the others. */
static enum status take_best(const struct conv_chooser *chooser, const struct conv_problem *problem,
                             struct conv_plan **plans, int count, struct conv_plan **best, struct error *err)
{
    enum status status = STATUS_OK;
    if (count > 1 && chooser->tune)
        status = conv_tune(problem, chooser->handle, chooser->memory_limit, plans, count, err);
    if (status != STATUS_OK || count == 0)
        free_plans(plans, count);
    else {
        *best = plans[0];
        free_plans(plans + 1, count - 1);
    }
    return status;
}

/* Fuses everything unless that loses the tensor cores: then only the bias is fused, and the rest costs one more pass
 * over the output. */
static enum status choose(const struct conv_chooser *chooser, struct conv_choice *choice, struct error *err)
{
    enum status status = STATUS_OK;
    const struct conv_problem *problem = &choice->problem;
    const struct conv_problem unfused = conv_problem_unfused(problem);
    const int capacity = chooser->tune ? CONV_CANDIDATES : 1;
    struct conv_plan *whole[CONV_CANDIDATES], *parts[CONV_CANDIDATES];
    int whole_count = 0, parts_count = 0;
    TRY(conv_plans_find(problem, chooser->device, capacity, whole, &whole_count, err));
    bool fast = whole_count > 0 && (problem->precision == PRECISION_FP32 || conv_plan_uses_tensor_cores(whole[0]));
    if (!fast && !is_unfused(problem))
        TRY(conv_plans_find(&unfused, chooser->device, capacity, parts, &parts_count, err));
    choice->fused = whole_count > 0 && (fast || parts_count == 0 || !conv_plan_uses_tensor_cores(parts[0]));
    if (choice->fused) {
        free_plans(parts, parts_count);
        return take_best(chooser, problem, whole, whole_count, &choice->plan, err);
    }
    free_plans(whole, whole_count);
    return take_best(chooser, &unfused, parts, parts_count, &choice->plan, err);
cleanup:
    free_plans(whole, whole_count);
    free_plans(parts, parts_count);
    return status;
}

/* The existing choice for the problem (`found`), or a new one. */
static enum status find_choice(struct conv_chooser *chooser, const struct conv_problem *problem,
                               struct conv_choice **choice, bool *found, struct error *err)
{
    enum status status = STATUS_OK;
    *found = true;
    for (int i = 0; i < chooser->count; i++) {
        *choice = chooser->choices[i];
        if (memcmp(&(*choice)->problem, problem, sizeof *problem) == 0)
            return STATUS_OK;
    }
    *found = false;
    TRY(array_grow(&chooser->choices, sizeof *chooser->choices, (size_t)chooser->count, &chooser->capacity,
                   "the teacher's plan", err));
    *choice = calloc(1, sizeof **choice);
    if (!*choice)
        return error_no_memory(err, sizeof **choice, "the teacher's plan");
    (*choice)->problem = *problem;
    chooser->choices[chooser->count++] = *choice;
cleanup:
    return status;
}

enum status conv_choose(struct conv_chooser *chooser, const struct conv_problem *problem,
                        const struct conv_choice **choice, struct error *err)
{
    enum status status = STATUS_OK;
    struct conv_choice *mine = NULL;
    bool found;
    TRY(find_choice(chooser, problem, &mine, &found, err));
    if (!found) {
        if (chooser->folder)
            TRY(conv_choice_read(chooser, mine, err));
        if (!mine->plan) {
            TRY(choose(chooser, mine, err));
            if (chooser->folder && mine->plan)
                TRY(conv_choice_write(chooser, mine, err));
        }
    }
    *choice = mine;
cleanup:
    return status;
}

void conv_chooser_release(struct conv_chooser *chooser)
{
    for (int i = 0; i < chooser->count; i++) {
        conv_plan_free(chooser->choices[i]->plan);
        free(chooser->choices[i]);
    }
    free(chooser->choices);
    chooser->choices = NULL;
    chooser->count = 0;
    chooser->capacity = 0;
}
