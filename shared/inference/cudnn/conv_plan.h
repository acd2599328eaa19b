/* cuDNN's part of the engine: one execution plan per convolution, made by heuristics from a graph of operations, with
 * or without the GPU. */
#ifndef SHARED_INFERENCE_CUDNN_CONV_PLAN_H
#define SHARED_INFERENCE_CUDNN_CONV_PLAN_H

#include "shared/inference/cudnn/conv_problem.h"
#include "shared/inference/cudnn/cudnn_descriptor.h"

/* What cuDNN knows about a GPU: from a handle, or from JSON if the GPU is not in this machine. */
struct conv_device {
    descriptor properties;
};

enum status conv_device_of_handle(struct conv_device *device, cudnnHandle_t handle, struct error *err);
enum status conv_device_of_json(struct conv_device *device, const char *json, struct error *err);
void conv_device_release(struct conv_device *device);

struct conv_plan;

/* Up to `capacity` plans that run on the device: first those that use tensor cores, then the others, each in the order
 * of cuDNN's guess. Only deterministic plans with float sums, and with PRECISION_FP32 only those that multiply floats.
 * *count is 0 if cuDNN has none for this problem, which is not an error. */
enum status conv_plans_find(const struct conv_problem *problem, const struct conv_device *device, int capacity,
                            struct conv_plan **plans, int *count, struct error *err);
/* A plan as text for the same problem, device and version of cuDNN, and back (NULL if it is not accepted). */
char *conv_plan_text(const struct conv_plan *plan); /* malloc'ed, or NULL */
struct conv_plan *conv_plan_of_text(const struct conv_device *device, const char *text);
void conv_plan_free(struct conv_plan *plan); /* NULL is allowed */

bool conv_plan_uses_tensor_cores(const struct conv_plan *plan); /* false for one made from text */
size_t conv_plan_workspace(const struct conv_plan *plan);       /* bytes */

/* Device memory of one convolution, aligned to 16 bytes; NULL for what the problem does not have. */
struct conv_memory {
    const void *x, *w, *bias, *addend;
    void *y, *workspace;
};
/* The plan's arguments: *call is for conv_plan_run, and destroyed by cudnnBackendDestroyDescriptor. */
enum status conv_plan_bind(const struct conv_memory *memory, const char *name, descriptor *call, struct error *err);
/* Enqueues it on the handle's stream. */
enum status conv_plan_run(const struct conv_plan *plan, descriptor call, cudnnHandle_t handle, const char *name,
                          struct error *err);

#endif
