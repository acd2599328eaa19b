/* A trained student as a list of simple layers on plain arrays: what is quantised, and what student.c is written from.
 *
 * Batch norms, scales and biases are parts of convolutions (a batch norm that no convolution can take becomes a
 * depthwise 1x1 convolution of its own), a linear layer is a convolution of one pixel, and a ReLU or clip belongs to
 * the layer before it. Maps are [height][width][channels] of one sample. All values lie in one arena; values that do
 * not live at the same time share places, and elementwise layers work in place where their input is not read again. */
#ifndef SHARED_QUANTISE_LOWERED_H
#define SHARED_QUANTISE_LOWERED_H

#include "shared/graph/graph.h"
#include "shared/quantise/window.h"

enum lowered_kind {
    LOWERED_CONV,
    LOWERED_DEPTHWISE, /* groups == channels in == channels out */
    LOWERED_ACTIVATION,
    LOWERED_ADD,
    LOWERED_MULTIPLY,
    LOWERED_MAX_POOL,
    LOWERED_AVERAGE_POOL,
    LOWERED_MEAN, /* global average pool */
    LOWERED_SELECT,
    LOWERED_CONCAT,
    LOWERED_PAD,
    LOWERED_KIND_COUNT
};

/* The kernels' names in shared/quantise/kernels, without _int8 and _float (an activation's is "table"). */
extern const char *const lowered_kernel_names[LOWERED_KIND_COUNT];

struct lowered_value {
    int node; /* of the graph, whose value it is */
    struct shape shape;
    size_t count;  /* c * h * w */
    size_t offset; /* in the arena, in values */
};

struct lowered_step {
    enum lowered_kind kind;
    int node; /* of the graph: the layer itself; the output's node may be the ReLU behind it */
    const int *inputs;
    int input_count, output; /* values */
    struct window window;    /* convolutions, pools, pad; the others: the shape of input and output */
    float low, high;         /* bounds of the output: -FLT_MAX and FLT_MAX if there are none */
    /* convolutions */
    float *weight; /* [out_c][kernel_h][kernel_w][in_c / groups] */
    float *packed; /* the same in the order of the float kernel: kernels/conv_float.inc, depthwise_float.inc */
    float *bias;   /* [out_c] */
    /* activation */
    enum activation activation;
    float alpha, beta;
    bool count_padding;           /* average pool */
    const uint16_t *channels;     /* select: [out_c] */
    int pixel_step, channel_step; /* multiply: kernels/multiply_int8.inc */
};

struct lowered {
    struct arena arena;
    struct graph graph; /* the folded graph, owned; nodes and values refer to it */
    struct lowered_value *values;
    struct lowered_step *steps; /* in order */
    int value_count, step_count, input, output;
    int *value_of;       /* [graph.node_count] value of a node, or -1 inside of a layer */
    size_t arena_values; /* size of the arena */
};

/* *lowered is initialised here; on error it is released. STATUS_CONFIG: the message names the layer that has no simple
 * form (group and layer norm, softmax, PReLU, resize, ...). */
enum status lowered_init(struct lowered *lowered, const struct graph *graph, struct error *err);
void lowered_release(struct lowered *lowered); /* accepts a zeroed struct */

/* Bytes of RAM that student.c in 8-bit integers needs for the values of one image: its arena. Errors as of
 * lowered_init. */
enum status lowered_int8_bytes(const struct graph *graph, size_t *bytes, struct error *err);

/* ---- lower_graph.c ---- */
/* The folded graph in which every batch norm and scale has become a convolution, every convolution and linear layer has
 * a bias, and no two share weights. *to is initialised here; on error it is released. */
enum status lower_graph(const struct graph *from, struct graph *to, struct error *err);

/* ---- lowered_run.c ---- */
/* Called after every step, and for the input first (step -1), with the value that it made. */
typedef void lowered_observer(void *context, int value, const float *data);
/* One sample in float. input [h, w, c]; arena [arena_values]; output [classes]; observer may be NULL. */
void lowered_run(const struct lowered *lowered, const float *input, float *arena, lowered_observer *observer,
                 void *context, float *output);

#endif
