/* The reader's state, shared by the onnx_*.c files that read: named values, attributes, and the results of operators.
 * Internal to onnx_read. */
#ifndef FORMATS_ONNX_ONNX_READER_H
#define FORMATS_ONNX_ONNX_READER_H

#include "formats/onnx/onnx_read.h"
#include "formats/onnx/onnx_tensor.h"
#include "shared/graph/graph.h"

/* Stands for the batch size in a shape, because it is unknown. */
#define ONNX_BATCH INT64_MIN

/* What an ONNX tensor name refers to. */
struct onnx_value {
    const char *name;
    enum { ONNX_UNDEFINED, ONNX_CONSTANT, ONNX_NODE } kind;
    bool needed; /* the chosen output depends on it */
    int maker;   /* the node of the model that computes it, by number in the file; -1: none */
    int readers; /* nodes that read it, plus one if it is an output of the model */

    /* of constants: an initialiser is decoded when it is first used */
    const Onnx__TensorProto *tensor; /* or NULL */
    struct onnx_array *array;        /* or NULL */
    int weight;                      /* the graph's weight with its values, or -1 */

    /* of computed values */
    int node;           /* of the graph */
    int rank;           /* 4: [batch, c, h, w]; 2: [batch, c] */
    bool channels_last; /* rank 4: it is [batch, h, w, c] in the model; the node's shape is still c, h, w */
};

struct onnx_reader {
    struct graph *graph;
    struct onnx_read_options options;
    struct error *err;
    const Onnx__GraphProto *model;
    int64_t opset;
    int64_t batch;      /* the input's batch size, 0 if it is symbolic */
    struct arena arena; /* decoded constants */
    size_t budget;      /* bytes that constants and weights may still use */

    struct onnx_value *values; /* [value_count] */
    size_t value_count;
    size_t *table; /* [table_size] value number + 1 by hash of the name, 0: empty */
    size_t table_size;
    const char *circle; /* a tensor that depends on itself, or NULL */

    const Onnx__NodeProto *op; /* the current operator */
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
/* STATUS_CONFIG with "Conv 'node' (output 'tensor'): ...". */
enum status onnx_refuse(struct onnx_reader *reader, const char *format, ...) __attribute__((format(printf, 2, 3)));

bool onnx_has_input(const struct onnx_reader *reader, size_t i);
struct onnx_value *onnx_input(const struct onnx_reader *reader, size_t i); /* defined before; NULL if absent */
/* Input i, which must be a value of the graph in [batch, c, h, w] or [batch, c] layout. */
enum status onnx_node_input(struct onnx_reader *reader, size_t i, const struct onnx_value **value);
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
/* The value's dims in the model, ONNX_BATCH first. */
void onnx_dims(const struct onnx_reader *reader, const struct onnx_value *value, int64_t dims[4]);

/* The name as the graph holds it: one of NODE_MAX_NAME bytes or more is replaced by a hash of it and its last part,
 * which tells deep modules apart. NULL: out of memory. */
const char *onnx_graph_name(struct onnx_reader *reader, const char *name);

/* ---- results of the current operator ---- */
/* A node of the graph computes output 0; rank is the result's. */
enum status onnx_emit(struct onnx_reader *reader, const struct node *node, const struct onnx_value *const *inputs,
                      int input_count, int rank);
/* Output 0 is the same as `value`, seen with another rank or layout. */
enum status onnx_alias(struct onnx_reader *reader, const struct onnx_value *value, int rank, bool channels_last);
enum status onnx_emit_constant(struct onnx_reader *reader, struct onnx_array *array);
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
/* The constant as a weight of the given dims (their product must be its count), created once per constant. */
enum status onnx_weight(struct onnx_reader *reader, struct onnx_value *value, const int *dims, int rank, bool trained,
                        int *index);
/* A new weight of zeros; a number is appended to the name if it is in use. */
enum status onnx_new_weight(struct onnx_reader *reader, const char *name, const int *dims, int rank, bool trained,
                            int *index);

/* ---- operators: onnx_ops.c lists them ---- */
typedef enum status onnx_operator(struct onnx_reader *reader);
/* Reads reader->op. */
enum status onnx_read_operator(struct onnx_reader *reader);
/* onnx_layers.c */
onnx_operator onnx_read_conv, onnx_read_batch_norm, onnx_read_gemm, onnx_read_matmul, onnx_read_scale_shift;
enum status onnx_window(struct onnx_reader *reader, struct node *node, struct shape in);
/* onnx_shapes.c */
onnx_operator onnx_read_flatten, onnx_read_reshape, onnx_read_squeeze, onnx_read_unsqueeze, onnx_read_transpose,
    onnx_read_shape, onnx_read_reduce_mean, onnx_read_pad;
/* for constant inputs: onnx_constant.c */
onnx_operator onnx_fold_constant, onnx_fold_identity, onnx_fold_cast, onnx_fold_filled;
/* onnx_fold_math.c */
onnx_operator onnx_fold_binary, onnx_fold_unary, onnx_fold_where, onnx_fold_expand, onnx_fold_range;
/* onnx_fold_reduce.c */
onnx_operator onnx_fold_reduce, onnx_fold_clip;
/* onnx_constant_layout.c */
onnx_operator onnx_fold_gather, onnx_fold_concat, onnx_fold_reshape, onnx_fold_squeeze, onnx_fold_unsqueeze,
    onnx_fold_slice, onnx_fold_transpose, onnx_fold_shape;

#endif
