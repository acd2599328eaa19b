/* Terms on rows of logits, and their gradients: one launch a term, for all students.
 *
 * Idea: a warp a row, three passes over the row (its largest value, the normaliser, value and gradient), of which the
 * last two find it in the first-level cache; rows.batch.gradient is added to, so that terms can follow one another.
 * Bytes moved: logits (and teacher's logits) once, the gradient once in and once out, which is the floor; at 128 rows
 * of 11 classes that is 22 kB, and the launch is all that is felt. */
#include "shared/backend/cuda/loss_row.cuh"

/* The terms' own parameters, for each student; made on the host, where divisions in double cost nothing. */
struct cross_entropy {
    double at_label[BACKEND_MAX_STUDENTS]; /* the target: 1 - smoothing there, and everywhere smoothing / classes */
    double everywhere[BACKEND_MAX_STUDENTS];
};
struct distillation {
    double temperature[BACKEND_MAX_STUDENTS], inverse[BACKEND_MAX_STUDENTS];
    double share[BACKEND_MAX_STUDENTS]; /* of a row in the mean */
};

/* Of the rows of the batch; by a whole block, for every thread. */
static __device__ __forceinline__ int count_labelled(const int32_t *labels, int count)
{
    int labelled = 0;
    for (int from = 0; from < count; from += blockDim.x) {
        const int row = from + threadIdx.x;
        labelled += __syncthreads_count(row < count && labels[row] >= 0);
    }
    return labelled;
}

/* F.cross_entropy(logits, labels, label_smoothing=s), unlabelled samples left out of sum and mean. */
static __global__ void __launch_bounds__(LOSS_WARPS *WARP)
    cross_entropy_rows(struct loss_rows rows, struct cross_entropy parameters)
{
    const int classes = rows.feed.classes, lane = threadIdx.x % WARP;
    const int32_t *labels = rows.feed.labels + loss_position(rows);
    const int labelled = count_labelled(labels, rows.batch.count);
    const double share = labelled ? 1.0 / labelled : 0, slope = loss_weight(rows) * share;
    const double at_label = parameters.at_label[blockIdx.y], everywhere = parameters.everywhere[blockIdx.y];
    double value = 0; /* this lane's share of the sum over rows */
    for (int row = loss_first_row(); row < rows.batch.count; row += loss_row_step()) {
        const float *z = loss_logits(rows, row);
        float *gradient = loss_gradient(rows, row);
        const int label = labels[row];
        if (label < 0)
            continue;
        const double normaliser = log_sum_exp(z, classes, 1);
        for (int k = lane; k < classes; k += WARP) {
            const double target = everywhere + (k == label ? at_label : 0);
            value += target * (normaliser - z[k]);
            if (gradient)
                gradient[k] += (float)(slope * (exp(z[k] - normaliser) - target));
        }
    }
    loss_finish(rows, value, share);
}

/* T^2 * KL(p || q), p = softmax(teacher / T), q = softmax(student / T); its slope is T * (q - p). A teacher probability
 * of 0 adds 0, as F.kl_div has it. */
static __global__ void __launch_bounds__(LOSS_WARPS *WARP)
    distillation_rows(struct loss_rows rows, struct distillation parameters)
{
    const int classes = rows.feed.classes, lane = threadIdx.x % WARP;
    const double t = parameters.temperature[blockIdx.y], inverse_t = parameters.inverse[blockIdx.y];
    const double share = parameters.share[blockIdx.y], slope = loss_weight(rows) * share * t;
    double value = 0;
    for (int row = loss_first_row(); row < rows.batch.count; row += loss_row_step()) {
        const float *student = loss_logits(rows, row);
        const float *teacher = rows.feed.teacher + (loss_position(rows) + row) * classes;
        float *gradient = loss_gradient(rows, row);
        const double student_normaliser = log_sum_exp(student, classes, inverse_t);
        const double teacher_normaliser = log_sum_exp(teacher, classes, inverse_t);
        for (int k = lane; k < classes; k += WARP) {
            const double log_q = student[k] * inverse_t - student_normaliser;
            const double log_p = teacher[k] * inverse_t - teacher_normaliser, p = exp(log_p);
            if (p > 0)
                value += p * (log_p - log_q);
            if (gradient)
                gradient[k] += (float)(slope * (exp(log_q) - p));
        }
    }
    loss_finish(rows, value, t * t * share);
}

static void launch_cross_entropy(cudaStream_t stream, const struct loss_term *terms, const struct loss_rows *rows)
{
    struct cross_entropy parameters = {};
    for (int student = 0; student < rows->batch.students; student++) {
        parameters.at_label[student] = 1 - (double)terms[student].label_smoothing;
        parameters.everywhere[student] = (double)terms[student].label_smoothing / rows->feed.classes;
    }
    LAUNCH(cross_entropy_rows, loss_grid(&rows->batch), LOSS_WARPS * WARP, 0, stream, *rows, parameters);
}

static void launch_distillation(cudaStream_t stream, const struct loss_term *terms, const struct loss_rows *rows)
{
    struct distillation parameters = {};
    for (int student = 0; student < rows->batch.students; student++) {
        parameters.temperature[student] = terms[student].temperature;
        parameters.inverse[student] = 1 / parameters.temperature[student];
        parameters.share[student] =
            1.0 / rows->batch.count / (terms[student].reduction == REDUCTION_MEAN ? rows->feed.classes : 1);
    }
    LAUNCH(distillation_rows, loss_grid(&rows->batch), LOSS_WARPS * WARP, 0, stream, *rows, parameters);
}

extern "C" const struct cuda_term_kind cuda_logit_terms[LOSS_KIND_COUNT] = {
    {launch_cross_entropy, NULL}, /* LOSS_CE */
    {launch_distillation, NULL},  /* LOSS_KD */
};
