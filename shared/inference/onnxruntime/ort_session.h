/* A model loaded into onnxruntime. */
#ifndef SHARED_INFERENCE_ONNXRUNTIME_ORT_SESSION_H
#define SHARED_INFERENCE_ONNXRUNTIME_ORT_SESSION_H

#include "shared/inference/onnxruntime/onnxruntime_engine.h"
#include "shared/inference/onnxruntime/ort_library.h"

/* Loads the model (borrowed during the call). optimisation: ORT_OPTIMIZE_...; cuda NULL: on the CPU, in the threads
 * that call. */
enum status ort_session_new(struct ort_session **out, const struct ort_library *ort,
                            const struct onnxruntime_model *model, int optimisation,
                            const struct onnxruntime_cuda *cuda, struct error *err);

/* A tensor of a run over memory of the caller, which lives as long as the value. */
enum status ort_value_over(struct ort_value **out, const struct ort_library *ort, const struct ort_memory_info *place,
                           const struct onnxruntime_tensor *tensor, void *data, const char *path, struct error *err);

#endif
