/* What the terms of the loss share that look at one row of logits at a time, a warp a row: its label, its log-softmax
 * and its standardised form.
 *
 * Everything is computed in double through log-softmax, as the CPU does it: exponents of differences of logits, and
 * differences of probabilities, lose too many digits in float, and there are only some thousand of them in a step. */
#ifndef SHARED_TRAINING_LOSSES_LOGIT_ROW_CUH
#define SHARED_TRAINING_LOSSES_LOGIT_ROW_CUH

#include "shared/training/cuda/cuda_loss.cuh"

/* ---- a row of the logits ---- */
static __device__ __forceinline__ const float *loss_logits(const struct loss_rows &rows, int row) /* [classes] */
{
    return rows.batch.logits + blockIdx.y * rows.batch.logit_stride + (size_t)row * rows.inputs.classes;
}
/* [classes], or NULL: only the value is wanted */
static __device__ __forceinline__ float *loss_gradient(const struct loss_rows &rows, int row)
{
    if (!rows.batch.gradient)
        return NULL;
    return rows.batch.gradient + blockIdx.y * rows.batch.gradient_stride + (size_t)row * rows.inputs.classes;
}

/* ---- a row's label ---- */
/* What a row's target is: share * onehot(label) + (1 - share) * onehot(partner), share >= 1/2. Without a mixture the
 * partner is the label. label -1: the row has none; a mixed row has one where both pictures have. */
struct row_label {
    int label, partner;
    double share;
};
static __device__ __forceinline__ struct row_label loss_row_label(const struct loss_rows &rows, int row, int classes)
{
    const size_t slot = loss_slot(rows) + row;
    const int label = rows.inputs.labels[slot], share = rows.inputs.mixes ? rows.inputs.mixes[slot].share : 65536;
    const int partner = share < 65536 ? rows.inputs.partner_labels[slot] : label;
    if (label < 0 || label >= classes || partner < 0 || partner >= classes)
        return {-1, -1, 1};
    if (share >= 32768)
        return {label, partner, share / 65536.0};
    return {partner, label, 1 - share / 65536.0};
}
/* Of the batch's first `count` rows; by a whole block, for every thread. */
static __device__ __forceinline__ int loss_count_labelled(const struct loss_rows &rows, int count, int classes)
{
    int labelled = 0;
    for (int from = 0; from < count; from += blockDim.x) {
        const int row = from + threadIdx.x;
        labelled += __syncthreads_count(row < count && loss_row_label(rows, row, classes).label >= 0);
    }
    return labelled;
}

/* ---- a row's scores; everything is done by a whole warp, for every lane ---- */
/* z[pixels, classes]: a class's score is its mean over the pixels; logits have one pixel. */
struct row_scores {
    const float *z;
    int classes, pixels;
};
static __device__ __forceinline__ double score_of(const struct row_scores &row, int k)
{
    double sum = row.z[k];
    if (row.pixels == 1)
        return sum;
    for (int pixel = 1; pixel < row.pixels; pixel++)
        sum += row.z[(size_t)pixel * row.classes + k];
    return sum / row.pixels;
}
static __device__ __forceinline__ struct row_scores loss_student_scores(const struct loss_rows &rows, int row)
{
    return {loss_logits(rows, row), rows.inputs.classes, 1};
}
static __device__ __forceinline__ struct row_scores loss_teacher_scores(const struct loss_rows &rows, int row)
{
    return {rows.inputs.teacher + (loss_slot(rows) + row) * rows.inputs.classes, rows.inputs.classes, 1};
}

/* log_softmax(inverse * row)[k] = (score - max) * inverse - log_sum: extremes and common offsets lose no digits. */
struct log_softmax {
    double max, inverse, log_sum;
};
/* Over all classes but `without`; -1: over all. */
static __device__ __forceinline__ struct log_softmax log_softmax_of(const struct row_scores &row, int without,
                                                                    double inverse)
{
    double max = -INFINITY, sum = 0;
    for (int k = threadIdx.x % WARP; k < row.classes; k += WARP)
        if (k != without)
            max = fmax(max, score_of(row, k));
    max = warp_max(max);
    for (int k = threadIdx.x % WARP; k < row.classes; k += WARP)
        if (k != without)
            sum += exp((score_of(row, k) - max) * inverse);
    return {max, inverse, log(warp_sum(sum))};
}
static __device__ __forceinline__ double log_probability(const struct log_softmax &s, double score)
{
    return (score - s.max) * s.inverse - s.log_sum;
}

/* z -> (z - mean) / deviation, deviation = unbiased std + 1e-7; as it is: mean 0, deviation 1. Softmax does not see the
 * mean, so a standardised row's is that of z with a temperature of T * deviation. */
struct row_standard {
    double mean, deviation;
    double
        bend; /* 1 / ((classes - 1) * std * deviation): how much the std pulls each derivative; 0 where it does not */
};
static __device__ __forceinline__ struct row_standard row_standard_of(const struct row_scores &row, bool standardise)
{
    double sum = 0, squares = 0;
    if (!standardise)
        return {0, 1, 0};
    for (int k = threadIdx.x % WARP; k < row.classes; k += WARP)
        sum += score_of(row, k);
    const double mean = warp_sum(sum) / row.classes;
    for (int k = threadIdx.x % WARP; k < row.classes; k += WARP)
        squares += (score_of(row, k) - mean) * (score_of(row, k) - mean);
    squares = warp_sum(squares);
    const double std = row.classes > 1 ? sqrt(squares / (row.classes - 1)) : 0, deviation = std + 1e-7;
    return {mean, deviation, std > 0 ? 1 / ((row.classes - 1) * std * deviation) : 0};
}
/* dL/dz from derivative = dL/d(standardised z), of derivatives that add up to 0; pull = sum over the row of derivative
 * * (z - mean).
 */
static __device__ __forceinline__ double derivative_through(const struct row_standard &s, double derivative,
                                                            double pull, double z)
{
    return (derivative - pull * s.bend * (z - s.mean)) / s.deviation;
}

#endif
