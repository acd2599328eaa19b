/* DIST: how the student's probabilities correlate with the teacher's, by rows (a sample's classes) and by columns (a
 * class's samples). */
#include "shared/training/losses/logit_row.h"

/* Pearson's correlation of a row or column x of the student's probabilities with y of the teacher's, both less their
 * means: r = dot / (|x| |y| + 1e-8), dr/dx = along_y * y - along_x * x. */
struct correlation {
    double mean_x, mean_y, r, along_x, along_y;
};

static struct correlation correlation_of(const double *x, const double *y, int count, size_t stride)
{
    struct correlation c = {0};
    double dot = 0, xx = 0, yy = 0;
    for (int i = 0; i < count; i++) {
        c.mean_x += x[(size_t)i * stride] / count;
        c.mean_y += y[(size_t)i * stride] / count;
    }
    for (int i = 0; i < count; i++) {
        const double a = x[(size_t)i * stride] - c.mean_x, b = y[(size_t)i * stride] - c.mean_y;
        dot += a * b;
        xx += a * a;
        yy += b * b;
    }
    const double norms = sqrt(xx) * sqrt(yy) + 1e-8;
    c.r = dot / norms;
    c.along_y = 1 / norms;
    c.along_x = xx > 0 ? dot / norms / norms * sqrt(yy) / sqrt(xx) : 0;
    return c;
}

static double correlation_derivative(const struct correlation *c, double x, double y)
{
    return c->along_y * (y - c->mean_y) - c->along_x * (x - c->mean_x);
}

static void probabilities(const struct cpu_term *t, const float *logits, double *out)
{
    for (int i = 0; i < t->count; i++) {
        const struct row_scores row = logits_of(t, logits, i);
        const struct log_softmax softmax = log_softmax_of(&row, -1, 1.0 / t->term->temperature);
        for (int k = 0; k < t->classes; k++)
            *out++ = exp(log_probability(&softmax, row.z[k]));
    }
}

size_t cpu_correlation_scratch(const struct loss_term *term, const struct loss_shape *shape)
{
    const size_t batch = (size_t)shape->batch, classes = (size_t)shape->classes;
    (void)term;
    return 2 * batch * classes * sizeof(double) + classes * sizeof(struct correlation);
}

/* T^2 * (beta * (1 - mean r of the rows) + gamma * (1 - mean r of the columns)) */
double cpu_correlation(const struct cpu_term *t)
{
    const size_t classes = (size_t)t->classes, values = (size_t)t->count * classes;
    const double temperature = t->term->temperature;
    const double by_row = t->term->beta / t->count, by_column = (double)t->term->gamma / t->classes;
    double *q = t->scratch, *p = q + values; /* [count, classes] of the student, of the teacher */
    struct correlation *columns = (struct correlation *)(p + values); /* [classes] */
    double value = (double)t->term->beta + t->term->gamma;
    probabilities(t, t->logits, q);
    probabilities(t, t->teacher_logits, p);
    for (size_t k = 0; k < classes; k++) {
        columns[k] = correlation_of(q + k, p + k, t->count, classes);
        value -= by_column * columns[k].r;
    }
    for (int i = 0; i < t->count; i++, q += classes, p += classes) {
        const struct correlation row = correlation_of(q, p, t->classes, 1);
        double mean = 0; /* of the derivatives, by q: softmax's derivative takes it off */
        value -= by_row * row.r;
        for (int pass = 0; t->gradient && pass < 2; pass++)
            for (size_t k = 0; k < classes; k++) {
                const double derivative = -by_row * correlation_derivative(&row, q[k], p[k]) -
                                          by_column * correlation_derivative(&columns[k], q[k], p[k]);
                if (pass == 0)
                    mean += q[k] * derivative;
                else
                    t->gradient[(size_t)i * classes + k] +=
                        (float)(t->weight * temperature * q[k] * (derivative - mean));
            }
    }
    return temperature * temperature * value;
}
