/* Group norm: mean and variance of a group of channels of one sample. The statistics are made again in backward: the
 * sample is in the cache then, and nothing needs to be kept. */
#include "shared/training/cpu/cpu_run.h"

#include <math.h>

enum { RUN_PIXELS = 256 /* a multiple of 16; added up in single precision, then in double */ };

/* Three samples and eight rows; in doubles, what a group needs. */
static struct step_need need(const struct plan *plan, const struct plan_step *step)
{
    const struct shape s = plan->tensors[step->output].shape;
    return (struct step_need){.scratch = 3 * (size_t)s.c * (size_t)s.h * (size_t)s.w + 8 * (size_t)row_width(s.c) +
                                         4 * (size_t)s.c + 2 /* doubles, and their alignment */};
}

/* A sample's statistics, each along a row. */
struct rows {
    float *mean, *inverse, *a, *b, *d, *sums; /* sums: two rows */
    double *first, *second;                   /* [channels] */
};

static struct rows rows_of(const struct cpu_run *run, float *scratch)
{
    const size_t width = (size_t)run->out->width, channels = (size_t)run->out->shape.c;
    struct rows r = {.first = (double *)(((uintptr_t)scratch + 7) & ~(uintptr_t)7)};
    r.second = r.first + channels;
    r.mean = (float *)(void *)(r.second + channels);
    r.inverse = r.mean + width;
    r.a = r.inverse + width;
    r.b = r.a + width;
    r.d = r.b + width;
    r.sums = r.d + width;
    return r;
}

/* r->first, r->second [channels] = the sums of x - pivot and its square, pivot[channel] = the first pixel */
static void channel_moments(const struct cpu_run *run, const float *x, struct rows *r)
{
    const int channels = run->out->shape.c, width = run->out->width;
    const size_t most = (size_t)RUN_PIXELS * (size_t)channels, floats = run->out->sample;
    fill_row(run->out, x, (size_t)channels, 0, r->a);
    for (int c = 0; c < channels; c++)
        r->first[c] = r->second[c] = 0;
    for (size_t at = 0, part; at < floats; at += part) {
        part = floats - at < most ? floats - at : most;
        run->kernels->fp32.moments(x + at, part, width, r->a, r->sums, NULL, GIVE_WRITE);
        for (int i = 0; i < width; i++) {
            r->first[i % channels] += (double)r->sums[i];
            r->second[i % channels] += (double)r->sums[width + i];
        }
    }
}

/* Mean and inverse standard deviation of all groups. The channels' sums of squares are moved to the group's mean, so
 * that nothing cancels. */
static void group_statistics(const struct cpu_run *run, const float *x, struct rows *r)
{
    const int channels = run->out->shape.c, width = run->out->width, size = channels / run->node->groups;
    const double pixels = (double)run->out->sample / channels;
    channel_moments(run, x, r);
    for (int first = 0; first < channels; first += size) {
        double mean = 0, squares = 0;
        for (int c = first; c < first + size; c++)
            mean += ((double)x[c] + r->first[c] / pixels) / size;
        for (int c = first; c < first + size; c++) {
            const double here = r->first[c] / pixels, off = (double)x[c] + here - mean;
            squares += r->second[c] - here * r->first[c] + pixels * off * off;
        }
        const double variance = squares > 0 ? squares / (pixels * size) : 0 * squares; /* a NaN stays a NaN */
        const double inverse = 1 / sqrt(variance + (double)run->node->epsilon);
        for (int c = first; c < first + size; c++)
            for (int i = c; i < width; i += channels) {
                r->mean[i] = (float)mean;
                r->inverse[i] = (float)inverse;
            }
    }
}

static void forward_slice(void *context, int slice, int worker)
{
    struct cpu_run *run = context;
    const size_t floats = run->out->sample, channels = (size_t)run->out->shape.c;
    float *scratch = run->workspace->scratch[worker];
    struct rows r = rows_of(run, scratch + floats);
    int first, end;
    slice_samples(run, slice, &first, &end);
    for (int sample = first; sample < end; sample++) {
        const size_t at = (size_t)sample * floats;
        const float *x = read_with_epilogue(run, run->in, at, floats, scratch);
        float *out = values_place(run, at, scratch); /* element by element: may be x */
        group_statistics(run, x, &r);
        fill_row(run->out, weight_values(run->memory, run->step->weight), channels, 1, r.a);
        fill_row(run->out, weight_values(run->memory, run->step->bias), channels, 0, r.b);
        for (int i = 0; i < run->out->width; i++) {
            const double scale = (double)r.a[i] * (double)r.inverse[i];
            r.a[i] = (float)scale;
            r.b[i] = (float)((double)r.b[i] - (double)r.mean[i] * (double)r.a[i]);
        }
        const struct epilogue affine = {.width = run->out->width, .scale = r.a, .shift = r.b};
        run->kernels->fp32.apply_epilogue(&affine, x, out, floats);
        put_values(run, slice, out, at, floats);
    }
}

/* r->first, r->second = the sums of dz and of dz * xhat */
static void gradient_sums(const struct cpu_run *run, const float *x, const float *dz, float *spare, struct rows *r)
{
    const int channels = run->out->shape.c, width = run->out->width;
    const size_t most = (size_t)RUN_PIXELS * (size_t)channels, floats = run->out->sample;
    const float *zeros = run->workspace->zeros;
    const struct epilogue centred = {.width = width, .scale = zeros, .shift = zeros, .mean = r->mean};
    for (int c = 0; c < channels; c++)
        r->first[c] = r->second[c] = 0;
    for (size_t at = 0, part; at < floats; at += part) {
        part = floats - at < most ? floats - at : most;
        run->kernels->fp32.finish(&centred, x + at, dz + at, spare, GIVE_WRITE, part, r->sums);
        for (int i = 0; i < width; i++) {
            r->first[i % channels] += (double)r->sums[i];
            r->second[i % channels] += (double)r->sums[width + i] * (double)r->inverse[i];
        }
    }
}

/* The rows of dx = a * dz + b * x + d. With xhat = (x - mean) * inverse and the group's means of weight * dz and of
 * weight * dz * xhat: dx = inverse * (weight * dz - mean_g - xhat * mean_product). */
static void gradient_rows(const struct cpu_run *run, struct rows *r)
{
    const int channels = run->out->shape.c, width = run->out->width, size = channels / run->node->groups;
    const double count = (double)run->out->sample / channels * size;
    fill_row(run->out, weight_values(run->memory, run->step->weight), (size_t)channels, 1, r->a);
    for (int first = 0; first < channels; first += size) {
        double mean_g = 0, mean_product = 0;
        for (int c = first; c < first + size; c++) {
            mean_g += (double)r->a[c] * r->first[c] / count;
            mean_product += (double)r->a[c] * r->second[c] / count;
        }
        for (int c = first; c < first + size; c++)
            for (int i = width - channels + c; i >= 0; i -= channels) {
                const double inverse = (double)r->inverse[i], b = -inverse * inverse * mean_product;
                r->b[i] = (float)b;
                r->d[i] = (float)(-inverse * mean_g - b * (double)r->mean[i]);
            }
    }
    for (int i = 0; i < width; i++)
        r->a[i] *= r->inverse[i];
}

static void backward_slice(void *context, int slice, int worker)
{
    struct cpu_run *run = context;
    const size_t floats = run->out->sample;
    const int channels = run->out->shape.c;
    float *scratch = run->workspace->scratch[worker], *dz_copy = scratch + floats, *dx = dz_copy + floats;
    struct rows r = rows_of(run, dx + floats);
    struct cpu_slice *sums = &run->workspace->slices[slice];
    int first, end;
    slice_samples(run, slice, &first, &end);
    for (int sample = first; sample < end; sample++) {
        const size_t at = (size_t)sample * floats;
        const float *x = read_with_epilogue(run, run->in, at, floats, scratch);
        const float *dz = read_gradient(run, at, floats, dz_copy);
        group_statistics(run, x, &r);
        gradient_sums(run, x, dz, dx, &r);
        for (int c = 0; c < channels; c++) {
            sums->bias[c] += r.first[c];
            sums->weight[c] += r.second[c];
        }
        if (run->in->gradient == PLAN_NONE)
            continue;
        gradient_rows(run, &r);
        run->kernels->fp32.through_norm(dz, x, dx, floats, run->out->width, r.a, r.b, r.d);
        give_gradient(run, slice, dx, at, floats);
    }
}

static void forward(struct cpu_run *run)
{
    run->slices = slice_count(0, run->pass->count);
    run_slices(run, forward_slice);
}

static void backward(struct cpu_run *run)
{
    run->slices = slice_count(0, run->pass->count);
    run_slices(run, backward_slice);
    finish_bias(run);
    if (run->node->weight >= 0)
        finish_weight(run);
}

const struct cpu_step_kernel cpu_group_norm = {need, forward, backward};
