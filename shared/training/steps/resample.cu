/* Pad and resize: every output is a weighted sum of up to four pixels of the input.
 *
 * Walks over pixels with the channels of cuda_channels.cuh. Forward reads the four pixels, which neighbours share
 * through the caches. Backward gathers: a thread looks at the few outputs that can have read its pixel, so that nothing
 * is added by atomics. */
#include "shared/training/cuda/cuda_window.cuh"
#include "shared/training/steps/resample.h"

template <typename TI, typename TO, int V>
static __global__ void __launch_bounds__(CHANNEL_THREADS, 3)
    resample_values(struct cuda_read read, struct resample r, struct cuda_write write, int channels, int vectors,
                    int samples)
{
    __shared__ float shared[LANE_FLOATS];
    const struct place p = place_of<V>(channels, vectors);
    const struct epilogue<V> epilogue = epilogue_of<V>(&read, &p);
    const TI *in = values_of<TI>(&read, p.channel);
    TO *out = output_of<TO>(&write, p.channel);
    struct tally<V> tally;
    tally_clear(&tally);
    struct walk at = walk_of(r.y.out, r.x.out, blockIdx.x * (size_t)p.lanes + p.lane, (size_t)gridDim.x * p.lanes);
    for (; p.active && at.n < samples; walk_on(&at)) {
        const struct resize_tap y = resample_tap(&r.y, at.y), x = resample_tap(&r.x, at.x);
        const bool inside = y.low >= 0 && x.low >= 0;
        float sum[V];
#pragma unroll
        for (int v = 0; v < V; v++)
            sum[v] = inside ? 0 : r.constant;
        for (int i = 0; inside && i < 4; i++) {
            const float share = (i / 2 ? y.fraction : 1 - y.fraction) * (i % 2 ? x.fraction : 1 - x.fraction);
            const size_t row = (size_t)at.n * r.y.in + (i / 2 ? y.high : y.low);
            float value[V];
            if (share == 0)
                continue;
            load_vector<V>(in + (row * r.x.in + (i % 2 ? x.high : x.low)) * channels, value);
            apply_epilogue<V>(&epilogue, value);
#pragma unroll
            for (int v = 0; v < V; v++)
                sum[v] += share * value[v];
        }
        store_vector<V>(out + walk_pixel(&at) * channels, sum);
        tally_add<V>(&tally, sum);
    }
    tally_finish<V>(&tally, &p, channels, shared, &write);
}

template <typename TI, typename TO, int V>
static __global__ void __launch_bounds__(CHANNEL_THREADS, 3)
    resample_gradient(struct cuda_derivative from, struct resample r, struct cuda_give give, int channels, int vectors,
                      int samples)
{
    __shared__ float shared[LANE_FLOATS];
    const struct place p = place_of<V>(channels, vectors);
    const struct derivative<V> derivative = derivative_of<V>(&from, &p);
    const TO *g = derivative_gradient<TO>(&from, p.channel), *z = derivative_values<TO>(&from, p.channel);
    struct giving<V> giving = giving_of<V>(&give, &p);
    TI *to = gradient_of<TI>(&give, p.channel);
    const TI *in = values_of<TI>(&give.input, p.channel);
    struct walk at = walk_of(r.y.in, r.x.in, blockIdx.x * (size_t)p.lanes + p.lane, (size_t)gridDim.x * p.lanes);
    for (; p.active && at.n < samples; walk_on(&at)) {
        int top, bottom, left, right;
        float sum[V];
        clear<V>(sum);
        resample_readers(&r.y, at.y, &top, &bottom);
        resample_readers(&r.x, at.x, &left, &right);
        for (int y = top; y < bottom; y++) {
            const float down = resample_share(&r.y, y, at.y);
            for (int x = left; down != 0 && x < right; x++) {
                const float share = down * resample_share(&r.x, x, at.x);
                const size_t pixel = ((size_t)at.n * r.y.out + y) * r.x.out + x;
                float dz[V];
                if (share == 0)
                    continue;
                load_derivative<V>(&derivative, g, z, pixel * channels, dz);
#pragma unroll
                for (int v = 0; v < V; v++)
                    sum[v] += share * dz[v];
            }
        }
        give_at<V>(&giving, to, in, walk_pixel(&at) * channels, sum);
    }
    giving_finish<V>(&giving, &p, channels, shared, &give);
}

/* ---- host ---- */
static enum status forward(const struct cuda_run *run, struct error *err)
{
    const struct plan_tensor *in = cuda_input_of(run), *out = cuda_output_of(run);
    const struct cuda_read read = cuda_read_of(run, in);
    const struct cuda_write write = cuda_write_of(run, run->scratch);
    const struct resample r = resample_of(run->plan, run->step);
    const int channels = out->shape.c, samples = run->pass->count;
    const struct channel_grid g =
        channel_grid_of(channels, vector_width(channels), (size_t)samples * r.y.out * r.x.out, 1, MAX_VECTORS);
    const dim3 grid = channel_dim(&g, run->students);
    DISPATCH(cuda_dtype_of(run, in), cuda_dtype_of(run, out), g.width,
             LAUNCH((resample_values<TI, TO, V>), grid, CHANNEL_THREADS, 0, run->stream, read, r, write, channels,
                    g.vectors, samples));
    return cuda_launched("resample_values", err);
}

static enum status backward(const struct cuda_run *run, struct error *err)
{
    const struct plan_tensor *in = cuda_input_of(run), *out = cuda_output_of(run);
    const struct cuda_derivative derivative = cuda_derivative_of(run);
    const struct cuda_give give = cuda_give_of(run, run->scratch);
    const struct resample r = resample_of(run->plan, run->step);
    const int channels = in->shape.c, samples = run->pass->count;
    const struct channel_grid g =
        channel_grid_of(channels, vector_width(channels), (size_t)samples * r.y.in * r.x.in, 1, MAX_VECTORS);
    const dim3 grid = channel_dim(&g, run->students);
    DISPATCH(cuda_dtype_of(run, in), cuda_dtype_of(run, out), g.width,
             LAUNCH((resample_gradient<TI, TO, V>), grid, CHANNEL_THREADS, 0, run->stream, derivative, r, give,
                    channels, g.vectors, samples));
    return cuda_launched("resample_gradient", err);
}

extern "C" {
const struct cuda_step_kernel cuda_pad = {NULL, forward, backward}, cuda_resize = {NULL, forward, backward};
}
