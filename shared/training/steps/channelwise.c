/* Steps with one weight per channel: scale (also one per value), PReLU. The weights may be constants. */
#include "shared/training/cpu/cpu_tiles.h"

/* Two tiles, three rows. */
static struct step_need row_need(const struct plan *plan, const struct plan_step *step)
{
    struct step_need need = tile_need(plan, step);
    need.scratch += 3 * (size_t)row_width(plan->tensors[step->output].shape.c);
    return need;
}

static size_t weight_count(const struct cpu_run *run, int weight)
{
    return weight < 0 ? 0 : run->plan->graph->weights[weight].count;
}

static float *rows_of(const struct cpu_run *run, int worker)
{
    const size_t channels = (size_t)run->out->shape.c;
    return run->workspace->scratch[worker] + 2 * tile_pixels(channels) * channels;
}

/* ---- scale per channel: x * weight + bias ---- */
static void scale_slice(void *context, int slice, int worker)
{
    struct cpu_run *run = context;
    const size_t channels = (size_t)run->out->shape.c;
    float *scratch = run->workspace->scratch[worker], *scale = rows_of(run, worker), *shift = scale + run->out->width;
    fill_row(run->out, weight_values(run->memory, run->step->weight), channels, 1, scale);
    fill_row(run->out, weight_values(run->memory, run->step->bias), channels, 0, shift);
    const struct epilogue affine = {.width = run->out->width, .scale = scale, .shift = shift};
    for (struct tiles t = tiles_of(run, slice); t.at < t.end; t.at += tile_size(&t)) {
        const size_t at = t.at * channels, floats = tile_size(&t) * channels;
        float *out = values_place(run, at, scratch + t.tile * channels);
        const float *x = read_with_epilogue(run, run->in, at, floats, scratch);
        run->kernels->fp32.apply_epilogue(&affine, x, out, floats);
        put_values(run, slice, out, at, floats);
    }
}

static void scale_back_slice(void *context, int slice, int worker)
{
    struct cpu_run *run = context;
    const size_t channels = (size_t)run->out->shape.c;
    float *scale = rows_of(run, worker), *scratch = run->workspace->scratch[worker];
    float *rest = scratch + tile_pixels(channels) * channels;
    fill_row(run->out, weight_values(run->memory, run->step->weight), channels, 1, scale);
    const struct epilogue affine = {.width = run->out->width, .scale = scale, .shift = run->workspace->zeros};
    for (struct tiles t = tiles_of(run, slice); t.at < t.end; t.at += tile_size(&t)) {
        const size_t at = t.at * channels, floats = tile_size(&t) * channels;
        const float *dz = read_gradient(run, at, floats, scratch);
        note_bias(run, slice, dz, floats);
        if (weight_gradient(run->memory, run->step->weight))
            note_weight_products(run, slice, dz, read_with_epilogue(run, run->in, at, floats, rest), floats);
        if (run->in->gradient == PLAN_NONE)
            continue;
        run->kernels->fp32.apply_epilogue(&affine, dz, rest, floats);
        give_gradient(run, slice, rest, at, floats);
    }
}

/* ---- scale per value: the weights lie in C, H, W order ---- */
static bool per_value(const struct plan *plan, const struct plan_step *step)
{
    const struct node *n = &plan->graph->nodes[step->node];
    const int weight = n->weight >= 0 ? n->weight : n->bias;
    return weight >= 0 && plan->graph->weights[weight].rank == 3;
}

static struct step_need scale_need(const struct plan *plan, const struct plan_step *step)
{
    const struct shape s = plan->tensors[step->output].shape;
    const size_t sample = (size_t)s.c * (size_t)s.h * (size_t)s.w;
    struct step_need need = row_need(plan, step);
    if (!per_value(plan, step))
        return need;
    need.scratch = need.scratch > 2 * sample ? need.scratch : 2 * sample;
    need.packed = 2 * sample;
    need.partial = (size_t)slice_count(2 * sample, plan->batch) * 2 * sample;
    return need;
}

/* packed[2][sample]: weight and bias in the order of values. */
static void pack_values(struct cpu_run *run)
{
    const size_t sample = run->out->sample, channels = (size_t)run->out->shape.c, pixels = sample / channels;
    const float *from[2] = {weight_values(run->memory, run->step->weight), weight_values(run->memory, run->step->bias)};
    const int index[2] = {run->node->weight, run->node->bias};
    for (size_t k = 0; k < 2; k++)
        for (size_t i = 0; i < sample; i++) {
            const size_t c = i % channels;
            const bool vector = from[k] && weight_count(run, index[k]) == channels && pixels > 1;
            run->workspace->packed[k * sample + i] = !from[k] ? 1 - (float)k
                                                     : vector ? from[k][c]
                                                              : from[k][c * pixels + i / channels];
        }
}

static void values_slice(void *context, int slice, int worker)
{
    struct cpu_run *run = context;
    const size_t sample = run->out->sample;
    const float *weight = run->workspace->packed, *bias = weight + sample;
    int first, end;
    slice_samples(run, slice, &first, &end);
    for (int s = first; s < end; s++) {
        const size_t at = (size_t)s * sample;
        float *scratch = run->workspace->scratch[worker], *out = values_place(run, at, scratch + sample);
        const float *x = read_with_epilogue(run, run->in, at, sample, scratch);
        run->kernels->multiply(out, x, weight, false, sample);
        run->kernels->add_scaled(out, bias, 1, sample);
        put_values(run, slice, out, at, sample);
    }
}

static void values_back_slice(void *context, int slice, int worker)
{
    struct cpu_run *run = context;
    const size_t sample = run->out->sample;
    float *scratch = run->workspace->scratch[worker], *rest = scratch + sample;
    float *weight = slice_partial(run, slice, 2 * sample), *bias = weight + sample;
    int first, end;
    slice_samples(run, slice, &first, &end);
    for (int s = first; s < end; s++) {
        const size_t at = (size_t)s * sample;
        const float *dz = read_gradient(run, at, sample, scratch);
        run->kernels->multiply(weight, dz, read_with_epilogue(run, run->in, at, sample, rest), true, sample);
        run->kernels->add_scaled(bias, dz, 1, sample);
        if (run->in->gradient == PLAN_NONE)
            continue;
        run->kernels->multiply(rest, dz, run->workspace->packed, false, sample);
        give_gradient(run, slice, rest, at, sample);
    }
}

static void unpack_values(const struct cpu_run *run, const float *from, float *to, size_t count)
{
    const size_t sample = run->out->sample, channels = (size_t)run->out->shape.c, pixels = sample / channels;
    for (size_t c = 0; to && c < channels; c++) {
        double sum = 0;
        for (size_t p = 0; p < pixels; p++) {
            sum += (double)from[p * channels + c];
            if (count == sample)
                to[c * pixels + p] = from[p * channels + c];
        }
        if (count != sample)
            to[c] = (float)sum;
    }
}

static void scale_forward(struct cpu_run *run)
{
    if (!per_value(run->plan, run->step)) {
        run_tiles(run, scale_slice);
        return;
    }
    pack_values(run);
    run_tiles(run, values_slice);
}

static void scale_backward(struct cpu_run *run)
{
    const size_t sample = run->out->sample;
    if (!per_value(run->plan, run->step)) {
        run_tiles(run, scale_back_slice);
        finish_bias(run);
        if (run->node->weight >= 0)
            finish_weight(run);
        return;
    }
    pack_values(run);
    run->slices = slice_count(2 * sample, run->pass->count);
    run_slices(run, values_back_slice);
    const float *sums = reduce_partial(run, 2 * sample);
    unpack_values(run, sums, weight_gradient(run->memory, run->step->weight), weight_count(run, run->node->weight));
    unpack_values(run, sums + sample, weight_gradient(run->memory, run->step->bias),
                  weight_count(run, run->node->bias));
}

const struct cpu_step_kernel cpu_scale = {scale_need, scale_forward, scale_backward};

/* ---- PReLU ---- */
static void prelu_slice(void *context, int slice, int worker)
{
    struct cpu_run *run = context;
    const size_t channels = (size_t)run->out->shape.c;
    float *scratch = run->workspace->scratch[worker], *weight = rows_of(run, worker);
    fill_row(run->out, weight_values(run->memory, run->step->weight), weight_count(run, run->node->weight), 0, weight);
    for (struct tiles t = tiles_of(run, slice); t.at < t.end; t.at += tile_size(&t)) {
        const size_t at = t.at * channels, floats = tile_size(&t) * channels;
        float *out = values_place(run, at, scratch + t.tile * channels);
        const float *x = read_with_epilogue(run, run->in, at, floats, scratch);
        run->kernels->prelu(x, weight, out, floats, run->out->width);
        put_values(run, slice, out, at, floats);
    }
}

static void prelu_back_slice(void *context, int slice, int worker)
{
    struct cpu_run *run = context;
    const size_t channels = (size_t)run->out->shape.c, width = (size_t)run->out->width;
    float *weight = rows_of(run, worker), *sums = weight + width, *scratch = run->workspace->scratch[worker];
    float *rest = scratch + tile_pixels(channels) * channels;
    double *total = run->workspace->slices[slice].weight;
    fill_row(run->out, weight_values(run->memory, run->step->weight), weight_count(run, run->node->weight), 0, weight);
    for (struct tiles t = tiles_of(run, slice); t.at < t.end; t.at += tile_size(&t)) {
        const size_t at = t.at * channels, floats = tile_size(&t) * channels;
        const float *dz = read_gradient(run, at, floats, scratch);
        const float *x = read_with_epilogue(run, run->in, at, floats, rest);
        run->kernels->prelu_gradient(x, dz, weight, rest, floats, run->out->width, sums);
        for (size_t i = 0; i < width; i++)
            total[i % channels] += (double)sums[i];
        if (run->in->gradient != PLAN_NONE)
            give_gradient(run, slice, rest, at, floats);
    }
}

static void prelu_forward(struct cpu_run *run)
{
    run_tiles(run, prelu_slice);
}

static void prelu_backward(struct cpu_run *run)
{
    run_tiles(run, prelu_back_slice);
    finish_weight(run);
}

const struct cpu_step_kernel cpu_prelu = {row_need, prelu_forward, prelu_backward};
