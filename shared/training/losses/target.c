/* Terms that take a row's label apart from the other classes: dkd and nkd. */
#include "shared/training/losses/logit_row.h"

/* One side of a row: p = softmax(z * inverse) and its parts. */
struct parted {
    struct row_scores row;
    struct row_standard standard;
    struct log_softmax all, others; /* of all classes; of those other than the label */
    int label;
    double log_target, log_rest; /* log p[label], log(1 - p[label]) */
};

static struct parted parted_of(const struct cpu_term *t, const float *logits, int i, int label, double temperature)
{
    struct parted parted = {.row = logits_of(t, logits, i), .label = label};
    parted.standard = row_standard_of(&parted.row, t->term->kind == LOSS_DKD && t->term->standardise);
    const double inverse = 1 / (temperature * parted.standard.deviation);
    parted.all = log_softmax_of(&parted.row, -1, inverse);
    parted.others = log_softmax_of(&parted.row, label, inverse);
    parted.log_target = log_probability(&parted.all, parted.row.z[label]);
    parted.log_rest = log_probability(&parted.all, parted.others.max) + parted.others.log_sum;
    return parted;
}

/* log of class k's probability among the classes other than the label */
static double log_other(const struct parted *parted, int k)
{
    return log_probability(&parted->others, parted->row.z[k]);
}

/* p log(p / q); 0 where p is 0 */
static double divergence(double log_p, double log_q)
{
    const double p = exp(log_p);
    return p > 0 ? p * (log_p - log_q) : 0;
}

/* ---- dkd ---- */
static double decoupled_derivative(const struct loss_term *term, const struct parted *s, const struct parted *t, int k)
{
    const double excess = exp(s->log_target) - exp(t->log_target);
    double other;
    if (k == s->label)
        return term->temperature * term->alpha * excess;
    other = exp(log_other(s, k));
    return term->temperature * (term->beta * (other - exp(log_other(t, k))) - term->alpha * excess * other);
}

/* T^2 * (alpha * TCKD + beta * NCKD) */
double cpu_decoupled(const struct cpu_term *t)
{
    const struct loss_term *term = t->term;
    const int labelled = cpu_count_labelled(t, t->classes);
    double sum = 0;
    for (int i = 0; i < t->count; i++) {
        const int label = cpu_row_label(t, i, t->classes).label;
        double others = 0, pull = 0;
        if (label < 0)
            continue;
        const struct parted student = parted_of(t, t->logits, i, label, term->temperature);
        const struct parted teacher = parted_of(t, t->teacher_logits, i, label, term->temperature);
        for (int k = 0; k < t->classes; k++) {
            if (k != label)
                others += divergence(log_other(&teacher, k), log_other(&student, k));
            if (term->standardise)
                pull += decoupled_derivative(term, &student, &teacher, k) * (student.row.z[k] - student.standard.mean);
        }
        sum += term->beta * others + term->alpha * (divergence(teacher.log_target, student.log_target) +
                                                    divergence(teacher.log_rest, student.log_rest));
        for (int k = 0; t->gradient && k < t->classes; k++) {
            const double derivative = derivative_through(
                &student.standard, decoupled_derivative(term, &student, &teacher, k), pull, student.row.z[k]);
            t->gradient[(size_t)i * (size_t)t->classes + (size_t)k] += (float)(t->weight * derivative / labelled);
        }
    }
    return labelled ? (double)term->temperature * term->temperature * sum / labelled : 0;
}

/* ---- nkd ---- */
/* -t_label log s_label - gamma * T^2 * sum over the other classes of T_k log S_k */
double cpu_normalised(const struct cpu_term *t)
{
    const double temperature = t->term->temperature, gamma = t->term->gamma;
    const int labelled = cpu_count_labelled(t, t->classes);
    double sum = 0;
    for (int i = 0; i < t->count; i++) {
        const int label = cpu_row_label(t, i, t->classes).label;
        if (label < 0)
            continue;
        const struct parted student = parted_of(t, t->logits, i, label, 1);
        const struct parted teacher = parted_of(t, t->teacher_logits, i, label, 1);
        const struct log_softmax others = log_softmax_of(&student.row, label, 1 / temperature);
        const struct log_softmax teacher_others = log_softmax_of(&teacher.row, label, 1 / temperature);
        const double target = exp(teacher.log_target);
        sum -= target * student.log_target;
        for (int k = 0; k < t->classes; k++) {
            const double log_q = log_probability(&others, student.row.z[k]);
            const double p = exp(log_probability(&teacher_others, teacher.row.z[k]));
            double derivative = target * (exp(log_probability(&student.all, student.row.z[k])) - (k == label));
            if (k != label) {
                sum -= gamma * temperature * temperature * p * log_q;
                derivative += gamma * temperature * (exp(log_q) - p);
            }
            if (t->gradient)
                t->gradient[(size_t)i * (size_t)t->classes + (size_t)k] += (float)(t->weight * derivative / labelled);
        }
    }
    return labelled ? sum / labelled : 0;
}
