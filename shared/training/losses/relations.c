/* Terms that compare how the rows of a batch lie to one another. All of them see a row x_i only through the Gram matrix
 * G = x x^T: |x_i - x_j|^2 = G_ii + G_jj - 2 G_ij, <x_j - x_i, x_k - x_i> = G_jk - G_ij - G_ik + G_ii, and cosines. So
 * a term is the Gram matrices of student and teacher, its value and A = dvalue/dG of the student's, and the gradient
 * (A + A^T) x: memory is O(n^2), also for the n^3 angles. G is in double, where what the differences cancel is not felt
 * in rows of floats. */
#include "shared/training/cpu/cpu_loss.h"
#include "shared/training/losses/row_products.h"

#include <math.h>
#include <string.h>

static const double EQUAL = 1e-13;         /* rows this much closer than long are equal up to float's rounding */
static const double NEAREST = 1e-12;       /* squared distances are clamped to it */
static const double NORM_SHORTEST = 1e-12; /* F.normalize's */
static const double PKT_EPSILON = 1e-7;
static const double ANGLE_EPSILON = 1e-8; /* of HW13's form */

enum { MATRICES = 7 };

struct relations {
    const struct cpu_term *t;
    size_t n;
    double *student, *teacher;                       /* [n, n] Gram matrices */
    double *derivative;                              /* [n, n] A */
    double *inverse, *teacher_inverse;               /* [n, n] angles: 1 / |x_i - x_j|; pkt: (cos + 1) / 2 */
    double *number_derivatives, *length_derivatives; /* [n, n] angles: of (i, j), sums over k */
    double *values;                                  /* [n] angles: of each row; pkt: 1 / norm */
};

/* The difference's value and derivative. */
struct penalty {
    double value, derivative;
};

static inline struct penalty penalty_of(enum loss_distance distance, double u)
{
    if (distance == DISTANCE_MSE)
        return (struct penalty){u * u, 2 * u};
    if (fabs(u) < 1)
        return (struct penalty){u * u / 2, u};
    return (struct penalty){fabs(u) - 0.5, u < 0 ? -1 : 1};
}

/* 0 where rows are equal. */
static double squared_distance(const double *gram, size_t n, size_t i, size_t j)
{
    const double ends = gram[i * n + i] + gram[j * n + j], squared = ends - 2 * gram[i * n + j];
    return squared < ends * EQUAL ? 0 : squared;
}

/* ---- Gram matrices and back ---- */
static struct relations relations_of(const struct cpu_term *t)
{
    const struct loss_shape *s = t->shape;
    const size_t n = (size_t)t->rows, size = n * n;
    double *matrices = t->scratch;
    struct relations r = {t,
                          n,
                          matrices,
                          matrices + size,
                          matrices + 2 * size,
                          matrices + 3 * size,
                          matrices + 4 * size,
                          matrices + 5 * size,
                          matrices + 6 * size,
                          matrices + 7 * size};
    const size_t length = (size_t)s->pixels * (size_t)s->channels;
    const size_t teacher_length = (size_t)s->teacher_pixels * (size_t)s->teacher_channels;
    cpu_row_products(t->device->pool, t->student, t->rows, t->student, t->rows, length, r.student);
    cpu_row_products(t->device->pool, t->teacher, t->rows, t->teacher, t->rows, teacher_length, r.teacher);
    memset(r.derivative, 0, size * sizeof *r.derivative);
    return r;
}

static size_t scratch(const struct loss_term *term, const struct loss_shape *shape)
{
    const size_t n = (size_t)shape->batch;
    (void)term;
    return (MATRICES * n + 1) * n * sizeof(double);
}

static void back(const struct relations *r)
{
    const struct cpu_term *t = r->t;
    const size_t n = r->n;
    if (!t->student_gradient)
        return;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j <= i; j++)
            r->derivative[i * n + j] = r->derivative[j * n + i] = r->derivative[i * n + j] + r->derivative[j * n + i];
    cpu_combine_rows(t->device->pool, &(struct cpu_combination){
                                          .m = r->derivative,
                                          .row_step = n,
                                          .column_step = 1,
                                          .x = t->student,
                                          .out_rows = t->rows,
                                          .x_rows = t->rows,
                                          .length = (size_t)t->shape->pixels * (size_t)t->shape->channels,
                                          .scale = t->weight,
                                          .add = true,
                                          .out = t->student_gradient,
                                      });
}

/* ---- RKD, distances ---- */
static double distance(const double *gram, size_t n, size_t i, size_t j)
{
    const double squared = squared_distance(gram, n, i, j);
    return i == j ? 0 : sqrt(squared < NEAREST ? NEAREST : squared);
}

/* 1 / mean of the distances between different rows, which are positive. */
static double distance_scale(const struct cpu_term *t, const double *gram, size_t n)
{
    double sum = 0;
    if (t->term->scale == SCALE_NONE || n < 2)
        return 1;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++)
            sum += distance(gram, n, i, j);
    return (double)(n * (n - 1)) / sum;
}

static double rkd_distance(const struct cpu_term *t)
{
    const struct relations r = relations_of(t);
    const size_t n = r.n;
    const double scale = distance_scale(t, r.student, n), teacher_scale = distance_scale(t, r.teacher, n);
    const double share = 1.0 / (double)(n * n);
    double value = 0, scale_derivative = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++) {
            const double d = distance(r.student, n, i, j);
            const struct penalty p =
                penalty_of(t->term->distance, d * scale - distance(r.teacher, n, i, j) * teacher_scale);
            value += share * p.value;
            scale_derivative += share * p.derivative * d;
            r.derivative[i * n + j] = share * p.derivative * scale; /* of d */
        }
    /* of every d through the mean */
    const double mean_derivative =
        t->term->scale == SCALE_MEAN && n > 1 ? -scale_derivative * scale * scale / (double)(n * (n - 1)) : 0;
    for (size_t i = 0; i < n; i++) {
        double sum = 0;
        for (size_t j = 0; j < n; j++) {
            const double squared = squared_distance(r.student, n, i, j);
            const double derivative = i != j && squared >= NEAREST
                                          ? (r.derivative[i * n + j] + mean_derivative) / sqrt(squared)
                                          : 0; /* of squared, twice */
            r.derivative[i * n + j] = -derivative;
            sum += derivative;
        }
        r.derivative[i * n + i] = sum; /* the matrix of derivatives is symmetric: row i once more stands for column i */
    }
    back(&r);
    return value;
}

/* ---- RKD, angles ---- */
/* Of the cosine of angle (j, i, k): c = number * inverse_ij * inverse_ik, number = <x_j - x_i, x_k - x_i>. */
static inline double angle_number(const double *gram, size_t n, size_t i, size_t j, size_t k)
{
    return gram[j * n + k] - gram[i * n + j] - gram[i * n + k] + gram[i * n + i];
}

/* All angles with row j at an arm's end. Of cosine (j, i, k) = (k, i, j) the derivative goes to G_jk, and through the
 * sums over k to what i and j have in common. */
static void angles_of_arm(void *context, int arm, int worker)
{
    const struct relations *r = context;
    const enum loss_distance kind = r->t->term->distance;
    const size_t n = r->n, j = (size_t)arm;
    const double share = 1.0 / ((double)n * (double)n * (double)n);
    double value = 0;
    (void)worker;
    for (size_t i = 0; i < n; i++) {
        const double *inverse = r->inverse + i * n, *teacher_inverse = r->teacher_inverse + i * n;
        double number_derivative = 0, length_derivative = 0;
        for (size_t k = 0; k < n; k++) {
            const double lengths = inverse[j] * inverse[k];
            const double angle = angle_number(r->student, n, i, j, k) * lengths;
            const double teacher = angle_number(r->teacher, n, i, j, k) * teacher_inverse[j] * teacher_inverse[k];
            const struct penalty p = penalty_of(kind, angle - teacher);
            const double derivative = share * p.derivative * lengths;
            value += share * p.value;
            r->derivative[j * n + k] += derivative;
            number_derivative += derivative;
            length_derivative += share * p.derivative * angle;
        }
        r->number_derivatives[i * n + j] = number_derivative;
        r->length_derivatives[i * n + j] = length_derivative;
    }
    r->values[j] = value;
}

static void invert_lengths(const double *gram, size_t n, double epsilon, double *inverse)
{
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++) {
            const double squared = i == j ? 0 : squared_distance(gram, n, i, j);
            inverse[i * n + j] = squared == 0 ? 0 : 1 / (sqrt(squared) + epsilon);
        }
}

static double rkd_angle(const struct cpu_term *t)
{
    struct relations r = relations_of(t);
    const size_t n = r.n;
    const double epsilon = t->term->distance == DISTANCE_MSE ? ANGLE_EPSILON : 0;
    double value = 0;
    invert_lengths(r.student, n, epsilon, r.inverse);
    invert_lengths(r.teacher, n, epsilon, r.teacher_inverse);
    thread_pool_run(t->device->pool, t->rows, angles_of_arm, &r);
    for (size_t i = 0; i < n; i++) {
        value += r.values[i];
        for (size_t j = 0; j < n; j++) {
            const double inverse = r.inverse[i * n + j], number_derivative = r.number_derivatives[i * n + j];
            /* of |x_i - x_j|^2: dc/dlength = -c * inverse, and each of the two arms is j once */
            const double squared_derivative =
                inverse == 0 ? 0
                             : -r.length_derivatives[i * n + j] * inverse / sqrt(squared_distance(r.student, n, i, j));
            r.derivative[i * n + j] -= 2 * (number_derivative + squared_derivative);
            r.derivative[i * n + i] += number_derivative + squared_derivative;
            r.derivative[j * n + j] += squared_derivative;
        }
    }
    back(&r);
    return value;
}

/* ---- similarities ---- */
static double similarity(const struct cpu_term *t)
{
    const struct relations r = relations_of(t);
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
        const double inverse = 1 / fmax(sqrt(squares), NORM_SHORTEST);
        const double teacher_inverse = 1 / fmax(sqrt(teacher_squares), NORM_SHORTEST);
        for (size_t j = 0; j < n; j++) {
            const double difference = g[j] * inverse - teacher[j] * teacher_inverse;
            value += share * difference * difference;
            derivative[j] = 2 * share * difference;
            along += derivative[j] * g[j] * inverse;
        }
        for (size_t j = 0; j < n; j++)
            derivative[j] = sqrt(squares) > NORM_SHORTEST ? (derivative[j] - along * g[j] * inverse) * inverse : 0;
    }
    back(&r);
    return value;
}

/* out[n, n] = (cos + 1) / 2; norms[n] = 1 / (|x_i| + epsilon), 0 for a row of zeros, which has no direction. */
static void closeness_of(const double *gram, size_t n, double *norms, double *out)
{
    for (size_t i = 0; i < n; i++)
        norms[i] = gram[i * n + i] == 0 ? 0 : 1 / (sqrt(gram[i * n + i]) + PKT_EPSILON);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++)
            out[i * n + j] = (gram[i * n + j] * norms[i] * norms[j] + 1) / 2;
}

static double pkt(const struct cpu_term *t)
{
    const struct relations r = relations_of(t);
    const size_t n = r.n;
    const double share = 1.0 / (double)(n * n);
    double value = 0;
    closeness_of(r.teacher, n, r.values, r.teacher_inverse);
    closeness_of(r.student, n, r.values, r.inverse);
    for (size_t i = 0; i < n; i++) {
        const double *close = r.inverse + i * n, *teacher = r.teacher_inverse + i * n;
        double *derivative = r.derivative + i * n, sum = 0, teacher_sum = 0, along = 0;
        for (size_t j = 0; j < n; j++) {
            sum += close[j];
            teacher_sum += teacher[j];
        }
        for (size_t j = 0; j < n; j++) {
            const double q = close[j] / sum, p = teacher[j] / teacher_sum;
            value += share * p * log((p + PKT_EPSILON) / (q + PKT_EPSILON));
            derivative[j] = -share * p / (q + PKT_EPSILON); /* of q */
            along += derivative[j] * q;
        }
        for (size_t j = 0; j < n; j++)
            derivative[j] = (derivative[j] - along) / sum / 2 * r.values[i] * r.values[j];
    }
    for (size_t i = 0; i < n; i++) { /* through the norms, which depend on G_ii */
        double along = 0;
        for (size_t j = 0; j < n; j++)
            along += (r.derivative[i * n + j] + r.derivative[j * n + i]) * r.student[i * n + j];
        if (r.values[i] != 0)
            r.derivative[i * n + i] -= along * r.values[i] / (2 * sqrt(r.student[i * n + i]));
    }
    back(&r);
    return value;
}

const struct cpu_term_kind cpu_relation_terms[LOSS_KIND_COUNT] = {
    [LOSS_RKD_DISTANCE] = {rkd_distance, scratch},
    [LOSS_RKD_ANGLE] = {rkd_angle, scratch},
    [LOSS_SP] = {similarity, scratch},
    [LOSS_PKT] = {pkt, scratch},
};
