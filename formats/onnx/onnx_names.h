/* What exporters say about the module that a node comes from, and batch norms that they have fused into other layers.
 * Internal to onnx_read. */
#ifndef FORMATS_ONNX_ONNX_NAMES_H
#define FORMATS_ONNX_ONNX_NAMES_H

#include "formats/onnx/onnx_reader.h"

/* Not terminated by 0; borrowed from the model. */
struct onnx_text {
    const char *text;
    size_t size;
};

/* The value of a key in a node's metadata_props. */
bool onnx_metadata(const Onnx__NodeProto *node, const char *key, struct onnx_text *value);
/* Of a list as Python prints it, ['a', 'b']: the text that is the `from_end`-th from the end, 0 or 1. */
bool onnx_metadata_part(const struct onnx_text *list, int from_end, struct onnx_text *part);
/* The path of the module that the node's metadata names, "features.0"; false without one. */
bool onnx_scope(const Onnx__NodeProto *node, char *path, size_t capacity);

/* What the module's state_dict has under this name. The dynamo exporter lists parameters and buffers; without a list,
 * nothing is known. */
enum onnx_state { ONNX_UNKNOWN, ONNX_PARAMETER, ONNX_BUFFER, ONNX_ABSENT };
enum onnx_state onnx_state_of(const struct onnx_reader *reader, const char *name);

/* The current operator, a convolution or linear layer, as a node with weight and bias, whose result has this layout. If
 * the exporter has fused a batch norm into it and says which, and the reader is asked to, the batch norm is a node
 * again: onnx_fused_norm.c. Otherwise it is counted in the graph's folded_norms. */
enum status onnx_emit_layer(struct onnx_reader *reader, const struct node *node, int input,
                            const struct onnx_layout *layout);

#endif
