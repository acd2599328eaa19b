/* What softcache_onnxruntime.so exports: models that our own reader does not know, run by onnxruntime. It is built
 * everywhere and opened when such a model is loaded; libonnxruntime itself is looked for at run time, in this order:
 *   1. SOFTCACHE_ONNXRUNTIME: the file, or the folder that holds it;
 *   2. the loader's path;
 *   3. the Python package onnxruntime or onnxruntime-gpu (1.19 or newer) of the `python3` at hand, or of
 *      SOFTCACHE_PYTHON. */
#ifndef SHARED_INFERENCE_ONNXRUNTIME_ONNXRUNTIME_ENGINE_H
#define SHARED_INFERENCE_ONNXRUNTIME_ONNXRUNTIME_ENGINE_H

#include "shared/base/error.h"
#include "shared/inference/onnxruntime/onnxruntime_model.h"

struct onnxruntime_engine;

/* Device memory and stream of a GPU on which a model runs. */
struct onnxruntime_cuda {
    int device;           /* index of the GPU */
    void *stream;         /* a cudaStream_t of it */
    bool tf32;            /* may products of floats be rounded to tf32? */
    size_t memory_limit;  /* bytes of onnxruntime's own memory; 0: what is free */
    int runs;             /* so many runs of model->batch samples, one after the other, are one pass */
    void *input;          /* device memory: the inputs of all runs, as the model takes them */
    void *const *outputs; /* [model->output_count] device memory: the outputs of all runs, as the model gives them;
                             outputs that are the same tensor have the same memory */
};

struct onnxruntime_ops {
    /* Loads libonnxruntime. *version ("1.22.1") and *file live as long as the program. STATUS_CONFIG says where it was
     * looked for and what to install, or which version is needed. */
    enum status (*find)(const char **version, const char **file, struct error *err);
    /* Runs the model once on zeros, on the CPU and without optimisation, and fills in tensors[count] (all but their
     * names). The outputs of the model are ignored, but must include the tensors. STATUS_CONFIG with what onnxruntime
     * says if it cannot run the model, or that it needs more than model->memory. */
    enum status (*probe)(const struct onnxruntime_model *model, struct onnxruntime_tensor *tensors, int count,
                         struct error *err);
    /* The model (borrowed during the call) on the CPU. workers: how many runs there will be at the same time. Runs it
     * once on zeros, to see that all of them fit into model->memory: otherwise STATUS_CONFIG. */
    enum status (*new)(struct onnxruntime_engine **out, const struct onnxruntime_model *model, int workers,
                       struct error *err);
    /* Runs model->batch samples in the calling thread, with the memory of a worker (0 <= worker < workers) that no
     * other thread is using. input: [batch, h, w, c]; outputs[i] gets [batch, c, h, w]. */
    enum status (*run)(struct onnxruntime_engine *engine, int worker, const float *input, float *const *outputs,
                       struct error *err);
    /* The model on a GPU. STATUS_CONFIG if onnxruntime has no CUDA provider, or cannot load it. */
    enum status (*new_cuda)(struct onnxruntime_engine **out, const struct onnxruntime_model *model,
                            const struct onnxruntime_cuda *cuda, struct error *err);
    /* Enqueues a pass on the stream, from and to the memory that was given to new_cuda. */
    enum status (*run_cuda)(struct onnxruntime_engine *engine, struct error *err);
    void (*free)(struct onnxruntime_engine *engine); /* NULL is allowed */
};

#define ONNXRUNTIME_LIBRARY "softcache_onnxruntime.so"
#define ONNXRUNTIME_SYMBOL "softcache_onnxruntime_2" /* the name changes with the interface */

#endif
