/* What terms on rows of logits share on the CPU: a row's label, its log-softmax and its standardised form. */
#ifndef SHARED_TRAINING_LOSSES_LOGIT_ROW_H
#define SHARED_TRAINING_LOSSES_LOGIT_ROW_H

#include "shared/training/cpu/cpu_loss.h"

#include <math.h>

/* What a row's target is: share * onehot(label) + (1 - share) * onehot(partner), share >= 1/2. Without a mixture the
 * partner is the label. label -1: the row has none; a mixed row has one where both pictures have. */
struct row_label {
    int label, partner;
    double share;
};
static inline struct row_label cpu_row_label(const struct cpu_term *t, int row, int classes)
{
    const int label = t->labels[row], share = t->mixes ? t->mixes[row].share : 65536;
    const int partner = share < 65536 ? t->partner_labels[row] : label;
    if (label < 0 || label >= classes || partner < 0 || partner >= classes)
        return (struct row_label){-1, -1, 1};
    return share >= 32768 ? (struct row_label){label, partner, share / 65536.0}
                          : (struct row_label){partner, label, 1 - share / 65536.0};
}
static inline int cpu_count_labelled(const struct cpu_term *t, int classes)
{
    int labelled = 0;
    for (int i = 0; i < t->rows; i++)
        labelled += cpu_row_label(t, i, classes).label >= 0;
    return labelled;
}

/* A row of class scores z[pixels, classes]: a class's score is its mean over the pixels; logits have one pixel. */
struct row_scores {
    const float *z;
    int classes, pixels;
};
static inline double score_of(const struct row_scores *row, int k)
{
    double sum = 0;
    for (int pixel = 0; pixel < row->pixels; pixel++)
        sum += row->z[(size_t)pixel * (size_t)row->classes + (size_t)k];
    return sum / row->pixels;
}
static inline struct row_scores logits_of(const struct cpu_term *t, const float *logits, int row)
{
    return (struct row_scores){logits + (size_t)row * (size_t)t->classes, t->classes, 1};
}

/* log_softmax(inverse * row)[k] = (score - max) * inverse - log_sum: extremes and common offsets lose no digits. */
struct log_softmax {
    double max, inverse, log_sum;
};
/* Over all classes but `without`; -1: over all. */
static inline struct log_softmax log_softmax_of(const struct row_scores *row, int without, double inverse)
{
    struct log_softmax s = {-INFINITY, inverse, 0};
    double sum = 0;
    for (int k = 0; k < row->classes; k++)
        if (k != without)
            s.max = fmax(s.max, score_of(row, k));
    for (int k = 0; k < row->classes; k++)
        if (k != without)
            sum += exp((score_of(row, k) - s.max) * inverse);
    s.log_sum = sum > 0 ? log(sum) : -INFINITY; /* there may be no other class */
    return s;
}
static inline double log_probability(const struct log_softmax *s, double score)
{
    return (score - s->max) * s->inverse - s->log_sum;
}

/* z -> (z - mean) / deviation, deviation = unbiased std + 1e-7; as it is: mean 0, deviation 1. Softmax does not see the
 * mean, so a standardised row's is that of z with a temperature of T * deviation. */
struct row_standard {
    double mean, deviation;
    double
        bend; /* 1 / ((classes - 1) * std * deviation): how much the std pulls each derivative; 0 where it does not */
};
static inline struct row_standard row_standard_of(const struct row_scores *row, bool standardise)
{
    struct row_standard s = {0, 1, 0};
    double squares = 0, std;
    if (!standardise)
        return s;
    for (int k = 0; k < row->classes; k++)
        s.mean += score_of(row, k) / row->classes;
    for (int k = 0; k < row->classes; k++)
        squares += (score_of(row, k) - s.mean) * (score_of(row, k) - s.mean);
    std = row->classes > 1 ? sqrt(squares / (row->classes - 1)) : 0;
    s.deviation = std + 1e-7;
    s.bend = std > 0 ? 1 / ((row->classes - 1) * std * s.deviation) : 0;
    return s;
}
/* dL/dz from derivative = dL/d(standardised z), of derivatives that add up to 0; pull = sum over the row of derivative
 * * (z - mean).
 */
static inline double derivative_through(const struct row_standard *s, double derivative, double pull, double z)
{
    return (derivative - pull * s->bend * (z - s->mean)) / s->deviation;
}

/* cpu_loss_target.c, cpu_loss_dist.c */
double cpu_decoupled(const struct cpu_term *t);
double cpu_normalised(const struct cpu_term *t);
double cpu_correlation(const struct cpu_term *t);
size_t cpu_correlation_scratch(const struct loss_term *term, const struct loss_shape *shape);

#endif
