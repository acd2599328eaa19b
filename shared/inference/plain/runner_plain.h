/* A teacher on our own kernels, those that train students: for a GPU without cuDNN. fp32, and only the operators that
 * students may have. Behind the same table as cuDNN's runner (teacher_runner.h), but for its maker. */
#ifndef SHARED_INFERENCE_PLAIN_RUNNER_PLAIN_H
#define SHARED_INFERENCE_PLAIN_RUNNER_PLAIN_H

#include "shared/device/cuda/cuda_device.h"
#include "shared/inference/cuda/teacher_runner.h"

extern const struct teacher_runner_ops runner_plain; /* its `new` is NULL */

/* All work goes to the device's stream. STATUS_CONFIG names an operator that needs cuDNN. options->precision,
 * plan_folder and memory_limit do not count: memory is the device's. */
enum status runner_plain_new(struct teacher_runner **out, struct device *device, const struct graph *graph,
                             const struct teacher_runner_options *options, struct error *err);

#endif
