/* Depthwise convolutions: every channel has a window of its own. Chooses between the tiles of depthwise_tiles.cu and
 * the kernels here, which take any kernel, stride and dilation.
 *
 * These kernels walk over pixels with the channels of cuda_channels.cuh and gather from global memory. Every tap is
 * read again, but from the caches: memory sees each value about once, the caches `taps` times. The weights' gradient is
 * a kernel of its own that reads both tensors once per tap. */
#include "shared/training/steps/depthwise.cuh"

/* The weight gradients of a block are written once and read once as floats: with so many pixels per block they are
 * small compared with the tensors. */
enum { GRADIENT_PIXELS = 160 };

template <typename TI, typename TO, int V>
static __global__ void __launch_bounds__(CHANNEL_THREADS, 3) forward_any(struct depthwise d, int vectors)
{
    __shared__ float shared[LANE_FLOATS];
    const struct axis y = d.window.y, x = d.window.x;
    const int channels = d.window.channels, taps = y.kernel * x.kernel;
    const struct place p = place_of<V>(channels, vectors);
    const struct epilogue<V> epilogue = epilogue_of<V>(&d.read, &p);
    const TI *in = values_of<TI>(&d.read, p.channel);
    TO *out = output_of<TO>(&d.write, p.channel);
    const float *weights = d.weights + blockIdx.z * d.parameter_stride + (size_t)p.channel * taps;
    const float *bias = d.bias ? d.bias + blockIdx.z * d.parameter_stride + p.channel : NULL;
    struct walk at = walk_of(y.out, x.out, blockIdx.x * (size_t)p.lanes + p.lane, (size_t)gridDim.x * p.lanes);
    struct tally<V> tally;
    tally_clear(&tally);
    for (; p.active && at.n < d.window.samples; walk_on(&at)) {
        float sum[V];
        load_row<V>(bias, 0, sum);
        for (int tap = 0; tap < taps; tap++) {
            const int iy = at.y * y.stride - y.pad + tap / x.kernel * y.dilation;
            const int ix = at.x * x.stride - x.pad + tap % x.kernel * x.dilation;
            if (iy < 0 || iy >= y.in || ix < 0 || ix >= x.in)
                continue;
            float value[V];
            load_vector<V>(in + (((size_t)at.n * y.in + iy) * x.in + ix) * channels, value);
            apply_epilogue<V>(&epilogue, value);
#pragma unroll
            for (int v = 0; v < V; v++)
                sum[v] += weights[v * taps + tap] * value[v];
        }
        store_vector<V>(out + walk_pixel(&at) * channels, sum);
        tally_add<V>(&tally, sum);
    }
    tally_finish<V>(&tally, &p, channels, shared, &d.write);
}

/* dx of a pixel is gathered from the outputs that read it. */
template <typename TI, typename TO, int V>
static __global__ void __launch_bounds__(CHANNEL_THREADS) backward_data(struct depthwise d, int vectors)
{
    __shared__ float shared[LANE_FLOATS];
    const struct axis y = d.window.y, x = d.window.x;
    const int channels = d.window.channels, taps = y.kernel * x.kernel;
    const struct place p = place_of<V>(channels, vectors);
    const struct derivative<V> derivative = derivative_of<V>(&d.derivative, &p);
    const TO *g = derivative_gradient<TO>(&d.derivative, p.channel),
             *z = derivative_values<TO>(&d.derivative, p.channel);
    const float *weights = d.weights + blockIdx.z * d.parameter_stride + (size_t)p.channel * taps;
    TI *to = gradient_of<TI>(&d.give, p.channel);
    const TI *in = values_of<TI>(&d.give.input, p.channel);
    struct giving<V> giving = giving_of<V>(&d.give, &p);
    struct walk at = walk_of(y.in, x.in, blockIdx.x * (size_t)p.lanes + p.lane, (size_t)gridDim.x * p.lanes);
    for (; p.active && at.n < d.window.samples; walk_on(&at)) {
        float dx[V];
        clear<V>(dx);
        for (int tap = 0; tap < taps; tap++) {
            const int oy = at.y + y.pad - tap / x.kernel * y.dilation, ox = at.x + x.pad - tap % x.kernel * x.dilation;
            if (oy < 0 || oy % y.stride || oy / y.stride >= y.out || ox < 0 || ox % x.stride || ox / x.stride >= x.out)
                continue;
            float dz[V];
            load_derivative<V>(&derivative, g, z,
                               (((size_t)at.n * y.out + oy / y.stride) * x.out + ox / x.stride) * channels, dz);
#pragma unroll
            for (int v = 0; v < V; v++)
                dx[v] += weights[v * taps + tap] * dz[v];
        }
        give_at<V>(&giving, to, in, walk_pixel(&at) * channels, dx);
    }
    giving_finish<V>(&giving, &p, channels, shared, &d.give);
}

/* The block's share of the weights' gradient, one tap at a time. */
template <typename TI, typename TO, int V>
static __global__ void __launch_bounds__(CHANNEL_THREADS) backward_weights(struct depthwise d, int vectors)
{
    __shared__ float shared[LANE_FLOATS];
    const struct axis y = d.window.y, x = d.window.x;
    const int channels = d.window.channels, taps = y.kernel * x.kernel;
    const struct place p = place_of<V>(channels, vectors);
    const struct epilogue<V> epilogue = epilogue_of<V>(&d.read, &p);
    const struct derivative<V> derivative = derivative_of<V>(&d.derivative, &p);
    const TO *g = derivative_gradient<TO>(&d.derivative, p.channel),
             *z = derivative_values<TO>(&d.derivative, p.channel);
    const TI *in = values_of<TI>(&d.read, p.channel);
    float *partial = d.weight_sums.rows + (blockIdx.z * (size_t)gridDim.x + blockIdx.x) * channels * taps;
    for (int tap = 0; tap < taps; tap++) {
        struct walk at = walk_of(y.out, x.out, blockIdx.x * (size_t)p.lanes + p.lane, (size_t)gridDim.x * p.lanes);
        float dw[V];
        clear<V>(dw);
        for (; p.active && at.n < d.window.samples; walk_on(&at)) {
            const int iy = at.y * y.stride - y.pad + tap / x.kernel * y.dilation;
            const int ix = at.x * x.stride - x.pad + tap % x.kernel * x.dilation;
            if (iy < 0 || iy >= y.in || ix < 0 || ix >= x.in)
                continue;
            float value[V], dz[V];
            load_vector<V>(in + (((size_t)at.n * y.in + iy) * x.in + ix) * channels, value);
            load_derivative<V>(&derivative, g, z, walk_pixel(&at) * channels, dz);
            apply_epilogue<V>(&epilogue, value);
#pragma unroll
            for (int v = 0; v < V; v++)
                dw[v] += value[v] * dz[v];
        }
        add_lanes<V, V>(&p, channels, dw, shared, partial + tap, taps, 1);
    }
    finish_weights(d.give.arrived,
                   weight_sums_of(&d.weight_sums, p.first * taps, channels_of_block(&p, V, channels) * taps));
}

/* The block's share of the bias' gradient. */
template <typename TO, int V>
static __global__ void __launch_bounds__(CHANNEL_THREADS)
    backward_bias(struct cuda_derivative from, struct cuda_partial sums, unsigned int *arrived, int channels,
                  int vectors, size_t pixels)
{
    __shared__ float shared[LANE_FLOATS];
    const struct place p = place_of<V>(channels, vectors);
    const struct derivative<V> derivative = derivative_of<V>(&from, &p);
    const TO *g = derivative_gradient<TO>(&from, p.channel), *z = derivative_values<TO>(&from, p.channel);
    const size_t stride = (size_t)gridDim.x * p.lanes;
    float sum[V];
    clear<V>(sum);
    for (size_t pixel = blockIdx.x * (size_t)p.lanes + p.lane; p.active && pixel < pixels; pixel += stride) {
        float dz[V];
        load_derivative<V>(&derivative, g, z, pixel * channels, dz);
#pragma unroll
        for (int v = 0; v < V; v++)
            sum[v] += dz[v];
    }
    add_lanes<V, V>(&p, channels, sum, shared, sums.rows + (blockIdx.z * (size_t)gridDim.x + blockIdx.x) * channels, 1,
                    1);
    finish_weights(arrived, weight_sums_of(&sums, p.first, channels_of_block(&p, V, channels)));
}

/* ---- host ---- */
static int gradient_blocks(size_t pixels)
{
    const size_t blocks = pixels / GRADIENT_PIXELS + 1;
    return blocks < CUDA_MAX_BLOCKS ? (int)blocks : CUDA_MAX_BLOCKS;
}

/* First come moments or sums, then partial weight gradients, then partial bias gradients. */
static size_t sums_floats(int channels)
{
    return 3 * (size_t)CUDA_MAX_BLOCKS * channels;
}

static size_t scratch(const struct plan *plan, const struct plan_step *step)
{
    const struct node *n = &plan->graph->nodes[step->node];
    const struct shape in = plan->tensors[step->inputs[0].tensor].shape;
    const int blocks = gradient_blocks((size_t)plan->batch * in.h * in.w);
    return sums_floats(in.c) + ((size_t)n->kernel_h * n->kernel_w + 1) * blocks * in.c;
}

static struct depthwise depthwise_of(const struct cuda_run *run)
{
    struct depthwise d = {};
    d.window = window_of(run);
    d.read = cuda_read_of(run, cuda_input_of(run));
    d.weights = weight_values(run->memory, run->step->weight);
    d.bias = weight_values(run->memory, run->step->bias);
    d.parameter_stride = run->plan->parameter_count;
    return d;
}

static enum status forward_any_launch(const struct cuda_run *run, const struct depthwise *d, struct error *err)
{
    const struct window *w = &d->window;
    const size_t pixels = (size_t)w->samples * w->y.out * w->x.out;
    const struct channel_grid g = channel_grid_of(w->channels, vector_width(w->channels), pixels, 1, MAX_VECTORS);
    const dim3 grid = channel_dim(&g, run->students);
    DISPATCH(cuda_dtype_of(run, cuda_input_of(run)), cuda_dtype_of(run, cuda_output_of(run)), g.width,
             LAUNCH((forward_any<TI, TO, V>), grid, CHANNEL_THREADS, 0, run->stream, *d, g.vectors));
    return cuda_launched("depthwise forward_any", err);
}

static enum status forward(const struct cuda_run *run, struct error *err)
{
    struct depthwise d = depthwise_of(run);
    d.write = cuda_write_of(run, run->scratch);
    return (depthwise_has_tiles(run, &d.window) ? depthwise_tiles_forward : forward_any_launch)(run, &d, err);
}

static enum status backward_any_launch(const struct cuda_run *run, const struct depthwise *d, int blocks,
                                       struct error *err)
{
    enum status status = STATUS_OK;
    const struct window *w = &d->window;
    const enum dtype in = cuda_dtype_of(run, cuda_input_of(run)), out = cuda_dtype_of(run, cuda_output_of(run));
    const size_t pixels = (size_t)w->samples * w->y.in * w->x.in;
    const struct channel_grid g = channel_grid_of(w->channels, vector_width(w->channels), pixels, 1, MAX_VECTORS);
    const dim3 grid(blocks, g.chunks, run->students);
    if (d->wants_dx) {
        DISPATCH(in, out, g.width,
                 LAUNCH((backward_data<TI, TO, V>), grid, CHANNEL_THREADS, 0, run->stream, *d, g.vectors));
        TRY(cuda_launched("depthwise backward_data", err));
    }
    DISPATCH(in, out, g.width,
             LAUNCH((backward_weights<TI, TO, V>), grid, CHANNEL_THREADS, 0, run->stream, *d, g.vectors));
    TRY(cuda_launched("depthwise backward_weights", err));
cleanup:
    return status;
}

static enum status bias_gradient(const struct cuda_run *run, const struct depthwise *d, int blocks, float *rows,
                                 struct error *err)
{
    const struct window *w = &d->window;
    const size_t pixels = (size_t)w->samples * w->y.out * w->x.out;
    const struct channel_grid g = channel_grid_of(w->channels, vector_width(w->channels), pixels, 1, MAX_VECTORS);
    const struct cuda_partial sums = cuda_partial_of(run, &run->step->bias, rows, w->channels);
    const dim3 grid(blocks, g.chunks, run->students);
    DISPATCH_TYPE(cuda_dtype_of(run, cuda_output_of(run)), TO,
                  DISPATCH_WIDTH(g.width, LAUNCH((backward_bias<TO, V>), grid, CHANNEL_THREADS, 0, run->stream,
                                                 d->derivative, sums, run->arrived, w->channels, g.vectors, pixels)));
    return cuda_launched("depthwise backward_bias", err);
}

static enum status backward(const struct cuda_run *run, struct error *err)
{
    enum status status = STATUS_OK;
    struct depthwise d = depthwise_of(run);
    const struct window *w = &d.window;
    const size_t count = (size_t)w->channels * w->y.kernel * w->x.kernel;
    const int blocks = gradient_blocks((size_t)w->samples * w->y.in * w->x.in);
    float *const rows = run->scratch + run->students * sums_floats(w->channels);
    d.derivative = cuda_derivative_of(run);
    d.give = cuda_give_of(run, run->scratch);
    d.wants_dx = cuda_input_of(run)->gradient != PLAN_NONE;
    d.weight_sums = cuda_partial_of(run, &run->step->weight, rows, count);
    TRY((depthwise_has_tiles(run, w) ? depthwise_tiles_backward : backward_any_launch)(run, &d, blocks, err));
    if (plan_has(run->step->bias))
        TRY(bias_gradient(run, &d, blocks, rows + run->students * blocks * count, err));
cleanup:
    return status;
}

extern "C" {
const struct cuda_step_kernel cuda_depthwise = {scratch, forward, backward};
}
