/* Training on a GPU: the tables, each defined by the file that does the work. */
#ifndef SHARED_TRAINING_CUDA_CUDA_TRAINING_H
#define SHARED_TRAINING_CUDA_CUDA_TRAINING_H

#ifdef __cplusplus
extern "C" {
#endif

#include "shared/device/cuda/cuda_device.h"
#include "shared/training/training.h"

extern const struct training_ops cuda_training_ops;   /* cuda_training.c */
extern const struct network_ops cuda_network_ops;     /* cuda_run.c */
extern const struct loss_ops cuda_loss_ops;           /* cuda_loss.c */
extern const struct feature_ops cuda_feature_ops;     /* losses/read_features.cu */
extern const struct optimizer_ops cuda_optimizer_ops; /* optimizer/optimizer.cu */

/* Entries of those tables whose kernels have a file of their own. */
enum status cuda_metrics(struct device *device, const struct loss_batch *batch, struct error *err);
enum status cuda_ema_update(struct device *device, float *average, const float *values, size_t count, double decay,
                            const struct epoch_inputs *inputs, struct error *err);
enum status cuda_advance(struct device *device, const struct epoch_inputs *inputs, const double *metrics,
                         struct mailbox *mailbox, struct error *err);

#ifdef __cplusplus
}
#endif
#endif
