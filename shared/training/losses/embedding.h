/* The teacher's embedding W x + b of cc and crd, W and b trained beside the student. The student's embedding is a value
 * of the training graph. */
#ifndef SHARED_TRAINING_LOSSES_EMBEDDING_H
#define SHARED_TRAINING_LOSSES_EMBEDDING_H

#include "shared/training/cpu/cpu_loss.h"
#include "shared/training/losses/loss_math.h"

/* out[rows, LOSS_EMBEDDING] */
void teacher_embedding(const struct cpu_loss_args *args, double *out);
/* Writes weight * the gradients of W and b, if they are wanted. derivatives[rows, LOSS_EMBEDDING]: of the embedding. */
void teacher_embedding_gradients(const struct cpu_loss_args *args, const double *derivatives);

#endif
