/* Pad and resize: every output is a weighted sum of up to four pixels of the input. */
#include "shared/training/cpu/cpu_run.h"
#include "shared/training/steps/resample.h"

#include <string.h>

static struct step_need need(const struct plan *plan, const struct plan_step *step)
{
    const struct shape in = plan->tensors[step->inputs[0].tensor].shape, out = plan->tensors[step->output].shape;
    return (struct step_need){.scratch = (size_t)in.c * ((size_t)in.h * (size_t)in.w + (size_t)out.h * (size_t)out.w)};
}

/* Calls add_scaled(out pixel, in pixel) or the other way round for all taps of one output pixel. */
struct taps {
    size_t pixels[4];
    float shares[4];
    int count; /* 0: the constant */
};

static struct taps taps_of(const struct resample *r, int oy, int ox)
{
    const struct resize_tap y = resample_tap(&r->y, oy), x = resample_tap(&r->x, ox);
    const int rows[2] = {y.low, y.high}, columns[2] = {x.low, x.high};
    const float down[2] = {1 - y.fraction, y.fraction}, across[2] = {1 - x.fraction, x.fraction};
    struct taps taps = {.count = 0};
    for (int i = 0; y.low >= 0 && x.low >= 0 && i < 4; i++) {
        const float share = down[i / 2] * across[i % 2];
        if (share == 0)
            continue;
        taps.pixels[taps.count] = (size_t)rows[i / 2] * (size_t)r->x.in + (size_t)columns[i % 2];
        taps.shares[taps.count++] = share;
    }
    return taps;
}

static void fill(float *to, float value, size_t count)
{
    for (size_t i = 0; i < count; i++)
        to[i] = value;
}

static void forward_slice(void *context, int slice, int worker)
{
    struct cpu_run *run = context;
    const struct resample r = resample_of(run->plan, run->step);
    const size_t channels = (size_t)run->out->shape.c;
    float *scratch = run->workspace->scratch[worker];
    int first, end;
    slice_samples(run, slice, &first, &end);
    for (int sample = first; sample < end; sample++) {
        const size_t at = (size_t)sample * run->out->sample;
        const float *x = read_with_epilogue(run, run->in, (size_t)sample * run->in->sample, run->in->sample, scratch);
        float *const image = values_place(run, at, scratch + run->in->sample), *out = image;
        for (int oy = 0; oy < r.y.out; oy++)
            for (int ox = 0; ox < r.x.out; ox++, out += channels) {
                const struct taps taps = taps_of(&r, oy, ox);
                fill(out, taps.count ? 0 : r.constant, channels);
                for (int i = 0; i < taps.count; i++)
                    run->kernels->add_scaled(out, x + taps.pixels[i] * channels, taps.shares[i], channels);
            }
        put_values(run, slice, image, at, run->out->sample);
    }
}

static void backward_slice(void *context, int slice, int worker)
{
    struct cpu_run *run = context;
    const struct resample r = resample_of(run->plan, run->step);
    const size_t channels = (size_t)run->out->shape.c;
    float *scratch = run->workspace->scratch[worker], *dx = scratch + run->out->sample;
    int first, end;
    slice_samples(run, slice, &first, &end);
    for (int sample = first; sample < end; sample++) {
        const float *dz = read_gradient(run, (size_t)sample * run->out->sample, run->out->sample, scratch);
        memset(dx, 0, run->in->sample * sizeof *dx);
        for (int oy = 0; oy < r.y.out; oy++)
            for (int ox = 0; ox < r.x.out; ox++, dz += channels) {
                const struct taps taps = taps_of(&r, oy, ox);
                for (int i = 0; i < taps.count; i++)
                    run->kernels->add_scaled(dx + taps.pixels[i] * channels, dz, taps.shares[i], channels);
            }
        give_gradient(run, slice, dx, (size_t)sample * run->in->sample, run->in->sample);
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
}

const struct cpu_step_kernel cpu_pad = {need, forward, backward}, cpu_resize = {need, forward, backward};
