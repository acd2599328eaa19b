/* What the kernels of depthwise convolutions share: depthwise_tiles.cu has 3x3 with strides 1 and 2; depthwise.cu has
 * all others, and chooses. */
#ifndef SHARED_TRAINING_STEPS_DEPTHWISE_CUH
#define SHARED_TRAINING_STEPS_DEPTHWISE_CUH

#include "shared/training/cuda/cuda_window.cuh"

/* The tensors and parameters of a step as its kernels take them. Forward uses read and write; backward uses derivative
 * and give. */
struct depthwise {
    struct window window;
    struct cuda_read read; /* the input */
    struct cuda_write write;
    struct cuda_derivative derivative;
    struct cuda_give give;
    int wants_dx;                    /* backward: the input has a gradient */
    const float *weights;            /* [channels][taps] */
    const float *bias;               /* [channels] or NULL */
    size_t parameter_stride;         /* floats from one student to the next */
    struct cuda_partial weight_sums; /* backward: of [channels][taps] */
};

/* Is it 3x3 with stride 1, or with stride 2 and odd paddings, and are both tensors of one type? */
bool depthwise_has_tiles(const struct cuda_run *run, const struct window *w);

/* Each launches its kernel; backward with at most `blocks` blocks of pixels. */
enum status depthwise_tiles_forward(const struct cuda_run *run, const struct depthwise *d, struct error *err);
enum status depthwise_tiles_backward(const struct cuda_run *run, const struct depthwise *d, int blocks,
                                     struct error *err);

#endif
