/* Convolutions of one pixel with stride 1: what their forward and backward kernels share. A tile of pixels is one run
 * of memory, and the weights of up to 128 x 128 channels fit into shared memory for as long as a block lives. */
#ifndef SHARED_BACKEND_CUDA_POINTWISE_CUH
#define SHARED_BACKEND_CUDA_POINTWISE_CUH

#include "shared/backend/cuda/conv.cuh"

enum { POINTWISE_MAX_CHANNELS = 128, POINTWISE_TILE_BYTES = 16384 };

/* Kernels come in sizes of SIDE = 32, 64, 128 channels, inputs and outputs. */
template <typename T, int SIDE> struct pointwise_memory {
    enum {
        PIXELS = POINTWISE_TILE_BYTES / (SIDE * sizeof(T)),
        DOWN = sizeof(T) == 4 ? PIXELS / 16 : PIXELS / 32, /* a warp's part: 16 x 32 or 32 x 32 */
        PITCH = tile_pitch<T>(SIDE),
        RESULT_PITCH = SIDE + 4,
        WEIGHT_BYTES = SIDE * PITCH * sizeof(T),
        TILE_BYTES = PIXELS * PITCH * sizeof(T),
        RESULT_BYTES = PIXELS * RESULT_PITCH * sizeof(float),
        FORWARD_BYTES = WEIGHT_BYTES + (RESULT_BYTES > TILE_BYTES ? RESULT_BYTES : TILE_BYTES),
        BACKWARD_BYTES = WEIGHT_BYTES + 2 * TILE_BYTES
    };
};

struct pointwise {
    int in, out, pixels, tiles;
    const float *weights; /* [out, in] */
    const float *bias;    /* [out], NULL: none */
    size_t parameter_stride;
    struct cuda_read read;
    struct cuda_write write;
    struct cuda_slope slope;
    struct cuda_give give; /* gradient NULL: not wanted */
    enum quad_access read_access, write_access, slope_access, give_access;
    int output_float;
    float *weight_partial, *bias_partial; /* [student][block], bias_partial NULL: none */
    size_t weight_student, weight_block, bias_student, bias_block;
};

/* The tile's completed inputs [PIXELS][lane's channels], zeros beyond the tensor's end. */
template <typename T, int PIXELS, int PITCH>
static __device__ __forceinline__ void pointwise_read(const struct pointwise *p, const struct quad_lane *lane,
                                                      const struct quad_completion *completion, int student, int first,
                                                      T *tile)
{
    enum { BATCH = 4 }; /* loads in flight */
    const T *values = (const T *)p->read.values + student * p->read.stride + lane->channel;
    for (int row = lane->row; row < PIXELS; row += BATCH * lane->rows) {
        struct quad raw[BATCH];
#pragma unroll
        for (int i = 0; i < BATCH; i++) {
            const int pixel = first + row + i * lane->rows;
            raw[i] = quad_zero();
            if (lane->valid && row + i * lane->rows < PIXELS && pixel < p->pixels)
                raw[i] = quad_load(values + (size_t)pixel * p->in, p->read_access, lane->valid);
        }
#pragma unroll
        for (int i = 0; i < BATCH; i++) {
            const int at = row + i * lane->rows;
            struct quad q = quad_zero();
            if (lane->valid && first + at < p->pixels)
                q = quad_complete(&p->read, completion, raw[i]);
            if (at < PIXELS)
                quad_to_tile(tile + at * PITCH + lane->channel, q);
        }
    }
}

/* The same of dz, the gradient of the raw output. */
template <typename T, int PIXELS, int PITCH>
static __device__ __forceinline__ void pointwise_slope(const struct pointwise *p, const struct quad_lane *lane,
                                                       const struct quad_slope *through, int student, int first,
                                                       T *tile)
{
    enum { BATCH = 4 };
    const size_t g_at = student * p->slope.gradient_stride + lane->channel;
    const size_t z_at = student * p->slope.value_stride + lane->channel;
    for (int row = lane->row; row < PIXELS; row += BATCH * lane->rows) {
        struct quad g[BATCH], z[BATCH];
#pragma unroll
        for (int i = 0; i < BATCH; i++) {
            const int pixel = first + row + i * lane->rows;
            const size_t at = (size_t)pixel * p->out;
            g[i] = z[i] = quad_zero();
            if (lane->valid && row + i * lane->rows < PIXELS && pixel < p->pixels) {
                g[i] = quad_load_output<T>(p->slope.gradient, g_at + at, p->output_float, p->slope_access, lane->valid);
                if (p->slope.a)
                    z[i] =
                        quad_load_output<T>(p->slope.values, z_at + at, p->output_float, p->slope_access, lane->valid);
            }
        }
#pragma unroll
        for (int i = 0; i < BATCH; i++) {
            const int at = row + i * lane->rows;
            if (p->slope.a)
                g[i] = lane->valid && first + at < p->pixels ? quad_through(through, g[i], z[i]) : quad_zero();
            if (at < PIXELS)
                quad_to_tile(tile + at * PITCH + lane->channel, g[i]);
        }
    }
}

/* ---- host ---- */
static inline int pointwise_side(int in, int out)
{
    const int most = in > out ? in : out;
    return most <= 32 ? 32 : most <= 64 ? 64 : 128;
}

/* Blocks that work on equal numbers of tiles, as far as they go. */
static inline int pointwise_blocks(size_t tiles, size_t most)
{
    const size_t each = (tiles + most - 1) / most;
    return (int)((tiles + each - 1) / each);
}

/* Fills in what both directions need. */
static inline struct pointwise pointwise_of(const struct cuda_run *run)
{
    const struct shape in = cuda_input_of(run)->shape, out = cuda_output_of(run)->shape;
    struct pointwise p = {};
    p.in = in.c;
    p.out = out.c;
    p.pixels = run->pass->count * in.h * in.w;
    p.weights = run->memory->parameters + run->step->weight;
    p.bias = run->step->bias == PLAN_NONE ? NULL : run->memory->parameters + run->step->bias;
    p.parameter_stride = run->plan->parameter_count;
    p.read = cuda_read_of(run, cuda_input_of(run));
    p.output_float = cuda_element_of(run, cuda_output_of(run)) == ELEMENT_FP32;
    return p;
}

#ifdef __cplusplus
extern "C" {
#endif
/* pointwise_forward.cu */
enum status pointwise_forward(const struct cuda_run *run, struct error *err);
/* pointwise_backward.cu: floats of scratch a student for a batch of `pixels` pixels */
size_t pointwise_scratch(int in, int out, size_t pixels, enum element element, int bias);
enum status pointwise_backward(const struct cuda_run *run, struct error *err);
#ifdef __cplusplus
}
#endif
#endif
