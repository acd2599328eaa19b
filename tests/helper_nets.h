/* Graphs in a few lines, for tests. Every function appends a node with its weights and returns its index; mistakes
 * abort. net_weights fills the weights. */
#ifndef TESTS_HELPER_NETS_H
#define TESTS_HELPER_NETS_H

#include "shared/graph/graph.h"

int net_input(struct graph *graph, int c, int h, int w);
/* Any node that has no weights. */
int net_node(struct graph *graph, const struct node *node, const int *inputs, int input_count);
struct net_window {
    int out, kernel, stride, pad, dilation, groups; /* 0: out as in; the others 1 */
    bool bias;
};
int net_conv(struct graph *graph, int from, struct net_window options);
int net_batch_norm(struct graph *graph, int from);
int net_activation(struct graph *graph, int from, enum activation activation, float alpha, float beta);
int net_relu(struct graph *graph, int from);
int net_conv_norm_relu(struct graph *graph, int from, struct net_window options);
int net_pool(struct graph *graph, int from, enum op op, int kernel, int stride, int pad);
int net_linear(struct graph *graph, int from, int out, bool bias); /* flattens first if needed */
int net_add(struct graph *graph, int a, int b);
int net_concat(struct graph *graph, int a, int b);
int net_multiply(struct graph *graph, int a, int b);
/* A scale, a PReLU or a norm. rank 0: one number for all channels; 1: one per channel; 3: one per value. */
int net_weighted(struct graph *graph, struct node node, int from, int rank, bool trained, bool bias);
int net_select(struct graph *graph, int from, const int *channels, int count);
/* Fills all weights and running statistics from a seed. Batch norms get scales near 1, and some negative ones. */
void net_weights(struct graph *graph, uint64_t seed);
/* values[count] uniform in [-1, 1) */
void net_fill(float *values, size_t count, uint64_t seed);

#endif
