/* What the loss terms share on the GPU: a batch as a kernel's argument (cuda_loss.cuh is what kernels do with it), and
 * the families' tables of terms. A term is launched once for all students. */
#ifndef SHARED_TRAINING_CUDA_CUDA_LOSS_H
#define SHARED_TRAINING_CUDA_CUDA_LOSS_H

#include "shared/training/cuda/cuda_training.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The batch in hand: what every term needs, as a kernel's argument. */
struct loss_rows {
    struct loss_batch batch;    /* its epoch inputs is host memory: */
    struct epoch_inputs inputs; /* a copy of it */
    struct cuda_sums *sums;
    int index; /* of the term */
};

struct cuda_term_kind {
    /* Launches a term: terms [students]. NULL: not of this family. */
    void (*launch)(cudaStream_t stream, const struct loss_term *terms, const struct loss_rows *rows);
    size_t (*scratch)(const struct loss_term *term, const struct loss_shape *shape); /* NULL: none */
};

/* loss_logits.cu, loss_features.cu, loss_relations.cu, loss_learned.cu */
extern const struct cuda_term_kind cuda_logit_terms[LOSS_KIND_COUNT];
extern const struct cuda_term_kind cuda_feature_terms[LOSS_KIND_COUNT];
extern const struct cuda_term_kind cuda_relation_terms[LOSS_KIND_COUNT];
extern const struct cuda_term_kind cuda_learned_terms[LOSS_KIND_COUNT];

#ifdef __cplusplus
}
#endif
#endif
