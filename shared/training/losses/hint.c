/* FitNets' hints: the mean of (f_s - f_t)^2, relative to the teacher's or not, or of smooth L1, over all elements. */
#include "shared/training/losses/feature_rows.h"

static void hint_row(void *context, int row, int worker)
{
    const struct feature_rows *r = context;
    const float *student = r->args->student + (size_t)row * r->size;
    const float *teacher = r->args->teacher + (size_t)row * r->size;
    const enum loss_distance distance = r->args->term->distance;
    const double factor = r->args->weight * r->share;
    float *gradient = gradient_of_row(r, row);
    double sum = 0;
    (void)worker;
    for (size_t i = 0; i < r->size; i++) {
        const struct loss_part part = penalty_of(distance, (double)student[i] - (double)teacher[i]);
        sum += part.value;
        if (gradient)
            gradient[i] += (float)(factor * part.derivative);
    }
    r->sums[row] = sum;
}

static double hint(const struct cpu_loss_args *args)
{
    struct feature_rows r = feature_rows_of(args);
    r.share = args->rows ? hint_unit(args->term) / ((double)args->rows * (double)r.size) : 0;
    return r.share * feature_rows_sum(&r, hint_row);
}

const struct cpu_loss cpu_hint = {LOSS_HINT, hint, feature_rows_scratch};
