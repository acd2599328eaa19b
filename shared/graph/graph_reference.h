/* The executable specification of a graph in inference: plain loops, sums in double, never optimised. Every engine is
 * compared with it. */
#ifndef SHARED_GRAPH_GRAPH_REFERENCE_H
#define SHARED_GRAPH_GRAPH_REFERENCE_H

#include "shared/graph/graph.h"

/* Runs nodes 0..node on n samples and copies the value of `node` to output.
 * input [n, c, h, w] of the graph's input shape; output [n, c, h, w] of the node's shape (the caller's memory).
 * STATUS_INTERNAL when out of memory. */
enum status graph_forward_reference(const struct graph *graph, const float *input, int n, int node, float *output,
                                    struct error *err);

#endif
