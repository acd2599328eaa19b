/* Channels of the input in another order: splits, slices, shuffles. Backward adds up what the output's channels have
 * made of each input channel. */
#include "shared/training/cpu/cpu_tiles.h"

#include <string.h>

static struct step_need need(const struct plan *plan, const struct plan_step *step)
{
    const size_t out = (size_t)plan->tensors[step->output].shape.c,
                 in = (size_t)plan->tensors[step->inputs[0].tensor].shape.c;
    return (struct step_need){.scratch = tile_pixels(out) * (out + in)};
}

static void forward_slice(void *context, int slice, int worker)
{
    struct cpu_run *run = context;
    const size_t out_channels = (size_t)run->out->shape.c, in_channels = (size_t)run->in->shape.c;
    const int *channels = run->node->channels;
    float *scratch = run->workspace->scratch[worker];
    for (struct tiles t = tiles_of(run, slice); t.at < t.end; t.at += tile_size(&t)) {
        const size_t pixels = tile_size(&t);
        const float *x = read_with_epilogue(run, run->in, t.at * in_channels, pixels * in_channels, scratch);
        float *out = values_place(run, t.at * out_channels, scratch + t.tile * in_channels);
        for (size_t p = 0; p < pixels; p++)
            for (size_t c = 0; c < out_channels; c++)
                out[p * out_channels + c] = x[p * in_channels + (size_t)channels[c]];
        put_values(run, slice, out, t.at * out_channels, pixels * out_channels);
    }
}

static void backward_slice(void *context, int slice, int worker)
{
    struct cpu_run *run = context;
    const size_t out_channels = (size_t)run->out->shape.c, in_channels = (size_t)run->in->shape.c;
    const int *channels = run->node->channels;
    float *scratch = run->workspace->scratch[worker], *dx = scratch + tile_pixels(out_channels) * out_channels;
    for (struct tiles t = tiles_of(run, slice); t.at < t.end; t.at += tile_size(&t)) {
        const size_t pixels = tile_size(&t);
        const float *dz = read_gradient(run, t.at * out_channels, pixels * out_channels, scratch);
        memset(dx, 0, pixels * in_channels * sizeof *dx);
        for (size_t p = 0; p < pixels; p++)
            for (size_t c = 0; c < out_channels; c++)
                dx[p * in_channels + (size_t)channels[c]] += dz[p * out_channels + c];
        give_gradient(run, slice, dx, t.at * in_channels, pixels * in_channels);
    }
}

static void forward(struct cpu_run *run)
{
    run_tiles(run, forward_slice);
}

static void backward(struct cpu_run *run)
{
    run_tiles(run, backward_slice);
}

const struct cpu_step_kernel cpu_select = {need, forward, backward};
