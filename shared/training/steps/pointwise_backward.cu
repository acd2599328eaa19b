/* Pointwise convolutions, backward, in one pass: dx[pixels, in] = dz W and dW[out, in] = dz^T input.
 *
 * A block keeps the weights in shared memory and walks over tiles of pixels. It fetches g and z of the output (which
 * make dz) and the input of a tile once, while the tile before is being worked on, and multiplies them twice: by depth
 * for dW, whose sums stay in registers to the end, and by rows for dx, which passes through shared memory to threads
 * that own channels and give it to the input. There are so few blocks that their partial gradients are small compared
 * with the tensors; the last block adds those of few weights, cuda_reduce those of many.
 *
 * Memory traffic: g, z and the input once, its raw values once more (from the L2 cache, for act'), the input's gradient
 * once. */
#include "shared/training/steps/pointwise.cuh"

enum {
    MAX_PARTIAL = 1 << 21, /* floats of the weight gradients of all blocks together, if MIN_BLOCKS fit */
    MIN_BLOCKS = 128,
    LAST_BLOCK_WEIGHTS = 2048 /* the most whose partial gradients the last block adds */
};

/* Tiles of 8 KB per tensor, so that registers suffice for two blocks; the largest weights leave room for one block
 * only. */
template <typename T, int SIDE> static __host__ __device__ constexpr int tile_pixels(void)
{
    return (SIDE == 128 ? 16384 : 8192) / SIDE / (int)sizeof(T);
}

template <typename T, int SIDE> struct backward_memory : pointwise_memory<T, SIDE, tile_pixels<T, SIDE>()> {
    typedef pointwise_memory<T, SIDE, tile_pixels<T, SIDE>()> base;
    enum {
        PIXELS = tile_pixels<T, SIDE>(),
        WEIGHTS_DOWN = SIDE == 32 ? 2 : 4, /* of the product that makes dW */
        RESULT_BYTES = base::RESULT_BYTES,
        TILES = 2 * base::TILE_BYTES > RESULT_BYTES ? 2 * base::TILE_BYTES : RESULT_BYTES,
        ALL = base::WEIGHT_BYTES + TILES,
        GRADIENT = SIDE * (SIDE + 4) * sizeof(float),
        BYTES = ALL > GRADIENT ? ALL : GRADIENT
    };
};

/* W [out, in] as it is, with zeros around it. */
template <typename T, int SIDE, int PITCH>
static __device__ __forceinline__ void load_weights(const struct pointwise *p, int student, T *tile)
{
    const float *weights = p->weights + student * p->parameter_stride;
    for (int i = threadIdx.x; i < SIDE * SIDE; i += TILE_THREADS) {
        const int in = i % SIDE, out = i / SIDE;
        store(tile + out * PITCH + in, in < p->in && out < p->out ? weights[out * p->in + in] : 0.0f);
    }
}

/* What a thread has fetched of a tile. */
template <typename T, int SIDE> struct tile_share {
    enum { QUADS = backward_memory<T, SIDE>::SHARE };
    quad_raw<T> g[QUADS], z[QUADS], input[QUADS];
};

template <typename T, int SIDE>
static __device__ __forceinline__ void fetch(const struct pointwise *p, const struct quad_lane *from,
                                             const struct quad_lane *to, int student, int first,
                                             tile_share<T, SIDE> *share)
{
    enum { PIXELS = tile_pixels<T, SIDE>(), SHARE = backward_memory<T, SIDE>::SHARE };
    const T *const g = (const T *)p->derivative.gradient + student * p->derivative.gradient_stride + from->channel;
    const T *const z = (const T *)p->derivative.values + student * p->derivative.value_stride + from->channel;
    const T *const input = (const T *)p->read.values + student * p->read.stride + to->channel;
    pointwise_fetch<T, PIXELS, SHARE>(from, g, p->out, first, p->pixels, share->g);
    if (p->derivative.a)
        pointwise_fetch<T, PIXELS, SHARE>(from, z, p->out, first, p->pixels, share->z);
    pointwise_fetch<T, PIXELS, SHARE>(to, input, p->in, first, p->pixels, share->input);
}

/* dz of the tile, with zeros behind the tensor's end and beside its channels. */
template <typename T, int SIDE>
static __device__ __forceinline__ void fill_derivative(const struct pointwise *p, const struct quad_lane *lane,
                                                       int student, int first, const tile_share<T, SIDE> *share,
                                                       T *tile)
{
    typedef backward_memory<T, SIDE> memory;
    const struct quad_derivative through =
        quad_derivative_of(&p->derivative, student, QUAD_VECTOR, lane->channel, lane->valid);
    const int left = lane->valid ? p->pixels - first : 0;
#pragma unroll
    for (int i = 0; i < memory::SHARE; i++) {
        const int row = lane->row + i * lane->rows;
        struct quad q = quad_unpack(share->g[i]);
        if (p->derivative.a)
            q = quad_through(&through, q, quad_unpack(share->z[i]));
        q = row < left ? q : quad_zero();
        if (row < memory::PIXELS)
            quad_to_tile(tile + row * memory::PITCH + lane->channel, q);
    }
}

template <typename T>
static __device__ __forceinline__ void give_tile(const struct pointwise *p, const struct quad_lane *lane, int student,
                                                 int first, int pixels, const float *results, int pitch,
                                                 struct quad_sums *given)
{
    const struct quad_give give = quad_give_of(&p->give, student, QUAD_VECTOR, lane->channel, lane->valid);
    const int step = lane->rows * p->in;
    quad_place<T> place = quad_place_of<T>(&p->give, student, (size_t)(first + lane->row) * p->in + lane->channel);
#pragma unroll 2
    for (int row = lane->row; row < pixels; row += lane->rows) {
        quad_hand_over<T>(&p->give, &give, given, place,
                          quad_load(results + row * pitch + lane->channel, QUAD_VECTOR, 4), QUAD_VECTOR, 4);
        place.to += step, place.value += step;
    }
}

/* Stores the block's sums [SIDE, SIDE + 4] in its partial gradient. */
template <int SIDE>
static __device__ __forceinline__ void store_weights(const struct pointwise *p, int student, const float *results)
{
    float *to = p->weight_sums.rows + ((size_t)student * gridDim.x + blockIdx.x) * p->weight_sums.count;
    for (int i = threadIdx.x; i < SIDE * SIDE; i += TILE_THREADS) {
        const int in = i % SIDE, out = i / SIDE;
        if (in < p->in && out < p->out)
            to[out * p->in + in] = results[out * (SIDE + 4) + in];
    }
}

template <typename T, int SIDE>
static __global__ void __launch_bounds__(TILE_THREADS, SIDE == 128 ? 1 : 2)
    pointwise_backward_kernel(const struct pointwise p)
{
    typedef backward_memory<T, SIDE> memory;
    enum { PIXELS = memory::PIXELS, PITCH = memory::PITCH, SUMS = PIXELS * SIDE / TILE_THREADS };
    enum { WEIGHT_SUMS = SIDE * SIDE / TILE_THREADS, WEIGHTS_DOWN = memory::WEIGHTS_DOWN };
    DYNAMIC_SHARED(unsigned char, shared);
    T *const weights = (T *)shared, *const dz = (T *)(shared + memory::WEIGHT_BYTES);
    T *const input = dz + PIXELS * PITCH;
    float *const results = (float *)dz;
    const int student = blockIdx.z, depth = tile_depth<T>(p.out);
    const struct quad_lane from = quad_lane_of(p.out, depth), to = quad_lane_of(p.in, p.in);
    struct quad_sums given = {};
    tile_share<T, SIDE> share = {};
    float weight_sums[WEIGHT_SUMS], bias = 0;
    tile_clear<WEIGHT_SUMS>(weight_sums);
    fetch<T, SIDE>(&p, &from, &to, student, blockIdx.x * PIXELS, &share);
    load_weights<T, SIDE, PITCH>(&p, student, weights);
    for (int i = blockIdx.x; i < p.tiles; i += gridDim.x) {
        const int first = i * PIXELS, left = p.pixels - first;
        fill_derivative<T, SIDE>(&p, &from, student, first, &share, dz);
        pointwise_fill_input<T, PIXELS, memory::SHARE, PITCH>(&p, &to, student, first, share.input, input);
        __syncthreads();
        if (i + (int)gridDim.x < p.tiles)
            fetch<T, SIDE>(&p, &from, &to, student, first + gridDim.x * PIXELS, &share);
        tile_multiply<SIDE, SIDE, WEIGHTS_DOWN, TILE_BY_DEPTH>(weight_sums, dz, PITCH, input, PITCH, PIXELS);
        for (int row = 0; p.bias_sums.rows && (int)threadIdx.x < p.out && row < PIXELS; row++)
            bias += load(dz + row * PITCH + threadIdx.x);
        __syncwarp(); /* the products' instructions want whole warps together */
        if (p.give.gradient) {
            float sums[SUMS];
            tile_clear<SUMS>(sums);
            tile_multiply<PIXELS, SIDE, memory::DOWN, TILE_BY_ROW>(sums, dz, PITCH, weights, PITCH, depth);
            __syncthreads();
            tile_store<T, PIXELS, SIDE, memory::DOWN, TILE_BY_ROW>(sums, results, memory::RESULT_PITCH);
            __syncthreads();
            give_tile<T>(&p, &to, student, first, left < PIXELS ? left : PIXELS, results, memory::RESULT_PITCH, &given);
        }
        __syncthreads();
    }
    quad_sums_hand_in(&given, &to, results, &p.give, 0, p.in);
    __syncthreads();
    tile_store<T, SIDE, SIDE, WEIGHTS_DOWN, TILE_BY_DEPTH>(weight_sums, (float *)shared, SIDE + 4);
    __syncthreads();
    store_weights<SIDE>(&p, student, (const float *)shared);
    if (p.bias_sums.rows && (int)threadIdx.x < p.out)
        p.bias_sums.rows[((size_t)student * gridDim.x + blockIdx.x) * p.out + threadIdx.x] = bias;
    finish_gradients(&p.give, 0, p.in, weight_sums_of(&p.weight_sums, 0, p.in * p.out),
                     weight_sums_of(&p.bias_sums, 0, p.out));
}

/* ---- host ---- */
template <typename T> static void sizes_of(int side, size_t *bytes, size_t *pixels)
{
    switch (side) {
    case 32:
        *bytes = backward_memory<T, 32>::BYTES, *pixels = tile_pixels<T, 32>();
        break;
    case 64:
        *bytes = backward_memory<T, 64>::BYTES, *pixels = tile_pixels<T, 64>();
        break;
    default:
        *bytes = backward_memory<T, 128>::BYTES, *pixels = tile_pixels<T, 128>();
    }
}

static void sizes_of_step(int in, int out, enum dtype dtype, size_t *bytes, size_t *pixels)
{
    if (dtype == DTYPE_BF16)
        sizes_of<bf16>(pointwise_side(in, out), bytes, pixels);
    else
        sizes_of<float>(pointwise_side(in, out), bytes, pixels);
}

size_t pointwise_backward_bytes(int in, int out, enum dtype dtype)
{
    size_t bytes, pixels;
    sizes_of_step(in, out, dtype, &bytes, &pixels);
    return bytes;
}

static size_t tiles_of(int in, int out, size_t pixels, enum dtype dtype)
{
    size_t bytes, tile;
    sizes_of_step(in, out, dtype, &bytes, &tile);
    return (pixels + tile - 1) / tile;
}

static size_t most_blocks(int in, int out)
{
    const size_t most = MAX_PARTIAL / ((size_t)in * out);
    return most < MIN_BLOCKS ? (size_t)MIN_BLOCKS : most > CUDA_MAX_BLOCKS ? (size_t)CUDA_MAX_BLOCKS : most;
}

size_t pointwise_scratch(int in, int out, size_t pixels, enum dtype dtype, int bias)
{
    const size_t tiles = tiles_of(in, out, pixels, dtype), most = most_blocks(in, out);
    return (tiles < most ? tiles : most) * ((size_t)in * out + (bias ? out : 0) + 2 * (size_t)in);
}

template <typename T, int SIDE>
static enum status launch(const struct cuda_run *run, struct pointwise *p, int blocks, struct error *err)
{
    enum { BYTES = backward_memory<T, SIDE>::BYTES };
    void (*const kernel)(struct pointwise) = pointwise_backward_kernel<T, SIDE>;
    enum status status = STATUS_OK;
    TRY(cuda_check(cudaFuncSetAttribute((const void *)kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, BYTES),
                   "reserving shared memory for a pointwise convolution", err));
    LAUNCH((pointwise_backward_kernel<T, SIDE>), dim3((unsigned)blocks, 1, (unsigned)run->students), TILE_THREADS,
           BYTES, run->stream, *p);
    TRY(cuda_launched("the gradients of a pointwise convolution", err));
cleanup:
    return status;
}

template <typename T>
static enum status launch_side(const struct cuda_run *run, struct pointwise *p, int blocks, struct error *err)
{
    switch (pointwise_side(p->in, p->out)) {
    case 32:
        return launch<T, 32>(run, p, blocks, err);
    case 64:
        return launch<T, 64>(run, p, blocks, err);
    default:
        return launch<T, 128>(run, p, blocks, err);
    }
}

/* Scratch memory: partial weight gradients, partial bias gradients, sums; each of all students. */
enum status pointwise_backward(const struct cuda_run *run, struct error *err)
{
    const enum dtype dtype = cuda_dtype_of(run, cuda_input_of(run));
    enum status status = STATUS_OK;
    struct pointwise p = pointwise_of(run);
    p.tiles = (int)tiles_of(p.in, p.out, p.pixels, dtype);
    const int blocks = pointwise_blocks(p.tiles, most_blocks(p.in, p.out));
    const size_t rows = (size_t)run->students * blocks, weights = (size_t)p.in * p.out;
    float *const bias_rows = run->scratch + rows * weights, *const sums = bias_rows + rows * (p.bias ? p.out : 0);
    p.weight_sums = cuda_partial_of(run, &run->step->weight, run->scratch, weights);
    if (p.bias)
        p.bias_sums = cuda_partial_of(run, &run->step->bias, bias_rows, p.out);
    if (weights > LAST_BLOCK_WEIGHTS)
        p.weight_sums.gradient = NULL;
    p.derivative = cuda_derivative_of(run);
    p.give = cuda_give_of(run, sums);
    if (dtype == DTYPE_BF16)
        TRY(launch_side<bf16>(run, &p, blocks, err));
    else
        TRY(launch_side<float>(run, &p, blocks, err));
    if (weights > LAST_BLOCK_WEIGHTS)
        TRY(cuda_reduce(run->stream, p.weight_sums.rows, blocks, weights, run->students,
                        weight_gradient(run->memory, run->step->weight), p.weight_sums.stride, err));
cleanup:
    return status;
}
