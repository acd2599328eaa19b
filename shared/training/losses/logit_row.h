/* Rows of logits on the CPU: labels, log-softmax, standardised rows, and the label set apart from the other classes. */
#ifndef SHARED_TRAINING_LOSSES_LOGIT_ROW_H
#define SHARED_TRAINING_LOSSES_LOGIT_ROW_H

#include "shared/training/cpu/cpu_loss.h"
#include "shared/training/losses/loss_math.h"

static inline struct row_label label_of_row(const struct cpu_loss_args *args, int row, int classes)
{
    const int label = args->labels[row], share = args->mixes ? args->mixes[row].share : 65536;
    return row_label_of(label, share < 65536 ? args->partner_labels[row] : label, share, classes);
}
static inline int count_labelled(const struct cpu_loss_args *args, int classes)
{
    int labelled = 0;
    for (int i = 0; i < args->rows; i++)
        labelled += label_of_row(args, i, classes).label >= 0;
    return labelled;
}

/* Whether the gate leaves the row to other terms. */
static inline bool row_left_out(const struct cpu_loss_args *args, int row)
{
    return args->left_out && args->left_out[row];
}

/* Row `row` of logits[count, classes] */
static inline struct row_scores logits_of_row(const struct cpu_loss_args *args, const float *logits, int row)
{
    return (struct row_scores){logits + (size_t)row * (size_t)args->classes, args->classes, 1};
}

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

/* Over the classes whose score in `other` is below `bound`. */
static inline struct log_softmax log_softmax_below(const struct row_scores *row, const struct row_scores *other,
                                                   double bound, double inverse)
{
    struct log_softmax s = {-INFINITY, inverse, 0};
    double sum = 0;
    for (int k = 0; k < row->classes; k++)
        if (other->z[k] < bound)
            s.max = fmax(s.max, row->z[k]);
    for (int k = 0; k < row->classes; k++)
        if (other->z[k] < bound)
            sum += exp((row->z[k] - s.max) * inverse);
    s.log_sum = sum > 0 ? log(sum) : -INFINITY; /* there may be no such class */
    return s;
}

static inline struct row_standard row_standard_of(const struct row_scores *row, bool standardise)
{
    double mean = 0, squares = 0;
    if (!standardise)
        return (struct row_standard){0, 1, 0};
    for (int k = 0; k < row->classes; k++)
        mean += score_of(row, k) / row->classes;
    for (int k = 0; k < row->classes; k++)
        squares += (score_of(row, k) - mean) * (score_of(row, k) - mean);
    return row_standard_from(mean, squares, row->classes);
}

static inline struct label_split label_split_of(const struct row_scores *row, int label, double temperature,
                                                bool standardise)
{
    struct label_split split = {.row = *row, .standard = row_standard_of(row, standardise)};
    const double inverse = 1 / (temperature * split.standard.deviation);
    split.all = log_softmax_of(row, -1, inverse);
    split.others = log_softmax_of(row, label, inverse);
    label_split_finish(&split, label);
    return split;
}

#endif
