/* The mean over rows of 1 - cos(f_s, f_t), rows flattened. */
#include "shared/training/losses/feature_rows.h"

static void cosine_row(void *context, int row, int worker)
{
    const struct feature_rows *r = context;
    const float *student = r->args->student + (size_t)row * r->size;
    const float *teacher = r->args->teacher + (size_t)row * r->size;
    const double squares = feature_dot(student, student, r->size) + COSINE_EPSILON;
    const double length = sqrt(squares * (feature_dot(teacher, teacher, r->size) + COSINE_EPSILON));
    const double cosine = feature_dot(student, teacher, r->size) / length, factor = r->args->weight * r->share;
    float *gradient = gradient_of_row(r, row);
    (void)worker;
    r->sums[row] = 1 - cosine;
    for (size_t i = 0; gradient && i < r->size; i++)
        gradient[i] += (float)(factor * ((double)student[i] * cosine / squares - (double)teacher[i] / length));
}

static double cosine(const struct cpu_loss_args *args)
{
    struct feature_rows r = feature_rows_of(args);
    r.share = args->rows ? 1.0 / args->rows : 0;
    return r.share * feature_rows_sum(&r, cosine_row);
}

const struct cpu_loss cpu_cosine = {LOSS_COSINE, cosine, feature_rows_scratch};
