/* What softcache_onednn.so exports: a teacher on the CPU, one sample at a time. engine_cpu.c opens it when the first
 * teacher is loaded, and brings the threads. */
#ifndef SHARED_INFERENCE_ONEDNN_ONEDNN_ENGINE_H
#define SHARED_INFERENCE_ONEDNN_ONEDNN_ENGINE_H

#include "shared/base/error.h"
#include "shared/graph/graph.h"

struct onednn_engine;

struct onednn_engine_ops {
    /* outputs: [output_count] node indices of the graph, which is borrowed during the call only. workers: how many
     * samples will be computed at the same time. avx2: with the kernels for AVX2, on every processor; STATUS_CONFIG if
     * this process has used others before. memory_limit: STATUS_CONFIG if the values of all workers take more bytes. */
    enum status (*new)(struct onednn_engine **out, const struct graph *graph, const int *outputs, int output_count,
                       int workers, bool avx2, size_t memory_limit, struct error *err);
    /* oneDNN's version and the instruction set of its kernels, "2.6.3 AVX-512". */
    void (*describe)(char text[48]);
    /* Computes one sample in the calling thread, with the memory of a worker (0 <= worker < workers) that no other
     * thread is using. input: [h, w, c]; outputs[i] gets [c, h, w]. */
    enum status (*run)(struct onednn_engine *engine, int worker, const float *input, float *const *outputs,
                       struct error *err);
    void (*free)(struct onednn_engine *engine); /* NULL is allowed */
};

#define ONEDNN_ENGINE_LIBRARY "softcache_onednn.so"
#define ONEDNN_ENGINE_SYMBOL "softcache_onednn_engine_3" /* the name changes with the interface */

#endif
