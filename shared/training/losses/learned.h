/* The teacher's embedding W x + b, which is trained beside the student, for the terms of cpu_learned_terms; the other
 * files of these terms: cpu_loss_contrast.c. */
#ifndef SHARED_TRAINING_LOSSES_LEARNED_H
#define SHARED_TRAINING_LOSSES_LEARNED_H

#include "shared/training/cpu/cpu_loss.h"

/* out[rows, LOSS_EMBEDDING] */
void cpu_embedding(const struct cpu_term *t, double *out);
/* Of W and b, out of derivatives[rows, LOSS_EMBEDDING] of the embedding; where gradients are wanted. */
void cpu_embedding_gradients(const struct cpu_term *t, const double *derivatives);

double cpu_contrast(const struct cpu_term *t);
size_t cpu_contrast_scratch(const struct loss_term *term, const struct loss_shape *shape);

#endif
