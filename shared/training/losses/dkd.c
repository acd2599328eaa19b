/* Decoupled distillation: the label against the rest (TCKD), and the other classes among themselves (NCKD). */
#include "shared/training/losses/logit_row.h"

/* T^2 * the derivative of alpha * TCKD + beta * NCKD by the (standardised) student's logit k. */
static double dkd_derivative(const struct loss_term *term, const struct label_split *student,
                             const struct label_split *teacher, bool at_label, int k)
{
    if (at_label)
        return term->temperature * term->alpha * dkd_excess(student, teacher);
    return term->temperature * dkd_other_derivative(student, teacher, k, term->alpha, term->beta);
}

static double dkd(const struct cpu_loss_args *args)
{
    const struct loss_term *term = args->term;
    const int classes = args->classes, labelled = count_labelled(args, classes);
    double sum = 0;
    for (int i = 0; i < args->count; i++) {
        const int label = label_of_row(args, i, classes).label;
        double others = 0, pull = 0;
        if (label < 0 || row_left_out(args, i))
            continue;
        const struct row_scores s = logits_of_row(args, args->logits, i);
        const struct row_scores t = logits_of_row(args, args->teacher_logits, i);
        const struct label_split student = label_split_of(&s, label, term->temperature, term->standardise);
        const struct label_split teacher = label_split_of(&t, label, term->temperature, term->standardise);
        for (int k = 0; k < classes; k++) {
            if (k != label)
                others += kl_part(log_other(&teacher, k), log_other(&student, k));
            if (term->standardise)
                pull += dkd_derivative(term, &student, &teacher, k == label, k) * (s.z[k] - student.standard.mean);
        }
        sum += term->beta * others + term->alpha * dkd_label_value(&student, &teacher);
        for (int k = 0; args->gradient && k < classes; k++) {
            const double by_standard = dkd_derivative(term, &student, &teacher, k == label, k);
            const double derivative = derivative_through(&student.standard, by_standard, pull, s.z[k]);
            args->gradient[(size_t)i * (size_t)classes + (size_t)k] += (float)(args->weight * derivative / labelled);
        }
    }
    return labelled ? (double)term->temperature * term->temperature * sum / labelled : 0;
}

const struct cpu_loss cpu_dkd = {LOSS_DKD, dkd, NULL};
