/* Writes a graph as ONNX: float32, operator set 14, dynamic batch size ("batch"), input "input", output "logits".
 *
 * Layers stay as they are in the graph (batch norms are not folded). Initialisers have the names of weights, tensors
 * the names of nodes; underscores are appended to a name that is in use. A flat output is [batch, classes]. onnx_read
 * gives the same nodes again, except for Flatten nodes before layers that need them. */
#ifndef FORMATS_ONNX_ONNX_WRITE_H
#define FORMATS_ONNX_ONNX_WRITE_H

#include "shared/base/error.h"
#include "shared/graph/graph.h"
#include "shared/quantise/int8_net.h"
#include <stddef.h>
#include <stdint.h>

/* *bytes is malloc'ed; the caller frees it. Equal graphs give equal bytes. STATUS_INTERNAL when out of memory,
 * STATUS_CONFIG for a model larger than protobuf's 2 GiB. */
enum status onnx_write(const struct graph *graph, uint8_t **bytes, size_t *size, struct error *err);

/* The same with metadata_props, which onnxruntime shows as get_modelmeta().custom_metadata_map. Borrows the texts. */
struct onnx_metadata {
    const char *key, *value;
};
enum status onnx_write_described(const struct graph *graph, const struct onnx_metadata *metadata, size_t count,
                                 uint8_t **bytes, size_t *size, struct error *err);

/* A quantised network in QDQ form: QuantizeLinear and DequantizeLinear around every value, weights int8 with a scale
 * per output channel (axis 0), biases int32. Input and output stay float. */
enum status onnx_write_int8(const struct int8_net *net, const struct onnx_metadata *metadata, size_t count,
                            uint8_t **bytes, size_t *size, struct error *err);

#endif
