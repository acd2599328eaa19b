/* Convolutions and their data gradients as one product: [pixels, taps x channels] gathered from the source, times the
 * packed weights. Any kernel, stride, dilation, padding and number of groups.
 *
 * A block computes tiles of 8192 results (128 pixels x 64 channels, 256 x 32 where there are few), 64 bytes of depth at
 * a time, from two buffers in shared memory: while slow warps multiply one, the fast ones gather the next. Every quad
 * of channels of the source is completed (forward) or brought through the batch norm (backward) as it is read, and
 * rounded to the stored type. Results pass through shared memory to threads that own channels: they add the bias,
 * store, and sum up.
 *
 * Moved: the source once from memory (a window's other taps come from the caches) for every 64 channels of results, the
 * results once; backward also z of the source, and g and z of the target. That is the plan's floor for up to 64
 * channels. In a data gradient with a stride, tiles hold one phase each and skip the taps that do not reach it. */
#include "shared/backend/cuda/conv.cuh"

#include <limits.h>

enum { DEPTH_BYTES = 64, RESULTS = 8192 };

struct product {
    struct conv_shape shape;
    const void *packed;
    size_t packed_stride;    /* elements a student */
    struct cuda_read read;   /* forward */
    struct cuda_slope slope; /* backward */
    struct cuda_write write;
    struct cuda_give give;
    const float *bias; /* [out_c], NULL: none */
    size_t bias_stride;
    int output_float; /* the step's output is float whatever T is */
    enum quad_access source, target;
    int from, to; /* channels of a group */
    int tiles, phase_tiles;
};

/* A pixel of the tile: where its results go, and what it reads. */
struct row {
    int target; /* pixel of the target, -1: none */
    int sample, y, x;
};

/* What a thread gathers at one depth of the product. */
struct source {
    int y, x;    /* to add to a row's */
    int channel; /* in the tensor */
    int valid;   /* channels of the quad that exist */
};

template <int BACKWARD>
static __device__ __forceinline__ void product_axes(const struct conv_shape *s, int phase, struct conv_axis *y,
                                                    struct conv_axis *x)
{
    if (BACKWARD) {
        *y = conv_axis_backward(s->in_h, s->out_h, s->kernel_h, s->stride_h, s->dilation_h, s->pad_top,
                                phase / s->stride_w);
        *x = conv_axis_backward(s->in_w, s->out_w, s->kernel_w, s->stride_w, s->dilation_w, s->pad_left,
                                phase % s->stride_w);
    } else {
        *y = conv_axis_forward(s->in_h, s->out_h, s->kernel_h, s->stride_h, s->dilation_h, s->pad_top);
        *x = conv_axis_forward(s->in_w, s->out_w, s->kernel_w, s->stride_w, s->dilation_w, s->pad_left);
    }
}

static __device__ __forceinline__ struct row product_row(const struct conv_axis *y, const struct conv_axis *x,
                                                         int count, int pixel)
{
    const int per_sample = y->rows * x->rows, sample = pixel / per_sample, place = pixel % per_sample;
    const int row_y = place / x->rows, row_x = place % x->rows;
    const int target_y = y->target_first + row_y * y->target_step, target_x = x->target_first + row_x * x->target_step;
    struct row row = {-1, sample, row_y * y->row_step + y->start, row_x * x->row_step + x->start};
    if (sample < count && target_y < y->target && target_x < x->target)
        row.target = (sample * y->target + target_y) * x->target + target_x;
    return row;
}

/* Depth k is (tap, channel). */
static __device__ __forceinline__ struct source product_source(const struct product *p, const struct conv_axis *y,
                                                               const struct conv_axis *x, int group, int k, int depth)
{
    const int tap = k / p->from, channel = k % p->from;
    struct source s;
    s.y = tap / x->taps * y->tap_step;
    s.x = tap % x->taps * x->tap_step;
    s.channel = group * p->from + channel;
    s.valid = k >= depth ? 0 : p->from - channel < 4 ? p->from - channel : 4;
    return s;
}

/* The value of the source for quads whose pixel lies inside of it. */
template <typename T, int BACKWARD>
static __device__ __forceinline__ struct quad product_read(const struct product *p, const struct quad_completion *c,
                                                           const struct quad_slope *through, int student, size_t at,
                                                           int valid)
{
    if (!BACKWARD) {
        const T *values = (const T *)p->read.values + student * p->read.stride + at;
        return quad_complete(&p->read, c, quad_load(values, p->source, valid));
    }
    const size_t g_at = student * p->slope.gradient_stride + at, z_at = student * p->slope.value_stride + at;
    const struct quad g = quad_load_output<T>(p->slope.gradient, g_at, p->output_float, p->source, valid);
    if (!p->slope.a)
        return g;
    return quad_through(through, g, quad_load_output<T>(p->slope.values, z_at, p->output_float, p->source, valid));
}

/* One quad of channels at depth k of every row of the tile that is this thread's. */
template <typename T, int ROWS, int BACKWARD>
static __device__ __forceinline__ void gather_vector(const struct product *p, const struct row *rows,
                                                     const struct source *s, int student, const struct conv_axis *y,
                                                     const struct conv_axis *x, T *tile, int column)
{
    enum { QUADS = DEPTH_BYTES / sizeof(T) / 4, PITCH = tile_pitch<T>(DEPTH_BYTES / sizeof(T)) };
    struct quad_completion c = {};
    struct quad_slope through = {};
    if (BACKWARD)
        through = quad_slope_of(&p->slope, student, s->channel, s->valid);
    else
        c = quad_completion_of(&p->read, student, s->channel, s->valid);
    const int channels = p->from * p->shape.groups;
#pragma unroll 4
    for (int i = threadIdx.x / QUADS; i < ROWS; i += TILE_THREADS / QUADS) {
        const struct row row = rows[i];
        const int source_y = row.y + s->y, source_x = row.x + s->x;
        struct quad q = quad_zero();
        if (s->valid && row.target >= 0 && (unsigned)source_y < (unsigned)y->source &&
            (unsigned)source_x < (unsigned)x->source) {
            const size_t pixel = ((size_t)row.sample * y->source + source_y) * x->source + source_x;
            q = product_read<T, BACKWARD>(p, &c, &through, student, pixel * channels + s->channel, s->valid);
        }
        quad_to_tile(tile + i * PITCH + column, q);
    }
}

/* The same where neighbouring depths need not be neighbouring channels: element by element. */
template <typename T, int ROWS, int BACKWARD>
static __device__ __forceinline__ void gather_scalar(const struct product *p, const struct row *rows, int group, int k,
                                                     int depth, int student, const struct conv_axis *y,
                                                     const struct conv_axis *x, T *tile, int column)
{
    enum { QUADS = DEPTH_BYTES / sizeof(T) / 4, PITCH = tile_pitch<T>(DEPTH_BYTES / sizeof(T)) };
    const int channels = p->from * p->shape.groups;
    for (int j = 0; j < 4; j++) {
        struct source s = product_source(p, y, x, group, k + j, depth);
        struct quad_completion c = {};
        struct quad_slope through = {};
        s.valid = s.valid > 0;
        if (BACKWARD)
            through = quad_slope_of(&p->slope, student, s.channel, s.valid);
        else
            c = quad_completion_of(&p->read, student, s.channel, s.valid);
#pragma unroll 4
        for (int i = threadIdx.x / QUADS; i < ROWS; i += TILE_THREADS / QUADS) {
            const struct row row = rows[i];
            const int source_y = row.y + s.y, source_x = row.x + s.x;
            struct quad q = quad_zero();
            if (s.valid && row.target >= 0 && (unsigned)source_y < (unsigned)y->source &&
                (unsigned)source_x < (unsigned)x->source) {
                const size_t pixel = ((size_t)row.sample * y->source + source_y) * x->source + source_x;
                q = product_read<T, BACKWARD>(p, &c, &through, student, pixel * channels + s.channel, 1);
            }
            store(tile + i * PITCH + column + j, q.v[0]);
        }
    }
}

/* Rows k to k + DEPTH of the packed weights, columns from first_to on. */
template <typename T, int COLUMNS>
static __device__ __forceinline__ void gather_weights(const struct product *p, int student, int group, int first_to,
                                                      const struct conv_axis *y, const struct conv_axis *x, int k,
                                                      int depth, T *tile)
{
    enum { DEPTH = DEPTH_BYTES / sizeof(T), PITCH = tile_pitch<T>(COLUMNS) };
    const int to_padded = (p->to + 3) / 4 * 4, kernel_w = p->shape.kernel_w, taps = p->shape.kernel_h * kernel_w;
    const T *packed = (const T *)p->packed + student * p->packed_stride + (size_t)group * taps * p->from * to_padded;
    for (int i = threadIdx.x; i < DEPTH * COLUMNS / 4; i += TILE_THREADS) {
        const int row = i / (COLUMNS / 4), column = i % (COLUMNS / 4) * 4, at = k + row;
        struct quad q = quad_zero();
        if (at < depth && first_to + column < to_padded) {
            const int tap = at / p->from;
            const int tap_y = y->first_tap + tap / x->taps * y->tap_stride;
            const int tap_x = x->first_tap + tap % x->taps * x->tap_stride;
            const size_t from = (size_t)(tap_y * kernel_w + tap_x) * p->from + at % p->from;
            q = quad_load(packed + from * to_padded + first_to + column, QUAD_VECTOR, 4);
        }
        quad_to_tile(tile + row * PITCH + column, q);
    }
}

template <typename T, int COLUMNS> struct product_memory {
    enum {
        ROWS = RESULTS / COLUMNS,
        DOWN = ROWS / 32, /* a warp's part is 32 x 32 */
        DEPTH = DEPTH_BYTES / sizeof(T),
        A_PITCH = tile_pitch<T>(DEPTH),
        B_PITCH = tile_pitch<T>(COLUMNS),
        A_BYTES = ROWS * A_PITCH * sizeof(T),
        B_BYTES = DEPTH * B_PITCH * sizeof(T),
        RESULT_PITCH = COLUMNS + 4,
        RESULT_BYTES = ROWS * RESULT_PITCH * sizeof(float),
        OPERANDS = 2 * (A_BYTES + B_BYTES),
        TILES = OPERANDS > RESULT_BYTES ? OPERANDS : RESULT_BYTES, /* results take the operands' place */
        BYTES = TILES + ROWS * sizeof(struct row)
    };
};

/* sums += the tile's product. */
template <typename T, int COLUMNS, int BACKWARD>
static __device__ __forceinline__ void product_tile(const struct product *p, unsigned char *shared,
                                                    const struct row *rows, int student, int group, int first_to,
                                                    const struct conv_axis *y, const struct conv_axis *x, float *sums)
{
    typedef product_memory<T, COLUMNS> memory;
    const int depth = y->taps * x->taps * p->from, column = threadIdx.x % (memory::DEPTH / 4) * 4;
    for (int k = 0, buffer = 0; k < depth; k += memory::DEPTH, buffer ^= 1) {
        T *const a = (T *)(shared + buffer * (memory::A_BYTES + memory::B_BYTES)), *const b =
                                                                                       a + memory::A_BYTES / sizeof(T);
        if (p->source == QUAD_VECTOR) {
            const struct source s = product_source(p, y, x, group, k + column, depth);
            gather_vector<T, memory::ROWS, BACKWARD>(p, rows, &s, student, y, x, a, column);
        } else {
            gather_scalar<T, memory::ROWS, BACKWARD>(p, rows, group, k + column, depth, student, y, x, a, column);
        }
        gather_weights<T, COLUMNS>(p, student, group, first_to, y, x, k, depth, b);
        __syncthreads();
        const int used = depth - k < memory::DEPTH ? tile_depth<T>(depth - k) : memory::DEPTH;
        tile_multiply<memory::ROWS, COLUMNS, memory::DOWN, TILE_BY_ROW>(sums, a, memory::A_PITCH, b, memory::B_PITCH,
                                                                        used);
    }
}

template <typename T>
static __device__ __forceinline__ void product_write(const struct product *p, struct quad_moments *moments, int student,
                                                     size_t at, struct quad q, struct quad bias, int valid)
{
    at += student * p->write.stride;
#pragma unroll
    for (int i = 0; i < 4; i++)
        q.v[i] += bias.v[i];
    q = p->output_float ? quad_store((float *)p->write.values + at, q, p->target, valid)
                        : quad_store((T *)p->write.values + at, q, p->target, valid);
    if (p->write.moments)
        quad_note(moments, q);
}

template <typename T, int COLUMNS, int BACKWARD>
static __global__ void __launch_bounds__(TILE_THREADS, 2) conv_product(const struct product p)
{
    typedef product_memory<T, COLUMNS> memory;
    DYNAMIC_SHARED(unsigned char, shared);
    struct row *const rows = (struct row *)(shared + memory::TILES);
    float *const results = (float *)shared;
    const int column_tiles = (p.to + COLUMNS - 1) / COLUMNS, student = blockIdx.z;
    const int group = blockIdx.y / column_tiles, first_to = blockIdx.y % column_tiles * COLUMNS;
    const int columns = p.to - first_to < COLUMNS ? p.to - first_to : COLUMNS, channels = p.to * p.shape.groups;
    const int first_channel = group * p.to + first_to; /* in the target */
    const struct quad_lane lane = quad_lane_of(columns, (columns + 3) / 4 * 4);
    struct quad_moments moments = {};
    struct quad_sums given = {};
    for (int tile = blockIdx.x; tile < p.tiles; tile += gridDim.x) {
        struct conv_axis y, x;
        float sums[RESULTS / TILE_THREADS];
        product_axes<BACKWARD>(&p.shape, tile / p.phase_tiles, &y, &x);
        for (int i = threadIdx.x; i < memory::ROWS; i += TILE_THREADS)
            rows[i] = product_row(&y, &x, p.shape.count, tile % p.phase_tiles * memory::ROWS + i);
        __syncthreads();
        tile_clear<RESULTS / TILE_THREADS>(sums);
        product_tile<T, COLUMNS, BACKWARD>(&p, shared, rows, student, group, first_to, &y, &x, sums);
        __syncthreads();
        tile_store<T, memory::ROWS, COLUMNS, memory::DOWN, TILE_BY_ROW>(sums, results, memory::RESULT_PITCH);
        __syncthreads();
        struct quad_give give = {};
        struct quad bias = quad_zero();
        if (BACKWARD)
            give = quad_give_of(&p.give, student, first_channel + lane.channel, lane.valid);
        else if (p.bias)
            bias = quad_row(p.bias + student * p.bias_stride, first_channel + lane.channel, lane.valid);
#pragma unroll 2
        for (int i = lane.row; i < memory::ROWS; i += lane.rows) {
            const struct quad q = quad_load(results + i * memory::RESULT_PITCH + lane.channel, QUAD_VECTOR, 4);
            const size_t at = (size_t)rows[i].target * channels + first_channel + lane.channel;
            if (rows[i].target < 0)
                continue;
            if (BACKWARD)
                quad_hand_over<T>(&p.give, &give, &given, student, at, q, p.target, lane.valid);
            else
                product_write<T>(&p, &moments, student, at, q, bias, lane.valid);
        }
        __syncthreads();
    }
    const size_t block = (size_t)student * gridDim.x + blockIdx.x;
    if (!BACKWARD && p.write.moments)
        quad_moments_hand_in(&moments, &lane, results, p.write.moments + block * 3 * channels, channels, first_channel,
                             columns);
    if (BACKWARD && p.give.sums)
        quad_sums_hand_in(&given, &lane, results, p.give.sums + block * 2 * channels, channels, first_channel, columns);
}

/* ---- host ---- */
static int tile_columns(int to)
{
    return to <= 32 ? 32 : 64;
}

static size_t product_tiles(const struct conv_shape *s, int backward, size_t *phase_tiles)
{
    const size_t rows = RESULTS / (size_t)tile_columns((backward ? s->in_c : s->out_c) / s->groups);
    const size_t phases = backward ? (size_t)s->stride_h * s->stride_w : 1;
    const size_t h = backward ? (s->in_h + s->stride_h - 1) / s->stride_h : s->out_h;
    const size_t w = backward ? (s->in_w + s->stride_w - 1) / s->stride_w : s->out_w;
    *phase_tiles = (s->count * h * w + rows - 1) / rows;
    return phases * *phase_tiles;
}

/* Of equal numbers of tiles, as far as they go. */
int conv_product_blocks(const struct conv_shape *shape, int backward)
{
    size_t phase_tiles;
    const size_t tiles = product_tiles(shape, backward, &phase_tiles),
                 each = (tiles + CUDA_MAX_BLOCKS - 1) / CUDA_MAX_BLOCKS;
    return (int)((tiles + each - 1) / each);
}

template <typename T, int COLUMNS, int BACKWARD>
static enum status launch(const struct cuda_run *run, const struct product *p, struct error *err)
{
    typedef product_memory<T, COLUMNS> memory;
    const unsigned column_tiles = (unsigned)(p->to + COLUMNS - 1) / COLUMNS;
    const dim3 grid((unsigned)conv_product_blocks(&p->shape, BACKWARD), column_tiles * (unsigned)p->shape.groups,
                    (unsigned)run->students);
    void (*const kernel)(struct product) = conv_product<T, COLUMNS, BACKWARD>;
    enum status status = cuda_check(
        cudaFuncSetAttribute((const void *)kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, memory::BYTES),
        "reserve shared memory for a convolution", err);
    if (status != STATUS_OK)
        return status;
    LAUNCH((conv_product<T, COLUMNS, BACKWARD>), grid, TILE_THREADS, memory::BYTES, run->stream, *p);
    return cuda_launched(BACKWARD ? "the data gradient of a convolution" : "a convolution", err);
}

template <typename T, int BACKWARD>
static enum status launch_columns(const struct cuda_run *run, const struct product *p, struct error *err)
{
    return tile_columns(p->to) == 32 ? launch<T, 32, BACKWARD>(run, p, err) : launch<T, 64, BACKWARD>(run, p, err);
}

template <int BACKWARD> static enum status conv_run(const struct cuda_run *run, struct product *p, struct error *err)
{
    const struct conv_shape *s = &p->shape;
    const size_t in_pixels = (size_t)s->count * s->in_h * s->in_w, out_pixels = (size_t)s->count * s->out_h * s->out_w;
    size_t phase_tiles;
    const size_t tiles = product_tiles(s, BACKWARD, &phase_tiles);
    if (in_pixels > INT_MAX / 2 || out_pixels > INT_MAX / 2 || tiles > INT_MAX)
        return error_set(err, STATUS_CONFIG, NULL, "%s: %zu pixels are too many for one step, lower --batch",
                         run->node->name, in_pixels > out_pixels ? in_pixels : out_pixels);
    p->tiles = (int)tiles;
    p->phase_tiles = (int)phase_tiles;
    p->packed_stride = conv_packed_count(s, BACKWARD);
    p->from = (BACKWARD ? s->out_c : s->in_c) / s->groups;
    p->to = (BACKWARD ? s->in_c : s->out_c) / s->groups;
    p->source = quad_access_of(p->from);
    p->target = quad_access_of(p->to);
    p->output_float = cuda_element_of(run, cuda_output_of(run)) == ELEMENT_FP32;
    return cuda_element_of(run, cuda_input_of(run)) == ELEMENT_BF16 ? launch_columns<bf16, BACKWARD>(run, p, err)
                                                                    : launch_columns<float, BACKWARD>(run, p, err);
}

enum status conv_forward(const struct cuda_run *run, const struct conv_shape *shape, const void *packed,
                         const struct cuda_write *write, struct error *err)
{
    struct product p = {};
    p.shape = *shape;
    p.packed = packed;
    p.read = cuda_read_of(run, cuda_input_of(run));
    p.write = *write;
    p.bias = run->step->bias == PLAN_NONE ? NULL : run->memory->parameters + run->step->bias;
    p.bias_stride = run->plan->parameter_count;
    return conv_run<0>(run, &p, err);
}

enum status conv_data_gradient(const struct cuda_run *run, const struct conv_shape *shape, const void *packed,
                               const struct cuda_give *give, struct error *err)
{
    struct product p = {};
    p.shape = *shape;
    p.packed = packed;
    p.slope = cuda_slope_of(run);
    p.give = *give;
    return conv_run<1>(run, &p, err);
}
