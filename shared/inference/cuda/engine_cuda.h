/* Stage one's engine on a GPU (see shared/inference/engine.h): views, a teacher and its answers on three streams. */
#ifndef SHARED_INFERENCE_CUDA_ENGINE_CUDA_H
#define SHARED_INFERENCE_CUDA_ENGINE_CUDA_H

#include "shared/inference/engine.h"

extern const struct engine_ops engine_cuda;

#endif
