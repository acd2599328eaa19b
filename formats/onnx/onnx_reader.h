/* The reader's state, shared by the onnx_*.c files that read: named values, attributes, and the results of operators.
 * Internal to onnx_read. */
#ifndef FORMATS_ONNX_ONNX_READER_H
#define FORMATS_ONNX_ONNX_READER_H

#include "formats/onnx/onnx_layout.h"
#include "formats/onnx/onnx_read.h"
#include "formats/onnx/onnx_tensor.h"
#include "shared/graph/graph.h"

enum { ONNX_MAX_TRACES = 6 };

/* A value whose elements are a function of the same elements of a node: see onnx_function.c. */
struct onnx_trace {
    int node;
    const double *samples;
};

/* What an ONNX tensor name refers to. ONNX_DEFERRED: the graph has no operator that computes it, but a pattern that
 * begins with it may be one (erf as a part of GELU). ONNX_COUNTED: numbers that are constant but for the size of the
 * batch, see onnx_counted.c. */
struct onnx_value {
    const char *name;
    enum { ONNX_UNDEFINED, ONNX_CONSTANT, ONNX_COUNTED, ONNX_NODE, ONNX_DEFERRED } kind;
    bool needed;        /* the chosen output depends on it */
    int maker;          /* the node of the model that computes it, by number; -1: none */
    int readers;        /* nodes that read it, plus one if it is an output of the model */
    bool follows_input; /* see is_channels_last */

    /* of constants: an initialiser is decoded when it is first used */
    const Onnx__TensorProto *tensor; /* or NULL */
    struct onnx_array *array;        /* or NULL */
    int weight;                      /* the graph's weight with its values, or -1 */
    const struct onnx_value *source; /* the initialiser that has the same numbers in another shape, or NULL */

    struct onnx_array *counted[2]; /* of counted values: with a batch of 1 and of 2 */

    /* of computed values */
    int node; /* of the graph; -1 of a deferred value */
    struct onnx_layout layout;
    const struct onnx_value *alias; /* the value that this is with another layout, or NULL */
    const struct onnx_value *whole; /* of a flattened value: what it was before, or NULL. A deferred one was flattened
                                       together with the batch */
    const char *reason;             /* of a deferred value: the message if nothing can use it */
    struct onnx_trace traces[ONNX_MAX_TRACES];
    int trace_count;
};

struct onnx_reader {
    struct graph *graph;
    struct onnx_read_options options;
    struct error *err;
    const Onnx__GraphProto *model;
    int64_t opset;
    int64_t batch;      /* the input's batch size, 0 if it is symbolic */
    struct arena arena; /* decoded constants */
    size_t budget;      /* bytes that constants, weights and lists of channels may still use */

    struct onnx_value *values; /* [value_count] */
    size_t value_count;
    size_t *table; /* [table_size] value number + 1 by hash of the name, 0: empty */
    size_t table_size;
    const char *circle; /* a tensor that depends on itself, or NULL */

    const Onnx__NodeProto *op; /* the current operator */
    size_t result;             /* which of its outputs is being made */
};

/* ---- values ---- */
struct onnx_value *onnx_find(const struct onnx_reader *reader, const char *name); /* or NULL */
/* Adds a name, which must be new. */
enum status onnx_define(struct onnx_reader *reader, const char *name, struct onnx_value **value);

/* Puts the model's nodes into an order in which each tensor is made before it is read. Nodes that are in such an order
 * stay as they are. onnx_order.c */
enum status onnx_sort_nodes(struct onnx_reader *reader);

/* ---- the current operator ---- */
const char *onnx_output_name(const struct onnx_reader *reader);
/* The value that it computes, by number `result`: it has a name, or nothing would need the operator. */
struct onnx_value *onnx_result(const struct onnx_reader *reader);
/* The node that computes a value, if that is this operator; NULL: another one, none, or no value (NULL). */
const Onnx__NodeProto *onnx_maker(const struct onnx_reader *reader, const struct onnx_value *value, const char *op);
/* STATUS_CONFIG with "Conv 'node' (output 'tensor'): ...". */
enum status onnx_refuse(struct onnx_reader *reader, const char *format, ...) __attribute__((format(printf, 2, 3)));

bool onnx_has_input(const struct onnx_reader *reader, size_t i);
struct onnx_value *onnx_input(const struct onnx_reader *reader, size_t i); /* defined before; NULL if absent */
/* Input i, computed or deferred, with its channels in any order. */
enum status onnx_any_input(struct onnx_reader *reader, size_t i, struct onnx_value **value);
/* Input i, which must be a value of the graph. Its channels are in the model's order (onnx_settle). */
enum status onnx_node_input(struct onnx_reader *reader, size_t i, struct onnx_value **value);
/* The same, and the model must see it as [batch, c, h, w]: then the node's shape is that of the model. */
enum status onnx_map_input(struct onnx_reader *reader, size_t i, struct onnx_value **value);
/* Input i, which must be constant. The array belongs to the reader. */
enum status onnx_constant_input(struct onnx_reader *reader, size_t i, const struct onnx_array **array);
/* Input i, which must be constant integers without ONNX_BATCH among them. */
enum status onnx_ints_input(struct onnx_reader *reader, size_t i, const struct onnx_array **array);
/* Input i, which must be one constant number; if absent, *number is unchanged. */
enum status onnx_number_input(struct onnx_reader *reader, size_t i, double *number);

const Onnx__AttributeProto *onnx_attribute(const struct onnx_reader *reader, const char *name); /* or NULL */
int64_t onnx_attribute_int(const struct onnx_reader *reader, const char *name, int64_t absent);
float onnx_attribute_float(const struct onnx_reader *reader, const char *name, float absent);
bool onnx_attribute_is(const struct onnx_reader *reader, const char *name, const char *text);
/* Attribute `name` or input i, whichever exists, as integers: opsets have axes and pads in either place. *ints is NULL
 * if both are absent. */
enum status onnx_attribute_or_input(struct onnx_reader *reader, const char *name, size_t i, const int64_t **ints,
                                    size_t *count);
/* An attribute of exactly `count` integers between low and INT_MAX; if absent, out[] is unchanged. */
enum status onnx_attribute_sizes(struct onnx_reader *reader, const char *name, int64_t low, int *out, size_t count);

struct shape onnx_shape(const struct onnx_reader *reader, const struct onnx_value *value);
/* The name as the graph holds it: one of NODE_MAX_NAME bytes or more is replaced by a hash of it and its last part,
 * which tells deep modules apart. That is written to text. */
const char *onnx_graph_name(const char *name, char text[NODE_MAX_NAME]);

/* ---- results of the current operator ---- */
/* A node of the graph computes the result, which the model sees in *layout. */
enum status onnx_emit(struct onnx_reader *reader, const struct node *node, const int *inputs, int input_count,
                      const struct onnx_layout *layout);
/* The layout of a result that was emitted becomes [batch, c, h, w]. */
void onnx_see_as_map(struct onnx_reader *reader);
/* The result is [batch, c, h, w]. */
enum status onnx_emit_map(struct onnx_reader *reader, const struct node *node, int input);
/* A node on the way to the result, named after it. */
enum status onnx_emit_helper(struct onnx_reader *reader, const struct node *node, const char *suffix, const int *inputs,
                             int input_count, int *index);
/* The result is the same as `value`, seen in another layout. */
void onnx_alias(struct onnx_reader *reader, const struct onnx_value *value, const struct onnx_layout *layout);
/* The result has no operator in the graph. Whoever needs its value is refused with the operator and `reason`. */
enum status onnx_defer(struct onnx_reader *reader, const struct onnx_layout *layout, const char *reason);
/* A value whose channels are in another order than the model's gets an OP_SELECT. STATUS_OK also if they cannot be
 * ordered: then the layout tells. onnx_settle.c */
enum status onnx_settle(struct onnx_reader *reader, struct onnx_value *value);
/* Repeats of one whole axis, on the place that it has in [batch, c, h, w] or [batch, c], are written out. STATUS_OK
 * also if there are others: then the layout tells. onnx_settle.c */
enum status onnx_write_repeats(struct onnx_reader *reader, struct onnx_value *value);
/* A node of the shape `to` that repeats node `from` along the axes where that has one element. */
enum status onnx_repeat(struct onnx_reader *reader, int from, struct shape to, int *node);
/* The result is channels[count] of a settled value's node. */
enum status onnx_emit_select(struct onnx_reader *reader, int node, const int *channels, int count,
                             const struct onnx_layout *layout);
void onnx_emit_constant(struct onnx_reader *reader, struct onnx_array *array);
/* Takes bytes from the budget before they are allocated for `what`; STATUS_BAD_DATA: a file of this size has no need of
 * so many. */
enum status onnx_spend(struct onnx_reader *reader, size_t bytes, const char *what);
/* A list of channels for an OP_SELECT, which the caller fills and frees. It and the graph's copy are within the budget.
 */
enum status onnx_channels_alloc(struct onnx_reader *reader, size_t count, int **channels);
/* Allocates array->count zeros (floats or ints, by is_float), within the budget. */
enum status onnx_array_alloc(struct onnx_reader *reader, struct onnx_array *array);
/* Output 0 is a copy of *like: it shares the data of *like, or gets zeroed data if *like has none. */
enum status onnx_emit_like(struct onnx_reader *reader, const struct onnx_array *like, struct onnx_array **out);
/* axes[count] as marks[ONNX_MAX_RANK]; negative ones count from the end. False if one is out of range or twice there.
 */
bool onnx_mark_axes(const int64_t *axes, size_t count, int rank, bool *marks);
size_t onnx_element_size(const struct onnx_array *array);
void *onnx_array_data(const struct onnx_array *array);
struct onnx_array onnx_without_data(const struct onnx_array *array);
/* The constant of a value, decoded once. */
enum status onnx_decode(struct onnx_reader *reader, struct onnx_value *value, const struct onnx_array **array);
/* The constant as a weight of the given dims (their product must be its count), created once per constant and name.
 * role: "weight", "bias" ..., for a constant without a name of its own; sibling: the layer's weight, or -1. */
enum status onnx_weight(struct onnx_reader *reader, struct onnx_value *value, const int *dims, int rank, bool trained,
                        const char *role, int sibling, int *index);
/* The name in the module's state_dict (onnx_names.c): the constant's, or what is written to text. */
enum { ONNX_WEIGHT_NAME = 2 * NODE_MAX_NAME };
const char *onnx_weight_name(const struct onnx_reader *reader, const struct onnx_value *value, const char *role,
                             int sibling, char text[ONNX_WEIGHT_NAME]);
/* A parameter of several modules, whose state_dict has it under the name of each: the current operator's module may
 * call the weight `own` otherwise. Then the graph gets a weight that no node reads, a copy of it. */
enum status onnx_note_other_name(struct onnx_reader *reader, const char *own, const char *role);
/* Whether a constant's name is the exporter's. */
bool onnx_is_made_up(const struct onnx_reader *reader, const struct onnx_value *value);
/* A new weight of zeros; a number is appended to the name if it is in use. */
enum status onnx_new_weight(struct onnx_reader *reader, const char *name, const int *dims, int rank, bool trained,
                            int *index);

/* ---- constants as numbers of a node: onnx_spread.c ---- */
/* A constant as the elements of a value see it, in the order of the value's node. */
struct onnx_spread {
    float *numbers; /* [count], in the reader's arena */
    size_t count;   /* c, or c * h * w */
    bool per_channel;
    bool in_order;      /* the numbers are the constant's own, in its order */
    size_t array_count; /* elements of the constant */
};
/* Constant input i, broadcast to a settled value, whose repeats are written out where the constant changes along them.
 * Refuses a constant that does not fit. */
enum status onnx_spread(struct onnx_reader *reader, size_t i, struct onnx_value *value, struct onnx_spread *spread);
/* The numbers as a weight [c] or [c, h, w]. If they are in order, it has the name of the parameter that they come from
 * and is saved in that one's shape; otherwise the name of the result and the suffix. */
enum status onnx_spread_weight(struct onnx_reader *reader, size_t i, const struct onnx_spread *spread,
                               struct shape shape, const char *suffix, bool trained, int sibling, int *weight);
/* A weight of c equal numbers, not trained. */
enum status onnx_uniform_weight(struct onnx_reader *reader, const char *suffix, double number, int c, int *weight);
/* A new weight named after the result: a literal. */
enum status onnx_derived_weight(struct onnx_reader *reader, const char *suffix, const int *dims, int rank, int *weight);
/* Such a weight is trained and saved after all. */
void onnx_train_weight(struct onnx_reader *reader, int weight);
/* Whether a constant, used under this name (NULL: its own), is a parameter of the module. The dynamo exporter lists
 * them. Otherwise it is one if it is an initialiser, perhaps reshaped. Some exporters write parameters as Constant
 * nodes; one of equal numbers is a literal, such as the weight 1 of a norm without weights. What the graph computes
 * from constants is none. */
bool onnx_is_parameter(const struct onnx_reader *reader, const struct onnx_value *value, const char *name);
/* The initialiser that has the numbers of a constant: itself, or one that was only reshaped; NULL: a literal. */
const struct onnx_value *onnx_parameter(const struct onnx_value *value);
/* The result, a constant, has the numbers of input 0 in their order. */
void onnx_keep_source(struct onnx_reader *reader);

/* ---- operators: onnx_ops.c lists them ---- */
typedef enum status onnx_operator(struct onnx_reader *reader);
/* Reads reader->op. */
enum status onnx_read_operator(struct onnx_reader *reader);
/* onnx_activations.c */
onnx_operator onnx_read_activation, onnx_read_selu, onnx_read_gelu, onnx_read_clip, onnx_read_thresholded_relu,
    onnx_read_piece, onnx_read_greater, onnx_read_where;
/* The result, whose traces are noted, is emitted if it is an activation. */
enum status onnx_finish_elementwise(struct onnx_reader *reader, const struct onnx_layout *layout, bool *done);
/* onnx_arithmetic.c */
onnx_operator onnx_read_arithmetic, onnx_read_sum, onnx_read_extreme, onnx_read_negative;
/* onnx_layers.c */
onnx_operator onnx_read_conv, onnx_read_gemm, onnx_read_matmul, onnx_read_prelu;
enum status onnx_window(struct onnx_reader *reader, struct node *node, struct shape in);
/* Constant input i as a vector of `count` weights; role as onnx_weight has it. */
enum status onnx_vector_input(struct onnx_reader *reader, size_t i, int count, bool trained, const char *role,
                              int sibling, int *index);
/* onnx_norms.c */
onnx_operator onnx_read_batch_norm, onnx_read_layer_norm, onnx_read_group_norm, onnx_read_instance_norm,
    onnx_read_lp_norm;
/* Whether the operator, a Mul or Div, ends a norm that is written in pieces: then it is emitted. */
enum status onnx_read_norm_pattern(struct onnx_reader *reader, bool *done);
/* onnx_pools.c */
onnx_operator onnx_read_pool, onnx_read_global_pool, onnx_read_softmax, onnx_read_dropout;
/* onnx_reduce.c */
onnx_operator onnx_read_reduce;
/* Input 0's dimensions that attribute `axes` or input 1 name. */
enum status onnx_reduced_axes(struct onnx_reader *reader, int rank, bool *axes);
/* onnx_shapes.c */
onnx_operator onnx_read_flatten, onnx_read_reshape, onnx_read_squeeze, onnx_read_unsqueeze, onnx_read_transpose,
    onnx_read_shape, onnx_read_expand, onnx_read_identity;
/* onnx_channels.c */
onnx_operator onnx_read_split, onnx_read_slice, onnx_read_gather, onnx_read_concat;
/* Dimension d of a value that attribute `axis` names; false: the batch, or out of range. */
bool onnx_find_axis(const struct onnx_reader *reader, const struct onnx_value *value, int64_t absent, int *d);
/* The result is elements first to first + count - 1 of dimension d of a value of the graph. */
enum status onnx_emit_piece(struct onnx_reader *reader, const struct onnx_value *value, int d, int64_t first,
                            int64_t count);
/* onnx_sequence.c */
onnx_operator onnx_read_sequence, onnx_read_sequence_at;
/* onnx_spatial.c */
onnx_operator onnx_read_pad, onnx_read_resize;
/* The whole samples of a value in new dimensions, without the batch. */
enum status onnx_reshape_samples(struct onnx_reader *reader, const struct onnx_value *value, const int64_t *dims,
                                 int rank);
/* onnx_counted.c: whether the operator's inputs are constant but for the batch; its result then, by the function that
 * folds constants; and Gather with such indices. */
bool onnx_is_counted(const struct onnx_reader *reader);
enum status onnx_fold_counted(struct onnx_reader *reader, onnx_operator *fold);
enum status onnx_read_strided(struct onnx_reader *reader);
/* for constant inputs: onnx_constant.c */
onnx_operator onnx_fold_constant, onnx_fold_identity, onnx_fold_cast, onnx_fold_filled;
/* onnx_fold_math.c */
onnx_operator onnx_fold_binary, onnx_fold_unary, onnx_fold_where, onnx_fold_expand, onnx_fold_range;
/* onnx_fold_reduce.c */
onnx_operator onnx_fold_reduce, onnx_fold_clip, onnx_fold_batch_norm;
/* onnx_constant_layout.c */
onnx_operator onnx_fold_gather, onnx_fold_concat, onnx_fold_reshape, onnx_fold_squeeze, onnx_fold_unsqueeze,
    onnx_fold_slice, onnx_fold_transpose, onnx_fold_shape;

#endif
