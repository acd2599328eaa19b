/* A graph to ONNX: float32, operator set 14, batch size open ("batch"), input "input", output "logits".
 *
 * Layers stay as they are in the graph (batch norms are not folded). Initialisers have the weights' names, tensors the
 * nodes' names; where a name is taken it gets underscores. A flat output is [batch, classes]. onnx_read reads it back
 * to the same nodes, but for Flatten nodes before layers that need them. */
#ifndef FORMATS_ONNX_ONNX_WRITE_H
#define FORMATS_ONNX_ONNX_WRITE_H

#include "shared/base/error.h"
#include "shared/graph/graph.h"
#include <stddef.h>
#include <stdint.h>

/* *bytes is malloc'ed, the caller's. Equal graphs give equal bytes. STATUS_INTERNAL when out of memory, STATUS_CONFIG
 * for a model beyond protobuf's 2 GiB. */
enum status onnx_write(const struct graph *graph, uint8_t **bytes, size_t *size, struct error *err);

#endif
