/* Depthwise 3x3 convolutions with stride 1 and 2, forward and backward, in tiles through shared memory.
 *
 * Forward: a block brings the completed input of a tile of 16x16 outputs (8x8 at stride 2) of 32 channels into shared
 * memory, each value once. The overlap of neighbouring tiles (18x18 inputs for 16x16 outputs) comes from the L2 cache.
 * Each thread then makes two outputs at a time, one below the other: 12 reads of shared memory for 2 outputs of 4
 * channels.
 *
 * Backward is one kernel, because both gradients need the same window of dz around an input pixel q:
 *     dx[q] = sum over taps k of w[k] * dz[o]
 *     dw[k] = sum over pixels q of x[q] * dz[o],   o: the output that reads q with tap k
 * A block brings dz = a * g + b * z + d of a tile into shared memory. Each thread then loads its input pixel once (for
 * x, for act'(x) and for the batch norm's sums), and keeps dw of its channels in registers until the block's last tile.
 * At stride 2 a thread makes a square of 2x2 input pixels, whose 9 taps lie in a window of 2x2 outputs.
 *
 * Memory traffic is the plan's minimum: forward 1 read and 1 write; backward g and z of the output, z of the input, g
 * of the input. Partial weight gradients are a few percent of that. Neighbouring threads read shared memory in vectors
 * of 16 bytes: no bank conflicts. Blocks are persistent: a fixed number of them takes turns over the tiles. */
#include "shared/training/steps/depthwise.cuh"

enum {
    TILE_CHANNELS = 32,
    TILE_POSITIONS = 324, /* in shared memory */
    TILE_EDGE = 18,       /* edge of the largest one */
    LOADS = 6,            /* forward: vectors in flight per thread */
    GRADIENT_LOADS = 3,   /* backward: pairs of them */
    RUN = 2               /* outputs, one below the other, that a thread makes at once */
};

/* Division by a number that is constant in a launch: exact for n * by < 2^20 and n < 2^12. */
struct divisor {
    uint32_t by, inverse;
};

static struct divisor divisor_of(int by)
{
    const struct divisor d = {(uint32_t)by, (1u << 20) / (uint32_t)by + 1};
    return d;
}

/* *rest = n % by */
static __device__ __forceinline__ int divide(struct divisor d, int n, int *rest)
{
    const uint32_t quotient = (uint32_t)n * d.inverse >> 20;
    *rest = n - (int)(quotient * d.by);
    return (int)quotient;
}

/* How the batch is cut: a tile is height x width jobs of each of `samples` images; rows x columns positions of each
 * image lie in shared memory. */
struct tiling {
    int vectors;
    int samples, height, width;
    int down, across; /* tiles of an image */
    int tiles;        /* of the batch */
    int rows, columns, positions, jobs;
    struct divisor by_columns, by_rows, by_width, by_height;
};

/* Where a tile begins: its first sample, and its place in the image in jobs. */
struct corner {
    int sample, y, x;
};

static __device__ __forceinline__ struct corner corner_of(const struct tiling *t, int index)
{
    struct corner corner;
    const int of_image = index % (t->down * t->across);
    corner.sample = index / (t->down * t->across) * t->samples;
    corner.y = of_image / t->across * t->height;
    corner.x = of_image % t->across * t->width;
    return corner;
}

/* A position of a tile: a pixel of the batch. Outside the images it is the nearest pixel, which may be read, so that
 * loads need no branches and are in flight together. */
struct position {
    size_t pixel;
    bool inside;
};

static __device__ __forceinline__ struct position position_at(int sample, int y, int x, const struct window *w, int h,
                                                              int width)
{
    struct position p;
    p.inside = (sample < w->samples) & ((unsigned)y < (unsigned)h) & ((unsigned)x < (unsigned)width);
    p.pixel = ((size_t)min(sample, w->samples - 1) * h + min(max(y, 0), h - 1)) * width + min(max(x, 0), width - 1);
    return p;
}

/* Position number `index` of a tile whose first position lies at (y, x) of an image of h x width. */
static __device__ __forceinline__ struct position position_of(const struct tiling *t, int index, int sample, int y,
                                                              int x, const struct window *w, int h, int width)
{
    int row, column;
    row = divide(t->by_columns, index, &column);
    sample += divide(t->by_rows, row, &row);
    return position_at(index < t->positions ? sample : w->samples, y + row, x + column, w, h, width);
}

/* weights[tap * pitch] = the weights of this thread's channels */
template <int V, int TAPS>
static __device__ __forceinline__ void share_weights(const struct depthwise *d, const struct place *p, float *weights,
                                                     int pitch)
{
    const float *from = d->weights + blockIdx.z * d->parameter_stride + (size_t)p->channel * TAPS;
    for (int t = p->lane; p->active && t < TAPS; t += p->lanes)
#pragma unroll
        for (int v = 0; v < V; v++)
            weights[t * pitch + v] = from[v * TAPS + t];
}

/* What the tile in shared memory is made of. load fetches N values and what they need besides; finish turns them into
 * what the tile holds. */
template <typename T, int V> struct input_source { /* the completed input */
    const T *in;
    struct epilogue<V> epilogue;

    template <int N>
    __device__ __forceinline__ void load(const struct position (&q)[N], int channels, float (&x)[N][V],
                                         float (&)[N][V]) const
    {
#pragma unroll
        for (int i = 0; i < N; i++)
            load_vector<V>(in + q[i].pixel * channels, x[i]);
    }
    __device__ __forceinline__ void finish(float *x, const float *) const
    {
        apply_epilogue<V>(&epilogue, x);
    }
};

template <typename T, int V> struct gradient_source { /* dz of the output */
    const T *gradient, *values;
    struct derivative<V> derivative;

    template <int N>
    __device__ __forceinline__ void load(const struct position (&q)[N], int channels, float (&dz)[N][V],
                                         float (&z)[N][V]) const
    {
#pragma unroll
        for (int i = 0; i < N; i++) {
            load_vector<V>(gradient + q[i].pixel * channels, dz[i]);
            clear<V>(z[i]);
        }
        if (derivative.norm)
#pragma unroll
            for (int i = 0; i < N; i++)
                load_vector<V>(values + q[i].pixel * channels, z[i]);
    }
    __device__ __forceinline__ void finish(float *dz, const float *z) const
    {
        through_derivative<V>(&derivative, z, dz);
    }
};

/* Fills the tile whose first position lies at (y, x) of images of h x width, with zeros outside them and N loads in
 * flight per thread. */
template <int V, int N, typename SOURCE>
static __device__ __forceinline__ void fill_tile(const struct tiling *t, const struct place *p, const SOURCE &source,
                                                 int sample, int y, int x, const struct window *w, int h, int width,
                                                 float *to)
{
    const int pitch = t->vectors * V;
    for (int first = p->lane; p->active && first < t->positions; first += N * p->lanes) {
        float value[N][V], rest[N][V];
        struct position q[N];
#pragma unroll
        for (int i = 0; i < N; i++)
            q[i] = position_of(t, first + i * p->lanes, sample, y, x, w, h, width);
        source.load(q, w->channels, value, rest);
#pragma unroll
        for (int i = 0; i < N; i++) {
            source.finish(value[i], rest[i]);
            if (!q[i].inside)
                clear<V>(value[i]);
            if (first + i * p->lanes < t->positions)
                store_vector<V>(to + (first + i * p->lanes) * pitch, value[i]);
        }
    }
}

/* ---- forward ---- */
template <typename T, int V, int K, int S>
static __global__ void __launch_bounds__(CHANNEL_THREADS, 2) forward_tiles(struct depthwise d, struct tiling t)
{
    DYNAMIC_SHARED(float, shared); /* weights [taps][vectors][V], then x [samples][rows][columns][vectors][V] */
    const struct window *win = &d.window;
    const struct place p = place_of<V>(win->channels, t.vectors);
    const T *in = values_of<T>(&d.read, p.channel);
    T *out = output_of<T>(&d.write, p.channel);
    const int pitch = t.vectors * V;
    float *weights = shared + p.channel - p.first, *mine = weights + K * K * pitch;
    struct tally<V> tally;
    tally_clear(&tally);
    share_weights<V, K * K>(&d, &p, weights, pitch);
    for (int index = blockIdx.x; index < t.tiles; index += gridDim.x) {
        const struct corner tile = corner_of(&t, index);
        /* the epilogue is read again for every tile: registers are scarce */
        const struct input_source<T, V> source = {
            in, epilogue_of<V>(&d.read, &p)
        };
        __syncthreads();
        fill_tile<V, LOADS>(&t, &p, source, tile.sample, tile.y * S - win->y.pad, tile.x * S - win->x.pad, win,
                            win->y.in, win->x.in, mine);
        __syncthreads();
        float w[K * K][V];
#pragma unroll
        for (int k = 0; k < K * K; k++)
            load_vector<V>(weights + k * pitch, w[k]);
        for (int job = p.lane; p.active && job < t.jobs; job += p.lanes) {
            float sum[RUN][V];
            int x, y;
            y = divide(t.by_width, job, &x);
            const int sample = divide(t.by_height, y, &y);
            const float *from = mine + ((sample * t.rows + y * RUN * S) * t.columns + x * S) * pitch;
            const float *bias = d.bias ? d.bias + blockIdx.z * d.parameter_stride + p.channel : NULL;
#pragma unroll
            for (int i = 0; i < RUN; i++)
                load_row<V>(bias, 0, sum[i]);
#pragma unroll
            for (int row = 0; row < (RUN - 1) * S + K; row++)
#pragma unroll
                for (int k = 0; k < K; k++) {
                    float value[V];
                    load_vector<V>(from + (row * t.columns + k) * pitch, value);
#pragma unroll
                    for (int i = 0; i < RUN; i++)
#pragma unroll
                        for (int v = 0; v < V; v++)
                            if (row - i * S >= 0 && row - i * S < K)
                                sum[i][v] += w[(row - i * S) * K + k][v] * value[v];
                }
#pragma unroll
            for (int i = 0; i < RUN; i++) {
                const int oy = tile.y + y * RUN + i, ox = tile.x + x, n = tile.sample + sample;
                if (n >= win->samples || oy >= win->y.out || ox >= win->x.out)
                    continue;
                store_vector<V>(out + (((size_t)n * win->y.out + oy) * win->x.out + ox) * win->channels, sum[i]);
                tally_add<V>(&tally, sum[i]);
            }
        }
    }
    if (d.write.moments)
        tally_hand_in<V>(&tally, &p, win->channels, shared, d.write.moments);
}

/* ---- backward ---- */
/* A job is a square of S x S input pixels S * i + a, 0 <= a < S. Output i + PAD / S + j reads pixel a with tap a + P -
 * S * j, where P = PAD % S and j runs from LOW to HIGH. */
template <typename T, int V, int K, int S, int P>
static __global__ void __launch_bounds__(CHANNEL_THREADS, 2) backward_tiles(struct depthwise d, struct tiling t)
{
    enum { LOW = -((K - 1 - P) / S), HIGH = (S - 1 + P) / S, SPAN = HIGH - LOW + 1 };
    DYNAMIC_SHARED(float, shared); /* weights [taps][vectors][V], then dz [samples][rows][columns][vectors][V] */
    const struct window *win = &d.window;
    const struct place p = place_of<V>(win->channels, t.vectors);
    const T *gradient = derivative_gradient<T>(&d.derivative, p.channel);
    const T *values = derivative_values<T>(&d.derivative, p.channel);
    const T *in = values_of<T>(&d.give.input, p.channel);
    T *to = d.wants_dx ? gradient_of<T>(&d.give, p.channel) : NULL;
    const int pitch = t.vectors * V;
    float *weights = shared + p.channel - p.first, *mine = weights + K * K * pitch;
    struct giving<V> giving = giving_of<V>(&d.give, &p);
    float dw[K * K][V];
    share_weights<V, K * K>(&d, &p, weights, pitch);
    clear<K * K * V>(dw[0]);
    for (int index = blockIdx.x; index < t.tiles; index += gridDim.x) {
        const struct corner tile = corner_of(&t, index);
        __syncthreads();
        const struct gradient_source<T, V> source = {
            gradient, values, derivative_of<V>(&d.derivative, &p)
        };
        fill_tile<V, GRADIENT_LOADS>(&t, &p, source, tile.sample, tile.y + win->y.pad / S + LOW,
                                     tile.x + win->x.pad / S + LOW, win, win->y.out, win->x.out, mine);
        __syncthreads();
        for (int job = p.lane; p.active && job < t.jobs; job += p.lanes) {
            float z[S * S][V];
            struct position q[S * S];
            int column, row;
            row = divide(t.by_width, job, &column);
            const int sample = divide(t.by_height, row, &row);
            const float *from = mine + ((sample * t.rows + row) * t.columns + column) * pitch;
#pragma unroll
            for (int a = 0; a < S * S; a++) {
                q[a] = position_at(tile.sample + sample, (tile.y + row) * S + a / S, (tile.x + column) * S + a % S, win,
                                   win->y.in, win->x.in);
                load_vector<V>(in + q[a].pixel * win->channels, z[a]);
            }
#pragma unroll
            for (int a = 0; a < S * S; a++) {
                float x[V], dx[V];
                if (!q[a].inside)
                    continue;
#pragma unroll
                for (int v = 0; v < V; v++)
                    x[v] = z[a][v];
                apply_epilogue<V>(&giving.input, x);
                clear<V>(dx);
#pragma unroll
                for (int j = 0; j < SPAN * SPAN; j++) {
                    const int ky = a / S + P - S * (j / SPAN + LOW), kx = a % S + P - S * (j % SPAN + LOW);
                    if (ky < 0 || ky >= K || kx < 0 || kx >= K)
                        continue;
                    float dz[V], w[V];
                    load_vector<V>(from + (j / SPAN * t.columns + j % SPAN) * pitch, dz);
                    load_vector<V>(weights + (ky * K + kx) * pitch, w);
#pragma unroll
                    for (int v = 0; v < V; v++) {
                        dx[v] += w[v] * dz[v];
                        dw[ky * K + kx][v] += x[v] * dz[v];
                    }
                }
                if (d.wants_dx)
                    give_vector<V>(&giving, to + q[a].pixel * win->channels, z[a], dx);
            }
        }
    }
    add_lanes<V, K * K * V>(&p, win->channels, dw[0], shared,
                            d.partial + (blockIdx.z * (size_t)gridDim.x + blockIdx.x) * win->channels * K * K, K * K,
                            1);
    if (d.give.sums)
        giving_hand_in<V>(&giving, &p, win->channels, shared, d.give.sums);
}

/* ---- host ---- */
/* jobs: of an image; `run` of them, one below the other, are done at a time. A tile of n x n jobs has edge + (n - 1) *
 * step positions per side. */
static struct tiling tiling_of(const struct window *win, int width, int jobs_y, int jobs_x, int run, int edge, int step)
{
    struct tiling t = {};
    const int vectors = win->channels / width, capacity = TILE_CHANNELS / width;
    const int chunks = (vectors + capacity - 1) / capacity, side = (TILE_EDGE - edge) / step + 1;
    t.vectors = (vectors + chunks - 1) / chunks;
    t.down = (jobs_y + side - 1) / side;
    t.across = (jobs_x + side - 1) / side;
    t.height = ((jobs_y + t.down - 1) / t.down + run - 1) / run * run;
    t.width = (jobs_x + t.across - 1) / t.across;
    t.rows = edge + (t.height - 1) * step;
    t.columns = edge + (t.width - 1) * step;
    /* small images: several per tile, as long as threads have fewer than two jobs each */
    const int lanes = CHANNEL_THREADS / t.vectors, jobs = t.height / run * t.width;
    const int fitting = TILE_POSITIONS / (t.rows * t.columns), busy = 2 * lanes / jobs;
    t.samples = fitting < busy ? fitting : busy;
    t.samples = t.samples > win->samples ? win->samples : t.samples < 1 ? 1 : t.samples;
    t.jobs = jobs * t.samples;
    t.positions = t.rows * t.columns * t.samples;
    t.tiles = (win->samples + t.samples - 1) / t.samples * t.down * t.across;
    t.by_columns = divisor_of(t.columns);
    t.by_rows = divisor_of(t.rows);
    t.by_width = divisor_of(t.width);
    t.by_height = divisor_of(t.height / run);
    return t;
}

static size_t tile_bytes(const struct tiling *t, int width)
{
    const size_t floats = (size_t)(t->positions + 9) * t->vectors * width, lanes = LANE_FLOATS;
    return (floats > lanes ? floats : lanes) * sizeof(float);
}

static dim3 tile_grid(const struct tiling *t, const struct window *win, int width, int blocks, int students)
{
    const int vectors = win->channels / width;
    return dim3(blocks, (vectors + t->vectors - 1) / t->vectors, students);
}

bool depthwise_has_tiles(const struct cuda_run *run, const struct window *w)
{
    const bool alike = cuda_dtype_of(run, cuda_input_of(run)) == cuda_dtype_of(run, cuda_output_of(run));
    const bool square = w->y.stride == w->x.stride && w->y.dilation == 1 && w->x.dilation == 1;
    const bool aligned = w->y.stride == 1 || (w->y.stride == 2 && w->y.pad % 2 == 1 && w->x.pad % 2 == 1);
    return alike && square && aligned && w->y.kernel == 3 && w->x.kernel == 3;
}

enum status depthwise_tiles_forward(const struct cuda_run *run, const struct depthwise *d, int *blocks,
                                    struct error *err)
{
    const int width = vector_width(d->window.channels), stride = d->window.y.stride;
    const struct tiling t = tiling_of(&d->window, width, d->window.y.out, d->window.x.out, RUN, 3, stride);
    const size_t bytes = tile_bytes(&t, width);
    *blocks = t.tiles < CUDA_MAX_BLOCKS ? t.tiles : CUDA_MAX_BLOCKS;
    const dim3 grid = tile_grid(&t, &d->window, width, *blocks, run->students);
    if (stride == 1)
        DISPATCH_TYPE(run->plan->dtype, T,
                      DISPATCH_WIDTH(width, LAUNCH((forward_tiles<T, V, 3, 1>), grid, CHANNEL_THREADS, bytes,
                                                   run->stream, *d, t)));
    else
        DISPATCH_TYPE(run->plan->dtype, T,
                      DISPATCH_WIDTH(width, LAUNCH((forward_tiles<T, V, 3, 2>), grid, CHANNEL_THREADS, bytes,
                                                   run->stream, *d, t)));
    return cuda_launched("depthwise forward_tiles", err);
}

enum status depthwise_tiles_backward(const struct cuda_run *run, const struct depthwise *d, int *blocks,
                                     struct error *err)
{
    const struct window *w = &d->window;
    const int width = vector_width(w->channels), stride = w->y.stride;
    const struct tiling t =
        tiling_of(w, width, (w->y.in + stride - 1) / stride, (w->x.in + stride - 1) / stride, 1, 4 - stride, 1);
    const size_t bytes = tile_bytes(&t, width);
    *blocks = t.tiles < *blocks ? t.tiles : *blocks;
    const dim3 grid = tile_grid(&t, w, width, *blocks, run->students);
    if (stride == 1)
        DISPATCH_TYPE(run->plan->dtype, T,
                      DISPATCH_WIDTH(width, LAUNCH((backward_tiles<T, V, 3, 1, 0>), grid, CHANNEL_THREADS, bytes,
                                                   run->stream, *d, t)));
    else
        DISPATCH_TYPE(run->plan->dtype, T,
                      DISPATCH_WIDTH(width, LAUNCH((backward_tiles<T, V, 3, 2, 1>), grid, CHANNEL_THREADS, bytes,
                                                   run->stream, *d, t)));
    return cuda_launched("depthwise backward_tiles", err);
}
