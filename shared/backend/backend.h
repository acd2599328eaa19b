/* The backends, each of which consists of three tables: the device, training on it (stage two), and running a teacher
 * on it (stage one). The CPU backend is complete and the reference for the CUDA backend. */
#ifndef SHARED_BACKEND_BACKEND_H
#define SHARED_BACKEND_BACKEND_H

#include "shared/device/device.h"
#include "shared/inference/engine.h"
#include "shared/training/training.h"

struct backend {
    const char *name; /* "cpu", "cuda" */
    const struct device_ops *device;
    const struct training_ops *training;
    const struct engine_ops *engine;
};

/* "cpu", "cuda", "cuda:1" or "auto" -> the backend and the device's index. STATUS_CONFIG: the message says why the
 * device is not available. *why (may be NULL) says why auto chose the CPU. Only registry.c knows which backends exist.
 */
enum status backend_find(const char *device, const struct backend **backend, int *index, const char **why,
                         struct error *err);

extern const struct backend backend_cpu;

/* The CUDA backend: a symbol of a shared object of its own. */
#define BACKEND_CUDA_LIBRARY "softcache_cuda.so"
#define BACKEND_CUDA_SYMBOL "backend_cuda"

#endif
