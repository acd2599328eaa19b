/* The training plan: a graph compiled into fused steps over buffers that are planned once. Every backend runs the same
 * plan.
 *
 * Each raw output of a layer is stored once, NHWC. Batch norm and activation are never stored: a tensor carries them as
 * its "epilogue", and every step that reads the tensor applies them on the fly:
 *     read(x) = act(scale[c] * x + shift[c])
 * with scale and shift from the statistics of this batch, or from the running ones.
 *
 * Backward, every tensor has one gradient buffer. The steps that read the tensor run in reverse order: the first one
 * writes dL/d(read value), the next ones add to it, and the last one ("finish") multiplies by act'(). If the tensor has
 * a batch norm, the last one also sums up sum(g) and sum(g * xhat) per channel. The step that made the tensor then
 * reads its gradient through the batch norm:
 *     dz = a[c] * g + b[c] * z + d[c]
 * with a, b and d from those two sums. So a training step moves 6 values per activation: forward 1 write and 1 read;
 * backward it reads g, z and the input's z, and writes the input's g.
 *
 * A graph value that cannot be expressed like that (a batch norm after an activation, a value that is read both before
 * and after its batch norm) gets a copy step, whose output is a new raw tensor.
 *
 * Layers may share weights: struct plan_twin.
 *
 * Only nodes that a student may have are planned: OP_SOFTMAX and OP_LOG_SOFTMAX are STATUS_CONFIG errors that name the
 * node. Nodes that lead neither to the output nor to a retained node are left out; the gradients of their parameters
 * stay 0. Convolutions, linear layers and batch norms train all their weights; scale, PReLU, group and layer norm may
 * have constants instead, which are read from the state vector and never change.
 *
 * Losses on features: the tensor of a retained node is read by one more reader, the loss, as the logits are. It comes
 * first in backward: before the backward pass, the caller writes dL/d(completed value), or zeros, to the tensor's
 * gradient, and all of the plan's readers add to it. The tensor keeps its place in the gradient buffer for itself from
 * the start of the backward pass until the step that made the tensor has read it. The forward pass leaves only raw
 * values: to get the completed value of a retained tensor, apply scale, shift and activation. */
#ifndef SHARED_GRAPH_PLAN_H
#define SHARED_GRAPH_PLAN_H

#include "shared/graph/graph.h"
#include "shared/tensor/dtype.h"

enum step_kind {
    STEP_CONV,      /* a convolution that is none of the next two */
    STEP_POINTWISE, /* kernel 1 x 1, stride 1, no padding, one group: a matrix product over all pixels */
    STEP_DEPTHWISE, /* groups == channels in == channels out */
    STEP_LINEAR,    /* its input may be [c, h, w]: the weight's columns are in C, H, W order */
    STEP_MAX_POOL,
    STEP_AVERAGE_POOL,
    STEP_GLOBAL_AVERAGE_POOL,
    STEP_ADD,
    STEP_CONCAT,
    STEP_DROPOUT,
    STEP_COPY,
    STEP_MULTIPLY,
    STEP_SCALE,
    STEP_PRELU,
    STEP_SELECT,
    STEP_GROUP_NORM,
    STEP_LAYER_NORM,
    STEP_LP_NORM,
    STEP_PAD,
    STEP_RESIZE,
    STEP_QUANTISE, /* its weight is the range: in the state vector, but the step moves it */
    STEP_KIND_COUNT
};

#define PLAN_NONE ((size_t)-1)

/* Where a weight lies: in the parameter vector if it is trained, in the state vector if it is not (running statistics,
 * constants). An offset alone does not say which, so it never stands alone: weight_values and weight_gradient
 * (shared/training/training.h) are the way to a weight's numbers. */
struct plan_weight {
    size_t offset; /* PLAN_NONE: the step has no such weight */
    bool trained;
    size_t gradient; /* of trained weights: offset in the vector of gradients. Of the first layer that has the weight it
                      * is that of the weight; others have a twin behind the parameters */
    bool int8;       /* the layer sees it rounded: struct plan_rounding */
};

/* A trained weight that layers see rounded to 8 bits: rows of `row` numbers, which share a scale. At the start of a
 * forward pass the backend writes the rounded numbers to the same offset of another vector. Nothing is clipped, so the
 * rounded weight's gradient is the weight's. */
struct plan_rounding {
    size_t offset, rows, row;
};

/* A layer that shares a weight with an earlier one writes its gradient to a place of its own. After the backward pass
 * the backend adds gradient[from..from+count) to gradient[to..to+count), and sets the former to 0. */
struct plan_twin {
    size_t from, to, count;
};
static inline bool plan_has(struct plan_weight weight)
{
    return weight.offset != PLAN_NONE;
}

struct plan_batch_norm {
    int channels;
    struct plan_weight weight, bias; /* gamma, beta; trained */
    struct plan_weight running_mean, running_var;
    struct plan_weight layer_bias; /* the bias of the layer before, if it has one. It never enters the raw tensor (the
                                    * batch norm would take it away again), only the running mean; its gradient is
                                    * exactly 0 */
    size_t statistics;             /* offset of PLAN_STATISTICS * channels floats in the statistics vector, see below;
                                    * a multiple of 4, so that rows of quads of channels are aligned */
    float epsilon, momentum;
};

/* The rows of a batch norm's block of the statistics vector, each [channels]. */
enum {
    PLAN_SCALE, /* gamma / sqrt(var + epsilon) */
    PLAN_SHIFT, /* beta - mean * scale */
    PLAN_MEAN,
    PLAN_INVERSE_STD,
    PLAN_GRADIENT_A, /* dz = A * g + B * z + D */
    PLAN_GRADIENT_B,
    PLAN_GRADIENT_D,
    PLAN_STATISTICS
};

struct plan_tensor {
    const char *name;   /* of the graph node whose value the completed tensor is */
    int node;           /* that node */
    struct shape shape; /* stored NHWC: [batch, h, w, c] */
    size_t value;       /* offset in the value buffer, in elements */
    size_t gradient;    /* offset in the gradient buffer, which tensors share over time; PLAN_NONE for the input and for
                         * tensors that do not depend on a parameter */
    int batch_norm;     /* index into batch_norms, or -1 */
    enum activation activation;
    float alpha, beta; /* of the activation */
};

struct plan_input {
    int tensor;
    bool accumulate; /* backward: add to the gradient that a later reader has written */
    bool finish;     /* backward: apply act' and sum up for the batch norm */
};

struct plan_step {
    enum step_kind kind;
    int node;              /* the graph's node: its kernel, stride, dilation, groups, dropout */
    int pad_top, pad_left; /* of windows: the node's, plus that of an OP_PAD before a convolution */
    struct plan_input *inputs;
    int input_count;
    int output;
    struct plan_weight weight, bias; /* the bias is absent if a batch norm takes it */
    bool statistics;                 /* forward: the output's batch norm needs statistics */
};

/* Does the step have gradients of its own to make? */
static inline bool plan_step_learns(const struct plan_step *step)
{
    return (plan_has(step->weight) && step->weight.trained) || (plan_has(step->bias) && step->bias.trained);
}

struct plan {
    struct arena arena;
    const struct graph *graph; /* borrowed: must outlive the plan */
    int batch;
    enum dtype dtype; /* of values and gradients; the output's (the logits') are always float, and have enough memory
                       * for that */
    struct plan_tensor *tensors;
    int tensor_count;
    struct plan_step *steps; /* in forward order */
    int step_count;
    struct plan_batch_norm *batch_norms;
    int batch_norm_count;
    int input, output; /* tensors; the output (logits) has no epilogue, and shape [classes, 1, 1] */
    int *node_tensor;  /* [graph->node_count] the tensor whose completed value is the node's, or -1 (inside a chain) */
    size_t *weight_offset; /* [graph->weight_count] in the parameter vector (trained weights) or the state vector
                            * (running statistics) */
    size_t value_count, gradient_count; /* elements in the two activation buffers, for the whole batch */
    size_t parameter_count,
        state_count; /* floats: trained parameters in the graph's order and layout, and room for twins, which
                              * stay 0; running statistics, then constants, then ranges */
    struct plan_twin *twins;
    int twin_count;
    struct plan_rounding *roundings;
    int rounding_count;
    size_t running_count;    /* floats of the state vector before the constants */
    size_t range_count;      /* floats of the state vector after the constants: ranges of STEP_QUANTISE, which follow
                              * the values that they see */
    size_t statistics_count; /* floats */
};

struct plan_options {
    int batch;
    enum dtype dtype;    /* type in which activations and their gradients are stored */
    const int *retained; /* [retained_count] nodes whose completed value must be that of a tensor of its own (features
                          * for losses): no epilogue is attached across them */
    int retained_count;
    bool forward_only; /* no backward pass will follow: there are no gradients, and a value's memory is used again
                        * after its last reader. The input, the output and retained values last to the end */
};

/* STATUS_CONFIG: the message names the node that cannot be trained. */
enum status plan_compile(struct plan *plan, const struct graph *graph, const struct plan_options *options,
                         struct error *err);
void plan_release(struct plan *plan);

/* Copy the graph's weights into the two vectors, and back. Host memory. */
void plan_gather_weights(const struct plan *plan, const struct graph *graph, float *parameters, float *state);
void plan_scatter_weights(const struct plan *plan, struct graph *graph, const float *parameters, const float *state);

/* Bytes of float values of one image that are alive at once in a forward pass: what a device without a GPU has to hold.
 * A value lives from the step that makes it to the last one that reads it; a step's input and output are both alive. */
size_t plan_peak_bytes(const struct plan *plan);

/* The name of a kind of step: "pointwise". */
extern const char *const plan_step_names[STEP_KIND_COUNT];

/* What a training step of this plan costs for each image. Kernels that keep tensors on the chip from one step to the
 * next would move less. */
struct plan_cost {
    double operations; /* of convolutions and linear layers: two for each multiply, three times those of a forward pass
                        * but for the gradient of the images, which nobody needs */
    double values;     /* activations and their gradients that are moved: each tensor is written once and read five
                        * times (above), the images are read twice */
};
struct plan_cost plan_cost_of(const struct plan *plan);

/* Kernels that the CUDA backend launches for the passes of a training step, however many students are side by side. On
 * GPUs whose shared memory is too small for the largest pointwise convolutions in fp32 it is a few more. */
struct plan_launches {
    int forward, backward;
};
enum { PLAN_OTHER_LAUNCHES = 9 }; /* of a step with ce and kd: views (2), losses (4), optimiser (2), the end */
struct plan_launches plan_launches_of(const struct plan *plan);

/* A list of steps, tensors, offsets and bytes (`student_train inspect`). malloc'ed, the caller frees it; NULL: out of
 * memory. */
char *plan_describe(const struct plan *plan);

#endif
