/* The CPU as a device: threads, buffers, and the table of its functions. */
#include "shared/device/cpu/cpu_device.h"

#include "shared/base/memory.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* None contains another one: a run that two of them computed names both. */
const char *const cpu_isa_names[CPU_ISA_COUNT] = {"AVX512-BF16", "AVX-512", "AVX2", "generic"};

enum cpu_isa cpu_isa_choose(const char *limit)
{
    const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq");
    const bool runs[CPU_ISA_COUNT] = {avx512 && __builtin_cpu_supports("avx512bf16"), avx512,
                                      __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"), true};
    int first = 0;
    while (limit && first < CPU_ISA_GENERIC && strcmp(limit, cpu_isa_names[first]) != 0)
        first++;
    while (!runs[first])
        first++;
    return (enum cpu_isa)first;
}

const char *cpu_arithmetic(enum cpu_isa isa, enum dtype dtype)
{
    return cpu_isa_names[isa == CPU_ISA_AVX512_BF16 && dtype != DTYPE_BF16 ? CPU_ISA_AVX512 : isa];
}

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
    device->isa = cpu_isa_choose(options->deterministic ? cpu_isa_names[CPU_ISA_AVX2] : NULL);
    device->deterministic = options->deterministic;
    if (device->deterministic && device->isa != CPU_ISA_AVX2)
        FAIL(error_set(err, STATUS_CONFIG, NULL,
                       "--deterministic needs a processor with AVX2 and FMA, which this one lacks"));
    snprintf(device->description, sizeof device->description, "CPU, %d thread%s, %s", threads, threads == 1 ? "" : "s",
             cpu_arithmetic(device->isa, DTYPE_FP32));
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

static const char *arithmetic(const struct device *device, enum dtype dtype)
{
    return cpu_arithmetic(device->isa, dtype);
}

static enum status buffer_new(struct device *device, size_t bytes, const char *what, void **out, struct error *err)
{
    (void)device;
    const enum status status = memory_new(out, bytes, 1, what, NULL);
    if (status == STATUS_OK)
        return status;
    return error_set(
        err, status, NULL,
        "out of memory: %zu bytes for %s: a smaller --batch or student needs less (--max-memory limits it)", bytes,
        what);
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

static enum status zero_rows(struct device *device, void *to, size_t stride, size_t bytes, int rows, struct error *err)
{
    for (int row = 0; row < rows; row++)
        zero(device, (char *)to + (size_t)row * stride, bytes, err);
    return STATUS_OK;
}

/* Every call has finished its work when it returns. */
static enum status is_idle(struct device *device, bool *idle, struct error *err)
{
    (void)device, (void)err;
    *idle = true;
    return STATUS_OK;
}

static enum status mailbox_new(struct device *device, size_t bytes, void **out, struct error *err)
{
    (void)device;
    *out = calloc(1, bytes);
    return *out ? STATUS_OK : error_no_memory(err, bytes, "a mailbox");
}

static void mailbox_free(struct device *device, void *mailbox)
{
    (void)device;
    free(mailbox);
}

const struct device_ops cpu_device_ops = {
    .open = device_new,
    .close = device_free,
    .describe = describe,
    .arithmetic = arithmetic,
    .buffer_new = buffer_new,
    .buffer_free = buffer_free,
    .store_new = buffer_new,
    .mailbox_new = mailbox_new,
    .mailbox_free = mailbox_free,
    .upload = copy,
    .download = copy,
    .zero = zero,
    .zero_rows = zero_rows,
    .idle = is_idle,
    .images = &cpu_image_ops,
};
