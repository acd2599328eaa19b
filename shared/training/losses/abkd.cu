/* The alpha-beta divergence of softmax(teacher / T) and softmax(student / T).
 *
 * Idea and bytes moved: as kd.cu. */
#include "shared/training/losses/logit_row.cuh"

/* For each student. */
struct abkd_options {
    double temperature[TRAINING_MAX_STUDENTS], alpha[TRAINING_MAX_STUDENTS], beta[TRAINING_MAX_STUDENTS];
};

static __global__ void __launch_bounds__(LOSS_WARPS *WARP) abkd(struct cuda_loss_args args, struct abkd_options options)
{
    const int classes = args.inputs.classes, lane = threadIdx.x % WARP;
    const number alpha = options.alpha[blockIdx.y], beta = options.beta[blockIdx.y];
    const number inverse = 1 / options.temperature[blockIdx.y], share = (number)1 / args.batch.count;
    const number factor = loss_weight(args) * share * inverse;
    number value = 0;
    for (int row = loss_first_row(); row < args.batch.count; row += loss_row_step()) {
        if (row_left_out(args, row))
            continue;
        const struct row_scores s = loss_student_scores(args, row), t = loss_teacher_scores(args, row);
        const struct log_softmax q = log_softmax_of(s, -1, inverse), p = log_softmax_of(t, -1, inverse);
        float *gradient = loss_gradient(args, row);
        number pull = 0;
        for (int k = lane; k < classes; k += WARP) {
            const number log_p = log_probability(&p, t.z[k]), log_q = log_probability(&q, s.z[k]);
            value += abkd_part(alpha, beta, log_p, log_q);
            pull += abkd_pull(alpha, beta, log_p, log_q);
        }
        pull = warp_sum(pull);
        for (int k = lane; gradient && k < classes; k += WARP) {
            const number log_p = log_probability(&p, t.z[k]), log_q = log_probability(&q, s.z[k]);
            gradient[k] += (float)(factor * (abkd_pull(alpha, beta, log_p, log_q) - exp(log_q) * pull));
        }
    }
    loss_finish(args, value, share);
}

static void launch_abkd(cudaStream_t stream, const struct loss_term *terms, const struct cuda_loss_args *args)
{
    struct abkd_options options = {};
    for (int student = 0; student < args->batch.students; student++) {
        options.temperature[student] = terms[student].temperature;
        options.alpha[student] = terms[student].alpha;
        options.beta[student] = terms[student].beta;
    }
    LAUNCH(abkd, loss_grid(&args->batch), LOSS_WARPS * WARP, 0, stream, *args, options);
}

extern "C" const struct cuda_loss cuda_abkd = {LOSS_ABKD, launch_abkd, NULL};
