/* What the CUDA kernels of the training plan share: tensors as kernels see them, and the table of step kinds.
 *
 * Every kernel works on all students at once: blockIdx.z is the student. Sums go over fixed tiles to partial results in
 * scratch memory, which a second kernel adds in a fixed order: no float atomics, so results are the same in every run.
 * A step's scratch memory is its own until its launches are done (one stream, in order).
 *
 * Included by C and by CUDA sources: every .cu file defines the kernels of one kind of step and its struct
 * cuda_step_kernel. */
#ifndef SHARED_TRAINING_CUDA_CUDA_STEP_H
#define SHARED_TRAINING_CUDA_CUDA_STEP_H

#include "shared/training/cuda/cuda_training.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Partial sums over at most this many blocks of pixels (gridDim.x or y of the kernels that make them). */
enum { CUDA_MAX_BLOCKS = 1024 };

/* A tensor as its readers see it: act(scale[c] * x + shift[c]). Element (student, n, y, x, c) is values[student *
 * stride + ((n * h + y) * w + x) * c_count + c]. */
struct cuda_read {
    const void *values; /* of the plan's dtype */
    size_t stride;      /* elements from one student's copy to the next; 0: the network's input, which is shared */
    const float *scale; /* [c] of the first student; NULL: no batch norm */
    const float *shift; /* [c] */
    size_t row_stride;  /* floats from one student's scale to the next one's */
    enum activation activation;
    float alpha, beta; /* of the activation */
};

/* The raw output of a forward step. Where a batch norm follows, each block hands in the moments of what it stored
 * (after rounding to the dtype): values' count, mean and sum of squared deviations from the mean. */
struct cuda_write {
    void *values;
    size_t stride;
    float *moments; /* scratch [students][blocks][3][c], NULL: none wanted */
};

/* dL/d(raw output) of a step: a[c] * g + b[c] * z + d[c]; g alone where no batch norm follows (a NULL). */
struct cuda_derivative {
    const void *gradient, *values;
    size_t gradient_stride, value_stride;
    const float *a, *b, *d; /* [c] */
    size_t row_stride;
};

/* Where a backward step puts the gradient dx of one of its inputs:
 *   g = dx (+ what is there, if accumulate); if finish: g *= act'(scale * z + shift), where z is the input's raw value,
 *   and with a batch norm each block hands in sum(g) and sum(g * (z - mean)) of what it stored. */
struct cuda_give {
    void *gradient;
    size_t stride;
    int accumulate, finish;
    struct cuda_read input; /* finish: z and its epilogue */
    const float *mean;      /* [c], of input.row_stride; NULL: no batch norm */
    float *sums;            /* scratch [students][blocks][2][c], NULL: none wanted */
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
    const struct plan_input *input; /* backward: the input whose gradient is made; forward: the first */
    int index;                      /* of the step */
    int students;
    float *scratch; /* [students * scratch floats], see struct cuda_step_kernel */
};

/* One kind of step. forward and backward enqueue kernels on run->stream and never allocate or wait. */
struct cuda_step_kernel {
    /* Floats of scratch memory a student that forward or backward needs at most for a whole batch, moments and sums
     * included. NULL: none but those of CUDA_MAX_BLOCKS blocks, which the caller adds for every step. */
    size_t (*scratch)(const struct plan *plan, const struct plan_step *step);
    /* Writes the raw output. If run->step->statistics it calls cuda_finish_statistics with its blocks. */
    enum status (*forward)(const struct cuda_run *run, struct error *err);
    /* Writes parameter gradients (with the first input) and the gradient of run->input, if it has one. If the input
     * finishes and has a batch norm it calls cuda_finish_gradient with its blocks. Called only when the output has a
     * gradient. */
    enum status (*backward)(const struct cuda_run *run, struct error *err);
};
extern const struct cuda_step_kernel cuda_conv, cuda_pointwise, cuda_depthwise, cuda_linear, cuda_max_pool,
    cuda_average_pool, cuda_global_pool, cuda_add, cuda_concat, cuda_dropout, cuda_copy;

/* ---- views of a step's tensors (cuda_run.c) ---- */
static inline const struct plan_tensor *cuda_input_of(const struct cuda_run *run)
{
    return &run->plan->tensors[run->input->tensor];
}
static inline const struct plan_tensor *cuda_output_of(const struct cuda_run *run)
{
    return &run->plan->tensors[run->step->output];
}
/* The dtype of a tensor: the plan's, but float for the plan's output. Only STEP_LINEAR,
 * STEP_GLOBAL_AVERAGE_POOL, STEP_CONV and STEP_COPY can make the plan's output in practice; every step must honour it
 * all the same. */
enum dtype cuda_dtype_of(const struct cuda_run *run, const struct plan_tensor *tensor);
struct cuda_read cuda_read_of(const struct cuda_run *run, const struct plan_tensor *tensor);
/* moments in run->scratch + offset floats (of all students) where the step makes statistics in this pass */
struct cuda_write cuda_write_of(const struct cuda_run *run, float *moments);
struct cuda_derivative cuda_derivative_of(const struct cuda_run *run);
/* of run->input; sums: scratch memory */
struct cuda_give cuda_give_of(const struct cuda_run *run, float *sums);

/* ---- batch norm (batch_norm.cu) ---- */
/* From the blocks' moments: the output's scale, shift, mean, inverse deviation, and the running statistics in training.
 * Without training (moments NULL): scale and shift from the running statistics. */
enum status cuda_finish_statistics(const struct cuda_run *run, const float *moments, int blocks, struct error *err);
/* From the blocks' sums: a, b, d of run->input's tensor, and the gradients of gamma, beta and the layer's bias. */
enum status cuda_finish_gradient(const struct cuda_run *run, const float *sums, int blocks, struct error *err);

/* out[student * out_stride + i] = sum over slices of partial[(student * slices + slice) * count + i], in order of the
 * slices (reduce.cu). */
enum status cuda_reduce(cudaStream_t stream, const float *partial, int slices, size_t count, int students, float *out,
                        size_t out_stride, struct error *err);

#ifdef __cplusplus
}
#endif
#endif
