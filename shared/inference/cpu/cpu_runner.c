/* Opens the shared object of the library that computes, when a teacher is loaded: oneDNN has 40 MB, onnxruntime may be
 * missing, and students need neither. */
#include "shared/inference/cpu/cpu_runner.h"

#include "shared/base/library.h"
#include "shared/base/memory.h"
#include "shared/device/cpu/cpu_device.h"
#include "shared/inference/onednn/onednn_engine.h"
#include "shared/inference/onnxruntime/onnxruntime_engine.h"
#include <stdio.h>

void cpu_runner_release(struct cpu_runner *runner)
{
    if (runner->engine)
        runner->free(runner);
    *runner = (struct cpu_runner){0};
}

/* ---- oneDNN ---- */

/* A machine or a folder of `make dist` without oneDNN is normal, so the message says what to do. */
static enum status find_onednn(const struct onednn_engine_ops **ops, struct error *err)
{
    const void *symbol = NULL;
    struct error why = {0};
    enum status status = library_symbol(ONEDNN_ENGINE_LIBRARY, ONEDNN_ENGINE_SYMBOL, &symbol, &why);
    if (status != STATUS_OK)
        return error_set(err, status, why.path,
                         "a teacher on the CPU needs softcache_onednn.so and oneDNN (`make dist ONEDNN=1` carries "
                         "both): %s",
                         why.message);
    *ops = symbol;
    return STATUS_OK;
}

static enum status run_onednn(const struct cpu_runner *runner, int worker, const float *input, float *const *outputs,
                              struct error *err)
{
    const struct onednn_engine_ops *ops = runner->ops;
    return ops->run(runner->engine, worker, input, outputs, err);
}

static void free_onednn(const struct cpu_runner *runner)
{
    const struct onednn_engine_ops *ops = runner->ops;
    ops->free(runner->engine);
}

enum status cpu_runner_onednn(struct cpu_runner *runner, const struct graph *graph, const int *outputs,
                              int output_count, const struct device *device, size_t memory_limit, struct error *err)
{
    const struct onednn_engine_ops *ops;
    struct onednn_engine *engine;
    char version[48];
    enum status status = STATUS_OK;
    TRY(find_onednn(&ops, err));
    TRY(ops->new (&engine, graph, outputs, output_count, thread_pool_size(device->pool), device->deterministic,
                  memory_limit ? memory_limit : memory_available(), err));
    *runner = (struct cpu_runner){.ops = ops, .engine = engine, .samples = 1, .run = run_onednn, .free = free_onednn};
    ops->describe(version);
    snprintf(runner->description, sizeof runner->description, "oneDNN %s, fp32", version);
cleanup:
    return status;
}

/* ---- onnxruntime ---- */

static enum status run_onnxruntime(const struct cpu_runner *runner, int worker, const float *input,
                                   float *const *outputs, struct error *err)
{
    const struct onnxruntime_ops *ops = runner->ops;
    return ops->run(runner->engine, worker, input, outputs, err);
}

static void free_onnxruntime(const struct cpu_runner *runner)
{
    const struct onnxruntime_ops *ops = runner->ops;
    ops->free(runner->engine);
}

enum status cpu_runner_onnxruntime(struct cpu_runner *runner, const struct onnxruntime_model *model,
                                   const struct device *device, struct error *err)
{
    const void *symbol = NULL;
    const char *version, *file;
    struct onnxruntime_engine *engine;
    enum status status = STATUS_OK;
    if (device->deterministic)
        FAIL(error_set(
            err, STATUS_CONFIG, NULL,
            "--deterministic: onnxruntime, which runs this teacher, chooses instructions by itself and cannot be "
            "held to AVX2; leave the option out"));
    TRY(library_symbol(ONNXRUNTIME_LIBRARY, ONNXRUNTIME_SYMBOL, &symbol, err));
    const struct onnxruntime_ops *ops = symbol;
    TRY(ops->find(&version, &file, err));
    TRY(ops->new (&engine, model, thread_pool_size(device->pool), err));
    *runner = (struct cpu_runner){
        .ops = ops, .engine = engine, .samples = model->batch, .run = run_onnxruntime, .free = free_onnxruntime};
    snprintf(runner->description, sizeof runner->description, "onnxruntime %.40s %s, %s", version,
             cpu_arithmetic(cpu_isa_choose(NULL), DTYPE_FP32),
             model->input.type == ONNXRUNTIME_HALF ? "a float16 model" : "fp32");
cleanup:
    return status;
}
