/* Multi-level distillation: kd at five temperatures, and how the probabilities of the batch's rows and of its classes
 * relate to one another. */
#include "shared/training/losses/logit_row.h"

static size_t mlkd_scratch(const struct loss_term *term, const struct loss_shape *shape)
{
    const size_t batch = (size_t)shape->batch, classes = (size_t)shape->classes;
    (void)term;
    return (2 * batch + 1) * classes * sizeof(double) + classes * classes * sizeof(struct mlkd_entry);
}

/* out[count, classes] = softmax(logits / T); 0 in a row that is left out, so that it relates to no other one. */
static void probabilities(const struct cpu_loss_args *args, const float *logits, double temperature, double *out)
{
    for (int i = 0; i < args->count; i++) {
        const struct row_scores row = logits_of_row(args, logits, i);
        const struct log_softmax softmax = log_softmax_of(&row, -1, 1 / temperature);
        for (int k = 0; k < args->classes; k++)
            *out++ = row_left_out(args, i) ? 0 : exp(log_probability(&softmax, row.z[k]));
    }
}

/* entries[l][k], see struct mlkd_entry */
static void relate(const double *q, const double *p, int count, size_t classes, struct mlkd_entry *entries)
{
    for (size_t l = 0; l < classes; l++)
        for (size_t k = 0; k < classes; k++) {
            struct mlkd_entry e = {0, 0, 0};
            for (size_t i = 0; i < (size_t)count; i++) {
                e.a += q[i * classes + l] * q[i * classes + k];
                e.b += p[i * classes + l] * q[i * classes + k];
                e.c += p[i * classes + l] * p[i * classes + k];
            }
            entries[l * classes + k] = e;
        }
}

/* The value at one temperature. */
static double level(const struct cpu_loss_args *args, double temperature)
{
    const size_t classes = (size_t)args->classes, size = (size_t)args->count * classes;
    const double by_batch = (double)args->term->beta / args->count,
                 by_class = (double)args->term->gamma / args->classes;
    double *q = args->scratch, *p = q + size,
           *derivatives = p + size; /* [count, classes], [count, classes], [classes] */
    struct mlkd_entry *entries = (struct mlkd_entry *)(derivatives + classes);
    double value = 0, divergence = 0;
    probabilities(args, args->logits, temperature, q);
    probabilities(args, args->teacher_logits, temperature, p);
    relate(q, p, args->count, classes, entries);
    for (size_t i = 0; i < classes * classes; i++)
        value += mlkd_entry_value(&entries[i], by_batch, by_class);
    for (int i = 0; i < args->count; i++, q += classes, p += classes) {
        const struct row_scores s = logits_of_row(args, args->logits, i);
        const struct row_scores t = logits_of_row(args, args->teacher_logits, i);
        const struct log_softmax log_q = log_softmax_of(&s, -1, 1 / temperature);
        const struct log_softmax log_p = log_softmax_of(&t, -1, 1 / temperature);
        double mean = 0; /* of the derivatives, weighted by q: the derivative of softmax subtracts it */
        if (row_left_out(args, i))
            continue;
        for (size_t k = 0; k < classes; k++) {
            divergence += kl_part(log_probability(&log_p, t.z[k]), log_probability(&log_q, s.z[k]));
            derivatives[k] = 0;
            for (size_t l = 0; args->gradient && l < classes; l++)
                derivatives[k] += mlkd_entry_derivative(&entries[l * classes + k], by_batch, by_class, q[l], p[l]);
            mean += q[k] * derivatives[k];
        }
        for (size_t k = 0; args->gradient && k < classes; k++) {
            const double derivative =
                q[k] * (derivatives[k] - mean) / temperature + temperature * (q[k] - p[k]) / args->count;
            args->gradient[(size_t)i * classes + k] += (float)(args->weight * derivative);
        }
    }
    return value + temperature * temperature * divergence / args->count;
}

static double mlkd(const struct cpu_loss_args *args)
{
    double value = 0;
    for (int j = 0; j < MLKD_TEMPERATURES; j++)
        value += level(args, mlkd_temperature(args->term->temperature, j));
    return value;
}

const struct cpu_loss cpu_mlkd = {LOSS_MLKD, mlkd, mlkd_scratch};
