/* Terms on rows of logits: the specification for other backends. Everything is computed in double through log-softmax,
 * so that logit gaps of hundreds stay finite, one sample after the other. */
#include "shared/training/losses/logit_row.h"

/* The target of class k: the row's label, smoothed. */
static double target_of(const struct row_label *label, double smoothing, int classes, int k)
{
    const double labels = (k == label->label ? label->share : 0) + (k == label->partner ? 1 - label->share : 0);
    return (1 - smoothing) * labels + smoothing / classes;
}

/* F.cross_entropy(logits, labels, label_smoothing=s), unlabelled samples left out of sum and mean; of a student's value
 * [rows, pixels, channels] with the means over its pixels as logits. */
static double cross_entropy(const struct cpu_term *t)
{
    const int classes = t->student ? t->shape->channels : t->classes, pixels = t->student ? t->shape->pixels : 1;
    const size_t size = (size_t)pixels * (size_t)classes;
    const float *value = t->student ? t->student : t->logits;
    float *gradient = t->student ? t->student_gradient : t->gradient;
    const int labelled = cpu_count_labelled(t, classes);
    double sum = 0;
    for (int i = 0; i < t->rows; i++) {
        const struct row_label label = cpu_row_label(t, i, classes);
        const struct row_scores row = {value + (size_t)i * size, classes, pixels};
        if (label.label < 0)
            continue;
        const struct log_softmax softmax = log_softmax_of(&row, -1, 1);
        for (int k = 0; k < classes; k++) {
            const double log_q = log_probability(&softmax, score_of(&row, k));
            const double target = target_of(&label, t->term->label_smoothing, classes, k);
            const double derivative = t->weight * (exp(log_q) - target) / labelled / pixels;
            sum -= target * log_q;
            for (size_t at = (size_t)k; gradient && at < size; at += (size_t)classes)
                gradient[(size_t)i * size + at] += (float)derivative;
        }
    }
    return labelled ? sum / labelled : 0;
}

/* ---- distillation ---- */
/* A row: p = softmax(teacher / T), q = softmax(student / T), perhaps of standardised logits. */
struct pair {
    struct row_scores student, teacher;
    struct row_standard standard; /* of the student */
    struct log_softmax q, p;
    double temperature;
    enum loss_form form;
    double value;  /* KL(p || q); FORM_PRINTED: sum of p * (log p - q) */
    double mean_q; /* FORM_PRINTED: sum of p * q */
};

/* A teacher probability of 0 adds 0, as F.kl_div has it. */
static struct pair pair_of(const struct cpu_term *t, int row)
{
    struct pair pair = {.student = logits_of(t, t->logits, row),
                        .teacher = logits_of(t, t->teacher_logits, row),
                        .temperature = t->term->temperature,
                        .form = t->term->form};
    const struct row_standard teacher = row_standard_of(&pair.teacher, t->term->standardise);
    pair.standard = row_standard_of(&pair.student, t->term->standardise);
    pair.q = log_softmax_of(&pair.student, -1, 1 / (pair.temperature * pair.standard.deviation));
    pair.p = log_softmax_of(&pair.teacher, -1, 1 / (pair.temperature * teacher.deviation));
    for (int k = 0; k < t->classes; k++) {
        const double log_q = log_probability(&pair.q, pair.student.z[k]);
        const double log_p = log_probability(&pair.p, pair.teacher.z[k]), p = exp(log_p);
        if (p > 0)
            pair.value += p * (log_p - (pair.form == FORM_PRINTED ? exp(log_q) : log_q));
        pair.mean_q += p * exp(log_q);
    }
    return pair;
}

/* T^2 * the value's derivative by the (standardised) student's logit k. */
static double pair_derivative(const struct pair *pair, int k)
{
    const double q = exp(log_probability(&pair->q, pair->student.z[k]));
    const double p = exp(log_probability(&pair->p, pair->teacher.z[k]));
    return pair->temperature * (pair->form == FORM_PRINTED ? -q * (p - pair->mean_q) : q - p);
}

/* T^2 * KL(p || q) of every row. */
static double distillation(const struct cpu_term *t)
{
    const double share = t->term->reduction == REDUCTION_MEAN ? 1.0 / t->count / t->classes : 1.0 / t->count;
    double sum = 0;
    for (int i = 0; i < t->count; i++) {
        const struct pair pair = pair_of(t, i);
        const float *z = pair.student.z;
        double pull = 0;
        sum += pair.value;
        if (!t->gradient)
            continue;
        for (int k = 0; t->term->standardise && k < t->classes; k++)
            pull += pair_derivative(&pair, k) * (z[k] - pair.standard.mean);
        for (int k = 0; k < t->classes; k++) {
            const double derivative = derivative_through(&pair.standard, pair_derivative(&pair, k), pull, z[k]);
            t->gradient[(size_t)i * (size_t)t->classes + (size_t)k] += (float)(t->weight * share * derivative);
        }
    }
    return t->term->temperature * t->term->temperature * sum * share;
}

static double squared_difference(const struct cpu_term *t)
{
    const size_t count = (size_t)t->count * (size_t)t->classes;
    double sum = 0;
    for (size_t i = 0; i < count; i++) {
        const double difference = (double)t->logits[i] - t->teacher_logits[i];
        sum += difference * difference;
        if (t->gradient)
            t->gradient[i] += (float)(t->weight * 2 * difference / (double)count);
    }
    return sum / (double)count;
}

const struct cpu_term_kind cpu_logit_terms[LOSS_KIND_COUNT] = {
    [LOSS_CE] = {cross_entropy, NULL},
    [LOSS_KD] = {distillation, NULL},
    [LOSS_LOGIT_MSE] = {squared_difference, NULL},
    [LOSS_DKD] = {cpu_decoupled, NULL},
    [LOSS_DIST] = {cpu_correlation, cpu_correlation_scratch},
    [LOSS_NKD] = {cpu_normalised, NULL},
};
