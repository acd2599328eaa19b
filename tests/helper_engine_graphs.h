/* Small graphs that together have every operator, in the shapes and combinations that engines of stage one are most
 * likely to get wrong. */
#ifndef TESTS_HELPER_ENGINE_GRAPHS_H
#define TESTS_HELPER_ENGINE_GRAPHS_H

#include "tests/helper_graphs.h"

/* Compares an engine with the reference on one graph. The caller of this function builds and releases the graph. */
typedef void engine_check(struct graph_builder *builder);

void engine_convolutions(engine_check *check);
void engine_pools(engine_check *check);
/* Each activation on the input, and fused into a convolution, an add, a batch norm and a linear layer. */
void engine_activations(engine_check *check);
void engine_combinations(engine_check *check);
void engine_perceptrons(engine_check *check);
/* The ways in which an add in place could go wrong: its other input is read later, is the layer's own input, is the
 * caller's memory, or has another layout. */
void engine_residuals(engine_check *check);

/* A random graph of 16 nodes, with much to fuse. The caller releases it. */
void engine_random_graph(struct graph_builder *builder, uint64_t seed);

#endif
