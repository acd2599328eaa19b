/* The end of a step: the epoch inputs' cursor moves on, and the host hears how far the pass has come without asking: it
 * reads its own memory, which this kernel writes to. One thread; the step count comes last and fenced, so that who sees
 * it sees the step's loss too. */
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
