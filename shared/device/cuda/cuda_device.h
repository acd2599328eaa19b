/* The GPU as a device: streams, memory; and how CUDA's errors become ours. One thread works with a device: the one that
 * opened it. */
#ifndef SHARED_DEVICE_CUDA_CUDA_DEVICE_H
#define SHARED_DEVICE_CUDA_CUDA_DEVICE_H

#ifdef __cplusplus
extern "C" {
#endif

#include "shared/device/device.h"
#include <cuda_runtime_api.h>

/* Room for sums over blocks, see cuda_sums.cuh: what each block has added up, and how many have. */
enum { CUDA_SUM_LANES = 64 /* sums at once */, CUDA_SUM_BLOCKS = 64, CUDA_SUM_VALUES = 4 };
struct cuda_sums {
    double partial[CUDA_SUM_LANES][CUDA_SUM_BLOCKS][CUDA_SUM_VALUES];
    unsigned int arrived[CUDA_SUM_LANES]; /* 0 between kernels */
};

/* Pinned host memory through which uploads go, so that the host neither waits nor keeps its data: used in turn. */
enum { CUDA_STAGES = 4, CUDA_STAGE_BYTES = 2 << 20 };
struct cuda_stage {
    void *memory;     /* pinned, CUDA_STAGE_BYTES */
    cudaEvent_t done; /* its latest copy */
};

struct cuda_allocation {
    void *memory;
    size_t bytes;
    bool host; /* pinned memory of the host, which kernels read over the bus: a store that did not fit */
};

struct device {
    int index;
    struct cudaDeviceProp properties;
    cudaStream_t stream;                 /* of all work */
    cudaStream_t copy_stream;            /* of prefetched images */
    size_t memory_limit, memory_used;    /* bytes of device memory; limit 0: what is free */
    struct cuda_allocation *allocations; /* [allocation_count] of cuda_memory_new, cuda_store_new */
    int allocation_count;
    size_t allocation_capacity;
    struct cuda_sums *sums; /* device memory, zeroed by device_new */
    struct cuda_stage stages[CUDA_STAGES];
    int next_stage;
    bool capture; /* between record_begin and record_end: no upload, no allocation */
    char description[160];
};

/* STATUS_OK, or err says what was being done and what CUDA answered. */
enum status cuda_check(cudaError_t result, const char *what, struct error *err);
/* After a launch: the error of its configuration. */
enum status cuda_launched(const char *kernel, struct error *err);

extern const struct device_ops cuda_device_ops;   /* cuda_device.c */
extern const struct capture_ops cuda_capture_ops; /* cuda_capture.c */
extern const struct image_ops cuda_image_ops;     /* cuda_images.c */

/* ---- memory (cuda_memory.c); those of struct device_ops without a word ---- */
/* Device memory within the device's limit; its content is undefined. Out of memory is STATUS_CONFIG and says what was
 * asked, what is free, and which options make it smaller. NULL is legal to free. */
enum status cuda_memory_new(struct device *device, size_t bytes, const char *what, void **out, struct error *err);
void cuda_memory_free(struct device *device, void *memory);
/* Bytes that cuda_memory_new could still give. */
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
enum status cuda_idle(struct device *device, bool *idle, struct error *err);

#ifdef __cplusplus
}
#endif
#endif
