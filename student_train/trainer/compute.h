/* Where a command computes: a backend's device, and a pool of threads for decoding images. */
#ifndef STUDENT_TRAIN_TRAINER_COMPUTE_H
#define STUDENT_TRAIN_TRAINER_COMPUTE_H

#include "shared/backend/backend.h"
#include "shared/base/progress.h"
#include "shared/base/threads.h"

struct compute_options {
    const char *device;  /* "auto", "cpu", "cuda", "cuda:1" */
    int threads;         /* of the CPU; 0: all processors */
    uint64_t gpu_memory; /* bytes of it to use; 0: what is free */
};

struct compute {
    const struct backend *backend;
    struct device *device;
    struct thread_pool *pool;
    const char *why; /* auto chose the CPU because; or NULL */
};

/* progress (may be NULL) is told which device it is, and why auto took the CPU. A zeroed struct is legal to release. */
enum status compute_open(struct compute *compute, const struct compute_options *options, struct progress *progress,
                         struct error *err);
void compute_release(struct compute *compute);

#endif
