/* Pointwise convolutions: a matrix product over all pixels of the batch, in tiles that stay in the cache. */
#include "shared/training/cpu/cpu_run.h"

enum { TILE_FLOATS = 65536, TILE_STEP = 42 /* a multiple of the rows of gemm's register blocks, 14 and 6 */ };

struct pointwise {
    int in, out; /* channels */
    size_t tile; /* pixels */
    size_t weights;
};

static struct pointwise pointwise_of(const struct plan *plan, const struct plan_step *step)
{
    struct pointwise p = {.in = plan->tensors[step->inputs[0].tensor].shape.c,
                          .out = plan->tensors[step->output].shape.c};
    p.tile = TILE_FLOATS / (size_t)(p.in + p.out) / TILE_STEP * TILE_STEP;
    p.tile = p.tile < TILE_STEP ? TILE_STEP : p.tile;
    p.weights = (size_t)p.in * (size_t)p.out;
    return p;
}

static struct step_need need(const struct plan *plan, const struct plan_step *step)
{
    struct pointwise p = pointwise_of(plan, step);
    size_t forward = packed_floats(p.in, p.out), backward = packed_floats(p.out, p.in);
    return (struct step_need){
        .scratch = p.tile * (size_t)(2 * p.in + p.out) + 3 * KERNEL_SLACK,
        .packed = forward > backward ? forward : backward,
        .partial = (size_t)slice_count(p.weights, plan->batch) * p.weights,
    };
}

/* C[rows, columns] = A[rows, depth] * packed B */
static void multiply(const struct cpu_run *run, int rows, int columns, int depth, const float *a, float *c,
                     const float *bias)
{
    const int lanes = run->kernels->lanes;
    struct gemm gemm = {.groups = 1, .rows = rows, .columns = columns, .outer = 1, .inner = 1, .depth = depth};
    gemm.a = a, gemm.a_row = depth, gemm.a_step = 1;
    gemm.b = run->workspace->packed, gemm.b_panel = (ptrdiff_t)depth * lanes, gemm.b_step = lanes;
    gemm.c = c, gemm.c_row = columns;
    gemm.bias = bias;
    run->kernels->gemm(&gemm);
}

static void forward_slice(void *context, int slice, int worker)
{
    struct cpu_run *run = context;
    const struct pointwise p = pointwise_of(run->plan, run->step);
    const size_t in = (size_t)p.in, out = (size_t)p.out, image = run->out->sample / out;
    const float *bias = weight_values(run->memory, run->step->bias);
    float *values = tensor_value(run, run->out), *scratch = run->workspace->scratch[worker];
    int first, end;
    slice_samples(run, slice, &first, &end);
    for (size_t pixel = (size_t)first * image, last = (size_t)end * image, pixels; pixel < last; pixel += pixels) {
        pixels = last - pixel < p.tile ? last - pixel : p.tile;
        const float *a = read_with_epilogue(run, run->in, pixel * in, pixels * in, scratch);
        multiply(run, (int)pixels, p.out, p.in, a, values + pixel * out, bias);
        note_values(run, slice, values + pixel * out, pixels * out);
    }
}

static void forward(struct cpu_run *run)
{
    const struct pointwise p = pointwise_of(run->plan, run->step);
    const int no_offset = 0;
    struct weight_matrix matrix = {1, p.in, p.out, &no_offset, 1, (size_t)p.in};
    pack_weights(run, &matrix, weight_values(run->memory, run->step->weight), run->workspace->packed);
    run->slices = slice_count(p.weights, run->pass->count);
    run_slices(run, forward_slice);
}

static void backward_slice(void *context, int slice, int worker)
{
    struct cpu_run *run = context;
    const struct pointwise p = pointwise_of(run->plan, run->step);
    const size_t in = (size_t)p.in, out = (size_t)p.out, image = run->out->sample / out;
    float *a_tile = run->workspace->scratch[worker], *dx = a_tile + p.tile * in + KERNEL_SLACK,
          *dz_tile = dx + p.tile * in + KERNEL_SLACK;
    struct gemm weights = {.groups = 1, .rows = p.in, .columns = p.out, .outer = 1, .inner = 1, .accumulate = true};
    weights.a_row = 1, weights.a_step = p.in;
    weights.b_panel = run->kernels->lanes, weights.b_step = p.out;
    weights.c = slice_partial(run, slice, p.weights), weights.c_row = p.out;
    int first, end;
    slice_samples(run, slice, &first, &end);
    for (size_t pixel = (size_t)first * image, last = (size_t)end * image, pixels; pixel < last; pixel += pixels) {
        pixels = last - pixel < p.tile ? last - pixel : p.tile;
        weights.a = read_with_epilogue(run, run->in, pixel * in, pixels * in, a_tile);
        weights.b = read_gradient(run, pixel * out, pixels * out, dz_tile);
        weights.depth = (int)pixels;
        run->kernels->gemm(&weights);
        note_bias(run, slice, weights.b, pixels * out);
        if (run->in->gradient == PLAN_NONE)
            continue;
        multiply(run, (int)pixels, p.in, p.out, weights.b, dx, NULL);
        give_gradient(run, slice, dx, pixel * in, pixels * in);
    }
}

static void backward(struct cpu_run *run)
{
    const struct pointwise p = pointwise_of(run->plan, run->step);
    const int no_offset = 0;
    struct weight_matrix transposed = {1, p.out, p.in, &no_offset, (size_t)p.in, 1};
    struct weight_matrix matrix = {1, p.in, p.out, &no_offset, 1, (size_t)p.in};
    pack_weights(run, &transposed, weight_values(run->memory, run->step->weight), run->workspace->packed);
    run->slices = slice_count(p.weights, run->pass->count);
    run_slices(run, backward_slice);
    unpack_weights(run, &matrix, reduce_partial(run, p.weights), weight_gradient(run->memory, run->step->weight));
    finish_bias(run);
}

const struct cpu_step_kernel cpu_pointwise = {need, forward, backward};
