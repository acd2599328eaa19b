/* How kernels that treat every channel for itself lie over a tensor: depthwise convolutions, pools, steps that only
 * move values. (Convolutions use the quads of cuda_quad.cuh.)
 *
 * A thread owns V neighbouring channels (4, or 1 if the number of channels is not a multiple of 4) and walks over
 * pixels; what is constant along the walk (scale, shift, weights, sums) stays in its registers. Neighbouring threads
 * own neighbouring channels, then neighbouring pixels, so that a warp reads whole lines of memory, whatever the number
 * of channels: 24 channels are 6 vectors, and a block of 256 threads has 42 lanes of 6 threads, each lane on its own
 * pixel. Many channels are cut evenly into chunks of at most MAX_VECTORS vectors.
 *
 * Grid: x are blocks of pixels, y chunks of channels, z students. */
#ifndef SHARED_TRAINING_CUDA_CUDA_CHANNELS_CUH
#define SHARED_TRAINING_CUDA_CUDA_CHANNELS_CUH

#include "shared/training/cuda/cuda_step.h"
#include "shared/training/cuda/cuda_vector.cuh"

enum { CHANNEL_THREADS = 256, MAX_VECTORS = 64 };

/* Runs a launch with TI and TO as the stored types of input and output, and with V channels per vector. */
#define DISPATCH_TYPES(in, out, ...) DISPATCH_TYPE(in, TI, DISPATCH_TYPE(out, TO, __VA_ARGS__))
#define DISPATCH_WIDTH(width, ...) \
    do {                           \
        if ((width) == 4) {        \
            enum { V = 4 };        \
            __VA_ARGS__;           \
        } else {                   \
            enum { V = 1 };        \
            __VA_ARGS__;           \
        }                          \
    } while (0)
#define DISPATCH(in, out, width, ...) DISPATCH_TYPES(in, out, DISPATCH_WIDTH(width, __VA_ARGS__))

/* ---- the grid ---- */
struct channel_grid {
    int width;   /* channels of a vector: V */
    int vectors; /* of a chunk; the last chunk may have fewer */
    int chunks;
    int lanes;  /* pixels that a block works on at the same time */
    int blocks; /* of pixels */
};

/* For `pixels` pixels of `channels` channels, with at least `run` of them per thread. The channel counts of all tensors
 * of the step must be multiples of width. */
static inline struct channel_grid channel_grid_of(int channels, int width, size_t pixels, int run, int max_vectors)
{
    struct channel_grid g;
    const int vectors = channels / width;
    g.width = width;
    g.chunks = (vectors + max_vectors - 1) / max_vectors;
    g.vectors = (vectors + g.chunks - 1) / g.chunks;
    g.lanes = CHANNEL_THREADS / g.vectors;
    const size_t blocks = (pixels + (size_t)g.lanes * run - 1) / ((size_t)g.lanes * run);
    g.blocks = blocks < CUDA_MAX_BLOCKS ? (int)blocks : CUDA_MAX_BLOCKS;
    return g;
}

static inline int vector_width(int channels)
{
    return channels % 4 ? 1 : 4;
}

static inline dim3 channel_dim(const struct channel_grid *g, int students)
{
    return dim3(g->blocks, g->chunks, students);
}

/* A thread's place in the grid. Threads beyond the last lane or the last channel are idle, but meet the others at
 * barriers. */
struct place {
    int channel; /* the first of V */
    int first;   /* first channel of the chunk */
    int vectors; /* threads of a lane */
    int lane, lanes;
    bool active;
};

template <int V> static __device__ __forceinline__ struct place place_of(int channels, int vectors)
{
    struct place p;
    p.vectors = vectors;
    p.lanes = CHANNEL_THREADS / vectors;
    p.lane = threadIdx.x / vectors;
    p.first = blockIdx.y * vectors * V;
    p.channel = p.first + (threadIdx.x - p.lane * vectors) * V;
    p.active = p.lane < p.lanes && p.channel < channels;
    return p;
}

/* How many channels of the tensor the block has. */
static __device__ __forceinline__ int channels_of_block(const struct place *p, int width, int channels)
{
    return min(p->vectors * width, channels - p->first);
}

/* ---- reading completed values: act(scale * x + shift) ---- */
template <int V> struct epilogue {
    float scale[V], shift[V];
    enum activation activation;
    float alpha, beta;
};

template <int V>
static __device__ __forceinline__ struct epilogue<V> epilogue_of(const struct cuda_read *read, const struct place *p) {
    struct epilogue<V> c;
    const size_t row = blockIdx.z * read->row_stride + p->channel;
    load_row<V>(read->scale && p->active ? read->scale + row : NULL, 1, c.scale);
    load_row<V>(read->scale && p->active ? read->shift + row : NULL, 0, c.shift);
    c.activation = read->activation;
    c.alpha = read->alpha;
    c.beta = read->beta;
    return c;
}

/* One decision per vector, not per value: with a constant kind only the arithmetic of activation_apply is left. */
template <int V, enum activation KIND>
static __device__ __forceinline__ void activate_vector(const struct epilogue<V> *c, float *x)
{
#pragma unroll
    for (int v = 0; v < V; v++)
        x[v] = activation_apply(KIND, c->alpha, c->beta, x[v]);
}

/* The rarer activations: one copy per kernel, out of line, so that they cost the common ones neither registers nor
 * code. */
template <typename T>
static __device__ __noinline__ T rare_activation(enum activation activation, float alpha, float beta, T x)
{
    return activation_apply(activation, alpha, beta, x);
}
template <typename T>
static __device__ __noinline__ T rare_derivative(enum activation activation, float alpha, float beta, T x)
{
    return activation_derivative(activation, alpha, beta, x);
}

template <int V> static __device__ __forceinline__ void apply_epilogue(const struct epilogue<V> *c, float *x)
{
#pragma unroll
    for (int v = 0; v < V; v++)
        x[v] = x[v] * c->scale[v] + c->shift[v];
    if (c->activation == ACTIVATION_RELU)
        activate_vector<V, ACTIVATION_RELU>(c, x);
    else if (c->activation == ACTIVATION_CLIP)
        activate_vector<V, ACTIVATION_CLIP>(c, x);
    else if (c->activation == ACTIVATION_LEAKY_RELU)
        activate_vector<V, ACTIVATION_LEAKY_RELU>(c, x);
    else if (c->activation == ACTIVATION_HARD_SWISH)
        activate_vector<V, ACTIVATION_HARD_SWISH>(c, x);
    else if (c->activation == ACTIVATION_HARD_SIGMOID)
        activate_vector<V, ACTIVATION_HARD_SIGMOID>(c, x);
    else if (c->activation == ACTIVATION_SIGMOID)
        activate_vector<V, ACTIVATION_SIGMOID>(c, x);
    else if (c->activation == ACTIVATION_SILU)
        activate_vector<V, ACTIVATION_SILU>(c, x);
    else if (c->activation != ACTIVATION_NONE) {
#pragma unroll
        for (int v = 0; v < V; v++)
            x[v] = rare_activation(c->activation, c->alpha, c->beta, x[v]);
    }
}

/* g *= act'(scale * z + shift) */
template <int V, enum activation KIND>
static __device__ __forceinline__ void through_activation(const struct epilogue<V> *c, const float *z, float *g)
{
#pragma unroll
    for (int v = 0; v < V; v++)
        g[v] *= activation_derivative(KIND, c->alpha, c->beta, z[v] * c->scale[v] + c->shift[v]);
}

template <int V>
static __device__ __forceinline__ void through_epilogue(const struct epilogue<V> *c, const float *z, float *g)
{
    if (c->activation == ACTIVATION_RELU)
        through_activation<V, ACTIVATION_RELU>(c, z, g);
    else if (c->activation == ACTIVATION_CLIP)
        through_activation<V, ACTIVATION_CLIP>(c, z, g);
    else if (c->activation == ACTIVATION_LEAKY_RELU)
        through_activation<V, ACTIVATION_LEAKY_RELU>(c, z, g);
    else if (c->activation == ACTIVATION_HARD_SWISH)
        through_activation<V, ACTIVATION_HARD_SWISH>(c, z, g);
    else if (c->activation == ACTIVATION_HARD_SIGMOID)
        through_activation<V, ACTIVATION_HARD_SIGMOID>(c, z, g);
    else if (c->activation == ACTIVATION_SIGMOID)
        through_activation<V, ACTIVATION_SIGMOID>(c, z, g);
    else if (c->activation == ACTIVATION_SILU)
        through_activation<V, ACTIVATION_SILU>(c, z, g);
    else if (c->activation != ACTIVATION_NONE) {
#pragma unroll
        for (int v = 0; v < V; v++)
            g[v] *= rare_derivative(c->activation, c->alpha, c->beta, z[v] * c->scale[v] + c->shift[v]);
    }
}

template <typename T> static __device__ __forceinline__ const T *values_of(const struct cuda_read *read, int channel)
{
    return (const T *)read->values + blockIdx.z * read->stride + channel;
}

/* How many of the pixels first, first + step, ... lie below `pixels`, but at most RUN. */
template <int RUN> static __device__ __forceinline__ int run_length(size_t first, size_t step, size_t pixels)
{
    int count = 0;
#pragma unroll
    for (int i = 0; i < RUN; i++)
        count += first + i * step < pixels;
    return count;
}

/* x[RUN][V] = stored values of `count` pixels, which lie at elements first, first + step, ...; 0 beyond. A thread that
 * waits for one value at a time leaves the memory idle: a multiprocessor of an H100 needs about 15 KB in flight, by
 * estimate (25 GB/s for each of 132, and a guess of 600 ns until a value arrives). */
template <int RUN, int V, typename T>
static __device__ __forceinline__ void load_run(const T *values, size_t first, size_t step, int count, float x[RUN][V])
{
#pragma unroll
    for (int i = 0; i < RUN; i++) {
        clear<V>(x[i]);
        if (i < count)
            load_vector<V>(values + first + i * step, x[i]);
    }
}

/* ---- reading dL/d(raw output): a * g + b * z + d ---- */
template <int V> struct derivative {
    float a[V], b[V], d[V];
    bool norm;
};

template <int V>
static __device__ __forceinline__ struct derivative<V> derivative_of(const struct cuda_derivative *from,
                                                                     const struct place *p) {
    struct derivative<V> s;
    const size_t row = blockIdx.z * from->row_stride + p->channel;
    s.norm = from->a != NULL;
    load_row<V>(s.norm && p->active ? from->a + row : NULL, 1, s.a);
    load_row<V>(s.norm && p->active ? from->b + row : NULL, 0, s.b);
    load_row<V>(s.norm && p->active ? from->d + row : NULL, 0, s.d);
    return s;
}

template <typename T>
static __device__ __forceinline__ const T *derivative_gradient(const struct cuda_derivative *s, int channel)
{
    return (const T *)s->gradient + blockIdx.z * s->gradient_stride + channel;
}
template <typename T>
static __device__ __forceinline__ const T *derivative_values(const struct cuda_derivative *s, int channel)
{
    return (const T *)s->values + blockIdx.z * s->value_stride + channel;
}

/* g becomes dz; z is ignored without a batch norm. */
template <int V>
static __device__ __forceinline__ void through_derivative(const struct derivative<V> *s, const float *z, float *g)
{
    if (!s->norm)
        return;
#pragma unroll
    for (int v = 0; v < V; v++)
        g[v] = s->a[v] * g[v] + (s->b[v] * z[v] + s->d[v]);
}

/* Loads dz of element `at`; gradient and values are those of the student. */
template <int V, typename T>
static __device__ __forceinline__ void load_derivative(const struct derivative<V> *s, const T *gradient,
                                                       const T *values, size_t at, float *dz)
{
    float z[V];
    load_vector<V>(gradient + at, dz);
    clear<V>(z);
    if (s->norm)
        load_vector<V>(values + at, z);
    through_derivative<V>(s, z, dz);
}

/* The same for a run of pixels. */
template <int RUN, int V, typename T>
static __device__ __forceinline__ void load_derivative_run(const struct derivative<V> *s, const T *gradient,
                                                           const T *values, size_t first, size_t step, int count,
                                                           float dz[RUN][V])
{
    float z[RUN][V];
    load_run<RUN, V>(gradient, first, step, count, dz);
    load_run<RUN, V>(values, first, step, s->norm ? count : 0, z);
#pragma unroll
    for (int i = 0; i < RUN; i++)
        through_derivative<V>(s, z[i], dz[i]);
}

#endif
