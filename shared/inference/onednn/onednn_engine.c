/* The CPU engine: folds the graph, makes the plan, and runs it on one sample at a time, in the calling thread. oneDNN
 * itself runs on one thread: samples are independent, so this scales better than its own OpenMP loops, never spins, and
 * is deterministic by construction.
 *
 * MobileNetV2 at 224x224, images/s:
 *   2 busy cores (AVX-512), by samples per primitive: 149 with 1, 136 with 2, 121 with 4, 109 with 8, 100 with 32;
 *   2 idle cores: 274 with one sample per primitive on two threads, 208 with all samples in one primitive on oneDNN's
 *   OpenMP (73 with passive waiting).
 * For ResNet-18 it makes no difference: 62 to 64. */
#include "shared/inference/onednn/onednn_engine.h"

#include "shared/inference/onednn/onednn_compile.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct onednn_worker {
    unsigned char *arena;       /* [plan.arena_bytes] */
    dnnl_memory_t *memories;    /* [plan.tensor_count] */
    dnnl_exec_arg_t *arguments; /* [plan.argument_count] for primitives, */
    float **data;               /* [plan.argument_count] and for kernels of our own */
    dnnl_stream_t stream;
};

struct onednn_engine {
    struct onednn_plan plan;
    struct onednn_worker *workers; /* [worker_count] */
    int worker_count;
    int input;    /* tensor */
    int *outputs; /* [output_count] tensors */
    int output_count;
};

/* ---- making ---- */

/* Where a tensor lies; NULL if the caller brings it. */
static void *place_of(const struct onednn_worker *worker, const struct onednn_plan *plan, int tensor)
{
    const struct onednn_storage *storage = &plan->storages[plan->tensors[tensor].storage];
    return storage->kind == ONEDNN_ARENA      ? worker->arena + storage->life.offset
           : storage->kind == ONEDNN_CONSTANT ? storage->data
                                              : NULL;
}

static enum status worker_init(struct onednn_worker *worker, const struct onednn_plan *plan, struct error *err)
{
    enum status status = STATUS_OK;
    void *arena = NULL;
    TRY(memory_new(&arena, plan->arena_bytes, 1, "the teacher's values", err));
    worker->arena = arena;
    worker->memories = calloc((size_t)plan->tensor_count, sizeof *worker->memories);
    worker->arguments = calloc((size_t)plan->argument_count, sizeof *worker->arguments);
    worker->data = calloc((size_t)plan->argument_count, sizeof *worker->data);
    if (!worker->memories || !worker->arguments || !worker->data) {
        status = error_no_memory(err, (size_t)plan->argument_count * sizeof *worker->arguments, "the teacher's plan");
        goto cleanup;
    }
    TRY(onednn_status(dnnl_stream_create(&worker->stream, plan->engine, dnnl_stream_default_flags), "stream", err));
    for (int i = 0; i < plan->tensor_count; i++)
        TRY(onednn_status(
            dnnl_memory_create(&worker->memories[i], plan->tensors[i].md, plan->engine, place_of(worker, plan, i)),
            "memory", err));
    for (int i = 0; i < plan->argument_count; i++) {
        const int tensor = plan->arguments[i].tensor;
        worker->arguments[i] = (dnnl_exec_arg_t){plan->arguments[i].kind, worker->memories[tensor]};
        worker->data[i] = place_of(worker, plan, tensor);
    }
cleanup:
    return status;
}

static void worker_release(struct onednn_worker *worker, const struct onednn_plan *plan)
{
    for (int i = 0; worker->memories && i < plan->tensor_count; i++)
        if (worker->memories[i])
            dnnl_memory_destroy(worker->memories[i]);
    if (worker->stream)
        dnnl_stream_destroy(worker->stream);
    free(worker->memories);
    free(worker->arguments);
    free(worker->data);
    memory_free(worker->arena);
}

static void engine_free(struct onednn_engine *engine)
{
    if (!engine)
        return;
    for (int i = 0; engine->workers && i < engine->worker_count; i++)
        worker_release(&engine->workers[i], &engine->plan);
    free(engine->workers);
    free(engine->outputs);
    onednn_plan_release(&engine->plan);
    free(engine);
}

static enum status make_workers(struct onednn_engine *engine, int count, struct error *err)
{
    enum status status = STATUS_OK;
    engine->workers = calloc((size_t)count, sizeof *engine->workers);
    if (!engine->workers)
        return error_no_memory(err, (size_t)count * sizeof *engine->workers, "threads");
    engine->worker_count = count;
    for (int i = 0; i < count; i++)
        TRY(worker_init(&engine->workers[i], &engine->plan, err));
cleanup:
    return status;
}

/* The plan of the folded graph. outputs[output_count]: nodes of `graph`. */
static enum status make_plan(struct onednn_engine *engine, const struct graph *graph, const int *outputs,
                             struct error *err)
{
    enum status status = STATUS_OK;
    struct graph folded;
    const int count = engine->output_count;
    graph_init(&folded);
    int *wanted = calloc((size_t)count, sizeof *wanted); /* nodes of the folded graph */
    if (!wanted)
        return error_no_memory(err, (size_t)count * sizeof *wanted, "the teacher's plan");
    TRY(graph_fold(graph, &folded, outputs, count, wanted, err));
    TRY(onednn_plan_init(&engine->plan, err));
    TRY(onednn_compile(&engine->plan, &folded, wanted, count, &engine->input, engine->outputs, err));
cleanup:
    graph_release(&folded);
    free(wanted);
    return status;
}

/* The kinds of kernels for fp32: newer ones of a kind (VNNI, bf16, AMX) compute the same bits. */
static const char *instruction_set(void)
{
    const dnnl_cpu_isa_t isa = dnnl_get_effective_cpu_isa();
    return (isa & dnnl_cpu_isa_avx512_core) == dnnl_cpu_isa_avx512_core ? "AVX-512"
           : (isa & dnnl_cpu_isa_avx2) == dnnl_cpu_isa_avx2             ? "AVX2"
           : (isa & dnnl_cpu_isa_avx) == dnnl_cpu_isa_avx               ? "AVX"
                                                                        : "SSE4.1";
}

static void engine_describe(char text[48])
{
    const dnnl_version_t *version = dnnl_version();
    snprintf(text, 48, "%d.%d.%d %s", version->major, version->minor, version->patch, instruction_set());
}

/* oneDNN takes a limit only before it is first used. */
static enum status limit_to_avx2(struct error *err)
{
    dnnl_set_max_cpu_isa(dnnl_cpu_isa_avx2);
    if (strcmp(instruction_set(), "AVX2") == 0)
        return STATUS_OK;
    return error_set(err, STATUS_CONFIG, NULL, "--deterministic: oneDNN computes with %s and cannot be held to AVX2",
                     instruction_set());
}

/* Before anything is allocated: a model of a few bytes may have values of any size. */
static enum status check_memory(const struct onednn_plan *plan, int workers, size_t limit, struct error *err)
{
    const size_t needed = size_mul(plan->arena_bytes, (size_t)workers);
    if (needed <= limit)
        return STATUS_OK;
    return error_set(
        err, STATUS_CONFIG, NULL,
        "the teacher's values need %.1f GB (%d threads, %.1f GB each), but there may be %.1f GB: use fewer "
        "--threads, a smaller --size, or another --max-memory",
        1e-9 * (double)needed, workers, 1e-9 * (double)plan->arena_bytes, 1e-9 * (double)limit);
}

static enum status engine_new(struct onednn_engine **out, const struct graph *graph, const int *outputs,
                              int output_count, int workers, bool avx2, size_t memory_limit, struct error *err)
{
    enum status status = STATUS_OK;
    int openmp_threads = omp_get_max_threads();
    struct onednn_engine *engine = calloc(1, sizeof *engine);
    *out = NULL;
    if (!engine)
        return error_no_memory(err, sizeof *engine, "the teacher");
    omp_set_num_threads(1); /* oneDNN plans for the number of threads that it sees now */
    if (avx2)
        TRY(limit_to_avx2(err));
    engine->output_count = output_count;
    engine->outputs = calloc((size_t)output_count, sizeof *engine->outputs);
    if (!engine->outputs) {
        status = error_no_memory(err, (size_t)output_count * sizeof *engine->outputs, "the teacher");
        goto cleanup;
    }
    TRY(make_plan(engine, graph, outputs, err));
    TRY(check_memory(&engine->plan, workers, memory_limit, err));
    TRY(make_workers(engine, workers, err));
    *out = engine;
    engine = NULL;
cleanup:
    omp_set_num_threads(openmp_threads);
    engine_free(engine);
    return status;
}

/* ---- running ---- */

static enum status run_steps(const struct onednn_plan *plan, const struct onednn_worker *worker, struct error *err)
{
    for (int i = 0; i < plan->step_count; i++) {
        const struct onednn_step *step = &plan->steps[i];
        if (step->kernel) {
            step->kernel(step->setup, worker->data + step->first_argument);
            continue;
        }
        dnnl_status_t result = dnnl_primitive_execute(step->primitive, worker->stream, step->argument_count,
                                                      worker->arguments + step->first_argument);
        if (result != dnnl_success)
            return onednn_status(result, step->name, err);
    }
    return onednn_status(dnnl_stream_wait(worker->stream), "stream", err);
}

/* The caller's memory becomes the storage of a tensor, and of all that are views of it: a flattened input, say. */
static enum status set_memory(const struct onednn_plan *plan, const struct onednn_worker *worker, int tensor,
                              void *data, const char *what, struct error *err)
{
    enum status status = STATUS_OK;
    for (int i = 0; i < plan->tensor_count; i++)
        if (plan->tensors[i].storage == plan->tensors[tensor].storage)
            TRY(onednn_status(dnnl_memory_set_data_handle(worker->memories[i], data), what, err));
    for (int i = 0; i < plan->argument_count; i++)
        if (plan->tensors[plan->arguments[i].tensor].storage == plan->tensors[tensor].storage)
            worker->data[i] = data;
cleanup:
    return status;
}

static enum status engine_run(struct onednn_engine *engine, int index, const float *input, float *const *outputs,
                              struct error *err)
{
    enum status status = STATUS_OK;
    const struct onednn_worker *worker = &engine->workers[index];
    int openmp_threads = omp_get_max_threads();
    omp_set_num_threads(1); /* a setting of this thread only */
    /* The cast drops const because oneDNN has no read-only memory. No step writes to the input. */
    TRY(set_memory(&engine->plan, worker, engine->input, (void *)(uintptr_t)input, "input", err));
    for (int i = 0; i < engine->output_count; i++)
        TRY(set_memory(&engine->plan, worker, engine->outputs[i], outputs[i], "output", err));
    TRY(run_steps(&engine->plan, worker, err));
cleanup:
    omp_set_num_threads(openmp_threads);
    return status;
}

extern const struct onednn_engine_ops softcache_onednn_engine_3; /* ONEDNN_ENGINE_SYMBOL */
const struct onednn_engine_ops softcache_onednn_engine_3 = {engine_new, engine_describe, engine_run, engine_free};
