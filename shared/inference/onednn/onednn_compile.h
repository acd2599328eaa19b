/* From a graph to a plan: which nodes share a primitive, and the order of the steps. */
#ifndef SHARED_INFERENCE_ONEDNN_ONEDNN_COMPILE_H
#define SHARED_INFERENCE_ONEDNN_ONEDNN_COMPILE_H

#include "shared/inference/onednn/onednn_plan.h"

/* Fills plan (initialised, empty) with the steps that compute the nodes wanted[wanted_count] of the folded graph.
 * *input is the tensor of the input, [1, h, w, c]; outputs[i] is that of wanted[i], [1, c, h, w]. Both are memory of
 * the caller. */
enum status onednn_compile(struct onednn_plan *plan, const struct graph *graph, const int *wanted, int wanted_count,
                           int *input, int *outputs, struct error *err);

#endif
