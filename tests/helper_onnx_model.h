/* ONNX models written by hand, field by field: also such as no exporter writes. Failures are cmocka failures. */
#ifndef TESTS_HELPER_ONNX_MODEL_H
#define TESTS_HELPER_ONNX_MODEL_H

#include "tests/helper_protobuf.h"

/* An input or output of the graph (field GRAPH_INPUT or GRAPH_OUTPUT); a dim of 0 or less is dynamic. */
void model_put_value(struct proto *graph, int field, const char *name, int type, const int64_t *dims, int rank);
/* An initialiser with raw data. */
void model_put_tensor(struct proto *graph, const char *name, int type, const int64_t *dims, int rank, const void *data,
                      size_t bytes);
/* An initialiser of floats whose data lie in file `location`; offset and length (may be NULL) as texts. */
void model_put_external(struct proto *graph, const char *name, const int64_t *dims, int rank, const char *location,
                        const char *offset, const char *length);
/* A node called "the_node"; inputs are separated by spaces. */
void model_put_node(struct proto *graph, const char *op, const char *inputs, const char *output);
/* Wraps the graph (released) into a model. */
void model_make(struct proto *model, struct proto *graph, int opset);

#endif
