/* Terms on rows of logits: the specification for other backends. Everything is computed in double through log-softmax,
 * so that logit gaps of hundreds stay finite, one sample after the other. */
#include "shared/backend/cpu/cpu_loss.h"

#include <math.h>

double cpu_log_sum_exp(const float *z, int classes, double inverse_t)
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
static double cross_entropy(const struct cpu_term *batch)
{
    const double smoothing = batch->term->label_smoothing;
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
        normaliser = cpu_log_sum_exp(z, classes, 1);
        for (int k = 0; k < classes; k++)
            total += z[k];
        sum += (1 - smoothing) * (normaliser - z[batch->labels[i]]) + smoothing * (normaliser - total / classes);
        for (int k = 0; batch->gradient && k < classes; k++) {
            double target = smoothing / classes + (k == batch->labels[i] ? 1 - smoothing : 0);
            double slope = (exp(z[k] - normaliser) - target) / labelled;
            batch->gradient[(size_t)i * (size_t)classes + (size_t)k] += (float)(batch->weight * slope);
        }
    }
    return labelled ? sum / labelled : 0;
}

/* T^2 * KL(p || q), p = softmax(teacher / T), q = softmax(student / T); its slope is T * (q - p). A teacher probability
 * of 0 adds 0, as F.kl_div has it. */
static double distillation(const struct cpu_term *batch)
{
    const double t = batch->term->temperature;
    const int classes = batch->classes;
    const double share = batch->term->reduction == REDUCTION_MEAN ? 1.0 / batch->count / classes : 1.0 / batch->count;
    double sum = 0;
    for (int i = 0; i < batch->count; i++) {
        const size_t row = (size_t)i * (size_t)classes;
        const float *student = batch->logits + row, *teacher = batch->teacher_logits + row;
        const double student_normaliser = cpu_log_sum_exp(student, classes, 1 / t);
        const double teacher_normaliser = cpu_log_sum_exp(teacher, classes, 1 / t);
        for (int k = 0; k < classes; k++) {
            double log_q = student[k] / t - student_normaliser, log_p = teacher[k] / t - teacher_normaliser;
            double p = exp(log_p);
            if (p > 0)
                sum += p * (log_p - log_q);
            if (batch->gradient)
                batch->gradient[row + (size_t)k] += (float)(batch->weight * share * t * (exp(log_q) - p));
        }
    }
    return t * t * sum * share;
}

const struct cpu_term_kind cpu_logit_terms[LOSS_KIND_COUNT] = {
    [LOSS_CE] = {cross_entropy, NULL},
    [LOSS_KD] = {distillation, NULL},
};
