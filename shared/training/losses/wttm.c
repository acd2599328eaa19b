/* Weighted transformed teacher matching: w * KL(p^gamma / w || q), w = the sum of p^gamma. */
#include "shared/training/losses/logit_row.h"

static double wttm(const struct cpu_loss_args *args)
{
    const double gamma = args->term->gamma, share = 1.0 / args->count;
    double sum = 0;
    for (int i = 0; i < args->count; i++) {
        if (row_left_out(args, i))
            continue;
        const struct row_scores s = logits_of_row(args, args->logits, i);
        const struct row_scores t = logits_of_row(args, args->teacher_logits, i);
        const struct log_softmax q = log_softmax_of(&s, -1, 1), p = log_softmax_of(&t, -1, 1);
        const struct log_softmax powers = log_softmax_of(&t, -1, gamma); /* softmax(gamma t) = p^gamma / w */
        double weight = 0, value = 0;
        for (int k = 0; k < args->classes; k++) {
            weight += exp(gamma * log_probability(&p, t.z[k]));
            value += kl_part(log_probability(&powers, t.z[k]), log_probability(&q, s.z[k]));
        }
        sum += weight * value;
        for (int k = 0; args->gradient && k < args->classes; k++) {
            const double difference = exp(log_probability(&q, s.z[k])) - exp(log_probability(&powers, t.z[k]));
            args->gradient[(size_t)i * (size_t)args->classes + (size_t)k] +=
                (float)(args->weight * share * weight * difference);
        }
    }
    return sum * share;
}

const struct cpu_loss cpu_wttm = {LOSS_WTTM, wttm, NULL};
