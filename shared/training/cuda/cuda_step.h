/* What the CUDA kernels of the training plan share: tensors as kernels see them, and the form of a step kind.
 *
 * Every kernel works on all students at once: blockIdx.z is the student. Sums go over fixed tiles to partial results in
 * scratch memory, which a second kernel adds in a fixed order. There are no float atomics, so results are the same in
 * every run. The scratch memory belongs to one step until its launches are done (one stream, in order).
 *
 * Included by C and CUDA sources: each .cu file of shared/training/steps defines the kernels of a step kind and its
 * struct cuda_step_kernel. */
#ifndef SHARED_TRAINING_CUDA_CUDA_STEP_H
#define SHARED_TRAINING_CUDA_CUDA_STEP_H

#include "shared/training/cuda/cuda_training.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The largest number of blocks of pixels that make partial sums (gridDim.x or y of their kernels). */
enum { CUDA_MAX_BLOCKS = 1024 };

/* A tensor as its readers see it: act(scale[c] * x + shift[c]). Element (student, n, y, x, c) is
 *     values[student * stride + ((n * h + y) * w + x) * c_count + c] */
struct cuda_read {
    const void *values; /* of the plan's dtype */
    size_t stride;      /* elements from one student's copy to the next; 0: the network's input, which is shared */
    const float *scale; /* [c] of the first student; NULL: no batch norm */
    const float *shift; /* [c] */
    size_t row_stride;  /* floats from the scale of one student to that of the next */
    enum activation activation;
    float alpha, beta; /* of the activation */
};

/* The raw output of a forward step. If a batch norm follows, each block hands in the moments of what it stored (after
 * rounding to the dtype): the number of values, their mean, and the sum of squared deviations from the mean. */
struct cuda_write {
    void *values;
    size_t stride;
    float *moments; /* scratch memory [students][blocks][3][c]; NULL: not wanted */
};

/* dL/d(raw output) of a step: a[c] * g + b[c] * z + d[c]; only g if no batch norm follows (a is NULL). */
struct cuda_derivative {
    const void *gradient, *values;
    size_t gradient_stride, value_stride;
    const float *a, *b, *d; /* [c] */
    size_t row_stride;
};

/* Where a backward step puts the gradient dx of one of its inputs:
 *     g = dx (+ what is there, if accumulate)
 *     if finish: g *= act'(scale * z + shift), z: the raw value of the input
 * If the input has a batch norm, each block also hands in sum(g) and sum(g * (z - mean)) of what it stored. */
struct cuda_give {
    void *gradient;
    size_t stride;
    int accumulate, finish;
    struct cuda_read input; /* for finish: z and its epilogue */
    const float *mean;      /* [c], with input.row_stride; NULL: no batch norm */
    float *sums;            /* scratch memory [students][blocks][2][c]; NULL: not wanted */
};

/* A step that is being run. */
struct cuda_run {
    struct device *device;
    cudaStream_t stream;
    const struct plan *plan;
    const struct plan_step *step;
    const struct node *node;
    const struct network_memory *memory;
    const struct pass *pass;
    const struct plan_input *input; /* backward: the input whose gradient is made; forward: the first input */
    int index;                      /* of the step */
    int students;
    float *scratch; /* [students * floats of scratch memory], see struct cuda_step_kernel */
};

/* One kind of step. forward and backward enqueue kernels on run->stream; they never allocate or wait. */
struct cuda_step_kernel {
    /* Floats of scratch memory per student that forward or backward needs for a whole batch, moments and sums included.
     * NULL: none but the moments and sums of CUDA_MAX_BLOCKS blocks, which the caller adds for every step. */
    size_t (*scratch)(const struct plan *plan, const struct plan_step *step);
    /* Writes the raw output. If run->step->statistics, it calls cuda_finish_statistics with its blocks. */
    enum status (*forward)(const struct cuda_run *run, struct error *err);
    /* Writes the gradients of parameters (when called for the first input) and the gradient of run->input, if it has
     * one. If the input finishes and has a batch norm, it calls cuda_finish_gradient with its blocks. Called only if
     * the output has a gradient. */
    enum status (*backward)(const struct cuda_run *run, struct error *err);
};
extern const struct cuda_step_kernel cuda_conv, cuda_pointwise, cuda_depthwise, cuda_linear, cuda_max_pool,
    cuda_average_pool, cuda_global_pool, cuda_add, cuda_concat, cuda_dropout, cuda_copy, cuda_multiply, cuda_scale,
    cuda_prelu, cuda_select, cuda_group_norm, cuda_layer_norm, cuda_lp_norm, cuda_pad, cuda_resize, cuda_quantise;

/* ---- the tensors of a step (cuda_run.c) ---- */
static inline const struct plan_tensor *cuda_input_of(const struct cuda_run *run)
{
    return &run->plan->tensors[run->input->tensor];
}
static inline const struct plan_tensor *cuda_output_of(const struct cuda_run *run)
{
    return &run->plan->tensors[run->step->output];
}
/* The dtype of a tensor: the plan's, but float for the plan's output. In practice only linear, global average pooling,
 * convolution and copy steps make the plan's output; every step must respect it all the same. */
enum dtype cuda_dtype_of(const struct cuda_run *run, const struct plan_tensor *tensor);
struct cuda_read cuda_read_of(const struct cuda_run *run, const struct plan_tensor *tensor);
/* moments: where in run->scratch the step's moments go, if it makes statistics in this pass */
struct cuda_write cuda_write_of(const struct cuda_run *run, float *moments);
struct cuda_derivative cuda_derivative_of(const struct cuda_run *run);
/* of run->input; sums: where in run->scratch its sums go */
struct cuda_give cuda_give_of(const struct cuda_run *run, float *sums);

/* ---- batch norm (batch_norm.cu) ---- */
/* From the moments of the blocks: scale, shift, mean and inverse standard deviation of the output, and in training the
 * running statistics. Without training (moments is NULL): scale and shift from the running statistics. */
enum status cuda_finish_statistics(const struct cuda_run *run, const float *moments, int blocks, struct error *err);
/* From the sums of the blocks: a, b and d of run->input's tensor, and the gradients of gamma, beta and the layer's
 * bias. */
enum status cuda_finish_gradient(const struct cuda_run *run, const float *sums, int blocks, struct error *err);

/* out[student * out_stride + i] = sum over slices of partial[(student * slices + slice) * count + i] in the order of
 * the slices (reduce.cu). */
enum status cuda_reduce(cudaStream_t stream, const float *partial, int slices, size_t count, int students, float *out,
                        size_t out_stride, struct error *err);
/* memory->rounded = the weights of plan->roundings in 8 bits. quantise.cu */
enum status cuda_round_weights(cudaStream_t stream, const struct plan *plan, const struct network_memory *memory,
                               struct error *err);
/* Adds up the gradients of shared weights: struct plan_twin. twins.cu */
enum status cuda_add_twins(cudaStream_t stream, const struct plan *plan, const struct network_memory *memory,
                           struct error *err);

#ifdef __cplusplus
}
#endif
#endif
