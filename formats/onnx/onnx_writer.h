/* The writer's state, shared by the onnx_write*.c files. Internal to onnx_write. */
#ifndef FORMATS_ONNX_ONNX_WRITER_H
#define FORMATS_ONNX_ONNX_WRITER_H

#include "shared/graph/graph.h"
#include "shared/quantise/int8_net.h"
#include <onnx/onnx.pb-c.h>

/* A model under construction. Everything is in the arena except the weights' data, which belong to the graph. Running
 * out of memory sets `failed`, which is reported once at the end. */
struct onnx_writer {
    const struct graph *graph;
    const struct int8_net *int8; /* the integers of the graph, which is int8->lowered->graph; or NULL */
    struct arena arena;
    Onnx__GraphProto model;
    const char **names; /* [node_count] tensor name of every node's value */
    int *ranks;         /* [node_count] 4: [batch, c, h, w]; 2: [batch, c] */
    bool failed;
};

void *onnx_writer_take(struct onnx_writer *writer, size_t count, size_t size); /* zeroed; NULL: failed */
char *onnx_writer_text(struct onnx_writer *writer, const char *text);          /* a copy */
/* `name` and `suffix`, followed by underscores until the name is new. */
char *onnx_writer_name(struct onnx_writer *writer, const char *name, const char *suffix);

/* Add an initialiser and return its name. name is taken over, data borrowed; the others are named after a node. */
const char *onnx_writer_tensor(struct onnx_writer *writer, char *name, int32_t type, const int64_t *dims, size_t rank,
                               const void *data, size_t bytes);
const char *onnx_writer_ints(struct onnx_writer *writer, const char *node, const char *suffix, const int64_t *values,
                             size_t count);
const char *onnx_writer_floats(struct onnx_writer *writer, const char *node, const char *suffix, const float *values,
                               size_t count);
const char *onnx_writer_scalar(struct onnx_writer *writer, const char *node, const char *suffix, float value);
/* The initialiser that was added last becomes a Constant node. */
void onnx_writer_make_constant(struct onnx_writer *writer);

/* A node with one output (taken over), and its attributes; NULL on failure, which the setters accept. */
Onnx__NodeProto *onnx_writer_node(struct onnx_writer *writer, const char *op, const char *name,
                                  const char *const *inputs, size_t input_count, char *output);
void onnx_writer_set_int(struct onnx_writer *writer, Onnx__NodeProto *node, const char *name, int64_t value);
void onnx_writer_set_float(struct onnx_writer *writer, Onnx__NodeProto *node, const char *name, float value);
void onnx_writer_set_ints(struct onnx_writer *writer, Onnx__NodeProto *node, const char *name, const int64_t *values,
                          size_t count);

void onnx_writer_set_string(struct onnx_writer *writer, Onnx__NodeProto *node, const char *name, const char *value);

/* Writes a node that opset 14 has no operator for as several, from x to output; false: it has one.
 * onnx_write_composed.c. */
bool onnx_write_composed(struct onnx_writer *writer, const struct node *node, const char *x, int rank, char *output);

/* Writes node i of the graph; its inputs must have been written. onnx_write_node.c. */
void onnx_write_node(struct onnx_writer *writer, int i);
/* Node i is the output and has the shape that is written, so that its last tensor is called "logits". */
bool onnx_writer_is_result(const struct onnx_writer *writer, int i);

/* ---- onnx_write_int8.c ---- */
/* All weights of the integer network, with the names that the nodes call them by. */
void onnx_write_int8_weights(struct onnx_writer *writer);
/* After node i: its value goes through the integers that it is stored as. */
void onnx_write_int8_value(struct onnx_writer *writer, int i);

#endif
