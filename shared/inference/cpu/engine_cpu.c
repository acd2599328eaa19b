/* Brings threads, views and slots to the engine in softcache_onednn.so (shared/backend/cpu/onednn), which is opened
 * when the first teacher is loaded: oneDNN is 40 MB, and students need none of it. */
#include "shared/inference/cpu/engine_cpu.h"

#include "shared/device/cpu/cpu_device.h"
#include "shared/inference/onednn/onednn_engine.h"
#include "shared/base/library.h"
#include "shared/base/memory.h"

#include <stdlib.h>
#include <string.h>

/* What a thread needs for itself. */
struct worker {
    float *input;    /* [h, w, c] of a rendered view */
    uint8_t *pixels; /* [2, h, w, c] of it and its partner */
    float **outputs; /* [output_count] places of the sample in hand */
};

struct engine {
    const struct onednn_engine_ops *ops;
    struct onednn_engine *engine;
    struct thread_pool *pool; /* the device's */
    struct worker *workers;   /* [thread_pool_size] */
    int batch, slots, output_count;
    struct shape input;
    size_t input_size;    /* floats of a sample */
    size_t *output_sizes; /* [output_count] */
    float **outputs;      /* [slots][output_count], each [batch, c, h, w] */
};

static size_t shape_size(struct shape shape)
{
    return (size_t)shape.c * (size_t)shape.h * (size_t)shape.w;
}

static void inference_close(struct engine *inference)
{
    if (!inference)
        return;
    if (inference->engine)
        inference->ops->free(inference->engine);
    for (int i = 0; inference->workers && i < thread_pool_size(inference->pool); i++) {
        memory_free(inference->workers[i].input);
        memory_free(inference->workers[i].pixels);
        free(inference->workers[i].outputs);
    }
    for (int i = 0; inference->outputs && i < inference->slots * inference->output_count; i++)
        memory_free(inference->outputs[i]);
    free(inference->workers);
    free(inference->outputs);
    free(inference->output_sizes);
    free(inference);
}

static enum status choose_precision(enum precision wanted, enum precision *chosen, struct error *err)
{
    *chosen = PRECISION_FP32;
    if (wanted == PRECISION_AUTO || wanted == PRECISION_FP32)
        return STATUS_OK;
    return error_set(err, STATUS_CONFIG, NULL, "teachers compute in fp32 on the CPU: %s needs a GPU",
                     precision_name(wanted));
}

static enum status check_options(const struct engine_options *options, struct error *err)
{
    enum precision precision;
    if (options->batch < 1 || options->output_count < 1 || options->slots < 0)
        return error_set(err, STATUS_INTERNAL, NULL, "a teacher needs a batch and an output");
    return choose_precision(options->precision, &precision, err);
}

static enum status make_memory(struct engine *inference, const struct graph *graph, const int *outputs,
                               struct error *err)
{
    enum status status = STATUS_OK;
    int threads = thread_pool_size(inference->pool), count = inference->output_count;
    inference->workers = calloc((size_t)threads, sizeof *inference->workers);
    inference->output_sizes = calloc((size_t)count, sizeof *inference->output_sizes);
    inference->outputs = calloc((size_t)inference->slots * (size_t)count, sizeof *inference->outputs);
    if (!inference->workers || !inference->output_sizes || !inference->outputs)
        return error_no_memory(err, (size_t)count * sizeof *inference->outputs, "the teacher");
    for (int i = 0; i < threads; i++) {
        struct worker *worker = &inference->workers[i];
        worker->outputs = calloc((size_t)count, sizeof *worker->outputs);
        if (!worker->outputs)
            return error_no_memory(err, (size_t)count * sizeof *worker->outputs, "threads");
        TRY(memory_new((void **)&worker->input, inference->input_size, sizeof(float), "a view", err));
        TRY(memory_new((void **)&worker->pixels, size_mul(2, inference->input_size), 1, "a view", err));
    }
    for (int i = 0; i < count; i++)
        inference->output_sizes[i] = shape_size(graph->nodes[outputs[i]].shape);
    for (int i = 0; i < inference->slots * count; i++)
        TRY(memory_new((void **)&inference->outputs[i],
                       size_mul(inference->output_sizes[i % count], (size_t)inference->batch), sizeof(float),
                       "the teacher's answers", err));
cleanup:
    return status;
}

/* A machine without oneDNN, or a folder of `make dist` without it, is nothing strange: say what to do. */
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

static enum status inference_open(struct engine **out, struct device *device, const struct graph *graph,
                                  const struct engine_options *options, struct error *err)
{
    enum status status = STATUS_OK;
    struct engine *inference = NULL;
    *out = NULL;
    TRY(check_options(options, err));
    inference = calloc(1, sizeof *inference);
    if (!inference)
        return error_no_memory(err, sizeof *inference, "the teacher");
    inference->pool = device->pool;
    inference->batch = options->batch;
    inference->slots = options->slots ? options->slots : 1;
    inference->output_count = options->output_count;
    inference->input = graph->nodes[graph->input].shape;
    inference->input_size = shape_size(inference->input);
    TRY(make_memory(inference, graph, options->outputs, err));
    TRY(find_engine(&inference->ops, err));
    TRY(inference->ops->new (&inference->engine, graph, options->outputs, options->output_count,
                             thread_pool_size(inference->pool), err));
    *out = inference;
    inference = NULL;
cleanup:
    inference_close(inference);
    return status;
}

struct batch_run {
    struct engine *inference;
    const struct engine_batch *batch;
    float *const *outputs; /* [output_count], each [batch, c, h, w] */
};

static void render_sample(const struct engine *inference, const struct engine_batch *batch, int i,
                          const struct worker *worker)
{
    const struct view_picture own = {&batch->views[i], batch->levels[i], batch->level_counts[i]};
    const int size = inference->input.h;
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
    struct engine *inference = run->inference;
    const struct engine_batch *batch = run->batch;
    struct worker *worker = &inference->workers[index];
    const float *input = batch->input ? batch->input + (size_t)sample * inference->input_size : worker->input;
    if (!batch->input)
        render_sample(inference, batch, sample, worker);
    for (int i = 0; i < inference->output_count; i++)
        worker->outputs[i] = run->outputs[i] + (size_t)sample * inference->output_sizes[i];
    return inference->ops->run(inference->engine, index, input, worker->outputs, err);
}

static enum status inference_submit(struct engine *inference, int slot, const struct engine_batch *batch,
                                    struct error *err)
{
    struct batch_run run = {inference, batch, inference->outputs + slot * inference->output_count};
    if (batch->count < 0 || batch->count > inference->batch)
        return error_set(err, STATUS_INTERNAL, NULL, "a batch of %d for a teacher planned for %d", batch->count,
                         inference->batch);
    return thread_pool_try(inference->pool, batch->count, run_sample, &run, err);
}

static enum status inference_collect(struct engine *inference, int slot, const float **outputs, struct error *err)
{
    (void)err;
    for (int i = 0; i < inference->output_count; i++)
        outputs[i] = inference->outputs[slot * inference->output_count + i];
    return STATUS_OK;
}

static const char *inference_describe(const struct engine *inference)
{
    (void)inference;
    return "oneDNN, fp32";
}

const struct engine_ops engine_cpu = {
    .usual_batch = 32,
    .choose_precision = choose_precision,
    .open = inference_open,
    .submit = inference_submit,
    .collect = inference_collect,
    .describe = inference_describe,
    .close = inference_close,
};
