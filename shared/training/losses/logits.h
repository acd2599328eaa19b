/* The terms of cuda_logit_terms that have files of their own: loss_target.cu, loss_dist.cu. */
#ifndef SHARED_TRAINING_LOSSES_LOGITS_H
#define SHARED_TRAINING_LOSSES_LOGITS_H

#include "shared/training/cuda/cuda_loss.h"

#ifdef __cplusplus
extern "C" {
#endif

void launch_dkd(cudaStream_t stream, const struct loss_term *terms, const struct loss_rows *rows);
void launch_nkd(cudaStream_t stream, const struct loss_term *terms, const struct loss_rows *rows);
void launch_dist(cudaStream_t stream, const struct loss_term *terms, const struct loss_rows *rows);
size_t dist_scratch(const struct loss_term *term, const struct loss_shape *shape);

#ifdef __cplusplus
}
#endif
#endif
