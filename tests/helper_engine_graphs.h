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

/* ---- operators that the libraries lack (helper_engine_operators.c) ---- */

/* Group, layer and Lp norms; scale and PReLU; products with [c, 1, 1] and [1, h, w]; select, pad and resize: each on
 * the input and between convolutions, in shapes from 1x1x1 on. */
void engine_norms(engine_check *check);
void engine_scales(engine_check *check);
void engine_gates(engine_check *check);
void engine_selects(engine_check *check);
void engine_pads(engine_check *check);
void engine_resizes(engine_check *check);
/* Norms of values that are all near 1000: for engines with float values. */
void engine_large_means(engine_check *check);

/* One of these at random, after node `input`; returns the last of its nodes. */
int engine_random_operator(struct graph_builder *builder, int input);

/* A random graph of 16 nodes, with much to fuse. The caller releases it. */
void engine_random_graph(struct graph_builder *builder, uint64_t seed);

#endif
