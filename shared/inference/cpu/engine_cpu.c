/* Brings threads, views and batches to the library that computes (cpu_runner.h). Every thread renders its own views and
 * runs the teacher on them, so that no thread waits for another. */
#include "shared/inference/cpu/engine_cpu.h"

#include "shared/base/interrupt.h"
#include "shared/base/memory.h"
#include "shared/device/cpu/cpu_device.h"
#include "shared/inference/cpu/cpu_runner.h"

#include <stdlib.h>
#include <string.h>

/* The memory of one thread. */
struct worker {
    float *input;    /* [samples, h, w, c] of rendered views */
    uint8_t *pixels; /* [2, h, w, c] of a view and its partner */
    float **outputs; /* [output_count] where the outputs of the current run go */
};

struct engine {
    struct cpu_runner runner;
    struct thread_pool *pool; /* the device's */
    struct worker *workers;   /* [thread_pool_size] */
    int batch, in_flight, output_count;
    struct shape input;
    size_t input_size;    /* floats of a sample */
    size_t *output_sizes; /* [output_count] */
    float **outputs;      /* [in_flight][output_count], each [capacity, c, h, w] */
    int capacity;         /* the batch rounded up to whole runs */
};

static size_t shape_size(struct shape shape)
{
    return (size_t)shape.c * (size_t)shape.h * (size_t)shape.w;
}

static void engine_close(struct engine *engine)
{
    if (!engine)
        return;
    cpu_runner_release(&engine->runner);
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

static enum status choose_precision(int index, enum precision wanted, bool onnxruntime, enum precision *chosen,
                                    struct error *err)
{
    (void)index, (void)onnxruntime;
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
    return choose_precision(0, options->precision, options->model != NULL, &precision, err);
}

static enum status make_worker(struct worker *worker, const struct engine *engine, struct error *err)
{
    enum status status = STATUS_OK;
    worker->outputs = calloc((size_t)engine->output_count, sizeof *worker->outputs);
    if (!worker->outputs)
        return error_no_memory(err, (size_t)engine->output_count * sizeof *worker->outputs, "threads");
    TRY(memory_new((void **)&worker->input, size_mul((size_t)engine->runner.samples, engine->input_size), sizeof(float),
                   "a view", err));
    TRY(memory_new((void **)&worker->pixels, size_mul(2, engine->input_size), 1, "a view", err));
cleanup:
    return status;
}

static enum status make_memory(struct engine *engine, struct error *err)
{
    enum status status = STATUS_OK;
    int threads = thread_pool_size(engine->pool), count = engine->output_count;
    engine->workers = calloc((size_t)threads, sizeof *engine->workers);
    engine->outputs = calloc((size_t)engine->in_flight * (size_t)count, sizeof *engine->outputs);
    if (!engine->workers || !engine->outputs)
        return error_no_memory(err, (size_t)count * sizeof *engine->outputs, "the teacher");
    for (int i = 0; i < threads; i++)
        TRY(make_worker(&engine->workers[i], engine, err));
    for (int i = 0; i < engine->in_flight * count; i++)
        TRY(memory_new((void **)&engine->outputs[i],
                       size_mul(engine->output_sizes[i % count], (size_t)engine->capacity), sizeof(float),
                       "the teacher's answers", err));
cleanup:
    return status;
}

/* Shapes of input and outputs. */
static enum status set_shapes(struct engine *engine, const struct graph *graph, const struct engine_options *options,
                              struct error *err)
{
    const struct onnxruntime_model *model = options->model;
    engine->output_count = options->output_count;
    engine->output_sizes = calloc((size_t)engine->output_count, sizeof *engine->output_sizes);
    if (!engine->output_sizes)
        return error_no_memory(err, (size_t)engine->output_count * sizeof *engine->output_sizes, "the teacher");
    engine->input = model ? model->input.shape : graph->nodes[graph->input].shape;
    engine->input_size = shape_size(engine->input);
    for (int i = 0; i < engine->output_count; i++)
        engine->output_sizes[i] = shape_size(model ? model->outputs[i].shape : graph->nodes[options->outputs[i]].shape);
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
    TRY(set_shapes(engine, graph, options, err));
    if (options->model)
        TRY(cpu_runner_onnxruntime(&engine->runner, options->model, device, err));
    else
        TRY(cpu_runner_onednn(&engine->runner, graph, options->outputs, options->output_count, device,
                              options->host_memory, err));
    const int samples = engine->runner.samples;
    engine->capacity = (engine->batch + samples - 1) / samples * samples;
    TRY(make_memory(engine, err));
    *out = engine;
    engine = NULL;
cleanup:
    engine_close(engine);
    return status;
}

struct batch_run {
    struct engine *engine;
    const struct engine_batch *batch;
    float *const *outputs; /* [output_count], each [capacity, c, h, w] */
};

/* Left to right, of [h, w, c]. */
static void mirror(float *input, struct shape shape)
{
    const size_t w = (size_t)shape.w, c = (size_t)shape.c;
    for (int y = 0; y < shape.h; y++) {
        float *row = input + (size_t)y * w * c;
        for (size_t left = 0, right = w - 1; left < right; left++, right--)
            for (size_t k = 0; k < c; k++) {
                const float value = row[left * c + k];
                row[left * c + k] = row[right * c + k];
                row[right * c + k] = value;
            }
    }
}

/* RGB to BGR, of [h, w, c]. */
static void swap_red_and_blue(float *input, struct shape shape)
{
    const size_t pixels = (size_t)shape.h * (size_t)shape.w;
    for (size_t i = 0; i < pixels && shape.c == 3; i++) {
        const float red = input[3 * i];
        input[3 * i] = input[3 * i + 2];
        input[3 * i + 2] = red;
    }
}

static void render_view(const struct engine *engine, const struct engine_batch *batch, int i,
                        const struct worker *worker, float *input)
{
    const struct view_picture own = {&batch->views[i], batch->levels[i], batch->level_counts[i]};
    const int size = engine->input.h;
    if (!batch->mixes) {
        view_render_input(own.view, own.levels, own.level_count, size, batch->table, worker->pixels, input);
        return;
    }
    const struct view_picture partner = {&batch->partner_views[i], batch->partner_levels[i],
                                         batch->partner_level_counts[i]};
    view_render_mixed(&batch->mixes[i], &own, &partner, size, batch->table, worker->pixels, input);
}

static void render_sample(const struct engine *engine, const struct engine_batch *batch, int i,
                          const struct worker *worker, float *input)
{
    render_view(engine, batch, i, worker, input);
    if (batch->mirrored)
        mirror(input, engine->input);
    if (batch->bgr)
        swap_red_and_blue(input, engine->input);
}

/* Where run `number` reads its samples from. Of the last run, some may be left over from another one: nobody asks for
 * their answers. */
static const float *fill_input(const struct batch_run *run, int first, const struct worker *worker)
{
    const struct engine *engine = run->engine;
    const struct engine_batch *batch = run->batch;
    const int left = batch->count - first, samples = engine->runner.samples, count = left < samples ? left : samples;
    if (batch->input && count == samples)
        return batch->input + (size_t)first * engine->input_size;
    for (int i = 0; i < count; i++) {
        float *input = worker->input + (size_t)i * engine->input_size;
        if (batch->input)
            memcpy(input, batch->input + (size_t)(first + i) * engine->input_size, engine->input_size * sizeof *input);
        else
            render_sample(engine, batch, first + i, worker, input);
    }
    return worker->input;
}

static enum status run_once(void *context, int number, int index, struct error *err)
{
    const struct batch_run *run = context;
    const struct engine *engine = run->engine;
    const struct worker *worker = &engine->workers[index];
    if (interrupt_requested()) /* a batch of a slow teacher may take minutes */
        return error_set(err, STATUS_INTERRUPTED, NULL, "stopped by a signal");
    const int first = number * engine->runner.samples;
    const float *input = fill_input(run, first, worker);
    for (int i = 0; i < engine->output_count; i++)
        worker->outputs[i] = run->outputs[i] + (size_t)first * engine->output_sizes[i];
    return engine->runner.run(&engine->runner, index, input, worker->outputs, err);
}

static enum status engine_submit(struct engine *engine, int buffer, const struct engine_batch *batch, struct error *err)
{
    struct batch_run run = {engine, batch, engine->outputs + buffer * engine->output_count};
    if (batch->count < 0 || batch->count > engine->batch)
        return error_set(err, STATUS_INTERNAL, NULL, "a batch of %d, but the teacher was opened for at most %d",
                         batch->count, engine->batch);
    const int samples = engine->runner.samples, runs = (batch->count + samples - 1) / samples;
    return thread_pool_try(engine->pool, runs, run_once, &run, err);
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
    return engine->runner.description;
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
