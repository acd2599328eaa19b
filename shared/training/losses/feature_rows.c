#include "shared/training/losses/feature_rows.h"

struct feature_rows feature_rows_of(const struct cpu_loss_args *args)
{
    const struct loss_shape *s = args->shape;
    struct feature_rows r = {.args = args,
                             .pixels = (size_t)s->pixels,
                             .channels = (size_t)s->channels,
                             .size = (size_t)s->pixels * (size_t)s->channels,
                             .sums = args->scratch};
    r.maps = r.inverse = r.sums + s->batch;
    return r;
}

size_t feature_rows_scratch(const struct loss_term *term, const struct loss_shape *shape)
{
    (void)term;
    return (size_t)shape->batch * sizeof(double);
}

double feature_rows_sum(struct feature_rows *rows, void (*task)(void *rows, int row, int worker))
{
    double sum = 0;
    thread_pool_run(rows->args->device->pool, rows->args->rows, task, rows);
    for (int row = 0; row < rows->args->rows; row++)
        sum += rows->sums[row];
    return sum;
}

/* Four sums, so that no addition waits for the one before it. */
double feature_dot(const float *a, const float *b, size_t count)
{
    double first = 0, second = 0, third = 0, fourth = 0;
    size_t i = 0;
    for (; i + 4 <= count; i += 4) {
        first += (double)a[i] * (double)b[i];
        second += (double)a[i + 1] * (double)b[i + 1];
        third += (double)a[i + 2] * (double)b[i + 2];
        fourth += (double)a[i + 3] * (double)b[i + 3];
    }
    for (; i < count; i++)
        first += (double)a[i] * (double)b[i];
    return first + second + (third + fourth);
}
