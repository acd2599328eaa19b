/* The metrics of a pass: correct predictions, labelled samples, agreement with the teacher; and the predictions.
 *
 * Idea: one warp per row, as in the losses. Bytes moved: each row of logits once. */
#include "shared/training/cuda/cuda_training.h"
#include "shared/training/losses/logit_row.cuh"

static __global__ void __launch_bounds__(LOSS_WARPS *WARP) count_rows(struct cuda_loss_args args)
{
    const size_t slot = loss_slot(args);
    const int classes = args.inputs.classes, lane = threadIdx.x % WARP;
    double counts[3] = {0}; /* correct, labelled, agreeing: whole numbers, counted by the first lane of each warp */
    for (int row = loss_first_row(); row < args.batch.count; row += loss_row_step()) {
        const int label = label_of_row(args, row, classes).label;
        const int predicted = argmax(loss_student_scores(args, row).z, classes);
        const bool agrees =
            args.inputs.teacher && predicted == argmax(args.inputs.teacher + (slot + row) * classes, classes);
        if (lane == 0) {
            counts[0] += predicted == label;
            counts[1] += label >= 0;
            counts[2] += agrees;
            args.inputs.predictions[blockIdx.y * args.inputs.capacity + slot + row] = predicted;
        }
    }
    if (sum_over_blocks<3>(args.sums, blockIdx.y, counts)) {
        double *metrics = args.batch.metrics + blockIdx.y * METRIC_COUNT;
        metrics[METRIC_CORRECT] += counts[0];
        metrics[METRIC_LABELLED] += counts[1];
        metrics[METRIC_AGREE] += counts[2];
        metrics[METRIC_SAMPLES] += args.batch.count;
    }
}

extern "C" enum status cuda_metrics(struct device *device, const struct loss_batch *batch, struct error *err)
{
    const struct cuda_loss_args args = {*batch, *batch->inputs, device->sums, 0, 0};
    LAUNCH(count_rows, loss_grid(batch), LOSS_WARPS * WARP, 0, device->stream, args);
    return cuda_launched("metrics", err);
}
