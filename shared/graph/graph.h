/* A network as a graph of operators with weights: teachers (from ONNX) and students (from .net text or ONNX) alike.
 *
 * A graph is a list of nodes in topological order. Every node has one output, known by the node's index, of one shape
 * per sample [channels, height, width] (a flat vector is [features, 1, 1]). The batch is not part of the graph.
 *
 * Weights are kept in PyTorch's layouts, so that state_dicts, safetensors and ONNX exchange them without a permutation:
 *   - convolution: weight [out, in/groups, kh, kw], bias [out];
 *   - batch norm: weight, bias, running_mean, running_var [c];
 *   - linear: weight [out, in] for an input flattened in C, H, W order (whatever layout a backend computes in), bias
 *     [out]. */
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
    OP_MULTIPLY,            /* two inputs of equal shape, or the second [c, 1, 1] (squeeze and excitation) */
    OP_CONCAT,              /* along channels */
    OP_FLATTEN,             /* [c, h, w] -> [c*h*w, 1, 1] */
    OP_LINEAR,              /* fully connected, input [in, 1, 1] */
    OP_DROPOUT,             /* identity in inference */
    OP_PAD,                 /* zeros around height and width */
    OP_SOFTMAX,             /* over channels; inference only (teacher_dump refuses teachers that give probabilities) */
    OP_LOG_SOFTMAX,         /* over channels; inference only. Log-probabilities are logits up to a shift */
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
    ACTIVATION_COUNT
};

/* A named weight tensor. The graph owns data. */
struct weight {
    const char *name; /* state_dict name, such as "conv1.weight" */
    float *data;
    int dims[4]; /* PyTorch's order; unused dims are 1 */
    int rank;
    size_t count;
    bool trained; /* false for running_mean and running_var */
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
    float alpha, beta; /* of the activation */
    float epsilon;     /* batch norm */
    float momentum;    /* batch norm, as in PyTorch: running = (1 - momentum) * running + momentum * batch */
    float dropout;     /* probability of zeroing */

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
    int input;  /* node index, OP_INPUT */
    int output; /* node index of the logits */
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

/* The same nodes and weights with the same indices. *to is initialised here; on error it is released. */
enum status graph_copy(const struct graph *from, struct graph *to, struct error *err);

int graph_find(const struct graph *graph, const char *name);               /* node index or -1 */
int graph_find_weight(const struct graph *graph, const char *weight_name); /* weight index or -1 */

/* Number of trained parameters, as torchsummary counts them (without running statistics). */
size_t graph_parameter_count(const struct graph *graph);
/* Multiply-accumulates of one sample's forward pass (convolutions and linear layers). */
size_t graph_multiply_count(const struct graph *graph);

/* Number of nodes that read each node's output: counts[node_count]; the graph's output counts as one more reader. */
void graph_consumers(const struct graph *graph, int *counts);

/* PyTorch's default initialisation from (seed, weight index): convolution and linear weights and biases
 * uniform(-1/sqrt(fan_in), 1/sqrt(fan_in)) (kaiming_uniform with a = sqrt(5)); batch norm 1 and 0, running 0 and 1. */
void graph_initialise(struct graph *graph, uint64_t seed);
/* One weight: uniform in [-bound, bound) from (seed, index). */
void graph_fill_uniform(struct weight *weight, uint64_t seed, int index, float bound);

/* The inference form of a graph: copies `from`, drops dropout, folds every batch norm whose input is a convolution (or
 * linear layer) with no other reader into that layer's weights and bias, and every OP_PAD into the convolution that
 * alone reads it. A folded layer takes the batch norm's name; other names stay.
 * retained[retained_count]: nodes of `from` whose values must survive; folded[i] is the node of `to` that has the value
 * of retained[i]. *to is initialised here; on error it is released. */
enum status graph_fold(const struct graph *from, struct graph *to, const int *retained, int retained_count, int *folded,
                       struct error *err);

const char *op_name(enum op op);                         /* "conv", "batch_norm", ... */
const char *activation_name(enum activation activation); /* "relu", ... */

#endif
