/* Convolutions and their data gradients as one product: [pixels, taps x channels] gathered from the source, times the
 * packed weights. Takes any kernel, stride, dilation, padding and number of groups.
 *
 * A block computes tiles of 8192 results (128 pixels x 64 channels, or 256 x 32 if there are few channels), 64 bytes of
 * depth at a time, from two buffers in shared memory: while slow warps multiply one, fast warps fill the next. Each
 * quad of channels of the source gets its epilogue (forward) or goes through the batch norm (backward) as it is read,
 * and is rounded to the stored type. Results pass through shared memory to threads that own channels, which add the
 * bias, store, and sum up.
 *
 * Memory traffic: the source once for every 64 channels of results (the other taps of a window come from the caches),
 * and the results once; backward also z of the source, and g and z of the target. For up to 64 channels that is the
 * plan's minimum. In a data gradient with a stride, each tile holds one phase and skips the taps that do not reach it.
 */
#include "shared/training/steps/conv_gather.cuh"

#include <limits.h>

enum { RESULTS = 8192 }; /* of a tile */

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
        TILES = OPERANDS > RESULT_BYTES ? OPERANDS : RESULT_BYTES, /* the results take the place of the operands */
        BYTES = TILES + ROWS * sizeof(struct row)
    };
};

/* sums += the product of the tile */
template <typename T, int COLUMNS, int BACKWARD>
static __device__ __forceinline__ void product_tile(const struct product *p, unsigned char *shared,
                                                    const struct row *rows, int student, int group, int first_to,
                                                    const struct conv_axis *y, const struct conv_axis *x, float *sums)
{
    typedef product_memory<T, COLUMNS> memory;
    const int depth = y->taps * x->taps * p->from, column = threadIdx.x % (memory::DEPTH / 4) * 4;
    const int kernel = p->shape.kernel_h * p->shape.kernel_w * p->from, to_padded = (p->to + 3) / 4 * 4;
    const T *const packed = (const T *)p->packed + student * p->packed_stride + (size_t)group * kernel * to_padded;
    struct depth_walk walk = depth_walk_begin(p->from, x, column);
    for (int k = 0, buffer = 0; k < depth; k += memory::DEPTH, buffer ^= 1) {
        T *const a = (T *)(shared + buffer * (memory::A_BYTES + memory::B_BYTES)), *const b =
                                                                                       a + memory::A_BYTES / sizeof(T);
        if (p->source == QUAD_VECTOR) {
            const struct source s = product_source(p, y, x, group, &walk);
            gather_vector<T, memory::ROWS, BACKWARD>(p, rows, &s, student, y, x, a, column);
        } else {
            gather_scalar<T, memory::ROWS, BACKWARD>(p, rows, group, walk, student, y, x, a, column);
        }
        depth_walk_on(&walk, p->from, x, memory::DEPTH);
        gather_weights<T, COLUMNS>(p, packed, first_to, y, x, k, depth, b);
        __syncthreads();
        tile_multiply<memory::ROWS, COLUMNS, memory::DOWN, TILE_BY_ROW>(sums, a, memory::A_PITCH, b, memory::B_PITCH,
                                                                        memory::DEPTH); /* zeros beyond the depth */
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
            give = quad_give_of(&p.give, student, p.target, first_channel + lane.channel, lane.valid);
        else if (p.bias)
            bias = quad_row(p.bias + student * p.bias_stride, QUAD_SCALAR, first_channel + lane.channel, lane.valid);
#pragma unroll 2
        for (int i = lane.row; i < memory::ROWS; i += lane.rows) {
            const struct quad q = quad_load(results + i * memory::RESULT_PITCH + lane.channel, QUAD_VECTOR, 4);
            const size_t at = (size_t)rows[i].target * channels + first_channel + lane.channel;
            if (rows[i].target < 0)
                continue;
            if (BACKWARD)
                quad_hand_over<T>(&p.give, &give, &given, quad_place_of<T>(&p.give, student, at), q, p.target,
                                  lane.valid);
            else
                product_write<T>(&p, &moments, student, at, q, bias, lane.valid);
        }
        __syncthreads();
    }
    if (BACKWARD) {
        quad_sums_hand_in(&given, &lane, results, &p.give, first_channel, columns);
        finish_gradients(&p.give, first_channel, columns);
    } else {
        quad_moments_hand_in(&moments, &lane, results, &p.write, first_channel, columns);
        finish_outputs(&p.write, first_channel, columns);
    }
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

/* With equal numbers of tiles as far as possible. */
static int product_blocks(const struct conv_shape *shape, int backward)
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
    const dim3 grid((unsigned)product_blocks(&p->shape, BACKWARD), column_tiles * (unsigned)p->shape.groups,
                    (unsigned)run->students);
    void (*const kernel)(struct product) = conv_product<T, COLUMNS, BACKWARD>;
    enum status status = cuda_check(
        cudaFuncSetAttribute((const void *)kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, memory::BYTES),
        "reserving shared memory for a convolution", err);
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
        return error_set(err, STATUS_CONFIG, NULL, "%s: %zu pixels are too many for one step: lower --batch",
                         run->node->name, in_pixels > out_pixels ? in_pixels : out_pixels);
    p->tiles = (int)tiles;
    p->phase_tiles = (int)phase_tiles;
    p->packed_stride = conv_packed_count(s, BACKWARD);
    p->from = (BACKWARD ? s->out_c : s->in_c) / s->groups;
    p->to = (BACKWARD ? s->in_c : s->out_c) / s->groups;
    const bool rounded = cuda_dtype_of(run, cuda_input_of(run)) == DTYPE_BF16;
    p->output_float = cuda_dtype_of(run, cuda_output_of(run)) == DTYPE_FP32;
    p->source = BACKWARD && rounded && p->output_float ? QUAD_SCALAR : quad_access_of(p->from);
    p->target = quad_access_of(p->to);
    return rounded ? launch_columns<bf16, BACKWARD>(run, p, err) : launch_columns<float, BACKWARD>(run, p, err);
}

enum status conv_forward(const struct cuda_run *run, const struct conv_shape *shape, const void *packed,
                         const struct cuda_write *write, struct error *err)
{
    struct product p = {};
    p.shape = *shape;
    p.packed = packed;
    p.read = cuda_read_of(run, cuda_input_of(run));
    p.write = *write;
    p.bias = weight_values(run->memory, run->step->bias);
    p.bias_stride = run->plan->parameter_count;
    return conv_run<0>(run, &p, err);
}

enum status conv_data_gradient(const struct cuda_run *run, const struct conv_shape *shape, const void *packed,
                               const struct cuda_give *give, struct error *err)
{
    struct product p = {};
    p.shape = *shape;
    p.packed = packed;
    p.derivative = cuda_derivative_of(run);
    p.give = *give;
    return conv_run<1>(run, &p, err);
}
