/* Weighted transformed teacher matching: w * KL(p^gamma / w || q), w = the sum of p^gamma.
 *
 * Idea and bytes moved: as kd.cu. */
#include "shared/training/losses/logit_row.cuh"

/* For each student. */
struct wttm_options {
    double gamma[TRAINING_MAX_STUDENTS];
};

static __global__ void __launch_bounds__(LOSS_WARPS *WARP) wttm(struct cuda_loss_args args, struct wttm_options options)
{
    const int classes = args.inputs.classes, lane = threadIdx.x % WARP;
    const number gamma = options.gamma[blockIdx.y], share = (number)1 / args.batch.count;
    const number factor = loss_weight(args) * share;
    number value = 0;
    for (int row = loss_first_row(); row < args.batch.count; row += loss_row_step()) {
        if (row_left_out(args, row))
            continue;
        const struct row_scores s = loss_student_scores(args, row), t = loss_teacher_scores(args, row);
        const struct log_softmax q = log_softmax_of(s, -1, 1), p = log_softmax_of(t, -1, 1);
        const struct log_softmax powers = log_softmax_of(t, -1, gamma); /* softmax(gamma t) = p^gamma / w */
        float *gradient = loss_gradient(args, row);
        number weight = 0;
        for (int k = lane; k < classes; k += WARP)
            weight += exp(gamma * log_probability(&p, t.z[k]));
        weight = warp_sum(weight);
        for (int k = lane; k < classes; k += WARP) {
            const number log_q = log_probability(&q, s.z[k]), log_power = log_probability(&powers, t.z[k]);
            value += weight * kl_part(log_power, log_q);
            if (gradient)
                gradient[k] += (float)(factor * weight * (exp(log_q) - exp(log_power)));
        }
    }
    loss_finish(args, value, share);
}

static void launch_wttm(cudaStream_t stream, const struct loss_term *terms, const struct cuda_loss_args *args)
{
    struct wttm_options options = {};
    for (int student = 0; student < args->batch.students; student++)
        options.gamma[student] = terms[student].gamma;
    LAUNCH(wttm, loss_grid(&args->batch), LOSS_WARPS * WARP, 0, stream, *args, options);
}

extern "C" const struct cuda_loss cuda_wttm = {LOSS_WTTM, launch_wttm, NULL};
