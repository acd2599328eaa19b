/* RKD's distances: how far the rows of a batch are from one another, for the student as for the teacher. */
#include "shared/training/losses/gram.h"

static size_t rkd_distance_scratch(const struct loss_term *term, const struct loss_shape *shape)
{
    (void)term;
    return gram_scratch(shape, 0, 0);
}

/* 1 / mean of the distances between different rows, which are positive. */
static double distance_scale(const struct cpu_loss_args *args, const double *gram, size_t n)
{
    double sum = 0;
    if (args->term->scale == SCALE_NONE || n < 2)
        return 1;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++)
            sum += row_distance(gram, n, i, j);
    return (double)(n * (n - 1)) / sum;
}

/* r->derivative: by the distances -> by the Gram matrix. mean_derivative: what every distance gets through the mean. */
static void through_distances(const struct gram_matrices *r, double mean_derivative)
{
    const size_t n = r->n;
    for (size_t i = 0; i < n; i++) {
        double sum = 0;
        for (size_t j = 0; j < n; j++) {
            const double derivative = through_distance(r->derivative[i * n + j] + mean_derivative,
                                                       squared_distance(r->student, n, i, j), i == j);
            r->derivative[i * n + j] = -derivative;
            sum += derivative;
        }
        r->derivative[i * n + i] = sum; /* row i and column i: derivatives of distances are symmetric */
    }
}

static double rkd_distance(const struct cpu_loss_args *args)
{
    const struct gram_matrices r = gram_matrices_of(args);
    const size_t n = r.n;
    const double scale = distance_scale(args, r.student, n), teacher_scale = distance_scale(args, r.teacher, n);
    const double share = 1.0 / (double)(n * n);
    double value = 0, scale_derivative = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++) {
            const double d = row_distance(r.student, n, i, j);
            const struct loss_part p =
                penalty_of(args->term->distance, d * scale - row_distance(r.teacher, n, i, j) * teacher_scale);
            value += share * p.value;
            scale_derivative += share * p.derivative * d;
            r.derivative[i * n + j] = share * p.derivative * scale; /* by d */
        }
    const bool scaled = args->term->scale == SCALE_MEAN && n > 1;
    through_distances(&r, scaled ? -scale_derivative * scale * scale / (double)(n * (n - 1)) : 0);
    gram_back(&r);
    return value;
}

const struct cpu_loss cpu_rkd_distance = {LOSS_RKD_DISTANCE, rkd_distance, rkd_distance_scratch};
