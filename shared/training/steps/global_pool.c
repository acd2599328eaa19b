/* Global average pooling: the mean of every channel. */
#include "shared/training/cpu/cpu_run.h"

#include <string.h>

static struct step_need need(const struct plan *plan, const struct plan_step *step)
{
    const struct shape in = plan->tensors[step->inputs[0].tensor].shape;
    return (struct step_need){.scratch = (size_t)in.c * (size_t)in.h * (size_t)in.w + 3 * (size_t)row_width(in.c)};
}

static void forward_slice(void *context, int slice, int worker)
{
    struct cpu_run *run = context;
    const int channels = run->in->shape.c, width = run->in->width;
    const size_t floats = run->in->sample;
    float *with_epilogue = run->workspace->scratch[worker], *sums = with_epilogue + floats;
    int first, end;
    slice_samples(run, slice, &first, &end);
    for (int sample = first; sample < end; sample++) {
        float *out = values_place(run, (size_t)sample * (size_t)channels, sums + 2 * width);
        const float *in = read_with_epilogue(run, run->in, (size_t)sample * floats, floats, with_epilogue);
        run->kernels->fp32.moments(in, floats, width, run->workspace->zeros, sums, NULL, GIVE_WRITE);
        for (int c = 0; c < channels; c++) {
            double sum = 0;
            for (int i = c; i < width; i += channels)
                sum += (double)sums[i];
            out[c] = (float)(sum * channels / (double)floats);
        }
        put_values(run, slice, out, (size_t)sample * (size_t)channels, (size_t)channels);
    }
}

static void forward(struct cpu_run *run)
{
    run->slices = slice_count(0, run->pass->count);
    run_slices(run, forward_slice);
}

static void backward_slice(void *context, int slice, int worker)
{
    struct cpu_run *run = context;
    const size_t floats = run->in->sample, channels = (size_t)run->in->shape.c, pixels = floats / channels;
    float *dx = run->workspace->scratch[worker], *dz = dx + floats;
    int first, end;
    slice_samples(run, slice, &first, &end);
    for (int sample = first; sample < end; sample++) {
        copy_gradient(run, (size_t)sample * channels, channels, dz);
        for (size_t c = 0; c < channels; c++)
            dz[c] /= (float)pixels;
        for (size_t p = 0; p < pixels; p++)
            memcpy(dx + p * channels, dz, channels * sizeof *dx);
        give_gradient(run, slice, dx, (size_t)sample * floats, floats);
    }
}

static void backward(struct cpu_run *run)
{
    run->slices = slice_count(0, run->pass->count);
    run_slices(run, backward_slice);
}

const struct cpu_step_kernel cpu_global_pool = {need, forward, backward};
