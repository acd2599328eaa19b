/* Depthwise convolutions, over the same strips as cpu_conv.c; every channel has its own window. */
#include "shared/training/cpu/cpu_strip.h"

#include <string.h>

enum { STRIP_FLOATS = 131072 };

struct depthwise {
    struct window_shape shape;
    int taps;
    size_t weights; /* [taps, channels] */
    size_t source_floats, gradient_floats, dx_floats;
    int dx_rows;
};

static struct depthwise depthwise_of(const struct plan *plan, const struct plan_step *step)
{
    struct depthwise d = {.shape = window_shape_of(plan, step, STRIP_FLOATS)};
    const struct window_shape *s = &d.shape;
    d.taps = s->y.kernel * s->x.kernel;
    d.weights = (size_t)d.taps * (size_t)s->in;
    d.source_floats = (size_t)s->source_rows * (size_t)s->source_pitch + KERNEL_SLACK;
    d.gradient_floats = (size_t)s->gradient_rows * (size_t)s->gradient_pitch + KERNEL_SLACK;
    d.dx_rows = s->rows * s->y.stride;
    d.dx_floats = (size_t)d.dx_rows * (size_t)s->x.in * (size_t)s->in;
    return d;
}

static struct step_need need(const struct plan *plan, const struct plan_step *step)
{
    const struct depthwise d = depthwise_of(plan, step);
    return (struct step_need){
        .scratch = d.source_floats + d.gradient_floats + d.dx_floats,
        .packed = d.weights + KERNEL_SLACK,
        .partial = (size_t)slice_count(d.weights, plan->batch) * d.weights,
        .taps = 2 * (size_t)d.taps,
    };
}

/* packed[t][c] = weight[c][taps[t]] */
static void pack(struct step_run *run, int taps, int channels)
{
    const float *from = run->memory->parameters + run->step->weight;
    for (int t = 0; t < taps; t++)
        for (int c = 0; c < channels; c++)
            run->workspace->packed[(size_t)t * (size_t)channels + (size_t)c] =
                from[(size_t)c * (size_t)taps + (size_t)run->workspace->taps[t]];
}

/* The window over `rows` output rows from `first`; out is left to the caller. */
static struct window source_window(const struct step_run *run, const struct depthwise *d, const struct strip *source,
                                   int first, int rows)
{
    const struct window_shape *s = &d->shape;
    return (struct window){
        .rows = rows,
        .pixels = s->x.out,
        .channels = s->in,
        .taps = d->taps,
        .offsets = run->workspace->offsets,
        .weights = run->workspace->packed,
        .in = strip_row(source, first * s->y.stride),
        .in_pitch = (ptrdiff_t)s->y.stride * s->source_pitch,
        .in_step = (ptrdiff_t)s->x.stride * s->in,
        .out_step = s->out,
    };
}

static void forward_slice(void *context, int slice, int worker)
{
    struct step_run *run = context;
    const struct depthwise d = depthwise_of(run->plan, run->step);
    const struct window_shape *s = &d.shape;
    const size_t row = (size_t)s->x.out * (size_t)s->out;
    int first, end;
    slice_samples(run, slice, &first, &end);
    for (int sample = first; sample < end; sample++) {
        struct strip source = {.data = run->workspace->scratch[worker], .pitch = s->source_pitch};
        for (int y = 0, rows; y < s->y.out; y += rows) {
            rows = s->y.out - y < s->rows ? s->y.out - y : s->rows;
            strip_read_source(run, s, &source, sample, y * s->y.stride,
                              (y + rows - 1) * s->y.stride + (s->y.kernel - 1) * s->y.dilation + 1);
            struct window w = source_window(run, &d, &source, y, rows);
            w.bias = run->step->bias == PLAN_NONE ? NULL : run->memory->parameters + run->step->bias;
            w.out = tensor_value(run, run->out) + (size_t)sample * run->out->sample + (size_t)y * row;
            w.out_pitch = (ptrdiff_t)row;
            run->kernels->window(&w);
            note_values(run, slice, w.out, (size_t)rows * row);
        }
    }
}

static void forward(struct step_run *run)
{
    const struct depthwise d = depthwise_of(run->plan, run->step);
    window_offsets(&d.shape, run->workspace->offsets);
    for (int t = 0; t < d.taps; t++)
        run->workspace->taps[t] = t;
    pack(run, d.taps, d.shape.in);
    run->slices = slice_count(d.weights, run->pass->count);
    run_slices(run, forward_slice);
}

/* Taps, offsets and weights by phase (see cpu_strip.h): phases follow each other in y, then x. */
static void pack_phases(struct step_run *run, const struct depthwise *d)
{
    const struct window_shape *s = &d->shape;
    ptrdiff_t *offsets = run->workspace->offsets + d->taps;
    int t = 0;
    for (int py = 0; py < s->y.stride; py++)
        for (int px = 0; px < s->x.stride; px++) {
            const struct phase y = phase_of(&s->y, py), x = phase_of(&s->x, px);
            for (int ty = 0; ty < y.taps; ty++)
                for (int tx = 0; tx < x.taps; tx++, t++) {
                    run->workspace->taps[t] =
                        (y.last_tap - ty * y.tap_step) * s->x.kernel + x.last_tap - tx * x.tap_step;
                    offsets[t] = (ptrdiff_t)ty * y.step * s->gradient_pitch + (ptrdiff_t)tx * x.step * s->out;
                }
        }
    pack(run, d->taps, s->in);
}

/* dx[rows first to end of the input] from the gradient strip. */
static void spread_rows(const struct step_run *run, const struct depthwise *d, const struct strip *dz, int first,
                        int end, float *dx)
{
    const struct window_shape *s = &d->shape;
    const ptrdiff_t dx_pitch = (ptrdiff_t)s->x.in * s->in;
    int done = 0;
    for (int py = 0; py < s->y.stride; py++)
        for (int px = 0; px < s->x.stride; px++) {
            const struct phase y = phase_of(&s->y, py), x = phase_of(&s->x, px);
            const int skip = first > y.first ? (first - y.first + s->y.stride - 1) / s->y.stride : 0;
            const int row = y.first + skip * s->y.stride;
            struct window w = {.pixels = x.positions, .channels = s->in, .taps = y.taps * x.taps};
            w.rows = row < end ? (end - 1 - row) / s->y.stride + 1 : 0;
            w.weights = run->workspace->packed + (size_t)done * (size_t)s->in;
            w.offsets = run->workspace->offsets + d->taps + done;
            done += w.taps;
            if (!w.rows || !w.pixels)
                continue;
            w.in = w.taps ? strip_row(dz, y.start + skip) + (ptrdiff_t)x.start * s->out : dz->data;
            w.in_pitch = s->gradient_pitch;
            w.in_step = s->out;
            w.out = dx + (row - first) * dx_pitch + x.first * s->in;
            w.out_pitch = s->y.stride * dx_pitch;
            w.out_step = (ptrdiff_t)s->x.stride * s->in;
            run->kernels->window(&w);
        }
}

static void backward_sample(struct step_run *run, const struct depthwise *d, int slice, int worker, int sample,
                            float *gradient)
{
    const struct window_shape *s = &d->shape;
    const size_t dx_pitch = (size_t)s->x.in * (size_t)s->in;
    float *scratch = run->workspace->scratch[worker], *dx = scratch + d->source_floats + d->gradient_floats;
    struct strip source = {.data = scratch, .pitch = s->source_pitch};
    struct strip dz = {.data = scratch + d->source_floats, .pitch = s->gradient_pitch};
    int given = 0; /* input rows whose gradient is done */
    for (int y = 0, rows; y < s->y.out; y += rows) {
        rows = s->y.out - y < s->rows ? s->y.out - y : s->rows;
        const bool last = y + rows == s->y.out;
        strip_read_source(run, s, &source, sample, y * s->y.stride,
                          (y + rows - 1) * s->y.stride + (s->y.kernel - 1) * s->y.dilation + 1);
        strip_read_gradient(run, s, &dz, sample, y, last ? s->y.filled : y + rows + s->y.lead);
        struct window w = source_window(run, d, &source, y, rows);
        w.out = strip_row(&dz, y + s->y.lead) + (ptrdiff_t)s->x.lead * s->out;
        w.out_pitch = s->gradient_pitch;
        run->kernels->window_weights(&w, gradient);
        if (run->in->gradient == PLAN_NONE)
            continue;
        int ready = last ? s->y.in : (y + rows) * s->y.stride - s->y.pad;
        ready = ready < s->y.in ? ready : s->y.in;
        for (int end; given < ready; given = end) {
            end = ready - given < d->dx_rows ? ready : given + d->dx_rows;
            spread_rows(run, d, &dz, given, end, dx);
            give_gradient(run, slice, dx, (size_t)sample * run->in->sample + (size_t)given * dx_pitch,
                          (size_t)(end - given) * dx_pitch);
        }
    }
}

static void backward_slice(void *context, int slice, int worker)
{
    struct step_run *run = context;
    const struct depthwise d = depthwise_of(run->plan, run->step);
    float *gradient = slice_partial(run, slice, d.weights);
    int first, end;
    slice_samples(run, slice, &first, &end);
    for (int sample = first; sample < end; sample++) {
        const size_t floats = run->out->sample;
        backward_sample(run, &d, slice, worker, sample, gradient);
        note_bias(run, slice, tensor_gradient(run, run->out) + (size_t)sample * floats, floats);
    }
}

static void backward(struct step_run *run)
{
    const struct depthwise d = depthwise_of(run->plan, run->step);
    float *to = run->memory->parameter_gradients + run->step->weight;
    window_offsets(&d.shape, run->workspace->offsets);
    pack_phases(run, &d);
    run->slices = slice_count(d.weights, run->pass->count);
    run_slices(run, backward_slice);
    const float *gradient = reduce_partial(run, d.weights);
    for (int t = 0; t < d.taps; t++)
        for (int c = 0; c < d.shape.in; c++)
            to[(size_t)c * (size_t)d.taps + (size_t)t] = gradient[(size_t)t * (size_t)d.shape.in + (size_t)c];
    finish_bias(run);
}

const struct step_kernel cpu_depthwise = {need, forward, backward};
