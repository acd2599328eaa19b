/* Runs a model on the CPU, one run per thread: onnxruntime itself computes in the calling thread. Samples are
 * independent, so nothing waits, results do not depend on the number of threads or on a sample's neighbours, and no
 * thread of onnxruntime spins beside those that render views. docs/measurements.md compares it with its own threads.
 *
 * On a GPU: ort_cuda.c. */
#include "shared/inference/onnxruntime/onnxruntime_engine.h"

#include "shared/base/memory.h"
#include "shared/inference/onnxruntime/ort_cuda.h"
#include "shared/inference/onnxruntime/ort_limit.h"
#include "shared/inference/onnxruntime/ort_probe.h"
#include "shared/inference/onnxruntime/ort_session.h"
#include "shared/inference/onnxruntime/ort_tensor.h"
#include <stdlib.h>
#include <string.h>

/* The memory of one thread. */
struct worker {
    void *input;               /* as the model takes it; NULL: the caller's floats are that already */
    void **scratch;            /* [output_count] as the model gives it; NULL: straight into the caller's memory */
    struct ort_value **values; /* [output_count] of the current run */
};

struct onnxruntime_engine {
    const struct ort_library *ort;
    struct ort_session *session;
    char *path;
    struct onnxruntime_tensor input;
    struct onnxruntime_tensor *outputs; /* [output_count] each tensor once */
    const char **names;                 /* [output_count] of them */
    int output_count;
    int *sources; /* [wanted_count] where each wanted output is among them: one may be wanted in several forms */
    int wanted_count;
    int batch;
    struct arena arena; /* names */
    struct worker *workers;
    int worker_count;
    struct ort_bindings *bindings; /* on a GPU, instead of workers */
};

static void engine_free(struct onnxruntime_engine *engine)
{
    if (!engine)
        return;
    for (int i = 0; engine->workers && i < engine->worker_count; i++) {
        struct worker *worker = &engine->workers[i];
        for (int k = 0; worker->scratch && k < engine->output_count; k++)
            memory_free(worker->scratch[k]);
        memory_free(worker->input);
        free(worker->scratch);
        free(worker->values);
    }
    ort_bindings_free(engine->bindings, engine->ort);
    if (engine->session)
        engine->ort->api.release_session(engine->session);
    free(engine->workers);
    free(engine->outputs);
    free(engine->names);
    free(engine->sources);
    arena_release(&engine->arena);
    free(engine);
}

/* ---- making ---- */

static enum status list_outputs(struct onnxruntime_engine *engine, const struct onnxruntime_model *model,
                                struct error *err)
{
    const size_t count = (size_t)model->output_count;
    engine->outputs = calloc(count, sizeof *engine->outputs);
    engine->names = calloc(count, sizeof *engine->names);
    engine->sources = calloc(count, sizeof *engine->sources);
    engine->wanted_count = model->output_count;
    if (!engine->outputs || !engine->names || !engine->sources)
        return error_no_memory(err, count * sizeof *engine->outputs, "the teacher");
    for (int i = 0; i < model->output_count; i++) {
        int k = 0;
        while (k < engine->output_count && strcmp(engine->names[k], model->outputs[i].name) != 0)
            k++;
        engine->sources[i] = k;
        if (k < engine->output_count)
            continue;
        engine->outputs[k] = model->outputs[i];
        engine->names[k] = arena_strdup(&engine->arena, model->outputs[i].name);
        if (!engine->names[k])
            return error_no_memory(err, strlen(model->outputs[i].name), "a name");
        engine->outputs[k].name = engine->names[k];
        engine->output_count++;
    }
    return STATUS_OK;
}

static enum status engine_begin(struct onnxruntime_engine **out, const struct onnxruntime_model *model,
                                const struct onnxruntime_cuda *cuda, struct error *err)
{
    enum status status = STATUS_OK;
    struct onnxruntime_engine *engine = calloc(1, sizeof *engine);
    *out = engine; /* the caller frees it, also after an error */
    if (!engine)
        return error_no_memory(err, sizeof *engine, "the teacher");
    TRY(ort_library(&engine->ort, err));
    engine->input = model->input;
    engine->batch = model->batch;
    engine->input.name = arena_strdup(&engine->arena, model->input.name);
    engine->path = arena_strdup(&engine->arena, model->path);
    if (!engine->input.name || !engine->path)
        FAIL(error_no_memory(err, strlen(model->path), "a name"));
    TRY(list_outputs(engine, model, err));
    TRY(ort_session_new(&engine->session, engine->ort, model, ORT_OPTIMIZE_ALL, cuda, err));
cleanup:
    return status;
}

static enum status worker_init(struct worker *worker, const struct onnxruntime_engine *engine, struct error *err)
{
    enum status status = STATUS_OK;
    const size_t count = (size_t)engine->output_count;
    const bool direct = engine->input.type == ONNXRUNTIME_FLOAT && engine->input.channels_last;
    worker->scratch = calloc(count, sizeof *worker->scratch);
    worker->values = calloc(count, sizeof *worker->values);
    if (!worker->scratch || !worker->values)
        return error_no_memory(err, count * sizeof *worker->values, "threads");
    if (!direct)
        TRY(memory_new(&worker->input, ort_tensor_bytes(&engine->input), 1, "a view", err));
    for (int i = 0; i < engine->output_count; i++)
        if (!ort_tensor_is_plain(&engine->outputs[i]))
            TRY(memory_new(&worker->scratch[i], ort_tensor_bytes(&engine->outputs[i]), 1, "the teacher's values", err));
cleanup:
    return status;
}

static enum status engine_make(struct onnxruntime_engine **out, const struct onnxruntime_model *model, int workers,
                               struct error *err)
{
    enum status status = STATUS_OK;
    struct onnxruntime_engine *engine = NULL;
    *out = NULL;
    TRY(engine_begin(&engine, model, NULL, err));
    engine->workers = calloc((size_t)workers, sizeof *engine->workers);
    if (!engine->workers)
        FAIL(error_no_memory(err, (size_t)workers * sizeof *engine->workers, "threads"));
    engine->worker_count = workers;
    for (int i = 0; i < workers; i++)
        TRY(worker_init(&engine->workers[i], engine, err));
    *out = engine;
    engine = NULL;
cleanup:
    engine_free(engine);
    return status;
}

/* ---- running on the CPU ---- */

/* Output k straight into the memory of the wanted output that shows it first, or into the thread's scratch. */
static void *place_of(const struct onnxruntime_engine *engine, const struct worker *worker, int k,
                      float *const *outputs)
{
    int wanted = 0;
    if (worker->scratch[k])
        return worker->scratch[k];
    while (engine->sources[wanted] != k)
        wanted++;
    return outputs[wanted];
}

/* Converts what needs it, and copies tensors that are wanted more than once. */
static void hand_out(const struct onnxruntime_engine *engine, const struct worker *worker, float *const *outputs)
{
    for (int i = 0; i < engine->wanted_count; i++) {
        const int k = engine->sources[i];
        const float *first = place_of(engine, worker, k, outputs);
        if (worker->scratch[k])
            ort_tensor_fetch(&engine->outputs[k], engine->batch, worker->scratch[k], outputs[i]);
        else if (outputs[i] != first)
            memcpy(outputs[i], first, ort_tensor_bytes(&engine->outputs[k]));
    }
}

static enum status engine_run(struct onnxruntime_engine *engine, int index, const float *input, float *const *outputs,
                              struct error *err)
{
    enum status status = STATUS_OK;
    const struct ort_library *ort = engine->ort;
    struct worker *worker = &engine->workers[index];
    struct ort_value *in = NULL;
    const struct ort_value *const *inputs = (const struct ort_value *const *)&in;
    if (worker->input)
        ort_tensor_fill(&engine->input, engine->batch, input, worker->input);
    /* The cast drops const because onnxruntime has no read-only tensors. It does not write to inputs. */
    TRY(ort_value_over(&in, ort, ort->host, &engine->input, worker->input ? worker->input : (void *)(uintptr_t)input,
                       engine->path, err));
    for (int k = 0; k < engine->output_count; k++)
        TRY(ort_value_over(&worker->values[k], ort, ort->host, &engine->outputs[k],
                           place_of(engine, worker, k, outputs), engine->path, err));
    TRY(ort_check(ort,
                  ort->api.run(engine->session, NULL, &engine->input.name, inputs, 1, engine->names,
                               (size_t)engine->output_count, worker->values),
                  engine->path, "running it", err));
    hand_out(engine, worker, outputs);
cleanup:
    if (in)
        ort->api.release_value(in);
    for (int k = 0; k < engine->output_count; k++) {
        if (worker->values[k])
            ort->api.release_value(worker->values[k]);
        worker->values[k] = NULL;
    }
    return status;
}

/* ---- within the memory that there is ---- */

/* Runs the model on zeros with the first worker, which may take its share of the memory. */
static enum status try_run(struct onnxruntime_engine *engine, struct ort_limit *limit, struct error *err)
{
    enum status status = STATUS_OK;
    const size_t count = (size_t)engine->wanted_count;
    void *input = NULL;
    void **outputs = calloc(count, sizeof *outputs);
    if (!outputs)
        return error_no_memory(err, count * sizeof *outputs, "the teacher's values");
    TRY(memory_new(&input, ort_tensor_count(&engine->input), sizeof(float), "a view", err));
    for (int i = 0; i < engine->wanted_count; i++)
        TRY(memory_new(&outputs[i], ort_tensor_count(&engine->outputs[engine->sources[i]]), sizeof(float),
                       "the teacher's values", err));
    ort_limit_share(limit, engine->worker_count);
    TRY(engine_run(engine, 0, input, (float *const *)outputs, err));
cleanup:
    for (size_t i = 0; i < count; i++)
        memory_free(outputs[i]);
    memory_free(input);
    free(outputs);
    return status;
}

static enum status engine_new(struct onnxruntime_engine **out, const struct onnxruntime_model *model, int workers,
                              struct error *err)
{
    struct ort_limit limit;
    struct error inner = {0};
    ort_limit_begin(&limit, model);
    enum status status = engine_make(out, model, workers, &inner);
    if (status == STATUS_OK)
        status = try_run(*out, &limit, &inner);
    status = ort_limit_end(&limit, status, &inner, model->path, workers, err);
    if (status != STATUS_OK) {
        engine_free(*out);
        *out = NULL;
    }
    return status;
}

/* ---- on a GPU: ort_cuda.c ---- */

static enum status engine_new_cuda(struct onnxruntime_engine **out, const struct onnxruntime_model *model,
                                   const struct onnxruntime_cuda *cuda, struct error *err)
{
    enum status status = STATUS_OK;
    struct onnxruntime_engine *engine = NULL;
    *out = NULL;
    TRY(engine_begin(&engine, model, cuda, err));
    TRY(ort_bindings_new(&engine->bindings, engine->ort, engine->session, model, cuda, err));
    *out = engine;
    engine = NULL;
cleanup:
    engine_free(engine);
    return status;
}

static enum status engine_run_cuda(struct onnxruntime_engine *engine, struct error *err)
{
    return ort_bindings_run(engine->bindings, engine->ort, engine->session, engine->path, err);
}

static enum status find(const char **version, const char **file, struct error *err)
{
    const struct ort_library *ort;
    const enum status status = ort_library(&ort, err);
    if (status == STATUS_OK) {
        *version = ort->version;
        *file = ort->file;
    }
    return status;
}

extern const struct onnxruntime_ops softcache_onnxruntime_2; /* ONNXRUNTIME_SYMBOL */
const struct onnxruntime_ops softcache_onnxruntime_2 = {.find = find,
                                                        .probe = ort_probe,
                                                        .new = engine_new,
                                                        .run = engine_run,
                                                        .new_cuda = engine_new_cuda,
                                                        .run_cuda = engine_run_cuda,
                                                        .free = engine_free};
