/* The product of two tensors; the second one may be a gate, one number per channel of a sample or one per position.
 *
 * Walks over pixels with the channels of cuda_channels.cuh. Forward reads both inputs once (gates come from the caches)
 * and writes the output. Backward runs once for every input and reads the output's gradient and the other input. The
 * gradient of a gate is a sum: over the pixels of a sample by one block, as in global_pool.cu, or over the channels of
 * a pixel by one thread. */
#include "shared/training/cuda/cuda_window.cuh"

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

/* x = the completed values for channels [channel, channel + V) of a pixel of sample n. */
template <typename T, int V>
static __device__ __forceinline__ void load_factor(const struct factor *f, const struct epilogue<V> *c, int channel,
                                                   int channels, size_t pixel, size_t n, float *x)
{
    const float *floats = values_of<float>(&f->read, 0);
    const T *values = values_of<T>(&f->read, 0);
    if (f->gate == GATE_POSITIONS) {
        const float one = f->wide ? floats[pixel] : load(values + pixel);
#pragma unroll
        for (int v = 0; v < V; v++)
            x[v] = one;
    } else {
        const size_t at = (f->gate == GATE_CHANNELS ? n : pixel) * channels + channel;
        if (f->wide)
            load_vector<V>(floats + at, x);
        else
            load_vector<V>(values + at, x);
    }
    apply_epilogue<V>(c, x);
}

template <typename T, typename TO, int V>
static __global__ void __launch_bounds__(CHANNEL_THREADS, 3)
    multiply(struct factor a, struct factor b, struct cuda_write write, int channels, int vectors, size_t image,
             size_t pixels)
{
    __shared__ float shared[LANE_FLOATS];
    const struct place p = place_of<V>(channels, vectors);
    const struct epilogue<V> a_epilogue = factor_epilogue<V>(&a, &p), b_epilogue = factor_epilogue<V>(&b, &p);
    TO *out = output_of<TO>(&write, p.channel);
    const size_t stride = (size_t)gridDim.x * p.lanes;
    struct tally<V> tally;
    tally_clear(&tally);
    for (size_t pixel = (size_t)blockIdx.x * p.lanes + p.lane; p.active && pixel < pixels; pixel += stride) {
        const size_t n = pixel / image;
        float x[V], y[V];
        load_factor<T, V>(&a, &a_epilogue, p.channel, channels, pixel, n, x);
        load_factor<T, V>(&b, &b_epilogue, p.channel, channels, pixel, n, y);
#pragma unroll
        for (int v = 0; v < V; v++)
            x[v] *= y[v];
        store_vector<V>(out + pixel * channels, x);
        tally_add<V>(&tally, x);
    }
    tally_finish<V>(&tally, &p, channels, shared, &write);
}

/* The gradient of an input of the output's shape: dz times the other input. */
template <typename T, typename TO, int V>
static __global__ void __launch_bounds__(CHANNEL_THREADS, 3)
    multiply_gradient(struct cuda_derivative from, struct factor other, struct cuda_give give, int channels,
                      int vectors, size_t image, size_t pixels)
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
    for (size_t pixel = (size_t)blockIdx.x * p.lanes + p.lane; p.active && pixel < pixels; pixel += stride) {
        float dz[V], x[V];
        load_derivative<V>(&derivative, g, z, pixel * channels, dz);
        load_factor<T, V>(&other, &epilogue, p.channel, channels, pixel, pixel / image, x);
#pragma unroll
        for (int v = 0; v < V; v++)
            dz[v] *= x[v];
        give_at<V>(&giving, to, in, pixel * channels, dz);
    }
    giving_finish<V>(&giving, &p, channels, shared, &give);
}

/* The gradient of a gate per channel: a block adds up the pixels of a sample. */
template <typename T, typename TO, int V>
static __global__ void __launch_bounds__(CHANNEL_THREADS, 3)
    channel_gate_gradient(struct cuda_derivative from, struct factor x, struct cuda_give give, int channels,
                          int vectors, size_t image, int samples)
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
        for (size_t i = p.lane; p.active && i < image; i += p.lanes) {
            const size_t pixel = n * image + i;
            float dz[V], value[V];
            load_derivative<V>(&derivative, g, z, pixel * channels, dz);
            load_factor<T, V>(&x, &epilogue, p.channel, channels, pixel, n, value);
#pragma unroll
            for (int v = 0; v < V; v++)
                sum[v] += dz[v] * value[v];
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
static __global__ void __launch_bounds__(CHANNEL_THREADS, 3)
    position_gate_gradient(struct cuda_derivative from, struct factor x, struct cuda_give give, int channels,
                           size_t image, size_t pixels)
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
            float dz, value;
            load_derivative<1>(&derivative, derivative_gradient<TO>(&from, c), derivative_values<TO>(&from, c),
                               pixel * channels, &dz);
            load_factor<T, 1>(&x, &epilogue, c, channels, pixel, pixel / image, &value);
            sum += dz * value;
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
    const size_t image = (size_t)out->shape.h * out->shape.w, pixels = image * run->pass->count;
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
    const size_t image = (size_t)out->shape.h * out->shape.w, pixels = image * samples;
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
                              other, give, channels, image, pixels));
    return cuda_launched("multiply_gradient", err);
}

extern "C" {
const struct cuda_step_kernel cuda_multiply = {NULL, forward, backward};
}
