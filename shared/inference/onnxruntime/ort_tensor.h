/* Tensors on their way in and out of onnxruntime: how their dims are seen as [c, h, w], and conversions. */
#ifndef SHARED_INFERENCE_ONNXRUNTIME_ORT_TENSOR_H
#define SHARED_INFERENCE_ONNXRUNTIME_ORT_TENSOR_H

#include "shared/inference/onnxruntime/onnxruntime_model.h"
#include <stddef.h>

/* Sets shape and channels_last from type, rank and dims. The dims say nothing about their meaning, so this is how they
 * are read, after the batch:
 *   [c]; [tokens, c] (a square number of tokens is a square map, any other one is tokens x 1);
 *   [c, h, w]; [h, w, c] if the first two are equal and the last two are not, since inputs are square.
 * Leading ones are dropped where more dims are left. Anything else, and tensors without one row per sample, get c = 0.
 */
void ort_tensor_see(struct onnxruntime_tensor *tensor, int batch);

size_t ort_tensor_count(const struct onnxruntime_tensor *tensor); /* elements of a run; 0 if they are too many */
size_t ort_tensor_bytes(const struct onnxruntime_tensor *tensor); /* of a run */
/* Whether it lies in memory as floats [batch, c, h, w]: nothing to convert. */
bool ort_tensor_is_plain(const struct onnxruntime_tensor *tensor);

/* to = the run's tensor from floats [batch, h, w, c] (inputs). */
void ort_tensor_fill(const struct onnxruntime_tensor *tensor, int batch, const float *from, void *to);
/* to = floats [batch, c, h, w] from the run's tensor (outputs). */
void ort_tensor_fetch(const struct onnxruntime_tensor *tensor, int batch, const void *from, float *to);

#endif
