/* Steps that move values and have no weights: add, concat, copy. Backward runs once for every input. */
#include "shared/training/cpu/cpu_tiles.h"

#include <string.h>

/* ---- add ---- */
static void add_slice(void *context, int slice, int worker)
{
    struct cpu_run *run = context;
    const size_t channels = (size_t)run->out->shape.c;
    float *scratch = run->workspace->scratch[worker];
    for (struct tiles t = tiles_of(run, slice); t.at < t.end; t.at += tile_size(&t)) {
        const size_t at = t.at * channels, floats = tile_size(&t) * channels;
        float *out = values_place(run, at, scratch + t.tile * channels);
        copy_with_epilogue(run, run->in, at, floats, out);
        for (int i = 1; i < run->step->input_count; i++) {
            const struct cpu_tensor *in = run_tensor(run, run->step->inputs[i].tensor);
            run->kernels->add_scaled(out, read_with_epilogue(run, in, at, floats, scratch), 1, floats);
        }
        put_values(run, slice, out, at, floats);
    }
}

static void add_forward(struct cpu_run *run)
{
    run_tiles(run, add_slice);
}

static void pass_on_slice(void *context, int slice, int worker)
{
    struct cpu_run *run = context;
    const size_t channels = (size_t)run->out->shape.c;
    for (struct tiles t = tiles_of(run, slice); t.at < t.end; t.at += tile_size(&t)) {
        const size_t at = t.at * channels, floats = tile_size(&t) * channels;
        give_gradient(run, slice, read_gradient(run, at, floats, run->workspace->scratch[worker]), at, floats);
    }
}

static void add_backward(struct cpu_run *run)
{
    run_tiles(run, pass_on_slice);
}

const struct cpu_step_kernel cpu_add = {tile_need, add_forward, add_backward};

/* ---- concat ---- */
static void concat_slice(void *context, int slice, int worker)
{
    struct cpu_run *run = context;
    const size_t channels = (size_t)run->out->shape.c;
    for (struct tiles t = tiles_of(run, slice); t.at < t.end; t.at += tile_size(&t)) {
        const size_t pixels = tile_size(&t);
        float *scratch = run->workspace->scratch[worker];
        float *out = values_place(run, t.at * channels, scratch + t.tile * channels), *to = out;
        for (int i = 0; i < run->step->input_count; i++) {
            const struct cpu_tensor *in = run_tensor(run, run->step->inputs[i].tensor);
            const size_t c = (size_t)in->shape.c;
            const float *from = read_with_epilogue(run, in, t.at * c, pixels * c, scratch);
            for (size_t p = 0; p < pixels; p++)
                memcpy(to + p * channels, from + p * c, c * sizeof *to);
            to += c;
        }
        put_values(run, slice, out, t.at * channels, pixels * channels);
    }
}

static void concat_forward(struct cpu_run *run)
{
    run_tiles(run, concat_slice);
}

static void split_slice(void *context, int slice, int worker)
{
    struct cpu_run *run = context;
    const size_t channels = (size_t)run->out->shape.c, c = (size_t)run->in->shape.c;
    size_t skip = 0; /* channels of the inputs before this one */
    for (const struct plan_input *input = run->step->inputs; input != run->input; input++)
        skip += (size_t)run_tensor(run, input->tensor)->shape.c;
    for (struct tiles t = tiles_of(run, slice); t.at < t.end; t.at += tile_size(&t)) {
        const size_t pixels = tile_size(&t);
        float *scratch = run->workspace->scratch[worker], *dx = scratch + t.tile * channels;
        const float *dz = read_gradient(run, t.at * channels, pixels * channels, scratch);
        for (size_t p = 0; p < pixels; p++)
            memcpy(dx + p * c, dz + p * channels + skip, c * sizeof *dx);
        give_gradient(run, slice, dx, t.at * c, pixels * c);
    }
}

static void concat_backward(struct cpu_run *run)
{
    run_tiles(run, split_slice);
}

const struct cpu_step_kernel cpu_concat = {tile_need, concat_forward, concat_backward};

/* ---- copy ---- */
/* A copy that flattens puts the sample into C, H, W order. */
static bool reorders(const struct cpu_run *run)
{
    return run->in->shape.h * run->in->shape.w != run->out->shape.h * run->out->shape.w;
}

static struct step_need copy_need(const struct plan *plan, const struct plan_step *step)
{
    const struct shape in = plan->tensors[step->inputs[0].tensor].shape;
    struct step_need need = tile_need(plan, step);
    const size_t sample = 2 * (size_t)in.c * (size_t)in.h * (size_t)in.w;
    need.scratch = need.scratch > sample ? need.scratch : sample;
    return need;
}

static void reorder_slice(void *context, int slice, int worker)
{
    struct cpu_run *run = context;
    const size_t sample = run->in->sample, channels = (size_t)run->in->shape.c, pixels = sample / channels;
    int first, end;
    slice_samples(run, slice, &first, &end);
    for (int s = first; s < end; s++) {
        const size_t at = (size_t)s * sample;
        float *scratch = run->workspace->scratch[worker], *to = values_place(run, at, scratch + sample);
        const float *from = read_with_epilogue(run, run->in, at, sample, scratch);
        for (size_t c = 0; c < channels; c++)
            for (size_t p = 0; p < pixels; p++)
                to[c * pixels + p] = from[p * channels + c];
        put_values(run, slice, to, at, sample);
    }
}

static void reorder_back_slice(void *context, int slice, int worker)
{
    struct cpu_run *run = context;
    const size_t sample = run->in->sample, channels = (size_t)run->in->shape.c, pixels = sample / channels;
    float *scratch = run->workspace->scratch[worker], *dx = scratch + sample;
    int first, end;
    slice_samples(run, slice, &first, &end);
    for (int s = first; s < end; s++) {
        const size_t at = (size_t)s * sample;
        const float *dz = read_gradient(run, at, sample, scratch);
        for (size_t c = 0; c < channels; c++)
            for (size_t p = 0; p < pixels; p++)
                dx[p * channels + c] = dz[c * pixels + p];
        give_gradient(run, slice, dx, at, sample);
    }
}

static void copy_forward(struct cpu_run *run)
{
    run_tiles(run, reorders(run) ? reorder_slice : add_slice);
}

static void copy_backward(struct cpu_run *run)
{
    run_tiles(run, reorders(run) ? reorder_back_slice : pass_on_slice);
}

const struct cpu_step_kernel cpu_copy = {copy_need, copy_forward, copy_backward};
