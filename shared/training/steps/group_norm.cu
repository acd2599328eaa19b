/* Group norm, layer norm over the channels of a position, and division by the Lp norm over them.
 *
 * All work on *cells*: values that share a statistic. A cell is `size` neighbouring channels of all `pixels` pixels of
 * an image. In NHWC a layer norm is a group norm of one group on images of one pixel, of which there are h * w times as
 * many. First a team of threads reads a cell, twice or three times (it is in the caches then), and writes the cell's
 * numbers to scratch memory; then a walk over pixels with the channels of cuda_channels.cuh applies them. Forward and
 * backward each read their inputs from memory twice. */
#include "shared/training/cuda/cuda_channel_sums.cuh"

/* How cells lie in a tensor. */
struct cells {
    int channels, groups, size;
    size_t pixels; /* of an image */
    size_t images, count;
    int team; /* threads per cell, a power of 2 */
    float epsilon;
    int p;                      /* of the Lp norm, 0: mean and variance */
    const float *weight, *bias; /* [channels] of the first student; NULL: 1 and 0 */
    size_t weight_stride, bias_stride;
};

/* What a cell's values have in common. Lp: centre 0, inverse 1 / max(norm, epsilon). */
struct cell {
    float centre, inverse;
    float mean_g, mean_product; /* backward: dx = inverse * (w * dz - mean_g - slope * mean_product) */
};

/* The sum of the team's values, returned to every thread of it. */
static __device__ __forceinline__ float team_sum(float value, int team, float *shared)
{
    const int lane = threadIdx.x & (team - 1), base = threadIdx.x - lane;
    __syncthreads();
    shared[threadIdx.x] = value;
    for (int step = team / 2; step > 0; step /= 2) {
        __syncthreads();
        if (lane < step)
            shared[threadIdx.x] += shared[threadIdx.x + step];
    }
    __syncthreads();
    return shared[base];
}

/* Where element e of a cell lies, and its channel. */
static __device__ __forceinline__ size_t cell_element(const struct cells *c, size_t cell, size_t e, int *channel)
{
    const size_t image = cell / c->groups, pixel = e / c->size;
    *channel = (int)(cell % c->groups) * c->size + (int)(e % c->size);
    return (image * c->pixels + pixel) * c->channels + *channel;
}

template <typename T>
static __device__ __forceinline__ float completed(const struct cuda_read *read, const T *values, size_t at, int channel)
{
    struct place p;
    p.active = true;
    p.channel = channel;
    const struct epilogue<1> epilogue = epilogue_of<1>(read, &p);
    float x = load(values + at);
    apply_epilogue<1>(&epilogue, &x);
    return x;
}

/* of: [students][count]. derivative.gradient NULL: forward. */
template <typename TI, typename TO>
static __global__ void __launch_bounds__(CHANNEL_THREADS)
    summarise_cells(struct cuda_read read, struct cuda_derivative from, struct cells c, struct cell *of)
{
    __shared__ float shared[CHANNEL_THREADS];
    const size_t number = blockIdx.x * (size_t)(CHANNEL_THREADS / c.team) + threadIdx.x / c.team;
    const size_t elements = c.size * c.pixels, lane = threadIdx.x & (c.team - 1);
    const size_t end = number < c.count ? elements : 0;
    const TI *values = values_of<TI>(&read, 0);
    struct cell cell = {0, 0, 0, 0};
    int channel;
    float sum = 0;
    if (!c.p) {
        /* from the first value on, so that a large mean keeps its digits */
        const size_t first = cell_element(&c, number < c.count ? number : 0, 0, &channel);
        const float pivot = completed(&read, values, first, channel);
        for (size_t e = lane; e < end; e += c.team) {
            const size_t at = cell_element(&c, number, e, &channel);
            sum += completed(&read, values, at, channel) - pivot;
        }
        cell.centre = pivot + team_sum(sum, c.team, shared) / elements;
        sum = 0;
    }
    for (size_t e = lane; e < end; e += c.team) {
        const size_t at = cell_element(&c, number, e, &channel);
        const float x = completed(&read, values, at, channel) - cell.centre;
        sum += c.p == 1 ? fabsf(x) : x * x;
    }
    sum = team_sum(sum, c.team, shared);
    const float norm = c.p == 1 ? sum : sqrtf(sum);
    const bool clamped = c.p && norm <= c.epsilon;
    cell.inverse = !c.p ? 1 / sqrtf(sum / elements + c.epsilon) : 1 / (clamped ? c.epsilon : norm);
    if (from.gradient) {
        float g = 0, product = 0;
        for (size_t e = lane; e < end; e += c.team) {
            const size_t at = cell_element(&c, number, e, &channel);
            struct place p;
            p.active = true;
            p.channel = channel;
            const struct derivative<1> derivative = derivative_of<1>(&from, &p);
            float dz;
            load_derivative<1>(&derivative, derivative_gradient<TO>(&from, 0), derivative_values<TO>(&from, 0), at,
                               &dz);
            dz *= c.weight ? c.weight[blockIdx.z * c.weight_stride + channel] : 1;
            g += dz;
            product += dz * (completed(&read, values, at, channel) - cell.centre) * cell.inverse;
        }
        g = team_sum(g, c.team, shared);
        product = team_sum(product, c.team, shared);
        cell.mean_g = c.p ? 0 : g / elements;
        cell.mean_product = c.p ? (clamped ? 0 : product) : product / elements;
    }
    if (number < c.count && lane == 0)
        of[blockIdx.z * c.count + number] = cell;
}

static __device__ __forceinline__ struct cell cell_of(const struct cells *c, const struct cell *all, size_t pixel,
                                                      int channel)
{
    return all[blockIdx.z * c->count + pixel / c->pixels * c->groups + channel / c->size];
}

template <int V>
static __device__ __forceinline__ void load_student_row(const float *row, size_t stride, const struct place *p,
                                                        float absent, float *to)
{
    load_row<V>(row && p->active ? row + blockIdx.z * stride + p->channel : NULL, absent, to);
}

template <typename TI, typename TO, int V>
static __global__ void __launch_bounds__(CHANNEL_THREADS, 3)
    normalise(struct cuda_read read, struct cells c, const struct cell *all, struct cuda_write write, int vectors,
              size_t pixels)
{
    __shared__ float shared[LANE_FLOATS];
    const struct place p = place_of<V>(c.channels, vectors);
    const struct epilogue<V> epilogue = epilogue_of<V>(&read, &p);
    const TI *in = values_of<TI>(&read, p.channel);
    TO *out = output_of<TO>(&write, p.channel);
    const size_t stride = (size_t)gridDim.x * p.lanes;
    float weight[V], bias[V];
    struct tally<V> tally;
    tally_clear(&tally);
    load_student_row<V>(c.weight, c.weight_stride, &p, 1, weight);
    load_student_row<V>(c.bias, c.bias_stride, &p, 0, bias);
    for (size_t pixel = (size_t)blockIdx.x * p.lanes + p.lane; p.active && pixel < pixels; pixel += stride) {
        float x[V];
        load_vector<V>(in + pixel * c.channels, x);
        apply_epilogue<V>(&epilogue, x);
#pragma unroll
        for (int v = 0; v < V; v++) {
            const struct cell cell = cell_of(&c, all, pixel, p.channel + v);
            x[v] = (x[v] - cell.centre) * cell.inverse * weight[v] + bias[v];
        }
        store_vector<V>(out + pixel * c.channels, x);
        tally_add<V>(&tally, x);
    }
    tally_finish<V>(&tally, &p, c.channels, shared, &write);
}

template <typename TI, typename TO, int V>
static __global__ void __launch_bounds__(CHANNEL_THREADS, 3)
    normalise_gradient(struct cuda_derivative from, struct cells c, const struct cell *all, struct cuda_give give,
                       struct cuda_partial weight_partial, struct cuda_partial bias_partial, int vectors, size_t pixels)
{
    __shared__ float shared[LANE_FLOATS];
    const struct place p = place_of<V>(c.channels, vectors);
    const struct epilogue<V> epilogue = epilogue_of<V>(&give.input, &p);
    const struct derivative<V> derivative = derivative_of<V>(&from, &p);
    const TO *g = derivative_gradient<TO>(&from, p.channel), *z = derivative_values<TO>(&from, p.channel);
    struct giving<V> giving = giving_of<V>(&give, &p);
    TI *to = gradient_of<TI>(&give, p.channel);
    const TI *in = values_of<TI>(&give.input, p.channel);
    const size_t stride = (size_t)gridDim.x * p.lanes, block = blockIdx.z * (size_t)gridDim.x + blockIdx.x;
    float weight[V], of_weight[V], of_bias[V];
    load_student_row<V>(c.weight, c.weight_stride, &p, 1, weight);
    clear<V>(of_weight);
    clear<V>(of_bias);
    for (size_t pixel = (size_t)blockIdx.x * p.lanes + p.lane; p.active && pixel < pixels; pixel += stride) {
        float dz[V], raw[V], x[V];
        load_derivative<V>(&derivative, g, z, pixel * c.channels, dz);
        load_vector<V>(in + pixel * c.channels, raw);
#pragma unroll
        for (int v = 0; v < V; v++)
            x[v] = raw[v];
        apply_epilogue<V>(&epilogue, x);
#pragma unroll
        for (int v = 0; v < V; v++) {
            const struct cell cell = cell_of(&c, all, pixel, p.channel + v);
            const float xhat = (x[v] - cell.centre) * cell.inverse;
            const float slope = c.p == 1 ? (x[v] > 0 ? 1.0f : x[v] < 0 ? -1.0f : 0.0f) : xhat;
            of_weight[v] += dz[v] * xhat;
            of_bias[v] += dz[v];
            dz[v] = cell.inverse * (dz[v] * weight[v] - cell.mean_g - slope * cell.mean_product);
        }
        if (give.gradient)
            give_vector<V>(&giving, to + pixel * c.channels, raw, dz);
    }
    const int own_channels = channels_of_block(&p, V, c.channels);
    if (weight_partial.rows)
        add_lanes<V, V>(&p, c.channels, of_weight, shared, weight_partial.rows + block * c.channels, 1, 0);
    if (bias_partial.rows)
        add_lanes<V, V>(&p, c.channels, of_bias, shared, bias_partial.rows + block * c.channels, 1, 0);
    giving_finish<V>(&giving, &p, c.channels, shared, &give, weight_sums_of(&weight_partial, p.first, own_channels),
                     weight_sums_of(&bias_partial, p.first, own_channels));
}

/* ---- host ---- */
static struct cells cells_of(const struct plan *plan, const struct plan_step *step, int samples)
{
    const struct node *node = &plan->graph->nodes[step->node];
    const struct shape s = plan->tensors[step->output].shape;
    const bool grouped = step->kind == STEP_GROUP_NORM;
    struct cells c = {};
    c.channels = s.c;
    c.groups = grouped ? node->groups : 1;
    c.size = s.c / c.groups;
    c.pixels = grouped ? (size_t)s.h * s.w : 1;
    c.images = (grouped ? 1 : (size_t)s.h * s.w) * samples;
    c.count = c.images * c.groups;
    c.team = CHANNEL_THREADS;
    while (c.team > 1 && (size_t)c.team / 2 >= c.size * c.pixels)
        c.team /= 2;
    c.epsilon = node->epsilon;
    c.p = step->kind == STEP_LP_NORM ? (int)node->alpha : 0;
    return c;
}

static struct cells cells_of_run(const struct cuda_run *run)
{
    struct cells c = cells_of(run->plan, run->step, run->pass->count);
    c.weight = weight_values(run->memory, run->step->weight);
    c.bias = weight_values(run->memory, run->step->bias);
    c.weight_stride = weight_stride(run->plan, run->step->weight);
    c.bias_stride = weight_stride(run->plan, run->step->bias);
    return c;
}

/* The cells come first; then sums of the input's batch norm, of the weight's and of the bias's gradient. */
static size_t scratch(const struct plan *plan, const struct plan_step *step)
{
    const struct cells c = cells_of(plan, step, plan->batch);
    return 2 * (size_t)CUDA_MAX_BLOCKS * c.channels + c.count * (sizeof(struct cell) / sizeof(float));
}

static enum status summarise(const struct cuda_run *run, const struct cells *c, const struct cuda_derivative *from,
                             struct cell *all, struct error *err)
{
    const struct plan_tensor *in = cuda_input_of(run), *out = cuda_output_of(run);
    const struct cuda_read read = cuda_read_of(run, in);
    const size_t teams = CHANNEL_THREADS / c->team;
    const dim3 grid((unsigned)((c->count + teams - 1) / teams), 1, run->students);
    DISPATCH_TYPES(cuda_dtype_of(run, in), cuda_dtype_of(run, out),
                   LAUNCH((summarise_cells<TI, TO>), grid, CHANNEL_THREADS, 0, run->stream, read, *from, *c, all));
    return cuda_launched("summarise_cells", err);
}

static enum status forward(const struct cuda_run *run, struct error *err)
{
    enum status status = STATUS_OK;
    const struct plan_tensor *in = cuda_input_of(run), *out = cuda_output_of(run);
    const struct cuda_read read = cuda_read_of(run, in);
    const struct cells c = cells_of_run(run);
    const struct cuda_derivative none = {};
    struct cell *const all = (struct cell *)run->scratch;
    const struct cuda_write write = cuda_write_of(run, (float *)(all + c.count * run->students));
    const size_t pixels = c.images * c.pixels;
    const struct channel_grid g = channel_grid_of(c.channels, vector_width(c.channels), pixels, 1, MAX_VECTORS);
    const dim3 grid = channel_dim(&g, run->students);
    TRY(summarise(run, &c, &none, all, err));
    DISPATCH(
        cuda_dtype_of(run, in), cuda_dtype_of(run, out), g.width,
        LAUNCH((normalise<TI, TO, V>), grid, CHANNEL_THREADS, 0, run->stream, read, c, all, write, g.vectors, pixels));
    TRY(cuda_launched("normalise", err));
cleanup:
    return status;
}

static enum status backward(const struct cuda_run *run, struct error *err)
{
    enum status status = STATUS_OK;
    const struct plan_tensor *in = cuda_input_of(run), *out = cuda_output_of(run);
    const struct cuda_derivative derivative = cuda_derivative_of(run);
    const struct cells c = cells_of_run(run);
    struct cell *const all = (struct cell *)run->scratch;
    float *const sums = (float *)(all + c.count * run->students);
    const struct cuda_give give = cuda_give_of(run, sums);
    const size_t pixels = c.images * c.pixels;
    const struct channel_grid g = channel_grid_of(c.channels, vector_width(c.channels), pixels, 1, MAX_VECTORS);
    const size_t block_sums = (size_t)run->students * g.blocks * c.channels;
    struct cuda_partial weight_partial = {}, bias_partial = {};
    if (weight_gradient(run->memory, run->step->weight))
        weight_partial = cuda_partial_of(run, &run->step->weight, sums + 2 * block_sums, c.channels);
    if (weight_gradient(run->memory, run->step->bias))
        bias_partial = cuda_partial_of(run, &run->step->bias, sums + 3 * block_sums, c.channels);
    const dim3 grid = channel_dim(&g, run->students);
    TRY(summarise(run, &c, &derivative, all, err));
    DISPATCH(cuda_dtype_of(run, in), cuda_dtype_of(run, out), g.width,
             LAUNCH((normalise_gradient<TI, TO, V>), grid, CHANNEL_THREADS, 0, run->stream, derivative, c, all, give,
                    weight_partial, bias_partial, g.vectors, pixels));
    TRY(cuda_launched("normalise_gradient", err));
cleanup:
    return status;
}

extern "C" {
const struct cuda_step_kernel cuda_group_norm = {scratch, forward, backward},
                              cuda_layer_norm = {scratch, forward, backward},
                              cuda_lp_norm = {scratch, forward, backward};
}
