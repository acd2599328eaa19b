/* The gate of terms on logits: what takes the place of a teacher that is wrong or unsure of the label.
 *
 * Idea: one warp per row, before the term's own kernels, which read the gated logits in place of the teacher's. Bytes
 * moved: the teacher's logits once in and once out for each student. */
#include "shared/training/losses/logit_row.cuh"

/* For each student. */
struct gate_options {
    double gate[TRAINING_MAX_STUDENTS], soften[TRAINING_MAX_STUDENTS];
    enum loss_gated gated[TRAINING_MAX_STUDENTS];
};

static __global__ void __launch_bounds__(LOSS_WARPS *WARP) gate(struct cuda_loss_args args, struct gate_options options)
{
    const int classes = args.inputs.classes, lane = threadIdx.x % WARP;
    const enum loss_gated kind = options.gated[blockIdx.y];
    for (int i = loss_first_row(); i < args.batch.count; i += loss_row_step()) {
        const struct row_scores teacher = {args.inputs.teacher + (loss_slot(args) + i) * classes, classes, 1};
        const int label = label_of_row(args, i, classes).label;
        const struct log_softmax softmax = log_softmax_of(teacher, -1, 1);
        const bool gated = options.gate[blockIdx.y] > 0 && label >= 0 &&
                           (teacher.z[label] < softmax.max ||
                            exp(log_probability(&softmax, teacher.z[label])) < options.gate[blockIdx.y]);
        float *row = loss_gated_logits(args, blockIdx.y) + (size_t)i * classes;
        for (int k = lane; k < classes; k += WARP)
            row[k] = gated && kind == GATED_LABEL ? softened_logit(label, k, classes, options.soften[blockIdx.y])
                                                  : teacher.z[k];
        if (lane == 0)
            loss_left_out(args, blockIdx.y)[i] = gated && kind == GATED_CE;
    }
}

extern "C" void cuda_gate(cudaStream_t stream, const struct loss_term *terms, const struct cuda_loss_args *args)
{
    struct gate_options options = {};
    for (int student = 0; student < args->batch.students; student++) {
        options.gate[student] = terms[student].gate;
        options.soften[student] = terms[student].soften;
        options.gated[student] = terms[student].gated;
    }
    LAUNCH(gate, loss_grid(&args->batch), LOSS_WARPS * WARP, 0, stream, *args, options);
}
