/* Attention transfer: the mean over rows and pixels of (Q_s - Q_t)^2, Q = F.normalize(mean over channels of f^2). */
#include "shared/training/losses/feature_rows.h"

static size_t at_scratch(const struct loss_term *term, const struct loss_shape *shape)
{
    return feature_rows_scratch(term, shape) * (1 + 2 * (size_t)shape->pixels);
}

/* map[pixels] = F.normalize(mean over channels of value^2). Returns the norm, 0 where it was clamped. */
static double attention_map(const float *value, size_t pixels, size_t channels, double *map)
{
    double squares = 0;
    for (size_t i = 0; i < pixels; i++) {
        map[i] = feature_dot(value + i * channels, value + i * channels, channels) / (double)channels;
        squares += map[i] * map[i];
    }
    const double norm = sqrt(squares);
    for (size_t i = 0; i < pixels; i++)
        map[i] /= norm > NORM_SHORTEST ? norm : NORM_SHORTEST;
    return norm > NORM_SHORTEST ? norm : 0;
}

/* With q the map before it is normalised, g = dL/dQ: dL/dq = (g - Q <g, Q>) / norm; a clamped norm is a constant. */
static void at_row(void *context, int row, int worker)
{
    const struct feature_rows *r = context;
    const size_t n = (size_t)row, pixels = r->pixels, teacher_channels = (size_t)r->args->shape->teacher_channels;
    const float *student = r->args->student + n * r->size;
    const float *teacher = r->args->teacher + n * pixels * teacher_channels;
    double *map = r->maps + n * 2 * pixels, *difference = map + pixels, along = 0, sum = 0;
    const double norm = attention_map(student, pixels, r->channels, map);
    float *gradient = gradient_of_row(r, row);
    (void)worker;
    if (teacher_channels > 1)
        attention_map(teacher, pixels, teacher_channels, difference);
    for (size_t i = 0; i < pixels; i++) {
        difference[i] = map[i] - (teacher_channels > 1 ? difference[i] : (double)teacher[i]);
        sum += difference[i] * difference[i];
        along += difference[i] * map[i];
    }
    r->sums[row] = sum;
    for (size_t i = 0; gradient && i < pixels; i++) {
        const double across = norm > 0 ? (difference[i] - along * map[i]) / norm : difference[i] / NORM_SHORTEST;
        const double derivative = r->args->weight * r->share * 2 * across * 2 / (double)r->channels;
        for (size_t c = i * r->channels; c < (i + 1) * r->channels; c++)
            gradient[c] += (float)(derivative * (double)student[c]);
    }
}

static double at(const struct cpu_loss_args *args)
{
    struct feature_rows r = feature_rows_of(args);
    r.share = args->rows ? 1.0 / ((double)args->rows * (double)r.pixels) : 0;
    return r.share * feature_rows_sum(&r, at_row);
}

const struct cpu_loss cpu_at = {LOSS_AT, at, at_scratch};
