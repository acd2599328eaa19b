/* The loss on the CPU: every term for one student after the other. The terms are in losses/, a file each. */
#include "shared/training/cpu/cpu_loss.h"
#include "shared/training/losses/loss_math.h"

static const struct cpu_loss *const losses[] = {
    &cpu_ce,           &cpu_kd,        &cpu_logit_mse, &cpu_dkd,  &cpu_dist, &cpu_nkd, /* on logits */
    &cpu_rld,          &cpu_wttm,      &cpu_abkd,      &cpu_mlkd, &cpu_hint, &cpu_at,
    &cpu_cosine,       &cpu_vid,                                 /* on features, element by element */
    &cpu_rkd_distance, &cpu_rkd_angle, &cpu_sp,        &cpu_pkt, /* on how rows lie to one another */
    &cpu_cc,           &cpu_crd,                                 /* with trained embeddings */
};

static const struct cpu_loss *find_loss(enum loss_kind kind)
{
    for (size_t i = 0; i < sizeof losses / sizeof *losses; i++)
        if (losses[i]->kind == kind)
            return losses[i];
    return NULL;
}

struct cpu_loss_args cpu_loss_args_of(struct device *device, const struct loss_batch *batch, int index, int student)
{
    const struct epoch_inputs *inputs = batch->inputs;
    const size_t step = *inputs->cursor, first = step * (size_t)inputs->batch, k = (size_t)student;
    const struct step_scalars *scalars = &inputs->scalars[step * (size_t)inputs->students + k];
    struct cpu_loss_args args = {
        .device = device,
        .shape = &batch->shape,
        .scalars = scalars,
        .weight = scalars->weights[index],
        .count = batch->count,
        .classes = inputs->classes,
        .logits = batch->logits + k * batch->logit_stride,
        .teacher_logits = inputs->teacher ? inputs->teacher + first * (size_t)inputs->classes : NULL,
        .gradient = batch->gradient ? batch->gradient + k * batch->gradient_stride : NULL,
        .labels = inputs->labels + first,
        .samples = inputs->samples + first,
        .mixes = inputs->mixes ? inputs->mixes + first : NULL,
        .partner_labels = inputs->partner_labels ? inputs->partner_labels + first : NULL,
        .rows = batch->count,
        .scratch = (char *)batch->scratch + k * batch->scratch_stride,
    };
    if (!batch->student)
        return args;
    args.rows = scalars->rows[index] < (uint32_t)batch->count ? (int)scalars->rows[index] : batch->count;
    args.student = batch->student + k * batch->student_stride;
    args.student_gradient = batch->student_gradient ? batch->student_gradient + k * batch->student_stride : NULL;
    args.teacher = batch->teacher;
    for (int i = 0; i < LEARNED_COUNT; i++) {
        if (batch->parameters)
            args.parameters[i] = batch->parameters + k * batch->parameter_stride + batch->learned[i];
        if (batch->parameter_gradients)
            args.parameter_gradients[i] = batch->parameter_gradients + k * batch->parameter_stride + batch->learned[i];
        if (batch->state)
            args.state[i] = batch->state + k * batch->state_stride + batch->learned[i];
    }
    return args;
}

static size_t scratch(const struct loss_term *term, const struct loss_shape *shape)
{
    const struct cpu_loss *loss = find_loss(term->kind);
    return gate_bytes(term, shape) + (loss && loss->scratch ? loss->scratch(term, shape) : 0);
}

static enum status add(struct device *device, const struct loss_term *terms, int index, const struct loss_batch *batch,
                       struct error *err)
{
    const struct cpu_loss *loss = find_loss(terms->kind);
    if (!loss)
        return error_set(err, STATUS_INTERNAL, NULL, "the CPU backend has no loss %d", (int)terms->kind);
    for (int k = 0; k < batch->students; k++) {
        double *metrics = batch->metrics + (size_t)k * METRIC_COUNT;
        struct cpu_loss_args args = cpu_loss_args_of(device, batch, index, k);
        args.term = &terms[k];
        if (args.rows == 0 && !batch->parameter_gradients)
            continue;
        if (terms[k].gate > 0)
            cpu_gate(&args);
        const double value = loss->add(&args);
        metrics[METRIC_TERMS + index] += value * args.rows;
        metrics[METRIC_ROWS + index] += batch->part == 0 ? args.rows : 0;
        metrics[METRIC_LOSS] += args.weight * value * args.count;
    }
    return STATUS_OK;
}

const struct loss_ops cpu_loss_ops = {
    .scratch = scratch,
    .add = add,
    .metrics = cpu_metrics,
};
