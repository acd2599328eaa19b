/* Max and average pooling.
 *
 * Walks over pixels with the channels of cuda_channels.cuh: forward over the outputs, backward over the inputs, which
 * gather from the windows that cover them. Forward stores nothing for backward, which searches for the largest value of
 * a window again; the first of several equal ones gets the gradient. Memory sees every value about once: the taps of
 * overlapping windows, and backward the rest of a window, come from the caches. */
#include "shared/training/cuda/cuda_window.cuh"

/* The positions of window number o that count for an average along one axis: those inside the input, with or without
 * its padding. */
static __device__ __forceinline__ int positions(const struct axis *a, int o, int with_padding)
{
    const int first = o * a->stride - a->pad, end = first + a->kernel;
    const int begin = with_padding || first > 0 ? first : 0, last = a->in + (with_padding ? a->pad_after : 0);
    return (end < last ? end : last) - begin;
}

static __device__ __forceinline__ float divisor(const struct window *w, int oy, int ox, int with_padding)
{
    return (float)(positions(&w->y, oy, with_padding) * positions(&w->x, ox, with_padding));
}

/* The completed values of window (oy, ox) of an image: their largest, or their sum in order. first[V]: the first tap
 * that has the largest value. */
template <typename T, int V, bool MAX>
static __device__ __forceinline__ void look(const struct window *w, const struct epilogue<V> *epilogue, const T *image,
                                            int oy, int ox, float *result, int *first)
{
    bool some = false;
    clear<V>(result);
#pragma unroll
    for (int v = 0; v < V; v++)
        first[v] = -1;
    for (int tap = 0; tap < w->y.kernel * w->x.kernel; tap++) {
        const int iy = oy * w->y.stride - w->y.pad + tap / w->x.kernel * w->y.dilation;
        const int ix = ox * w->x.stride - w->x.pad + tap % w->x.kernel * w->x.dilation;
        if (iy < 0 || iy >= w->y.in || ix < 0 || ix >= w->x.in)
            continue;
        float value[V];
        load_vector<V>(image + ((size_t)iy * w->x.in + ix) * w->channels, value);
        apply_epilogue<V>(epilogue, value);
#pragma unroll
        for (int v = 0; v < V; v++) {
            if (!MAX) {
                result[v] += value[v];
            } else if (!some || value[v] > result[v]) {
                result[v] = value[v];
                first[v] = tap;
            }
        }
        some = true;
    }
}

template <typename TI, typename TO, int V, bool MAX>
static __global__ void __launch_bounds__(CHANNEL_THREADS, 3)
    pool(struct cuda_read read, struct cuda_write write, struct window w, int with_padding, int vectors)
{
    __shared__ float shared[LANE_FLOATS];
    const struct place p = place_of<V>(w.channels, vectors);
    const struct epilogue<V> epilogue = epilogue_of<V>(&read, &p);
    const TI *in = values_of<TI>(&read, p.channel);
    TO *out = output_of<TO>(&write, p.channel);
    struct walk at = walk_of(w.y.out, w.x.out, blockIdx.x * (size_t)p.lanes + p.lane, (size_t)gridDim.x * p.lanes);
    struct tally<V> tally;
    tally_clear(&tally);
    for (; p.active && at.n < w.samples; walk_on(&at)) {
        const TI *image = in + (size_t)at.n * w.y.in * w.x.in * w.channels;
        float result[V];
        int first[V];
        look<TI, V, MAX>(&w, &epilogue, image, at.y, at.x, result, first);
        if (!MAX) {
            const float count = divisor(&w, at.y, at.x, with_padding);
#pragma unroll
            for (int v = 0; v < V; v++)
                result[v] /= count;
        }
        store_vector<V>(out + walk_pixel(&at) * w.channels, result);
        tally_add<V>(&tally, result);
    }
    tally_finish<V>(&tally, &p, w.channels, shared, &write);
}

/* The windows that cover input position i: from *from to *to. */
static __device__ __forceinline__ void covering(const struct axis *a, int i, int *from, int *to)
{
    const int reach = i + a->pad - (a->kernel - 1) * a->dilation;
    const int last = (i + a->pad) / a->stride;
    *from = reach > 0 ? (reach + a->stride - 1) / a->stride : 0;
    *to = last < a->out - 1 ? last : a->out - 1;
}

/* The tap of window o that reads input position i; -1: none, it lies between taps. */
static __device__ __forceinline__ int tap_at(const struct axis *a, int i, int o)
{
    const int distance = i + a->pad - o * a->stride;
    return a->dilation == 1 ? distance : distance % a->dilation ? -1 : distance / a->dilation;
}

template <typename TI, typename TO, int V, bool MAX>
static __global__ void __launch_bounds__(CHANNEL_THREADS, 2)
    pool_gradient(struct cuda_derivative from, struct cuda_give give, struct window w, int with_padding, int vectors)
{
    __shared__ float shared[LANE_FLOATS];
    const struct place p = place_of<V>(w.channels, vectors);
    const struct epilogue<V> epilogue = epilogue_of<V>(&give.input, &p);
    const struct derivative<V> derivative = derivative_of<V>(&from, &p);
    const TO *g = derivative_gradient<TO>(&from, p.channel), *z = derivative_values<TO>(&from, p.channel);
    const TI *in = values_of<TI>(&give.input, p.channel);
    TI *to = gradient_of<TI>(&give, p.channel);
    struct giving<V> giving = giving_of<V>(&give, &p);
    struct walk at = walk_of(w.y.in, w.x.in, blockIdx.x * (size_t)p.lanes + p.lane, (size_t)gridDim.x * p.lanes);
    for (; p.active && at.n < w.samples; walk_on(&at)) {
        const TI *image = in + (size_t)at.n * w.y.in * w.x.in * w.channels;
        int y_from, y_to, x_from, x_to;
        float dx[V];
        clear<V>(dx);
        covering(&w.y, at.y, &y_from, &y_to);
        covering(&w.x, at.x, &x_from, &x_to);
        for (int oy = y_from; oy <= y_to; oy++)
            for (int ox = x_from; ox <= x_to; ox++) {
                const int ky = tap_at(&w.y, at.y, oy), kx = tap_at(&w.x, at.x, ox);
                if (ky < 0 || kx < 0)
                    continue;
                float dz[V], largest[V];
                int first[V];
                load_derivative<V>(&derivative, g, z, (((size_t)at.n * w.y.out + oy) * w.x.out + ox) * w.channels, dz);
                if (MAX)
                    look<TI, V, MAX>(&w, &epilogue, image, oy, ox, largest, first);
                const float count = MAX ? 1 : divisor(&w, oy, ox, with_padding);
#pragma unroll
                for (int v = 0; v < V; v++)
                    if (!MAX)
                        dx[v] += dz[v] / count;
                    else if (first[v] == ky * w.x.kernel + kx)
                        dx[v] += dz[v];
            }
        give_at<V>(&giving, to, in, walk_pixel(&at) * w.channels, dx);
    }
    giving_finish<V>(&giving, &p, w.channels, shared, &give);
}

/* ---- host ---- */
static struct channel_grid grid_of(const struct window *w, size_t pixels)
{
    return channel_grid_of(w->channels, vector_width(w->channels), w->samples * pixels, 1, MAX_VECTORS);
}

static enum status forward(const struct cuda_run *run, struct error *err)
{
    const enum dtype in = cuda_dtype_of(run, cuda_input_of(run)), out = cuda_dtype_of(run, cuda_output_of(run));
    const struct window w = window_of(run);
    const struct cuda_read read = cuda_read_of(run, cuda_input_of(run));
    const struct cuda_write write = cuda_write_of(run, run->scratch);
    const struct channel_grid g = grid_of(&w, (size_t)w.y.out * w.x.out);
    const dim3 grid = channel_dim(&g, run->students);
    const int with_padding = run->node->count_include_pad;
    if (run->step->kind == STEP_MAX_POOL)
        DISPATCH(in, out, g.width,
                 LAUNCH((pool<TI, TO, V, true>), grid, CHANNEL_THREADS, 0, run->stream, read, write, w, with_padding,
                        g.vectors));
    else
        DISPATCH(in, out, g.width,
                 LAUNCH((pool<TI, TO, V, false>), grid, CHANNEL_THREADS, 0, run->stream, read, write, w, with_padding,
                        g.vectors));
    return cuda_launched("pool", err);
}

static enum status backward(const struct cuda_run *run, struct error *err)
{
    const enum dtype in = cuda_dtype_of(run, cuda_input_of(run)), out = cuda_dtype_of(run, cuda_output_of(run));
    const struct window w = window_of(run);
    const struct cuda_derivative derivative = cuda_derivative_of(run);
    const struct cuda_give give = cuda_give_of(run, run->scratch);
    const struct channel_grid g = grid_of(&w, (size_t)w.y.in * w.x.in);
    const dim3 grid = channel_dim(&g, run->students);
    const int with_padding = run->node->count_include_pad;
    if (cuda_input_of(run)->gradient == PLAN_NONE)
        return STATUS_OK;
    if (run->step->kind == STEP_MAX_POOL)
        DISPATCH(in, out, g.width,
                 LAUNCH((pool_gradient<TI, TO, V, true>), grid, CHANNEL_THREADS, 0, run->stream, derivative, give, w,
                        with_padding, g.vectors));
    else
        DISPATCH(in, out, g.width,
                 LAUNCH((pool_gradient<TI, TO, V, false>), grid, CHANNEL_THREADS, 0, run->stream, derivative, give, w,
                        with_padding, g.vectors));
    return cuda_launched("pool_gradient", err);
}

extern "C" {
const struct cuda_step_kernel cuda_max_pool = {NULL, forward, backward};
const struct cuda_step_kernel cuda_average_pool = {NULL, forward, backward};
}
