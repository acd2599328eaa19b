/* The alpha-beta divergence of softmax(teacher / T) and softmax(student / T). */
#include "shared/training/losses/logit_row.h"

static double abkd(const struct cpu_loss_args *args)
{
    const double alpha = args->term->alpha, beta = args->term->beta, inverse = 1.0 / args->term->temperature;
    const double share = 1.0 / args->count;
    double sum = 0;
    for (int i = 0; i < args->count; i++) {
        if (row_left_out(args, i))
            continue;
        const struct row_scores s = logits_of_row(args, args->logits, i);
        const struct row_scores t = logits_of_row(args, args->teacher_logits, i);
        const struct log_softmax q = log_softmax_of(&s, -1, inverse), p = log_softmax_of(&t, -1, inverse);
        double pull = 0;
        for (int k = 0; k < args->classes; k++) {
            const double log_p = log_probability(&p, t.z[k]), log_q = log_probability(&q, s.z[k]);
            sum += abkd_part(alpha, beta, log_p, log_q);
            pull += abkd_pull(alpha, beta, log_p, log_q);
        }
        for (int k = 0; args->gradient && k < args->classes; k++) {
            const double log_p = log_probability(&p, t.z[k]), log_q = log_probability(&q, s.z[k]);
            const double derivative = abkd_pull(alpha, beta, log_p, log_q) - exp(log_q) * pull;
            args->gradient[(size_t)i * (size_t)args->classes + (size_t)k] +=
                (float)(args->weight * share * inverse * derivative);
        }
    }
    return sum * share;
}

const struct cpu_loss cpu_abkd = {LOSS_ABKD, abkd, NULL};
