/* Steps with one weight per channel: scale (also one per value), PReLU. The weights may be constants.
 *
 * Walks over pixels with the channels of cuda_channels.cuh; weights per channel stay in registers. Forward reads the
 * input and writes the output; backward reads the output's gradient and the input once, writes the input's gradient,
 * and each block hands in sums for the weights' gradients. Gradients of weights per value are sums over the batch,
 * which one thread per value makes in a second walk. */
#include "shared/training/cuda/cuda_channel_sums.cuh"

/* y = x * weight + bias, or x > 0 ? x : x * weight. */
struct weights {
    const float *weight, *bias; /* of the first student; NULL: 1 and 0 */
    size_t weight_stride, bias_stride;
    int weight_count, bias_count; /* 1, channels, or channels * image in C, H, W order */
    int prelu;
    int channels, image;
};

/* The weight of channel c at a position of the image. */
static __device__ __forceinline__ int weight_index(int count, int channels, int image, int c, int position)
{
    return count == 1 ? 0 : count == channels ? c : c * image + position;
}

template <int V> struct weight_vector {
    float weight[V], bias[V];
};

template <int V>
static __device__ __forceinline__ void load_weights(const struct weights *w, int channel, int position,
                                                    struct weight_vector<V> *to)
{
#pragma unroll
    for (int v = 0; v < V; v++) {
        const int c = channel + v;
        to->weight[v] = w->weight ? w->weight[blockIdx.z * w->weight_stride +
                                              weight_index(w->weight_count, w->channels, w->image, c, position)]
                                  : 1;
        to->bias[v] =
            w->bias
                ? w->bias[blockIdx.z * w->bias_stride + weight_index(w->bias_count, w->channels, w->image, c, position)]
                : 0;
    }
}

static __device__ __forceinline__ bool per_value(const struct weights *w)
{
    return w->image > 1 && (w->weight_count > w->channels || w->bias_count > w->channels);
}

template <typename TI, typename TO, int V>
static __global__ void __launch_bounds__(CHANNEL_THREADS, 3)
    weigh(struct cuda_read read, struct weights w, struct cuda_write write, int vectors, size_t pixels)
{
    __shared__ float shared[LANE_FLOATS];
    const struct place p = place_of<V>(w.channels, vectors);
    const struct epilogue<V> epilogue = epilogue_of<V>(&read, &p);
    const TI *in = values_of<TI>(&read, p.channel);
    TO *out = output_of<TO>(&write, p.channel);
    const size_t stride = (size_t)gridDim.x * p.lanes;
    const bool moving = per_value(&w);
    struct weight_vector<V> own;
    struct tally<V> tally;
    tally_clear(&tally);
    if (p.active)
        load_weights<V>(&w, p.channel, 0, &own);
    for (size_t pixel = (size_t)blockIdx.x * p.lanes + p.lane; p.active && pixel < pixels; pixel += stride) {
        float x[V];
        load_vector<V>(in + pixel * w.channels, x);
        apply_epilogue<V>(&epilogue, x);
        if (moving)
            load_weights<V>(&w, p.channel, (int)(pixel % w.image), &own);
#pragma unroll
        for (int v = 0; v < V; v++)
            x[v] = w.prelu && x[v] > 0 ? x[v] : x[v] * own.weight[v] + own.bias[v];
        store_vector<V>(out + pixel * w.channels, x);
        tally_add<V>(&tally, x);
    }
    tally_finish<V>(&tally, &p, w.channels, shared, &write);
}

template <typename TI, typename TO, int V>
static __global__ void __launch_bounds__(CHANNEL_THREADS, 3)
    weigh_gradient(struct cuda_derivative from, struct weights w, struct cuda_give give,
                   struct cuda_partial weight_partial, struct cuda_partial bias_partial, int vectors, size_t pixels)
{
    __shared__ float shared[LANE_FLOATS];
    const struct place p = place_of<V>(w.channels, vectors);
    const struct epilogue<V> epilogue = epilogue_of<V>(&give.input, &p);
    const struct derivative<V> derivative = derivative_of<V>(&from, &p);
    const TO *g = derivative_gradient<TO>(&from, p.channel), *z = derivative_values<TO>(&from, p.channel);
    struct giving<V> giving = giving_of<V>(&give, &p);
    TI *to = gradient_of<TI>(&give, p.channel);
    const TI *in = values_of<TI>(&give.input, p.channel);
    const size_t stride = (size_t)gridDim.x * p.lanes, block = blockIdx.z * (size_t)gridDim.x + blockIdx.x;
    const bool moving = per_value(&w);
    struct weight_vector<V> own;
    float of_weight[V], of_bias[V];
    clear<V>(of_weight);
    clear<V>(of_bias);
    if (p.active)
        load_weights<V>(&w, p.channel, 0, &own);
    for (size_t pixel = (size_t)blockIdx.x * p.lanes + p.lane; p.active && pixel < pixels; pixel += stride) {
        float dz[V], raw[V], x[V];
        load_derivative<V>(&derivative, g, z, pixel * w.channels, dz);
        load_vector<V>(in + pixel * w.channels, raw);
        if (moving)
            load_weights<V>(&w, p.channel, (int)(pixel % w.image), &own);
#pragma unroll
        for (int v = 0; v < V; v++)
            x[v] = raw[v];
        apply_epilogue<V>(&epilogue, x);
#pragma unroll
        for (int v = 0; v < V; v++) {
            const bool passes = w.prelu && x[v] > 0;
            of_weight[v] += passes ? 0 : dz[v] * x[v];
            of_bias[v] += dz[v];
            dz[v] = passes ? dz[v] : dz[v] * own.weight[v];
        }
        if (give.gradient)
            give_vector<V>(&giving, to + pixel * w.channels, raw, dz);
    }
    const int own_channels = channels_of_block(&p, V, w.channels);
    if (weight_partial.rows)
        add_lanes<V, V>(&p, w.channels, of_weight, shared, weight_partial.rows + block * w.channels, 1, 0);
    if (bias_partial.rows)
        add_lanes<V, V>(&p, w.channels, of_bias, shared, bias_partial.rows + block * w.channels, 1, 0);
    giving_finish<V>(&giving, &p, w.channels, shared, &give, weight_sums_of(&weight_partial, p.first, own_channels),
                     weight_sums_of(&bias_partial, p.first, own_channels));
}

/* Gradients of weights per value, and of vectors beside them: a thread adds up what belongs to one weight. A student's
 * gradients are `stride` floats further on. */
template <typename TI, typename TO>
static __global__ void __launch_bounds__(CHANNEL_THREADS)
    value_gradient(struct cuda_derivative from, struct cuda_read read, struct weights w, float *gradient, int count,
                   int of_weight, size_t stride, int samples)
{
    const int index = blockIdx.x * CHANNEL_THREADS + threadIdx.x;
    if (index >= count)
        return;
    const bool vector = count == w.channels && w.image > 1;
    struct place p;
    p.active = true;
    p.channel = vector ? index : index / w.image;
    const struct derivative<1> derivative = derivative_of<1>(&from, &p);
    const struct epilogue<1> epilogue = epilogue_of<1>(&read, &p);
    const TO *g = derivative_gradient<TO>(&from, p.channel), *z = derivative_values<TO>(&from, p.channel);
    const TI *in = values_of<TI>(&read, p.channel);
    const size_t first = vector ? 0 : index % w.image, step = vector ? 1 : w.image;
    float sum = 0;
    for (size_t pixel = first; pixel < (size_t)samples * w.image; pixel += step) {
        float dz, x = 1;
        load_derivative<1>(&derivative, g, z, pixel * w.channels, &dz);
        if (of_weight) {
            x = load(in + pixel * w.channels);
            apply_epilogue<1>(&epilogue, &x);
        }
        sum += dz * x;
    }
    gradient[blockIdx.z * stride + index] = sum;
}

/* ---- host ---- */
static int count_of(const struct cuda_run *run, int weight)
{
    return weight < 0 ? 0 : (int)run->plan->graph->weights[weight].count;
}

static struct weights weights_of(const struct cuda_run *run)
{
    const struct shape s = cuda_output_of(run)->shape;
    const struct plan_step *step = run->step;
    struct weights w = {};
    w.weight = weight_values(run->memory, step->weight);
    w.bias = weight_values(run->memory, step->bias);
    w.weight_stride = weight_stride(run->plan, step->weight);
    w.bias_stride = weight_stride(run->plan, step->bias);
    w.weight_count = count_of(run, run->node->weight);
    w.bias_count = count_of(run, run->node->bias);
    w.prelu = step->kind == STEP_PRELU;
    w.channels = s.c;
    w.image = s.h * s.w;
    return w;
}

/* Sums for the gradients of weight and bias, beside those of the input's batch norm. */
static size_t scratch(const struct plan *plan, const struct plan_step *step)
{
    return 2 * (size_t)CUDA_MAX_BLOCKS * (size_t)plan->tensors[step->output].shape.c;
}

static enum status forward(const struct cuda_run *run, struct error *err)
{
    const struct plan_tensor *in = cuda_input_of(run), *out = cuda_output_of(run);
    const struct cuda_read read = cuda_read_of(run, in);
    const struct cuda_write write = cuda_write_of(run, run->scratch);
    const struct weights w = weights_of(run);
    const size_t pixels = (size_t)run->pass->count * w.image;
    const struct channel_grid g = channel_grid_of(w.channels, vector_width(w.channels), pixels, 1, MAX_VECTORS);
    const dim3 grid = channel_dim(&g, run->students);
    DISPATCH(cuda_dtype_of(run, in), cuda_dtype_of(run, out), g.width,
             LAUNCH((weigh<TI, TO, V>), grid, CHANNEL_THREADS, 0, run->stream, read, w, write, g.vectors, pixels));
    return cuda_launched("weigh", err);
}

static enum status value_gradients(const struct cuda_run *run, const struct weights *w, float *gradient, int count,
                                   int of_weight, struct error *err)
{
    const struct plan_tensor *in = cuda_input_of(run), *out = cuda_output_of(run);
    const struct cuda_derivative derivative = cuda_derivative_of(run);
    const struct cuda_read read = cuda_read_of(run, in);
    const dim3 grid((count + CHANNEL_THREADS - 1) / CHANNEL_THREADS, 1, run->students);
    DISPATCH_TYPES(cuda_dtype_of(run, in), cuda_dtype_of(run, out),
                   LAUNCH((value_gradient<TI, TO>), grid, CHANNEL_THREADS, 0, run->stream, derivative, read, *w,
                          gradient, count, of_weight, run->plan->parameter_count, run->pass->count));
    return cuda_launched("value_gradient", err);
}

static enum status backward(const struct cuda_run *run, struct error *err)
{
    enum status status = STATUS_OK;
    const struct plan_tensor *in = cuda_input_of(run), *out = cuda_output_of(run);
    const struct cuda_derivative derivative = cuda_derivative_of(run);
    const struct weights w = weights_of(run);
    const size_t pixels = (size_t)run->pass->count * w.image;
    const struct channel_grid g = channel_grid_of(w.channels, vector_width(w.channels), pixels, 1, MAX_VECTORS);
    const size_t sums = (size_t)run->students * g.blocks * w.channels;
    const struct cuda_give give = cuda_give_of(run, run->scratch);
    const bool moving = w.image > 1 && (w.weight_count > w.channels || w.bias_count > w.channels);
    const bool one = w.weight_count == 1; /* for all channels */
    float *const weight = weight_gradient(run->memory, run->step->weight);
    float *const bias = weight_gradient(run->memory, run->step->bias);
    struct cuda_partial weight_partial = {}, bias_partial = {};
    if (weight && !moving)
        weight_partial = cuda_partial_of(run, &run->step->weight, run->scratch + 2 * sums, w.channels);
    if (bias && !moving)
        bias_partial = cuda_partial_of(run, &run->step->bias, run->scratch + 3 * sums, w.channels);
    if (one)
        weight_partial.gradient = NULL;
    const dim3 grid = channel_dim(&g, run->students);
    DISPATCH(cuda_dtype_of(run, in), cuda_dtype_of(run, out), g.width,
             LAUNCH((weigh_gradient<TI, TO, V>), grid, CHANNEL_THREADS, 0, run->stream, derivative, w, give,
                    weight_partial, bias_partial, g.vectors, pixels));
    TRY(cuda_launched("weigh_gradient", err));
    if (weight && moving)
        TRY(value_gradients(run, &w, weight, w.weight_count, 1, err));
    else if (weight && one)
        TRY(cuda_reduce(run->stream, weight_partial.rows, g.blocks * w.channels, 1, run->students, weight,
                        weight_partial.stride, err));
    if (bias && moving)
        TRY(value_gradients(run, &w, bias, w.bias_count, 0, err));
cleanup:
    return status;
}

extern "C" {
const struct cuda_step_kernel cuda_scale = {scratch, forward, backward}, cuda_prelu = {scratch, forward, backward};
}
