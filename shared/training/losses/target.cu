/* Terms that take a row's label apart from the other classes, dkd and nkd: one launch a term, for all students.
 *
 * Idea and bytes moved: as loss_logits.cu, a warp a row, logits once, the gradient once in and once out; the passes
 * over all classes and over those other than the label find the row in the first-level cache. */
#include "shared/training/losses/logits.h"
#include "shared/training/losses/logit_row.cuh"

/* The terms' own parameters, for each student. */
struct decoupled {
    struct {
        double temperature, alpha, beta;
        int standardise;
    } of[TRAINING_MAX_STUDENTS];
};
struct normalised {
    struct {
        double temperature, gamma;
    } of[TRAINING_MAX_STUDENTS];
};

/* One side of a row: p = softmax(z * inverse) and its parts. */
struct parted {
    struct row_scores row;
    struct row_standard standard;
    struct log_softmax all, others; /* of all classes; of those other than the label */
    double log_target, log_rest;    /* log p[label], log(1 - p[label]) */
};

static __device__ __forceinline__ struct parted parted_of(const struct row_scores &row, int label, double temperature,
                                                          bool standardise)
{
    struct parted parted;
    parted.row = row;
    parted.standard = row_standard_of(row, standardise);
    const double inverse = 1 / (temperature * parted.standard.deviation);
    parted.all = log_softmax_of(row, -1, inverse);
    parted.others = log_softmax_of(row, label, inverse);
    parted.log_target = log_probability(parted.all, row.z[label]);
    parted.log_rest = log_probability(parted.all, parted.others.max) + parted.others.log_sum;
    return parted;
}

/* p log(p / q); 0 where p is 0 */
static __device__ __forceinline__ double divergence(double log_p, double log_q)
{
    const double p = exp(log_p);
    return p > 0 ? p * (log_p - log_q) : 0;
}

/* The derivative of alpha * TCKD + beta * NCKD by logit k / T. */
static __device__ __forceinline__ double decoupled_derivative(const struct parted &s, const struct parted &t,
                                                              bool at_label, int k, double alpha, double beta)
{
    const double excess = exp(s.log_target) - exp(t.log_target);
    if (at_label)
        return alpha * excess;
    const double other = exp(log_probability(s.others, s.row.z[k]));
    return beta * (other - exp(log_probability(t.others, t.row.z[k]))) - alpha * excess * other;
}

/* T^2 * (alpha * TCKD + beta * NCKD) */
static __global__ void __launch_bounds__(LOSS_WARPS *WARP)
    decoupled_rows(struct loss_rows rows, struct decoupled parameters)
{
    const int classes = rows.inputs.classes, lane = threadIdx.x % WARP;
    const int labelled = loss_count_labelled(rows, rows.batch.count, classes);
    const double share = labelled ? 1.0 / labelled : 0, temperature = parameters.of[blockIdx.y].temperature;
    const double alpha = parameters.of[blockIdx.y].alpha, beta = parameters.of[blockIdx.y].beta;
    const bool standardise = parameters.of[blockIdx.y].standardise;
    const double weight = loss_weight(rows) * share * temperature;
    double value = 0;
    for (int i = loss_first_row(); i < rows.batch.count; i += loss_row_step()) {
        const int label = loss_row_label(rows, i, classes).label;
        float *gradient = loss_gradient(rows, i);
        double pull = 0;
        if (label < 0)
            continue;
        const struct parted s = parted_of(loss_student_scores(rows, i), label, temperature, standardise);
        const struct parted t = parted_of(loss_teacher_scores(rows, i), label, temperature, standardise);
        if (lane == 0)
            value += alpha * (divergence(t.log_target, s.log_target) + divergence(t.log_rest, s.log_rest));
        for (int k = lane; k < classes; k += WARP) {
            if (k != label)
                value +=
                    beta * divergence(log_probability(t.others, t.row.z[k]), log_probability(s.others, s.row.z[k]));
            pull += decoupled_derivative(s, t, k == label, k, alpha, beta) * (s.row.z[k] - s.standard.mean);
        }
        pull = warp_sum(pull);
        for (int k = lane; gradient && k < classes; k += WARP) {
            const double derivative = decoupled_derivative(s, t, k == label, k, alpha, beta);
            gradient[k] += (float)(weight * derivative_through(s.standard, derivative, pull, s.row.z[k]));
        }
    }
    loss_finish(rows, value, temperature * temperature * share);
}

/* -t_label log s_label - gamma * T^2 * sum over the other classes of T_k log S_k */
static __global__ void __launch_bounds__(LOSS_WARPS *WARP)
    normalised_rows(struct loss_rows rows, struct normalised parameters)
{
    const int classes = rows.inputs.classes, lane = threadIdx.x % WARP;
    const int labelled = loss_count_labelled(rows, rows.batch.count, classes);
    const double share = labelled ? 1.0 / labelled : 0, weight = loss_weight(rows) * share;
    const double temperature = parameters.of[blockIdx.y].temperature, gamma = parameters.of[blockIdx.y].gamma;
    double value = 0;
    for (int i = loss_first_row(); i < rows.batch.count; i += loss_row_step()) {
        const int label = loss_row_label(rows, i, classes).label;
        const struct row_scores s = loss_student_scores(rows, i), t = loss_teacher_scores(rows, i);
        float *gradient = loss_gradient(rows, i);
        if (label < 0)
            continue;
        const struct log_softmax s_all = log_softmax_of(s, -1, 1), t_all = log_softmax_of(t, -1, 1);
        const struct log_softmax s_others = log_softmax_of(s, label, 1 / temperature);
        const struct log_softmax t_others = log_softmax_of(t, label, 1 / temperature);
        const double target = exp(log_probability(t_all, t.z[label]));
        for (int k = lane; k < classes; k += WARP) {
            const double log_s = log_probability(s_all, s.z[k]);
            double derivative = target * (exp(log_s) - (k == label));
            if (k == label) {
                value -= target * log_s;
            } else {
                const double log_q = log_probability(s_others, s.z[k]), p = exp(log_probability(t_others, t.z[k]));
                value -= gamma * temperature * temperature * p * log_q;
                derivative += gamma * temperature * (exp(log_q) - p);
            }
            if (gradient)
                gradient[k] += (float)(weight * derivative);
        }
    }
    loss_finish(rows, value, share);
}

void launch_dkd(cudaStream_t stream, const struct loss_term *terms, const struct loss_rows *rows)
{
    struct decoupled parameters = {};
    for (int student = 0; student < rows->batch.students; student++) {
        parameters.of[student].temperature = terms[student].temperature;
        parameters.of[student].alpha = terms[student].alpha;
        parameters.of[student].beta = terms[student].beta;
        parameters.of[student].standardise = terms[student].standardise;
    }
    LAUNCH(decoupled_rows, loss_grid(&rows->batch), LOSS_WARPS * WARP, 0, stream, *rows, parameters);
}

void launch_nkd(cudaStream_t stream, const struct loss_term *terms, const struct loss_rows *rows)
{
    struct normalised parameters = {};
    for (int student = 0; student < rows->batch.students; student++) {
        parameters.of[student].temperature = terms[student].temperature;
        parameters.of[student].gamma = terms[student].gamma;
    }
    LAUNCH(normalised_rows, loss_grid(&rows->batch), LOSS_WARPS * WARP, 0, stream, *rows, parameters);
}
