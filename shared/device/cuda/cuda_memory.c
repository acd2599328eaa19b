/* Memory of the GPU, memory that it shares with the host, and copies between the two. */
#include "shared/device/cuda/cuda_device.h"

#include "shared/base/memory.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "1.2 GiB", "512 MiB", "3 KiB" */
static const char *size_text(size_t bytes, char *text, size_t size)
{
    static const char *const units[] = {"GiB", "MiB", "KiB"};
    int unit = 0;
    while (unit < 2 && bytes < (size_t)1 << (30 - 10 * unit))
        unit++;
    const double amount = (double)bytes / (double)((size_t)1 << (30 - 10 * unit));
    snprintf(text, size, amount < 100 ? "%.1f %s" : "%.0f %s", amount, units[unit]);
    return text;
}

/* *left: bytes that may still be allocated; *all: bytes in total. */
static enum status capacity_left(struct device *device, size_t *left, size_t *all, struct error *err)
{
    enum status status = STATUS_OK;
    TRY(cuda_check(cudaMemGetInfo(left, all), "reading the amount of free memory", err));
    if (device->memory_limit) {
        const size_t within =
            device->memory_limit > device->memory_used ? device->memory_limit - device->memory_used : 0;
        *left = within < *left ? within : *left;
        *all = device->memory_limit < *all ? device->memory_limit : *all;
    }
cleanup:
    return status;
}

enum status cuda_memory_left(struct device *device, size_t *bytes, struct error *err)
{
    size_t all;
    return capacity_left(device, bytes, &all, err);
}

static enum status out_of_memory(struct device *device, size_t bytes, const char *what, struct error *err)
{
    char asked[32], free_text[32], all_text[32];
    size_t left = 0, all = 0;
    enum status status = STATUS_OK;
    cudaGetLastError(); /* so that the next launch does not report it */
    TRY(capacity_left(device, &left, &all, err));
    status = error_set(
        err, STATUS_CONFIG, NULL, "out of GPU memory: requested %s for %s, %s of %s free%s; lower --batch%s",
        size_text(bytes, asked, sizeof asked), what, size_text(left, free_text, sizeof free_text),
        size_text(all, all_text, sizeof all_text), device->memory_limit ? " (--gpu-memory)" : "",
        device->memory_limit ? ", or raise --gpu-memory" : ", or see with nvidia-smi what else is running on this GPU");
cleanup:
    return status;
}

/* Makes room in the list for one more allocation. */
static enum status grow_list(struct device *device, struct error *err)
{
    return array_grow(&device->allocations, sizeof *device->allocations, (size_t)device->allocation_count,
                      &device->allocation_capacity, "a list of buffers", err);
}

enum status cuda_memory_new(struct device *device, size_t bytes, const char *what, void **out, struct error *err)
{
    enum status status = STATUS_OK;
    *out = NULL;
    bytes = bytes ? bytes : 1;
    TRY(grow_list(device, err));
    if (device->memory_limit &&
        (device->memory_used > device->memory_limit || bytes > device->memory_limit - device->memory_used))
        return out_of_memory(device, bytes, what, err);
    TRY(cuda_check(cudaSetDevice(device->index), "choosing the GPU", err));
    const cudaError_t result = cudaMalloc(out, bytes);
    if (result == cudaErrorMemoryAllocation)
        return out_of_memory(device, bytes, what, err);
    TRY(cuda_check(result, what, err));
    device->allocations[device->allocation_count++] = (struct cuda_allocation){*out, bytes, false};
    device->memory_used += bytes;
cleanup:
    return status;
}

enum status cuda_store_new(struct device *device, size_t bytes, const char *what, void **out, struct error *err)
{
    enum status status = STATUS_OK;
    size_t left = 0;
    *out = NULL;
    TRY(cuda_memory_left(device, &left, err));
    if (bytes <= left / 2)
        return cuda_memory_new(device, bytes, what, out, err);
    TRY(grow_list(device, err));
    TRY(cuda_pinned_new(bytes, what, out, err));
    device->allocations[device->allocation_count++] = (struct cuda_allocation){*out, bytes, true};
cleanup:
    return status;
}

void cuda_memory_free(struct device *device, void *memory)
{
    for (int i = device->allocation_count - 1; memory && i >= 0; i--) {
        const struct cuda_allocation found = device->allocations[i];
        if (found.memory != memory)
            continue;
        device->allocations[i] = device->allocations[--device->allocation_count];
        if (found.host) {
            cudaStreamSynchronize(device->stream); /* cudaFree waits by itself */
            cuda_pinned_free(memory);
        } else {
            device->memory_used -= found.bytes;
            cudaFree(memory);
        }
        return;
    }
}

static bool on_host(const struct device *device, const void *memory)
{
    for (int i = 0; i < device->allocation_count; i++) {
        const struct cuda_allocation *a = &device->allocations[i];
        if (a->host && (const char *)memory >= (const char *)a->memory &&
            (const char *)memory < (const char *)a->memory + a->bytes)
            return true;
    }
    return false;
}

enum status cuda_pinned_new(size_t bytes, const char *what, void **out, struct error *err)
{
    char asked[32];
    const cudaError_t result = cudaHostAlloc(out, bytes ? bytes : 1, cudaHostAllocMapped | cudaHostAllocPortable);
    if (result == cudaSuccess)
        return STATUS_OK;
    *out = NULL;
    cudaGetLastError();
    return error_set(err, STATUS_INTERNAL, NULL, "out of page-locked host memory: requested %s for %s: %s",
                     size_text(bytes, asked, sizeof asked), what, cudaGetErrorString(result));
}

void cuda_pinned_free(void *memory)
{
    if (memory)
        cudaFreeHost(memory);
}

/* The host waits only if it is CUDA_STAGES copies ahead, or if the memory is on the host and kernels may still be
 * reading it. */
enum status cuda_upload(struct device *device, void *to, const void *from, size_t bytes, struct error *err)
{
    enum status status = STATUS_OK;
    if (device->capture)
        return error_set(err, STATUS_INTERNAL, NULL, "an upload cannot be part of a graph capture");
    if (on_host(device, to)) {
        TRY(cuda_check(cudaStreamSynchronize(device->stream), "waiting for the GPU", err));
        memcpy(to, from, bytes);
        return STATUS_OK;
    }
    for (size_t at = 0, part; at < bytes; at += part) {
        struct cuda_stage *stage = &device->stages[device->next_stage];
        part = bytes - at < CUDA_STAGE_BYTES ? bytes - at : CUDA_STAGE_BYTES;
        TRY(cuda_check(cudaEventSynchronize(stage->done), "uploading", err));
        memcpy(stage->memory, (const char *)from + at, part);
        TRY(cuda_check(cudaMemcpyAsync((char *)to + at, stage->memory, part, cudaMemcpyHostToDevice, device->stream),
                       "uploading", err));
        TRY(cuda_check(cudaEventRecord(stage->done, device->stream), "uploading", err));
        device->next_stage = (device->next_stage + 1) % CUDA_STAGES;
    }
cleanup:
    return status;
}

enum status cuda_download(struct device *device, void *to, const void *from, size_t bytes, struct error *err)
{
    enum status status = STATUS_OK;
    if (bytes)
        TRY(cuda_check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, device->stream), "downloading", err));
    TRY(cuda_check(cudaStreamSynchronize(device->stream), "waiting for the GPU", err));
cleanup:
    return status;
}

enum status cuda_zero(struct device *device, void *to, size_t bytes, struct error *err)
{
    if (bytes == 0)
        return STATUS_OK;
    return cuda_check(cudaMemsetAsync(to, 0, bytes, device->stream), "zeroing", err);
}

/* Rows that are further apart than a copy's pitch can be are zeroed one by one. */
enum status cuda_zero_rows(struct device *device, void *to, size_t stride, size_t bytes, int rows, struct error *err)
{
    enum status status = STATUS_OK;
    if (bytes > 0 && rows > 1 && stride <= device->properties.memPitch)
        return cuda_check(cudaMemset2DAsync(to, stride, 0, bytes, (size_t)rows, device->stream), "zeroing", err);
    for (int row = 0; row < rows; row++)
        TRY(cuda_zero(device, (char *)to + (size_t)row * stride, bytes, err));
cleanup:
    return status;
}

enum status cuda_idle(struct device *device, bool *idle, struct error *err)
{
    const cudaError_t result = cudaStreamQuery(device->stream);
    *idle = result != cudaErrorNotReady;
    return *idle ? cuda_check(result, "waiting for the GPU", err) : STATUS_OK;
}

enum status cuda_mailbox_new(struct device *device, size_t bytes, void **out, struct error *err)
{
    enum status status = cuda_pinned_new(bytes, "a mailbox", out, err);
    (void)device;
    if (status == STATUS_OK)
        memset(*out, 0, bytes);
    return status;
}

void cuda_mailbox_free(struct device *device, void *mailbox)
{
    (void)device;
    cuda_pinned_free(mailbox);
}
