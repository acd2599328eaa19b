/* Refined logits: the teacher's confidence moved to the label, and the classes that it ranks below the label.
 *
 * Idea and bytes moved: as kd.cu; the passes over all classes and over some of them find the row in the first-level
 * cache. */
#include "shared/training/losses/logit_row.cuh"

/* For each student. */
struct rld_options {
    double temperature[TRAINING_MAX_STUDENTS], alpha_temperature[TRAINING_MAX_STUDENTS];
    double alpha[TRAINING_MAX_STUDENTS], beta[TRAINING_MAX_STUDENTS];
};

static __global__ void __launch_bounds__(LOSS_WARPS *WARP) rld(struct cuda_loss_args args, struct rld_options options)
{
    const int classes = args.inputs.classes, lane = threadIdx.x % WARP;
    const int labelled = count_labelled(args, args.batch.count, classes);
    const number share = labelled ? (number)1 / labelled : 0, factor = loss_weight(args) * share;
    const number t = options.temperature[blockIdx.y], t1 = options.alpha_temperature[blockIdx.y];
    const number alpha = options.alpha[blockIdx.y], beta = options.beta[blockIdx.y];
    number value = 0;
    for (int i = loss_first_row(); i < args.batch.count; i += loss_row_step()) {
        const int label = label_of_row(args, i, classes).label;
        float *gradient = loss_gradient(args, i);
        if (label < 0 || row_left_out(args, i))
            continue;
        const struct row_scores s = loss_student_scores(args, i), teacher = loss_teacher_scores(args, i);
        const float bound = teacher.z[label];
        const struct label_split own = label_split_of(s, label, t1, false);
        const struct label_split top = label_split_of(teacher, argmax(teacher.z, classes), t1, false);
        const struct log_softmax q = log_softmax_below(s, teacher, bound, 1 / t);
        const struct log_softmax p = log_softmax_below(teacher, teacher, bound, 1 / t);
        const number excess = dkd_excess(&own, &top);
        if (lane == 0)
            value += alpha * t1 * t1 * dkd_label_value(&own, &top);
        for (int k = lane; k < classes; k += WARP) {
            number derivative = alpha * t1 * excess * (k == label ? 1 : -exp(log_other(&own, k)));
            if (teacher.z[k] < bound) {
                const number log_p = log_probability(&p, teacher.z[k]), log_q = log_probability(&q, s.z[k]);
                value += beta * t * t * kl_part(log_p, log_q);
                derivative += beta * t * (exp(log_q) - exp(log_p));
            }
            if (gradient)
                gradient[k] += (float)(factor * derivative);
        }
    }
    loss_finish(args, value, share);
}

static void launch_rld(cudaStream_t stream, const struct loss_term *terms, const struct cuda_loss_args *args)
{
    struct rld_options options = {};
    for (int student = 0; student < args->batch.students; student++) {
        options.temperature[student] = terms[student].temperature;
        options.alpha_temperature[student] = terms[student].alpha_temperature;
        options.alpha[student] = terms[student].alpha;
        options.beta[student] = terms[student].beta;
    }
    LAUNCH(rld, loss_grid(&args->batch), LOSS_WARPS * WARP, 0, stream, *args, options);
}

extern "C" const struct cuda_loss cuda_rld = {LOSS_RLD, launch_rld, NULL};
