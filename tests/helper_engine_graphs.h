/* Small graphs that together have every operator, in the shapes and combinations where engines of stage one go wrong.
 */
#ifndef TESTS_HELPER_ENGINE_GRAPHS_H
#define TESTS_HELPER_ENGINE_GRAPHS_H

#include "tests/helper_graphs.h"

/* Compares an engine with the reference on one graph, which is built and released around it. */
typedef void engine_check(struct graph_builder *builder);

void engine_convolutions(engine_check *check);
void engine_pools(engine_check *check);
/* Each activation on the input, and fused into a convolution, an add, a batch norm and a linear layer. */
void engine_activations(engine_check *check);
void engine_combinations(engine_check *check);
/* The ways in which an add in place could go wrong: its other input is read later, is the layer's own input, is the
 * caller's memory, or is of another layout. */
void engine_residuals(engine_check *check);

/* A graph of 16 nodes, with much to fuse; to be released. */
void engine_random_graph(struct graph_builder *builder, uint64_t seed);

#endif
