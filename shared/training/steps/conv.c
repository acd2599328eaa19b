/* Convolutions as matrix products over a strip of the padded input (cpu_strip.h): one long product for each row of
 * taps. Nothing is copied to columns, because the positions of the window in a row are a fixed stride apart and the
 * channels of a row of taps are one run of memory. */
#include "shared/training/cpu/cpu_strip.h"

#include <string.h>

/* Groups and dilation leave gaps in a row of taps: it is then one run of memory per tap. */
static bool contiguous(const struct window_shape *s)
{
    return s->groups == 1 && s->x.dilation == 1;
}

/* Floats of a group's packed weights, forward. */
static size_t group_packed(const struct window_shape *s)
{
    return packed_floats(s->taps * s->group_in, s->group_out);
}

static struct step_need need(const struct plan *plan, const struct plan_step *step)
{
    const struct window_shape s = strip_shape(plan, step);
    const size_t forward = group_packed(&s), backward = packed_floats(s.taps * s.group_out, s.group_in);
    struct step_need need = strip_need(plan, &s);
    need.packed = (size_t)s.groups * (forward > backward ? forward : backward);
    need.taps = (size_t)s.taps;
    return need;
}

/* Element (tap, i, o) of group 0 is from[o][i][tap]. The taps are in the order of workspace->taps. */
static struct weight_matrix forward_matrix(const struct cpu_run *run, const struct window_shape *s)
{
    const size_t taps = (size_t)s->taps;
    for (int t = 0; t < s->taps; t++)
        run->workspace->taps[t] = t;
    return (struct weight_matrix){
        s->taps, s->group_in, s->group_out, run->workspace->taps, taps, (size_t)s->group_in * taps};
}

/* ---- forward ---- */
static void convolve(const struct cpu_run *run, const struct window_shape *s, struct strip *source, int first, int rows,
                     float *out)
{
    const int lanes = run->kernels->lanes;
    const float *bias = weight_values(run->memory, run->step->bias);
    struct gemm g = {.groups = rows, .rows = s->x.out, .columns = s->group_out, .outer = s->y.kernel};
    g.inner = contiguous(s) ? 1 : s->x.kernel;
    g.depth = contiguous(s) ? s->x.kernel * s->in : s->group_in;
    g.a_group = (ptrdiff_t)s->y.stride * s->source_pitch;
    g.a_row = (ptrdiff_t)s->x.stride * s->in;
    g.a_outer = (ptrdiff_t)s->y.dilation * s->source_pitch;
    g.a_inner = (ptrdiff_t)s->x.dilation * s->in;
    g.a_step = 1;
    g.b_panel = (ptrdiff_t)s->y.kernel * s->x.kernel * s->group_in * lanes;
    g.b_step = lanes;
    g.b_inner = (ptrdiff_t)g.depth * lanes;
    g.b_outer = g.b_inner * g.inner;
    g.c_group = (ptrdiff_t)s->x.out * s->out;
    g.c_row = s->out;
    for (int group = 0; group < s->groups; group++) {
        g.a = strip_row(source, first * s->y.stride) + group * s->group_in;
        g.b = run->workspace->packed + (size_t)group * group_packed(s);
        g.c = out + group * s->group_out;
        g.ahead = &source->ahead;
        g.ahead_lines = ahead_lines(&source->ahead) / (size_t)(s->groups - group);
        g.bias = bias ? bias + group * s->group_out : NULL;
        run->kernels->gemm(&g);
    }
}

/* ---- backward ---- */
/* gradient[group][tap, i][o] += the sum over the strip's pixels of source * dz */
static void weigh(const struct cpu_run *run, const struct window_shape *s, struct strip *source, struct strip *dz,
                  int first, int rows, float *gradient)
{
    struct gemm g = {
        .groups = 1, .columns = s->group_out, .outer = rows, .inner = 1, .depth = s->x.out, .accumulate = true};
    g.rows = contiguous(s) ? s->x.kernel * s->in : s->group_in;
    g.a_row = 1;
    g.a_outer = (ptrdiff_t)s->y.stride * s->source_pitch;
    g.a_step = (ptrdiff_t)s->x.stride * s->in;
    g.b_panel = run->kernels->lanes;
    g.b_outer = s->gradient_pitch;
    g.b_step = s->out;
    g.c_row = s->group_out;
    const int runs = contiguous(s) ? 1 : s->x.kernel;
    for (int group = 0; group < s->groups; group++)
        for (int ky = 0; ky < s->y.kernel; ky++)
            for (int kx = 0; kx < runs; kx++) {
                g.a = strip_row(source, first * s->y.stride + ky * s->y.dilation) +
                      (ptrdiff_t)kx * s->x.dilation * s->in + group * s->group_in;
                g.b = strip_row(dz, first + s->y.lead) + (ptrdiff_t)s->x.lead * s->out + group * s->group_out;
                g.c = gradient;
                g.ahead = &source->ahead;
                g.ahead_lines = ahead_lines(&source->ahead) / (size_t)((s->groups - group) * (s->y.kernel - ky));
                run->kernels->gemm(&g);
                gradient += (ptrdiff_t)g.rows * s->group_out;
            }
}

/* Packs the weights of every phase (cpu_strip.h): phases in the order of y, then x; in each the groups. */
static void pack_phases(struct cpu_run *run, const struct window_shape *s)
{
    const size_t taps = (size_t)s->taps, group_weights = strip_weights(s) / (size_t)s->groups;
    float *to = run->workspace->packed;
    for (int py = 0; py < s->y.stride; py++)
        for (int px = 0; px < s->x.stride; px++) {
            const struct phase y = phase_of(&s->y, py), x = phase_of(&s->x, px);
            struct weight_matrix m = {0,   s->group_out, s->group_in, run->workspace->taps, (size_t)s->group_in * taps,
                                      taps};
            for (int ty = 0; ty < y.taps; ty++)
                for (int tx = 0; tx < x.taps; tx++)
                    run->workspace->taps[m.taps++] =
                        (y.last_tap - ty * y.tap_step) * s->x.kernel + x.last_tap - tx * x.tap_step;
            for (int group = 0; m.taps && group < s->groups; group++) {
                pack_weights(run, &m, weight_values(run->memory, run->step->weight) + (size_t)group * group_weights,
                             to);
                to += packed_floats(m.taps * s->group_out, s->group_in);
            }
        }
}

/* dx = the gradient of input rows [first, end) from the gradient strip. */
static void spread(const struct cpu_run *run, const struct window_shape *s, struct strip *dz, int first, int end,
                   float *dx)
{
    const int lanes = run->kernels->lanes;
    const float *packed = run->workspace->packed;
    const ptrdiff_t dx_pitch = (ptrdiff_t)s->x.in * s->in;
    memset(dx, 0, (size_t)(end - first) * (size_t)dx_pitch * sizeof *dx); /* some positions may have no taps */
    for (int py = 0; py < s->y.stride; py++)
        for (int px = 0; px < s->x.stride; px++) {
            const struct phase y = phase_of(&s->y, py), x = phase_of(&s->x, px);
            if (!y.taps || !x.taps)
                continue;
            const struct phase_part part = phase_part_of(&y, s->y.stride, first, end);
            struct gemm g = {.rows = x.positions, .columns = s->group_in, .outer = y.taps};
            const bool one_run = s->groups == 1 && x.step == 1;
            g.groups = part.rows;
            g.inner = one_run ? 1 : x.taps;
            g.depth = one_run ? x.taps * s->out : s->group_out;
            g.a_group = s->gradient_pitch;
            g.a_row = s->out;
            g.a_outer = (ptrdiff_t)y.step * s->gradient_pitch;
            g.a_inner = (ptrdiff_t)x.step * s->out;
            g.a_step = 1;
            g.b_panel = (ptrdiff_t)y.taps * x.taps * s->group_out * lanes;
            g.b_step = lanes;
            g.b_inner = (ptrdiff_t)g.depth * lanes;
            g.b_outer = g.b_inner * g.inner;
            g.c_group = s->y.stride * dx_pitch;
            g.c_row = (ptrdiff_t)s->x.stride * s->in;
            for (int group = 0; group < s->groups;
                 group++, packed += packed_floats(y.taps * x.taps * s->group_out, s->group_in)) {
                if (!g.groups || !g.rows)
                    continue;
                g.a = strip_row(dz, y.start + part.skip) + (ptrdiff_t)x.start * s->out + group * s->group_out;
                g.b = packed;
                g.ahead = &dz->ahead;
                g.ahead_lines = ahead_lines(&dz->ahead) / (size_t)(s->y.stride * s->x.stride);
                g.c = dx + (part.row - first) * dx_pitch + x.first * s->in + group * s->group_in;
                run->kernels->gemm(&g);
            }
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
    const struct weight_matrix matrix = forward_matrix(run, &s);
    const size_t weights = strip_weights(&s), group_weights = weights / (size_t)s.groups;
    for (int g = 0; g < s.groups; g++)
        pack_weights(run, &matrix, weight_values(run->memory, run->step->weight) + (size_t)g * group_weights,
                     run->workspace->packed + (size_t)g * group_packed(&s));
    run->slices = slice_count(weights, run->pass->count);
    run_slices(run, forward_slice);
}

static void backward(struct cpu_run *run)
{
    const struct window_shape s = strip_shape(run->plan, run->step);
    const size_t weights = strip_weights(&s), group_weights = weights / (size_t)s.groups;
    pack_phases(run, &s);
    run->slices = slice_count(weights, run->pass->count);
    run_slices(run, backward_slice);
    const struct weight_matrix matrix = forward_matrix(run, &s);
    const float *gradient = reduce_partial(run, weights);
    for (int g = 0; g < s.groups; g++)
        unpack_weights(run, &matrix, gradient + (size_t)g * group_weights,
                       weight_gradient(run->memory, run->step->weight) + (size_t)g * group_weights);
    finish_bias(run);
}

const struct cpu_step_kernel cpu_conv = {need, forward, backward};
