/* The tiles of depthwise_tiles.cu: how a batch is cut into them, and how a block brings one into shared memory.
 *
 * All tiles of a launch have the same form, so what follows from the form alone is computed once per block and kept in
 * tables: for every position of a tile its place and its distance in memory from the tile's corner, and the same for
 * every job. Within a tile a thread only reads the table, adds the distance to the corner, and compares the place with
 * the limits that the image has within the tile: three instructions for all of its axes.
 *
 * Threads fetch 16 bytes at a time (F channels) where pixels are aligned to that, whatever they compute with (V
 * channels). Shared memory holds floats, [vector][position][V]: the neighbours of a pixel are at constant distances,
 * and planes are padded so that the threads of a warp, which own neighbouring vectors, meet different banks. */
#ifndef SHARED_TRAINING_STEPS_DEPTHWISE_TILE_CUH
#define SHARED_TRAINING_STEPS_DEPTHWISE_TILE_CUH

#include "shared/training/cuda/cuda_place.cuh"
#include "shared/training/steps/depthwise.cuh"

#include <limits.h>

enum {
    TILE_CHANNELS = 32,
    TILE_EDGE = 18,                                      /* positions of a tile, from top to bottom */
    TILE_FLOATS = TILE_EDGE * TILE_EDGE * TILE_CHANNELS, /* of all positions; padding not counted */
    TILE_POSITIONS = 504,                                /* of tiles with few channels */
    TILE_ROWS = 6                                        /* rows of numbers per channel: see share_rows */
};

/* ---- the cut ---- */
/* A tile is height x width units of each of `samples` images; a job is `run` units one below the other, `beside` side
 * by side. A unit is an output (forward) or a square of stride x stride inputs (backward). rows x columns positions of
 * each image lie in shared memory. */
struct tiling {
    int vectors; /* of V channels */
    int samples, height, width;
    int down, across; /* tiles of an image */
    int tiles;        /* of the batch */
    int rows, columns, positions, plane, jobs;
};

/* Elements of an image of the input or of the output, whichever is larger. */
static inline size_t image_elements(const struct window *w)
{
    const int h = w->y.in > w->y.out ? w->y.in : w->y.out, width = w->x.in > w->x.out ? w->x.in : w->x.out;
    return (size_t)w->channels * (size_t)h * (size_t)width;
}

/* units_y x units_x: of an image. A tile of n units has edge + (n - 1) * step positions per side. width, wide: V and F
 * channels of a vector. */
static inline struct tiling tiling_of(const struct window *win, int width, int wide, int units_y, int units_x, int run,
                                      int beside, int edge, int step)
{
    struct tiling t = {};
    const int vectors = win->channels / wide, capacity = TILE_CHANNELS / wide;
    const int chunks = (vectors + capacity - 1) / capacity;
    t.vectors = (vectors + chunks - 1) / chunks * (wide / width);
    const int room = TILE_FLOATS / (t.vectors * width), most = room < TILE_POSITIONS ? room : (int)TILE_POSITIONS;
    const int high = (TILE_EDGE - edge) / step + 1, broad = (most / TILE_EDGE - edge) / step + 1;
    t.down = (units_y + high - 1) / high;
    t.across = (units_x + broad - 1) / broad;
    t.height = ((units_y + t.down - 1) / t.down + run - 1) / run * run;
    t.width = ((units_x + t.across - 1) / t.across + beside - 1) / beside * beside;
    t.down = (units_y + t.height - 1) / t.height;
    t.across = (units_x + t.width - 1) / t.width;
    t.rows = edge + (t.height - 1) * step;
    t.columns = edge + (t.width - 1) * step;
    /* small images: several per tile, as long as threads have fewer than two jobs each */
    const int lanes = CHANNEL_THREADS / t.vectors, jobs = t.height / run * (t.width / beside);
    const int fitting = most / (t.rows * t.columns), busy = 2 * lanes / jobs;
    t.samples = fitting < busy ? fitting : busy;
    t.samples = t.samples > win->samples ? win->samples : t.samples < 1 ? 1 : t.samples;
    t.samples = t.samples > PLACE_MOST ? (int)PLACE_MOST : t.samples;
    const size_t addressed = INT_MAX / image_elements(win); /* distances are 32-bit numbers */
    t.samples = (size_t)t.samples > addressed ? (int)addressed : t.samples;
    t.jobs = jobs * t.samples;
    t.positions = t.rows * t.columns * t.samples;
    t.tiles = (win->samples + t.samples - 1) / t.samples * t.down * t.across;
    /* in vectors: 8 / vectors more than a multiple of 8, so that 8 threads meet different banks */
    t.plane = (t.positions + 7) / 8 * 8 + (t.vectors <= 2 ? 4 : t.vectors <= 4 ? 2 : 1);
    return t;
}

/* Where a tile lies: its first position and its first job, as elements of their tensors, which may lie outside. There
 * are up to two tensors of each, with strides of their own between students. */
struct corner {
    long long positions[2], jobs[2];
    struct limits position_limits, job_limits;
};

/* Tile number `index`. A unit is unit_step positions and job_step pixels of jobs; the first position lies at (shift_y,
 * shift_x) of the first unit. Positions: of images of h x w. Jobs: of job_h x job_w. Called by one thread, because it
 * takes dozens of instructions. */
static __device__ __forceinline__ struct corner corner_of(const struct tiling *t, int index, int samples, int channels,
                                                          int h, int w, int unit_step, int shift_y, int shift_x,
                                                          int job_h, int job_w, int job_step)
{
    const int of_image = index % (t->down * t->across), sample = index / (t->down * t->across) * t->samples;
    const int y = of_image / t->across * t->height, x = of_image % t->across * t->width;
    const int from_y = y * unit_step + shift_y, from_x = x * unit_step + shift_x;
    struct corner c;
    c.positions[0] = c.positions[1] = (((long long)sample * h + from_y) * w + from_x) * channels;
    c.jobs[0] = c.jobs[1] = (((long long)sample * job_h + y * job_step) * job_w + x * job_step) * channels;
    c.position_limits = limits_of(from_y, from_x, h, w, samples - sample);
    c.job_limits = limits_of(y * job_step, x * job_step, job_h, job_w, samples - sample);
    return c;
}

/* ---- shared memory: the tile; the positions; the jobs; two corners, of this tile and of the next one; the weights
 * [taps][TILE_CHANNELS]; the rows [TILE_ROWS][TILE_CHANNELS], at constant distances: a thread needs one address ---- */
struct tile_memory {
    float *tile; /* [vectors][plane][V] */
    struct spot *positions, *jobs;
    struct corner *corners;
    float *weights, *rows;
};

static __host__ __device__ __forceinline__ int tile_floats(const struct tiling *t, int width)
{
    return (t->vectors * t->plane * width + 3) / 4 * 4;
}

static inline size_t tile_bytes(const struct tiling *t, int width, int taps)
{
    const size_t spots = (t->positions + t->jobs + 1) / 2 * 2;
    const size_t corners = 2 * sizeof(struct corner) / sizeof(float);
    const size_t floats = tile_floats(t, width) + 2 * spots + corners + (size_t)(taps + TILE_ROWS) * TILE_CHANNELS;
    return (floats > LANE_FLOATS ? floats : (size_t)LANE_FLOATS) * sizeof(float);
}

template <int V>
static __device__ __forceinline__ struct tile_memory memory_of(const struct tiling *t, float *shared, int taps)
{
    struct tile_memory m;
    m.tile = shared;
    m.positions = (struct spot *)(shared + tile_floats(t, V));
    m.jobs = m.positions + t->positions;
    m.corners = (struct corner *)(m.positions + (t->positions + t->jobs + 1) / 2 * 2);
    m.weights = (float *)(m.corners + 2);
    m.rows = m.weights + taps * TILE_CHANNELS;
    return m;
}

/* The tables. Positions: of images of h x w. Jobs: of images of job_h x job_w, with job_step of their pixels to a unit
 * and unit_step positions to a unit. */
static __device__ __forceinline__ void share_spots(const struct tiling *t, const struct tile_memory *m, int channels,
                                                   int h, int w, int job_h, int job_w, int job_step, int unit_step,
                                                   int run, int beside)
{
#pragma unroll 1
    for (int i = threadIdx.x; i < t->positions; i += CHANNEL_THREADS) {
        const int column = i % t->columns, line = i / t->columns, row = line % t->rows, sample = line / t->rows;
        m->positions[i].place = place_word(row, column, sample);
        m->positions[i].offset = ((sample * h + row) * w + column) * channels;
    }
    const int jobs_x = t->width / beside, jobs_y = t->height / run;
#pragma unroll 1
    for (int i = threadIdx.x; i < t->jobs; i += CHANNEL_THREADS) {
        const int x = i % jobs_x * beside, line = i / jobs_x, y = line % jobs_y * run, sample = line / jobs_y;
        const int first = (sample * t->rows + y * unit_step) * t->columns + x * unit_step;
        m->jobs[i].place = place_word(y * job_step, x * job_step, sample) + ((uint32_t)first << PLACE_POSITION);
        m->jobs[i].offset = ((sample * job_h + y * job_step) * job_w + x * job_step) * channels;
    }
}

/* to[tap][channel] = the weights of the block's channels; channels is how many of them exist. */
static __device__ __forceinline__ void share_weights(const float *from, int channels, int taps, float *to)
{
#pragma unroll 1
    for (int i = threadIdx.x; i < channels * taps; i += CHANNEL_THREADS)
        to[i % taps * TILE_CHANNELS + i / taps] = from[i];
}

/* to[channel] = row[channel], or `absent` if there is no row. */
static __device__ __forceinline__ void share_row(const float *row, float absent, int channels, float *to)
{
#pragma unroll 1
    for (int i = threadIdx.x; i < channels; i += CHANNEL_THREADS)
        to[i] = row ? row[i] : absent;
}

/* COUNT floats of shared memory, aligned if there are several. */
template <int COUNT> static __device__ __forceinline__ void read_shared(const float *from, float *x)
{
    if (COUNT % 4 == 0) {
#pragma unroll
        for (int i = 0; i < COUNT; i += 4)
            load_vector<4>(from + i, x + i);
    } else {
#pragma unroll
        for (int i = 0; i < COUNT; i++)
            x[i] = from[i];
    }
}

/* ---- activations: the commonest as a tile is filled, the others in a second pass over it, out of line, so that they
 * cost the common ones no registers ---- */
template <int F>
static __device__ __forceinline__ void activate_common(enum activation activation, float alpha, float beta, float *x)
{
    if (activation == ACTIVATION_RELU) {
#pragma unroll
        for (int i = 0; i < F; i++)
            x[i] = activation_apply(ACTIVATION_RELU, alpha, beta, x[i]);
    } else if (activation == ACTIVATION_CLIP) {
#pragma unroll
        for (int i = 0; i < F; i++)
            x[i] = activation_apply(ACTIVATION_CLIP, alpha, beta, x[i]);
    }
}

/* Each thread activates what it has filled. */
template <int V, int F>
static __device__ __forceinline__ void activate_rest(const struct tiling *t, const struct place *p,
                                                     const struct cuda_read *read, struct limits limits,
                                                     const struct spot *positions, float *to)
{
    if (read->activation == ACTIVATION_NONE || read->activation == ACTIVATION_RELU ||
        read->activation == ACTIVATION_CLIP)
        return;
#pragma unroll 1
    for (int index = p->lane; p->active && index < t->positions; index += p->lanes) {
        if (!is_within(limits, positions[index].place))
            continue;
#pragma unroll 1
        for (int i = 0; i < F; i++) {
            float *const x = to + (i / V * t->plane + index) * V + i % V;
            *x = rare_activation<float>(read->activation, read->alpha, read->beta, *x);
        }
    }
}

/* ---- what a tile is made of: fetch begins the loads of F values, finish makes of them what the tile holds ---- */
template <typename T, int F> struct input_source { /* the completed input */
    struct raw {
        raw_vector<T, F> x;
    };
    const T *in;
    float scale[F], shift[F];
    enum activation activation;
    float alpha, beta;

    __device__ __forceinline__ void fetch(int at, struct raw *r) const
    {
        r->x = fetch_vector<T, F>(in + at);
    }
    __device__ __forceinline__ void finish(const struct raw *r, float *x) const
    {
        unpack_vector<F>(r->x, x);
#pragma unroll
        for (int i = 0; i < F; i++)
            x[i] = x[i] * scale[i] + shift[i];
        activate_common<F>(activation, alpha, beta, x);
    }
};

template <typename T, int F> struct gradient_source { /* dz of the output */
    struct raw {
        raw_vector<T, F> g, z;
    };
    const T *gradient, *values;
    const float *rows; /* in shared memory: a, b and d of the thread's channels. Registers are scarce */
    const struct cuda_derivative *from;

    __device__ __forceinline__ void fetch(int at, struct raw *r) const
    {
        r->g = fetch_vector<T, F>(gradient + at);
        if (from->a)
            r->z = fetch_vector<T, F>(values + at);
    }
    __device__ __forceinline__ void finish(const struct raw *r, float *dz) const
    {
        unpack_vector<F>(r->g, dz);
        if (!from->a)
            return;
        float z[F], a[F], b[F], d[F];
        unpack_vector<F>(r->z, z);
        read_shared<F>(rows, a);
        read_shared<F>(rows + TILE_CHANNELS, b);
        read_shared<F>(rows + 2 * TILE_CHANNELS, d);
#pragma unroll
        for (int i = 0; i < F; i++)
            dz[i] = a[i] * dz[i] + (b[i] * z[i] + d[i]);
    }
};

/* Fills the tile, with zeros outside the images and N fetches in flight per thread. The source points to the tile's
 * first position. p: the thread's place, in vectors of F; to: the plane of its first channel, of vectors of V. */
template <int V, int F, int N, typename SOURCE>
static __device__ __forceinline__ void fill_tile(const struct tiling *t, const struct place *p, const SOURCE &source,
                                                 struct limits limits, const struct spot *positions, float *to)
{
    for (int first = p->lane; p->active && first < t->positions; first += N * p->lanes) {
        typename SOURCE::raw raw[N];
        bool inside[N];
#pragma unroll
        for (int i = 0; i < N; i++) {
            const int index = first + i * p->lanes;
            inside[i] = false;
            if (index < t->positions) {
                const struct spot spot = positions[index];
                inside[i] = is_within(limits, spot.place);
                if (inside[i])
                    source.fetch(spot.offset, &raw[i]);
            }
        }
#pragma unroll
        for (int i = 0; i < N; i++) {
            const int index = first + i * p->lanes;
            float x[F];
            if (index >= t->positions)
                break;
            clear<F>(x);
            if (inside[i])
                source.finish(&raw[i], x);
#pragma unroll
            for (int part = 0; part < F / V; part++)
                store_vector<V>(to + part * t->plane * V + index * V, x + part * V);
        }
    }
}

#endif
