/* Normalised distillation: -t_y log s_y - gamma * T^2 * sum over the classes k other than y of T_k log S_k. */
#include "shared/training/losses/logit_row.h"

static double nkd(const struct cpu_loss_args *args)
{
    const double temperature = args->term->temperature, gamma = args->term->gamma;
    const int classes = args->classes, labelled = count_labelled(args, classes);
    double sum = 0;
    for (int i = 0; i < args->count; i++) {
        const int label = label_of_row(args, i, classes).label;
        if (label < 0 || row_left_out(args, i))
            continue;
        const struct row_scores s = logits_of_row(args, args->logits, i);
        const struct row_scores t = logits_of_row(args, args->teacher_logits, i);
        const struct log_softmax student = log_softmax_of(&s, -1, 1), teacher = log_softmax_of(&t, -1, 1);
        const struct log_softmax student_others = log_softmax_of(&s, label, 1 / temperature);
        const struct log_softmax teacher_others = log_softmax_of(&t, label, 1 / temperature);
        const double target = exp(log_probability(&teacher, t.z[label]));
        sum -= target * log_probability(&student, s.z[label]);
        for (int k = 0; k < classes; k++) {
            double derivative = target * (exp(log_probability(&student, s.z[k])) - (k == label));
            if (k != label) {
                const double log_p = log_probability(&teacher_others, t.z[k]);
                const double log_q = log_probability(&student_others, s.z[k]);
                const struct loss_part part = nkd_other(gamma, temperature, log_p, log_q);
                sum += part.value;
                derivative += part.derivative;
            }
            if (args->gradient)
                args->gradient[(size_t)i * (size_t)classes + (size_t)k] +=
                    (float)(args->weight * derivative / labelled);
        }
    }
    return labelled ? sum / labelled : 0;
}

const struct cpu_loss cpu_nkd = {LOSS_NKD, nkd, NULL};
