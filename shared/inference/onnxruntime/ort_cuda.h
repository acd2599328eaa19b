/* Runs of a model on a GPU, bound to device memory of the caller: nothing is copied, and nothing is allocated between
 * runs. */
#ifndef SHARED_INFERENCE_ONNXRUNTIME_ORT_CUDA_H
#define SHARED_INFERENCE_ONNXRUNTIME_ORT_CUDA_H

#include "shared/inference/onnxruntime/onnxruntime_engine.h"
#include "shared/inference/onnxruntime/ort_library.h"

struct ort_bindings;

/* model: of the session, borrowed during the call only. */
enum status ort_bindings_new(struct ort_bindings **out, const struct ort_library *ort, struct ort_session *session,
                             const struct onnxruntime_model *model, const struct onnxruntime_cuda *cuda,
                             struct error *err);
/* Enqueues all runs on the stream that the session was made with. */
enum status ort_bindings_run(const struct ort_bindings *bindings, const struct ort_library *ort,
                             struct ort_session *session, const char *path, struct error *err);
void ort_bindings_free(struct ort_bindings *bindings, const struct ort_library *ort); /* NULL is allowed */

#endif
