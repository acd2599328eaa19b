/* The metrics of a pass: correct predictions, labelled samples, agreement with the teacher; and the predictions. */
#include "shared/training/losses/logit_row.h"

/* The first of the largest elements. */
static int argmax(const float *z, int classes)
{
    int best = 0;
    for (int k = 1; k < classes; k++)
        if (z[k] > z[best])
            best = k;
    return best;
}

enum status cpu_metrics(struct device *device, const struct loss_batch *batch, struct error *err)
{
    const struct epoch_inputs *inputs = batch->inputs;
    (void)err;
    for (int k = 0; k < batch->students; k++) {
        const struct cpu_loss_args args = cpu_loss_args_of(device, batch, 0, k);
        double *metrics = batch->metrics + (size_t)k * METRIC_COUNT;
        int32_t *predictions =
            inputs->predictions + (size_t)k * inputs->capacity + (size_t)*inputs->cursor * (size_t)inputs->batch;
        for (int i = 0; i < batch->count; i++) {
            const size_t row = (size_t)i * (size_t)args.classes;
            const int label = label_of_row(&args, i, args.classes).label;
            predictions[i] = argmax(args.logits + row, args.classes);
            metrics[METRIC_CORRECT] += predictions[i] == label;
            metrics[METRIC_LABELLED] += label >= 0;
            if (args.teacher_logits)
                metrics[METRIC_AGREE] += predictions[i] == argmax(args.teacher_logits + row, args.classes);
        }
        metrics[METRIC_SAMPLES] += batch->count;
    }
    return STATUS_OK;
}
