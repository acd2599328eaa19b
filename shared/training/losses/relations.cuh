/* What the terms of cuda_relation_terms share: Gram matrices and what comes from them; the other files of these terms:
 * loss_angles.cu. */
#ifndef SHARED_TRAINING_LOSSES_RELATIONS_CUH
#define SHARED_TRAINING_LOSSES_RELATIONS_CUH

#include "shared/training/cuda/cuda_loss.cuh"

static __constant__ const double EQUAL = 1e-13; /* as in cpu_loss_relations.c */

/* The terms' own parameters, for each student. */
struct relation_options {
    bool squares[TRAINING_MAX_STUDENTS];  /* mse instead of huber */
    bool unscaled[TRAINING_MAX_STUDENTS]; /* distances as they are */
};

/* A student's scratch memory begins with RELATION_MATRICES matrices of batch x batch (the teacher's Gram matrix is in
 * the first student's); a term's own is behind them. Rows of matrices are `stride` long. */
enum { RELATION_MATRICES = 3 };
struct relations {
    int n;
    size_t stride;
    double *student, *teacher; /* Gram matrices */
    double *derivative;        /* of the student's, or of what a term makes of it */
    double *rest;
};

static __device__ __forceinline__ struct relations relations_of(const struct loss_rows &rows)
{
    const size_t stride = rows.batch.shape.batch, size = stride * stride;
    double *const own = loss_scratch(rows, blockIdx.y);
    return {loss_row_count(rows, blockIdx.y), stride,         own,
            loss_scratch(rows, 0) + size,     own + 2 * size, own + RELATION_MATRICES * size};
}

struct penalty {
    double value, derivative;
};

static __device__ __forceinline__ struct penalty penalty_of(bool squares, double u)
{
    if (squares)
        return {u * u, 2 * u};
    if (fabs(u) < 1)
        return {u * u / 2, u};
    return {fabs(u) - 0.5, u < 0 ? -1.0 : 1.0};
}

static __device__ __forceinline__ double squared_distance(const double *gram, size_t stride, int i, int j)
{
    const double ends = gram[i * stride + i] + gram[j * stride + j], squared = ends - 2 * gram[i * stride + j];
    return squared < ends * EQUAL ? 0 : squared;
}

/* On the host. */
struct relation_options relation_options_of(const struct loss_term *terms, const struct loss_rows *rows);
void launch_gram(cudaStream_t stream, const struct loss_rows *rows); /* both Gram matrices */
void launch_back(cudaStream_t stream, const struct loss_rows *rows); /* the gradient, out of the derivative */

void launch_angle(cudaStream_t stream, const struct loss_term *terms, const struct loss_rows *rows);
size_t angle_scratch(const struct loss_term *term, const struct loss_shape *shape);

#endif
