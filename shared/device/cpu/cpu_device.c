/* The CPU as a device: threads, buffers, and the table of its functions. */
#include "shared/device/cpu/cpu_backend.h"
#include "shared/training/cpu/cpu_kernels.h"
#include "shared/inference/cpu/engine_cpu.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void device_free(struct device *device)
{
    if (!device)
        return;
    thread_pool_free(device->pool);
    free(device);
}

static enum status device_new(struct device **out, const struct device_options *options, struct error *err)
{
    enum status status = STATUS_OK;
    struct device *device = calloc(1, sizeof *device);
    *out = NULL;
    if (!device)
        return error_no_memory(err, sizeof *device, "a device");
    TRY(thread_pool_new(&device->pool, options->threads, err));
    int threads = thread_pool_size(device->pool);
    device->kernels = cpu_kernels_choose(NULL);
    snprintf(device->description, sizeof device->description, "CPU, %d thread%s, %s", threads, threads == 1 ? "" : "s",
             device->kernels->name);
    *out = device;
    device = NULL;
cleanup:
    device_free(device);
    return status;
}

static const char *describe(const struct device *device)
{
    return device->description;
}

static enum status buffer_new(struct device *device, size_t bytes, const char *what, void **out, struct error *err)
{
    (void)device;
    return memory_new(out, bytes, 1, what, err);
}

static void buffer_free(struct device *device, void *buffer)
{
    (void)device;
    memory_free(buffer);
}

/* Upload and download are the same on the CPU. */
static enum status copy(struct device *device, void *to, const void *from, size_t bytes, struct error *err)
{
    (void)device, (void)err;
    if (bytes)
        memcpy(to, from, bytes);
    return STATUS_OK;
}

static enum status zero(struct device *device, void *to, size_t bytes, struct error *err)
{
    (void)device, (void)err;
    if (bytes)
        memset(to, 0, bytes);
    return STATUS_OK;
}

/* Everything was done when it was asked for. */
static enum status is_idle(struct device *device, bool *idle, struct error *err)
{
    (void)device, (void)err;
    *idle = true;
    return STATUS_OK;
}

static enum status mailbox_new(struct device *device, struct mailbox **out, struct error *err)
{
    (void)device;
    *out = calloc(1, sizeof **out);
    return *out ? STATUS_OK : error_no_memory(err, sizeof **out, "a mailbox");
}

static void mailbox_free(struct device *device, struct mailbox *mailbox)
{
    (void)device;
    free(mailbox);
}

static enum status advance(struct device *device, const struct feed *feed, const double *metrics,
                           struct mailbox *mailbox, struct error *err)
{
    (void)device, (void)err;
    *feed->cursor += 1;
    mailbox->loss = metrics[METRIC_LOSS];
    mailbox->samples = metrics[METRIC_SAMPLES];
    mailbox->steps = *feed->cursor;
    return STATUS_OK;
}

const struct backend backend_cpu = {
    .name = "cpu",
    .device_new = device_new,
    .device_free = device_free,
    .describe = describe,
    .buffer_new = buffer_new,
    .buffer_free = buffer_free,
    .upload = copy,
    .download = copy,
    .zero = zero,
    .idle = is_idle,
    .mailbox_new = mailbox_new,
    .mailbox_free = mailbox_free,
    .network_prepare = cpu_network_prepare,
    .network_release = cpu_network_release,
    .forward = cpu_forward,
    .backward = cpu_backward,
    .loss_scratch = cpu_loss_scratch,
    .loss = cpu_loss,
    .feature_teacher = cpu_feature_teacher,
    .feature_read = cpu_feature_read,
    .feature_gradient = cpu_feature_gradient,
    .store_new = buffer_new,
    .metrics = cpu_metrics,
    .optimize = cpu_optimize,
    .blend = cpu_blend,
    .advance = advance,
    .images_new = cpu_images_new,
    .images_put = cpu_images_put,
    .images_free = cpu_images_free,
    .render = cpu_render,
    .inference = &inference_cpu,
};
