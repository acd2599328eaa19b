/* Norms of values. Internal to onnx_read. */
#ifndef FORMATS_ONNX_ONNX_NORMS_H
#define FORMATS_ONNX_ONNX_NORMS_H

#include "formats/onnx/onnx_reader.h"

/* The graph's norm over the dimensions gone[]: a layer norm over channels, or a group norm over height, width and
 * inner channels, with default epsilon. False if there is none. */
bool onnx_norm_node(const struct onnx_layout *layout, struct shape shape, const bool *gone, struct node *node);

#endif
