/* A convolution and what is fused into it as a graph of cuDNN's operations. */
#ifndef SHARED_INFERENCE_CUDNN_CONV_GRAPH_H
#define SHARED_INFERENCE_CUDNN_CONV_GRAPH_H

#include "shared/inference/cudnn/conv_problem.h"
#include "shared/inference/cudnn/cudnn_descriptor.h"

/* The tensors' ids in a plan. */
enum conv_tensor { CONV_X = 1, CONV_W, CONV_BIAS, CONV_ADDEND, CONV_Y, CONV_VIRTUAL };

/* True if cuDNN has an operation for the activation. */
bool conv_graph_has(enum activation activation, float alpha, float beta);

/* y = activation(conv(x, w) + addend + bias), finished; owned by the set. */
descriptor conv_graph(struct descriptor_set *set, const struct conv_problem *problem);

#endif
