/* The teacher's embedding W x + b of cc and crd, W and b trained beside the student: products of rows
 * (row_products.cuh). The student's embedding is a value of the training graph. */
#ifndef SHARED_TRAINING_LOSSES_EMBEDDING_CUH
#define SHARED_TRAINING_LOSSES_EMBEDDING_CUH

#include "shared/training/cuda/cuda_loss.cuh"

enum { SIZE = LOSS_EMBEDDING };

/* What a student's scratch memory begins with: EMBEDDING_NUMBERS per row of the batch. */
enum { EMBEDDING_NUMBERS = 2 * SIZE };
struct embedding {
    int n;               /* the rows that the student's term sees */
    number *values;      /* [n, SIZE] */
    number *derivatives; /* [n, SIZE] by the values */
};
static __device__ __forceinline__ struct embedding embedding_of(const struct cuda_loss_args &args)
{
    number *const first = loss_scratch(args, blockIdx.y);
    return {loss_row_count(args, blockIdx.y), first, first + (size_t)args.batch.shape.batch * SIZE};
}

/* Makes the values. */
void launch_embedding(cudaStream_t stream, const struct cuda_loss_args *args);
/* Writes the gradients of W and b from the derivatives, if they are wanted. */
void launch_embedding_gradients(cudaStream_t stream, const struct cuda_loss_args *args);

#endif
