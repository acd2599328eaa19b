/* Depthwise convolutions over the strips of cpu_strip.h: every channel has a window of its own. */
#include "shared/training/cpu/cpu_strip.h"

#include <string.h>

static struct step_need need(const struct plan *plan, const struct plan_step *step)
{
    const struct window_shape s = strip_shape(plan, step);
    struct step_need need = strip_need(plan, &s);
    need.packed = strip_weights(&s) + KERNEL_SLACK;
    need.taps = 2 * (size_t)s.taps; /* forward, and backward by phase */
    return need;
}

/* packed[t][c] = weight[c][taps[t]] */
static void pack(struct cpu_run *run, int taps, int channels)
{
    const float *from = weight_values(run->memory, run->step->weight);
    for (int t = 0; t < taps; t++)
        for (int c = 0; c < channels; c++)
            run->workspace->packed[(size_t)t * (size_t)channels + (size_t)c] =
                from[(size_t)c * (size_t)taps + (size_t)run->workspace->taps[t]];
}

/* The window over `rows` output rows from `first`. The caller sets out. */
static struct window_job source_window(const struct cpu_run *run, const struct window_shape *s, struct strip *source,
                                       int first, int rows)
{
    return (struct window_job){
        .ahead = &source->ahead,
        .ahead_lines = ahead_lines(&source->ahead),
        .rows = rows,
        .pixels = s->x.out,
        .channels = s->in,
        .taps = s->taps,
        .offsets = run->workspace->offsets,
        .weights = run->workspace->packed,
        .in = strip_row(source, first * s->y.stride),
        .in_pitch = (ptrdiff_t)s->y.stride * s->source_pitch,
        .in_step = (ptrdiff_t)s->x.stride * s->in,
        .out_step = s->out,
    };
}

static void convolve(const struct cpu_run *run, const struct window_shape *s, struct strip *source, int first, int rows,
                     float *out)
{
    struct window_job w = source_window(run, s, source, first, rows);
    w.bias = weight_values(run->memory, run->step->bias);
    w.out = out;
    w.out_pitch = (ptrdiff_t)s->x.out * s->out;
    run->kernels->window(&w);
}

static void weigh(const struct cpu_run *run, const struct window_shape *s, struct strip *source, struct strip *dz,
                  int first, int rows, float *gradient)
{
    struct window_job w = source_window(run, s, source, first, rows);
    w.out = strip_row(dz, first + s->y.lead) + (ptrdiff_t)s->x.lead * s->out;
    w.out_pitch = s->gradient_pitch;
    run->kernels->window_weights(&w, gradient);
}

/* Taps, offsets and weights of every phase (cpu_strip.h): phases in the order of y, then x. */
static void pack_phases(struct cpu_run *run, const struct window_shape *s)
{
    ptrdiff_t *offsets = run->workspace->offsets + s->taps;
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
    pack(run, s->taps, s->in);
}

/* dx = the gradient of input rows [first, end) from the gradient strip. */
static void spread(const struct cpu_run *run, const struct window_shape *s, struct strip *dz, int first, int end,
                   float *dx)
{
    const ptrdiff_t dx_pitch = (ptrdiff_t)s->x.in * s->in;
    int done = 0, phase = 0;
    for (int py = 0; py < s->y.stride; py++)
        for (int px = 0; px < s->x.stride; px++) {
            const struct phase y = phase_of(&s->y, py), x = phase_of(&s->x, px);
            const struct phase_part part = phase_part_of(&y, s->y.stride, first, end);
            struct window_job w = {.pixels = x.positions, .channels = s->in, .taps = y.taps * x.taps};
            w.rows = part.rows;
            w.ahead = &dz->ahead;
            w.ahead_lines = ahead_lines(&dz->ahead) / (size_t)(s->y.stride * s->x.stride - phase++);
            w.weights = run->workspace->packed + (size_t)done * (size_t)s->in;
            w.offsets = run->workspace->offsets + s->taps + done;
            done += w.taps;
            if (!w.rows || !w.pixels)
                continue;
            w.in = w.taps ? strip_row(dz, y.start + part.skip) + (ptrdiff_t)x.start * s->out : dz->data;
            w.in_pitch = s->gradient_pitch;
            w.in_step = s->out;
            w.out = dx + (part.row - first) * dx_pitch + x.first * s->in;
            w.out_pitch = s->y.stride * dx_pitch;
            w.out_step = (ptrdiff_t)s->x.stride * s->in;
            run->kernels->window(&w);
        }
}

static const struct strip_kernels kernels = {convolve, weigh, spread};

static void forward_slice(void *run, int slice, int worker)
{
    strip_forward(run, &kernels, slice, worker);
}

static void backward_slice(void *run, int slice, int worker)
{
    strip_backward(run, &kernels, slice, worker);
}

static void forward(struct cpu_run *run)
{
    const struct window_shape s = strip_shape(run->plan, run->step);
    window_offsets(&s, run->workspace->offsets);
    for (int t = 0; t < s.taps; t++)
        run->workspace->taps[t] = t;
    pack(run, s.taps, s.in);
    run->slices = slice_count(strip_weights(&s), run->pass->count);
    run_slices(run, forward_slice);
}

static void backward(struct cpu_run *run)
{
    const struct window_shape s = strip_shape(run->plan, run->step);
    float *to = weight_gradient(run->memory, run->step->weight);
    window_offsets(&s, run->workspace->offsets);
    pack_phases(run, &s);
    run->slices = slice_count(strip_weights(&s), run->pass->count);
    run_slices(run, backward_slice);
    const float *gradient = reduce_partial(run, strip_weights(&s));
    for (int t = 0; t < s.taps; t++)
        for (int c = 0; c < s.in; c++)
            to[(size_t)c * (size_t)s.taps + (size_t)t] = gradient[(size_t)t * (size_t)s.in + (size_t)c];
    finish_bias(run);
}

const struct cpu_step_kernel cpu_depthwise = {need, forward, backward};
