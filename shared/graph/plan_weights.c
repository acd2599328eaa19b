/* Copies a plan's weights from and into a graph, and describes a plan. */
#define _GNU_SOURCE
#include "shared/graph/plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void plan_gather_weights(const struct plan *plan, const struct graph *graph, float *parameters, float *state)
{
    for (int i = 0; i < graph->weight_count; i++) {
        const struct weight *weight = &graph->weights[i];
        float *to = (weight->trained ? parameters : state) + plan->weight_offset[i];
        memcpy(to, weight->data, weight->count * sizeof *to);
    }
}

void plan_scatter_weights(const struct plan *plan, struct graph *graph, const float *parameters, const float *state)
{
    for (int i = 0; i < graph->weight_count; i++) {
        struct weight *weight = &graph->weights[i];
        const float *from = (weight->trained ? parameters : state) + plan->weight_offset[i];
        memcpy(weight->data, from, weight->count * sizeof *from);
    }
}

static void describe_step(FILE *out, const struct plan *plan, const struct plan_step *step)
{
    const struct plan_tensor *to = &plan->tensors[step->output];
    fprintf(out, "%-20s %-24s %4dx%dx%d", plan_step_names[step->kind], to->name, to->shape.c, to->shape.h, to->shape.w);
    if (to->batch_norm >= 0)
        fprintf(out, " +batch_norm");
    if (to->activation != ACTIVATION_NONE)
        fprintf(out, " +%s", activation_name(to->activation));
    fprintf(out, "  reads");
    for (int i = 0; i < step->input_count; i++) {
        const struct plan_input *input = &step->inputs[i];
        fprintf(out, " %s%s%s", plan->tensors[input->tensor].name, input->accumulate ? " (adds)" : "",
                input->finish ? "" : " (not last)");
    }
    fprintf(out, "  value at %zu", to->value);
    if (to->gradient != PLAN_NONE)
        fprintf(out, ", gradient at %zu", to->gradient);
    fprintf(out, "\n");
}

/* The last step that reads a tensor; the output is read after all of them, and a tensor without readers at once. */
static int last_reader(const struct plan *plan, int tensor, int made)
{
    int last = tensor == plan->output ? plan->step_count : made;
    for (int i = 0; i < plan->step_count; i++)
        for (int k = 0; k < plan->steps[i].input_count; k++)
            if (plan->steps[i].inputs[k].tensor == tensor && i > last)
                last = i;
    return last;
}

size_t plan_peak_bytes(const struct plan *plan)
{
    size_t most = 0;
    for (int now = 0; now < plan->step_count; now++) {
        size_t alive = 0;
        for (int t = 0; t < plan->tensor_count; t++) {
            const struct shape s = plan->tensors[t].shape;
            int made = t == plan->input ? 0 : -1;
            for (int i = 0; i < plan->step_count && made < 0; i++)
                made = plan->steps[i].output == t ? i : -1;
            if (made >= 0 && made <= now && last_reader(plan, t, made) >= now)
                alive += (size_t)s.c * (size_t)s.h * (size_t)s.w * sizeof(float);
        }
        most = alive > most ? alive : most;
    }
    return most;
}

char *plan_describe(const struct plan *plan)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return NULL;
    for (int i = 0; i < plan->step_count; i++)
        describe_step(out, plan, &plan->steps[i]);
    fprintf(out,
            "batch %d: %zu bytes of activations, %zu of their gradients, %zu parameters, %zu running statistics, %zu "
            "constants\n",
            plan->batch, plan->value_count * dtype_size(plan->dtype), plan->gradient_count * dtype_size(plan->dtype),
            plan->parameter_count, plan->running_count, plan->state_count - plan->running_count - plan->range_count);
    if (fclose(out) == 0)
        return text;
    free(text);
    return NULL;
}
