/* The GPU as a device: context, stream, memory; and how CUDA's errors become ours. */
#ifndef SHARED_BACKEND_CUDA_CUDA_DEVICE_H
#define SHARED_BACKEND_CUDA_CUDA_DEVICE_H

#ifdef __cplusplus
extern "C" {
#endif

#include "shared/backend/backend.h"
#include <cuda_runtime_api.h>

struct device {
    int index;
    struct cudaDeviceProp properties;
    cudaStream_t stream;              /* of all work */
    cudaStream_t copy_stream;         /* of prefetched images */
    size_t memory_limit, memory_used; /* bytes of buffers */
    void *staging;                    /* pinned host memory for uploads, see upload in cuda_device.c */
    size_t staging_bytes;
    char description[160];
};

/* STATUS_OK, or err says what was being done and what CUDA answered. */
enum status cuda_check(cudaError_t result, const char *what, struct error *err);
/* After a launch: the error of its configuration. */
enum status cuda_launched(const char *kernel, struct error *err);

/* Device memory within the device's limit. Out of memory is STATUS_CONFIG and says what was asked, what is free, and
 * which options make it smaller. */
enum status cuda_memory_new(struct device *device, size_t bytes, const char *what, void **out, struct error *err);
void cuda_memory_free(struct device *device, void *memory);

#ifdef __cplusplus
}
#endif
#endif
