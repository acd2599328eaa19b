/* Rows of logits on the GPU, one warp per row: labels, log-softmax, standardised rows, and the label set apart from the
 * other classes.
 *
 * Everything is computed through log-softmax, as on the CPU, and in `number` (float_pair.cuh): exponents of differences
 * of logits, and differences of probabilities, lose too many digits in float. */
#ifndef SHARED_TRAINING_LOSSES_LOGIT_ROW_CUH
#define SHARED_TRAINING_LOSSES_LOGIT_ROW_CUH

#include "shared/training/cuda/cuda_loss.cuh"

/* ---- the row in memory ---- */
static __device__ __forceinline__ struct row_scores loss_student_scores(const struct cuda_loss_args &args, int row)
{
    const struct loss_batch &batch = args.batch;
    const int classes = args.inputs.classes;
    return {batch.logits + blockIdx.y * batch.logit_stride + (size_t)row * classes, classes, 1};
}
static __device__ __forceinline__ struct row_scores loss_teacher_scores(const struct cuda_loss_args &args, int row)
{
    const int classes = args.inputs.classes;
    if (args.gate_bytes)
        return {loss_gated_logits(args, blockIdx.y) + (size_t)row * classes, classes, 1};
    return {args.inputs.teacher + (loss_slot(args) + row) * classes, classes, 1};
}
/* Whether the gate leaves the row to other terms. */
static __device__ __forceinline__ bool row_left_out(const struct cuda_loss_args &args, int row)
{
    return args.gate_bytes && loss_left_out(args, blockIdx.y)[row];
}
/* [classes], or NULL: only the value is wanted */
static __device__ __forceinline__ float *loss_gradient(const struct cuda_loss_args &args, int row)
{
    if (!args.batch.gradient)
        return NULL;
    return args.batch.gradient + blockIdx.y * args.batch.gradient_stride + (size_t)row * args.inputs.classes;
}

/* ---- labels ---- */
static __device__ __forceinline__ struct row_label label_of_row(const struct cuda_loss_args &args, int row, int classes)
{
    const size_t slot = loss_slot(args) + row;
    const int label = args.inputs.labels[slot], share = args.inputs.mixes ? args.inputs.mixes[slot].share : 65536;
    return row_label_of(label, share < 65536 ? args.inputs.partner_labels[slot] : label, share, classes);
}
/* Of the batch's first `count` rows. By a whole block; every thread gets the number. */
static __device__ __forceinline__ int count_labelled(const struct cuda_loss_args &args, int count, int classes)
{
    int labelled = 0;
    for (int from = 0; from < count; from += blockDim.x) {
        const int row = from + threadIdx.x;
        labelled += __syncthreads_count(row < count && label_of_row(args, row, classes).label >= 0);
    }
    return labelled;
}

/* ---- by a whole warp; every lane gets the result ---- */
/* The first of the largest elements. */
static __device__ __forceinline__ int argmax(const float *z, int classes)
{
    float best = -INFINITY;
    int at = 0;
    for (int k = threadIdx.x % WARP; k < classes; k += WARP)
        if (z[k] > best) {
            best = z[k];
            at = k;
        }
    for (int distance = WARP / 2; distance > 0; distance /= 2) {
        const float other = __shfl_xor_sync(0xffffffffu, best, distance);
        const int other_at = __shfl_xor_sync(0xffffffffu, at, distance);
        if (other > best || (other == best && other_at < at)) {
            best = other;
            at = other_at;
        }
    }
    return at;
}

/* Over all classes but `without`; -1: over all. */
static __device__ __forceinline__ struct log_softmax log_softmax_of(const struct row_scores &row, int without,
                                                                    number inverse)
{
    struct log_softmax s = {LOWEST_SCORE, inverse, 0};
    number sum = 0;
    for (int k = threadIdx.x % WARP; k < row.classes; k += WARP)
        if (k != without)
            s.max = fmax(s.max, score_of(&row, k));
    s.max = warp_max(s.max);
    for (int k = threadIdx.x % WARP; k < row.classes; k += WARP)
        if (k != without)
            sum += exp(softmax_exponent(&s, score_of(&row, k)));
    s.log_sum = log(warp_sum(sum));
    return s;
}

/* Over the classes whose score in `other` is below `bound`. */
static __device__ __forceinline__ struct log_softmax
log_softmax_below(const struct row_scores &row, const struct row_scores &other, float bound, number inverse)
{
    struct log_softmax s = {LOWEST_SCORE, inverse, 0};
    number sum = 0;
    for (int k = threadIdx.x % WARP; k < row.classes; k += WARP)
        if (other.z[k] < bound)
            s.max = fmax(s.max, (number)row.z[k]);
    s.max = warp_max(s.max);
    for (int k = threadIdx.x % WARP; k < row.classes; k += WARP)
        if (other.z[k] < bound)
            sum += exp(softmax_exponent(&s, row.z[k]));
    s.log_sum = log(warp_sum(sum));
    return s;
}

static __device__ __forceinline__ struct row_standard row_standard_of(const struct row_scores &row, bool standardise)
{
    number sum = 0, squares = 0;
    if (!standardise)
        return {0, 1, 0};
    for (int k = threadIdx.x % WARP; k < row.classes; k += WARP)
        sum += score_of(&row, k);
    const number mean = warp_sum(sum) / row.classes;
    for (int k = threadIdx.x % WARP; k < row.classes; k += WARP)
        squares += (score_of(&row, k) - mean) * (score_of(&row, k) - mean);
    return row_standard_from(mean, warp_sum(squares), row.classes);
}

static __device__ __forceinline__ struct label_split label_split_of(const struct row_scores &row, int label,
                                                                    number temperature, bool standardise)
{
    struct label_split split;
    split.row = row;
    split.standard = row_standard_of(row, standardise);
    const number inverse = 1 / (temperature * split.standard.deviation);
    split.all = log_softmax_of(row, -1, inverse);
    split.others = log_softmax_of(row, label, inverse);
    label_split_finish(&split, label);
    return split;
}

#endif
