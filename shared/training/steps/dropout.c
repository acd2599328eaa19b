/* Dropout: y = x * mask / (1 - p), the mask of dropout.h, made again in backward. Without training it is a copy. */
#include "shared/training/steps/dropout.h"

#include "shared/training/cpu/cpu_tiles.h"

/* Elements first, first + 1, ... of the batch: x[i] *= 0 or 1 / (1 - p). */
static void drop(const struct cpu_run *run, float *x, size_t first, size_t floats)
{
    const struct epoch_inputs *inputs = run->pass->inputs;
    const struct step_scalars *scalars =
        &inputs->scalars[(size_t)*inputs->cursor * (size_t)inputs->students + (size_t)run->student];
    const struct dropout_rate rate = dropout_rate_of(run->node->dropout);
    uint32_t block[4] = {0};
    for (size_t i = 0; i < floats; i++) {
        const size_t n = first + i;
        if (i == 0 || n % 4 == 0)
            dropout_block(scalars->seed, scalars->step, run->index, n, block);
        x[i] = dropout_apply(rate, block[n % 4], x[i]);
    }
}

static void forward_slice(void *context, int slice, int worker)
{
    struct cpu_run *run = context;
    const size_t channels = (size_t)run->out->shape.c;
    for (struct tiles t = tiles_of(run, slice); t.at < t.end; t.at += tile_size(&t)) {
        const size_t at = t.at * channels, floats = tile_size(&t) * channels;
        float *out = values_place(run, at, run->workspace->scratch[worker]);
        copy_with_epilogue(run, run->in, at, floats, out);
        if (run->pass->training)
            drop(run, out, at, floats);
        put_values(run, slice, out, at, floats);
    }
}

static void backward_slice(void *context, int slice, int worker)
{
    struct cpu_run *run = context;
    const size_t channels = (size_t)run->out->shape.c;
    float *dx = run->workspace->scratch[worker];
    for (struct tiles t = tiles_of(run, slice); t.at < t.end; t.at += tile_size(&t)) {
        const size_t at = t.at * channels, floats = tile_size(&t) * channels;
        copy_gradient(run, at, floats, dx);
        if (run->pass->training)
            drop(run, dx, at, floats);
        give_gradient(run, slice, dx, at, floats);
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

const struct cpu_step_kernel cpu_dropout = {tile_need, forward, backward};
