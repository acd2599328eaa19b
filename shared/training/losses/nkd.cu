/* Normalised distillation: -t_y log s_y - gamma * T^2 * sum over the classes k other than y of T_k log S_k.
 *
 * Idea and bytes moved: as kd.cu; the passes over all classes and over those other than the label find the row in the
 * first-level cache. */
#include "shared/training/losses/logit_row.cuh"

/* For each student. */
struct nkd_options {
    double temperature[TRAINING_MAX_STUDENTS], gamma[TRAINING_MAX_STUDENTS];
};

static __global__ void __launch_bounds__(LOSS_WARPS *WARP) nkd(struct cuda_loss_args args, struct nkd_options options)
{
    const int classes = args.inputs.classes, lane = threadIdx.x % WARP;
    const int labelled = count_labelled(args, args.batch.count, classes);
    const number share = labelled ? (number)1 / labelled : 0, factor = loss_weight(args) * share;
    const number temperature = options.temperature[blockIdx.y], gamma = options.gamma[blockIdx.y];
    number value = 0;
    for (int i = loss_first_row(); i < args.batch.count; i += loss_row_step()) {
        const int label = label_of_row(args, i, classes).label;
        const struct row_scores s = loss_student_scores(args, i), t = loss_teacher_scores(args, i);
        float *gradient = loss_gradient(args, i);
        if (label < 0 || row_left_out(args, i))
            continue;
        const struct log_softmax student = log_softmax_of(s, -1, 1), teacher = log_softmax_of(t, -1, 1);
        const struct log_softmax student_others = log_softmax_of(s, label, 1 / temperature);
        const struct log_softmax teacher_others = log_softmax_of(t, label, 1 / temperature);
        const number target = exp(log_probability(&teacher, t.z[label]));
        for (int k = lane; k < classes; k += WARP) {
            const number log_s = log_probability(&student, s.z[k]);
            number derivative = target * (exp(log_s) - (k == label));
            if (k == label) {
                value -= target * log_s;
            } else {
                const number log_p = log_probability(&teacher_others, t.z[k]);
                const number log_q = log_probability(&student_others, s.z[k]);
                const struct loss_part part = nkd_other(gamma, temperature, log_p, log_q);
                value += part.value;
                derivative += part.derivative;
            }
            if (gradient)
                gradient[k] += (float)(factor * derivative);
        }
    }
    loss_finish(args, value, share);
}

static void launch_nkd(cudaStream_t stream, const struct loss_term *terms, const struct cuda_loss_args *args)
{
    struct nkd_options options = {};
    for (int student = 0; student < args->batch.students; student++) {
        options.temperature[student] = terms[student].temperature;
        options.gamma[student] = terms[student].gamma;
    }
    LAUNCH(nkd, loss_grid(&args->batch), LOSS_WARPS * WARP, 0, stream, *args, options);
}

extern "C" const struct cuda_loss cuda_nkd = {LOSS_NKD, launch_nkd, NULL};
