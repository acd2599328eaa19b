/* A teacher's forward pass on a GPU, from rendered views in device memory to values in device memory. engine_cuda.c
 * renders the views, fetches the results, and calls the pass through this table.
 *
 * softcache_cudnn.so (../cudnn) exports such a table as TEACHER_CUDNN_SYMBOL. It is opened with library_symbol() when a
 * teacher is loaded, so that only teachers need cuDNN and cuBLASLt. ../plain has another one. This header includes no
 * header of CUDA. */
#ifndef SHARED_INFERENCE_CUDA_TEACHER_RUNNER_H
#define SHARED_INFERENCE_CUDA_TEACHER_RUNNER_H

#include "shared/base/error.h"
#include "shared/graph/graph.h"
#include "shared/tensor/dtype.h"
#include <stdbool.h>
#include <stddef.h>

struct teacher_runner;

struct teacher_runner_options {
    int batch;          /* samples per pass */
    const int *outputs; /* [output_count] node indices of the graph whose values are wanted */
    int output_count;
    enum precision precision;
    /* The folder where plans are kept between runs (created if missing), by layer, GPU and version of cuDNN. If it is
     * NULL or cannot be written, no plans are kept; then every layer takes the first plan that cuDNN proposes, so that
     * two runs give the same bits. */
    const char *plan_folder;
    /* Time cuDNN's first proposals for every layer and keep the fastest, if there is a folder to keep it in.
     * Microseconds decide which one wins, so two runs agree in every bit only as long as the folder is kept. */
    bool tune;
    size_t memory_limit; /* use at most so many bytes of device memory; 0: what is free */
};

/* A value in device memory: [batch, h, w, channels] with shape.c <= channels. Channels beyond shape.c hold anything. */
struct teacher_value {
    void *data;
    struct shape shape;
    int channels;
    enum dtype type;
    bool planes; /* outputs only: it is [batch, c, h, w], and channels is shape.c */
};

struct teacher_runner_ops {
    /* Folds the graph (borrowed during the call), converts and uploads the weights, plans every layer, allocates all
     * device memory on the current device, and runs one pass to load every kernel. stream: a cudaStream_t of that
     * device, on which everything runs. STATUS_BAD_DATA names an operator that is not supported and its node;
     * STATUS_CONFIG names a GPU or precision that is not supported, weights that fp16 cannot hold, or how much memory
     * is needed and how much is free. */
    enum status (*new)(struct teacher_runner **out, const struct graph *graph,
                       const struct teacher_runner_options *options, void *stream, struct error *err);
    /* Where views must be rendered, normalised, in the first shape.c channels. `new` sets it to zero; channels beyond
     * shape.c must stay finite (write zeros or nothing). */
    struct teacher_value (*input)(const struct teacher_runner *runner);
    /* Enqueues the pass over the batch, always the whole batch: a sample's values depend neither on its neighbours nor
     * on their number, so the caller ignores the results of samples that it has not rendered. It never waits and never
     * allocates, so it can be captured in a CUDA graph. */
    enum status (*run)(struct teacher_runner *runner, struct error *err);
    /* Where options->outputs[i] lies after a pass, until the next one. */
    struct teacher_value (*output)(const struct teacher_runner *runner, int i);
    /* "cuDNN 9.19, 20 of 20 convolutions planned, 1.2 GB": for the log; lives as long as the runner. */
    const char *(*describe)(const struct teacher_runner *runner);
    void (*free)(struct teacher_runner *runner); /* waits for the stream; NULL is allowed */
};

#define TEACHER_CUDNN_LIBRARY "softcache_cudnn.so"
#define TEACHER_CUDNN_SYMBOL "softcache_teacher_cudnn_1"

#endif
