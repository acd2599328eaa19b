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

/* One student's share of a batch: where its rows are, and the step's weight of the term. */
struct rows {
    int count, classes;
    const float *logits, *teacher; /* [count, classes] */
    const int32_t *labels;         /* [count] */
    float *gradient;               /* [count, classes] or NULL */
    float weight;
};

/* F.cross_entropy(logits, labels, label_smoothing=s), unlabelled samples left out of sum and mean. */
static double cross_entropy(const struct loss_term *term, const struct rows *batch)
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
            batch->gradient[(size_t)i * (size_t)classes + (size_t)k] += (float)(batch->weight * slope);
        }
    }
    return labelled ? sum / labelled : 0;
}

/* T^2 * KL(p || q), p = softmax(teacher / T), q = softmax(student / T); its slope is T * (q - p). A teacher probability
 * of 0 adds 0, as F.kl_div has it. */
static double distillation(const struct loss_term *term, const struct rows *batch)
{
    const double t = term->temperature;
    const int classes = batch->classes;
    const double share = term->reduction == REDUCTION_MEAN ? 1.0 / batch->count / classes : 1.0 / batch->count;
    double sum = 0;
    for (int i = 0; i < batch->count; i++) {
        const size_t row = (size_t)i * (size_t)classes;
        const float *student = batch->logits + row, *teacher = batch->teacher + row;
        const double student_normaliser = log_sum_exp(student, classes, 1 / t);
        const double teacher_normaliser = log_sum_exp(teacher, classes, 1 / t);
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

static struct rows rows_of(const struct loss_batch *batch, int student)
{
    const struct feed *feed = batch->feed;
    const size_t step = *feed->cursor, first = step * (size_t)feed->batch, k = (size_t)student;
    return (struct rows){
        .count = batch->count,
        .classes = feed->classes,
        .logits = batch->logits + k * batch->logit_stride,
        .teacher = feed->teacher ? feed->teacher + first * (size_t)feed->classes : NULL,
        .labels = feed->labels + first,
        .gradient = batch->gradient ? batch->gradient + k * batch->gradient_stride : NULL,
    };
}

enum status cpu_loss(struct device *device, const struct loss_term *terms, int index, const struct loss_batch *batch,
                     struct error *err)
{
    static double (*const values[LOSS_KIND_COUNT])(const struct loss_term *, const struct rows *) = {
        [LOSS_CE] = cross_entropy,
        [LOSS_KD] = distillation,
    };
    const struct feed *feed = batch->feed;
    (void)device;
    if ((unsigned)terms->kind >= LOSS_KIND_COUNT || !values[terms->kind])
        return error_set(err, STATUS_INTERNAL, NULL, "the CPU backend has no loss %d", (int)terms->kind);
    for (int k = 0; k < batch->students; k++) {
        double *metrics = batch->metrics + (size_t)k * METRIC_COUNT;
        struct rows rows = rows_of(batch, k);
        rows.weight = feed->scalars[(size_t)*feed->cursor * (size_t)feed->students + (size_t)k].weights[index];
        double sum = values[terms[k].kind](&terms[k], &rows) * batch->count;
        metrics[METRIC_TERMS + index] += sum;
        metrics[METRIC_LOSS] += rows.weight * sum;
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

enum status cpu_metrics(struct device *device, const struct loss_batch *batch, struct error *err)
{
    const struct feed *feed = batch->feed;
    (void)device, (void)err;
    for (int k = 0; k < batch->students; k++) {
        const struct rows rows = rows_of(batch, k);
        double *metrics = batch->metrics + (size_t)k * METRIC_COUNT;
        int32_t *predictions = feed->predictions + (size_t)k * feed->room + (size_t)*feed->cursor * (size_t)feed->batch;
        for (int i = 0; i < batch->count; i++) {
            const size_t row = (size_t)i * (size_t)rows.classes;
            predictions[i] = argmax(rows.logits + row, rows.classes);
            metrics[METRIC_CORRECT] += predictions[i] == rows.labels[i];
            metrics[METRIC_LABELLED] += rows.labels[i] >= 0;
            if (rows.teacher)
                metrics[METRIC_AGREE] += predictions[i] == argmax(rows.teacher + row, rows.classes);
        }
        metrics[METRIC_SAMPLES] += batch->count;
    }
    return STATUS_OK;
}
