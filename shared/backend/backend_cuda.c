/* The CUDA backend: what softcache_cuda.so exports. */
#include "shared/backend/backend.h"
#include "shared/inference/cuda/engine_cuda.h"
#include "shared/training/cuda/cuda_training.h"

extern const struct backend backend_cuda;

const struct backend backend_cuda = {
    .name = "cuda", .device = &cuda_device_ops, .training = &cuda_training_ops, .engine = &engine_cuda};
