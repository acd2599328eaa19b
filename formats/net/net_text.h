/* .net files: a network as text, one layer per line. student_train/presets/README.md has the grammar.
 *
 *     conv stem 16 3x3 /2 pad 1 nobias
 *     bn
 *     relu
 *     dwpw block1 32 /2
 *     gap
 *     fc classifier classes
 *
 * A named layer's weights get PyTorch's state_dict names: stem.weight, stem.bias; a layer without a name gets one
 * from the last named layer: stem_bn, stem_relu. */
#ifndef FORMATS_NET_NET_TEXT_H
#define FORMATS_NET_NET_TEXT_H

#include "shared/graph/graph.h"

enum {
    NET_TEXT_LIMIT = 1 << 20,      /* bytes of a file */
    NET_TEXT_MAX_LAYERS = 2000,    /* lines that are layers */
    NET_TEXT_MAX_WEIGHTS = 1 << 27 /* floats in all */
};

/* What the file does not say. */
struct net_text_options {
    const char *path;   /* for messages: a file, or "preset dwpw" */
    int channels, size; /* of the input; an `input` line in the file must agree with both */
    int classes;        /* what the word `classes` stands for, and the size of the output */
};

/* Builds the graph (which is initialised here; on error it is released). Weights are zero until graph_initialise.
 * STATUS_BAD_DATA names the line; STATUS_CONFIG if input size or classes do not fit the options. */
enum status net_text_parse(struct graph *graph, const char *text, size_t size, const struct net_text_options *options,
                           struct error *err);

/* ---- between net_text.c (words of a line) and net_layers.c (nodes of a layer) ---- */
enum { NET_LINE_MAX_NAMES = NODE_MAX_INPUTS };

enum net_gate { NET_GATE_SIGMOID, NET_GATE_SILU, NET_GATE_HARD };

/* The words of one line by meaning; what the line does not say has the layer's default. */
struct net_line {
    int number; /* in the file, from 1 */
    const char *layer;
    const char *name;                      /* of the layer: its first word, or the word after `as`; NULL: not given */
    const char *names[NET_LINE_MAX_NAMES]; /* [name_count] values of add, concat, from */
    int name_count;
    int counts[3]; /* channels, height, width; or output channels */
    int count_count;
    int kernel_h, kernel_w, stride, pad, dilation, groups; /* kernel 0, stride 0, pad -1: not given */
    int bias;                                              /* 0, 1; -1: not given */
    bool ceil, linear;
    int first;                  /* channel of a selection */
    enum net_gate gate;         /* of squeeze and excitation */
    int squeeze;                /* a block's channels of squeeze and excitation; 0: none */
    bool noskip;                /* a block that does not add its input */
    enum activation activation; /* of a block; ACTIVATION_NONE: not given */
    float value;                /* slope of a LeakyReLU, probability, first value of a scale; < 0: not given */
    float epsilon, momentum;
};

struct net_builder {
    struct graph *graph;
    const struct net_text_options *options;
    int current;                   /* node that the next layer reads; -1 before the first */
    char last_name[NODE_MAX_NAME]; /* of the last named layer */
    size_t weights;                /* floats so far */
    int layers;
};

/* Layers by name.
 * words:   which words follow, in order: n name, c count, k kernel, x optional number, i channel from
 *          0 on, v one or more names of values
 * options: which options are allowed: / stride, p pad, d dilation, g groups, b bias and nobias, c ceil, a as, e eps and
 *          momentum, s eps, h silu and hard, t an activation, q se, n noskip, l linear */
struct net_layer {
    const char *name, *words, *options;
    const char *usage;
    /* Of `input` alone there may be no input node yet. */
    enum status (*build)(struct net_builder *builder, const struct net_line *line, struct error *err);
};
enum { NET_MAX_LAYER_KINDS = 64 };
extern const struct net_layer net_layers[];
extern const int net_layer_count;

/* Adds the input node if it is missing. */
enum status net_begin(struct net_builder *builder, int channels, int height, int width, struct error *err);

#endif
