/* Stage one's engine on a GPU: the teacher's forward pass, from views in device memory to values in device memory.
 *
 * softcache_cudnn.so (shared/backend/cuda/cudnn) exports one such table as TEACHER_CUDNN_SYMBOL; it is opened with
 * library_symbol() when a teacher is loaded, so that only teachers need cuDNN and cuBLASLt. Whoever renders views and
 * fetches results (shared/backend/cuda) calls it through this header alone, and it includes no header of CUDA. */
#ifndef SHARED_INFERENCE_CUDA_TEACHER_RUNNER_H
#define SHARED_INFERENCE_CUDA_TEACHER_RUNNER_H

#include "shared/base/error.h"
#include "shared/graph/graph.h"
#include "shared/tensor/dtype.h"
#include <stdbool.h>
#include <stddef.h>

struct teacher_runner;

struct teacher_runner_options {
    int batch;          /* samples of every pass */
    const int *outputs; /* [output_count] node indices of the graph whose values are wanted */
    int output_count;
    enum precision precision;
    /* Where plans are kept between runs (created where missing), by layer, GPU and version of cuDNN; NULL, or a folder
     * that cannot be written: nowhere. Then every layer takes the first plan that cuDNN proposes, so that two runs give
     * the same bits. */
    const char *plan_folder;
    /* Time cuDNN's first proposals for every layer and keep the fastest, where there is a folder to keep it in. Which
     * one wins is a matter of microseconds: results of two runs agree in every bit only as long as the folder is kept.
     */
    bool tune;
    size_t memory_limit; /* bytes of device memory to use at most, 0: what is free */
};

/* A value in device memory: [batch, h, w, channels] with shape.c <= channels. Channels beyond shape.c hold anything. */
struct teacher_value {
    void *data;
    struct shape shape;
    int channels;
    enum dtype type;
};

struct teacher_runner_ops {
    /* Folds the graph (borrowed during the call), converts and uploads the weights, plans every layer, allocates all
     * device memory on the current device, and runs one pass to load every kernel. stream: a cudaStream_t of that
     * device, on which everything runs. STATUS_BAD_DATA names an operator that is not supported and its node;
     * STATUS_CONFIG a GPU or precision that cannot be had, weights that fp16 cannot hold, or how much memory was asked
     * for and is free. */
    enum status (*new)(struct teacher_runner **out, const struct graph *graph,
                       const struct teacher_runner_options *options, void *stream, struct error *err);
    /* Where views are to be rendered: normalised, shape.c channels used. Set to zero by new; channels beyond shape.c
     * must stay finite (write zeros, or leave them). */
    struct teacher_value (*input)(const struct teacher_runner *runner);
    /* Enqueues the whole pass over the batch. Always the whole batch: what a sample gives depends neither on its
     * neighbours nor on how many there are, so the caller ignores the results of samples it has not rendered. Never
     * waits and never allocates: it can be captured in a CUDA graph. */
    enum status (*run)(struct teacher_runner *runner, struct error *err);
    /* Where options->outputs[i] lies after a pass, until the next one. */
    struct teacher_value (*output)(const struct teacher_runner *runner, int i);
    /* "cuDNN 9.19, 20 of 20 convolutions planned, 1.2 GB": for the log; lives as long as the runner. */
    const char *(*describe)(const struct teacher_runner *runner);
    void (*free)(struct teacher_runner *runner); /* waits for the stream; NULL is legal */
};

#define TEACHER_CUDNN_LIBRARY "softcache_cudnn.so"
#define TEACHER_CUDNN_SYMBOL "softcache_teacher_cudnn_1"

#endif
