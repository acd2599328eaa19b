/* The product of two tensors; the second one may be a gate, one number per channel of a sample or one per position.
 *
 * Walks over pixels with the channels of cuda_channels.cuh. Forward reads both inputs once (gates come from the caches)
 * and writes the output. Backward runs once for every input and reads the output's gradient and the other input. The
 * gradient of a gate is a sum: over the pixels of a sample by one block, as in global_pool.cu, or over the channels of
 * a pixel by one thread. */
#include "shared/training/cuda/cuda_window.cuh"

enum { RUN = 2 /* pixels that a thread has in flight */, GATE_RUN = 4 /* in the few blocks of gates */ };
enum gate { GATE_NONE, GATE_CHANNELS, GATE_POSITIONS };

/* A tensor that is read; how its elements go with those of the output. */
struct factor {
    struct cuda_read read;
    enum gate gate;
    int wide; /* stored as float, whatever the plan's dtype */
};

template <int V>
static __device__ __forceinline__ struct epilogue<V> factor_epilogue(const struct factor *f, const struct place *p) {
    if (f->gate != GATE_POSITIONS)
        return epilogue_of<V>(&f->read, p);
    struct place only = *p;
    struct epilogue<V> c;
    only.channel = 0;
    const struct epilogue<1> one = epilogue_of<1>(&f->read, &only);
#pragma unroll
    for (int v = 0; v < V; v++) {
        c.scale[v] = one.scale[0];
        c.shift[v] = one.shift[0];
    }
    c.activation = one.activation;
    c.alpha = one.alpha;
    c.beta = one.beta;
    return c;
}

/* x[R][V] = the completed values for channels [channel, channel + V) of `count` pixels: first, first + step, ... Pixel
 * i belongs to sample samples[i]. */
template <int R, typename T, int V>
static __device__ __forceinline__ void load_factor(const struct factor *f, const struct epilogue<V> *c, int channel,
                                                   size_t channels, size_t first, size_t step, const int samples[R],
                                                   int count, float x[R][V])
{
    const float *floats = values_of<float>(&f->read, 0);
    const T *values = values_of<T>(&f->read, 0);
#pragma unroll
    for (int i = 0; i < R; i++) {
        const size_t pixel = first + i * step;
        const size_t at = (f->gate == GATE_CHANNELS ? samples[i] : pixel) * channels + channel;
        clear<V>(x[i]);
        if (i >= count)
            continue;
        if (f->gate == GATE_POSITIONS) {
            const float one = f->wide ? floats[pixel] : load(values + pixel);
#pragma unroll
            for (int v = 0; v < V; v++)
                x[i][v] = one;
        } else if (f->wide) {
            load_vector<V>(floats + at, x[i]);
        } else {
            load_vector<V>(values + at, x[i]);
        }
    }
#pragma unroll
    for (int i = 0; i < R; i++)
        apply_epilogue<V>(c, x[i]);
}

/* The samples of the next R pixels of a walk over images of one row. */
template <int R> static __device__ __forceinline__ void next_samples(struct walk *at, int samples[R])
{
#pragma unroll
    for (int i = 0; i < R; i++) {
        samples[i] = at->n;
        walk_on(at);
    }
}

template <typename T, typename TO, int V>
static __global__ void __launch_bounds__(CHANNEL_THREADS, 2)
    multiply(struct factor a, struct factor b, struct cuda_write write, int channels, int vectors, int image,
             size_t pixels)
{
    __shared__ float shared[LANE_FLOATS];
    const struct place p = place_of<V>(channels, vectors);
    const struct epilogue<V> a_epilogue = factor_epilogue<V>(&a, &p), b_epilogue = factor_epilogue<V>(&b, &p);
    TO *out = output_of<TO>(&write, p.channel);
    const size_t stride = (size_t)gridDim.x * p.lanes;
    struct tally<V> tally;
    tally_clear(&tally);
    size_t pixel = (size_t)blockIdx.x * p.lanes + p.lane;
    struct walk at = walk_of(1, image, pixel, stride);
    for (; p.active && pixel < pixels; pixel += RUN * stride) {
        const int count = run_length<RUN>(pixel, stride, pixels);
        int n[RUN];
        float x[RUN][V], y[RUN][V];
        next_samples<RUN>(&at, n);
        load_factor<RUN, T, V>(&a, &a_epilogue, p.channel, channels, pixel, stride, n, count, x);
        load_factor<RUN, T, V>(&b, &b_epilogue, p.channel, channels, pixel, stride, n, count, y);
#pragma unroll
        for (int i = 0; i < RUN; i++) {
            if (i >= count)
                break;
#pragma unroll
            for (int v = 0; v < V; v++)
                x[i][v] *= y[i][v];
            store_vector<V>(out + (pixel + i * stride) * channels, x[i]);
            tally_add<V>(&tally, x[i]);
        }
    }
    tally_finish<V>(&tally, &p, channels, shared, &write);
}

/* The gradient of an input of the output's shape: dz times the other input. */
template <typename T, typename TO, int V>
static __global__ void __launch_bounds__(CHANNEL_THREADS, 2)
    multiply_gradient(struct cuda_derivative from, struct factor other, struct cuda_give give, int channels,
                      int vectors, int image, size_t pixels)
{
    __shared__ float shared[LANE_FLOATS];
    const struct place p = place_of<V>(channels, vectors);
    const struct epilogue<V> epilogue = factor_epilogue<V>(&other, &p);
    const struct derivative<V> derivative = derivative_of<V>(&from, &p);
    const TO *g = derivative_gradient<TO>(&from, p.channel), *z = derivative_values<TO>(&from, p.channel);
    struct giving<V> giving = giving_of<V>(&give, &p);
    T *to = gradient_of<T>(&give, p.channel);
    const T *in = values_of<T>(&give.input, p.channel);
    const size_t stride = (size_t)gridDim.x * p.lanes;
    size_t pixel = (size_t)blockIdx.x * p.lanes + p.lane;
    struct walk at = walk_of(1, image, pixel, stride);
    for (; p.active && pixel < pixels; pixel += RUN * stride) {
        const int count = run_length<RUN>(pixel, stride, pixels);
        int n[RUN];
        float dz[RUN][V], x[RUN][V];
        next_samples<RUN>(&at, n);
        load_derivative_run<RUN, V>(&derivative, g, z, pixel * channels, stride * channels, count, dz);
        load_factor<RUN, T, V>(&other, &epilogue, p.channel, channels, pixel, stride, n, count, x);
#pragma unroll
        for (int i = 0; i < RUN; i++)
#pragma unroll
            for (int v = 0; v < V; v++)
                dz[i][v] *= x[i][v];
        give_run<RUN, V>(&giving, to, in, pixel * channels, stride * channels, count, dz);
    }
    giving_finish<V>(&giving, &p, channels, shared, &give);
}

/* The gradient of a gate per channel: a block adds up the pixels of a sample. */
template <typename T, typename TO, int V>
static __global__ void __launch_bounds__(CHANNEL_THREADS, 2)
    channel_gate_gradient(struct cuda_derivative from, struct factor x, struct cuda_give give, int channels,
                          int vectors, int image, int samples)
{
    __shared__ float shared[LANE_FLOATS], sums[MAX_VECTORS * 4];
    const struct place p = place_of<V>(channels, vectors);
    const struct epilogue<V> epilogue = factor_epilogue<V>(&x, &p);
    const struct derivative<V> derivative = derivative_of<V>(&from, &p);
    const TO *g = derivative_gradient<TO>(&from, p.channel), *z = derivative_values<TO>(&from, p.channel);
    struct giving<V> giving = giving_of<V>(&give, &p);
    T *to = gradient_of<T>(&give, p.channel);
    const T *in = values_of<T>(&give.input, p.channel);
    for (int n = blockIdx.x; n < samples; n += gridDim.x) {
        float sum[V];
        clear<V>(sum);
        for (int i = p.lane; p.active && i < image; i += GATE_RUN * p.lanes) {
            const size_t pixel = (size_t)n * image + i;
            const int count = run_length<GATE_RUN>(i, p.lanes, image), none[GATE_RUN] = {};
            float dz[GATE_RUN][V], value[GATE_RUN][V];
            load_derivative_run<GATE_RUN, V>(&derivative, g, z, pixel * channels, (size_t)p.lanes * channels, count,
                                             dz);
            load_factor<GATE_RUN, T, V>(&x, &epilogue, p.channel, channels, pixel, p.lanes, none, count, value);
#pragma unroll
            for (int k = 0; k < GATE_RUN; k++)
#pragma unroll
                for (int v = 0; v < V; v++)
                    sum[v] += k < count ? dz[k][v] * value[k][v] : 0;
        }
        add_lanes<V, V>(&p, channels, sum, shared, sums - p.first, 1, 0);
        __syncthreads();
        if (p.lane > 0 || !p.active)
            continue;
#pragma unroll
        for (int v = 0; v < V; v++)
            sum[v] = sums[p.channel - p.first + v];
        give_at<V>(&giving, to, in, (size_t)n * channels, sum);
    }
    giving_finish<V>(&giving, &p, channels, shared, &give);
}

/* The gradient of a gate per position: a thread adds up the channels of a pixel. */
template <typename T, typename TO>
static __global__ void __launch_bounds__(CHANNEL_THREADS, 2)
    position_gate_gradient(struct cuda_derivative from, struct factor x, struct cuda_give give, int channels,
                           size_t pixels)
{
    __shared__ float shared[LANE_FLOATS];
    const struct place p = place_of<1>(1, 1);
    struct giving<1> giving = giving_of<1>(&give, &p);
    T *to = gradient_of<T>(&give, 0);
    const T *in = values_of<T>(&give.input, 0);
    const size_t stride = (size_t)gridDim.x * p.lanes;
    for (size_t pixel = (size_t)blockIdx.x * p.lanes + p.lane; pixel < pixels; pixel += stride) {
        float sum = 0;
        for (int c = 0; c < channels; c++) {
            struct place at = p;
            at.channel = c;
            const struct derivative<1> derivative = derivative_of<1>(&from, &at);
            const struct epilogue<1> epilogue = factor_epilogue<1>(&x, &at);
            const int none[1] = {};
            float dz, value[1][1];
            load_derivative<1>(&derivative, derivative_gradient<TO>(&from, c), derivative_values<TO>(&from, c),
                               pixel * channels, &dz);
            load_factor<1, T, 1>(&x, &epilogue, c, channels, pixel, 0, none, 1, value);
            sum += dz * value[0][0];
        }
        give_at<1>(&giving, to, in, pixel, &sum);
    }
    giving_finish<1>(&giving, &p, 1, shared, &give);
}

/* ---- host ---- */
static enum gate gate_of(const struct cuda_run *run)
{
    const struct shape out = cuda_output_of(run)->shape;
    const struct shape second = run->plan->tensors[run->step->inputs[1].tensor].shape;
    if (second.c == out.c && second.h == out.h && second.w == out.w)
        return GATE_NONE;
    return second.c == out.c ? GATE_CHANNELS : GATE_POSITIONS;
}

static struct factor factor_of(const struct cuda_run *run, int input)
{
    const struct plan_tensor *tensor = &run->plan->tensors[run->step->inputs[input].tensor];
    const struct factor f = {cuda_read_of(run, tensor), input ? gate_of(run) : GATE_NONE,
                             cuda_dtype_of(run, tensor) == DTYPE_FP32};
    return f;
}

static enum status forward(const struct cuda_run *run, struct error *err)
{
    const struct plan_tensor *out = cuda_output_of(run);
    const struct cuda_write write = cuda_write_of(run, run->scratch);
    const int channels = out->shape.c;
    const int image = out->shape.h * out->shape.w;
    const size_t pixels = (size_t)image * run->pass->count;
    const struct channel_grid g = channel_grid_of(channels, vector_width(channels), pixels, 1, MAX_VECTORS);
    const dim3 grid = channel_dim(&g, run->students);
    const struct factor a = factor_of(run, 0), b = factor_of(run, 1);
    DISPATCH(run->plan->dtype, cuda_dtype_of(run, out), g.width,
             LAUNCH((multiply<TI, TO, V>), grid, CHANNEL_THREADS, 0, run->stream, a, b, write, channels, g.vectors,
                    image, pixels));
    return cuda_launched("multiply", err);
}

static enum status backward(const struct cuda_run *run, struct error *err)
{
    const struct plan_tensor *in = cuda_input_of(run), *out = cuda_output_of(run);
    const struct cuda_derivative derivative = cuda_derivative_of(run);
    const struct cuda_give give = cuda_give_of(run, run->scratch);
    const int channels = out->shape.c, samples = run->pass->count, first = run->input == &run->step->inputs[0];
    const int image = out->shape.h * out->shape.w;
    const size_t pixels = (size_t)image * samples;
    const enum gate gate = first ? GATE_NONE : gate_of(run);
    const struct factor other = factor_of(run, first);
    struct channel_grid g = channel_grid_of(channels, vector_width(channels), pixels, 1, MAX_VECTORS);
    if (in->gradient == PLAN_NONE)
        return STATUS_OK;
    if (gate == GATE_CHANNELS)
        g.blocks = samples < CUDA_MAX_BLOCKS ? samples : CUDA_MAX_BLOCKS;
    if (gate == GATE_POSITIONS)
        g = channel_grid_of(1, 1, pixels, 1, MAX_VECTORS);
    const dim3 grid = channel_dim(&g, run->students);
    if (gate == GATE_NONE)
        DISPATCH(cuda_dtype_of(run, in), cuda_dtype_of(run, out), g.width,
                 LAUNCH((multiply_gradient<TI, TO, V>), grid, CHANNEL_THREADS, 0, run->stream, derivative, other, give,
                        channels, g.vectors, image, pixels));
    else if (gate == GATE_CHANNELS)
        DISPATCH(cuda_dtype_of(run, in), cuda_dtype_of(run, out), g.width,
                 LAUNCH((channel_gate_gradient<TI, TO, V>), grid, CHANNEL_THREADS, 0, run->stream, derivative, other,
                        give, channels, g.vectors, image, samples));
    else
        DISPATCH_TYPES(cuda_dtype_of(run, in), cuda_dtype_of(run, out),
                       LAUNCH((position_gate_gradient<TI, TO>), grid, CHANNEL_THREADS, 0, run->stream, derivative,
                              other, give, channels, pixels));
    return cuda_launched("multiply_gradient", err);
}

extern "C" {
const struct cuda_step_kernel cuda_multiply = {NULL, forward, backward};
}
