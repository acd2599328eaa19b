/* Distillation: T^2 * KL(p || q), p = softmax(teacher / T), q = softmax(student / T); lskd: of logits
 * standardised row by row.
 *
 * Idea: one warp per row, as in ce.cu. Bytes moved: logits of student and teacher once, the gradient once in and once
 * out, which is the floor: at 128 rows of 11 classes 22 kB, and the launch is all that is felt. */
#include "shared/training/losses/logit_row.cuh"

/* For each student; made on the host, where divisions in double cost nothing. */
struct kd_options {
    double temperature[TRAINING_MAX_STUDENTS];
    double share[TRAINING_MAX_STUDENTS]; /* of a row in the mean */
    bool standardise[TRAINING_MAX_STUDENTS];
    enum loss_form form[TRAINING_MAX_STUDENTS];
};

static __global__ void __launch_bounds__(LOSS_WARPS *WARP) kd(struct cuda_loss_args args, struct kd_options options)
{
    const int classes = args.inputs.classes, lane = threadIdx.x % WARP;
    const number t = options.temperature[blockIdx.y], share = options.share[blockIdx.y];
    const bool standardise = options.standardise[blockIdx.y];
    const enum loss_form form = options.form[blockIdx.y];
    const number factor = loss_weight(args) * share * t;
    number value = 0;
    for (int row = loss_first_row(); row < args.batch.count; row += loss_row_step()) {
        if (row_left_out(args, row))
            continue;
        const struct row_scores student = loss_student_scores(args, row), teacher = loss_teacher_scores(args, row);
        const struct row_standard standard = row_standard_of(student, standardise);
        const number deviation = row_standard_of(teacher, standardise).deviation;
        const struct log_softmax q = log_softmax_of(student, -1, 1 / (t * standard.deviation));
        const struct log_softmax p = log_softmax_of(teacher, -1, 1 / (t * deviation));
        float *gradient = loss_gradient(args, row);
        number mean_q = 0, pull = 0;
        for (int k = lane; k < classes; k += WARP) {
            const number log_q = log_probability(&q, student.z[k]), log_p = log_probability(&p, teacher.z[k]);
            value += kd_part(form, log_p, log_q);
            mean_q += exp(log_p) * exp(log_q);
        }
        mean_q = warp_sum(mean_q);
        for (int k = lane; standardise && k < classes; k += WARP) {
            const number log_q = log_probability(&q, student.z[k]), log_p = log_probability(&p, teacher.z[k]);
            pull += kd_derivative(form, log_p, log_q, mean_q) * (student.z[k] - standard.mean);
        }
        pull = warp_sum(pull);
        for (int k = lane; gradient && k < classes; k += WARP) {
            const number log_q = log_probability(&q, student.z[k]), log_p = log_probability(&p, teacher.z[k]);
            const number derivative = kd_derivative(form, log_p, log_q, mean_q);
            gradient[k] += (float)(factor * derivative_through(&standard, derivative, pull, student.z[k]));
        }
    }
    loss_finish(args, value, t * t * share);
}

static void launch_kd(cudaStream_t stream, const struct loss_term *terms, const struct cuda_loss_args *args)
{
    struct kd_options options = {};
    for (int student = 0; student < args->batch.students; student++) {
        const struct loss_term *term = &terms[student];
        const int classes = term->reduction == REDUCTION_MEAN ? args->inputs.classes : 1;
        options.temperature[student] = term->temperature;
        options.share[student] = 1.0 / args->batch.count / classes;
        options.standardise[student] = term->standardise;
        options.form[student] = term->form;
    }
    LAUNCH(kd, loss_grid(&args->batch), LOSS_WARPS * WARP, 0, stream, *args, options);
}

extern "C" const struct cuda_loss cuda_kd = {LOSS_KD, launch_kd, NULL};
