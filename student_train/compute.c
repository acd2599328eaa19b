#include "student_train/compute.h"

enum status compute_open(struct compute *compute, const char *device, int threads, struct error *err)
{
    enum status status = STATUS_OK;
    struct device_options options = {.threads = threads};
    *compute = (struct compute){0};
    TRY(backend_find(device, &compute->backend, &options.index, &compute->why, err));
    TRY(compute->backend->device_new(&compute->device, &options, err));
    TRY(thread_pool_new(&compute->pool, threads, err));
cleanup:
    if (status != STATUS_OK)
        compute_release(compute);
    return status;
}

void compute_release(struct compute *compute)
{
    thread_pool_free(compute->pool);
    if (compute->device)
        compute->backend->device_free(compute->device);
    *compute = (struct compute){0};
}
