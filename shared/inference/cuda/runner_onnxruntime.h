/* A teacher on a GPU by onnxruntime's CUDA provider: an adapter from teacher_runner.h to softcache_onnxruntime.so,
 * which knows nothing of CUDA. It owns the device memory that onnxruntime reads and writes, and brings rendered views
 * into the model's layout. */
#ifndef SHARED_INFERENCE_CUDA_RUNNER_ONNXRUNTIME_H
#define SHARED_INFERENCE_CUDA_RUNNER_ONNXRUNTIME_H

#include "shared/device/cuda/cuda_device.h"
#include "shared/inference/cuda/teacher_runner.h"
#include "shared/inference/onnxruntime/onnxruntime_model.h"

extern const struct teacher_runner_ops
    runner_onnxruntime; /* its `new` is NULL: use runner_onnxruntime_new, which needs the device */

/* onnxruntime computes in the model's own types; float32 products may be rounded to tf32 (auto). STATUS_CONFIG for
 * others. */
enum status runner_onnxruntime_precision(enum precision wanted, enum precision *chosen, struct error *err);

/* All work goes to the device's stream. options->batch must be whole runs of the model. STATUS_CONFIG if onnxruntime or
 * its CUDA provider is not available. */
enum status runner_onnxruntime_new(struct teacher_runner **out, struct device *device,
                                   const struct onnxruntime_model *model, const struct teacher_runner_options *options,
                                   struct error *err);

#endif
