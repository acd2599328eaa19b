/* Max and average pooling. Forward stores nothing for backward, which searches for the largest values again: for those
 * that it stored, or, if they were rounded, for those of the window. */
#include "shared/training/cpu/cpu_strip.h"

#include <math.h>
#include <string.h>

enum { STRIP_FLOATS = 16384 };

/* Both pools work on a whole padded sample, one output row at a time. */
static struct window_shape pool_shape(const struct plan *plan, const struct plan_step *step)
{
    struct window_shape s = window_shape_of(plan, step, STRIP_FLOATS);
    s.fill = step->kind == STEP_MAX_POOL ? -INFINITY : 0;
    return s;
}

static size_t padded_floats(const struct window_shape *s)
{
    return (size_t)s->y.padded * (size_t)s->source_pitch;
}

static struct step_need need(const struct plan *plan, const struct plan_step *step)
{
    const struct window_shape s = pool_shape(plan, step);
    return (struct step_need){
        .scratch = 2 * padded_floats(&s) + 2 * (size_t)s.x.out * (size_t)s.out + KERNEL_SLACK,
        .packed = (size_t)s.y.kernel * (size_t)s.x.kernel * (size_t)s.in + KERNEL_SLACK,
        .taps = (size_t)s.y.kernel * (size_t)s.x.kernel,
    };
}

/* One output row. */
static struct window_job row_window(const struct cpu_run *run, const struct window_shape *s, const float *padded, int y)
{
    return (struct window_job){
        .rows = 1,
        .pixels = s->x.out,
        .channels = s->in,
        .taps = s->y.kernel * s->x.kernel,
        .offsets = run->workspace->offsets,
        .weights = run->workspace->packed,
        .in = padded + (size_t)y * (size_t)s->y.stride * (size_t)s->source_pitch,
        .in_step = (ptrdiff_t)s->x.stride * s->in,
        .out_step = s->out,
    };
}

/* The positions of window number `at` that count for an average along one axis: those inside the input, with or without
 * its padding. */
static int positions(const struct strip_axis *a, int pad_after, int at, bool with_padding)
{
    int first = at * a->stride - a->pad, end = first + a->kernel, last = a->in;
    if (with_padding) {
        last += pad_after;
    } else if (first < 0) {
        first = 0;
    }
    return (end < last ? end : last) - first;
}

/* Divides every value of the row by the number of positions of its window. */
static void divide_row(const struct cpu_run *run, const struct window_shape *s, int y, float *row)
{
    const struct node *node = run->node;
    const int high = positions(&s->y, node->pad_bottom, y, node->count_include_pad);
    for (int x = 0; x < s->x.out; x++) {
        const float divisor = (float)(high * positions(&s->x, node->pad_right, x, node->count_include_pad));
        for (int c = 0; c < s->out; c++)
            *row++ /= divisor;
    }
}

static void forward_slice(void *context, int slice, int worker)
{
    struct cpu_run *run = context;
    const struct window_shape s = pool_shape(run->plan, run->step);
    const size_t row = (size_t)s.x.out * (size_t)s.out;
    int first, end;
    slice_samples(run, slice, &first, &end);
    for (int sample = first; sample < end; sample++) {
        struct strip source = {.data = run->workspace->scratch[worker], .pitch = s.source_pitch};
        strip_read_source(run, &s, &source, sample, 0, s.y.padded);
        for (int y = 0; y < s.y.out; y++) {
            const size_t at = (size_t)sample * run->out->sample + (size_t)y * row;
            struct window_job w = row_window(run, &s, source.data, y);
            w.out = values_place(run, at, source.data + padded_floats(&s));
            if (run->step->kind == STEP_MAX_POOL) {
                run->kernels->window_maximum(&w);
            } else {
                run->kernels->window(&w);
                divide_row(run, &s, y, w.out);
            }
            put_values(run, slice, w.out, at, row);
        }
    }
}

static void prepare(struct cpu_run *run)
{
    const struct window_shape s = pool_shape(run->plan, run->step);
    const size_t weights = (size_t)s.y.kernel * (size_t)s.x.kernel * (size_t)s.in;
    window_offsets(&s, run->workspace->offsets);
    for (size_t i = 0; i < weights; i++)
        run->workspace->packed[i] = 1;
    run->slices = slice_count(0, run->pass->count);
}

static void forward(struct cpu_run *run)
{
    prepare(run);
    run_slices(run, forward_slice);
}

static void backward_slice(void *context, int slice, int worker)
{
    struct cpu_run *run = context;
    const struct window_shape s = pool_shape(run->plan, run->step);
    const size_t row = (size_t)s.x.out * (size_t)s.out, in_row = (size_t)s.x.in * (size_t)s.in;
    float *scratch = run->workspace->scratch[worker], *dx = scratch + padded_floats(&s), *dz = dx + padded_floats(&s),
          *largest = dz + row;
    const bool kept = run->out->dtype == DTYPE_FP32;
    int first, end;
    slice_samples(run, slice, &first, &end);
    for (int sample = first; sample < end; sample++) {
        struct strip source = {.data = scratch, .pitch = s.source_pitch};
        const size_t out = (size_t)sample * run->out->sample, in = (size_t)sample * run->in->sample;
        strip_read_source(run, &s, &source, sample, 0, s.y.padded);
        memset(dx, 0, padded_floats(&s) * sizeof *dx);
        for (int y = 0; y < s.y.out; y++) {
            struct window_job w = row_window(run, &s, source.data, y);
            w.out = kept ? stored_value(run, run->out, out + (size_t)y * row) : largest;
            copy_gradient(run, out + (size_t)y * row, row, dz);
            if (run->step->kind == STEP_MAX_POOL) {
                if (!kept)
                    run->kernels->window_maximum(&w);
                run->kernels->window_maximum_gradient(&w, dz, dx + (w.in - scratch));
            } else {
                divide_row(run, &s, y, dz);
                run->kernels->window_sum_gradient(&w, dz, dx + (w.in - scratch));
            }
        }
        for (int y = 0; y < s.y.in; y++)
            give_gradient(run, slice,
                          dx + (size_t)(y + s.y.pad) * (size_t)s.source_pitch + (size_t)s.x.pad * (size_t)s.in,
                          in + (size_t)y * in_row, in_row);
    }
}

static void backward(struct cpu_run *run)
{
    prepare(run);
    run_slices(run, backward_slice);
}

const struct cpu_step_kernel cpu_max_pool = {need, forward, backward};
const struct cpu_step_kernel cpu_average_pool = {need, forward, backward};
