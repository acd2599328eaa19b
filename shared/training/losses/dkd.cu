/* Decoupled distillation: the label against the rest (TCKD), and the other classes among themselves (NCKD).
 *
 * Idea and bytes moved: as kd.cu; the passes over all classes and over those other than the label find the row in the
 * first-level cache. */
#include "shared/training/losses/logit_row.cuh"

/* For each student. */
struct dkd_options {
    double temperature[TRAINING_MAX_STUDENTS], alpha[TRAINING_MAX_STUDENTS], beta[TRAINING_MAX_STUDENTS];
    bool standardise[TRAINING_MAX_STUDENTS];
};

/* The derivative of alpha * TCKD + beta * NCKD by logit k / T. */
static __device__ __forceinline__ number dkd_derivative(const struct label_split &student,
                                                        const struct label_split &teacher, bool at_label, int k,
                                                        number alpha, number beta)
{
    return at_label ? alpha * dkd_excess(&student, &teacher) : dkd_other_derivative(&student, &teacher, k, alpha, beta);
}

static __global__ void __launch_bounds__(LOSS_WARPS *WARP) dkd(struct cuda_loss_args args, struct dkd_options options)
{
    const int classes = args.inputs.classes, lane = threadIdx.x % WARP;
    const int labelled = count_labelled(args, args.batch.count, classes);
    const number share = labelled ? (number)1 / labelled : 0, temperature = options.temperature[blockIdx.y];
    const number alpha = options.alpha[blockIdx.y], beta = options.beta[blockIdx.y];
    const bool standardise = options.standardise[blockIdx.y];
    const number factor = loss_weight(args) * share * temperature;
    number value = 0;
    for (int i = loss_first_row(); i < args.batch.count; i += loss_row_step()) {
        const int label = label_of_row(args, i, classes).label;
        float *gradient = loss_gradient(args, i);
        number pull = 0;
        if (label < 0 || row_left_out(args, i))
            continue;
        const struct label_split s = label_split_of(loss_student_scores(args, i), label, temperature, standardise);
        const struct label_split t = label_split_of(loss_teacher_scores(args, i), label, temperature, standardise);
        if (lane == 0)
            value += alpha * dkd_label_value(&s, &t);
        for (int k = lane; k < classes; k += WARP) {
            if (k != label)
                value += beta * kl_part(log_other(&t, k), log_other(&s, k));
            pull += dkd_derivative(s, t, k == label, k, alpha, beta) * (s.row.z[k] - s.standard.mean);
        }
        pull = warp_sum(pull);
        for (int k = lane; gradient && k < classes; k += WARP) {
            const number derivative = dkd_derivative(s, t, k == label, k, alpha, beta);
            gradient[k] += (float)(factor * derivative_through(&s.standard, derivative, pull, s.row.z[k]));
        }
    }
    loss_finish(args, value, temperature * temperature * share);
}

static void launch_dkd(cudaStream_t stream, const struct loss_term *terms, const struct cuda_loss_args *args)
{
    struct dkd_options options = {};
    for (int student = 0; student < args->batch.students; student++) {
        options.temperature[student] = terms[student].temperature;
        options.alpha[student] = terms[student].alpha;
        options.beta[student] = terms[student].beta;
        options.standardise[student] = terms[student].standardise;
    }
    LAUNCH(dkd, loss_grid(&args->batch), LOSS_WARPS * WARP, 0, stream, *args, options);
}

extern "C" const struct cuda_loss cuda_dkd = {LOSS_DKD, launch_dkd, NULL};
