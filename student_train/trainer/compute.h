/* Where a command computes: the device of a backend, and a pool of threads for decoding images. */
#ifndef STUDENT_TRAIN_TRAINER_COMPUTE_H
#define STUDENT_TRAIN_TRAINER_COMPUTE_H

#include "shared/backend/backend.h"
#include "shared/base/memory.h"
#include "shared/base/progress.h"
#include "shared/base/threads.h"

struct compute_options {
    const char *device;  /* "auto", "cpu", "cuda", "cuda:1" */
    int threads;         /* CPU threads; 0: one per processor */
    uint64_t gpu_memory; /* limit in bytes; 0: all that is free */
    uint64_t max_memory; /* of the host, in bytes; 0: all that is available */
    bool deterministic;  /* the same bits on every processor (device.h) */
};

/* clang-format off */
/* Their rows in a command's table of options (shared/base/options.h). */
#define COMPUTE_OPTIONS(compute) \
    {"device", OPTION_STRING, &(compute).device, "auto|cpu|cuda[:K]", "auto", "where to compute"}, \
    {"threads", OPTION_INT, &(compute).threads, "N", "0", \
     "CPU threads; 0: one per processor; does not change results", .minimum = 0, .maximum = 1024}, \
    {"gpu-memory", OPTION_SIZE, &(compute).gpu_memory, "SIZE", "0", \
     "limit on the GPU memory to use; 0: all that is free"}, \
    {"max-memory", OPTION_SIZE, &(compute).max_memory, "SIZE", "0", \
     "on the CPU: limit on the memory to use, for images, answers and the student's values; 0: all that is " \
     "available"}, \
    {"deterministic", OPTION_FLAG, &(compute).deterministic, NULL, NULL, \
     "on the CPU: compute with AVX2 only, so that every processor that has it gives the same bits (slower where " \
     "there is AVX-512)"}
/* clang-format on */

struct compute {
    const struct backend *backend;
    struct device *device;
    struct thread_pool *pool;
    const char *why; /* why auto chose the CPU; NULL if it did not */
    uint64_t max_memory;
    const char *images_folder; /* where the base images go, into a file without a name; NULL: memory. Borrowed */
    const char *keep_folder;   /* where decoded images are kept from run to run; NULL: nowhere. Borrowed */
    const char *keep_digest;   /* of cache.json, if they are. Borrowed */
    struct memory_limit held;  /* on the CPU: the process does not get more */
};

/* Notes on progress (may be NULL) which device it is, and why auto chose the CPU. compute_release accepts a zeroed
 * struct. */
enum status compute_open(struct compute *compute, const struct compute_options *options, struct progress *progress,
                         struct error *err);
void compute_release(struct compute *compute);

#endif
