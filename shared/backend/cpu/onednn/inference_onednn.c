/* The CPU engine: folds the graph, makes the plan, and runs it on one sample at a time, on a pool of threads. oneDNN
 * itself runs single-threaded: samples are independent, so this scales better than its own OpenMP loops, never spins,
 * and is deterministic by construction.
 *
 * MobileNetV2 at 224x224 on 2 busy cores (AVX-512), images/s by samples in a primitive: 1: 149, 2: 136, 4: 121, 8: 109,
 * 32: 100. On the idle machine, one sample a primitive on two threads: 274; all samples in one, oneDNN's OpenMP on two
 * threads: 208 (73 with passive waiting). ResNet-18 does not care: 62 to 64. */
#include "shared/backend/cpu/inference_cpu.h"

#include "shared/backend/cpu/onednn/onednn_compile.h"
#include "shared/base/threads.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>

struct worker {
    unsigned char *arena;       /* [plan.arena_bytes] */
    dnnl_memory_t *memories;    /* [plan.tensor_count] */
    dnnl_exec_arg_t *arguments; /* [plan.argument_count] */
    dnnl_stream_t stream;
    struct error error;
};

struct inference {
    struct onednn_plan plan;
    struct thread_pool *pool;
    struct worker *workers; /* [worker_count] */
    int worker_count;
    int batch;
    int input;         /* tensor */
    size_t input_size; /* floats of a sample */
    int *outputs;      /* [output_count] tensors */
    size_t *output_sizes;
    int output_count;
};

static size_t shape_size(struct shape shape)
{
    return (size_t)shape.c * (size_t)shape.h * (size_t)shape.w;
}

/* ---- making ---- */

static enum status worker_init(struct worker *worker, const struct onednn_plan *plan, struct error *err)
{
    enum status status = STATUS_OK;
    void *arena = NULL;
    TRY(memory_new(&arena, plan->arena_bytes, 1, "the teacher's values", err));
    worker->arena = arena;
    worker->memories = calloc((size_t)plan->tensor_count, sizeof *worker->memories);
    worker->arguments = calloc((size_t)plan->argument_count, sizeof *worker->arguments);
    if (!worker->memories || !worker->arguments) {
        status = error_no_memory(err, (size_t)plan->argument_count * sizeof *worker->arguments, "the teacher's plan");
        goto cleanup;
    }
    TRY(onednn_status(dnnl_stream_create(&worker->stream, plan->engine, dnnl_stream_default_flags), "stream", err));
    for (int i = 0; i < plan->tensor_count; i++) {
        const struct storage *storage = &plan->storages[plan->tensors[i].storage];
        void *place = storage->kind == STORAGE_ARENA      ? worker->arena + storage->offset
                      : storage->kind == STORAGE_CONSTANT ? storage->data
                                                          : DNNL_MEMORY_NONE;
        TRY(onednn_status(dnnl_memory_create(&worker->memories[i], &plan->tensors[i].md, plan->engine, place), "memory",
                          err));
    }
    for (int i = 0; i < plan->argument_count; i++)
        worker->arguments[i] = (dnnl_exec_arg_t){plan->arguments[i].kind, worker->memories[plan->arguments[i].tensor]};
cleanup:
    return status;
}

static void worker_release(struct worker *worker, const struct onednn_plan *plan)
{
    for (int i = 0; worker->memories && i < plan->tensor_count; i++)
        if (worker->memories[i])
            dnnl_memory_destroy(worker->memories[i]);
    if (worker->stream)
        dnnl_stream_destroy(worker->stream);
    free(worker->memories);
    free(worker->arguments);
    memory_free(worker->arena);
}

static void inference_free(struct inference *inference)
{
    if (!inference)
        return;
    thread_pool_free(inference->pool);
    for (int i = 0; inference->workers && i < inference->worker_count; i++)
        worker_release(&inference->workers[i], &inference->plan);
    free(inference->workers);
    free(inference->outputs);
    free(inference->output_sizes);
    onednn_plan_release(&inference->plan);
    free(inference);
}

/* More threads than samples would have nothing to do. */
static enum status make_workers(struct inference *inference, int threads, struct error *err)
{
    enum status status = STATUS_OK;
    if (threads <= 0)
        threads = processor_count();
    inference->worker_count = threads < inference->batch ? threads : inference->batch;
    inference->workers = calloc((size_t)inference->worker_count, sizeof *inference->workers);
    if (!inference->workers)
        return error_no_memory(err, (size_t)inference->worker_count * sizeof *inference->workers, "threads");
    TRY(thread_pool_new(&inference->pool, inference->worker_count, err));
    for (int i = 0; i < inference->worker_count; i++)
        TRY(worker_init(&inference->workers[i], &inference->plan, err));
cleanup:
    return status;
}

/* The plan of the folded graph; names[output_count] are those of the outputs. */
static enum status make_plan(struct inference *inference, const struct graph *graph, const char *const *names,
                             struct error *err)
{
    enum status status = STATUS_OK;
    struct graph folded;
    int count = inference->output_count, *wanted = calloc((size_t)count, sizeof *wanted);
    if (!wanted)
        return error_no_memory(err, (size_t)count * sizeof *wanted, "the teacher's plan");
    status = graph_fold(graph, &folded, names, count, err);
    if (status != STATUS_OK) {
        free(wanted);
        return status;
    }
    for (int i = 0; i < count; i++) {
        wanted[i] = graph_find(&folded, names[i]);
        inference->output_sizes[i] = shape_size(folded.nodes[wanted[i]].shape);
    }
    inference->input_size = shape_size(folded.nodes[folded.input].shape);
    TRY(onednn_plan_init(&inference->plan, err));
    TRY(onednn_compile(&inference->plan, &folded, wanted, count, &inference->input, inference->outputs, err));
cleanup:
    graph_release(&folded);
    free(wanted);
    return status;
}

static enum status inference_new(struct inference **out, const struct graph *graph,
                                 const struct inference_options *options, struct error *err)
{
    enum status status = STATUS_OK;
    size_t count = (size_t)options->output_count;
    int openmp_threads = omp_get_max_threads();
    const char **names = calloc(count, sizeof *names);
    struct inference *inference = calloc(1, sizeof *inference);
    *out = NULL;
    if (options->batch < 1 || options->output_count < 1) {
        status = error_set(err, STATUS_INTERNAL, NULL, "a teacher needs a batch and an output");
        goto cleanup;
    }
    omp_set_num_threads(1); /* oneDNN plans for the number of threads that it sees now */
    if (inference) {
        inference->batch = options->batch;
        inference->output_count = options->output_count;
        inference->outputs = calloc(count, sizeof *inference->outputs);
        inference->output_sizes = calloc(count, sizeof *inference->output_sizes);
    }
    if (!names || !inference || !inference->outputs || !inference->output_sizes) {
        status = error_no_memory(err, count * sizeof *names, "the teacher");
        goto cleanup;
    }
    for (size_t i = 0; i < count; i++)
        names[i] = graph->nodes[options->outputs[i]].name;
    TRY(make_plan(inference, graph, names, err));
    TRY(make_workers(inference, options->threads, err));
    *out = inference;
    inference = NULL;
cleanup:
    omp_set_num_threads(openmp_threads);
    inference_free(inference);
    free(names);
    return status;
}

/* ---- running ---- */

struct run {
    struct inference *inference;
    const float *input;    /* [count, h, w, c] */
    float *const *outputs; /* [count, c, h, w] each */
};

static enum status run_steps(const struct onednn_plan *plan, const struct worker *worker, struct error *err)
{
    for (int i = 0; i < plan->step_count; i++) {
        const struct step *step = &plan->steps[i];
        if (!step->primitive) {
            int tensor = plan->arguments[step->first_argument].tensor;
            const struct storage *storage = &plan->storages[plan->tensors[tensor].storage];
            memset(worker->arena + storage->offset, 0, storage->bytes);
            continue;
        }
        dnnl_status_t result = dnnl_primitive_execute(step->primitive, worker->stream, step->argument_count,
                                                      worker->arguments + step->first_argument);
        if (result != dnnl_success)
            return onednn_status(result, step->name, err);
    }
    return onednn_status(dnnl_stream_wait(worker->stream), "stream", err);
}

static enum status run_sample(const struct run *run, int sample, const struct worker *worker, struct error *err)
{
    enum status status = STATUS_OK;
    const struct inference *inference = run->inference;
    const float *input = run->input + (size_t)sample * inference->input_size;
    /* The cast drops const: oneDNN has no memory that is only read. No step writes to the input. */
    TRY(onednn_status(dnnl_memory_set_data_handle(worker->memories[inference->input], (void *)(uintptr_t)input),
                      "input", err));
    for (int i = 0; i < inference->output_count; i++)
        TRY(onednn_status(dnnl_memory_set_data_handle(worker->memories[inference->outputs[i]],
                                                      run->outputs[i] + (size_t)sample * inference->output_sizes[i]),
                          "output", err));
    TRY(run_steps(&inference->plan, worker, err));
cleanup:
    return status;
}

static void run_task(void *context, int sample, int worker_index)
{
    const struct run *run = context;
    struct worker *worker = &run->inference->workers[worker_index];
    omp_set_num_threads(1); /* a setting of this thread only */
    if (worker->error.code == STATUS_OK)
        run_sample(run, sample, worker, &worker->error);
}

static enum status inference_run(struct inference *inference, const float *input, int count, float *const *outputs,
                                 struct error *err)
{
    struct run run = {inference, input, outputs};
    int openmp_threads = omp_get_max_threads();
    if (count < 0 || count > inference->batch)
        return error_set(err, STATUS_INTERNAL, NULL, "a batch of %d for a teacher planned for %d", count,
                         inference->batch);
    for (int i = 0; i < inference->worker_count; i++)
        inference->workers[i].error = (struct error){0};
    thread_pool_run(inference->pool, count, run_task, &run);
    omp_set_num_threads(openmp_threads);
    for (int i = 0; i < inference->worker_count; i++) {
        const struct error *error = &inference->workers[i].error;
        if (error->code != STATUS_OK)
            return error_set(err, error->code, error->path, "%s", error->message);
    }
    return STATUS_OK;
}

extern const struct inference_ops softcache_inference_onednn_1; /* INFERENCE_ONEDNN_SYMBOL */
const struct inference_ops softcache_inference_onednn_1 = {inference_new, inference_run, inference_free};
