/* Fully connected layers: matrix products of the whole batch, cut by features instead of by samples, so that weights
 * are read once and their gradient needs no partial sums. */
#include "shared/training/cpu/cpu_run.h"

enum { BLOCK = 64 /* features per task: a multiple of every vector length */ };

struct linear {
    int in, out, pixels, channels; /* in = channels * pixels */
    float *a;                      /* [batch, in] completed inputs, in memory order (h, w, c) */
    float *dx;                     /* [batch, in] */
    float *dz;                     /* [batch, out]; forward: the output, if it is not made in its place */
};

static struct linear linear_of(const struct cpu_run *run)
{
    const struct shape in = run->in->shape;
    struct linear l = {.in = (int)run->in->sample, .out = run->out->shape.c, .pixels = in.h * in.w, .channels = in.c};
    const size_t batch = (size_t)run->plan->batch;
    l.a = run->workspace->shared;
    l.dx = l.a + batch * (size_t)l.in;
    l.dz = l.dx + batch * (size_t)l.in;
    return l;
}

static struct step_need need(const struct plan *plan, const struct plan_step *step)
{
    const struct shape shape = plan->tensors[step->inputs[0].tensor].shape;
    const int in = shape.c * shape.h * shape.w, out = plan->tensors[step->output].shape.c;
    const size_t forward = packed_floats(in, out), backward = packed_floats(out, in);
    return (struct step_need){
        .shared = (size_t)plan->batch * (2 * (size_t)in + (size_t)out) + KERNEL_SLACK,
        .packed = forward > backward ? forward : backward,
        .partial = (size_t)in * (size_t)out,
        .taps = (size_t)shape.h * (size_t)shape.w,
    };
}

/* Row (pixel, channel) of the matrix is column (channel, pixel) of PyTorch's weight [out, channel * pixel]. */
static struct weight_matrix matrix_of(const struct cpu_run *run, const struct linear *l)
{
    for (int pixel = 0; pixel < l->pixels; pixel++)
        run->workspace->taps[pixel] = pixel;
    return (struct weight_matrix){l->pixels,         l->channels,  l->out, run->workspace->taps,
                                  (size_t)l->pixels, (size_t)l->in};
}

static void epilogue_slice(void *context, int slice, int worker)
{
    struct cpu_run *run = context;
    const struct linear l = linear_of(run);
    int first, end;
    (void)worker;
    slice_samples(run, slice, &first, &end);
    const size_t at = (size_t)first * (size_t)l.in;
    copy_with_epilogue(run, run->in, at, (size_t)(end - first) * (size_t)l.in, l.a + at);
}

static void forward_block(void *context, int block, int worker)
{
    struct cpu_run *run = context;
    const struct linear l = linear_of(run);
    const int first = block * BLOCK, lanes = run->kernels->lanes;
    struct gemm g = {.groups = 1, .rows = run->pass->count, .outer = 1, .inner = 1, .depth = l.in};
    (void)worker;
    g.columns = l.out - first < BLOCK ? l.out - first : BLOCK;
    g.a = l.a, g.a_row = l.in, g.a_step = 1;
    g.b = run->workspace->packed + (size_t)first * (size_t)l.in, g.b_panel = (ptrdiff_t)l.in * lanes, g.b_step = lanes;
    g.c = values_place(run, 0, l.dz) + first, g.c_row = l.out;
    const float *bias = weight_values(run->memory, run->step->bias);
    g.bias = bias ? bias + first : NULL;
    run->kernels->gemm(&g);
}

static void put_slice(void *context, int slice, int worker)
{
    struct cpu_run *run = context;
    const size_t out = run->out->sample;
    const float *values = values_place(run, 0, linear_of(run).dz);
    int first, end;
    (void)worker;
    slice_samples(run, slice, &first, &end);
    put_values(run, slice, values + (size_t)first * out, (size_t)first * out, (size_t)(end - first) * out);
}

static void forward(struct cpu_run *run)
{
    const struct linear l = linear_of(run);
    const struct weight_matrix matrix = matrix_of(run, &l);
    run->slices = slice_count(0, run->pass->count);
    run_slices(run, epilogue_slice);
    pack_weights(run, &matrix, weight_values(run->memory, run->step->weight), run->workspace->packed);
    thread_pool_run(run->device->pool, (l.out + BLOCK - 1) / BLOCK, forward_block, run);
    run_slices(run, put_slice);
}

static void read_slice(void *context, int slice, int worker)
{
    struct cpu_run *run = context;
    const struct linear l = linear_of(run);
    int first, end;
    slice_samples(run, slice, &first, &end);
    const size_t at = (size_t)first * (size_t)l.out, floats = (size_t)(end - first) * (size_t)l.out;
    epilogue_slice(run, slice, worker);
    copy_gradient(run, at, floats, l.dz + at);
    note_bias(run, slice, l.dz + at, floats);
}

static void backward_block(void *context, int block, int worker)
{
    struct cpu_run *run = context;
    const struct linear l = linear_of(run);
    const int first = block * BLOCK, lanes = run->kernels->lanes,
              features = l.in - first < BLOCK ? l.in - first : BLOCK;
    struct gemm weights = {.groups = 1, .rows = features, .columns = l.out, .outer = 1, .inner = 1};
    struct gemm data = {.groups = 1, .rows = run->pass->count, .columns = features, .outer = 1, .inner = 1};
    (void)worker;
    weights.depth = run->pass->count;
    weights.a = l.a + first, weights.a_row = 1, weights.a_step = l.in;
    weights.b = l.dz, weights.b_panel = lanes, weights.b_step = l.out;
    weights.c = run->workspace->partial + (size_t)first * (size_t)l.out, weights.c_row = l.out;
    run->kernels->gemm(&weights);
    if (run->in->gradient == PLAN_NONE)
        return;
    data.depth = l.out;
    data.a = l.dz, data.a_row = l.out, data.a_step = 1;
    data.b = run->workspace->packed + (size_t)first * (size_t)l.out, data.b_panel = (ptrdiff_t)l.out * lanes;
    data.b_step = lanes;
    data.c = l.dx + first, data.c_row = l.in;
    run->kernels->gemm(&data);
}

static void give_slice(void *context, int slice, int worker)
{
    struct cpu_run *run = context;
    const struct linear l = linear_of(run);
    int first, end;
    (void)worker;
    slice_samples(run, slice, &first, &end);
    const size_t at = (size_t)first * (size_t)l.in;
    give_gradient(run, slice, l.dx + at, at, (size_t)(end - first) * (size_t)l.in);
}

/* packed[panel of features][out][lane]: the transpose; its columns are features in memory order. */
static void pack_transposed(void *context, int panel, int worker)
{
    struct cpu_run *run = context;
    const struct linear l = linear_of(run);
    const int lanes = run->kernels->lanes;
    const float *from = weight_values(run->memory, run->step->weight);
    float *to = run->workspace->packed + (size_t)panel * (size_t)lanes * (size_t)l.out;
    (void)worker;
    for (int o = 0; o < l.out; o++)
        for (int lane = 0; lane < lanes; lane++) {
            const int feature = panel * lanes + lane, pixel = feature / l.channels, channel = feature % l.channels;
            *to++ = feature < l.in ? from[(size_t)o * (size_t)l.in + (size_t)(channel * l.pixels + pixel)] : 0;
        }
}

static void backward(struct cpu_run *run)
{
    const struct linear l = linear_of(run);
    const struct weight_matrix matrix = matrix_of(run, &l);
    const int lanes = run->kernels->lanes;
    run->slices = slice_count(0, run->pass->count);
    run_slices(run, read_slice);
    finish_bias(run);
    thread_pool_run(run->device->pool, (l.in + lanes - 1) / lanes, pack_transposed, run);
    thread_pool_run(run->device->pool, (l.in + BLOCK - 1) / BLOCK, backward_block, run);
    unpack_weights(run, &matrix, run->workspace->partial, weight_gradient(run->memory, run->step->weight));
    if (run->in->gradient != PLAN_NONE)
        run_slices(run, give_slice);
}

const struct cpu_step_kernel cpu_linear = {need, forward, backward};
