/* Reads ONNX into a graph: image classifiers as PyTorch, timm and Keras export them.
 *
 * Operators: onnx_ops.c has the table, docs/onnx.md describes it; what cannot be expressed as a graph is an error
 * (STATUS_CONFIG). Opset 6 to 25. How the model arranges a value's dimensions: onnx_layout.h.
 * Only what the chosen output needs is read. Constants are folded: shapes that exporters compute, initialisers behind
 * Identity or Constant, transposed weights. Layers in training form (Dropout, BatchNormalization with training_mode)
 * are read as layers; the graph decides later what to do with them.
 *
 * Names: a node is named after the ONNX tensor that it computes, a weight after its initialiser. Identity, Cast and
 * the like add no node; if the output is one of them, its node takes the output's name. A weight whose name the
 * exporter has changed gets the one that it has in the module (onnx_names.c). */
#ifndef FORMATS_ONNX_ONNX_READ_H
#define FORMATS_ONNX_ONNX_READ_H

#include "shared/base/error.h"
#include "shared/graph/graph.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct onnx_read_options {
    int height, width;  /* used if the model's input size is dynamic; 0: then reading fails */
    const char *output; /* the output to read; NULL: the one named "logits", otherwise the first */
    /* The network is to be trained, and its weights go back to the module that was exported. Batch norms that the
     * exporter has fused into convolutions and linear layers become nodes again, where the file says which modules they
     * were (onnx_fused_norm.c; graph->restored_norms counts them). Buffers that stay as they are become weights that no
     * node reads. A trained number that the graph cannot train is refused. */
    bool student;
};

/* Fills *graph (initialised here; released on error). The input must be one float tensor [batch, c, h, w] (or
 * [batch, h, w, c] that is transposed immediately, or [batch, features]). options may be NULL. path is for messages.
 * The bytes are untrusted: STATUS_BAD_DATA for damaged files, STATUS_CONFIG for unsupported ones. */
enum status onnx_read(struct graph *graph, const uint8_t *bytes, size_t size, const char *path,
                      const struct onnx_read_options *options, struct error *err);
/* The same of a file, with the weights that lie in files beside it (onnx_file.h). */
enum status onnx_read_file(struct graph *graph, const char *path, const struct onnx_read_options *options,
                           struct error *err);

#endif
