/* RKD's angles: those between the lines from a row to two others, n^3 in a batch. */
#include "shared/training/losses/gram.h"

/* The context of the tasks. Matrices are [n, n]. */
struct angles {
    struct gram_matrices gram;
    double *inverse, *teacher_inverse; /* 1 / |x_i - x_j| */
    double *number_derivatives;        /* of (i, j): sum over k of the derivative by <x_j - x_i, x_k - x_i> */
    double *length_derivatives;        /* of (i, j): sum over k of the derivative by the cosine, times it */
    double *values;                    /* [n] parts of the value, of each row j */
};

static struct angles angles_of(const struct cpu_loss_args *args)
{
    const struct gram_matrices gram = gram_matrices_of(args);
    const size_t size = gram.n * gram.n;
    return (struct angles){
        gram, gram.rest, gram.rest + size, gram.rest + 2 * size, gram.rest + 3 * size, gram.rest + 4 * size};
}

static size_t rkd_angle_scratch(const struct loss_term *term, const struct loss_shape *shape)
{
    (void)term;
    return gram_scratch(shape, 4, 1);
}

/* All angles with row j at the end of an arm. The derivative by the cosine of (j, i, k) = (k, i, j) goes to G_jk, and
 * through the sums over k to what i and j have in common. */
static void angles_of_arm(void *context, int arm, int worker)
{
    const struct angles *r = context;
    const enum loss_distance distance = r->gram.args->term->distance;
    const size_t n = r->gram.n, j = (size_t)arm;
    const double share = 1.0 / ((double)n * (double)n * (double)n);
    double value = 0;
    (void)worker;
    for (size_t i = 0; i < n; i++) {
        const double *inverse = r->inverse + i * n, *teacher_inverse = r->teacher_inverse + i * n;
        double number_derivative = 0, length_derivative = 0;
        for (size_t k = 0; k < n; k++) {
            const double lengths = inverse[j] * inverse[k];
            const double cosine = arm_product(r->gram.student, n, i, j, k) * lengths;
            const double teacher = arm_product(r->gram.teacher, n, i, j, k) * teacher_inverse[j] * teacher_inverse[k];
            const struct loss_part p = penalty_of(distance, cosine - teacher);
            const double derivative = share * p.derivative * lengths;
            value += share * p.value;
            r->gram.derivative[j * n + k] += derivative;
            number_derivative += derivative;
            length_derivative += share * p.derivative * cosine;
        }
        r->number_derivatives[i * n + j] = number_derivative;
        r->length_derivatives[i * n + j] = length_derivative;
    }
    r->values[j] = value;
}

static void invert_lengths(const double *gram, size_t n, double epsilon, double *inverse)
{
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++)
            inverse[i * n + j] = inverse_length(gram, n, i, j, epsilon);
}

static double rkd_angle(const struct cpu_loss_args *args)
{
    struct angles r = angles_of(args);
    const size_t n = r.gram.n;
    const double epsilon = args->term->distance == DISTANCE_MSE ? ANGLE_EPSILON : 0;
    double *derivative = r.gram.derivative, value = 0;
    invert_lengths(r.gram.student, n, epsilon, r.inverse);
    invert_lengths(r.gram.teacher, n, epsilon, r.teacher_inverse);
    thread_pool_run(args->device->pool, args->rows, angles_of_arm, &r);
    for (size_t i = 0; i < n; i++) {
        value += r.values[i];
        for (size_t j = 0; j < n; j++) {
            const double number_derivative = r.number_derivatives[i * n + j];
            const double squared_derivative = through_length(r.length_derivatives[i * n + j], r.inverse[i * n + j],
                                                             squared_distance(r.gram.student, n, i, j));
            derivative[i * n + j] -= 2 * (number_derivative + squared_derivative);
            derivative[i * n + i] += number_derivative + squared_derivative;
            derivative[j * n + j] += squared_derivative;
        }
    }
    gram_back(&r.gram);
    return value;
}

const struct cpu_loss cpu_rkd_angle = {LOSS_RKD_ANGLE, rkd_angle, rkd_angle_scratch};
