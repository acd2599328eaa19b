/* Fake quantisation, so that training sees what the integer network will compute: values rounded to 8 bits (Jacob et
 * al. 2018, "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference"). Backward,
 * the estimator is straight-through: the gradient passes unchanged, and is 0 where a value was clipped. quantise.h says
 * how ranges follow the values. */
#include "shared/training/steps/quantise.h"

#include "shared/training/cpu/cpu_tiles.h"
#include <string.h>

/* ---- values ---- */

/* One more float pair per slice: what it has seen. */
static struct step_need need(const struct plan *plan, const struct plan_step *step)
{
    struct step_need need = tile_need(plan, step);
    need.partial = 2 * MAX_SLICES;
    return need;
}

static struct int8_value format_of(const struct cpu_run *run)
{
    const float *range = weight_values(run->memory, run->step->weight);
    return int8_value_of((struct value_range){range[0], range[1]});
}

/* Notes the bounds of the completed values. */
static void observe_slice(void *context, int slice, int worker)
{
    struct cpu_run *run = context;
    const size_t channels = (size_t)run->out->shape.c;
    float low = FLT_MAX, high = -FLT_MAX;
    for (struct tiles t = tiles_of(run, slice); t.at < t.end; t.at += tile_size(&t)) {
        const size_t at = t.at * channels, floats = tile_size(&t) * channels;
        const float *x = read_with_epilogue(run, run->in, at, floats, run->workspace->scratch[worker]);
        run->kernels->bounds(x, floats, &low, &high);
    }
    run->workspace->partial[2 * slice] = low;
    run->workspace->partial[2 * slice + 1] = high;
}

static void observe(struct cpu_run *run)
{
    float *range = weight_values(run->memory, run->step->weight);
    struct value_range seen = {FLT_MAX, -FLT_MAX};
    run_tiles(run, observe_slice);
    for (int i = 0; i < run->slices; i++)
        seen = range_joined(seen,
                            (struct value_range){run->workspace->partial[2 * i], run->workspace->partial[2 * i + 1]});
    const struct value_range moved =
        range_followed((struct value_range){range[0], range[1]}, seen, run->node->alpha, run->node->beta);
    range[0] = moved.low;
    range[1] = moved.high;
}

static void round_slice(void *context, int slice, int worker)
{
    struct cpu_run *run = context;
    const struct int8_value to = format_of(run);
    const size_t channels = (size_t)run->out->shape.c;
    float *scratch = run->workspace->scratch[worker];
    for (struct tiles t = tiles_of(run, slice); t.at < t.end; t.at += tile_size(&t)) {
        const size_t at = t.at * channels, floats = tile_size(&t) * channels;
        float *out = values_place(run, at, scratch + t.tile * channels);
        const float *x = read_with_epilogue(run, run->in, at, floats, scratch);
        run->kernels->quantise(x, to, out, floats);
        put_values(run, slice, out, at, floats);
    }
}

static void forward(struct cpu_run *run)
{
    if (pass_observes(run->pass))
        observe(run);
    run_tiles(run, round_slice);
}

static void backward_slice(void *context, int slice, int worker)
{
    struct cpu_run *run = context;
    const struct int8_value to = format_of(run);
    const size_t channels = (size_t)run->out->shape.c;
    float *scratch = run->workspace->scratch[worker], *rest = scratch + tile_pixels(channels) * channels;
    for (struct tiles t = tiles_of(run, slice); t.at < t.end; t.at += tile_size(&t)) {
        const size_t at = t.at * channels, floats = tile_size(&t) * channels;
        const float *x = read_with_epilogue(run, run->in, at, floats, scratch);
        run->kernels->quantise_gradient(x, read_gradient(run, at, floats, rest), to, rest, floats);
        give_gradient(run, slice, rest, at, floats);
    }
}

static void backward(struct cpu_run *run)
{
    if (run->in->gradient != PLAN_NONE)
        run_tiles(run, backward_slice);
}

const struct cpu_step_kernel cpu_quantise = {need, forward, backward};

/* ---- weights ---- */
void round_weights(const struct plan *plan, const struct network_memory *memory)
{
    for (int i = 0; i < plan->rounding_count; i++) {
        const struct plan_rounding *r = &plan->roundings[i];
        for (size_t row = 0; row < r->rows; row++) {
            const float *from = memory->parameters + r->offset + row * r->row;
            float *to = memory->rounded + r->offset + row * r->row, largest = 0;
            for (size_t k = 0; k < r->row; k++)
                largest = fmaxf(largest, fabsf(from[k]));
            const float scale = int8_weight_scale(largest);
            for (size_t k = 0; k < r->row; k++)
                to[k] = int8_rounded_weight(from[k], scale);
        }
    }
}
