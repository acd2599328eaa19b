/* What the terms share that compare how the rows of a batch lie to one another (rkd_distance, rkd_angle, sp, pkt): Gram
 * matrices of student and teacher, and the way back to the gradient; gram.h has the equations.
 *
 * A term's launches: the Gram matrices of all students and, once, of the teacher; the relation, one warp per row of G;
 * and the gradient (A + A^T) x. Bytes moved: the values once for every 16 rows in each of the two products (at 128 rows
 * of 512 floats 2 MB per student, from the second-level cache; floor 0.26 MB), the matrices of n^2 numbers (131 kB at
 * 128 rows) a few times. */
#ifndef SHARED_TRAINING_LOSSES_GRAM_CUH
#define SHARED_TRAINING_LOSSES_GRAM_CUH

#include "shared/training/cuda/cuda_loss.cuh"

/* A student's scratch memory begins with GRAM_MATRICES matrices of batch x batch (the teacher's Gram matrix is in the
 * first student's); a term's own is behind them. Rows of matrices are `stride` apart. */
enum { GRAM_MATRICES = 3 };
struct gram_matrices {
    int n; /* rows that the student's term sees */
    size_t stride;
    number *student, *teacher; /* [n][stride] Gram matrices */
    number *derivative;        /* [n][stride] A = dvalue/dG of the student's, or of what a term makes of G */
    number *rest;              /* the term's own */
};

static __device__ __forceinline__ struct gram_matrices gram_matrices_of(const struct cuda_loss_args &args)
{
    const size_t stride = args.batch.shape.batch, size = stride * stride;
    number *const own = loss_scratch(args, blockIdx.y);
    struct gram_matrices r;
    r.n = loss_row_count(args, blockIdx.y);
    r.stride = stride;
    r.student = own;
    r.teacher = loss_scratch(args, 0) + size;
    r.derivative = own + 2 * size;
    r.rest = own + GRAM_MATRICES * size;
    return r;
}

/* ---- host ---- */
/* Bytes for the above, with `matrices` [batch, batch] and `numbers` of the term's own. */
size_t gram_scratch(const struct loss_shape *shape, size_t matrices, size_t numbers);
void launch_gram(cudaStream_t stream, const struct cuda_loss_args *args); /* both Gram matrices */
/* Adds weight * (A + A^T) x to the students' gradients, if they are wanted. */
void launch_gram_back(cudaStream_t stream, const struct cuda_loss_args *args);

#endif
