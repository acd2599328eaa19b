#include "shared/backend/cpu/cpu_backend.h"

enum status cpu_optimize(struct device *device, const struct optimizer_step *step,
                         const struct optimizer_memory *memory, size_t count, struct error *err)
{
    (void)device, (void)step, (void)memory, (void)count;
    return error_set(err, STATUS_INTERNAL, NULL, "not built yet");
}
