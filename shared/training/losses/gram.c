#include "shared/training/losses/gram.h"

#include "shared/training/losses/row_products.h"

#include <string.h>

enum { OWN_MATRICES = 3 };

size_t gram_scratch(const struct loss_shape *shape, size_t matrices, size_t vectors)
{
    const size_t n = (size_t)shape->batch;
    return ((OWN_MATRICES + matrices) * n + vectors) * n * sizeof(double);
}

struct gram_matrices gram_matrices_of(const struct cpu_loss_args *args)
{
    const struct loss_shape *s = args->shape;
    const size_t n = (size_t)args->rows, size = n * n;
    double *matrices = args->scratch;
    const struct gram_matrices r = {args, n, matrices, matrices + size, matrices + 2 * size, matrices + 3 * size};
    const size_t length = (size_t)s->pixels * (size_t)s->channels;
    const size_t teacher_length = (size_t)s->teacher_pixels * (size_t)s->teacher_channels;
    cpu_row_products(args->device->pool, args->student, args->rows, args->student, args->rows, length, r.student);
    cpu_row_products(args->device->pool, args->teacher, args->rows, args->teacher, args->rows, teacher_length,
                     r.teacher);
    memset(r.derivative, 0, size * sizeof *r.derivative);
    return r;
}

void gram_back(const struct gram_matrices *r)
{
    const struct cpu_loss_args *args = r->args;
    const size_t n = r->n;
    double *a = r->derivative;
    if (!args->student_gradient)
        return;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j <= i; j++)
            a[i * n + j] = a[j * n + i] = a[i * n + j] + a[j * n + i];
    cpu_combine_rows(args->device->pool, &(struct cpu_combination){
                                             .m = a,
                                             .row_step = n,
                                             .column_step = 1,
                                             .x = args->student,
                                             .out_rows = args->rows,
                                             .x_rows = args->rows,
                                             .length = (size_t)args->shape->pixels * (size_t)args->shape->channels,
                                             .scale = args->weight,
                                             .add = true,
                                             .out = args->student_gradient,
                                         });
}
