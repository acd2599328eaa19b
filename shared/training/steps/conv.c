/* Convolutions: for each tap row one long matrix product over a strip of the padded input, which is never copied to
 * columns: the window's positions in a row are a fixed stride apart, and a tap row of all channels is contiguous. */
#include "shared/training/cpu/cpu_strip.h"

#include <string.h>

enum { STRIP_FLOATS = 131072 };

struct conv {
    struct window_shape shape;
    int in, out;     /* channels of a group */
    bool contiguous; /* a tap row is one run of memory: no groups, no dilation */
    size_t weights;  /* floats of the weight gradient, [groups, taps, in, out] */
    size_t packed;   /* floats of a group's packed weights, forward */
    size_t source_floats, gradient_floats, dx_floats;
    int dx_rows;
};

static struct conv conv_of(const struct plan *plan, const struct plan_step *step)
{
    struct conv c = {.shape = window_shape_of(plan, step, STRIP_FLOATS)};
    const struct window_shape *s = &c.shape;
    const int taps = s->y.kernel * s->x.kernel;
    c.in = s->in / s->groups;
    c.out = s->out / s->groups;
    c.contiguous = s->groups == 1 && s->x.dilation == 1;
    c.weights = (size_t)s->groups * (size_t)taps * (size_t)c.in * (size_t)c.out;
    c.packed = packed_floats(taps * c.in, c.out);
    c.source_floats = (size_t)s->source_rows * (size_t)s->source_pitch;
    c.gradient_floats = (size_t)s->gradient_rows * (size_t)s->gradient_pitch + KERNEL_SLACK;
    c.dx_rows = s->rows * s->y.stride;
    c.dx_floats = (size_t)c.dx_rows * (size_t)s->x.in * (size_t)s->in;
    return c;
}

static struct step_need need(const struct plan *plan, const struct plan_step *step)
{
    const struct conv c = conv_of(plan, step);
    const int taps = c.shape.y.kernel * c.shape.x.kernel;
    size_t backward = packed_floats(taps * c.out, c.in);
    return (struct step_need){
        .scratch = c.source_floats + c.gradient_floats + c.dx_floats,
        .packed = (size_t)c.shape.groups * (c.packed > backward ? c.packed : backward),
        .partial = (size_t)slice_count(c.weights, plan->batch) * c.weights,
        .taps = (size_t)taps,
    };
}

/* Element (tap, i, o) of group 0: from[o][i][tap]. Its taps are in the order of workspace->taps. */
static struct weight_matrix forward_matrix(const struct step_run *run, const struct conv *c)
{
    const int taps = c->shape.y.kernel * c->shape.x.kernel;
    for (int t = 0; t < taps; t++)
        run->workspace->taps[t] = t;
    return (struct weight_matrix){
        taps, c->in, c->out, run->workspace->taps, (size_t)taps, (size_t)c->in * (size_t)taps};
}

/* ---- forward ---- */
static void convolve_strip(const struct step_run *run, const struct conv *c, const struct strip *strip, int sample,
                           int first, int rows)
{
    const struct window_shape *s = &c->shape;
    const int lanes = run->kernels->lanes;
    const float *bias = run->step->bias == PLAN_NONE ? NULL : run->memory->parameters + run->step->bias;
    float *out = tensor_value(run, run->out) + (size_t)sample * run->out->sample +
                 (size_t)first * (size_t)s->x.out * (size_t)s->out;
    struct gemm g = {.groups = rows, .rows = s->x.out, .columns = c->out, .outer = s->y.kernel};
    g.inner = c->contiguous ? 1 : s->x.kernel;
    g.depth = c->contiguous ? s->x.kernel * s->in : c->in;
    g.a_group = (ptrdiff_t)s->y.stride * s->source_pitch;
    g.a_row = (ptrdiff_t)s->x.stride * s->in;
    g.a_outer = (ptrdiff_t)s->y.dilation * s->source_pitch;
    g.a_inner = (ptrdiff_t)s->x.dilation * s->in;
    g.a_step = 1;
    g.b_panel = (ptrdiff_t)s->y.kernel * s->x.kernel * c->in * lanes;
    g.b_step = lanes;
    g.b_inner = (ptrdiff_t)g.depth * lanes;
    g.b_outer = g.b_inner * g.inner;
    g.c_group = (ptrdiff_t)s->x.out * s->out;
    g.c_row = s->out;
    for (int group = 0; group < s->groups; group++) {
        g.a = strip_row(strip, first * s->y.stride) + group * c->in;
        g.b = run->workspace->packed + (size_t)group * c->packed;
        g.c = out + group * c->out;
        g.bias = bias ? bias + group * c->out : NULL;
        run->kernels->gemm(&g);
    }
}

static void forward_slice(void *context, int slice, int worker)
{
    struct step_run *run = context;
    const struct conv c = conv_of(run->plan, run->step);
    const struct window_shape *s = &c.shape;
    const size_t row = (size_t)s->x.out * (size_t)s->out;
    int first, end;
    slice_samples(run, slice, &first, &end);
    for (int sample = first; sample < end; sample++) {
        struct strip source = {.data = run->workspace->scratch[worker], .pitch = s->source_pitch};
        for (int y = 0, rows; y < s->y.out; y += rows) {
            rows = s->y.out - y < s->rows ? s->y.out - y : s->rows;
            strip_read_source(run, s, &source, sample, y * s->y.stride,
                              (y + rows - 1) * s->y.stride + (s->y.kernel - 1) * s->y.dilation + 1);
            convolve_strip(run, &c, &source, sample, y, rows);
            note_values(run, slice, tensor_value(run, run->out) + (size_t)sample * run->out->sample + (size_t)y * row,
                        (size_t)rows * row);
        }
    }
}

static void forward(struct step_run *run)
{
    const struct conv c = conv_of(run->plan, run->step);
    const struct weight_matrix matrix = forward_matrix(run, &c);
    const size_t group_weights = c.weights / (size_t)c.shape.groups;
    for (int g = 0; g < c.shape.groups; g++)
        pack_weights(run, &matrix, run->memory->parameters + run->step->weight + (size_t)g * group_weights,
                     run->workspace->packed + (size_t)g * c.packed);
    run->slices = slice_count(c.weights, run->pass->count);
    run_slices(run, forward_slice);
}

/* ---- backward ---- */
/* gradient[group][tap, i][o] += sum over the strip's pixels of source * dz */
static void weigh_strip(const struct step_run *run, const struct conv *c, const struct strip *source,
                        const struct strip *dz, int first, int rows, float *gradient)
{
    const struct window_shape *s = &c->shape;
    struct gemm g = {.groups = 1, .columns = c->out, .outer = rows, .inner = 1, .depth = s->x.out, .accumulate = true};
    g.rows = c->contiguous ? s->x.kernel * s->in : c->in;
    g.a_row = 1;
    g.a_outer = (ptrdiff_t)s->y.stride * s->source_pitch;
    g.a_step = (ptrdiff_t)s->x.stride * s->in;
    g.b_panel = run->kernels->lanes;
    g.b_outer = s->gradient_pitch;
    g.b_step = s->out;
    g.c_row = c->out;
    const int runs = c->contiguous ? 1 : s->x.kernel;
    for (int group = 0; group < s->groups; group++)
        for (int ky = 0; ky < s->y.kernel; ky++)
            for (int kx = 0; kx < runs; kx++) {
                g.a = strip_row(source, first * s->y.stride + ky * s->y.dilation) +
                      (ptrdiff_t)kx * s->x.dilation * s->in + group * c->in;
                g.b = strip_row(dz, first + s->y.lead) + (ptrdiff_t)s->x.lead * s->out + group * c->out;
                g.c = gradient;
                run->kernels->gemm(&g);
                gradient += (ptrdiff_t)g.rows * c->out;
            }
}

/* The weights of one phase, where pack_phases has put them. Phases follow each other in y, then x, then groups. */
static void pack_phases(struct step_run *run, const struct conv *c)
{
    const struct window_shape *s = &c->shape;
    const int taps = s->y.kernel * s->x.kernel;
    const size_t group_weights = c->weights / (size_t)s->groups;
    float *to = run->workspace->packed;
    for (int py = 0; py < s->y.stride; py++)
        for (int px = 0; px < s->x.stride; px++) {
            const struct phase y = phase_of(&s->y, py), x = phase_of(&s->x, px);
            struct weight_matrix m = {0,           c->out, c->in, run->workspace->taps, (size_t)c->in * (size_t)taps,
                                      (size_t)taps};
            for (int ty = 0; ty < y.taps; ty++)
                for (int tx = 0; tx < x.taps; tx++)
                    run->workspace->taps[m.taps++] =
                        (y.last_tap - ty * y.tap_step) * s->x.kernel + x.last_tap - tx * x.tap_step;
            for (int group = 0; m.taps && group < s->groups; group++) {
                pack_weights(run, &m, run->memory->parameters + run->step->weight + (size_t)group * group_weights, to);
                to += packed_floats(m.taps * c->out, c->in);
            }
        }
}

/* dx[rows first to end of the input] from the gradient strip. */
static void spread_rows(const struct step_run *run, const struct conv *c, const struct strip *dz, int first, int end,
                        float *dx)
{
    const struct window_shape *s = &c->shape;
    const int lanes = run->kernels->lanes;
    const float *packed = run->workspace->packed;
    const ptrdiff_t dx_pitch = (ptrdiff_t)s->x.in * s->in;
    memset(dx, 0, (size_t)(end - first) * (size_t)dx_pitch * sizeof *dx); /* some positions may have no taps */
    for (int py = 0; py < s->y.stride; py++)
        for (int px = 0; px < s->x.stride; px++) {
            const struct phase y = phase_of(&s->y, py), x = phase_of(&s->x, px);
            if (!y.taps || !x.taps)
                continue;
            const int skip = first > y.first ? (first - y.first + s->y.stride - 1) / s->y.stride : 0;
            const int row = y.first + skip * s->y.stride;
            struct gemm g = {.rows = x.positions, .columns = c->in, .outer = y.taps};
            const bool contiguous = s->groups == 1 && x.step == 1;
            g.groups = row < end ? (end - 1 - row) / s->y.stride + 1 : 0;
            g.inner = contiguous ? 1 : x.taps;
            g.depth = contiguous ? x.taps * s->out : c->out;
            g.a_group = s->gradient_pitch;
            g.a_row = s->out;
            g.a_outer = (ptrdiff_t)y.step * s->gradient_pitch;
            g.a_inner = (ptrdiff_t)x.step * s->out;
            g.a_step = 1;
            g.b_panel = (ptrdiff_t)y.taps * x.taps * c->out * lanes;
            g.b_step = lanes;
            g.b_inner = (ptrdiff_t)g.depth * lanes;
            g.b_outer = g.b_inner * g.inner;
            g.c_group = s->y.stride * dx_pitch;
            g.c_row = (ptrdiff_t)s->x.stride * s->in;
            for (int group = 0; group < s->groups; group++, packed += packed_floats(y.taps * x.taps * c->out, c->in)) {
                if (!g.groups || !g.rows)
                    continue;
                g.a = strip_row(dz, y.start + skip) + (ptrdiff_t)x.start * s->out + group * c->out;
                g.b = packed;
                g.c = dx + (row - first) * dx_pitch + x.first * s->in + group * c->in;
                run->kernels->gemm(&g);
            }
        }
}

static void backward_sample(struct step_run *run, const struct conv *c, int slice, int worker, int sample,
                            float *gradient)
{
    const struct window_shape *s = &c->shape;
    const size_t dx_pitch = (size_t)s->x.in * (size_t)s->in;
    float *scratch = run->workspace->scratch[worker], *dx = scratch + c->source_floats + c->gradient_floats;
    struct strip source = {.data = scratch, .pitch = s->source_pitch};
    struct strip dz = {.data = scratch + c->source_floats, .pitch = s->gradient_pitch};
    int given = 0; /* input rows whose gradient is done */
    for (int y = 0, rows; y < s->y.out; y += rows) {
        rows = s->y.out - y < s->rows ? s->y.out - y : s->rows;
        const bool last = y + rows == s->y.out;
        strip_read_source(run, s, &source, sample, y * s->y.stride,
                          (y + rows - 1) * s->y.stride + (s->y.kernel - 1) * s->y.dilation + 1);
        strip_read_gradient(run, s, &dz, sample, y, last ? s->y.filled : y + rows + s->y.lead);
        weigh_strip(run, c, &source, &dz, y, rows, gradient);
        if (run->in->gradient == PLAN_NONE)
            continue;
        int ready = last ? s->y.in : (y + rows) * s->y.stride - s->y.pad;
        ready = ready < s->y.in ? ready : s->y.in;
        for (int end; given < ready; given = end) {
            end = ready - given < c->dx_rows ? ready : given + c->dx_rows;
            spread_rows(run, c, &dz, given, end, dx);
            give_gradient(run, slice, dx, (size_t)sample * run->in->sample + (size_t)given * dx_pitch,
                          (size_t)(end - given) * dx_pitch);
        }
    }
}

static void backward_slice(void *context, int slice, int worker)
{
    struct step_run *run = context;
    const struct conv c = conv_of(run->plan, run->step);
    float *gradient = slice_partial(run, slice, c.weights);
    int first, end;
    slice_samples(run, slice, &first, &end);
    for (int sample = first; sample < end; sample++) {
        const size_t floats = run->out->sample;
        backward_sample(run, &c, slice, worker, sample, gradient);
        note_bias(run, slice, tensor_gradient(run, run->out) + (size_t)sample * floats, floats);
    }
}

static void backward(struct step_run *run)
{
    const struct conv c = conv_of(run->plan, run->step);
    const size_t group_weights = c.weights / (size_t)c.shape.groups;
    pack_phases(run, &c);
    run->slices = slice_count(c.weights, run->pass->count);
    run_slices(run, backward_slice);
    const struct weight_matrix matrix = forward_matrix(run, &c);
    const float *gradient = reduce_partial(run, c.weights);
    for (int g = 0; g < c.shape.groups; g++)
        unpack_weights(run, &matrix, gradient + (size_t)g * group_weights,
                       run->memory->parameter_gradients + run->step->weight + (size_t)g * group_weights);
    finish_bias(run);
}

const struct step_kernel cpu_conv = {need, forward, backward};
