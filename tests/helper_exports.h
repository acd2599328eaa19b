/* Small graphs with random weights that together have every operator, for tests of engines and model files. */
#ifndef TESTS_HELPER_EXPORTS_H
#define TESTS_HELPER_EXPORTS_H

#include "shared/graph/graph.h"

/* Graphs from EXPORT_GRAPH_COUNT on have operators that ONNX opset 14 composes of others: they are checked against
 * PyTorch and onnxruntime. */
enum { EXPORT_GRAPH_COUNT = 5, EXPORT_HOME_COUNT = 7 };

const char *export_graph_name(int which);
/* Initialises *graph; fails the test on an error. The statistics of normalisations are not 0 and 1. */
void export_graph_make(struct graph *graph, int which);

/* Values between -2 and 2, which Python makes in the same way (tests/golden/make_onnx_models.py): element i is
 * noise(i) + noise(i / 777) with noise(k) = ((k * 2654435761 + 12345) mod 2^32) / 2^31 - 1. */
void export_fill(float *values, size_t count);
/* The reference's output for n samples of export_fill's values: [n * elements], the caller frees it. */
float *export_forward(const struct graph *graph, int node, int n);
size_t export_elements(const struct graph *graph, int node);

/* The largest difference divided by the largest expected magnitude; infinite if a value is not finite. */
double export_relative_error(const float *found, const float *expected, size_t count);

#endif
