/* Products of rows of floats, in double, by the tasks of a thread pool. Results do not depend on the number of threads
 * or on the processor; equal rows give equal bits wherever they are. */
#ifndef SHARED_TRAINING_LOSSES_ROW_PRODUCTS_H
#define SHARED_TRAINING_LOSSES_ROW_PRODUCTS_H

#include "shared/base/threads.h"
#include <stdbool.h>
#include <stddef.h>

/* out[a_rows, b_rows] = <row i of a, row j of b>, rows of `length` floats. a == b: a Gram matrix, at half the work. */
void cpu_row_products(struct thread_pool *pool, const float *a, int a_rows, const float *b, int b_rows, size_t length,
                      double *out);

/* row i of out = scale * sum over j < x_rows of m(i, j) * row j of x
 * m(i, j) = m[i * row_step + j * column_step] */
struct cpu_combination {
    const double *m;
    size_t row_step, column_step;
    const float *x; /* [x_rows, length] */
    int out_rows, x_rows;
    size_t length;
    double scale;
    bool add;   /* += instead of = */
    float *out; /* [out_rows, length] */
};
void cpu_combine_rows(struct thread_pool *pool, const struct cpu_combination *c);

#endif
