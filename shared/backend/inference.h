/* Stage one's engine: runs a graph (a teacher) on batches and hands out any of its values.
 * CPU: oneDNN (shared/backend/cpu/inference_onednn.c). CUDA: cuDNN and cuBLASLt. */
#ifndef SHARED_BACKEND_INFERENCE_H
#define SHARED_BACKEND_INFERENCE_H

#include "shared/base/error.h"
#include "shared/graph/graph.h"

struct inference;

struct inference_options {
    int batch;   /* the largest batch that will be run */
    int threads; /* 0: all processors */
    const int
        *outputs; /* [output_count] node indices of `graph` whose values are wanted (logits and recorded features) */
    int output_count;
};

/* An engine: one per backend, listed in struct backend. */
struct inference_ops {
    /* The graph is borrowed during the call only; weights are folded and packed here. */
    enum status (*new)(struct inference **out, const struct graph *graph, const struct inference_options *options,
                       struct error *err);
    /* input: [count, h, w, c] float, normalised, count <= batch. outputs[i]: [count, c, h, w] float in PyTorch's order,
     * the caller's memory. The result for a sample does not depend on count or on its neighbours in the batch. */
    enum status (*run)(struct inference *inference, const float *input, int count, float *const *outputs,
                       struct error *err);
    void (*free)(struct inference *inference); /* NULL is legal */
};

#endif
