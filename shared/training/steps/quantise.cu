/* Fake quantisation: quantise.c says what it computes; the numbers are the CPU's.
 *
 * Walks over pixels with the channels of cuda_channels.cuh. In training, a first kernel finds the bounds of the
 * completed values, one pair for each block, and a second one, of one block per student, moves the range; so forward
 * reads the input twice and writes the output once. Backward reads g and the input, and writes the input's gradient.
 * Weights are rounded by one warp per row, which reads the row twice. */
#include "shared/training/cuda/cuda_channel_sums.cuh"
#include "shared/training/steps/quantise.h"

enum { WARPS = 4, WEIGHT_THREADS = 32 * WARPS };

/* ---- ranges ---- */

/* The smallest and the largest of the values of a block's threads, in the first thread; every number of threads that is
 * a power of 2. */
template <int THREADS> static __device__ struct value_range block_range(struct value_range own)
{
    __shared__ struct value_range all[THREADS];
    all[threadIdx.x] = own;
    for (int step = THREADS / 2; step > 0; step /= 2) {
        __syncthreads();
        if ((int)threadIdx.x < step)
            all[threadIdx.x] = range_joined(all[threadIdx.x], all[threadIdx.x + step]);
    }
    return all[threadIdx.x];
}

static __device__ __forceinline__ struct value_range nothing_seen(void)
{
    const struct value_range nothing = {FLT_MAX, -FLT_MAX};
    return nothing;
}

/* seen[students][chunks][blocks] */
template <typename T, int V>
static __global__ void __launch_bounds__(CHANNEL_THREADS)
    observe(struct cuda_read in, int channels, int vectors, size_t pixels, struct value_range *seen)
{
    const struct place p = place_of<V>(channels, vectors);
    const struct epilogue<V> c = epilogue_of<V>(&in, &p);
    const T *values = values_of<T>(&in, p.channel);
    const size_t stride = (size_t)gridDim.x * p.lanes;
    struct value_range own = nothing_seen();
    for (size_t pixel = (size_t)blockIdx.x * p.lanes + p.lane; p.active && pixel < pixels; pixel += stride) {
        float x[V];
        load_vector<V>(values + pixel * channels, x);
        apply_epilogue<V>(&c, x);
#pragma unroll
        for (int v = 0; v < V; v++) {
            const struct value_range one = {x[v], x[v]};
            own = range_joined(own, one);
        }
    }
    own = block_range<CHANNEL_THREADS>(own);
    if (threadIdx.x == 0)
        seen[((size_t)blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x] = own;
}

/* Student blockIdx.x; its range is two floats, `stride` floats after that of the student before. */
static __global__ void __launch_bounds__(CHANNEL_THREADS)
    follow(const struct value_range *seen, int count, float *range, size_t stride, float low, float high)
{
    struct value_range own = nothing_seen();
    for (int i = threadIdx.x; i < count; i += CHANNEL_THREADS)
        own = range_joined(own, seen[(size_t)blockIdx.x * count + i]);
    own = block_range<CHANNEL_THREADS>(own);
    if (threadIdx.x != 0)
        return;
    range += blockIdx.x * stride;
    const struct value_range before = {range[0], range[1]};
    const struct value_range moved = range_followed(before, own, low, high);
    range[0] = moved.low;
    range[1] = moved.high;
}

/* ---- values ---- */
static __device__ __forceinline__ struct int8_value format_of(const float *range, size_t stride)
{
    const struct value_range own = {range[blockIdx.z * stride], range[blockIdx.z * stride + 1]};
    return int8_value_of(own);
}

template <typename TI, typename TO, int V>
static __global__ void __launch_bounds__(CHANNEL_THREADS, 3)
    quantise(struct cuda_read in, struct cuda_write out, const float *range, size_t range_stride, int channels,
             int vectors, size_t pixels)
{
    __shared__ float shared[LANE_FLOATS];
    const struct place p = place_of<V>(channels, vectors);
    const struct epilogue<V> c = epilogue_of<V>(&in, &p);
    const struct int8_value to = format_of(range, range_stride);
    const TI *from = values_of<TI>(&in, p.channel);
    TO *values = output_of<TO>(&out, p.channel);
    const size_t stride = (size_t)gridDim.x * p.lanes;
    struct tally<V> tally;
    tally_clear(&tally);
    for (size_t pixel = (size_t)blockIdx.x * p.lanes + p.lane; p.active && pixel < pixels; pixel += stride) {
        float x[V];
        load_vector<V>(from + pixel * channels, x);
        apply_epilogue<V>(&c, x);
#pragma unroll
        for (int v = 0; v < V; v++)
            x[v] = int8_rounded(x[v], to);
        store_vector<V>(values + pixel * channels, x);
        tally_add<V>(&tally, x);
    }
    tally_finish<V>(&tally, &p, channels, shared, &out);
}

template <typename TI, typename TO, int V>
static __global__ void __launch_bounds__(CHANNEL_THREADS, 3)
    quantise_gradient(struct cuda_derivative from, struct cuda_give give, const float *range, size_t range_stride,
                      int channels, int vectors, size_t pixels)
{
    __shared__ float shared[LANE_FLOATS];
    const struct place p = place_of<V>(channels, vectors);
    const struct derivative<V> derivative = derivative_of<V>(&from, &p);
    const struct epilogue<V> c = epilogue_of<V>(&give.input, &p);
    const struct int8_value to = format_of(range, range_stride);
    struct giving<V> giving = giving_of<V>(&give, &p);
    const TO *g = derivative_gradient<TO>(&from, p.channel);
    const TO *z = derivative_values<TO>(&from, p.channel);
    TI *gradient = gradient_of<TI>(&give, p.channel);
    const TI *in = values_of<TI>(&give.input, p.channel);
    const size_t stride = (size_t)gridDim.x * p.lanes;
    for (size_t pixel = (size_t)blockIdx.x * p.lanes + p.lane; p.active && pixel < pixels; pixel += stride) {
        float dz[V], raw[V], x[V];
        load_derivative<V>(&derivative, g, z, pixel * channels, dz);
        load_vector<V>(in + pixel * channels, raw);
#pragma unroll
        for (int v = 0; v < V; v++)
            x[v] = raw[v];
        apply_epilogue<V>(&c, x);
#pragma unroll
        for (int v = 0; v < V; v++)
            dz[v] = int8_clips(x[v], to) ? 0 : dz[v];
        give_vector<V>(&giving, gradient + pixel * channels, raw, dz);
    }
    giving_finish<V>(&giving, &p, channels, shared, &give);
}

/* ---- weights: one warp per row of weights that share a scale ---- */
static __global__ void __launch_bounds__(WEIGHT_THREADS)
    round_rows(const float *from, float *to, int rows, int row, size_t stride)
{
    __shared__ float largest[WARPS][32];
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, index = blockIdx.x * WARPS + warp;
    const size_t at = blockIdx.z * stride + (size_t)index * row;
    float own = 0;
    for (int i = lane; index < rows && i < row; i += 32)
        own = fmaxf(own, fabsf(from[at + i]));
    largest[warp][lane] = own;
    __syncthreads();
    for (int i = 0; i < 32; i++)
        own = fmaxf(own, largest[warp][i]);
    const float scale = int8_weight_scale(own);
    for (int i = lane; index < rows && i < row; i += 32)
        to[at + i] = int8_rounded_weight(from[at + i], scale);
}

extern "C" enum status cuda_round_weights(cudaStream_t stream, const struct plan *plan,
                                          const struct network_memory *memory, struct error *err)
{
    enum status status = STATUS_OK;
    for (int i = 0; i < plan->rounding_count; i++) {
        const struct plan_rounding *r = &plan->roundings[i];
        const dim3 grid((unsigned)((r->rows + WARPS - 1) / WARPS), 1, (unsigned)memory->students);
        LAUNCH(round_rows, grid, WEIGHT_THREADS, 0, stream, memory->parameters + r->offset, memory->rounded + r->offset,
               (int)r->rows, (int)r->row, plan->parameter_count);
        TRY(cuda_launched("round_rows", err));
    }
cleanup:
    return status;
}

/* ---- host ---- */
static size_t pixels_of(const struct cuda_run *run)
{
    const struct plan_tensor *in = cuda_input_of(run);
    return (size_t)run->pass->count * in->shape.h * in->shape.w;
}

static enum status move_range(const struct cuda_run *run, const struct channel_grid *g, struct error *err)
{
    enum status status = STATUS_OK;
    const struct plan_tensor *in = cuda_input_of(run);
    const struct cuda_read read = cuda_read_of(run, in);
    struct value_range *seen = (struct value_range *)run->scratch;
    DISPATCH_TYPE(cuda_dtype_of(run, in), TI,
                  DISPATCH_WIDTH(g->width, LAUNCH((observe<TI, V>), channel_dim(g, run->students), CHANNEL_THREADS, 0,
                                                  run->stream, read, in->shape.c, g->vectors, pixels_of(run), seen)));
    TRY(cuda_launched("observe", err));
    LAUNCH(follow, dim3(run->students), CHANNEL_THREADS, 0, run->stream, seen, g->blocks * g->chunks,
           weight_values(run->memory, run->step->weight), weight_stride(run->plan, run->step->weight), run->node->alpha,
           run->node->beta);
    TRY(cuda_launched("follow", err));
cleanup:
    return status;
}

static enum status forward(const struct cuda_run *run, struct error *err)
{
    enum status status = STATUS_OK;
    const struct plan_tensor *in = cuda_input_of(run), *out = cuda_output_of(run);
    const struct cuda_read read = cuda_read_of(run, in);
    const struct cuda_write write = cuda_write_of(run, run->scratch);
    const float *range = weight_values(run->memory, run->step->weight);
    const size_t range_stride = weight_stride(run->plan, run->step->weight), pixels = pixels_of(run);
    const int channels = in->shape.c;
    const struct channel_grid g = channel_grid_of(channels, vector_width(channels), pixels, 1, MAX_VECTORS);
    if (pass_observes(run->pass))
        TRY(move_range(run, &g, err));
    DISPATCH(cuda_dtype_of(run, in), cuda_dtype_of(run, out), g.width,
             LAUNCH((quantise<TI, TO, V>), channel_dim(&g, run->students), CHANNEL_THREADS, 0, run->stream, read, write,
                    range, range_stride, channels, g.vectors, pixels));
    TRY(cuda_launched("quantise", err));
cleanup:
    return status;
}

static enum status backward(const struct cuda_run *run, struct error *err)
{
    const struct plan_tensor *in = cuda_input_of(run), *out = cuda_output_of(run);
    const struct cuda_derivative derivative = cuda_derivative_of(run);
    const struct cuda_give give = cuda_give_of(run, run->scratch);
    const float *range = weight_values(run->memory, run->step->weight);
    const size_t range_stride = weight_stride(run->plan, run->step->weight), pixels = pixels_of(run);
    const int channels = in->shape.c;
    const struct channel_grid g = channel_grid_of(channels, vector_width(channels), pixels, 1, MAX_VECTORS);
    if (in->gradient == PLAN_NONE)
        return STATUS_OK;
    DISPATCH(cuda_dtype_of(run, in), cuda_dtype_of(run, out), g.width,
             LAUNCH((quantise_gradient<TI, TO, V>), channel_dim(&g, run->students), CHANNEL_THREADS, 0, run->stream,
                    derivative, give, range, range_stride, channels, g.vectors, pixels));
    return cuda_launched("quantise_gradient", err);
}

extern "C" const struct cuda_step_kernel cuda_quantise = {NULL, forward, backward};
