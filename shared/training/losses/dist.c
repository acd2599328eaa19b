/* DIST: how the student's probabilities correlate with the teacher's, by rows (a sample's classes) and by columns (a
 * class's samples). */
#include "shared/training/losses/logit_row.h"

/* x, y: `count` numbers, `stride` apart, of which those of left_out (NULL: none) do not count */
static struct pearson pearson_of(const double *x, const double *y, int count, size_t stride,
                                 const unsigned char *left_out)
{
    double mean_x = 0, mean_y = 0, ab = 0, aa = 0, bb = 0;
    int kept = 0;
    for (int i = 0; i < count; i++)
        kept += !(left_out && left_out[i]);
    for (int i = 0; i < count; i++) {
        if (left_out && left_out[i])
            continue;
        mean_x += x[(size_t)i * stride] / kept;
        mean_y += y[(size_t)i * stride] / kept;
    }
    for (int i = 0; i < count; i++) {
        if (left_out && left_out[i])
            continue;
        const double a = x[(size_t)i * stride] - mean_x, b = y[(size_t)i * stride] - mean_y;
        ab += a * b;
        aa += a * a;
        bb += b * b;
    }
    return pearson_from(mean_x, mean_y, ab, aa, bb);
}

/* out[count, classes] = softmax(logits / T) */
static void probabilities(const struct cpu_loss_args *args, const float *logits, double *out)
{
    for (int i = 0; i < args->count; i++) {
        const struct row_scores row = logits_of_row(args, logits, i);
        const struct log_softmax softmax = log_softmax_of(&row, -1, 1.0 / args->term->temperature);
        for (int k = 0; k < args->classes; k++)
            *out++ = exp(log_probability(&softmax, row.z[k]));
    }
}

static size_t dist_scratch(const struct loss_term *term, const struct loss_shape *shape)
{
    const size_t batch = (size_t)shape->batch, classes = (size_t)shape->classes;
    (void)term;
    return 2 * batch * classes * sizeof(double) + classes * sizeof(struct pearson);
}

/* T^2 * (beta * (1 - mean r of the rows) + gamma * (1 - mean r of the columns)) */
static double dist(const struct cpu_loss_args *args)
{
    const size_t classes = (size_t)args->classes, size = (size_t)args->count * classes;
    const double temperature = args->term->temperature;
    const double by_row = args->term->beta / args->count, by_column = (double)args->term->gamma / args->classes;
    double *q = args->scratch, *p = q + size;               /* [count, classes] of the student, of the teacher */
    struct pearson *columns = (struct pearson *)(p + size); /* [classes] */
    double value = 0;
    probabilities(args, args->logits, q);
    probabilities(args, args->teacher_logits, p);
    for (size_t k = 0; k < classes; k++) {
        columns[k] = pearson_of(q + k, p + k, args->count, classes, args->left_out);
        value += by_column * (1 - columns[k].r);
    }
    for (int i = 0; i < args->count; i++, q += classes, p += classes) {
        if (row_left_out(args, i))
            continue;
        const struct pearson row = pearson_of(q, p, args->classes, 1, NULL);
        double mean = 0; /* of the derivatives, weighted by q: the derivative of softmax subtracts it */
        value += by_row * (1 - row.r);
        for (int pass = 0; args->gradient && pass < 2; pass++)
            for (size_t k = 0; k < classes; k++) {
                const double derivative = -by_row * pearson_derivative(&row, q[k], p[k]) -
                                          by_column * pearson_derivative(&columns[k], q[k], p[k]);
                if (pass == 0)
                    mean += q[k] * derivative;
                else
                    args->gradient[(size_t)i * classes + k] +=
                        (float)(args->weight * temperature * q[k] * (derivative - mean));
            }
    }
    return temperature * temperature * value;
}

const struct cpu_loss cpu_dist = {LOSS_DIST, dist, dist_scratch};
