/* Networks with random weights, built in code, for tests and benchmarks. Every function appends one node to the graph,
 * with weights named after it, and returns its index; names are "n0", "n1", ... A graph that cannot be built aborts. */
#ifndef TESTS_HELPER_NETWORKS_H
#define TESTS_HELPER_NETWORKS_H

#include "shared/base/random.h"
#include "shared/graph/graph.h"

struct network {
    struct graph graph;
    struct random_stream random; /* of weights and of whatever the test draws */
};

void network_init(struct network *network, uint64_t seed, int c, int h, int w); /* with its input, node 0 */
void network_release(struct network *network);

/* Any op without weights; fields of node as the caller set them. */
int network_add(struct network *network, struct node node, const int *inputs, int input_count);
int network_add1(struct network *network, struct node node, int input);
/* node: kernel, stride, padding, dilation, groups as the caller set them. Weights uniform with variance 2 / fan_in. */
int network_conv_node(struct network *network, struct node node, int input, int channels, bool bias);
int network_conv(struct network *network, int input, int channels, int kernel, int stride, int padding, int groups);
int network_linear(struct network *network, int input, int features);
int network_batch_norm(struct network *network, int input);
int network_activation(struct network *network, int input, enum activation activation, float alpha, float beta);
int network_relu(struct network *network, int input);
int network_op1(struct network *network, enum op op, int input);
int network_op2(struct network *network, enum op op, int first, int second);
int network_max_pool(struct network *network, int input, int kernel, int stride, int padding);

/* The shapes of torchvision's networks, with batch norms. */
void network_resnet18(struct network *network, uint64_t seed, int size, int classes);
void network_mobilenet_v2(struct network *network, uint64_t seed, int size, int classes);

/* Uniform in [-1, 1). */
void network_fill(struct random_stream *random, float *values, size_t count);

#endif
