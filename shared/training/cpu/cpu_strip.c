#include "shared/training/cpu/cpu_strip.h"

#include <string.h>

static int most(int a, int b)
{
    return a > b ? a : b;
}

static struct axis axis_of(int in, int out, int kernel, int stride, int dilation, int pad)
{
    struct axis a = {in, out, kernel, stride, dilation, pad, 0, 0, 0};
    a.padded = most(pad + in, (out - 1) * stride + (kernel - 1) * dilation + 1);
    a.lead = (kernel - 1) * dilation / stride;
    a.filled = a.lead + most(out, (in - 1 + pad) / stride + 1);
    return a;
}

struct window_shape window_shape_of(const struct plan *plan, const struct plan_step *step, size_t floats)
{
    const struct node *node = &plan->graph->nodes[step->node];
    const struct shape in = plan->tensors[step->inputs[0].tensor].shape, out = plan->tensors[step->output].shape;
    struct window_shape s = {.in = in.c, .out = out.c, .groups = node->groups};
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

struct phase phase_of(const struct axis *a, int phase)
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

/* Fills a row of `all` positions of c floats around the `inner` ones, and returns where those lie. */
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

void strip_read_source(const struct step_run *run, const struct window_shape *s, struct strip *strip, int sample,
                       int first, int end)
{
    const size_t row = (size_t)s->x.in * (size_t)s->in;
    strip_advance(strip, first);
    for (; strip->end < end; strip->end++) {
        float *to = strip_row(strip, strip->end);
        int y = strip->end - s->y.pad;
        if (y < 0 || y >= s->y.in) {
            fill(to, (size_t)strip->pitch, s->fill);
            continue;
        }
        to = fill_around(to, s->x.pad, s->x.in, s->x.padded, s->in, s->fill);
        copy_with_epilogue(run, run->in, (size_t)sample * run->in->sample + (size_t)y * row, row, to);
    }
}

void strip_read_gradient(const struct step_run *run, const struct window_shape *s, struct strip *strip, int sample,
                         int first, int end)
{
    const size_t row = (size_t)s->x.out * (size_t)s->out;
    strip_advance(strip, first);
    for (; strip->end < end; strip->end++) {
        float *to = strip_row(strip, strip->end);
        int y = strip->end - s->y.lead;
        if (y < 0 || y >= s->y.out) {
            fill(to, (size_t)strip->pitch, 0);
            continue;
        }
        to = fill_around(to, s->x.lead, s->x.out, s->x.filled, s->out, 0);
        copy_gradient(run, (size_t)sample * run->out->sample + (size_t)y * row, row, to);
    }
}
