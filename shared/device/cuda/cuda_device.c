/* Opens and closes a GPU. Stands on cuda_memory.c, which stands on cuda_error.c. */
#include "shared/device/cuda/cuda_device.h"

#include <stdio.h>
#include <stdlib.h>

enum { OLDEST_CAPABILITY = 75 };

int cuda_capability(int index)
{
    int major = 0, minor = 0;
    if (cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, index) != cudaSuccess ||
        cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, index) != cudaSuccess)
        return 0;
    return 10 * major + minor;
}

bool cuda_has_bf16(int index)
{
    return cuda_capability(index) >= 80;
}

/* Why there is no such GPU, or NULL. The text is valid until the next call. */
static const char *missing(int index)
{
    static _Thread_local char text[160];
    int count = 0, driver = 0, runtime = 0;
    const cudaError_t result = cudaGetDeviceCount(&count);
    cudaGetLastError();
    if (result == cudaErrorInsufficientDriver || result == cudaErrorNoDevice || (result == cudaSuccess && count == 0)) {
        if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0)
            return "no NVIDIA driver is loaded: install one";
        if (result == cudaErrorInsufficientDriver) {
            cudaRuntimeGetVersion(&runtime);
            snprintf(text, sizeof text,
                     "the NVIDIA driver supports CUDA %d.%d, but this build needs CUDA %d.%d: update the driver",
                     driver / 1000, driver % 1000 / 10, runtime / 1000, runtime % 1000 / 10);
            return text;
        }
        return "no GPU is visible: see nvidia-smi and CUDA_VISIBLE_DEVICES";
    }
    if (result != cudaSuccess)
        return cudaGetErrorString(result);
    if (index < 0 || index >= count)
        return "there are fewer GPUs: see nvidia-smi -L and CUDA_VISIBLE_DEVICES";
    if (cuda_capability(index) < OLDEST_CAPABILITY)
        return "its compute capability is below 7.5 (Turing)";
    return NULL;
}

static void device_close(struct device *device)
{
    if (!device)
        return;
    if (device->stream)
        cudaStreamSynchronize(device->stream);
    for (int i = 0; i < CUDA_STAGES; i++) {
        cuda_pinned_free(device->stages[i].memory);
        if (device->stages[i].done)
            cudaEventDestroy(device->stages[i].done);
    }
    cuda_memory_free(device, device->sums);
    if (device->copy_stream)
        cudaStreamDestroy(device->copy_stream);
    if (device->stream)
        cudaStreamDestroy(device->stream);
    free(device->allocations);
    free(device);
}

static enum status make_streams(struct device *device, struct error *err)
{
    enum status status = STATUS_OK;
    TRY(cuda_check(cudaStreamCreateWithFlags(&device->stream, cudaStreamNonBlocking), "creating a stream", err));
    TRY(cuda_check(cudaStreamCreateWithFlags(&device->copy_stream, cudaStreamNonBlocking), "creating a stream", err));
    for (int i = 0; i < CUDA_STAGES; i++) {
        struct cuda_stage *stage = &device->stages[i];
        TRY(cuda_pinned_new(CUDA_STAGE_BYTES, "uploads", &stage->memory, err));
        TRY(cuda_check(cudaEventCreateWithFlags(&stage->done, cudaEventDisableTiming), "creating an event", err));
    }
cleanup:
    return status;
}

static enum status device_open(struct device **out, const struct device_options *options, struct error *err)
{
    const char *why = missing(options->index);
    enum status status = STATUS_OK;
    struct device *device = NULL;
    *out = NULL;
    if (why)
        return error_set(err, STATUS_CONFIG, NULL, "GPU %d is not available: %s, or use --device cpu", options->index,
                         why);
    device = calloc(1, sizeof *device);
    if (!device)
        return error_no_memory(err, sizeof *device, "a device");
    device->index = options->index;
    device->memory_limit = options->memory_limit;
    TRY(cuda_check(cudaSetDevice(device->index), "opening the GPU", err));
    TRY(cuda_check(cudaGetDeviceProperties(&device->properties, device->index), "opening the GPU", err));
    TRY(make_streams(device, err));
    TRY(cuda_memory_new(device, sizeof *device->sums, "sums", (void **)&device->sums, err));
    TRY(cuda_zero(device, device->sums, sizeof *device->sums, err));
    snprintf(device->arithmetic, sizeof device->arithmetic, "%.100s, compute %d.%d", device->properties.name,
             device->properties.major, device->properties.minor);
    snprintf(device->description, sizeof device->description, "%.100s, compute %d.%d, %.0f GiB",
             device->properties.name, device->properties.major, device->properties.minor,
             (double)device->properties.totalGlobalMem / (1 << 30));
    *out = device;
    device = NULL;
cleanup:
    device_close(device);
    return status;
}

static const char *describe(const struct device *device)
{
    return device->description;
}

static const char *arithmetic(const struct device *device, enum dtype dtype)
{
    (void)dtype;
    return device->arithmetic;
}

const struct device_ops cuda_device_ops = {
    .missing = missing,
    .open = device_open,
    .close = device_close,
    .describe = describe,
    .arithmetic = arithmetic,
    .buffer_new = cuda_memory_new,
    .buffer_free = cuda_memory_free,
    .store_new = cuda_store_new,
    .mailbox_new = cuda_mailbox_new,
    .mailbox_free = cuda_mailbox_free,
    .upload = cuda_upload,
    .download = cuda_download,
    .zero = cuda_zero,
    .zero_rows = cuda_zero_rows,
    .idle = cuda_idle,
    .capture = &cuda_capture_ops,
    .images = &cuda_image_ops,
};
