/* The loss on the GPU: a batch as a kernel's argument (cuda_loss.cuh is what kernels do with it), and the row that each
 * term's file fills. A term is launched once for all students. */
#ifndef SHARED_TRAINING_CUDA_CUDA_LOSS_H
#define SHARED_TRAINING_CUDA_CUDA_LOSS_H

#include "shared/training/cuda/cuda_training.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One call of a term, by value: kernels cannot follow a pointer to host memory. */
struct cuda_loss_args {
    struct loss_batch batch;    /* batch.inputs is host memory; kernels use the copy: */
    struct epoch_inputs inputs; /* its pointers are device memory */
    struct cuda_sums *sums;
    int index;         /* of the term in the step's weights and rows */
    size_t gate_bytes; /* of gated logits in front of each student's scratch memory; 0: the term has no gate */
};

/* A row of the table in cuda_loss.c. */
struct cuda_loss {
    enum loss_kind kind;
    /* Launches the kernels that loss_ops.add describes. terms: [students], host memory. */
    void (*launch)(cudaStream_t stream, const struct loss_term *terms, const struct cuda_loss_args *args);
    size_t (*scratch)(const struct loss_term *term, const struct loss_shape *shape); /* bytes; NULL: none */
};

/* Makes the teacher's logits those of the terms' gates, in args->gate_bytes of the scratch memory: losses/gate.cu. */
void cuda_gate(cudaStream_t stream, const struct loss_term *terms, const struct cuda_loss_args *args);

/* losses/NAME.cu */
extern const struct cuda_loss cuda_ce, cuda_kd, cuda_logit_mse, cuda_dkd, cuda_dist, cuda_nkd;
extern const struct cuda_loss cuda_rld, cuda_wttm, cuda_abkd, cuda_mlkd;
extern const struct cuda_loss cuda_hint, cuda_at, cuda_cosine, cuda_vid;
extern const struct cuda_loss cuda_rkd_distance, cuda_rkd_angle, cuda_sp, cuda_pkt;
extern const struct cuda_loss cuda_cc, cuda_crd;

#ifdef __cplusplus
}
#endif
#endif
