/* Variational information distillation: the mean over all elements of ((f_s - f_t)^2 / v + log v) / 2 with a trained
 * variance v for each channel. */
#include "shared/training/losses/feature_rows.h"

static size_t vid_scratch(const struct loss_term *term, const struct loss_shape *shape)
{
    return feature_rows_scratch(term, shape) * (size_t)shape->channels + (size_t)shape->channels * sizeof(double);
}

/* sums[row, c] = the sum over pixels of (f_s - f_t)^2, and the student's gradient */
static void vid_row(void *context, int row, int worker)
{
    const struct feature_rows *r = context;
    const float *student = r->args->student + (size_t)row * r->size;
    const float *teacher = r->args->teacher + (size_t)row * r->size;
    const double factor = r->args->weight * r->share;
    double *sums = r->sums + (size_t)row * r->channels;
    float *gradient = gradient_of_row(r, row);
    (void)worker;
    for (size_t c = 0; c < r->channels; c++)
        sums[c] = 0;
    for (size_t i = 0; i < r->size; i += r->channels)
        for (size_t c = 0; c < r->channels; c++) {
            const double d = (double)student[i + c] - (double)teacher[i + c];
            sums[c] += d * d;
            if (gradient)
                gradient[i + c] += (float)(factor * d * r->inverse[c]);
        }
}

static double vid(const struct cpu_loss_args *args)
{
    struct feature_rows r = feature_rows_of(args);
    const float *log_scale = args->parameters[LEARNED_SCALE];         /* [channels] */
    float *scale_gradient = args->parameter_gradients[LEARNED_SCALE]; /* [channels] or NULL */
    const double count = (double)args->rows * (double)r.pixels;       /* elements of a channel */
    double value = 0;
    r.share = args->rows ? 1.0 / (count * (double)r.channels) : 0;
    r.inverse = r.sums + (size_t)args->shape->batch * r.channels;
    for (size_t c = 0; c < r.channels; c++)
        r.inverse[c] = 1 / vid_variance((double)log_scale[c]);
    thread_pool_run(args->device->pool, args->rows, vid_row, &r);
    for (size_t c = 0; c < r.channels; c++) {
        double squares = 0;
        for (int row = 0; row < args->rows; row++)
            squares += r.sums[(size_t)row * r.channels + c];
        value += vid_value(count, squares, r.inverse[c]);
        if (scale_gradient)
            scale_gradient[c] =
                (float)vid_scale_derivative(args->weight * r.share, (double)log_scale[c], count, squares, r.inverse[c]);
    }
    return r.share * value;
}

const struct cpu_loss cpu_vid = {LOSS_VID, vid, vid_scratch};
