/* What the blocks of kernels over channels (cuda_channels.cuh) hand in: sums over their pixels, forward the moments of
 * what they store, backward sums of the gradients that they give. Each value is summed by one thread, in the order of
 * the lanes. */
#ifndef SHARED_TRAINING_CUDA_CUDA_CHANNEL_SUMS_CUH
#define SHARED_TRAINING_CUDA_CUDA_CHANNEL_SUMS_CUH

#include "shared/training/cuda/cuda_channels.cuh"
#include "shared/training/cuda/cuda_last_block.cuh"

enum {
    LANE_VALUES = 12,                                           /* values per thread that are summed up over a block at
                                                                 * once */
    LANE_FLOATS = LANE_VALUES * (CHANNEL_THREADS + MAX_VECTORS) /* shared memory for them */
};

/* ---- sums over a block ---- */
/* to[c * channel_stride + q * value_stride] = the sum, over the lanes in order, of value q of channel c. x: [N / V][V]
 * of every thread; shared: [LANE_FLOATS]. All threads of the block must call it. */
template <int V, int N>
static __device__ __forceinline__ void add_lanes(const struct place *p, int channels, const float *x, float *shared,
                                                 float *to, size_t channel_stride, size_t value_stride)
{
    const int stride = CHANNEL_THREADS + p->vectors; /* no bank conflicts, neither in writing nor in reading */
#pragma unroll
    for (int begin = 0; begin < N; begin += LANE_VALUES) {
        const int some = N - begin < LANE_VALUES ? N - begin : LANE_VALUES;
        __syncthreads();
#pragma unroll
        for (int i = 0; i < some; i++)
            shared[i * stride + threadIdx.x] = x[begin + i];
        __syncthreads();
        for (int job = threadIdx.x; job < some * p->vectors; job += CHANNEL_THREADS) {
            const int i = job / p->vectors, vector = job - i * p->vectors;
            const int channel = p->first + vector * V + (begin + i) % V;
            float sum = 0;
            for (int lane = 0; lane < p->lanes; lane++)
                sum += shared[i * stride + lane * p->vectors + vector];
            if (channel < channels)
                to[channel * channel_stride + (begin + i) / V * value_stride] = sum;
        }
    }
}

/* ---- writing a raw output, and its moments ---- */
/* What a thread has stored: sums of the distances from its first value, which keep their digits (see struct moments).
 */
template <int V> struct tally {
    int count;
    float pivot[V], sum[V], squares[V];
};

template <int V> static __device__ __forceinline__ void tally_clear(struct tally<V> *t)
{
    t->count = 0;
    clear<V>(t->pivot);
    clear<V>(t->sum);
    clear<V>(t->squares);
}

template <int V> static __device__ __forceinline__ void tally_add(struct tally<V> *t, const float *x)
{
#pragma unroll
    for (int v = 0; v < V; v++) {
        t->pivot[v] = t->count ? t->pivot[v] : x[v];
        const float distance = x[v] - t->pivot[v];
        t->sum[v] += distance;
        t->squares[v] += distance * distance;
    }
    t->count++;
}

/* Stores the block's moments [3][channels]. All threads of the block must call it. */
template <int V>
static __device__ __forceinline__ void tally_hand_in(const struct tally<V> *t, const struct place *p, int channels,
                                                     float *shared, float *moments)
{
    const int stride = CHANNEL_THREADS + p->vectors;
    const float share = t->count ? 1.0f / t->count : 0;
    float *to = moments + (blockIdx.z * (size_t)gridDim.x + blockIdx.x) * 3 * channels;
    __syncthreads();
#pragma unroll
    for (int v = 0; v < V; v++) {
        shared[v * stride + threadIdx.x] = t->pivot[v] + t->sum[v] * share;
        shared[(V + v) * stride + threadIdx.x] = t->squares[v] - t->sum[v] * t->sum[v] * share;
    }
    shared[2 * V * stride + threadIdx.x] = t->count;
    __syncthreads();
    for (int job = threadIdx.x; job < V * p->vectors; job += CHANNEL_THREADS) {
        const int v = job / p->vectors, vector = job - v * p->vectors, channel = p->first + vector * V + v;
        const float *mean = shared + v * stride + vector, *squares = mean + V * stride;
        const float *counts = shared + 2 * V * stride + vector;
        float count = 0, sum = 0, spread = 0;
        for (int i = 0; i < p->lanes * p->vectors; i += p->vectors) {
            count += counts[i];
            sum += counts[i] * (mean[i] - mean[0]);
        }
        const float centre = count > 0 ? mean[0] + sum / count : 0;
        for (int i = 0; i < p->lanes * p->vectors; i += p->vectors)
            spread += squares[i] + counts[i] * (mean[i] - centre) * (mean[i] - centre);
        if (channel < channels) {
            to[channel] = count;
            to[channels + channel] = centre;
            to[2 * (size_t)channels + channel] = spread;
        }
    }
}

/* The end of a kernel that has made outputs. All threads of the block must call it. */
template <int V>
static __device__ __forceinline__ void tally_finish(const struct tally<V> *t, const struct place *p, int channels,
                                                    float *shared, const struct cuda_write *write)
{
    if (write->moments)
        tally_hand_in<V>(t, p, channels, shared, write->moments);
    finish_outputs(write, p->first, channels_of_block(p, V, channels));
}

template <typename T> static __device__ __forceinline__ T *output_of(const struct cuda_write *write, int channel)
{
    return (T *)write->values + blockIdx.z * write->stride + channel;
}

/* ---- handing a gradient to the input ---- */
template <int V> struct giving {
    struct epilogue<V> input;
    float mean[V], sums[2][V]; /* of g and of g * (z - mean) */
    bool accumulate, finish;
    bool wants_value; /* z must be passed */
};

template <int V>
static __device__ __forceinline__ struct giving<V> giving_of(const struct cuda_give *give, const struct place *p) {
    struct giving<V> g;
    g.accumulate = give->accumulate;
    g.finish = give->finish;
    g.input = epilogue_of<V>(&give->input, p);
    g.wants_value = give->finish && (give->sums || give->input.activation != ACTIVATION_NONE);
    load_row<V>(give->mean && p->active ? give->mean + blockIdx.z * give->input.row_stride + p->channel : NULL, 0,
                g.mean);
    clear<V>(g.sums[0]);
    clear<V>(g.sums[1]);
    return g;
}

/* dx: the gradient of the completed value; z: the raw value; before: the gradient so far, if it is accumulated. */
template <int V, typename T>
static __device__ __forceinline__ void give_to(struct giving<V> *g, T *to, const float *z, const float *before,
                                               float *dx)
{
#pragma unroll
    for (int v = 0; v < V; v++)
        dx[v] = g->accumulate ? dx[v] + before[v] : dx[v];
    if (g->finish)
        through_epilogue<V>(&g->input, z, dx);
    store_vector<V>(to, dx);
    if (!g->wants_value)
        return;
#pragma unroll
    for (int v = 0; v < V; v++) {
        g->sums[0][v] += dx[v];
        g->sums[1][v] += dx[v] * (z[v] - g->mean[v]);
    }
}

template <int V, typename T>
static __device__ __forceinline__ void give_vector(struct giving<V> *g, T *to, const float *z, float *dx)
{
    float before[V];
    clear<V>(before);
    if (g->accumulate)
        load_vector<V>(to, before);
    give_to<V>(g, to, z, before, dx);
}

/* dx[RUN][V], of which `count` are given at elements first, first + step, ..., for kernels that have no other use for
 * the raw values: all that is read is in flight before anything is computed. */
template <int RUN, int V, typename T>
static __device__ __forceinline__ void give_run(struct giving<V> *g, T *gradient, const T *values, size_t first,
                                                size_t step, int count, float dx[RUN][V])
{
    float z[RUN][V], before[RUN][V];
#pragma unroll
    for (int i = 0; i < RUN; i++) {
        clear<V>(z[i]);
        clear<V>(before[i]);
        if (i < count && g->wants_value)
            load_vector<V>(values + first + i * step, z[i]);
        if (i < count && g->accumulate)
            load_vector<V>(gradient + first + i * step, before[i]);
    }
#pragma unroll
    for (int i = 0; i < RUN; i++)
        if (i < count)
            give_to<V>(g, gradient + first + i * step, z[i], before[i], dx[i]);
}

template <int V, typename T>
static __device__ __forceinline__ void give_at(struct giving<V> *g, T *gradient, const T *values, size_t at, float *dx)
{
    give_run<1, V>(g, gradient, values, at, 0, 1, (float(*)[V])dx);
}

template <typename T> static __device__ __forceinline__ T *gradient_of(const struct cuda_give *give, int channel)
{
    return (T *)give->gradient + blockIdx.z * give->stride + channel;
}

/* The end of a kernel that has given gradients, and handed in sums for weights if there are any. All threads of the
 * block must call it. */
template <int V>
static __device__ __forceinline__ void
giving_finish(const struct giving<V> *g, const struct place *p, int channels, float *shared,
              const struct cuda_give *give, const struct weight_sums &weights = {}, const struct weight_sums &bias = {})
{
    if (give->sums)
        add_lanes<V, 2 * V>(p, channels, g->sums[0], shared,
                            give->sums + (blockIdx.z * (size_t)gridDim.x + blockIdx.x) * 2 * channels, 1, channels);
    finish_gradients(give, p->first, channels_of_block(p, V, channels), weights, bias);
}

#endif
