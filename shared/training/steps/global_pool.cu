/* Global average pooling: [h, w, c] -> [c].
 *
 * Forward: a block takes the channels of an image, its lanes add up pixels, and the sums of the lanes are added in
 * order. Backward: every pixel gets its share of the image's gradient, which comes from the caches. Memory traffic is
 * the minimum: forward one read of the input, backward one write of its gradient (and what the epilogue reads). */
#include "shared/training/cuda/cuda_window.cuh"

enum { RUN = 4, RUN_BACK = 2 /* pixels that a thread has in flight */ };

template <typename TI, typename TO, int V>
static __global__ void __launch_bounds__(CHANNEL_THREADS, 3)
    global_pool(struct cuda_read read, struct cuda_write write, int channels, int vectors, int pixels, int samples)
{
    __shared__ float shared[LANE_FLOATS], sums[MAX_VECTORS * 4];
    const struct place p = place_of<V>(channels, vectors);
    const struct epilogue<V> epilogue = epilogue_of<V>(&read, &p);
    const TI *in = values_of<TI>(&read, p.channel);
    TO *out = output_of<TO>(&write, p.channel);
    struct tally<V> tally;
    tally_clear(&tally);
    for (int n = blockIdx.x; n < samples; n += gridDim.x) {
        const TI *image = in + (size_t)n * pixels * channels;
        float sum[V];
        clear<V>(sum);
        for (int pixel = p.lane; p.active && pixel < pixels; pixel += RUN * p.lanes) {
            const int count = run_length<RUN>(pixel, p.lanes, pixels);
            float x[RUN][V];
            load_run<RUN, V>(image, (size_t)pixel * channels, (size_t)p.lanes * channels, count, x);
#pragma unroll
            for (int i = 0; i < RUN; i++) {
                if (i >= count)
                    break;
                apply_epilogue<V>(&epilogue, x[i]);
#pragma unroll
                for (int v = 0; v < V; v++)
                    sum[v] += x[i][v];
            }
        }
        add_lanes<V, V>(&p, channels, sum, shared, sums - p.first, 1, 0);
        __syncthreads();
        if (p.lane > 0 || !p.active)
            continue;
#pragma unroll
        for (int v = 0; v < V; v++)
            sum[v] = sums[p.channel - p.first + v] / pixels;
        store_vector<V>(out + (size_t)n * channels, sum);
        tally_add<V>(&tally, sum);
    }
    tally_finish<V>(&tally, &p, channels, shared, &write);
}

template <typename TI, typename TO, int V>
static __global__ void __launch_bounds__(CHANNEL_THREADS, 2)
    global_pool_gradient(struct cuda_derivative from, struct cuda_give give, struct window w, int vectors)
{
    __shared__ float shared[LANE_FLOATS];
    const struct place p = place_of<V>(w.channels, vectors);
    const struct derivative<V> derivative = derivative_of<V>(&from, &p);
    const TO *g = derivative_gradient<TO>(&from, p.channel), *z = derivative_values<TO>(&from, p.channel);
    const TI *in = values_of<TI>(&give.input, p.channel);
    TI *to = gradient_of<TI>(&give, p.channel);
    struct giving<V> giving = giving_of<V>(&give, &p);
    const int image = w.y.in * w.x.in;
    const size_t pixels = (size_t)w.samples * image, stride = (size_t)gridDim.x * p.lanes;
    const size_t first = (size_t)blockIdx.x * p.lanes + p.lane;
    struct walk at = walk_of(1, image, first, stride);
    for (size_t pixel = first; p.active && pixel < pixels; pixel += RUN_BACK * stride) {
        const int count = run_length<RUN_BACK>(pixel, stride, pixels);
        float dz[RUN_BACK][V];
#pragma unroll
        for (int i = 0; i < RUN_BACK; i++) {
            clear<V>(dz[i]);
            if (i < count)
                load_derivative<V>(&derivative, g, z, (size_t)at.n * w.channels, dz[i]);
#pragma unroll
            for (int v = 0; v < V; v++)
                dz[i][v] /= image;
            walk_on(&at);
        }
        give_run<RUN_BACK, V>(&giving, to, in, pixel * w.channels, stride * w.channels, count, dz);
    }
    giving_finish<V>(&giving, &p, w.channels, shared, &give);
}

/* ---- host ---- */
static enum status forward(const struct cuda_run *run, struct error *err)
{
    const struct plan_tensor *in = cuda_input_of(run), *out = cuda_output_of(run);
    const struct cuda_read read = cuda_read_of(run, in);
    const struct cuda_write write = cuda_write_of(run, run->scratch);
    const int channels = in->shape.c, pixels = in->shape.h * in->shape.w, samples = run->pass->count;
    struct channel_grid g = channel_grid_of(channels, vector_width(channels), (size_t)samples, 1, MAX_VECTORS);
    g.blocks = samples < CUDA_MAX_BLOCKS ? samples : CUDA_MAX_BLOCKS;
    const dim3 grid = channel_dim(&g, run->students);
    DISPATCH(cuda_dtype_of(run, in), cuda_dtype_of(run, out), g.width,
             LAUNCH((global_pool<TI, TO, V>), grid, CHANNEL_THREADS, 0, run->stream, read, write, channels, g.vectors,
                    pixels, samples));
    return cuda_launched("global_pool", err);
}

static enum status backward(const struct cuda_run *run, struct error *err)
{
    const struct plan_tensor *in = cuda_input_of(run), *out = cuda_output_of(run);
    const struct window w = window_of(run);
    const struct cuda_derivative derivative = cuda_derivative_of(run);
    const struct cuda_give give = cuda_give_of(run, run->scratch);
    const size_t pixels = (size_t)w.samples * w.y.in * w.x.in;
    const struct channel_grid g = channel_grid_of(w.channels, vector_width(w.channels), pixels, 1, MAX_VECTORS);
    const dim3 grid = channel_dim(&g, run->students);
    if (in->gradient == PLAN_NONE)
        return STATUS_OK;
    DISPATCH(cuda_dtype_of(run, in), cuda_dtype_of(run, out), g.width,
             LAUNCH((global_pool_gradient<TI, TO, V>), grid, CHANNEL_THREADS, 0, run->stream, derivative, give, w,
                    g.vectors));
    return cuda_launched("global_pool_gradient", err);
}

extern "C" {
const struct cuda_step_kernel cuda_global_pool = {NULL, forward, backward};
}
