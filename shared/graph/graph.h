/* A network as a graph of operators with weights: teachers (from ONNX) and students (from .net text or ONNX) alike.
 *
 * A graph is a list of nodes in topological order. Every node has one output, known by the node's index, of one shape
 * per sample [channels, height, width] (a flat vector is [features, 1, 1]). The batch is not part of the graph.
 *
 * Weights are kept in PyTorch's layouts, so that state_dicts, safetensors and ONNX exchange them without a permutation:
 *   - convolution: weight [out, in/groups, kh, kw], bias [out];
 *   - batch norm: weight, bias, running_mean, running_var [c];
 *   - linear: weight [out, in] for an input flattened in C, H, W order (whatever layout a backend computes in), bias
 *     [out];
 *   - scale: weight and bias [c] or [c, h, w]; PReLU: weight [c] or [1]; group and layer norm: weight and bias [c]. */
#ifndef SHARED_GRAPH_GRAPH_H
#define SHARED_GRAPH_GRAPH_H

#include "shared/base/error.h"
#include "shared/base/memory.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum op {
    OP_INPUT,
    OP_CONV,       /* 2-d convolution: groups, stride, padding per side, dilation */
    OP_BATCH_NORM, /* y = (x - mean) / sqrt(var + epsilon) * weight + bias, per channel */
    OP_ACTIVATION, /* elementwise, see enum activation */
    OP_MAX_POOL,   /* padding counts as -infinity */
    OP_AVERAGE_POOL,
    OP_GLOBAL_AVERAGE_POOL, /* [c, h, w] -> [c, 1, 1] */
    OP_ADD,                 /* two or more inputs of equal shape */
    OP_MULTIPLY,            /* two inputs of equal shape, or the second is [c, 1, 1] (squeeze and excitation) or
                             * [1, h, w] (spatial attention) */
    OP_CONCAT,              /* along channels */
    OP_FLATTEN,             /* [c, h, w] -> [c*h*w, 1, 1] */
    OP_LINEAR,              /* fully connected, input [in, 1, 1] */
    OP_DROPOUT,             /* identity in inference */
    OP_PAD,                 /* around height and width, see enum pad_mode; negative padding crops */
    OP_SOFTMAX,             /* over channels; inference only (teacher_dump refuses teachers that give probabilities) */
    OP_LOG_SOFTMAX,         /* over channels; inference only. Log-probabilities are logits up to a shift */
    OP_SCALE,               /* y = x * weight + bias, one number per channel or per value; either may be absent */
    OP_PRELU,               /* y = x > 0 ? x : x * weight, one number per channel or one for all */
    OP_SELECT,              /* channel i of the output is channel channels[i] of the input: split, slice, shuffle */
    OP_GROUP_NORM, /* y = (x - mean) / sqrt(var + epsilon) * weight + bias with the mean and the biased variance
                    * of a sample's group of c / groups channels; instance norm: groups = c. Weight and bias may
                    * be absent */
    OP_LAYER_NORM, /* the same over the channels at every position (ConvNeXt's LayerNorm2d) */
    OP_LP_NORM,    /* y = x / max(norm, epsilon) over the channels at every position; alpha is 1 or 2 */
    OP_RESIZE,     /* height and width, see struct resize */
    OP_QUANTISE, /* fake quantisation, for training only: the values that 8 bits hold (int8_value.h). Its weight is the
                    * range [low, high], which never leaves [alpha, beta]; low > high: not known yet */
    OP_COUNT
};

enum activation {
    ACTIVATION_NONE,
    ACTIVATION_RELU,
    ACTIVATION_LEAKY_RELU,   /* x < 0 ? alpha * x : x */
    ACTIVATION_CLIP,         /* min(max(x, alpha), beta); ReLU6: alpha 0, beta 6 */
    ACTIVATION_HARD_SIGMOID, /* clip(alpha * x + beta, 0, 1) */
    ACTIVATION_HARD_SWISH,   /* x * clip(x / 6 + 0.5, 0, 1) */
    ACTIVATION_SIGMOID,
    ACTIVATION_SILU,      /* x * sigmoid(alpha * x); SiLU and Swish: alpha 1 */
    ACTIVATION_ELU,       /* x > 0 ? x : alpha * (exp(x) - 1) */
    ACTIVATION_SELU,      /* beta * elu(x) */
    ACTIVATION_CELU,      /* x > 0 ? x : alpha * (exp(x / alpha) - 1) */
    ACTIVATION_GELU,      /* x / 2 * (1 + erf(x / sqrt(2))) */
    ACTIVATION_GELU_TANH, /* x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x^3))) */
    ACTIVATION_MISH,      /* x * tanh(log(1 + exp(x))) */
    ACTIVATION_TANH,
    ACTIVATION_SOFTPLUS, /* log(1 + exp(x)) */
    ACTIVATION_SOFTSIGN, /* x / (1 + |x|) */
    ACTIVATION_ABS,
    ACTIVATION_COUNT
};

enum pad_mode {
    PAD_CONSTANT, /* with alpha */
    PAD_REFLECT,  /* mirrored at the outermost value, which is not repeated; smaller than the image */
    PAD_EDGE,     /* the outermost value is repeated */
    PAD_MODE_COUNT
};

enum resize_mode {
    RESIZE_LINEAR, /* between the two nearest values of each axis; outside, the outermost value */
    /* the value at the rounded source coordinate */
    RESIZE_NEAREST_FLOOR,
    RESIZE_NEAREST_CEIL,
    RESIZE_NEAREST_HALF_DOWN, /* to the nearest; x.5 goes down */
    RESIZE_NEAREST_HALF_UP,
    RESIZE_MODE_COUNT
};

/* One axis of a resize: output i is taken from source coordinate (i + before) / scale + after. All of ONNX's coordinate
 * transformations have this form; half_pixel: before 0.5, after -0.5. */
struct resize_axis {
    int size; /* of the output */
    double scale, before, after;
};

struct resize {
    enum resize_mode mode;
    struct resize_axis y, x;
};

/* A named weight tensor. The graph owns data. */
struct weight {
    const char *name; /* state_dict name, such as "conv1.weight" */
    float *data;
    int dims[4]; /* PyTorch's order; unused dims are 1 */
    int rank;
    size_t count;
    bool trained;        /* false for running_mean and running_var */
    const char *copy_of; /* the weight that this one is another name of, in the state_dict only; or NULL */
    bool literal; /* numbers of the network itself, such as a factor of 0.5: not trained, and not in a state_dict */
    bool int8;    /* layers see it rounded to 8 bits, with a scale for each of dims[0]: training only */
    /* The tensor's shape in the module's state_dict, where that is another one with the same values in the same order:
     * a linear layer on [n, h, w, c] is a 1x1 convolution here, and a scale of shape [c, 1, 1] a vector. Rank 0: dims.
     */
    int saved_dims[4], saved_rank;
};

struct shape {
    int c, h, w;
};

enum { NODE_MAX_INPUTS = 64, NODE_MAX_NAME = 200 };

struct node {
    enum op op;
    const char *name; /* unique; of an ONNX node the name of its output tensor, of a .net layer the layer's name */
    int *inputs;      /* [input_count] node indices, each smaller than this node's */
    int input_count;
    struct shape shape; /* of the output, per sample */

    /* convolution, pools, pad */
    int kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w;
    int pad_top, pad_left, pad_bottom, pad_right;
    int groups;
    bool count_include_pad; /* average pool: the divisor is the whole window */
    bool ceil_mode;         /* pools: the output size is rounded up */

    enum activation activation;
    float alpha, beta; /* of the activation; pad: the constant; lp_norm: p */
    float epsilon;     /* norms */
    float momentum;    /* batch norm, as in PyTorch: running = (1 - momentum) * running + momentum * batch */
    float dropout;     /* probability of zeroing */
    enum pad_mode pad_mode;
    struct resize resize;
    const int *channels; /* select: [channel_count] channels of the input; graph_add copies them */
    int channel_count;

    /* weights, or -1: index into graph->weights */
    int weight, bias, running_mean, running_var;
};

struct graph {
    struct arena arena;
    const char *name;
    struct node *nodes;
    int node_count;
    struct weight *weights;
    int weight_count;
    size_t node_capacity, weight_capacity;
    int input;          /* node index, OP_INPUT */
    int output;         /* node index of the logits */
    int folded_norms;   /* ONNX: layers into which the exporter has folded a batch norm; such a net trains worse */
    int restored_norms; /* ONNX: batch norms that the exporter had folded, and the reader has made nodes again */
};

/* A graph is a value: graph_init makes an empty one, graph_release frees what it holds. Functions that build return
 * STATUS_INTERNAL when out of memory, and STATUS_BAD_DATA or STATUS_CONFIG with the node's name if shapes do not fit.
 * */
void graph_init(struct graph *graph);
void graph_release(struct graph *graph);

/* A node with every field at its default (stride and dilation 1, groups 1, epsilon 1e-5, momentum 0.1, weights -1). */
struct node node_default(enum op op);

/* Appends a copy of *node with input_count inputs and the given name, infers its shape and checks it.
 * *index (may be NULL) gets the node's index. For OP_INPUT node->shape must be set. For OP_CONV and OP_LINEAR the
 * output channels come from weights[node->weight].dims[0]. */
enum status graph_add(struct graph *graph, const struct node *node, const char *name, const int *inputs,
                      int input_count, int *index, struct error *err);

/* Appends a weight tensor with zeroed data. *index gets its index. */
enum status graph_add_weight(struct graph *graph, const char *name, const int *dims, int rank, bool trained, int *index,
                             struct error *err);

/* Appends copies of all weights. */
enum status graph_copy_weights(const struct graph *from, struct graph *to, struct error *err);
/* The same nodes and weights with the same indices. *to is initialised here; on error it is released. */
enum status graph_copy(const struct graph *from, struct graph *to, struct error *err);

/* Removes the nodes without keep[], and the weights that only they read; indices change. A node that is kept must not
 * read one that is not; input and output must be kept. Not for graphs whose features are known by index. */
void graph_keep(struct graph *graph, const bool *keep);

/* An OP_PAD that a convolution can take as its own padding: zeros, and nothing is cropped. */
bool graph_pads_zeros(const struct node *node);

int graph_find(const struct graph *graph, const char *name);               /* node index or -1 */
int graph_find_weight(const struct graph *graph, const char *weight_name); /* weight index or -1 */
/* The weight itself, or the one that it is a copy of. */
const struct weight *graph_weight_source(const struct graph *graph, const struct weight *weight);
bool graph_reads_weight(const struct graph *graph, int weight); /* does a node? */

/* Number of trained parameters, as torchsummary counts them (without running statistics). */
size_t graph_parameter_count(const struct graph *graph);
/* Multiply-accumulates of one sample's forward pass (convolutions and linear layers). */
size_t graph_multiply_count(const struct graph *graph);

/* Number of nodes that read each node's output: counts[node_count]; the graph's output counts as one more reader. */
void graph_consumers(const struct graph *graph, int *counts);

/* PyTorch's default initialisation from (seed, weight index): convolution and linear weights and biases
 * uniform(-1/sqrt(fan_in), 1/sqrt(fan_in)) (kaiming_uniform with a = sqrt(5)); batch norm 1 and 0, running 0 and 1;
 * group and layer norm 1 and 0; PReLU 0.25. Scales and constants keep the values that they have. */
void graph_initialise(struct graph *graph, uint64_t seed);
/* One weight: uniform in [-bound, bound) from (seed, index). */
void graph_fill_uniform(struct weight *weight, uint64_t seed, int index, float bound);

/* The inference form of a graph: copies what the output and the retained nodes need, drops dropout, folds batch norms
 * and scales per channel into the convolution or linear layer before them, if nothing else reads the values between,
 * and every OP_PAD of zeros into the convolution that alone reads it. A folded layer takes the name of the last node
 * that it contains; other names stay. retained[retained_count]: nodes of `from` whose values must survive; folded[i] is
 * the node of `to` that has the value of retained[i]. *to is initialised here; on error it is released. */
enum status graph_fold(const struct graph *from, struct graph *to, const int *retained, int retained_count, int *folded,
                       struct error *err);

const char *op_name(enum op op);                         /* "conv", "batch_norm", ... */
const char *activation_name(enum activation activation); /* "relu", ... */

#endif
