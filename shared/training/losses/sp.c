/* Similarity-preserving distillation: |G_s - G_t|^2 / n^2 of the Gram matrices with normalised rows. */
#include "shared/training/losses/gram.h"

static size_t sp_scratch(const struct loss_term *term, const struct loss_shape *shape)
{
    (void)term;
    return gram_scratch(shape, 0, 0);
}

static double sp(const struct cpu_loss_args *args)
{
    const struct gram_matrices r = gram_matrices_of(args);
    const size_t n = r.n;
    const double share = 1.0 / (double)(n * n);
    double value = 0;
    for (size_t i = 0; i < n; i++) {
        const double *g = r.student + i * n, *teacher = r.teacher + i * n;
        double *derivative = r.derivative + i * n;
        double squares = 0, teacher_squares = 0, along = 0;
        for (size_t j = 0; j < n; j++) {
            squares += g[j] * g[j];
            teacher_squares += teacher[j] * teacher[j];
        }
        const double norm = sqrt(squares), inverse = inverse_clamped(norm);
        const double teacher_inverse = inverse_clamped(sqrt(teacher_squares));
        for (size_t j = 0; j < n; j++) {
            const double difference = g[j] * inverse - teacher[j] * teacher_inverse;
            value += share * difference * difference;
            derivative[j] = 2 * share * difference;
            along += derivative[j] * g[j] * inverse;
        }
        for (size_t j = 0; j < n; j++)
            derivative[j] = norm > NORM_SHORTEST ? (derivative[j] - along * g[j] * inverse) * inverse : 0;
    }
    gram_back(&r);
    return value;
}

const struct cpu_loss cpu_sp = {LOSS_SP, sp, sp_scratch};
