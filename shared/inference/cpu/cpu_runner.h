/* A teacher's forward pass on the CPU, as engine_cpu.c calls it: by oneDNN, or by onnxruntime. */
#ifndef SHARED_INFERENCE_CPU_CPU_RUNNER_H
#define SHARED_INFERENCE_CPU_CPU_RUNNER_H

#include "shared/inference/engine.h"

/* Initialise it with zeros. */
struct cpu_runner {
    const void *ops; /* the library's table and its engine */
    void *engine;
    int samples; /* per run */
    /* Runs that many samples in the calling thread with the memory of a worker that no other thread is using. input:
     * [samples, h, w, c]; outputs[i] gets [samples, c, h, w]. */
    enum status (*run)(const struct cpu_runner *runner, int worker, const float *input, float *const *outputs,
                       struct error *err);
    void (*free)(const struct cpu_runner *runner);
    char description[96]; /* "oneDNN 2.6.3 AVX-512, fp32": before the comma is what the bits depend on */
};

/* For the threads of a device, each of which may run at the same time. The library is opened here: STATUS_CONFIG says
 * what is missing, or that onnxruntime cannot be held to one instruction set. */
enum status cpu_runner_onednn(struct cpu_runner *runner, const struct graph *graph, const int *outputs,
                              int output_count, const struct device *device, size_t memory_limit, struct error *err);
enum status cpu_runner_onnxruntime(struct cpu_runner *runner, const struct onnxruntime_model *model,
                                   const struct device *device, struct error *err);
void cpu_runner_release(struct cpu_runner *runner); /* a zeroed one is allowed */

#endif
