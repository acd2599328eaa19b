#include "shared/training/cuda/cuda_training.h"

_Static_assert((int)TRAINING_MAX_STUDENTS <= (int)CUDA_SUM_LANES, "kernels add up a sum for every student");

const struct training_ops cuda_training_ops = {
    .device = &cuda_device_ops,
    .network = &cuda_network_ops,
    .losses = &cuda_loss_ops,
    .features = &cuda_feature_ops,
    .optimizer = &cuda_optimizer_ops,
    .advance = cuda_advance,
};
