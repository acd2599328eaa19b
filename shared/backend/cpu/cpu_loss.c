#include "shared/backend/cpu/cpu_backend.h"

enum status cpu_loss(struct device *device, const struct loss_term *term, int index, const struct loss_batch *batch,
                     double *metrics, struct error *err)
{
    (void)device, (void)term, (void)index, (void)batch, (void)metrics;
    return error_set(err, STATUS_INTERNAL, NULL, "not built yet");
}

enum status cpu_metrics(struct device *device, const struct loss_batch *batch, double *metrics, int32_t *predictions,
                        struct error *err)
{
    (void)device, (void)batch, (void)metrics, (void)predictions;
    return error_set(err, STATUS_INTERNAL, NULL, "not built yet");
}
