/* The GPU as a device: streams, memory, and how CUDA's errors become ours. Only the thread that opened a device may use
 * it. */
#ifndef SHARED_DEVICE_CUDA_CUDA_DEVICE_H
#define SHARED_DEVICE_CUDA_CUDA_DEVICE_H

#ifdef __cplusplus
extern "C" {
#endif

#include "shared/device/device.h"
#include <cuda_runtime_api.h>

/* Memory for sums over blocks, see cuda_sums.cuh: what each block has added up, and how many have arrived. */
enum { CUDA_SUM_LANES = 64 /* sums at once */, CUDA_SUM_BLOCKS = 256, CUDA_SUM_VALUES = 4 };
struct cuda_sums {
    double partial[CUDA_SUM_LANES][CUDA_SUM_BLOCKS][CUDA_SUM_VALUES];
    unsigned int arrived[CUDA_SUM_LANES]; /* 0 between kernels */
};

/* Pinned host memory that uploads go through, so that the host neither waits nor has to keep its data. Used in turn. */
enum { CUDA_STAGES = 4, CUDA_STAGE_BYTES = 2 << 20 };
struct cuda_stage {
    void *memory;     /* pinned, CUDA_STAGE_BYTES */
    cudaEvent_t done; /* the end of its latest copy */
};

struct cuda_allocation {
    void *memory;
    size_t bytes;
    bool host; /* pinned host memory, which kernels read over the bus: a store that did not fit on the GPU */
};

struct device {
    int index;
    struct cudaDeviceProp properties;
    cudaStream_t stream;                 /* for all work */
    cudaStream_t copy_stream;            /* for prefetched images */
    size_t memory_limit, memory_used;    /* bytes of device memory; limit 0: what is free */
    struct cuda_allocation *allocations; /* [allocation_count] made by cuda_memory_new and cuda_store_new */
    int allocation_count;
    size_t allocation_capacity;
    struct cuda_sums *sums; /* device memory, zeroed when the device opens */
    struct cuda_stage stages[CUDA_STAGES];
    int next_stage;
    bool capture; /* a graph is being captured: no uploads, no allocations */
    char description[160];
    char arithmetic[128];
};

/* cuda_error.c. STATUS_OK, or err says what was being done and what CUDA answered. */
enum status cuda_check(cudaError_t result, const char *what, struct error *err);
/* After a launch: returns an error of its configuration. */
enum status cuda_launched(const char *kernel, struct error *err);

/* The compute capability of a GPU, as 75 for 7.5; 0 if it is not available. */
int cuda_capability(int index);
/* Whether its tensor cores and converters know bfloat16: from 8.0 (Ampere). */
bool cuda_has_bf16(int index);

extern const struct device_ops cuda_device_ops;   /* cuda_device.c */
extern const struct capture_ops cuda_capture_ops; /* cuda_capture.c */
extern const struct image_ops cuda_image_ops;     /* cuda_images.c */

/* ---- memory (cuda_memory.c); functions without a comment are those of struct device_ops ---- */
/* Device memory within the device's limit; its content is undefined. Out of memory is STATUS_CONFIG and says what was
 * requested, what is free, and which options help. cuda_memory_free accepts NULL. */
enum status cuda_memory_new(struct device *device, size_t bytes, const char *what, void **out, struct error *err);
void cuda_memory_free(struct device *device, void *memory);
/* Bytes that cuda_memory_new could still allocate. */
enum status cuda_memory_left(struct device *device, size_t *bytes, struct error *err);
/* Pinned host memory, which streams copy from and to without the host waiting. */
enum status cuda_pinned_new(size_t bytes, const char *what, void **out, struct error *err);
void cuda_pinned_free(void *memory);
enum status cuda_store_new(struct device *device, size_t bytes, const char *what, void **out, struct error *err);
enum status cuda_mailbox_new(struct device *device, size_t bytes, void **out, struct error *err);
void cuda_mailbox_free(struct device *device, void *mailbox);
enum status cuda_upload(struct device *device, void *to, const void *from, size_t bytes, struct error *err);
enum status cuda_download(struct device *device, void *to, const void *from, size_t bytes, struct error *err);
enum status cuda_zero(struct device *device, void *to, size_t bytes, struct error *err);
enum status cuda_zero_rows(struct device *device, void *to, size_t stride, size_t bytes, int rows, struct error *err);
enum status cuda_idle(struct device *device, bool *idle, struct error *err);

#ifdef __cplusplus
}
#endif
#endif
