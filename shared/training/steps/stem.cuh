/* The first convolution of a network: few input channels, which no vector of channels fits. What its two kernels,
 * stem_forward.cu and stem_weights.cu, share.
 *
 * A batch is cut into tiles of up to 256 output pixels, 16 x 16 if the image has room for that. A block brings the
 * inputs that a tile's windows cover, the patch, into shared memory once, as quads: four channels a position, zeros
 * where the image or its channels end. A tap of a window is then one aligned read, whatever the number of channels, and
 * the windows of a tile form the matrix
 *     columns[pixel, tap * 4 + channel]
 * of which each warp multiplies 16 pixels at a time; a quarter of it is zeros if there are three channels. All tiles
 * have the same form: what follows from the form is computed once per block and kept in tables (cuda_place.cuh). */
#ifndef SHARED_TRAINING_STEPS_STEM_CUH
#define SHARED_TRAINING_STEPS_STEM_CUH

#include "shared/training/cuda/cuda_place.cuh"
#include "shared/training/steps/conv.cuh"

#include <limits.h>

enum {
    STEM_PIXELS = 256,     /* of a tile, at most */
    STEM_POSITIONS = 1152, /* of a patch, at most */
    STEM_ROWS = 16,        /* pixels that a warp multiplies at a time */
    STEM_BLOCKS = 256      /* that share the tiles, at most: two for each multiprocessor of a large GPU */
};

/* A tile is height x width output pixels of an image; its patch has rows x columns positions. */
struct stem_tiling {
    int height, width, down, across; /* tiles of an image */
    int tiles;                       /* of the batch; 0: no window fits into a patch */
    int rows, columns;
};

struct stem {
    struct conv_shape shape;
    struct stem_tiling tiling;
    const void *input; /* [count, in_h, in_w, in_c], complete */
    size_t input_stride;
    const float *weights, *bias; /* [out_c, in_c, taps]; [out_c], or NULL */
    size_t parameter_stride;
    struct cuda_write write;
    struct cuda_derivative derivative;
    enum quad_access access; /* to the output */
    struct cuda_partial weight_sums, bias_sums;
    unsigned int *arrived; /* of the blocks that hand those in */
};

/* Kernels come in two sizes: STEPS x 4 taps, one of which gives the bias its gradient; GROUPS x 16 output channels. */
static __host__ __device__ constexpr int stem_taps(int steps)
{
    return steps * 4;
}

static __device__ __forceinline__ int stem_valid(int channels, int channel)
{
    return clamped(channels - channel, 0, 4);
}

/* ---- shared memory: the patch, the two tables, two corners (of this tile and of the next), and what is the kernel's
 * own ---- */

/* Where a tile lies: its first position, which may lie outside, and its first pixel, as elements of their tensors. */
struct stem_corner {
    long long input, output;
    struct limits positions, pixels;
};

template <typename T> struct stem_memory {
    T *patch;                    /* [rows][columns][4] */
    struct spot *positions;      /* [rows][columns] */
    struct spot *pixels;         /* [STEM_PIXELS]; a place's upper bits are the first position of its window */
    struct stem_corner *corners; /* [2] */
    unsigned char *rest;
};

static __host__ __device__ __forceinline__ int stem_padded_positions(const struct stem_tiling *t)
{
    return (t->rows * t->columns + 3) / 4 * 4;
}

template <typename T> static __host__ __device__ __forceinline__ size_t stem_bytes(const struct stem_tiling *t)
{
    return stem_padded_positions(t) * (4 * sizeof(T) + sizeof(struct spot)) + STEM_PIXELS * sizeof(struct spot) +
           2 * sizeof(struct stem_corner);
}

template <typename T>
static __device__ __forceinline__ struct stem_memory<T> stem_memory_of(const struct stem_tiling *t,
                                                                       unsigned char *shared) {
    struct stem_memory<T> m;
    m.patch = (T *)shared;
    m.positions = (struct spot *)(m.patch + 4 * stem_padded_positions(t));
    m.pixels = m.positions + stem_padded_positions(t);
    m.corners = (struct stem_corner *)(m.pixels + STEM_PIXELS);
    m.rest = (unsigned char *)(m.corners + 2);
    return m;
}

/* The tables. Pixels behind the tile's last one have a place that lies in no image. */
template <typename T>
static __device__ __forceinline__ void stem_share_spots(const struct stem *s, const struct stem_memory<T> *m)
{
    const struct conv_shape *shape = &s->shape;
    const struct stem_tiling *t = &s->tiling;
#pragma unroll 1
    for (int i = threadIdx.x; i < t->rows * t->columns; i += TILE_THREADS) {
        const int row = i / t->columns, column = i % t->columns;
        m->positions[i].place = place_word(row, column, 0);
        m->positions[i].offset = (row * shape->in_w + column) * shape->in_c;
    }
    for (int i = threadIdx.x; i < STEM_PIXELS; i += TILE_THREADS) {
        const int y = i / t->width, x = i % t->width;
        const int position = y * shape->stride_h * t->columns + x * shape->stride_w;
        const bool exists = y < t->height;
        m->pixels[i].place =
            exists ? place_word(y, x, 0) + ((uint32_t)position << PLACE_POSITION) : place_word(0, 0, 1);
        m->pixels[i].offset = exists ? (y * shape->out_w + x) * shape->out_c : 0;
    }
}

/* Called by one thread, because it takes dozens of instructions. */
static __device__ __forceinline__ struct stem_corner stem_corner_of(const struct stem *s, int tile)
{
    const struct conv_shape *shape = &s->shape;
    const struct stem_tiling *t = &s->tiling;
    const int of_image = tile % (t->down * t->across), sample = tile / (t->down * t->across);
    const int y = of_image / t->across * t->height, x = of_image % t->across * t->width;
    const int from_y = y * shape->stride_h - shape->pad_top, from_x = x * shape->stride_w - shape->pad_left;
    struct stem_corner c;
    c.input = (((long long)sample * shape->in_h + from_y) * shape->in_w + from_x) * shape->in_c;
    c.output = (((long long)sample * shape->out_h + y) * shape->out_w + x) * shape->out_c;
    c.positions = limits_of(from_y, from_x, shape->in_h, shape->in_w, 1);
    c.pixels = limits_of(y, x, shape->out_h, shape->out_w, 1);
    return c;
}

/* Positions from the beginning of a window to its tap, 0 behind the last tap. */
static __device__ __forceinline__ int stem_tap_position(const struct stem *s, int tap)
{
    const struct conv_shape *shape = &s->shape;
    const int y = tap / shape->kernel_w, x = tap % shape->kernel_w;
    return y < shape->kernel_h ? y * shape->dilation_h * s->tiling.columns + x * shape->dilation_w : 0;
}

static __device__ __forceinline__ void stem_store(float *position, const raw_vector<float, 1> (&raw)[4])
{
    *(uint4 *)position = make_uint4(raw[0].bits, raw[1].bits, raw[2].bits, raw[3].bits);
}
static __device__ __forceinline__ void stem_store(bf16 *position, const raw_vector<bf16, 1> (&raw)[4])
{
    *(uint2 *)position = make_uint2((uint32_t)raw[0].bits | (uint32_t)raw[1].bits << 16,
                                    (uint32_t)raw[2].bits | (uint32_t)raw[3].bits << 16);
}

/* Fills the patch from IN channels. All of a thread's fetches are in flight before the first is used. INSIDE: the patch
 * lies inside its image, as most do. */
template <typename T, int IN, bool INSIDE>
static __device__ __forceinline__ void stem_fill_from(const struct stem *s, const struct stem_memory<T> *m,
                                                      const struct stem_corner *corner)
{
    enum { SHARE = (STEM_POSITIONS + TILE_THREADS - 1) / TILE_THREADS };
    const int positions = s->tiling.rows * s->tiling.columns;
    const T *const from = kept((const T *)s->input + (blockIdx.z * s->input_stride + corner->input));
    const struct limits limits = corner->positions;
    raw_vector<T, 1> raw[SHARE][4] = {};
#pragma unroll
    for (int i = 0; i < SHARE; i++) {
        const int index = threadIdx.x + i * TILE_THREADS;
        if (index < positions && (INSIDE || is_within(limits, m->positions[index].place)))
#pragma unroll
            for (int c = 0; c < IN; c++)
                raw[i][c] = fetch_vector<T, 1>(from + m->positions[index].offset + c);
    }
#pragma unroll
    for (int i = 0; i < SHARE; i++)
        if ((int)threadIdx.x + i * TILE_THREADS < positions)
            stem_store(m->patch + 4 * (threadIdx.x + i * TILE_THREADS), raw[i]);
}

template <typename T, int IN>
static __device__ __forceinline__ void stem_fill_channels(const struct stem *s, const struct stem_memory<T> *m,
                                                          const struct stem_corner *corner)
{
    if (is_within(corner->positions, place_word(0, 0, 0)) &&
        is_within(corner->positions, place_word(s->tiling.rows - 1, s->tiling.columns - 1, 0)))
        stem_fill_from<T, IN, true>(s, m, corner);
    else
        stem_fill_from<T, IN, false>(s, m, corner);
}

template <typename T>
static __device__ __forceinline__ void stem_fill(const struct stem *s, const struct stem_memory<T> *m,
                                                 const struct stem_corner *corner)
{
    switch (s->shape.in_c) {
    case 1:
        return stem_fill_channels<T, 1>(s, m, corner);
    case 2:
        return stem_fill_channels<T, 2>(s, m, corner);
    case 3:
        return stem_fill_channels<T, 3>(s, m, corner);
    default:
        return stem_fill_channels<T, 4>(s, m, corner);
    }
}

/* ---- the walk over a block's tiles. All threads of the block must call these ---- */
/* The tables, and where the first tile lies. */
template <typename T>
static __device__ __forceinline__ void stem_begin(const struct stem *s, const struct stem_memory<T> *m)
{
    stem_share_spots<T>(s, m);
    if (threadIdx.x == 0)
        m->corners[0] = stem_corner_of(s, blockIdx.x);
    __syncthreads();
}

/* Brings a tile's patch, and returns where the tile lies; one thread computes where the next one does. turn: 0 and 1
 * alternately. A barrier must follow before the next call. */
template <typename T>
static __device__ __forceinline__ const struct stem_corner *
stem_bring(const struct stem *s, const struct stem_memory<T> *m, int tile, int turn)
{
    const struct stem_corner *const corner = m->corners + turn;
    stem_fill<T>(s, m, corner);
    __syncthreads();
    if (threadIdx.x == 0)
        m->corners[turn ^ 1] = stem_corner_of(s, tile + gridDim.x);
    return corner;
}

/* ---- host ---- */
/* A tile of `height` x `width` pixels, made smaller as far as that takes no more tiles. */
static inline struct stem_tiling stem_tiling_with(const struct conv_shape *s, int height, int width)
{
    struct stem_tiling t = {};
    t.down = (s->out_h + height - 1) / height;
    t.across = (s->out_w + width - 1) / width;
    t.height = (s->out_h + t.down - 1) / t.down;
    t.width = (s->out_w + t.across - 1) / t.across;
    t.tiles = s->count * t.down * t.across;
    t.rows = (t.height - 1) * s->stride_h + (s->kernel_h - 1) * s->dilation_h + 1;
    t.columns = (t.width - 1) * s->stride_w + (s->kernel_w - 1) * s->dilation_w + 1;
    return t;
}

/* The fewest tiles, and of those cuts the one with the fewest positions: the widest, for long runs of memory. */
static inline struct stem_tiling stem_tiling_of(const struct conv_shape *s)
{
    const int window_h = (s->kernel_h - 1) * s->dilation_h + 1, window_w = (s->kernel_w - 1) * s->dilation_w + 1;
    const int most = PLACE_MOST + 1; /* positions of an edge */
    struct stem_tiling best = {};
    for (int width = 1; width <= s->out_w && (width - 1) * s->stride_w + window_w <= most; width++) {
        const int room = STEM_POSITIONS / ((width - 1) * s->stride_w + window_w), rows = room < most ? room : most;
        const int fitting = rows < window_h ? 0 : (rows - window_h) / s->stride_h + 1;
        const int height = fitting < STEM_PIXELS / width ? fitting : STEM_PIXELS / width;
        if (height < 1)
            continue;
        const struct stem_tiling t = stem_tiling_with(s, height, width);
        if (best.tiles == 0 || t.tiles < best.tiles ||
            (t.tiles == best.tiles && t.rows * t.columns <= best.rows * best.columns))
            best = t;
    }
    return best;
}

/* As many blocks as work on equal numbers of tiles, as far as possible. */
static inline int stem_blocks(const struct stem_tiling *t)
{
    const int each = (t->tiles + STEM_BLOCKS - 1) / STEM_BLOCKS;
    return (t->tiles + each - 1) / each;
}

/* Sets what both kernels need. */
static inline struct stem stem_of(const struct cuda_run *run, const struct conv_shape *shape)
{
    const struct cuda_read read = cuda_read_of(run, cuda_input_of(run));
    struct stem s = {};
    s.shape = *shape;
    s.tiling = stem_tiling_of(shape);
    s.input = read.values;
    s.input_stride = read.stride;
    s.weights = weight_values(run->memory, run->step->weight);
    s.bias = weight_values(run->memory, run->step->bias);
    s.parameter_stride = run->plan->parameter_count;
    s.access = quad_access_of(shape->out_c);
    return s;
}

/* Runs a launch with T, STEPS and GROUPS. */
#define DISPATCH_STEM(run, shape, ...)                                             \
    do {                                                                           \
        if ((shape)->kernel_h * (shape)->kernel_w >= stem_taps(3)) {               \
            enum { STEPS = 7, GROUPS = 1 };                                        \
            DISPATCH_TYPE(cuda_dtype_of(run, cuda_input_of(run)), T, __VA_ARGS__); \
        } else if ((shape)->out_c > 16) {                                          \
            enum { STEPS = 3, GROUPS = 2 };                                        \
            DISPATCH_TYPE(cuda_dtype_of(run, cuda_input_of(run)), T, __VA_ARGS__); \
        } else {                                                                   \
            enum { STEPS = 3, GROUPS = 1 };                                        \
            DISPATCH_TYPE(cuda_dtype_of(run, cuda_input_of(run)), T, __VA_ARGS__); \
        }                                                                          \
    } while (0)

#ifdef __cplusplus
extern "C" {
#endif
/* ---- stem_forward.cu ---- */
/* Do the kernels take such a convolution, if its input is complete and of the output's type? */
bool stem_fits(const struct conv_shape *shape);
/* Makes the raw outputs and their statistics. */
enum status stem_forward(const struct cuda_run *run, const struct conv_shape *shape, struct error *err);
/* ---- stem_weights.cu ---- */
/* Floats of scratch memory per student for the gradient of weights and bias. */
size_t stem_scratch(const struct conv_shape *shape);
enum status stem_weight_gradient(const struct cuda_run *run, const struct conv_shape *shape, struct error *err);
#ifdef __cplusplus
}
#endif
#endif
