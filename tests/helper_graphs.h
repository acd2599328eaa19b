/* Networks with random weights, built in code, for tests and benchmarks. Every function appends one node to the graph,
 * with weights named after it, and returns its index. Names are "n0", "n1", ... If a graph cannot be built, the
 * functions abort. */
#ifndef TESTS_HELPER_GRAPHS_H
#define TESTS_HELPER_GRAPHS_H

#include "shared/base/random.h"
#include "shared/graph/graph.h"

struct graph_builder {
    struct graph graph;
    struct random_stream random; /* for weights and for whatever the test draws */
};

void build_init(struct graph_builder *builder, uint64_t seed, int c, int h, int w); /* with its input, node 0 */
void build_release(struct graph_builder *builder);

/* Any op without weights. The caller has set the fields of node. */
int build_add(struct graph_builder *builder, struct node node, const int *inputs, int input_count);
int build_add1(struct graph_builder *builder, struct node node, int input);
/* The caller has set kernel, stride, padding, dilation and groups in node. Weights are uniform with variance 2 /
 * fan_in. */
int build_conv_node(struct graph_builder *builder, struct node node, int input, int channels, bool bias);
int build_conv(struct graph_builder *builder, int input, int channels, int kernel, int stride, int padding, int groups);
int build_linear(struct graph_builder *builder, int input, int features);
int build_batch_norm(struct graph_builder *builder, int input);
/* A weight of the node that will be added next, and its index: centre + scale * uniform(-1, 1). kind: "weight". */
int build_weight(struct graph_builder *builder, const char *kind, const int *dims, int rank, float centre, float scale);
int build_activation(struct graph_builder *builder, int input, enum activation activation, float alpha, float beta);
int build_relu(struct graph_builder *builder, int input);
int build_op1(struct graph_builder *builder, enum op op, int input);
int build_op2(struct graph_builder *builder, enum op op, int first, int second);
int build_max_pool(struct graph_builder *builder, int input, int kernel, int stride, int padding);

/* Networks with the shapes of torchvision's, with batch norms. */
void build_resnet18(struct graph_builder *builder, uint64_t seed, int size, int classes);
void build_mobilenet_v2(struct graph_builder *builder, uint64_t seed, int size, int classes);

/* Uniform in [-1, 1). */
void build_fill(struct random_stream *random, float *values, size_t count);

#endif
