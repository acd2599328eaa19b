/* Refined logits: the teacher's confidence moved to the label, and the classes that it ranks below the label. */
#include "shared/training/losses/logit_row.h"

static int class_of(const struct row_scores *row)
{
    int best = 0;
    for (int k = 1; k < row->classes; k++)
        best = row->z[k] > row->z[best] ? k : best;
    return best;
}

static double rld(const struct cpu_loss_args *args)
{
    const struct loss_term *term = args->term;
    const double t = term->temperature, t1 = term->alpha_temperature;
    const int classes = args->classes, labelled = count_labelled(args, classes);
    double sum = 0;
    for (int i = 0; i < args->count; i++) {
        const int label = label_of_row(args, i, classes).label;
        if (label < 0 || row_left_out(args, i))
            continue;
        const struct row_scores s = logits_of_row(args, args->logits, i);
        const struct row_scores teacher = logits_of_row(args, args->teacher_logits, i);
        const double bound = teacher.z[label];
        const struct label_split own = label_split_of(&s, label, t1, false);
        const struct label_split top = label_split_of(&teacher, class_of(&teacher), t1, false);
        const struct log_softmax q = log_softmax_below(&s, &teacher, bound, 1 / t);
        const struct log_softmax p = log_softmax_below(&teacher, &teacher, bound, 1 / t);
        sum += term->alpha * t1 * t1 * dkd_label_value(&own, &top);
        for (int k = 0; k < classes; k++) {
            double derivative = term->alpha * t1 * dkd_excess(&own, &top) * (k == label ? 1 : -exp(log_other(&own, k)));
            if (teacher.z[k] < bound) {
                const double log_p = log_probability(&p, teacher.z[k]), log_q = log_probability(&q, s.z[k]);
                sum += term->beta * t * t * kl_part(log_p, log_q);
                derivative += term->beta * t * (exp(log_q) - exp(log_p));
            }
            if (args->gradient)
                args->gradient[(size_t)i * (size_t)classes + (size_t)k] +=
                    (float)(args->weight * derivative / labelled);
        }
    }
    return labelled ? sum / labelled : 0;
}

const struct cpu_loss cpu_rld = {LOSS_RLD, rld, NULL};
