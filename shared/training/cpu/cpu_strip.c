#include "shared/training/cpu/cpu_strip.h"

#include <string.h>

static int most(int a, int b)
{
    return a > b ? a : b;
}

static struct strip_axis axis_of(int in, int out, int kernel, int stride, int dilation, int pad)
{
    struct strip_axis a = {in, out, kernel, stride, dilation, pad, 0, 0, 0};
    a.padded = most(pad + in, (out - 1) * stride + (kernel - 1) * dilation + 1);
    a.lead = (kernel - 1) * dilation / stride;
    a.filled = a.lead + most(out, (in - 1 + pad) / stride + 1);
    return a;
}

struct window_shape window_shape_of(const struct plan *plan, const struct plan_step *step, size_t floats)
{
    const struct node *node = &plan->graph->nodes[step->node];
    const struct shape in = plan->tensors[step->inputs[0].tensor].shape, out = plan->tensors[step->output].shape;
    struct window_shape s = {.in = in.c,
                             .out = out.c,
                             .groups = node->groups,
                             .group_in = in.c / node->groups,
                             .group_out = out.c / node->groups,
                             .taps = node->kernel_h * node->kernel_w};
    s.y = axis_of(in.h, out.h, node->kernel_h, node->stride_h, node->dilation_h, step->pad_top);
    s.x = axis_of(in.w, out.w, node->kernel_w, node->stride_w, node->dilation_w, step->pad_left);
    s.source_pitch = s.x.padded * s.in;
    s.gradient_pitch = s.x.filled * s.out;
    size_t row = (size_t)s.source_pitch * (size_t)s.y.stride + (size_t)s.gradient_pitch;
    s.rows = (int)(floats / row < (size_t)out.h ? floats / row : (size_t)out.h);
    s.rows = most(s.rows, 1);
    s.source_rows = (s.rows - 1) * s.y.stride + (s.y.kernel - 1) * s.y.dilation + 1;
    s.gradient_rows = most(s.y.filled - s.y.out, 0) + s.rows;
    return s;
}

struct phase phase_of(const struct strip_axis *a, int phase)
{
    struct phase p = {.tap_step = 1};
    p.first = ((phase - a->pad) % a->stride + a->stride) % a->stride;
    p.positions = p.first < a->in ? (a->in - 1 - p.first) / a->stride + 1 : 0;
    int before = -1;
    for (int k = 0; k < a->kernel; k++) {
        if (k * a->dilation % a->stride != phase)
            continue;
        if (before >= 0)
            p.tap_step = k - before;
        before = p.last_tap = k;
        p.taps++;
    }
    p.start = (p.first + a->pad) / a->stride - p.last_tap * a->dilation / a->stride + a->lead;
    p.step = p.tap_step * a->dilation / a->stride;
    return p;
}

struct phase_part phase_part_of(const struct phase *phase, int stride, int first, int end)
{
    struct phase_part part = {0};
    part.skip = first > phase->first ? (first - phase->first + stride - 1) / stride : 0;
    part.row = phase->first + part.skip * stride;
    part.rows = part.row < end ? (end - 1 - part.row) / stride + 1 : 0;
    return part;
}

/* Drops rows before `first`, so that the strip begins there. */
static void strip_advance(struct strip *strip, int first)
{
    int keep = strip->first <= first && first < strip->end ? strip->end - first : 0;
    if (keep && first > strip->first)
        memmove(strip->data, strip_row(strip, first), (size_t)keep * (size_t)strip->pitch * sizeof(float));
    strip->first = first;
    strip->end = first + keep;
}

static void fill(float *to, size_t floats, float value)
{
    for (size_t i = 0; i < floats; i++)
        to[i] = value;
}

/* Fills a row of `all` positions of c floats, except for the `inner` ones after the first `before`, and returns where
 * those lie. */
static float *fill_around(float *row, int before, int inner, int all, int c, float value)
{
    fill(row, (size_t)before * (size_t)c, value);
    fill(row + (size_t)(before + inner) * (size_t)c, (size_t)(all - before - inner) * (size_t)c, value);
    return row + (size_t)before * (size_t)c;
}

void window_offsets(const struct window_shape *s, ptrdiff_t *offsets)
{
    for (int ky = 0; ky < s->y.kernel; ky++)
        for (int kx = 0; kx < s->x.kernel; kx++)
            *offsets++ = (ptrdiff_t)ky * s->y.dilation * s->source_pitch + (ptrdiff_t)kx * s->x.dilation * s->in;
}

void strip_read_source(const struct cpu_run *run, const struct window_shape *s, struct strip *strip, int sample,
                       int first, int end)
{
    const size_t row = (size_t)s->x.in * (size_t)s->in;
    size_t at = 0, read = 0;
    strip_advance(strip, first);
    for (; strip->end < end; strip->end++) {
        float *to = strip_row(strip, strip->end);
        int y = strip->end - s->y.pad;
        if (y < 0 || y >= s->y.in) {
            fill(to, (size_t)strip->pitch, s->fill);
            continue;
        }
        to = fill_around(to, s->x.pad, s->x.in, s->x.padded, s->in, s->fill);
        at = (size_t)sample * run->in->sample + (size_t)y * row;
        copy_with_epilogue(run, run->in, at, row, to);
        read += row;
    }
    strip->ahead.count = 0;
    ahead_value(&strip->ahead, run, run->in, at + row, read);
}

void strip_read_gradient(const struct cpu_run *run, const struct window_shape *s, struct strip *strip, int sample,
                         int first, int end)
{
    const size_t row = (size_t)s->x.out * (size_t)s->out;
    size_t at = 0, read = 0;
    strip_advance(strip, first);
    for (; strip->end < end; strip->end++) {
        float *to = strip_row(strip, strip->end);
        int y = strip->end - s->y.lead;
        if (y < 0 || y >= s->y.out) {
            fill(to, (size_t)strip->pitch, 0);
            continue;
        }
        to = fill_around(to, s->x.lead, s->x.out, s->x.filled, s->out, 0);
        at = (size_t)sample * run->out->sample + (size_t)y * row;
        copy_gradient(run, at, row, to);
        read += row;
    }
    strip->ahead.count = 0;
    ahead_gradient(&strip->ahead, run, at + row, read);
    if (run->out->batch_norm >= 0)
        ahead_value(&strip->ahead, run, run->out, at + row, read);
}

/* ---- the walk of a convolution ---- */
enum { STRIP_FLOATS = 49152 };

struct window_shape strip_shape(const struct plan *plan, const struct plan_step *step)
{
    return window_shape_of(plan, step, STRIP_FLOATS);
}

size_t strip_weights(const struct window_shape *s)
{
    return (size_t)s->groups * (size_t)s->taps * (size_t)s->group_in * (size_t)s->group_out;
}

/* A worker's scratch memory: the strip of the input, that of the gradient, dx. */
static size_t source_floats(const struct window_shape *s)
{
    return (size_t)s->source_rows * (size_t)s->source_pitch + KERNEL_SLACK;
}

static size_t gradient_floats(const struct window_shape *s)
{
    return (size_t)s->gradient_rows * (size_t)s->gradient_pitch + KERNEL_SLACK;
}

static int dx_rows(const struct window_shape *s)
{
    return s->rows * s->y.stride;
}

struct step_need strip_need(const struct plan *plan, const struct window_shape *s)
{
    const size_t weights = strip_weights(s);
    return (struct step_need){
        .scratch = source_floats(s) + gradient_floats(s) + (size_t)dx_rows(s) * (size_t)s->x.in * (size_t)s->in,
        .partial = (size_t)slice_count(weights, plan->batch) * weights,
    };
}

/* Reads the input that output rows [first, first + rows) see. */
static void read_source_of(const struct cpu_run *run, const struct window_shape *s, struct strip *source, int sample,
                           int first, int rows)
{
    strip_read_source(run, s, source, sample, first * s->y.stride,
                      (first + rows - 1) * s->y.stride + (s->y.kernel - 1) * s->y.dilation + 1);
}

/* The next strip's output rows from y. */
static int rows_at(const struct window_shape *s, int y)
{
    return s->y.out - y < s->rows ? s->y.out - y : s->rows;
}

void strip_forward(struct cpu_run *run, const struct strip_kernels *kernels, int slice, int worker)
{
    const struct window_shape s = strip_shape(run->plan, run->step);
    const size_t row = (size_t)s.x.out * (size_t)s.out;
    float *tile = run->workspace->scratch[worker] + source_floats(&s); /* where backward has the gradient's strip */
    int first, end;
    slice_samples(run, slice, &first, &end);
    for (int sample = first; sample < end; sample++) {
        struct strip source = {.data = run->workspace->scratch[worker], .pitch = s.source_pitch};
        const size_t image = (size_t)sample * run->out->sample;
        for (int y = 0, rows; y < s.y.out; y += rows) {
            rows = rows_at(&s, y);
            read_source_of(run, &s, &source, sample, y, rows);
            float *values = values_place(run, image + (size_t)y * row, tile);
            kernels->convolve(run, &s, &source, y, rows, values);
            put_values(run, slice, values, image + (size_t)y * row, (size_t)rows * row);
        }
    }
}

/* Hands the gradient of input rows [first, ready) to the input, some rows at a time. */
static void give_rows(struct cpu_run *run, const struct strip_kernels *kernels, const struct window_shape *s, int slice,
                      int sample, struct strip *dz, int first, int ready, float *dx)
{
    const size_t pitch = (size_t)s->x.in * (size_t)s->in, image = (size_t)sample * run->in->sample;
    for (int end; first < ready; first = end) {
        end = ready - first < dx_rows(s) ? ready : first + dx_rows(s);
        kernels->spread(run, s, dz, first, end, dx);
        give_gradient(run, slice, dx, image + (size_t)first * pitch, (size_t)(end - first) * pitch);
    }
}

static void backward_sample(struct cpu_run *run, const struct strip_kernels *kernels, const struct window_shape *s,
                            int slice, int worker, int sample, float *gradient)
{
    float *scratch = run->workspace->scratch[worker], *dx = scratch + source_floats(s) + gradient_floats(s);
    struct strip source = {.data = scratch, .pitch = s->source_pitch};
    struct strip dz = {.data = scratch + source_floats(s), .pitch = s->gradient_pitch};
    int given = 0; /* input rows whose gradient is done */
    for (int y = 0, rows; y < s->y.out; y += rows) {
        rows = rows_at(s, y);
        const bool last = y + rows == s->y.out;
        read_source_of(run, s, &source, sample, y, rows);
        strip_read_gradient(run, s, &dz, sample, y, last ? s->y.filled : y + rows + s->y.lead);
        kernels->weigh(run, s, &source, &dz, y, rows, gradient);
        note_bias(run, slice, strip_row(&dz, y + s->y.lead), (size_t)rows * (size_t)s->gradient_pitch); /* and zeros */
        if (run->in->gradient == PLAN_NONE)
            continue;
        int ready = last ? s->y.in : (y + rows) * s->y.stride - s->y.pad;
        ready = ready < s->y.in ? ready : s->y.in;
        give_rows(run, kernels, s, slice, sample, &dz, given, ready, dx);
        given = most(given, ready);
    }
}

void strip_backward(struct cpu_run *run, const struct strip_kernels *kernels, int slice, int worker)
{
    const struct window_shape s = strip_shape(run->plan, run->step);
    float *gradient = slice_partial(run, slice, strip_weights(&s));
    int first, end;
    slice_samples(run, slice, &first, &end);
    for (int sample = first; sample < end; sample++)
        backward_sample(run, kernels, &s, slice, worker, sample, gradient);
}
