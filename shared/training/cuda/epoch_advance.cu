/* The end of a step: moves the cursor of the epoch inputs on, and tells the host how far the pass has come. The host
 * does not ask: this kernel writes to memory that the host reads. It is one thread. It writes the step count last,
 * after a fence, so a reader that sees the new count also sees the loss of that step. */
#include "shared/training/cuda/cuda_training.h"
#include "shared/device/cuda/cuda_launch.cuh"

static __global__ void advance_cursor(uint32_t *cursor, const double *metrics, struct mailbox *mailbox)
{
    const uint32_t steps = *cursor + 1;
    *cursor = steps;
    mailbox->loss = metrics[METRIC_LOSS];
    mailbox->samples = metrics[METRIC_SAMPLES];
    __threadfence_system();
    mailbox->steps = steps;
}

extern "C" enum status cuda_advance(struct device *device, const struct epoch_inputs *inputs, const double *metrics,
                                    struct mailbox *mailbox, struct error *err)
{
    LAUNCH(advance_cursor, 1, 1, 0, device->stream, inputs->cursor, metrics, mailbox);
    return cuda_launched("advance", err);
}
