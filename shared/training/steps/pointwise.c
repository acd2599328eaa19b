/* Pointwise convolutions: a matrix product over all pixels of the batch, in tiles that stay in the cache. In bf16, on a
 * processor that multiplies it, completed values, gradients and weights are rounded to it, chunk by chunk, and words of
 * two are multiplied: half the instructions. Sums stay in floats. */
#include "shared/training/cpu/cpu_run.h"

/* Pixels, as multiples of the rows of gemm's register blocks, 14 and 6: a tile stays in the L2 cache, a chunk in L1. */
enum { TILE_FLOATS = 32768, TILE_STEP = 42, CHUNK = 84 };

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

/* Weights in 8 bits keep their values: bf16 would round them again. */
static bool multiplies_pairs(const struct cpu_run *run)
{
    return run->kernels->gemm_pairs && run->plan->dtype == DTYPE_BF16 && run->plan->rounding_count == 0;
}

static size_t words_of_chunk(const struct plan *plan, const struct pointwise *p)
{
    return plan->dtype == DTYPE_BF16 ? CHUNK * (size_t)(p->in + p->out + 1) + 2 * KERNEL_SLACK : 0;
}

static struct step_need need(const struct plan *plan, const struct plan_step *step)
{
    struct pointwise p = pointwise_of(plan, step);
    size_t forward = packed_floats(p.in, p.out), backward = packed_floats(p.out, p.in);
    return (struct step_need){
        .scratch = p.tile * (size_t)(2 * p.in + p.out) + 3 * KERNEL_SLACK + words_of_chunk(plan, &p),
        .packed = forward > backward ? forward : backward,
        .partial = (size_t)slice_count(p.weights, plan->batch) * p.weights,
    };
}

static size_t chunk_of(size_t pixels, size_t first)
{
    return pixels - first < CHUNK ? pixels - first : CHUNK;
}

/* Packs the weights as B[depth, columns]. */
static void pack(struct cpu_run *run, const struct weight_matrix *matrix)
{
    const int lanes = run->kernels->lanes;
    const size_t depth = (size_t)matrix->inner, words = (depth + 1) / 2;
    float *packed = run->workspace->packed;
    pack_weights(run, matrix, weight_values(run->memory, run->step->weight), packed);
    for (size_t panel = 0; multiplies_pairs(run) && (int)panel * lanes < matrix->columns; panel++)
        run->kernels->pairs_of_columns(packed + panel * depth * (size_t)lanes, depth, lanes,
                                       packed + panel * words * (size_t)lanes);
}

/* C[pixels, columns] = A[pixels, depth] * packed B. words: scratch memory for words_of_chunk */
static void multiply(const struct cpu_run *run, size_t pixels, int columns, int depth, const float *a, float *c,
                     const float *bias, struct ahead *ahead, float *words)
{
    const bool pairs = multiplies_pairs(run);
    const int lanes = run->kernels->lanes, steps = pairs ? (depth + 1) / 2 : depth;
    const size_t lines = ahead_lines(ahead);
    struct gemm gemm = {.groups = 1, .columns = columns, .outer = 1, .inner = 1, .depth = steps, .ahead = ahead};
    gemm.a_row = steps, gemm.a_step = 1;
    gemm.b = run->workspace->packed, gemm.b_panel = (ptrdiff_t)steps * lanes, gemm.b_step = lanes;
    gemm.c_row = columns;
    gemm.bias = bias;
    for (size_t first = 0; first < pixels; first += CHUNK) {
        gemm.rows = (int)chunk_of(pixels, first);
        gemm.ahead_lines = lines * (size_t)gemm.rows / pixels + 1;
        gemm.a = a + first * (size_t)depth;
        gemm.c = c + first * (size_t)columns;
        if (pairs) {
            run->kernels->pairs_of_rows(gemm.a, (size_t)gemm.rows, depth, words);
            gemm.a = words;
            run->kernels->gemm_pairs(&gemm);
        } else {
            run->kernels->gemm(&gemm);
        }
    }
}

/* gradient[in, out] += the sum over pixels of a * dz */
static void weigh(const struct cpu_run *run, const struct pointwise *p, size_t pixels, const float *a, const float *dz,
                  float *gradient, struct ahead *ahead, float *words)
{
    float *const dz_words = words + (size_t)(CHUNK / 2) * (size_t)p->in + KERNEL_SLACK;
    const size_t lines = ahead_lines(ahead);
    struct gemm gemm = {.groups = 1, .rows = p->in, .columns = p->out, .outer = 1, .inner = 1, .accumulate = true};
    gemm.a_row = 1, gemm.a_step = p->in;
    gemm.b_panel = run->kernels->lanes, gemm.b_step = p->out;
    gemm.c = gradient, gemm.c_row = p->out;
    gemm.ahead = ahead;
    for (size_t first = 0; first < pixels; first += CHUNK) {
        gemm.depth = (int)chunk_of(pixels, first);
        gemm.ahead_lines = lines * (size_t)gemm.depth / pixels + 1;
        gemm.a = a + first * (size_t)p->in;
        gemm.b = dz + first * (size_t)p->out;
        if (multiplies_pairs(run)) {
            run->kernels->pairs_of_columns(gemm.a, (size_t)gemm.depth, p->in, words);
            run->kernels->pairs_of_columns(gemm.b, (size_t)gemm.depth, p->out, dz_words);
            gemm.a = words, gemm.b = dz_words, gemm.depth = (gemm.depth + 1) / 2;
            run->kernels->gemm_pairs(&gemm);
        } else {
            run->kernels->gemm(&gemm);
        }
    }
}

static void forward_slice(void *context, int slice, int worker)
{
    struct cpu_run *run = context;
    const struct pointwise p = pointwise_of(run->plan, run->step);
    const size_t in = (size_t)p.in, out = (size_t)p.out, image = run->out->sample / out;
    const float *bias = weight_values(run->memory, run->step->bias);
    float *a_tile = run->workspace->scratch[worker], *tile = a_tile + p.tile * in + KERNEL_SLACK;
    float *const words = tile + p.tile * out + KERNEL_SLACK;
    int first, end;
    slice_samples(run, slice, &first, &end);
    for (size_t pixel = (size_t)first * image, last = (size_t)end * image, pixels, next; pixel < last; pixel = next) {
        pixels = last - pixel < p.tile ? last - pixel : p.tile;
        next = pixel + pixels;
        struct ahead ahead = {0};
        ahead_value(&ahead, run, run->in, next * in, pixels * in);
        const float *a = read_with_epilogue(run, run->in, pixel * in, pixels * in, a_tile);
        float *values = values_place(run, pixel * out, tile);
        multiply(run, pixels, p.out, p.in, a, values, bias, &ahead, words);
        put_values(run, slice, values, pixel * out, pixels * out);
    }
}

static void forward(struct cpu_run *run)
{
    const struct pointwise p = pointwise_of(run->plan, run->step);
    const int no_offset = 0;
    struct weight_matrix matrix = {1, p.in, p.out, &no_offset, 1, (size_t)p.in};
    pack(run, &matrix);
    run->slices = slice_count(p.weights, run->pass->count);
    run_slices(run, forward_slice);
}

static void backward_slice(void *context, int slice, int worker)
{
    struct cpu_run *run = context;
    const struct pointwise p = pointwise_of(run->plan, run->step);
    const size_t in = (size_t)p.in, out = (size_t)p.out, image = run->out->sample / out;
    float *a_tile = run->workspace->scratch[worker], *dx = a_tile + p.tile * in + KERNEL_SLACK,
          *dz_tile = dx + p.tile * in + KERNEL_SLACK, *words = dz_tile + p.tile * out + KERNEL_SLACK,
          *gradient = slice_partial(run, slice, p.weights);
    int first, end;
    slice_samples(run, slice, &first, &end);
    for (size_t pixel = (size_t)first * image, last = (size_t)end * image, pixels, next; pixel < last; pixel = next) {
        pixels = last - pixel < p.tile ? last - pixel : p.tile;
        next = pixel + pixels;
        struct ahead values = {0}, gradients = {0}; /* for the first and the second product */
        ahead_value(&values, run, run->in, next * in, pixels * in);
        if (run->out->batch_norm >= 0)
            ahead_value(&values, run, run->out, next * out, pixels * out);
        ahead_gradient(&gradients, run, next * out, pixels * out);
        const float *a = read_with_epilogue(run, run->in, pixel * in, pixels * in, a_tile);
        const float *dz = read_gradient(run, pixel * out, pixels * out, dz_tile);
        weigh(run, &p, pixels, a, dz, gradient, &values, words);
        note_bias(run, slice, dz, pixels * out);
        if (run->in->gradient == PLAN_NONE)
            continue;
        multiply(run, pixels, p.in, p.out, dz, dx, NULL, &gradients, words);
        give_gradient(run, slice, dx, pixel * in, pixels * in);
    }
}

static void backward(struct cpu_run *run)
{
    const struct pointwise p = pointwise_of(run->plan, run->step);
    const int no_offset = 0;
    struct weight_matrix transposed = {1, p.out, p.in, &no_offset, (size_t)p.in, 1};
    struct weight_matrix matrix = {1, p.in, p.out, &no_offset, 1, (size_t)p.in};
    pack(run, &transposed);
    run->slices = slice_count(p.weights, run->pass->count);
    run_slices(run, backward_slice);
    unpack_weights(run, &matrix, reduce_partial(run, p.weights), weight_gradient(run->memory, run->step->weight));
    finish_bias(run);
}

const struct cpu_step_kernel cpu_pointwise = {need, forward, backward};
