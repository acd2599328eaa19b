#include "student_train/trainer/compute.h"

/* What the program needs for itself, whatever the limit is. */
static const size_t OWN_BYTES = (size_t)64 << 20;

enum status compute_open(struct compute *compute, const struct compute_options *options, struct progress *progress,
                         struct error *err)
{
    enum status status = STATUS_OK;
    struct device_options device = {.threads = options->threads,
                                    .memory_limit = (size_t)options->gpu_memory,
                                    .deterministic = options->deterministic};
    *compute = (struct compute){.max_memory = options->max_memory};
    TRY(backend_find(options->device, &compute->backend, &device.index, &compute->why, err));
    if (options->deterministic && compute->backend != &backend_cpu)
        FAIL(error_set(
            err, STATUS_USAGE, NULL,
            "--deterministic is for the CPU, since GPUs of different kinds round differently: add --device cpu"));
    TRY(compute->backend->device->open(&compute->device, &device, err));
    TRY(thread_pool_new(&compute->pool, options->threads, err));
    if (compute->backend == &backend_cpu) /* a student of a few lines may have values of any size */
        memory_limit_begin(&compute->held,
                           compute->max_memory ? (size_t)compute->max_memory + OWN_BYTES : memory_available());
    if (progress && compute->why)
        progress_note(progress, "on the CPU: %s", compute->why);
    if (progress)
        progress_note(progress, "device: %s", compute->backend->device->describe(compute->device));
cleanup:
    if (status != STATUS_OK)
        compute_release(compute);
    return status;
}

void compute_release(struct compute *compute)
{
    thread_pool_free(compute->pool);
    if (compute->device)
        compute->backend->device->close(compute->device);
    memory_limit_end(&compute->held);
    *compute = (struct compute){0};
}
