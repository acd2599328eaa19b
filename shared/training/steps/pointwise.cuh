/* What the forward and backward kernels of pointwise convolutions share. A tile of pixels is one run of memory, and the
 * weights of up to 128 x 128 channels stay in shared memory as long as a block lives. */
#ifndef SHARED_TRAINING_STEPS_POINTWISE_CUH
#define SHARED_TRAINING_STEPS_POINTWISE_CUH

#include "shared/training/steps/conv.cuh"

enum { POINTWISE_MAX_CHANNELS = 128 };

/* Kernels come in sizes of SIDE = 32, 64 and 128 channels (inputs and outputs); a tile has PIXELS pixels. */
template <typename T, int SIDE, int PIXELS> struct pointwise_memory {
    enum {
        DOWN = SIDE == 32   ? 8
               : SIDE == 64 ? 4
                            : 2, /* the part of a warp is 32 channels wide */
        PITCH = tile_pitch<T>(SIDE),
        RESULT_PITCH = SIDE + 4,
        WEIGHT_BYTES = SIDE * PITCH * sizeof(T),
        TILE_BYTES = PIXELS * PITCH * sizeof(T),
        RESULT_BYTES = PIXELS * RESULT_PITCH * sizeof(float),
        SHARE = PIXELS * SIDE / 4 / TILE_THREADS /* quads of a tile that a thread fetches at most */
    };
};

struct pointwise {
    int in, out, pixels, tiles;
    const float *weights; /* [out, in] */
    const float *bias;    /* [out], or NULL */
    size_t parameter_stride;
    struct cuda_read read;
    struct cuda_write write;
    struct cuda_derivative derivative;
    struct cuda_give give; /* gradient NULL: it is not wanted */
    struct cuda_partial weight_sums, bias_sums;
};

/* A thread fetches its share of a tile of raw values while the tile before is being worked on. first: the first pixel
 * of the tile; values: those of the student and of the lane's channel; channels: per pixel. */
template <typename T, int PIXELS, int SHARE>
static __device__ __forceinline__ void pointwise_fetch(const struct quad_lane *lane, const T *values, int channels,
                                                       int first, int pixels, quad_raw<T> *share)
{
    const int row = lane->valid ? lane->row : QUAD_NO_ROW, left = pixels - first < PIXELS ? pixels - first : PIXELS;
    const T *at = values + (size_t)(first + row) * channels;
#pragma unroll
    for (int i = 0; i < SHARE; i++) {
        if (row + i * lane->rows < left)
            share[i] = quad_fetch(at);
        at += lane->rows * channels;
    }
}

/* The completed inputs of the tile, with zeros behind the tensor's end and beside its channels. Scale and shift are
 * read again for every tile: they lie in the L1 cache, and registers are scarce. */
template <typename T, int PIXELS, int SHARE, int PITCH>
static __device__ __forceinline__ void pointwise_fill_input(const struct pointwise *p, const struct quad_lane *lane,
                                                            int student, int first, const quad_raw<T> *share, T *tile)
{
    const struct quad_epilogue epilogue = quad_epilogue_of(&p->read, student, QUAD_VECTOR, lane->channel, lane->valid);
    const int left = lane->valid ? p->pixels - first : 0;
#pragma unroll
    for (int i = 0; i < SHARE; i++) {
        const int row = lane->row + i * lane->rows;
        struct quad q = quad_apply_epilogue(&p->read, &epilogue, quad_unpack(share[i]));
        q = row < left ? q : quad_zero();
        if (row < PIXELS)
            quad_to_tile(tile + row * PITCH + lane->channel, q);
    }
}

/* ---- host ---- */
static inline int pointwise_side(int in, int out)
{
    const int most = in > out ? in : out;
    return most <= 32 ? 32 : most <= 64 ? 64 : 128;
}

/* As many blocks as work on equal numbers of tiles, as far as possible. */
static inline int pointwise_blocks(size_t tiles, size_t most)
{
    const size_t each = (tiles + most - 1) / most;
    return (int)((tiles + each - 1) / each);
}

/* Sets what both directions need. */
static inline struct pointwise pointwise_of(const struct cuda_run *run)
{
    const struct shape in = cuda_input_of(run)->shape, out = cuda_output_of(run)->shape;
    struct pointwise p = {};
    p.in = in.c;
    p.out = out.c;
    p.pixels = run->pass->count * in.h * in.w;
    p.weights = weight_values(run->memory, run->step->weight);
    p.bias = weight_values(run->memory, run->step->bias);
    p.parameter_stride = run->plan->parameter_count;
    p.read = cuda_read_of(run, cuda_input_of(run));
    return p;
}

#ifdef __cplusplus
extern "C" {
#endif
/* ---- pointwise_forward.cu: channels are multiples of 4 ---- */
size_t pointwise_forward_bytes(int in, int out, enum dtype dtype); /* of shared memory */
enum status pointwise_forward(const struct cuda_run *run, struct error *err);
/* ---- pointwise_backward.cu: the same ---- */
size_t pointwise_backward_bytes(int in, int out, enum dtype dtype);
/* Floats of scratch memory per student for a batch of `pixels` pixels. */
size_t pointwise_scratch(int in, int out, size_t pixels, enum dtype dtype, int bias);
enum status pointwise_backward(const struct cuda_run *run, struct error *err);
#ifdef __cplusplus
}
#endif
#endif
