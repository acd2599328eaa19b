/* The teacher's embedding W x + b, which is trained beside the student, for the terms of cuda_learned_terms; the other
 * files of these terms: loss_contrast.cu. */
#ifndef SHARED_TRAINING_LOSSES_LEARNED_CUH
#define SHARED_TRAINING_LOSSES_LEARNED_CUH

#include "shared/training/cuda/cuda_loss.cuh"

enum { SIZE = LOSS_EMBEDDING };

/* What a student's scratch memory begins with: EMBEDDING_DOUBLES for each row of the batch. */
enum { EMBEDDING_DOUBLES = 2 * SIZE };
struct embedding {
    int n;               /* rows that the student's term sees */
    double *values;      /* [n, SIZE] */
    double *derivatives; /* [n, SIZE] of the values */
};
static __device__ __forceinline__ struct embedding embedding_of(const struct loss_rows &rows)
{
    double *const first = loss_scratch(rows, blockIdx.y);
    return {loss_row_count(rows, blockIdx.y), first, first + (size_t)rows.batch.shape.batch * SIZE};
}

void launch_embedding(cudaStream_t stream, const struct loss_rows *rows); /* the values */
/* Of W and b, out of the derivatives; where gradients are wanted. */
void launch_embedding_gradients(cudaStream_t stream, const struct loss_rows *rows);

void launch_contrast(cudaStream_t stream, const struct loss_term *terms, const struct loss_rows *rows);
size_t contrast_scratch(const struct loss_term *term, const struct loss_shape *shape);

#endif
