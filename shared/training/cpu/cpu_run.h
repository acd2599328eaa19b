/* What the steps of a plan share on the CPU. A step is one pass of the thread pool over fixed slices of the batch. A
 * slice reads completed inputs, computes, and either writes raw values and their moments (forward) or gives gradients
 * to the inputs (backward). Sums are kept per slice and added in the order of the slices. The slices depend only on the
 * plan and the batch, so results do not depend on the number of threads. */
#ifndef SHARED_TRAINING_CPU_CPU_RUN_H
#define SHARED_TRAINING_CPU_CPU_RUN_H

#include "shared/training/cpu/cpu_training.h"
#include "shared/training/cpu/cpu_kernels.h"

enum { MAX_SLICES = 32 };

/* A tensor of the plan, with what the steps that read or make it need at hand. */
struct cpu_tensor {
    struct shape shape;
    enum dtype dtype; /* of its values and gradients: the plan's; the logits are always fp32 */
    size_t sample;    /* elements per sample */
    int width;        /* row_width of the channels */
    size_t value;     /* offsets, see plan.h */
    size_t gradient;
    int batch_norm;               /* or -1 */
    float *rows[PLAN_STATISTICS]; /* [width] each: the batch norm's statistics, repeated along the row */
    struct epilogue epilogue;
};

/* Sums over a slice. */
struct cpu_slice {
    bool started; /* pivot and sums are set */
    double count; /* pixels */
    float *pivot; /* [width] forward: close to the mean, so that sums of squares keep their digits */
    double *first,
        *second;    /* [channels] forward: sums of x - pivot and its square; backward: of g and g * (x - mean) */
    double *bias;   /* [channels] gradient of the layer's bias */
    double *weight; /* [channels] gradient of a weight with one number per channel */
    float *tile;    /* [2, width] sums of the latest run of pixels */
};

struct cpu_workspace {
    struct cpu_tensor *tensors; /* [tensor_count] */
    struct cpu_slice slices[MAX_SLICES];
    int workers;
    size_t scratch_floats;
    float **scratch;    /* [workers][scratch_floats] */
    float *packed;      /* weights of the current step, in the order in which its kernels read them */
    float *partial;     /* [slices] weight gradients of the current step */
    float *shared;      /* scratch memory of linear layers, for the whole batch */
    float *zeros;       /* [widest row] */
    int *taps;          /* [taps of the largest window] where weights lie */
    ptrdiff_t *offsets; /* [the same] where inputs and gradients lie */
    float *rows;        /* statistics of the tensors with a batch norm */
    float *sums;        /* of the slices */
    double *doubles;    /* of the slices */
};

/* A step that is being run. */
struct cpu_run {
    struct device *device;
    const struct cpu_kernels *kernels;
    const struct plan *plan;
    const struct plan_step *step;
    const struct node *node;
    const struct network_memory *memory;
    const struct pass *pass;
    struct cpu_workspace *workspace;
    int index;   /* of the step */
    int student; /* whose memory is used */
    int slices;
    const struct cpu_tensor *in, *out; /* of the first input (backward: of `input`), and of the output */
    const struct plan_input *input;    /* backward: the input whose gradient is being made */
};

/* One kind of step. `need` says once what memory the step needs; forward and backward never allocate. */
struct step_need {
    size_t scratch; /* floats per worker */
    size_t packed, partial, shared;
    size_t taps; /* of a window */
};
struct cpu_step_kernel {
    struct step_need (*need)(const struct plan *plan, const struct plan_step *step);
    void (*forward)(struct cpu_run *run);
    void (*backward)(struct cpu_run *run); /* called only if the output has a gradient */
};
extern const struct cpu_step_kernel cpu_conv, cpu_pointwise, cpu_depthwise, cpu_linear, cpu_max_pool, cpu_average_pool,
    cpu_global_pool, cpu_add, cpu_concat, cpu_dropout, cpu_copy, cpu_multiply, cpu_scale, cpu_prelu, cpu_select,
    cpu_group_norm, cpu_layer_norm, cpu_lp_norm, cpu_pad, cpu_resize, cpu_quantise;

/* ---- slices ---- */
/* The number of slices of the batch, for steps whose slices hold `partial` floats each. */
int slice_count(size_t partial, int batch);
/* Samples [*first, *end) of slice number `slice`. */
void slice_samples(const struct cpu_run *run, int slice, int *first, int *end);
/* Runs task on every slice, in parallel. */
void run_slices(struct cpu_run *run, void (*task)(void *run, int slice, int worker));

/* ---- tensors ---- */
static inline const struct cpu_tensor *run_tensor(const struct cpu_run *run, int tensor)
{
    return &run->workspace->tensors[tensor];
}
/* The raw values of a tensor from element `first` on, and their gradients: as they are stored, of tensor->dtype. Steps
 * go through the functions below instead, which give them floats. */
static inline void *stored_value(const struct cpu_run *run, const struct cpu_tensor *tensor, size_t first)
{
    return (char *)run->memory->values + tensor->value * dtype_size(run->plan->dtype) +
           first * dtype_size(tensor->dtype);
}
static inline void *stored_gradient(const struct cpu_run *run, const struct cpu_tensor *tensor, size_t first)
{
    return (char *)run->memory->gradients + tensor->gradient * dtype_size(run->plan->dtype) +
           first * dtype_size(tensor->dtype);
}
static inline bool has_epilogue(const struct cpu_tensor *tensor)
{
    return tensor->epilogue.scale || tensor->epilogue.activation != ACTIVATION_NONE;
}
/* Reads completed pixels of a tensor, from element `first`, which is the beginning of a pixel. Returns out, or the raw
 * values themselves if they are floats and there is no epilogue. */
const float *read_with_epilogue(const struct cpu_run *run, const struct cpu_tensor *tensor, size_t first, size_t floats,
                                float *out);
/* The same, always written to out. */
void copy_with_epilogue(const struct cpu_run *run, const struct cpu_tensor *tensor, size_t first, size_t floats,
                        float *out);
/* dL/d(raw output) of the step's output, through its batch norm. read_gradient returns the gradient itself if it is
 * stored in floats and there is no batch norm. */
const float *read_gradient(const struct cpu_run *run, size_t first, size_t floats, float *out);
void copy_gradient(const struct cpu_run *run, size_t first, size_t floats, float *out);
/* What is read next of a tensor's raw values, or of the gradient of the step's output (but not the values that its
 * batch norm needs, too): the `floats` elements from `first` on, as far as the batch has them. */
void ahead_value(struct ahead *ahead, const struct cpu_run *run, const struct cpu_tensor *tensor, size_t first,
                 size_t floats);
void ahead_gradient(struct ahead *ahead, const struct cpu_run *run, size_t first, size_t floats);

/* Forward, a step makes values of its output in tiles. values_place says where to put those from `first` on: in their
 * own place, or in `tile`; put_values adds them to the sums for the output's batch norm, and moves those in `tile` to
 * their place. (They are made in the tile if they are not stored as floats, or if they go past the caches, because they
 * would have left these before the next step reads them.) */
float *values_place(const struct cpu_run *run, size_t first, float *tile);
void put_values(struct cpu_run *run, int slice, const float *values, size_t first, size_t floats);
/* Backward: gives dx, the gradient of run->input's completed values from `first`, to the input. */
void give_gradient(struct cpu_run *run, int slice, const float *dx, size_t first, size_t floats);

/* ---- batch norm ---- */
/* After all slices of a forward step: computes the statistics of the output. */
void finish_statistics(struct cpu_run *run);
/* After all slices of a backward step, when the input's gradient is complete: its batch norm's coefficients. */
void finish_gradient(struct cpu_run *run);

/* ---- weights ---- */
/* memory->rounded = the weights of plan->roundings in 8 bits (quantise.c) */
void round_weights(const struct plan *plan, const struct network_memory *memory);
/* A convolution's weights as a matrix: element (tap, i, column) is at
 *     from[tap_offset[tap] + i * inner_stride + column * column_stride] */
struct weight_matrix {
    int taps, inner, columns;
    const int *tap_offset; /* [taps] */
    size_t inner_stride, column_stride;
};
/* Floats of the packed matrix, enough for any number of lanes. */
size_t packed_floats(int rows, int columns);
/* to[panel of `lanes` columns][tap, i][lane] = the matrix, in the order in which gemm reads it. Unused lanes are 0. */
void pack_weights(struct cpu_run *run, const struct weight_matrix *matrix, const float *from, float *to);
/* The inverse, for a gradient in the order of rows: to[...] = from[tap, i][column]. */
void unpack_weights(struct cpu_run *run, const struct weight_matrix *matrix, const float *from, float *to);
/* The weight gradient of slice number `slice`: `count` floats, zeroed. */
float *slice_partial(const struct cpu_run *run, int slice, size_t count);
/* Adds the weight gradients of all slices to that of the first one, in order, and returns it. */
const float *reduce_partial(struct cpu_run *run, size_t count);
/* The gradient of the layer's bias, if it has one: note_bias gets the output's gradient in pieces, finish_bias stores
 * the sum. */
void note_bias(struct cpu_run *run, int slice, const float *dz, size_t floats);
void finish_bias(struct cpu_run *run);
/* The same for a weight with one number per channel, or one for all: products [floats] are its gradient, element by
 * element; note_weight_products gets the two factors. */
void note_weight(struct cpu_run *run, int slice, const float *products, size_t floats);
void note_weight_products(struct cpu_run *run, int slice, const float *a, const float *b, size_t floats);
void finish_weight(struct cpu_run *run);
/* to[width] = a row of the tensor's width with a number per channel (one for all if count is 1), `absent` without
 * values. */
void fill_row(const struct cpu_tensor *tensor, const float *values, size_t count, float absent, float *to);

#endif
