#include "shared/training/cpu/cpu_training.h"

static enum status advance(struct device *device, const struct epoch_inputs *inputs, const double *metrics,
                           struct mailbox *mailbox, struct error *err)
{
    (void)device, (void)err;
    *inputs->cursor += 1;
    mailbox->loss = metrics[METRIC_LOSS];
    mailbox->samples = metrics[METRIC_SAMPLES];
    mailbox->steps = *inputs->cursor;
    return STATUS_OK;
}

const struct training_ops cpu_training_ops = {
    .device = &cpu_device_ops,
    .network = &cpu_network_ops,
    .losses = &cpu_loss_ops,
    .features = &cpu_feature_ops,
    .optimizer = &cpu_optimizer_ops,
    .advance = advance,
};
