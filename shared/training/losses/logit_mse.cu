/* The mean squared difference between the logits of student and teacher: one warp per row, every number read once. */
#include "shared/training/losses/logit_row.cuh"

static __global__ void __launch_bounds__(LOSS_WARPS *WARP) logit_mse(struct cuda_loss_args args)
{
    const int classes = args.inputs.classes, lane = threadIdx.x % WARP;
    const number share = (number)1 / ((number)args.batch.count * classes), factor = 2 * share * loss_weight(args);
    number value = 0;
    for (int row = loss_first_row(); row < args.batch.count; row += loss_row_step()) {
        if (row_left_out(args, row))
            continue;
        const struct row_scores student = loss_student_scores(args, row), teacher = loss_teacher_scores(args, row);
        float *gradient = loss_gradient(args, row);
        for (int k = lane; k < classes; k += WARP) {
            const number difference = (number)student.z[k] - teacher.z[k];
            value += difference * difference;
            if (gradient)
                gradient[k] += (float)(factor * difference);
        }
    }
    loss_finish(args, value, share);
}

static void launch_logit_mse(cudaStream_t stream, const struct loss_term *terms, const struct cuda_loss_args *args)
{
    (void)terms;
    LAUNCH(logit_mse, loss_grid(&args->batch), LOSS_WARPS * WARP, 0, stream, *args);
}

extern "C" const struct cuda_loss cuda_logit_mse = {LOSS_LOGIT_MSE, launch_logit_mse, NULL};
