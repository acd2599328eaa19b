/* Norms over the channels of every position: layer norm, and division by the Lp norm. */
#include "shared/training/cpu/cpu_tiles.h"

#include <math.h>

/* Four tiles, two rows. */
static struct step_need need(const struct plan *plan, const struct plan_step *step)
{
    const size_t channels = (size_t)plan->tensors[step->output].shape.c;
    return (struct step_need){.scratch = 4 * tile_pixels(channels) * channels + 2 * (size_t)row_width((int)channels) +
                                         KERNEL_SLACK};
}

static float *rows_of(const struct cpu_run *run, int worker)
{
    const size_t channels = (size_t)run->out->shape.c;
    float *rows = run->workspace->scratch[worker] + 4 * tile_pixels(channels) * channels;
    fill_row(run->out, weight_values(run->memory, run->step->weight), channels, 1, rows);
    fill_row(run->out, weight_values(run->memory, run->step->bias), channels, 0, rows + run->out->width);
    return rows;
}

static void layer_slice(void *context, int slice, int worker)
{
    struct cpu_run *run = context;
    const size_t channels = (size_t)run->out->shape.c;
    const float *weight = rows_of(run, worker), *bias = weight + run->out->width;
    for (struct tiles t = tiles_of(run, slice); t.at < t.end; t.at += tile_size(&t)) {
        const size_t at = t.at * channels, floats = tile_size(&t) * channels;
        float *scratch = run->workspace->scratch[worker], *out = values_place(run, at, scratch + t.tile * channels);
        const float *x = read_with_epilogue(run, run->in, at, floats, scratch);
        run->kernels->layer_norm(x, weight, bias, run->node->epsilon, out, floats, (int)channels);
        put_values(run, slice, out, at, floats);
    }
}

static void layer_back_slice(void *context, int slice, int worker)
{
    struct cpu_run *run = context;
    const size_t channels = (size_t)run->out->shape.c, tile = tile_pixels(channels) * channels;
    const float *weight = rows_of(run, worker);
    float *scratch = run->workspace->scratch[worker], *dx = scratch + tile, *rest = dx + tile, *products = rest + tile;
    for (struct tiles t = tiles_of(run, slice); t.at < t.end; t.at += tile_size(&t)) {
        const size_t at = t.at * channels, floats = tile_size(&t) * channels;
        const float *dz = read_gradient(run, at, floats, scratch);
        const float *x = read_with_epilogue(run, run->in, at, floats, rest);
        note_bias(run, slice, dz, floats);
        run->kernels->layer_norm_gradient(x, dz, weight, run->node->epsilon, dx, products, floats, (int)channels);
        note_weight(run, slice, products, floats);
        if (run->in->gradient != PLAN_NONE)
            give_gradient(run, slice, dx, at, floats);
    }
}

static void layer_forward(struct cpu_run *run)
{
    run_tiles(run, layer_slice);
}

static void layer_backward(struct cpu_run *run)
{
    run_tiles(run, layer_back_slice);
    finish_bias(run);
    if (run->node->weight >= 0)
        finish_weight(run);
}

const struct cpu_step_kernel cpu_layer_norm = {need, layer_forward, layer_backward};

/* ---- x / max(norm, epsilon) ---- */
static double norm_of(const struct node *node, const float *x, size_t channels)
{
    double sum = 0;
    for (size_t c = 0; c < channels; c++)
        sum += node->alpha == 1 ? fabs((double)x[c]) : (double)x[c] * (double)x[c];
    return node->alpha == 1 ? sum : sqrt(sum);
}

static void lp_slice(void *context, int slice, int worker)
{
    struct cpu_run *run = context;
    const size_t channels = (size_t)run->out->shape.c;
    for (struct tiles t = tiles_of(run, slice); t.at < t.end; t.at += tile_size(&t)) {
        const size_t at = t.at * channels, floats = tile_size(&t) * channels;
        float *scratch = run->workspace->scratch[worker], *out = values_place(run, at, scratch + t.tile * channels);
        const float *x = read_with_epilogue(run, run->in, at, floats, scratch);
        for (size_t p = 0; p < floats; p += channels) {
            const double norm = fmax(norm_of(run->node, x + p, channels), (double)run->node->epsilon);
            for (size_t c = 0; c < channels; c++)
                out[p + c] = (float)((double)x[p + c] / norm);
        }
        put_values(run, slice, out, at, floats);
    }
}

/* dx = (dz - norm' * sum(dz * y)) / norm, norm' = sign(x) or x / norm; below epsilon only dz / epsilon */
static void lp_back_slice(void *context, int slice, int worker)
{
    struct cpu_run *run = context;
    const size_t channels = (size_t)run->out->shape.c, tile = tile_pixels(channels) * channels;
    const double epsilon = (double)run->node->epsilon;
    float *scratch = run->workspace->scratch[worker], *dx = scratch + tile, *rest = dx + tile;
    for (struct tiles t = tiles_of(run, slice); t.at < t.end; t.at += tile_size(&t)) {
        const size_t at = t.at * channels, floats = tile_size(&t) * channels;
        const float *dz = read_gradient(run, at, floats, scratch);
        const float *x = read_with_epilogue(run, run->in, at, floats, rest);
        for (size_t p = 0; p < floats; p += channels) {
            const double full = norm_of(run->node, x + p, channels), norm = fmax(full, epsilon);
            double product = 0;
            for (size_t c = 0; full > epsilon && c < channels; c++)
                product += (double)dz[p + c] * (double)x[p + c] / norm;
            for (size_t c = 0; c < channels; c++) {
                const double value = (double)x[p + c], sign = value > 0 ? 1 : value < 0 ? -1 : 0;
                const double slope = run->node->alpha == 1 ? sign : value / norm;
                dx[p + c] = (float)(((double)dz[p + c] - slope * product) / norm);
            }
        }
        give_gradient(run, slice, dx, at, floats);
    }
}

static void lp_forward(struct cpu_run *run)
{
    run_tiles(run, lp_slice);
}

static void lp_backward(struct cpu_run *run)
{
    run_tiles(run, lp_back_slice);
}

const struct cpu_step_kernel cpu_lp_norm = {need, lp_forward, lp_backward};
