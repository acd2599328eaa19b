/* Cross entropy with the labels, of the logits or of a student's features.
 *
 * Idea: one warp per row, some passes over the row (its largest value, the normaliser, the value, the gradient), of
 * which all but the first find it in the first-level cache; gradients are added to, so that terms can follow one
 * another. Bytes moved: logits once, the gradient once in and once out, which is the floor; at 128 rows of 11 classes
 * that is 17 kB, and the launch is all that is felt. */
#include "shared/training/losses/logit_row.cuh"

/* Made on the host, where divisions in double cost nothing. */
struct ce_options {
    double at_label[TRAINING_MAX_STUDENTS];   /* 1 - smoothing: what the target has at the label */
    double everywhere[TRAINING_MAX_STUDENTS]; /* smoothing / classes: what it has at every class */
};

/* What cross entropy takes for logits: the logits, or a student's features [rows, pixels, channels]. */
static __device__ __forceinline__ struct row_scores class_scores(const struct cuda_loss_args &args, int row)
{
    const struct loss_batch &batch = args.batch;
    const struct loss_shape &shape = batch.shape;
    if (!batch.student)
        return loss_student_scores(args, row);
    return {batch.student + blockIdx.y * batch.student_stride + (size_t)row * shape.pixels * shape.channels,
            shape.channels, shape.pixels};
}
/* Laid out as class_scores; NULL: only the value is wanted */
static __device__ __forceinline__ float *class_gradient(const struct cuda_loss_args &args, int row)
{
    const struct loss_batch &batch = args.batch;
    const struct loss_shape &shape = batch.shape;
    if (!batch.student)
        return loss_gradient(args, row);
    if (!batch.student_gradient)
        return NULL;
    return batch.student_gradient + blockIdx.y * batch.student_stride + (size_t)row * shape.pixels * shape.channels;
}

static __global__ void __launch_bounds__(LOSS_WARPS *WARP) ce(struct cuda_loss_args args, struct ce_options options)
{
    const int classes = args.batch.student ? args.batch.shape.channels : args.inputs.classes, lane = threadIdx.x % WARP;
    const int count = loss_row_count(args, blockIdx.y), labelled = count_labelled(args, count, classes);
    const number at_label = options.at_label[blockIdx.y], everywhere = options.everywhere[blockIdx.y];
    const number share = labelled ? (number)1 / labelled : 0;
    number value = 0; /* this lane's part of the sum over rows */
    for (int i = loss_first_row(); i < count; i += loss_row_step()) {
        const struct row_label label = label_of_row(args, i, classes);
        const struct row_scores row = class_scores(args, i);
        float *gradient = class_gradient(args, i);
        if (label.label < 0)
            continue;
        const number factor = loss_weight(args) * share / row.pixels;
        const struct log_softmax softmax = log_softmax_of(row, -1, 1);
        for (int k = lane; k < classes; k += WARP) {
            const number log_q = log_probability(&softmax, score_of(&row, k));
            const number target = smoothed_target(&label, at_label, everywhere, k);
            value -= target * log_q;
            for (int pixel = 0; gradient && pixel < row.pixels; pixel++)
                gradient[(size_t)pixel * classes + k] += (float)(factor * (exp(log_q) - target));
        }
    }
    loss_finish(args, value, share);
}

static void launch_ce(cudaStream_t stream, const struct loss_term *terms, const struct cuda_loss_args *args)
{
    const int classes = args->batch.student ? args->batch.shape.channels : args->inputs.classes;
    struct ce_options options = {};
    for (int student = 0; student < args->batch.students; student++) {
        options.at_label[student] = 1 - (double)terms[student].label_smoothing;
        options.everywhere[student] = (double)terms[student].label_smoothing / classes;
    }
    LAUNCH(ce, loss_grid(&args->batch), LOSS_WARPS * WARP, 0, stream, *args, options);
}

extern "C" const struct cuda_loss cuda_ce = {LOSS_CE, launch_ce, NULL};
