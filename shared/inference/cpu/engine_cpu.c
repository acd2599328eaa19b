/* Brings threads, views and batches to the engine in softcache_onednn.so (../onednn), which is opened when the first
 * teacher is loaded: oneDNN has 40 MB, and students do not need it. */
#include "shared/inference/cpu/engine_cpu.h"

#include "shared/device/cpu/cpu_device.h"
#include "shared/inference/onednn/onednn_engine.h"
#include "shared/base/library.h"
#include "shared/base/memory.h"

#include <stdlib.h>
#include <string.h>

/* The memory of one thread. */
struct worker {
    float *input;    /* [h, w, c] of a rendered view */
    uint8_t *pixels; /* [2, h, w, c] of it and its partner */
    float **outputs; /* [output_count] where the outputs of the current sample go */
};

struct engine {
    const struct onednn_engine_ops *ops;
    struct onednn_engine *onednn;
    struct thread_pool *pool; /* the device's */
    struct worker *workers;   /* [thread_pool_size] */
    int batch, in_flight, output_count;
    struct shape input;
    size_t input_size;    /* floats of a sample */
    size_t *output_sizes; /* [output_count] */
    float **outputs;      /* [in_flight][output_count], each [batch, c, h, w] */
};

static size_t shape_size(struct shape shape)
{
    return (size_t)shape.c * (size_t)shape.h * (size_t)shape.w;
}

static void engine_close(struct engine *engine)
{
    if (!engine)
        return;
    if (engine->onednn)
        engine->ops->free(engine->onednn);
    for (int i = 0; engine->workers && i < thread_pool_size(engine->pool); i++) {
        memory_free(engine->workers[i].input);
        memory_free(engine->workers[i].pixels);
        free(engine->workers[i].outputs);
    }
    for (int i = 0; engine->outputs && i < engine->in_flight * engine->output_count; i++)
        memory_free(engine->outputs[i]);
    free(engine->workers);
    free(engine->outputs);
    free(engine->output_sizes);
    free(engine);
}

static enum status choose_precision(enum precision wanted, enum precision *chosen, struct error *err)
{
    *chosen = PRECISION_FP32;
    if (wanted == PRECISION_AUTO || wanted == PRECISION_FP32)
        return STATUS_OK;
    return error_set(err, STATUS_CONFIG, NULL, "teachers compute in fp32 on the CPU; %s needs a GPU",
                     precision_name(wanted));
}

static enum status check_options(const struct engine_options *options, struct error *err)
{
    enum precision precision;
    if (options->batch < 1 || options->output_count < 1 || options->in_flight < 0)
        return error_set(err, STATUS_INTERNAL, NULL, "a teacher needs a batch and an output");
    return choose_precision(options->precision, &precision, err);
}

static enum status make_memory(struct engine *engine, const struct graph *graph, const int *outputs, struct error *err)
{
    enum status status = STATUS_OK;
    int threads = thread_pool_size(engine->pool), count = engine->output_count;
    engine->workers = calloc((size_t)threads, sizeof *engine->workers);
    engine->output_sizes = calloc((size_t)count, sizeof *engine->output_sizes);
    engine->outputs = calloc((size_t)engine->in_flight * (size_t)count, sizeof *engine->outputs);
    if (!engine->workers || !engine->output_sizes || !engine->outputs)
        return error_no_memory(err, (size_t)count * sizeof *engine->outputs, "the teacher");
    for (int i = 0; i < threads; i++) {
        struct worker *worker = &engine->workers[i];
        worker->outputs = calloc((size_t)count, sizeof *worker->outputs);
        if (!worker->outputs)
            return error_no_memory(err, (size_t)count * sizeof *worker->outputs, "threads");
        TRY(memory_new((void **)&worker->input, engine->input_size, sizeof(float), "a view", err));
        TRY(memory_new((void **)&worker->pixels, size_mul(2, engine->input_size), 1, "a view", err));
    }
    for (int i = 0; i < count; i++)
        engine->output_sizes[i] = shape_size(graph->nodes[outputs[i]].shape);
    for (int i = 0; i < engine->in_flight * count; i++)
        TRY(memory_new((void **)&engine->outputs[i], size_mul(engine->output_sizes[i % count], (size_t)engine->batch),
                       sizeof(float), "the teacher's answers", err));
cleanup:
    return status;
}

/* A machine or a folder of `make dist` without oneDNN is normal, so the message says what to do. */
static enum status find_engine(const struct onednn_engine_ops **ops, struct error *err)
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

static enum status engine_open(struct engine **out, struct device *device, const struct graph *graph,
                               const struct engine_options *options, struct error *err)
{
    enum status status = STATUS_OK;
    struct engine *engine = NULL;
    *out = NULL;
    TRY(check_options(options, err));
    engine = calloc(1, sizeof *engine);
    if (!engine)
        return error_no_memory(err, sizeof *engine, "the teacher");
    engine->pool = device->pool;
    engine->batch = options->batch;
    engine->in_flight = options->in_flight ? options->in_flight : 1;
    engine->output_count = options->output_count;
    engine->input = graph->nodes[graph->input].shape;
    engine->input_size = shape_size(engine->input);
    TRY(make_memory(engine, graph, options->outputs, err));
    TRY(find_engine(&engine->ops, err));
    TRY(engine->ops->new (&engine->onednn, graph, options->outputs, options->output_count,
                          thread_pool_size(engine->pool), err));
    *out = engine;
    engine = NULL;
cleanup:
    engine_close(engine);
    return status;
}

struct batch_run {
    struct engine *engine;
    const struct engine_batch *batch;
    float *const *outputs; /* [output_count], each [batch, c, h, w] */
};

static void render_sample(const struct engine *engine, const struct engine_batch *batch, int i,
                          const struct worker *worker)
{
    const struct view_picture own = {&batch->views[i], batch->levels[i], batch->level_counts[i]};
    const int size = engine->input.h;
    if (!batch->mixes) {
        view_render_input(own.view, own.levels, own.level_count, size, batch->table, worker->pixels, worker->input);
        return;
    }
    const struct view_picture partner = {&batch->partner_views[i], batch->partner_levels[i],
                                         batch->partner_level_counts[i]};
    view_render_mixed(&batch->mixes[i], &own, &partner, size, batch->table, worker->pixels, worker->input);
}

static enum status run_sample(void *context, int sample, int index, struct error *err)
{
    const struct batch_run *run = context;
    struct engine *engine = run->engine;
    const struct engine_batch *batch = run->batch;
    struct worker *worker = &engine->workers[index];
    const float *input = batch->input ? batch->input + (size_t)sample * engine->input_size : worker->input;
    if (!batch->input)
        render_sample(engine, batch, sample, worker);
    for (int i = 0; i < engine->output_count; i++)
        worker->outputs[i] = run->outputs[i] + (size_t)sample * engine->output_sizes[i];
    return engine->ops->run(engine->onednn, index, input, worker->outputs, err);
}

static enum status engine_submit(struct engine *engine, int buffer, const struct engine_batch *batch, struct error *err)
{
    struct batch_run run = {engine, batch, engine->outputs + buffer * engine->output_count};
    if (batch->count < 0 || batch->count > engine->batch)
        return error_set(err, STATUS_INTERNAL, NULL, "a batch of %d, but the teacher was opened for at most %d",
                         batch->count, engine->batch);
    return thread_pool_try(engine->pool, batch->count, run_sample, &run, err);
}

static enum status engine_collect(struct engine *engine, int buffer, const float **outputs, struct error *err)
{
    (void)err;
    for (int i = 0; i < engine->output_count; i++)
        outputs[i] = engine->outputs[buffer * engine->output_count + i];
    return STATUS_OK;
}

static const char *engine_describe(const struct engine *engine)
{
    (void)engine;
    return "oneDNN, fp32";
}

const struct engine_ops engine_cpu = {
    .usual_batch = 32,
    .choose_precision = choose_precision,
    .open = engine_open,
    .submit = engine_submit,
    .collect = engine_collect,
    .describe = engine_describe,
    .close = engine_close,
};
