/* Training on the CPU: the tables, each defined by the file that does the work. */
#ifndef SHARED_TRAINING_CPU_CPU_TRAINING_H
#define SHARED_TRAINING_CPU_CPU_TRAINING_H

#include "shared/device/cpu/cpu_device.h"
#include "shared/training/training.h"

extern const struct training_ops cpu_training_ops;   /* cpu_training.c */
extern const struct network_ops cpu_network_ops;     /* cpu_network.c */
extern const struct loss_ops cpu_loss_ops;           /* cpu_loss.c */
extern const struct feature_ops cpu_feature_ops;     /* losses/read_features.c */
extern const struct optimizer_ops cpu_optimizer_ops; /* optimizer/optimizer.c */

#endif
