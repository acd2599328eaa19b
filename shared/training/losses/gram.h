/* What the terms share that compare how the rows of a batch lie to one another (rkd_distance, rkd_angle, sp, pkt).
 *
 * All of them need a row x_i only through the Gram matrix G = x x^T:
 *     |x_i - x_j|^2            = G_ii + G_jj - 2 G_ij
 *     <x_j - x_i, x_k - x_i>   = G_jk - G_ij - G_ik + G_ii
 *     cos(x_i, x_j)            = G_ij / sqrt(G_ii G_jj)
 * So a term makes the Gram matrices of student and teacher, its value and A = dvalue/dG of the student's, and from them
 * the gradient (A + A^T) x. Memory is O(n^2), also for the n^3 angles. G is in double, so that differences of its
 * elements keep the digits that rows of floats have. */
#ifndef SHARED_TRAINING_LOSSES_GRAM_H
#define SHARED_TRAINING_LOSSES_GRAM_H

#include "shared/training/cpu/cpu_loss.h"
#include "shared/training/losses/loss_math.h"

struct gram_matrices {
    const struct cpu_loss_args *args;
    size_t n;                  /* rows */
    double *student, *teacher; /* [n, n] Gram matrices */
    double *derivative;        /* [n, n] A, begins as 0 */
    double *rest;              /* the term's own: `doubles` of gram_scratch */
};

/* Makes both Gram matrices in the term's scratch memory. */
struct gram_matrices gram_matrices_of(const struct cpu_loss_args *args);

/* Adds weight * (A + A^T) x to the student's gradient, if it is wanted. Overwrites A. */
void gram_back(const struct gram_matrices *r);

/* Bytes for a gram_matrices, with `matrices` [n, n] and `vectors` [n] of the term's own. */
size_t gram_scratch(const struct loss_shape *shape, size_t matrices, size_t vectors);

#endif
