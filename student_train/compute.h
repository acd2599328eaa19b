/* Where a command computes: a backend's device, and a pool of threads for decoding images. */
#ifndef STUDENT_TRAIN_COMPUTE_H
#define STUDENT_TRAIN_COMPUTE_H

#include "shared/backend/backend.h"
#include "shared/base/threads.h"

struct compute {
    const struct backend *backend;
    struct device *device;
    struct thread_pool *pool;
    const char *why; /* auto chose the CPU because; or NULL */
};

/* device: "auto", "cpu", "cuda", "cuda:1"; threads 0: all processors. A zeroed struct is legal to release. */
enum status compute_open(struct compute *compute, const char *device, int threads, struct error *err);
void compute_release(struct compute *compute);

#endif
