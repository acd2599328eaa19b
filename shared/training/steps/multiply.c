/* The product of two tensors. The second one has the first one's shape, or is a gate: one number per channel of a
 * sample (squeeze and excitation), or one per position. Backward runs once for each of the two; the gradient of a gate
 * of channels is computed in the pass for the first one, if that has a gradient, because both read the same dz. */
#include "shared/training/cpu/cpu_tiles.h"

#include <string.h>

enum gate { GATE_NONE, GATE_CHANNELS, GATE_POSITIONS };

static enum gate gate_of(const struct cpu_run *run)
{
    const struct shape out = run->out->shape, second = run_tensor(run, run->step->inputs[1].tensor)->shape;
    if (second.c == out.c && second.h == out.h && second.w == out.w)
        return GATE_NONE;
    return second.c == out.c ? GATE_CHANNELS : GATE_POSITIONS;
}

/* Is the gate's gradient computed while the first input's is? */
static bool one_pass(const struct cpu_run *run)
{
    const struct plan_input *inputs = run->step->inputs;
    return gate_of(run) == GATE_CHANNELS && run_tensor(run, inputs[0].tensor)->gradient != PLAN_NONE &&
           run_tensor(run, inputs[1].tensor)->gradient != PLAN_NONE;
}

/* Scratch memory: three tiles, three rows, the gate of a sample. Shared: the gradients of gates of channels. */
static struct step_need need(const struct plan *plan, const struct plan_step *step)
{
    const struct shape out = plan->tensors[step->output].shape;
    const size_t c = (size_t)out.c, row = (size_t)row_width(out.c), image = (size_t)out.h * (size_t)out.w;
    return (struct step_need){.scratch = 3 * tile_pixels(c) * c + 3 * row + (row > image ? row : image),
                              .shared = (size_t)plan->batch * c};
}

/* A tile within a sample, and what belongs to it. */
struct part {
    size_t sample, first, pixels; /* the tile begins at pixel `first` of the sample */
    size_t at, floats;            /* in the output and the first input */
};

/* The next tile of samples [part->sample, end); starts with pixels 0. */
static bool next_part(const struct cpu_run *run, struct part *part, int end)
{
    const size_t channels = (size_t)run->out->shape.c, image = run->out->sample / channels;
    part->first += part->pixels;
    if (part->first == image) {
        part->first = 0;
        part->sample++;
    }
    if (part->sample >= (size_t)end)
        return false;
    part->pixels = image - part->first < tile_pixels(channels) ? image - part->first : tile_pixels(channels);
    part->at = part->sample * run->out->sample + part->first * channels;
    part->floats = part->pixels * channels;
    return true;
}

/* to = from * the gate, which is read from the second input. */
static void apply_gate(const struct cpu_run *run, const struct part *part, const float *from, float *to, float *scratch)
{
    const struct cpu_tensor *second = run_tensor(run, run->step->inputs[1].tensor);
    const size_t channels = (size_t)run->out->shape.c;
    if (gate_of(run) == GATE_CHANNELS) {
        const float *gate = read_with_epilogue(run, second, part->sample * second->sample, second->sample, scratch);
        float *row = scratch + run->out->width;
        fill_row(run->out, gate, channels, 0, row);
        const struct epilogue scale = {.width = run->out->width, .scale = row, .shift = run->workspace->zeros};
        run->kernels->fp32.apply_epilogue(&scale, from, to, part->floats);
        return;
    }
    const float *gate =
        read_with_epilogue(run, second, part->sample * second->sample + part->first, part->pixels, scratch);
    memset(to, 0, part->floats * sizeof *to);
    for (size_t p = 0; p < part->pixels; p++)
        run->kernels->add_scaled(to + p * channels, from + p * channels, gate[p], channels);
}

static void forward_slice(void *context, int slice, int worker)
{
    struct cpu_run *run = context;
    const struct cpu_tensor *second = run_tensor(run, run->step->inputs[1].tensor);
    const size_t tile = tile_pixels((size_t)run->out->shape.c) * (size_t)run->out->shape.c;
    float *scratch = run->workspace->scratch[worker], *rest = scratch + 2 * tile;
    const bool gated = gate_of(run) != GATE_NONE;
    int first, end;
    slice_samples(run, slice, &first, &end);
    for (struct part part = {.sample = (size_t)first}; next_part(run, &part, end);) {
        float *out = values_place(run, part.at, scratch + tile);
        const float *x = read_with_epilogue(run, run->in, part.at, part.floats, scratch);
        if (gated)
            apply_gate(run, &part, x, out, rest);
        else
            run->kernels->multiply(out, x, read_with_epilogue(run, second, part.at, part.floats, rest), false,
                                   part.floats);
        put_values(run, slice, out, part.at, part.floats);
    }
}

static void forward(struct cpu_run *run)
{
    run_tiles(run, forward_slice);
}

/* gate[channels] = the sums of dz * x over the pixels of a sample, of which this part is the next one. */
static void add_gate_gradient(const struct cpu_run *run, const struct part *part, const float *dz, const float *x,
                              float *sums, float *gate)
{
    const int channels = run->out->shape.c, width = run->out->width;
    run->kernels->column_products(dz, x, part->floats, width, sums);
    if (part->first == 0)
        memset(gate, 0, (size_t)channels * sizeof *gate);
    for (int i = 0; i < width; i += channels)
        for (int c = 0; c < channels; c++)
            gate[c] += sums[i + c];
}

/* The gradient of an input that has the output's shape: dz times the other input. */
static void whole_slice(void *context, int slice, int worker)
{
    struct cpu_run *run = context;
    const bool first_input = run->input == &run->step->inputs[0], both = one_pass(run);
    const struct cpu_tensor *other = run_tensor(run, run->step->inputs[first_input].tensor);
    const size_t channels = (size_t)run->out->shape.c, tile = tile_pixels(channels) * channels;
    float *scratch = run->workspace->scratch[worker], *dx = scratch + tile, *rest = dx + tile, *rows = rest + tile;
    const bool gated = gate_of(run) != GATE_NONE;
    int first, end;
    slice_samples(run, slice, &first, &end);
    for (struct part part = {.sample = (size_t)first}; next_part(run, &part, end);) {
        const float *dz = read_gradient(run, part.at, part.floats, scratch);
        if (both)
            add_gate_gradient(run, &part, dz, read_with_epilogue(run, run->in, part.at, part.floats, rest), rows,
                              run->workspace->shared + part.sample * channels);
        if (gated)
            apply_gate(run, &part, dz, dx, rows);
        else
            run->kernels->multiply(dx, dz, read_with_epilogue(run, other, part.at, part.floats, rest), false,
                                   part.floats);
        give_gradient(run, slice, dx, part.at, part.floats);
    }
}

/* The gradient of a gate: the sum of dz times the first input over what the gate applies to. */
static void gate_slice(void *context, int slice, int worker)
{
    struct cpu_run *run = context;
    const struct cpu_tensor *x_tensor = run_tensor(run, run->step->inputs[0].tensor);
    const size_t c = (size_t)run->out->shape.c, tile = tile_pixels(c) * c, image = run->out->sample / c;
    float *scratch = run->workspace->scratch[worker], *rest = scratch + tile, *sums = rest + tile,
          *gate = sums + run->out->width;
    int first, end;
    slice_samples(run, slice, &first, &end);
    for (struct part part = {.sample = (size_t)first}; next_part(run, &part, end);) {
        const float *dz = read_gradient(run, part.at, part.floats, scratch);
        const float *x = read_with_epilogue(run, x_tensor, part.at, part.floats, rest);
        if (gate_of(run) == GATE_CHANNELS)
            add_gate_gradient(run, &part, dz, x, sums, gate);
        else
            for (size_t p = 0; p < part.pixels; p++) {
                double sum = 0;
                for (size_t i = p * c; i < (p + 1) * c; i++)
                    sum += (double)dz[i] * (double)x[i];
                gate[part.first + p] = (float)sum;
            }
        if (part.first + part.pixels == image)
            give_gradient(run, slice, gate, part.sample * run->in->sample, run->in->sample);
    }
}

/* The same, where whole_slice has computed it. */
static void give_gates(void *context, int slice, int worker)
{
    struct cpu_run *run = context;
    const size_t channels = run->in->sample;
    int first, end;
    (void)worker;
    slice_samples(run, slice, &first, &end);
    give_gradient(run, slice, run->workspace->shared + (size_t)first * channels, (size_t)first * channels,
                  (size_t)(end - first) * channels);
}

static void backward(struct cpu_run *run)
{
    const bool gate = gate_of(run) != GATE_NONE && run->input != &run->step->inputs[0];
    if (run->in->gradient == PLAN_NONE)
        return;
    run_tiles(run, !gate ? whole_slice : one_pass(run) ? give_gates : gate_slice);
}

const struct cpu_step_kernel cpu_multiply = {need, forward, backward};
