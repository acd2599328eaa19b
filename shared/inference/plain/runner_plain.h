/* A teacher on our own kernels, for a GPU without cuDNN: an adapter from teacher_runner.h to the kernels that train
 * students (struct network_ops in shared/training/training.h). It computes in fp32 and knows only the operators that
 * students may have. The only place in inference that includes training. */
#ifndef SHARED_INFERENCE_PLAIN_RUNNER_PLAIN_H
#define SHARED_INFERENCE_PLAIN_RUNNER_PLAIN_H

#include "shared/device/cuda/cuda_device.h"
#include "shared/inference/cuda/teacher_runner.h"

extern const struct teacher_runner_ops
    runner_plain; /* its `new` is NULL: use runner_plain_new, which needs the device */

/* All work goes to the device's stream. STATUS_CONFIG names an operator that needs cuDNN. It ignores
 * options->precision, plan_folder and memory_limit: the device allocates and has its own limit. */
enum status runner_plain_new(struct teacher_runner **out, struct device *device, const struct graph *graph,
                             const struct teacher_runner_options *options, struct error *err);

#endif
