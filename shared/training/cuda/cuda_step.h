/* What the CUDA kernels of the training plan share: tensors as kernels see them, and the form of a step kind.
 *
 * Every kernel works on all students at once: blockIdx.z is the student. Sums go over fixed tiles to partial results in
 * scratch memory, which the last block of the launch (cuda_last_block.cuh) or a second kernel (cuda_reduce) adds in a
 * fixed order. There are no float atomics, so results are the same in every run. The scratch memory belongs to one step
 * until its launches are done (one stream, in order).
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

/* Counters of blocks that have arrived, 0 between launches: one for each group of blocks, and one for the groups. They
 * exist for every student and every blockIdx.y. */
enum { CUDA_MAX_GROUPS = 32, CUDA_ARRIVALS = CUDA_MAX_GROUPS + 1 };

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

/* A batch norm: its weights and its rows of the statistics vector, of the first student. */
struct cuda_norm {
    float *rows;                       /* [PLAN_STATISTICS][channels]; NULL: there is no batch norm to finish */
    const float *gamma, *beta;         /* [channels] */
    const float *layer_bias;           /* [channels], or NULL */
    float *running_mean, *running_var; /* [channels] */
    float *gamma_gradient, *beta_gradient, *bias_gradient; /* [channels]; the last one may be NULL */
    size_t parameter_stride, state_stride, row_stride;     /* floats from one student to the next */
    int channels;
    int observed;   /* statistics of this batch; otherwise running ones */
    float count;    /* values per channel */
    float unbiased; /* count / (count - 1): of the variance that is kept */
    float epsilon, momentum;
};

/* The raw output of a forward step. If a batch norm follows, each block hands in the moments of what it stored (after
 * rounding to the dtype): the number of values, their mean, and the sum of squared deviations from the mean. The last
 * block makes the statistics of them: scale, shift, mean and inverse standard deviation, and the running ones. */
struct cuda_write {
    void *values;
    size_t stride;
    float *moments;        /* scratch memory [students][blocks][3][c]; NULL: not wanted */
    struct cuda_norm norm; /* without moments, scale and shift come from the running statistics */
    unsigned int *arrived; /* [students][gridDim.y][CUDA_ARRIVALS] */
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
 * If the input has a batch norm, each block also hands in sum(g) and sum(g * (z - mean)) of what it stored. The last
 * block makes a, b and d of the input's tensor of them, and the gradients of gamma, beta and the layer's bias. */
struct cuda_give {
    void *gradient;
    size_t stride;
    int accumulate, finish;
    struct cuda_read input; /* for finish: z and its epilogue */
    const float *mean;      /* [c], with input.row_stride; NULL: no batch norm */
    float *sums;            /* scratch memory [students][blocks][2][c]; NULL: not wanted */
    struct cuda_norm norm;
    unsigned int *arrived; /* [students][gridDim.y][CUDA_ARRIVALS] */
};

/* Gradients of weights: each block hands in a row of sums, and the last block adds the rows. */
struct cuda_partial {
    float *rows;          /* scratch memory [students][blocks][count]; NULL: not wanted */
    float *gradient;      /* [count] of the first student; NULL: cuda_reduce adds the rows */
    size_t count, stride; /* stride: floats from one student's gradient to that of the next */
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
    float *scratch;        /* [students * floats of scratch memory], see struct cuda_step_kernel */
    unsigned int *arrived; /* [students][channels of the widest tensor][CUDA_ARRIVALS] */
};

/* One kind of step. forward and backward enqueue kernels on run->stream; they never allocate or wait. */
struct cuda_step_kernel {
    /* Floats of scratch memory per student that forward or backward needs for a whole batch, moments and sums included.
     * NULL: none but the moments and sums of CUDA_MAX_BLOCKS blocks, which the caller adds for every step. */
    size_t (*scratch)(const struct plan *plan, const struct plan_step *step);
    /* Writes the raw output, and calls finish_outputs (cuda_last_block.cuh) in its last kernel. */
    enum status (*forward)(const struct cuda_run *run, struct error *err);
    /* Writes the gradients of parameters (when called for the first input) and the gradient of run->input, if it has
     * one, for which it calls finish_gradients. Called only if the output has a gradient. */
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
/* of a weight of run->step that has a gradient and `count` numbers; rows: where in run->scratch its rows go */
struct cuda_partial cuda_partial_of(const struct cuda_run *run, const struct plan_weight *weight, float *rows,
                                    size_t count);

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
