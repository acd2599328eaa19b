/* Weight gradients of convolutions, and those of their biases:
 *     dW[tap, in, out] = sum over pixels of input * dz,   db[out] = sum over pixels of dz
 *
 * A block owns a tile of 64 x 64 (or 32 x 32) weights and walks over its slice of the output pixels, 32 at a time. It
 * gathers the completed input of each tap and the gradient through the batch norm, both pixel by pixel as they lie in
 * memory, multiplies them by depth, and keeps the sums in registers to the end. The slices follow from the shape alone;
 * cuda_reduce adds their partial results in order.
 *
 * Memory traffic: input, g and z once for every 64 weights of a row or column (from the caches), partial results once.
 */
#include "shared/training/steps/conv.cuh"

enum {
    PIXELS = 32,           /* of a step of the product */
    MAX_PARTIAL = 1 << 21, /* floats of all slices together, if at least four slices fit */
    MIN_SLICES = 4
};

struct weigh {
    struct conv_shape shape;
    struct cuda_read read;
    struct cuda_derivative derivative;
    int output_float;
    enum quad_access read_access, derivative_access;
    int in, out, depth;    /* channels of a group; rows of its gradient: taps x in */
    int pixels;            /* of the output */
    float *weights, *bias; /* [student][slice], PyTorch's layout; bias may be NULL */
    size_t weight_student, weight_slice, bias_student, bias_slice;
};

/* Where the window of an output pixel begins: the pixel of the input, which may lie outside of it, at y and x. */
struct __align__(16) weigh_pixel
{
    int source, y, x; /* y is NOWHERE beyond the last output */
};

static __device__ __forceinline__ struct weigh_pixel weigh_pixel_of(const struct weigh *p, int pixel)
{
    const struct conv_shape *s = &p->shape;
    const int per_sample = s->out_h * s->out_w, sample = pixel / per_sample, place = pixel % per_sample;
    struct weigh_pixel w = {0, NOWHERE, place % s->out_w * s->stride_w - s->pad_left};
    if (pixel < p->pixels) {
        w.y = place / s->out_w * s->stride_h - s->pad_top;
        w.source = (sample * s->in_h + w.y) * s->in_w + w.x;
    }
    return w;
}

/* What a thread reads of the input: up to four rows of the gradient, each of which is a tap and a channel. If the rows
 * are neighbouring channels, a thread reads them as one quad. */
struct weigh_rows {
    int y[4], x[4], pixels[4]; /* from the beginning of a window; y is NOWHERE for a row that does not exist */
    int channel[4];
    struct quad_epilogue epilogue;
};

static __device__ __forceinline__ struct weigh_rows weigh_rows_of(const struct weigh *p, int student, int group,
                                                                  int row)
{
    const struct conv_shape *s = &p->shape;
    struct weigh_rows r = {};
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const int tap = (row + i) / p->in, in_group = (row + i) % p->in;
        r.y[i] = NOWHERE;
        r.x[i] = tap % s->kernel_w * s->dilation_w;
        r.channel[i] = group * p->in + in_group;
        if (row + i < p->depth) {
            const struct quad_epilogue c = quad_epilogue_of(&p->read, student, QUAD_SCALAR, r.channel[i], 1);
            r.y[i] = tap / s->kernel_w * s->dilation_h;
            r.pixels[i] = r.y[i] * s->in_w + r.x[i];
            r.epilogue.scale.v[i] = c.scale.v[0];
            r.epilogue.shift.v[i] = c.shift.v[0];
        }
    }
    return r;
}

static __device__ __forceinline__ bool weigh_inside(const struct conv_shape *s, const struct weigh_pixel *w,
                                                    const struct weigh_rows *r, int i)
{
    return ((unsigned)(w->y + r->y[i]) < (unsigned)s->in_h) & ((unsigned)(w->x + r->x[i]) < (unsigned)s->in_w);
}

/* Element 0 of row i's pixel. */
template <typename T>
static __device__ __forceinline__ const T *weigh_place(const T *values, const struct conv_shape *s,
                                                       const struct weigh_pixel *w, const struct weigh_rows *r, int i)
{
    return (const T *)((const char *)values +
                       (size_t)(unsigned)(w->source + r->pixels[i]) * ((unsigned)s->in_c * (unsigned)sizeof(T)));
}

/* Rows that are not neighbouring channels, one by one. */
template <typename T>
static __device__ __forceinline__ struct quad weigh_read_scalar(const struct weigh *p, const struct weigh_rows *r,
                                                                const T *values, const struct weigh_pixel *w)
{
    struct quad q = quad_zero();
    bool inside[4];
#pragma unroll
    for (int i = 0; i < 4; i++) {
        inside[i] = weigh_inside(&p->shape, w, r, i);
        if (inside[i])
            q.v[i] = load(weigh_place(values, &p->shape, w, r, i) + r->channel[i]);
    }
    q = quad_apply_epilogue(&p->read, &r->epilogue, q);
#pragma unroll
    for (int i = 0; i < 4; i++)
        q.v[i] = inside[i] ? q.v[i] : 0;
    return q;
}

template <typename T>
static __device__ __forceinline__ struct quad weigh_derivative_scalar(const struct weigh *p,
                                                                      const struct quad_derivative *through,
                                                                      int student, int pixel, int channel, int valid)
{
    const size_t at = (size_t)pixel * p->shape.out_c + channel;
    if (pixel >= p->pixels || valid == 0)
        return quad_zero();
    const struct quad g = quad_load_output<T>(p->derivative.gradient, student * p->derivative.gradient_stride + at,
                                              p->output_float, QUAD_SCALAR, valid);
    if (!p->derivative.a)
        return g;
    return quad_through(through, g,
                        quad_load_output<T>(p->derivative.values, student * p->derivative.value_stride + at,
                                            p->output_float, QUAD_SCALAR, valid));
}

/* Gathers a step of the product: the completed input to a, the gradient through the batch norm to b, for the pixels
 * [first, first + PIXELS), whose places are there. Quads are all on their way before the first one is touched. */
template <typename T, int SIDE>
static __device__ __forceinline__ void
weigh_gather(const struct weigh *p, const struct weigh_rows *rows, const struct quad_derivative *through, int student,
             const struct weigh_pixel *places, int first, int channel, int out_valid, T *a, T *b)
{
    enum {
        PITCH = tile_pitch<T>(SIDE),
        QUADS = SIDE / 4,
        TOGETHER = TILE_THREADS / QUADS, /* pixels of all threads: 16 or 32 */
        EACH = PIXELS / TOGETHER
    };
    const int column = threadIdx.x % QUADS * 4, own = threadIdx.x / QUADS;
    const T *const values = (const T *)p->read.values + student * p->read.stride;
    const T *const g = (const T *)p->derivative.gradient + student * p->derivative.gradient_stride + channel;
    const T *const z = (const T *)p->derivative.values + student * p->derivative.value_stride + channel;
    const unsigned bytes = (unsigned)p->shape.out_c * (unsigned)sizeof(T);
    const bool quads = p->read_access == QUAD_VECTOR, quads_out = p->derivative_access == QUAD_VECTOR;
    const bool norm = p->derivative.a;
    quad_raw<T> input[EACH], gradient[EACH], output[EACH];
    bool inside[EACH], given[EACH];
#pragma unroll
    for (int i = 0; i < EACH; i++) {
        const struct weigh_pixel w = places[own + i * TOGETHER];
        const size_t at = (size_t)(unsigned)(first + own + i * TOGETHER) * bytes;
        input[i] = gradient[i] = output[i] = quad_raw<T>();
        inside[i] = weigh_inside(&p->shape, &w, rows, 0) & quads;
        given[i] = (w.y != NOWHERE) & (out_valid > 0) & quads_out;
        if (inside[i])
            input[i] = quad_fetch(weigh_place(values, &p->shape, &w, rows, 0) + rows->channel[0]);
        if (given[i])
            gradient[i] = quad_fetch((const T *)((const char *)g + at));
        if (given[i] & norm)
            output[i] = quad_fetch((const T *)((const char *)z + at));
    }
#pragma unroll
    for (int i = 0; i < EACH; i++) {
        const int row = own + i * TOGETHER, pixel = first + row;
        struct quad q = quads ? quad_apply_epilogue(&p->read, &rows->epilogue, quad_unpack(input[i]))
                              : weigh_read_scalar(p, rows, values, &places[row]);
        quad_to_tile_if(inside[i] | !quads, a + row * PITCH + column, q);
        q = quad_unpack(gradient[i]);
        if (!quads_out)
            q = weigh_derivative_scalar<T>(p, through, student, pixel, channel, out_valid);
        else if (norm)
            q = quad_through(through, q, quad_unpack(output[i]));
        quad_to_tile_if(given[i] | !quads_out, b + row * PITCH + column, q);
    }
}

/* Stores the block's tile of results in its slice's partial gradient. */
template <int SIDE>
static __device__ __forceinline__ void weigh_store(const struct weigh *p, const float *results, int group,
                                                   int first_row, int first_out)
{
    const int taps = p->shape.kernel_h * p->shape.kernel_w;
    float *to = p->weights + blockIdx.z * p->weight_student + blockIdx.x * p->weight_slice;
    for (int i = threadIdx.x; i < SIDE * SIDE; i += TILE_THREADS) {
        const int row = first_row + i % SIDE, out = first_out + i / SIDE;
        if (row < p->depth && out < p->out)
            to[((size_t)group * p->out + out) * p->depth + (size_t)(row % p->in) * taps + row / p->in] =
                results[i % SIDE * (SIDE + 4) + i / SIDE];
    }
}

template <typename T, int SIDE>
static __global__ void __launch_bounds__(TILE_THREADS, 2) conv_weigh(const struct weigh p)
{
    enum {
        PITCH = tile_pitch<T>(SIDE),
        DOWN = SIDE == 32 ? 2 : 4,
        QUADS = SIDE / 4,
        RESULT_BYTES = SIDE * (SIDE + 4) * sizeof(float),
        OPERAND_BYTES = 4 * PIXELS * PITCH * sizeof(T)
    };
    __shared__ __align__(16) unsigned char shared[RESULT_BYTES > OPERAND_BYTES ? RESULT_BYTES : OPERAND_BYTES];
    __shared__ struct weigh_pixel places[2][PIXELS];
    const int row_tiles = (p.depth + SIDE - 1) / SIDE, out_tiles = (p.out + SIDE - 1) / SIDE, student = blockIdx.z;
    const int group = blockIdx.y / (row_tiles * out_tiles), first_row = blockIdx.y % row_tiles * SIDE;
    const int first_out = blockIdx.y / row_tiles % out_tiles * SIDE;
    const int column = threadIdx.x % QUADS * 4, out = first_out + column;
    const int out_valid = p.out - out < 0 ? 0 : p.out - out < 4 ? p.out - out : 4, channel = group * p.out + out;
    const struct weigh_rows rows = weigh_rows_of(&p, student, group, first_row + column);
    const struct quad_derivative through =
        quad_derivative_of(&p.derivative, student, p.derivative_access, channel, out_valid);
    float sums[SIDE * SIDE / TILE_THREADS], bias = 0;
    const bool bias_here = p.bias && first_row == 0 && threadIdx.x < SIDE;
    tile_clear<SIDE * SIDE / TILE_THREADS>(sums);
    const int stride = gridDim.x * PIXELS;
    int buffer = 0;
    if (threadIdx.x < PIXELS)
        places[0][threadIdx.x] = weigh_pixel_of(&p, blockIdx.x * PIXELS + threadIdx.x);
    __syncthreads();
    for (int first = blockIdx.x * PIXELS; first < p.pixels; first += stride, buffer ^= 1) {
        T *const a = (T *)shared + buffer * 2 * PIXELS * PITCH, *const b = a + PIXELS * PITCH;
        weigh_gather<T, SIDE>(&p, &rows, &through, student, places[buffer], first, channel, out_valid, a, b);
        if (threadIdx.x < PIXELS) /* of the next step: divisions, which one warp does for all */
            places[buffer ^ 1][threadIdx.x] = weigh_pixel_of(&p, first + stride + threadIdx.x);
        __syncthreads();
        tile_multiply<SIDE, SIDE, DOWN, TILE_BY_DEPTH>(sums, a, PITCH, b, PITCH, PIXELS);
        for (int i = 0; bias_here && i < PIXELS; i++)
            bias += load(b + i * PITCH + threadIdx.x);
    }
    __syncthreads();
    tile_store<T, SIDE, SIDE, DOWN, TILE_BY_DEPTH>(sums, (float *)shared, SIDE + 4);
    __syncthreads();
    weigh_store<SIDE>(&p, (const float *)shared, group, first_row, first_out);
    if (bias_here && first_out + (int)threadIdx.x < p.out)
        p.bias[student * p.bias_student + blockIdx.x * p.bias_slice + group * p.out + first_out + threadIdx.x] = bias;
}

/* ---- host ---- */
static size_t weight_count(const struct conv_shape *s)
{
    return (size_t)s->out_c * (s->in_c / s->groups) * s->kernel_h * s->kernel_w;
}

/* At least 8 steps of the product per slice. */
static int weigh_slices(const struct conv_shape *s)
{
    const size_t pixels = (size_t)s->count * s->out_h * s->out_w, enough = (pixels + 8 * PIXELS - 1) / (8 * PIXELS);
    size_t most = MAX_PARTIAL / weight_count(s);
    most = most < MIN_SLICES ? (size_t)MIN_SLICES : most > CUDA_MAX_BLOCKS ? (size_t)CUDA_MAX_BLOCKS : most;
    return (int)(enough < most ? enough : most);
}

size_t conv_weight_scratch(const struct conv_shape *shape, int bias)
{
    return (size_t)weigh_slices(shape) * (weight_count(shape) + (bias ? (size_t)shape->out_c : 0));
}

template <typename T, int SIDE>
static enum status launch(const struct cuda_run *run, const struct weigh *p, int slices, struct error *err)
{
    const int tiles = (p->depth + SIDE - 1) / SIDE * ((p->out + SIDE - 1) / SIDE) * p->shape.groups;
    LAUNCH((conv_weigh<T, SIDE>), dim3((unsigned)slices, (unsigned)tiles, (unsigned)run->students), TILE_THREADS, 0,
           run->stream, *p);
    return cuda_launched("the weight gradient of a convolution", err);
}

template <typename T>
static enum status launch_side(const struct cuda_run *run, const struct weigh *p, int slices, struct error *err)
{
    return p->depth <= 32 && p->out <= 32 ? launch<T, 32>(run, p, slices, err) : launch<T, 64>(run, p, slices, err);
}

enum status conv_weight_gradient(const struct cuda_run *run, const struct conv_shape *shape, float *scratch,
                                 struct error *err)
{
    const size_t weights = weight_count(shape), parameters = run->plan->parameter_count;
    const int slices = weigh_slices(shape), has_bias = plan_has(run->step->bias);
    float *const gradient = weight_gradient(run->memory, run->step->weight);
    float *const bias_partial = scratch + (size_t)run->students * slices * weights;
    const size_t pixels = (size_t)shape->count * shape->out_h * shape->out_w;
    enum status status = STATUS_OK;
    struct weigh p = {};
    if (pixels > INT_MAX / 2)
        return error_set(err, STATUS_CONFIG, NULL, "%s: %zu pixels are too many for one step: lower --batch",
                         run->node->name, pixels);
    p.shape = *shape;
    const bool rounded = cuda_dtype_of(run, cuda_input_of(run)) == DTYPE_BF16;
    p.read = cuda_read_of(run, cuda_input_of(run));
    p.derivative = cuda_derivative_of(run);
    p.output_float = cuda_dtype_of(run, cuda_output_of(run)) == DTYPE_FP32;
    p.in = shape->in_c / shape->groups;
    p.out = shape->out_c / shape->groups;
    p.read_access = quad_access_of(p.in);
    p.derivative_access = rounded && p.output_float ? QUAD_SCALAR : quad_access_of(p.out);
    p.depth = shape->kernel_h * shape->kernel_w * p.in;
    p.pixels = (int)pixels;
    p.weights = slices > 1 ? scratch : gradient;
    p.weight_slice = weights;
    p.weight_student = slices > 1 ? slices * weights : parameters;
    if (has_bias) {
        p.bias = slices > 1 ? bias_partial : weight_gradient(run->memory, run->step->bias);
        p.bias_slice = shape->out_c;
        p.bias_student = slices > 1 ? (size_t)slices * shape->out_c : parameters;
    }
    if (rounded)
        status = launch_side<bf16>(run, &p, slices, err);
    else
        status = launch_side<float>(run, &p, slices, err);
    if (slices == 1 || status != STATUS_OK)
        return status;
    TRY(cuda_reduce(run->stream, scratch, slices, weights, run->students, gradient, parameters, err));
    if (has_bias)
        TRY(cuda_reduce(run->stream, bias_partial, slices, shape->out_c, run->students,
                        weight_gradient(run->memory, run->step->bias), parameters, err));
cleanup:
    return status;
}
