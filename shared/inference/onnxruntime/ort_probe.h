/* `probe` of onnxruntime_engine.h. */
#ifndef SHARED_INFERENCE_ONNXRUNTIME_ORT_PROBE_H
#define SHARED_INFERENCE_ONNXRUNTIME_ORT_PROBE_H

#include "shared/inference/onnxruntime/onnxruntime_engine.h"

enum status ort_probe(const struct onnxruntime_model *model, struct onnxruntime_tensor *tensors, int count,
                      struct error *err);

#endif
