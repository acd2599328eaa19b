/* Global average pooling: the mean of every channel. */
#include "shared/training/cpu/cpu_tiles.h"

#include <string.h>

/* Scratch memory: a tile, a row's sums, those of their squares, a number per channel. */
static struct step_need need(const struct plan *plan, const struct plan_step *step)
{
    const size_t channels = (size_t)plan->tensors[step->inputs[0].tensor].shape.c;
    return (struct step_need){.scratch = tile_pixels(channels) * channels + 3 * (size_t)row_width((int)channels)};
}

/* The next tile of a sample's `floats`, from `at` on. */
static size_t tile_at(size_t floats, size_t at, size_t channels)
{
    const size_t tile = tile_pixels(channels) * channels;
    return floats - at < tile ? floats - at : tile;
}

static void forward_slice(void *context, int slice, int worker)
{
    struct cpu_run *run = context;
    const size_t floats = run->in->sample, channels = (size_t)run->in->shape.c, width = (size_t)run->in->width;
    float *tile = run->workspace->scratch[worker], *sums = tile + tile_pixels(channels) * channels;
    int first, end;
    slice_samples(run, slice, &first, &end);
    for (size_t sample = (size_t)first; sample < (size_t)end; sample++) {
        float *out = values_place(run, sample * channels, sums + 2 * width);
        memset(out, 0, channels * sizeof *out);
        for (size_t at = 0, part; at < floats; at += part) {
            part = tile_at(floats, at, channels);
            const float *in = read_with_epilogue(run, run->in, sample * floats + at, part, tile);
            run->kernels->fp32.moments(in, part, run->in->width, run->workspace->zeros, sums, NULL, GIVE_WRITE);
            for (size_t i = 0; i < width; i += channels)
                for (size_t c = 0; c < channels; c++)
                    out[c] += sums[i + c];
        }
        for (size_t c = 0; c < channels; c++)
            out[c] *= (float)channels / (float)floats;
        put_values(run, slice, out, sample * channels, channels);
    }
}

static void forward(struct cpu_run *run)
{
    run_tiles(run, forward_slice);
}

static void backward_slice(void *context, int slice, int worker)
{
    struct cpu_run *run = context;
    const size_t floats = run->in->sample, channels = (size_t)run->in->shape.c;
    float *dx = run->workspace->scratch[worker];
    int first, end;
    slice_samples(run, slice, &first, &end);
    for (size_t sample = (size_t)first; sample < (size_t)end; sample++) {
        copy_gradient(run, sample * channels, channels, dx);
        for (size_t c = 0; c < channels; c++)
            dx[c] *= (float)channels / (float)floats;
        for (size_t at = channels; at < tile_at(floats, 0, channels); at += channels)
            memcpy(dx + at, dx, channels * sizeof *dx);
        for (size_t at = 0, part; at < floats; at += part) {
            part = tile_at(floats, at, channels);
            give_gradient(run, slice, dx, sample * floats + at, part);
        }
    }
}

static void backward(struct cpu_run *run)
{
    run_tiles(run, backward_slice);
}

const struct cpu_step_kernel cpu_global_pool = {need, forward, backward};
