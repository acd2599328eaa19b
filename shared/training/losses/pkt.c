/* Probabilistic knowledge transfer: the divergence between the rows' similarities (cos + 1) / 2, divided by their sums,
 * of teacher and student. */
#include "shared/training/losses/gram.h"

struct similarities {
    struct gram_matrices gram;
    double *student, *teacher; /* [n, n] (cos + 1) / 2 */
    double *inverse_norms;     /* [n] of the student's rows */
};

static size_t pkt_scratch(const struct loss_term *term, const struct loss_shape *shape)
{
    (void)term;
    return gram_scratch(shape, 2, 1);
}

/* out[n, n] = (cos + 1) / 2; norms[n] = 1 / norms of the rows */
static void similarities_of_rows(const double *gram, size_t n, double *norms, double *out)
{
    for (size_t i = 0; i < n; i++)
        norms[i] = inverse_norm(gram, n, i);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++)
            out[i * n + j] = cosine_similarity(gram[i * n + j], norms[i], norms[j]);
}

static struct similarities similarities_of(const struct cpu_loss_args *args)
{
    const struct gram_matrices gram = gram_matrices_of(args);
    const size_t n = gram.n;
    const struct similarities s = {gram, gram.rest, gram.rest + n * n, gram.rest + 2 * n * n};
    similarities_of_rows(gram.teacher, n, s.inverse_norms, s.teacher);
    similarities_of_rows(gram.student, n, s.inverse_norms, s.student);
    return s;
}

/* Adds row i's part to the value, and makes row i of A as if the norms were constant. */
static void pkt_row(const struct similarities *s, size_t i, double *value)
{
    const size_t n = s->gram.n;
    const double *student = s->student + i * n, *teacher = s->teacher + i * n, share = 1.0 / (double)(n * n);
    double *derivative = s->gram.derivative + i * n, sum = 0, teacher_sum = 0, along = 0;
    for (size_t j = 0; j < n; j++) {
        sum += student[j];
        teacher_sum += teacher[j];
    }
    for (size_t j = 0; j < n; j++) {
        const double q = student[j] / sum;
        const struct loss_part part = pkt_part(share, teacher[j] / teacher_sum, q);
        *value += part.value;
        derivative[j] = part.derivative;
        along += derivative[j] * q;
    }
    for (size_t j = 0; j < n; j++)
        derivative[j] = (derivative[j] - along) / sum / 2 * s->inverse_norms[i] * s->inverse_norms[j];
}

static double pkt(const struct cpu_loss_args *args)
{
    const struct similarities s = similarities_of(args);
    const size_t n = s.gram.n;
    const double *gram = s.gram.student, *inverse_norms = s.inverse_norms;
    double *derivative = s.gram.derivative, value = 0;
    for (size_t i = 0; i < n; i++)
        pkt_row(&s, i, &value);
    for (size_t i = 0; i < n; i++) { /* through the norms, which depend on G_ii */
        double along = 0;
        for (size_t j = 0; j < n; j++)
            along += (derivative[i * n + j] + derivative[j * n + i]) * gram[i * n + j];
        if (inverse_norms[i] != 0)
            derivative[i * n + i] -= along * inverse_norms[i] / (2 * sqrt(gram[i * n + i]));
    }
    gram_back(&s.gram);
    return value;
}

const struct cpu_loss cpu_pkt = {LOSS_PKT, pkt, pkt_scratch};
