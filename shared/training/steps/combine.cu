/* Steps that move values and have no weights: add, concat, copy.
 *
 * Walks over pixels with the channels of cuda_channels.cuh. Forward reads every input once and writes the output once.
 * Backward runs once for every input: it reads g (and z if a batch norm follows) and writes the input's gradient, plus
 * what its epilogue reads. Nothing is read twice: memory traffic is the minimum. */
#include "shared/training/cuda/cuda_channel_sums.cuh"

enum { RUN = 2 /* pixels that a thread has in flight */ };

/* The inputs of a step. It is an argument of kernels, which may have 4 KB of arguments. */
struct sources {
    struct cuda_read reads[NODE_MAX_INPUTS];
    int channels[NODE_MAX_INPUTS];
    uint64_t wide; /* bit i: input i is stored as float, whatever the plan's dtype */
    int count;
};
static_assert(NODE_MAX_INPUTS <= 64, "one bit for every input");

/* x[RUN][V] = `count` completed pixels of an input: first, first + step, ... */
template <typename T, int V>
static __device__ __forceinline__ void load_input(const struct sources *sources, int input, const struct place *p,
                                                  size_t first, size_t step, int count, float x[RUN][V])
{
    const struct cuda_read *read = &sources->reads[input];
    const struct epilogue<V> c = epilogue_of<V>(read, p);
    const size_t channels = sources->channels[input];
    if (sources->wide >> input & 1)
        load_run<RUN, V>(values_of<float>(read, p->channel), first * channels, step * channels, count, x);
    else
        load_run<RUN, V>(values_of<T>(read, p->channel), first * channels, step * channels, count, x);
#pragma unroll
    for (int i = 0; i < RUN; i++)
        apply_epilogue<V>(&c, x[i]);
}

/* out[pixel][channel] = the sum of the inputs; concat: the value of the input that has this channel. */
template <typename T, typename TO, int V, bool CONCAT>
static __global__ void __launch_bounds__(CHANNEL_THREADS, 3)
    combine(struct sources sources, struct cuda_write out, int channels, int vectors, size_t pixels)
{
    __shared__ float shared[LANE_FLOATS];
    const struct place p = place_of<V>(channels, vectors);
    const size_t step = p.lanes, stride = gridDim.x * step * RUN;
    TO *values = output_of<TO>(&out, p.channel);
    struct place from = p;
    int begin = 0, end = sources.count;
    struct tally<V> tally;
    tally_clear(&tally);
    if (CONCAT) {
        while (begin < end - 1 && from.channel >= sources.channels[begin])
            from.channel -= sources.channels[begin++];
        end = begin + 1;
    }
    for (size_t first = blockIdx.x * step * RUN + p.lane; p.active && first < pixels; first += stride) {
        const int count = run_length<RUN>(first, step, pixels);
        float sum[RUN][V], x[RUN][V];
        load_input<T, V>(&sources, begin, &from, first, step, count, sum);
        for (int input = begin + 1; input < end; input++) {
            load_input<T, V>(&sources, input, &from, first, step, count, x);
#pragma unroll
            for (int i = 0; i < RUN; i++)
#pragma unroll
                for (int v = 0; v < V; v++)
                    sum[i][v] += x[i][v];
        }
#pragma unroll
        for (int i = 0; i < RUN; i++)
            if (i < count) {
                store_vector<V>(values + (first + i * step) * channels, sum[i]);
                tally_add<V>(&tally, sum[i]);
            }
    }
    tally_finish<V>(&tally, &p, channels, shared, &out);
}

/* The gradient of one input from the output's channels, the first of which is `skip`. */
template <typename TI, typename TO, int V>
static __global__ void __launch_bounds__(CHANNEL_THREADS, 2)
    pass_on(struct cuda_derivative from, struct cuda_give give, int channels, int out_channels, int skip, int vectors,
            size_t pixels)
{
    __shared__ float shared[LANE_FLOATS];
    const struct place p = place_of<V>(channels, vectors);
    struct place out = p;
    out.channel += skip;
    const struct derivative<V> derivative = derivative_of<V>(&from, &out);
    struct giving<V> giving = giving_of<V>(&give, &p);
    const TO *g = derivative_gradient<TO>(&from, out.channel);
    const TO *z = derivative_values<TO>(&from, out.channel);
    TI *to = gradient_of<TI>(&give, p.channel);
    const TI *in = values_of<TI>(&give.input, p.channel);
    const size_t stride = (size_t)gridDim.x * p.lanes;
    for (size_t first = (size_t)blockIdx.x * p.lanes + p.lane; p.active && first < pixels; first += RUN * stride) {
        const int count = run_length<RUN>(first, stride, pixels);
        float dz[RUN][V];
        load_derivative_run<RUN, V>(&derivative, g, z, first * out_channels, stride * out_channels, count, dz);
        give_run<RUN, V>(&giving, to, in, first * channels, stride * channels, count, dz);
    }
    giving_finish<V>(&giving, &p, channels, shared, &give);
}

/* ---- a copy that flattens puts the sample into C, H, W order: one transposition per sample ---- */
/* A thread owns a feature; inputs are read with a stride of `channels`. */
template <typename TI, typename TO>
static __global__ void __launch_bounds__(CHANNEL_THREADS, 3)
    flatten(struct cuda_read in, struct cuda_write out, int channels, int features, int vectors, size_t samples)
{
    __shared__ float shared[LANE_FLOATS];
    const struct place p = place_of<1>(features, vectors);
    const int image = features / channels;
    struct place from = p;
    from.channel = p.channel / image;
    const struct epilogue<1> epilogue = epilogue_of<1>(&in, &from);
    const TI *x = values_of<TI>(&in, from.channel) + (size_t)(p.channel % image) * channels;
    TO *y = output_of<TO>(&out, p.channel);
    const size_t stride = (size_t)gridDim.x * p.lanes;
    struct tally<1> tally;
    tally_clear(&tally);
    for (size_t sample = (size_t)blockIdx.x * p.lanes + p.lane; p.active && sample < samples; sample += stride) {
        float value = load(x + sample * features);
        apply_epilogue<1>(&epilogue, &value);
        store_vector<1>(y + sample * features, &value);
        tally_add<1>(&tally, &value);
    }
    tally_finish<1>(&tally, &p, features, shared, &out);
}

/* A thread owns a channel of the input; the output's gradient is read with a stride of the image. */
template <typename TI, typename TO>
static __global__ void __launch_bounds__(CHANNEL_THREADS, 3)
    unflatten(struct cuda_derivative from, struct cuda_give give, int channels, int features, int vectors,
              size_t pixels)
{
    __shared__ float shared[LANE_FLOATS];
    const struct place p = place_of<1>(channels, vectors);
    const int image = features / channels;
    struct giving<1> giving = giving_of<1>(&give, &p);
    const TO *g = derivative_gradient<TO>(&from, 0);
    const TO *z = derivative_values<TO>(&from, 0);
    TI *to = gradient_of<TI>(&give, p.channel);
    const TI *in = values_of<TI>(&give.input, p.channel);
    const size_t stride = (size_t)gridDim.x * p.lanes;
    for (size_t pixel = (size_t)blockIdx.x * p.lanes + p.lane; p.active && pixel < pixels; pixel += stride) {
        const size_t sample = pixel / image;
        struct place feature = p;
        feature.channel = p.channel * image + (int)(pixel - sample * image);
        const struct derivative<1> derivative = derivative_of<1>(&from, &feature);
        float dz;
        load_derivative<1>(&derivative, g, z, sample * features + feature.channel, &dz);
        give_at<1>(&giving, to, in, pixel * channels, &dz);
    }
    giving_finish<1>(&giving, &p, channels, shared, &give);
}

/* ---- host ---- */
static size_t pixels_of(const struct cuda_run *run, const struct plan_tensor *tensor)
{
    return (size_t)run->pass->count * tensor->shape.h * tensor->shape.w;
}

/* Vectors of the output belong to one input each only if the channels of all inputs are multiples of 4. */
static int width_of(const struct cuda_run *run)
{
    int width = 4;
    for (int i = 0; i < run->step->input_count; i++)
        if (vector_width(run->plan->tensors[run->step->inputs[i].tensor].shape.c) == 1)
            width = 1;
    return width;
}

static enum status combine_forward(const struct cuda_run *run, bool concat, struct error *err)
{
    const struct plan_tensor *out = cuda_output_of(run);
    const struct cuda_write write = cuda_write_of(run, run->scratch);
    const int channels = out->shape.c;
    const size_t pixels = pixels_of(run, out);
    const struct channel_grid g = channel_grid_of(channels, width_of(run), pixels, RUN, MAX_VECTORS);
    struct sources sources = {};
    for (int i = 0; i < run->step->input_count; i++) {
        const struct plan_tensor *in = &run->plan->tensors[run->step->inputs[i].tensor];
        sources.reads[i] = cuda_read_of(run, in);
        sources.channels[i] = in->shape.c;
        sources.wide |= (uint64_t)(cuda_dtype_of(run, in) == DTYPE_FP32) << i;
    }
    sources.count = run->step->input_count;
    const dim3 grid = channel_dim(&g, run->students);
    if (concat)
        DISPATCH(run->plan->dtype, cuda_dtype_of(run, out), g.width,
                 LAUNCH((combine<TI, TO, V, true>), grid, CHANNEL_THREADS, 0, run->stream, sources, write, channels,
                        g.vectors, pixels));
    else
        DISPATCH(run->plan->dtype, cuda_dtype_of(run, out), g.width,
                 LAUNCH((combine<TI, TO, V, false>), grid, CHANNEL_THREADS, 0, run->stream, sources, write, channels,
                        g.vectors, pixels));
    return cuda_launched("combine", err);
}

static enum status combine_backward(const struct cuda_run *run, int skip, struct error *err)
{
    const struct plan_tensor *in = cuda_input_of(run), *out = cuda_output_of(run);
    const struct cuda_derivative derivative = cuda_derivative_of(run);
    const struct cuda_give give = cuda_give_of(run, run->scratch);
    const int channels = in->shape.c, out_channels = out->shape.c;
    const size_t pixels = pixels_of(run, in);
    const struct channel_grid g = channel_grid_of(channels, width_of(run), pixels, 1, MAX_VECTORS);
    const dim3 grid = channel_dim(&g, run->students);
    if (in->gradient == PLAN_NONE)
        return STATUS_OK;
    DISPATCH(cuda_dtype_of(run, in), cuda_dtype_of(run, out), g.width,
             LAUNCH((pass_on<TI, TO, V>), grid, CHANNEL_THREADS, 0, run->stream, derivative, give, channels,
                    out_channels, skip, g.vectors, pixels));
    return cuda_launched("pass_on", err);
}

static enum status add_forward(const struct cuda_run *run, struct error *err)
{
    return combine_forward(run, false, err);
}

static enum status add_backward(const struct cuda_run *run, struct error *err)
{
    return combine_backward(run, 0, err);
}

static enum status concat_forward(const struct cuda_run *run, struct error *err)
{
    return combine_forward(run, true, err);
}

static enum status concat_backward(const struct cuda_run *run, struct error *err)
{
    int skip = 0; /* channels of the inputs before this one */
    for (const struct plan_input *input = run->step->inputs; input != run->input; input++)
        skip += run->plan->tensors[input->tensor].shape.c;
    return combine_backward(run, skip, err);
}

static bool reorders(const struct cuda_run *run)
{
    const struct shape in = cuda_input_of(run)->shape, out = cuda_output_of(run)->shape;
    return in.h * in.w != out.h * out.w;
}

static enum status copy_forward(const struct cuda_run *run, struct error *err)
{
    const struct plan_tensor *in = cuda_input_of(run), *out = cuda_output_of(run);
    const struct cuda_read read = cuda_read_of(run, in);
    const struct cuda_write write = cuda_write_of(run, run->scratch);
    const int channels = in->shape.c, features = out->shape.c;
    const size_t samples = run->pass->count;
    const struct channel_grid g = channel_grid_of(features, 1, samples, 1, MAX_VECTORS);
    const dim3 grid = channel_dim(&g, run->students);
    if (!reorders(run))
        return add_forward(run, err);
    DISPATCH_TYPES(cuda_dtype_of(run, in), cuda_dtype_of(run, out),
                   LAUNCH((flatten<TI, TO>), grid, CHANNEL_THREADS, 0, run->stream, read, write, channels, features,
                          g.vectors, samples));
    return cuda_launched("flatten", err);
}

static enum status copy_backward(const struct cuda_run *run, struct error *err)
{
    const struct plan_tensor *in = cuda_input_of(run), *out = cuda_output_of(run);
    const struct cuda_derivative derivative = cuda_derivative_of(run);
    const struct cuda_give give = cuda_give_of(run, run->scratch);
    const int channels = in->shape.c, features = out->shape.c;
    const size_t pixels = pixels_of(run, in);
    const struct channel_grid g = channel_grid_of(channels, 1, pixels, 1, MAX_VECTORS);
    const dim3 grid = channel_dim(&g, run->students);
    if (!reorders(run))
        return add_backward(run, err);
    if (in->gradient == PLAN_NONE)
        return STATUS_OK;
    DISPATCH_TYPES(cuda_dtype_of(run, in), cuda_dtype_of(run, out),
                   LAUNCH((unflatten<TI, TO>), grid, CHANNEL_THREADS, 0, run->stream, derivative, give, channels,
                          features, g.vectors, pixels));
    return cuda_launched("unflatten", err);
}

extern "C" {
const struct cuda_step_kernel cuda_add = {NULL, add_forward, add_backward};
const struct cuda_step_kernel cuda_concat = {NULL, concat_forward, concat_backward};
const struct cuda_step_kernel cuda_copy = {NULL, copy_forward, copy_backward};
}
