/* The formulas of the losses, for CPU and GPU. losses.h says which term has which equation.
 *
 * Here is what a term computes for one number, one class, one sample or one pair of rows: in `number`, which is double
 * on the CPU (on a GPU: float_pair.cuh), or in double where floats have not the range or a row needs it once. Not here:
 * - sums over rows, classes and samples: loops on the CPU, lanes of a warp on the GPU;
 * - formulas whose operations the two sides do in another order, because sharing them would change bits: the factors of
 *   the gradients of ce, kd, at and cosine, dkd's derivative at the label, the teacher's cosine of rkd_angle, crd's
 *   division by T and its normalisers.
 *
 * This is C that is C++ too. The references in tests have formulas of their own and do not include this file. */
#ifndef SHARED_TRAINING_LOSSES_LOSS_MATH_H
#define SHARED_TRAINING_LOSSES_LOSS_MATH_H

#include "shared/base/host_device.h"
#include "shared/base/random.h"
#include "shared/training/losses/losses.h"

#include <float.h>
#include <math.h>

#ifdef __cplusplus
#include "shared/training/losses/float_pair.cuh"
#else
typedef double number;
#endif

/* Macros, because kernels cannot read constants of the host. */
#define LOWEST_SCORE (-1e20)       /* of a class: what is less, as that of an impossible class, counts as this */
#define NORM_SHORTEST 1e-12        /* F.normalize's clamp: at, sp */
#define STANDARD_EPSILON 1e-7      /* kd, dkd: added to the standard deviation of a row */
#define PEARSON_EPSILON 1e-8       /* dist: added to the product of the norms */
#define COSINE_EPSILON 1e-12       /* cosine: F.cosine_embedding_loss's, added to each squared norm */
#define VID_EPSILON 1e-5           /* vid: added to the variances */
#define EQUAL_ROWS 1e-13           /* relations: |x_i - x_j|^2 below this part of |x_i|^2 + |x_j|^2 is float rounding */
#define NEAREST_SQUARE 1e-12       /* rkd_distance: squared distances are clamped to it */
#define ANGLE_EPSILON 1e-8         /* rkd_angle with mse: added to the lengths of the arms */
#define PKT_EPSILON 1e-7           /* pkt: added to norms and to probabilities */
#define CRD_EPSILON 1e-7           /* crd: added to the noise */
#define CRD_LARGEST_EXPONENT 700.0 /* crd: exp of it still fits into a double */

/* What one number, class or pair of rows adds to a term's value, and the derivative by it. */
struct loss_part {
    number value, derivative;
};

/* ---- penalties ---- */
/* DISTANCE_MSE, DISTANCE_RELATIVE: u^2. DISTANCE_HUBER (smooth L1 with beta 1): u^2 / 2 for |u| < 1, |u| - 1/2
 * beyond. */
static inline HOST_DEVICE struct loss_part penalty_of(enum loss_distance distance, number u)
{
    struct loss_part part;
    if (distance != DISTANCE_HUBER) {
        part.value = u * u;
        part.derivative = 2 * u;
    } else {
        part.value = fabs(u) < 1 ? u * u * 0.5 : fabs(u) - 0.5;
        part.derivative = u > 1 ? 1 : u < -1 ? -1 : u;
    }
    return part;
}

/* hint: what the sum of penalties is multiplied with beside the weight and 1 / their number. */
static inline double hint_unit(const struct loss_term *term)
{
    return term->distance == DISTANCE_RELATIVE && term->teacher_square > 0 ? 1 / (double)term->teacher_square : 1;
}

static inline HOST_DEVICE double sign_of(double x)
{
    return (x > 0) - (x < 0);
}

/* ---- rows of logits ---- */
/* The target of a row: share * onehot(label) + (1 - share) * onehot(partner), share >= 1/2. In a view that is not mixed
 * the partner is the label. label -1: the row has no label; a mixed row has one if both of its pictures have. */
struct row_label {
    int label, partner;
    number share;
};
/* share65536: the share of `label` in 65536ths. */
static inline HOST_DEVICE struct row_label row_label_of(int label, int partner, int share65536, int classes)
{
    struct row_label row = {-1, -1, 1};
    if (label < 0 || label >= classes || partner < 0 || partner >= classes)
        return row;
    if (share65536 >= 32768) {
        row.label = label;
        row.partner = partner;
        row.share = share65536 / 65536.0;
    } else {
        row.label = partner;
        row.partner = label;
        row.share = 1 - share65536 / 65536.0;
    }
    return row;
}
/* ce: the smoothed target of class k; at_label = 1 - smoothing, everywhere = smoothing / classes. */
static inline HOST_DEVICE number smoothed_target(const struct row_label *row, number at_label, number everywhere, int k)
{
    const number labels = (k == row->label ? row->share : 0) + (k == row->partner ? 1 - row->share : 0);
    return everywhere + at_label * labels;
}

/* A row of class scores z[pixels, classes]: a class's score is its mean over the pixels. Logits have one pixel. */
struct row_scores {
    const float *z;
    int classes, pixels;
};
static inline HOST_DEVICE number score_of(const struct row_scores *row, int k)
{
    number sum = row->z[k];
    if (row->pixels == 1)
        return sum;
    for (int pixel = 1; pixel < row->pixels; pixel++)
        sum += row->z[(size_t)pixel * (size_t)row->classes + (size_t)k];
    return sum / row->pixels;
}

/* log_softmax(inverse * row)[k] = (score - max) * inverse - log_sum: large logits and common offsets lose no digits. */
struct log_softmax {
    number max, inverse, log_sum;
};
static inline HOST_DEVICE number softmax_exponent(const struct log_softmax *s, number score)
{
    return ((score < LOWEST_SCORE ? LOWEST_SCORE : score) - s->max) * s->inverse;
}
static inline HOST_DEVICE number log_probability(const struct log_softmax *s, number score)
{
    return softmax_exponent(s, score) - s->log_sum;
}

/* Standardised logits (z - mean) / deviation, deviation = unbiased std + 1e-7; mean 0 and deviation 1 leave z as it is.
 * Softmax does not depend on the mean: of standardised logits it is that of z at temperature T * deviation. */
struct row_standard {
    number mean, deviation;
    number std_factor; /* 1 / ((classes - 1) * std * deviation): how z moves the std; 0 where it does not */
};
/* squares: the sum over the row of (z - mean)^2 */
static inline HOST_DEVICE struct row_standard row_standard_from(number mean, number squares, int classes)
{
    const number std = classes > 1 ? sqrt(squares / (classes - 1)) : 0;
    struct row_standard s;
    s.mean = mean;
    s.deviation = std + STANDARD_EPSILON;
    s.std_factor = std > 0 ? 1 / ((classes - 1) * std * s.deviation) : 0;
    return s;
}
/* dL/dz from derivative = dL/d(standardised z), for derivatives whose sum over the row is 0.
 * pull: the sum over the row of derivative * (z - mean). */
static inline HOST_DEVICE number derivative_through(const struct row_standard *s, number derivative, number pull,
                                                    number z)
{
    return (derivative - pull * s->std_factor * (z - s->mean)) / s->deviation;
}

/* One class's part of KL(p || q): p log(p / q), 0 where p is 0, as F.kl_div. */
static inline HOST_DEVICE number kl_part(number log_p, number log_q)
{
    const number p = exp(log_p);
    return p > 0 ? p * (log_p - log_q) : 0;
}
/* kd: one class's part of the row's value. FORM_PRINTED: p * (log p - q). */
static inline HOST_DEVICE number kd_part(enum loss_form form, number log_p, number log_q)
{
    return kl_part(log_p, form == FORM_PRINTED ? exp(log_q) : log_q);
}
/* kd: the derivative of the row's value by z_k / T. mean_q: the sum over the row of p * q, for FORM_PRINTED. */
static inline HOST_DEVICE number kd_derivative(enum loss_form form, number log_p, number log_q, number mean_q)
{
    const number q = exp(log_q), p = exp(log_p);
    return form == FORM_PRINTED ? -q * (p - mean_q) : q - p;
}

/* dkd, nkd: a row's label set apart from the other classes. */
struct label_split {
    struct row_scores row;
    struct row_standard standard;
    struct log_softmax all, others; /* over all classes; over the classes other than the label */
    number log_label, log_rest;     /* log p[label], log(1 - p[label]) */
};
/* Fills in the logarithms, from row, all and others. */
static inline HOST_DEVICE void label_split_finish(struct label_split *split, int label)
{
    split->log_label = log_probability(&split->all, split->row.z[label]);
    split->log_rest = log_probability(&split->all, split->others.max) + split->others.log_sum;
}
/* log of class k's probability among the classes other than the label */
static inline HOST_DEVICE number log_other(const struct label_split *split, int k)
{
    return log_probability(&split->others, split->row.z[k]);
}

/* dkd: TCKD, the KL of the two-way distributions (p[label], 1 - p[label]). */
static inline HOST_DEVICE number dkd_label_value(const struct label_split *student, const struct label_split *teacher)
{
    return kl_part(teacher->log_label, student->log_label) + kl_part(teacher->log_rest, student->log_rest);
}
/* dkd: d(TCKD)/d(z_label / T) */
static inline HOST_DEVICE number dkd_excess(const struct label_split *student, const struct label_split *teacher)
{
    return exp(student->log_label) - exp(teacher->log_label);
}
/* dkd: the derivative of alpha * TCKD + beta * NCKD by z_k / T, k not the label. */
static inline HOST_DEVICE number dkd_other_derivative(const struct label_split *student,
                                                      const struct label_split *teacher, int k, number alpha,
                                                      number beta)
{
    const number other = exp(log_other(student, k));
    return beta * (other - exp(log_other(teacher, k))) - alpha * dkd_excess(student, teacher) * other;
}

/* gate: bytes in front of a term's own scratch memory: the teacher's logits [batch, classes] as they are after the
 * gate, and for each row whether it is left out (unsigned char [batch]). */
static inline HOST_DEVICE size_t gate_bytes(const struct loss_term *term, const struct loss_shape *shape)
{
    const size_t batch = (size_t)shape->batch, floats = batch * (size_t)shape->classes;
    return term->gate > 0 ? (floats * sizeof(float) + batch + 15) / 16 * 16 : 0;
}
/* gate: logit k of a softened label */
static inline HOST_DEVICE float softened_logit(int label, int k, int classes, number soften)
{
    const number gap = classes > 1 ? log((1 - soften) * (classes - 1) / soften) : 0;
    return (float)(gap * ((k == label) - 1.0 / classes));
}

/* abkd: one class's part of the row's value */
static inline HOST_DEVICE number abkd_part(number alpha, number beta, number log_p, number log_q)
{
    const number both = alpha + beta;
    return -(exp(alpha * log_p + beta * log_q) - alpha / both * exp(both * log_p) - beta / both * exp(both * log_q)) /
           (alpha * beta);
}
/* abkd: q_k times the derivative of the row's value by q_k */
static inline HOST_DEVICE number abkd_pull(number alpha, number beta, number log_p, number log_q)
{
    return -(exp(alpha * log_p + beta * log_q) - exp((alpha + beta) * log_q)) / alpha;
}

#define MLKD_TEMPERATURES 5
static inline HOST_DEVICE number mlkd_temperature(number temperature, int j)
{
    return temperature * (0.5 + 0.25 * j);
}
/* mlkd: entry (l, k) of the class relations: A = Q^T Q, B = P^T Q, C = P^T P. What it adds to the value; the norms of
 * the batch's relations are |Q Q^T - P P^T|^2 = |A|^2 - 2 |B|^2 + |C|^2. */
struct mlkd_entry {
    number a, b, c;
};
static inline HOST_DEVICE number mlkd_entry_value(const struct mlkd_entry *e, number by_batch, number by_class)
{
    return by_batch * (e->a * e->a - 2 * e->b * e->b + e->c * e->c) + by_class * (e->a - e->c) * (e->a - e->c);
}
/* mlkd: what entry (l, k) adds to the derivative by q_k of a row with q_l, p_l */
static inline HOST_DEVICE number mlkd_entry_derivative(const struct mlkd_entry *e, number by_batch, number by_class,
                                                       number q, number p)
{
    return 4 * (by_batch * (q * e->a - p * e->b) + by_class * q * (e->a - e->c));
}

/* nkd: class k's part of the second sum, k not the label: -gamma * T^2 * p log q, and its derivative by z_k. */
static inline HOST_DEVICE struct loss_part nkd_other(number gamma, number temperature, number log_p, number log_q)
{
    const number p = exp(log_p);
    struct loss_part part;
    part.value = -(gamma * temperature * temperature * p * log_q);
    part.derivative = gamma * temperature * (exp(log_q) - p);
    return part;
}

/* dist: Pearson's correlation of x (the student's probabilities in a row or column) with y (the teacher's), with
 * a = x - mean_x and b = y - mean_y:
 *     r     = <a, b> / (|a| |b| + 1e-8)
 *     dr/dx = along_y * b - along_x * a */
struct pearson {
    number mean_x, mean_y, r, along_x, along_y;
};
/* ab = <a, b>, aa = <a, a>, bb = <b, b> */
static inline HOST_DEVICE struct pearson pearson_from(number mean_x, number mean_y, number ab, number aa, number bb)
{
    const number norm_x = sqrt(aa), norm_y = sqrt(bb), norms = norm_x * norm_y + PEARSON_EPSILON;
    struct pearson p;
    p.mean_x = mean_x;
    p.mean_y = mean_y;
    p.r = ab / norms;
    p.along_y = 1 / norms;
    p.along_x = norm_x > 0 ? ab / norms / norms * norm_y / norm_x : 0;
    return p;
}
static inline HOST_DEVICE number pearson_derivative(const struct pearson *p, number x, number y)
{
    return p->along_y * (y - p->mean_y) - p->along_x * (x - p->mean_x);
}

/* ---- values, element by element ---- */
/* vid: v = softplus(log_scale) + 1e-5 */
static inline HOST_DEVICE double vid_variance(double log_scale)
{
    return fmax(log_scale, 0.0) + log1p(exp(-fabs(log_scale))) + VID_EPSILON;
}
/* vid: a channel's sum over `count` elements of (d^2 / v + log v) / 2; squares: the sum of d^2, inverse = 1 / v */
static inline HOST_DEVICE double vid_value(double count, double squares, double inverse)
{
    return (squares * inverse - count * log(inverse)) / 2;
}
/* vid: factor * the derivative of vid_value by log_scale */
static inline HOST_DEVICE double vid_scale_derivative(double factor, double log_scale, double count, double squares,
                                                      double inverse)
{
    const double softplus_derivative = 1 / (1 + exp(-log_scale));
    return factor * softplus_derivative * (count - squares * inverse) * inverse / 2;
}

/* ---- relations: from Gram matrices G[n][stride], G_ij = <x_i, x_j> ---- */
/* |x_i - x_j|^2 = G_ii + G_jj - 2 G_ij; 0 where the rows are equal up to float rounding */
static inline HOST_DEVICE number squared_distance(const number *gram, size_t stride, size_t i, size_t j)
{
    const number ends = gram[i * stride + i] + gram[j * stride + j], squared = ends - 2 * gram[i * stride + j];
    return squared < ends * EQUAL_ROWS ? 0 : squared;
}
/* rkd_distance: d_ij */
static inline HOST_DEVICE number row_distance(const number *gram, size_t stride, size_t i, size_t j)
{
    const number squared = squared_distance(gram, stride, i, j);
    return i == j ? 0 : sqrt(squared < NEAREST_SQUARE ? NEAREST_SQUARE : squared);
}
/* rkd_distance: twice the derivative by |x_i - x_j|^2, from the derivative by d_ij; a clamped distance is constant */
static inline HOST_DEVICE number through_distance(number derivative, number squared, bool same_row)
{
    return same_row || squared < NEAREST_SQUARE ? 0 : derivative / sqrt(squared);
}

/* rkd_angle: 1 / (|x_i - x_j| + epsilon), 0 for equal rows */
static inline HOST_DEVICE number inverse_length(const number *gram, size_t stride, size_t i, size_t j, number epsilon)
{
    const number squared = i == j ? 0 : squared_distance(gram, stride, i, j);
    return squared == 0 ? 0 : 1 / (sqrt(squared) + epsilon);
}
/* rkd_angle: <x_j - x_i, x_k - x_i>, which times the inverse lengths of both arms is the cosine */
static inline HOST_DEVICE number arm_product(const number *gram, size_t stride, size_t i, size_t j, size_t k)
{
    return (gram[j * stride + k] - gram[i * stride + k]) + (gram[i * stride + i] - gram[i * stride + j]);
}
/* rkd_angle: the derivative by |x_i - x_j|^2: dc/dlength = -c * inverse, and each of the two arms is j once.
 * cosine_derivative: the sum over k of derivative * c */
static inline HOST_DEVICE number through_length(number cosine_derivative, number inverse, number squared)
{
    return inverse == 0 ? 0 : -cosine_derivative * inverse / sqrt(squared);
}

/* sp: 1 / |row of G|, clamped as in F.normalize */
static inline HOST_DEVICE double inverse_clamped(double norm)
{
    return 1 / fmax(norm, NORM_SHORTEST);
}

/* pkt: 1 / (|x_i| + 1e-7), 0 for a row of zeros, which has no direction */
static inline HOST_DEVICE number inverse_norm(const number *gram, size_t stride, size_t i)
{
    const number square = gram[i * stride + i];
    return square == 0 ? 0 : 1 / (sqrt(square) + PKT_EPSILON);
}
/* pkt: (cos + 1) / 2 */
static inline HOST_DEVICE number cosine_similarity(number product, number inverse_i, number inverse_j)
{
    return (product * inverse_i * inverse_j + 1) / 2;
}
/* pkt: share * p log((p + 1e-7) / (q + 1e-7)), and its derivative by q */
static inline HOST_DEVICE struct loss_part pkt_part(number share, number p, number q)
{
    struct loss_part part;
    part.value = share * p * log((p + PKT_EPSILON) / (q + PKT_EPSILON));
    part.derivative = -share * p / (q + PKT_EPSILON);
    return part;
}

/* ---- trained embeddings ---- */
/* cc: share * |D_i| |D_{i+1}| and the derivative of the sum by D_i; before, next: |D_{i-1}|, |D_{i+1}|, 0 beyond the
 * ends */
static inline HOST_DEVICE struct loss_part cc_part(double share, double difference, double before, double next)
{
    struct loss_part part;
    part.value = share * fabs(difference) * next;
    part.derivative = share * sign_of(difference) * (next + before);
    return part;
}

/* crd, cc: dL/dx from derivative = dL/dv, v = x / norm; along = <v, dL/dv>. A row of zeros gets none. */
static inline HOST_DEVICE double through_norm(double derivative, double along, double v, double norm)
{
    return norm > 0 ? (derivative - along * v) / norm : 0;
}

/* crd: the random words of negatives [4 * block, 4 * block + 4) of a row */
static inline HOST_DEVICE void crd_words(uint64_t seed, uint64_t step, uint32_t row, uint32_t block, uint32_t words[4])
{
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    const uint32_t counter[4] = {block, row, (uint32_t)step, RANDOM_NEGATIVES | (uint32_t)(step >> 32) << 8};
    philox4x32(counter, key, words);
}
/* crd: a negative out of the `others` = samples - 1 other samples. The word is scaled down, not drawn again: the bias
 * is 2^-32 of the samples. */
static inline HOST_DEVICE uint32_t crd_negative(uint32_t word, uint32_t others, uint32_t own)
{
    const uint32_t sample = (uint32_t)((uint64_t)word * others >> 32);
    return sample + (sample >= own);
}

/* crd: P = exp(s) / Z against c = noise + 1e-7, s = <v, memory> / T. With x = log(c / P) for the row's own sample and
 * log(P / c) for a negative: of its own sample -log(P / (P + c)) is log(1 + exp(x)), which does not overflow; of a
 * negative -log(noise / (P + c)) is that + log(c / noise). */
static inline HOST_DEVICE double crd_log_bound(double noise, double log_normaliser) /* log(c * Z) */
{
    return log(noise + CRD_EPSILON) + log_normaliser;
}
static inline HOST_DEVICE number crd_exponent(bool own, number s, number log_bound)
{
    return own ? log_bound - s : s - log_bound;
}
static inline HOST_DEVICE number crd_value(bool own, number x, number noise_value)
{
    return fmax(x, (number)0) + log(exp(-fabs(x)) + 1) + (own ? 0 : noise_value);
}
static inline HOST_DEVICE double crd_noise_value(double noise) /* log(c / noise) */
{
    return log((noise + CRD_EPSILON) / noise);
}
/* factor * the size of the derivative of log(1 + exp(x)) by s; it is negative for the own sample */
static inline HOST_DEVICE number crd_derivative(number factor, number x)
{
    const number small = exp(-fabs(x));
    return factor * (x > 0 ? 1 : small) / (small + 1);
}
static inline HOST_DEVICE double bounded_exp(double x)
{
    return exp(x > CRD_LARGEST_EXPONENT ? CRD_LARGEST_EXPONENT : x);
}
/* crd: Z as it is stored, a positive float */
static inline HOST_DEVICE float crd_normaliser(double z)
{
    return (float)fmin(fmax(z, (double)FLT_MIN), (double)FLT_MAX);
}
/* crd: how a number of a memory moves towards v, before it is normalised */
static inline HOST_DEVICE double crd_moved(double momentum, double memory, double v)
{
    return momentum * memory + (1 - momentum) * v;
}

#endif
