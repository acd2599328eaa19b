/* Losses on logits and the metrics that go with them: the specification for other backends. Everything is computed in
 * double through log-softmax, so that logit gaps of hundreds stay finite, one sample after the other. */
#include "shared/backend/cpu/cpu_backend.h"

#include <math.h>

/* max + log(sum(exp(z * inverse_t - max))) of one row, z[classes]. */
static double log_sum_exp(const float *z, int classes, double inverse_t)
{
    double max = -INFINITY, sum = 0;
    for (int k = 0; k < classes; k++)
        if (z[k] * inverse_t > max)
            max = z[k] * inverse_t;
    for (int k = 0; k < classes; k++)
        sum += exp(z[k] * inverse_t - max);
    return max + log(sum);
}

/* F.cross_entropy(logits, labels, label_smoothing=s), unlabelled samples left out of sum and mean. */
static double cross_entropy(const struct loss_term *term, const struct loss_batch *batch)
{
    const double smoothing = term->label_smoothing;
    const int classes = batch->classes;
    int labelled = 0;
    double sum = 0;
    for (int i = 0; i < batch->count; i++)
        labelled += batch->labels[i] >= 0;
    for (int i = 0; i < batch->count; i++) {
        const float *z = batch->logits + (size_t)i * (size_t)classes;
        double normaliser, total = 0;
        if (batch->labels[i] < 0)
            continue;
        normaliser = log_sum_exp(z, classes, 1);
        for (int k = 0; k < classes; k++)
            total += z[k];
        sum += (1 - smoothing) * (normaliser - z[batch->labels[i]]) + smoothing * (normaliser - total / classes);
        for (int k = 0; batch->gradient && k < classes; k++) {
            double target = smoothing / classes + (k == batch->labels[i] ? 1 - smoothing : 0);
            double slope = (exp(z[k] - normaliser) - target) / labelled;
            batch->gradient[(size_t)i * (size_t)classes + (size_t)k] += (float)(term->weight * slope);
        }
    }
    return labelled ? sum / labelled : 0;
}

/* T^2 * KL(p || q), p = softmax(teacher / T), q = softmax(student / T); its slope is T * (q - p). A teacher probability
 * of 0 adds 0, as F.kl_div has it. */
static double distillation(const struct loss_term *term, const struct loss_batch *batch)
{
    const double t = term->temperature;
    const int classes = batch->classes;
    const double share = term->reduction == REDUCTION_MEAN ? 1.0 / batch->count / classes : 1.0 / batch->count;
    double sum = 0;
    for (int i = 0; i < batch->count; i++) {
        const size_t row = (size_t)i * (size_t)classes;
        const float *student = batch->logits + row, *teacher = batch->teacher_logits + row;
        const double student_normaliser = log_sum_exp(student, classes, 1 / t);
        const double teacher_normaliser = log_sum_exp(teacher, classes, 1 / t);
        for (int k = 0; k < classes; k++) {
            double log_q = student[k] / t - student_normaliser, log_p = teacher[k] / t - teacher_normaliser;
            double p = exp(log_p);
            if (p > 0)
                sum += p * (log_p - log_q);
            if (batch->gradient)
                batch->gradient[row + (size_t)k] += (float)(term->weight * share * t * (exp(log_q) - p));
        }
    }
    return t * t * sum * share;
}

enum status cpu_loss(struct device *device, const struct loss_term *term, int index, const struct loss_batch *batch,
                     double *metrics, struct error *err)
{
    double value;
    (void)device;
    switch (term->kind) {
    case LOSS_CE:
        value = cross_entropy(term, batch);
        break;
    case LOSS_KD:
        value = distillation(term, batch);
        break;
    default:
        return error_set(err, STATUS_INTERNAL, NULL, "the CPU backend has no loss %d", (int)term->kind);
    }
    metrics[METRIC_TERMS + index] += value * batch->count;
    metrics[METRIC_LOSS] += term->weight * value * batch->count;
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

enum status cpu_metrics(struct device *device, const struct loss_batch *batch, double *metrics, int32_t *predictions,
                        struct error *err)
{
    (void)device, (void)err;
    for (int i = 0; i < batch->count; i++) {
        const size_t row = (size_t)i * (size_t)batch->classes;
        int32_t predicted = argmax(batch->logits + row, batch->classes);
        metrics[METRIC_CORRECT] += predicted == batch->labels[i];
        metrics[METRIC_LABELLED] += batch->labels[i] >= 0;
        if (batch->teacher_logits)
            metrics[METRIC_AGREE] += predicted == argmax(batch->teacher_logits + row, batch->classes);
        if (predictions)
            predictions[i] = predicted;
    }
    metrics[METRIC_SAMPLES] += batch->count;
    return STATUS_OK;
}
