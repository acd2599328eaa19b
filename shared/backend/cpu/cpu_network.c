#include "shared/backend/cpu/cpu_backend.h"

enum status cpu_network_prepare(struct device *device, const struct plan *plan, void **workspace, struct error *err)
{
    (void)device, (void)plan, (void)workspace;
    return error_set(err, STATUS_INTERNAL, NULL, "not built yet");
}

void cpu_network_release(struct device *device, void *workspace)
{
    (void)device, (void)workspace;
}

enum status cpu_forward(struct device *device, const struct plan *plan, const struct network_memory *memory,
                        const struct pass *pass, int first, int last, struct error *err)
{
    (void)device, (void)plan, (void)memory, (void)pass, (void)first, (void)last;
    return error_set(err, STATUS_INTERNAL, NULL, "not built yet");
}

enum status cpu_backward(struct device *device, const struct plan *plan, const struct network_memory *memory,
                         const struct pass *pass, int first, int last, struct error *err)
{
    (void)device, (void)plan, (void)memory, (void)pass, (void)first, (void)last;
    return error_set(err, STATUS_INTERNAL, NULL, "not built yet");
}
