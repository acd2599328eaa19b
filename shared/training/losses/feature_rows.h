/* What the terms share that compare features of student and teacher element by element (hint, at, cosine, vid): one
 * task per row, sums in double, and the rows' sums added in order. */
#ifndef SHARED_TRAINING_LOSSES_FEATURE_ROWS_H
#define SHARED_TRAINING_LOSSES_FEATURE_ROWS_H

#include "shared/training/cpu/cpu_loss.h"
#include "shared/training/losses/loss_math.h"

/* The context of the tasks. */
struct feature_rows {
    const struct cpu_loss_args *args;
    size_t pixels, channels, size; /* of a row; size = pixels * channels */
    double share;                  /* of what a term takes the mean over: 1 / its number, hint: times hint_unit */
    double *sums;                  /* hint, at, cosine: [rows]; vid: [rows, channels] */
    double *maps;                  /* at: [rows, 2, pixels] Q of student and teacher */
    double *inverse;               /* vid: [channels] 1 / v */
};

struct feature_rows feature_rows_of(const struct cpu_loss_args *args);

/* Runs the task on every row. Returns the sum of sums[rows], which the tasks fill. */
double feature_rows_sum(struct feature_rows *rows, void (*task)(void *rows, int row, int worker));

/* One double per row. */
size_t feature_rows_scratch(const struct loss_term *term, const struct loss_shape *shape);

/* The gradient of a row [pixels, channels], NULL if only the value is wanted. */
static inline float *gradient_of_row(const struct feature_rows *rows, int row)
{
    float *gradient = rows->args->student_gradient;
    return gradient ? gradient + (size_t)row * rows->size : NULL;
}

/* <a[count], b[count]> */
double feature_dot(const float *a, const float *b, size_t count);

#endif
