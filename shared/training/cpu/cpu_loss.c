/* The terms of the loss, one student after the other, and the metrics that go with them: the specification for other
 * backends. The terms themselves are in the cpu_loss_*.c files. */
#include "shared/training/losses/logit_row.h"

static const struct cpu_term_kind *find_kind(enum loss_kind kind)
{
    static const struct cpu_term_kind *const families[] = {cpu_logit_terms, cpu_feature_terms, cpu_relation_terms,
                                                           cpu_learned_terms};
    for (size_t i = 0; (unsigned)kind < LOSS_KIND_COUNT && i < sizeof families / sizeof *families; i++)
        if (families[i][kind].value)
            return &families[i][kind];
    return NULL;
}

static struct cpu_term term_of(struct device *device, const struct loss_batch *batch, int index, int student)
{
    const struct epoch_inputs *inputs = batch->inputs;
    const size_t step = *inputs->cursor, first = step * (size_t)inputs->batch, k = (size_t)student;
    const struct step_scalars *scalars = &inputs->scalars[step * (size_t)inputs->students + k];
    struct cpu_term t = {
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
        return t;
    t.rows = scalars->rows[index] < (uint32_t)batch->count ? (int)scalars->rows[index] : batch->count;
    t.student = batch->student + k * batch->student_stride;
    t.student_gradient = batch->student_gradient ? batch->student_gradient + k * batch->student_stride : NULL;
    t.teacher = batch->teacher;
    for (int i = 0; i < LEARNED_COUNT; i++) {
        if (batch->parameters)
            t.parameters[i] = batch->parameters + k * batch->parameter_stride + batch->learned[i];
        if (batch->parameter_gradients)
            t.parameter_gradients[i] = batch->parameter_gradients + k * batch->parameter_stride + batch->learned[i];
        if (batch->state)
            t.state[i] = batch->state + k * batch->state_stride + batch->learned[i];
    }
    return t;
}

static size_t scratch(const struct loss_term *term, const struct loss_shape *shape)
{
    const struct cpu_term_kind *kind = find_kind(term->kind);
    return kind && kind->scratch ? kind->scratch(term, shape) : 0;
}

static enum status add(struct device *device, const struct loss_term *terms, int index, const struct loss_batch *batch,
                       struct error *err)
{
    const struct cpu_term_kind *kind = find_kind(terms->kind);
    if (!kind)
        return error_set(err, STATUS_INTERNAL, NULL, "the CPU backend has no loss %d", (int)terms->kind);
    for (int k = 0; k < batch->students; k++) {
        double *metrics = batch->metrics + (size_t)k * METRIC_COUNT;
        struct cpu_term t = term_of(device, batch, index, k);
        t.term = &terms[k];
        if (t.rows == 0 && !batch->parameter_gradients)
            continue;
        const double value = kind->value(&t);
        metrics[METRIC_TERMS + index] += value * t.rows;
        metrics[METRIC_ROWS + index] += batch->part == 0 ? t.rows : 0;
        metrics[METRIC_LOSS] += t.weight * value * t.count;
    }
    return STATUS_OK;
}

/* The first of the largest. */
static int argmax(const float *z, int classes)
{
    int best = 0;
    for (int k = 1; k < classes; k++)
        if (z[k] > z[best])
            best = k;
    return best;
}

static enum status metrics(struct device *device, const struct loss_batch *batch, struct error *err)
{
    const struct epoch_inputs *inputs = batch->inputs;
    (void)err;
    for (int k = 0; k < batch->students; k++) {
        const struct cpu_term rows = term_of(device, batch, 0, k);
        double *metrics = batch->metrics + (size_t)k * METRIC_COUNT;
        int32_t *predictions =
            inputs->predictions + (size_t)k * inputs->capacity + (size_t)*inputs->cursor * (size_t)inputs->batch;
        for (int i = 0; i < batch->count; i++) {
            const size_t row = (size_t)i * (size_t)rows.classes;
            const int label = cpu_row_label(&rows, i, rows.classes).label;
            predictions[i] = argmax(rows.logits + row, rows.classes);
            metrics[METRIC_CORRECT] += predictions[i] == label;
            metrics[METRIC_LABELLED] += label >= 0;
            if (rows.teacher_logits)
                metrics[METRIC_AGREE] += predictions[i] == argmax(rows.teacher_logits + row, rows.classes);
        }
        metrics[METRIC_SAMPLES] += batch->count;
    }
    return STATUS_OK;
}

const struct loss_ops cpu_loss_ops = {
    .scratch = scratch,
    .add = add,
    .metrics = metrics,
};
