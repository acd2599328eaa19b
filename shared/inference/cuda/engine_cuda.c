/* Stage one on a GPU: uploads, rendering with the teacher, and downloads each have a stream of their own, so that the
 * copies of some batches overlap the computation of another. The host waits in collect only.
 *
 * Bytes over the bus per view: the pixels of its image (shared by neighbouring views), 248 bytes of parameters, and its
 * answers as floats. The partner of a mixed view costs as much again, and its pixels are not shared. */
#include "shared/inference/cuda/engine_cuda.h"

#include "shared/inference/cuda/batch_upload.h"
#include "shared/inference/cuda/runner_onnxruntime.h"
#include "shared/inference/plain/runner_plain.h"
#include "shared/inference/cuda/value_layout.h"
#include "shared/base/library.h"
#include "shared/base/memory.h"

#include <stdio.h>
#include <stdlib.h>

struct batch_buffers {
    struct batch_upload upload;
    struct cuda_render_scratch *scratch; /* device memory, for 2 * batch views: those and their partners */
    float *answers;                      /* device memory: one output after the other, [batch, c, h, w] each */
    float *results;                      /* pinned host memory, the same */
    cudaEvent_t uploaded, computed, downloaded;
};

struct engine {
    struct device *device;
    const struct teacher_runner_ops *ops;
    struct teacher_runner *runner;
    int batch, in_flight, output_count;
    size_t input_floats;           /* of a sample */
    size_t *output_sizes;          /* [output_count] floats of a sample */
    cudaStream_t back;             /* of downloads; uploads go on the device's copy_stream, the rest on its stream */
    struct batch_buffers *buffers; /* [in_flight] */
    char description[256];
};

/* ---- which engine ---- */

/* cuDNN's runner, or NULL and why it is not available. */
static const struct teacher_runner_ops *find_cudnn(struct error *why)
{
    const void *table = NULL;
    return library_symbol(TEACHER_CUDNN_LIBRARY, TEACHER_CUDNN_SYMBOL, &table, why) == STATUS_OK ? table : NULL;
}

static enum status choose_precision(int index, enum precision wanted, bool onnxruntime, enum precision *chosen,
                                    struct error *err)
{
    struct error why = {0};
    if (onnxruntime)
        return runner_onnxruntime_precision(wanted, chosen, err);
    const bool cudnn = find_cudnn(&why) != NULL;
    *chosen = wanted != PRECISION_AUTO ? wanted : cudnn ? PRECISION_FP16 : PRECISION_FP32;
    if (*chosen == PRECISION_BF16 && !cuda_has_bf16(index))
        return error_set(err, STATUS_CONFIG, NULL,
                         "GPU %d (compute capability %d.%d) has no bfloat16: use --teacher-precision fp16", index,
                         cuda_capability(index) / 10, cuda_capability(index) % 10);
    if (cudnn || *chosen == PRECISION_FP32)
        return STATUS_OK;
    return error_set(err, STATUS_CONFIG, why.path, "teachers in %s need cuDNN: %s; or use --teacher-precision fp32",
                     precision_name(wanted), why.message);
}

/* The folder where cuDNN's plans are kept between runs; false if there is no such folder. */
static bool plan_folder(char *folder, size_t size)
{
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (cache && cache[0] == '/')
        snprintf(folder, size, "%s/softcache", cache);
    else if (home && home[0] == '/')
        snprintf(folder, size, "%s/.cache/softcache", home);
    else
        return false;
    return true;
}

static enum status open_runner(struct engine *engine, const struct graph *graph, const struct engine_options *options,
                               struct error *err)
{
    enum status status = STATUS_OK;
    enum precision precision;
    struct device *device = engine->device;
    struct error why = {0};
    char folder[4096];
    const bool kept = plan_folder(folder, sizeof folder);
    struct teacher_runner_options runner = {.batch = options->batch,
                                            .outputs = options->outputs,
                                            .output_count = options->output_count,
                                            .plan_folder = kept ? folder : NULL,
                                            .tune = kept};
    TRY(choose_precision(device->index, options->precision, options->model != NULL, &precision, err));
    runner.precision = precision;
    if (options->model) {
        engine->ops = &runner_onnxruntime;
        TRY(runner_onnxruntime_new(&engine->runner, device, options->model, &runner, err));
        snprintf(engine->description, sizeof engine->description, "%s", engine->ops->describe(engine->runner));
        return STATUS_OK;
    }
    engine->ops = find_cudnn(&why);
    if (engine->ops) {
        if (device->memory_limit) {
            TRY(cuda_memory_left(device, &runner.memory_limit, err));
            runner.memory_limit += runner.memory_limit == 0; /* 0 would be no limit */
        }
        TRY(engine->ops->new (&engine->runner, graph, &runner, device->stream, err));
        snprintf(engine->description, sizeof engine->description, "%s, %s", engine->ops->describe(engine->runner),
                 precision_name(precision));
    } else {
        engine->ops = &runner_plain;
        TRY(runner_plain_new(&engine->runner, device, graph, &runner, err));
        snprintf(engine->description, sizeof engine->description, "%s (slow: cuDNN is not available: %.150s)",
                 engine->ops->describe(engine->runner), why.message);
    }
cleanup:
    return status;
}

/* ---- memory ---- */

static void batch_buffers_release(struct batch_buffers *buffers, struct device *device)
{
    batch_upload_release(&buffers->upload);
    cuda_memory_free(device, buffers->scratch);
    cuda_memory_free(device, buffers->answers);
    cuda_pinned_free(buffers->results);
    const cudaEvent_t events[] = {buffers->uploaded, buffers->computed, buffers->downloaded};
    for (int i = 0; i < 3; i++)
        if (events[i])
            cudaEventDestroy(events[i]);
}

static void engine_close(struct engine *engine)
{
    if (!engine)
        return;
    cudaStreamSynchronize(engine->device->copy_stream);
    cudaStreamSynchronize(engine->device->stream);
    if (engine->back) {
        cudaStreamSynchronize(engine->back);
        cudaStreamDestroy(engine->back);
    }
    if (engine->runner)
        engine->ops->free(engine->runner);
    for (int i = 0; engine->buffers && i < engine->in_flight; i++)
        batch_buffers_release(&engine->buffers[i], engine->device);
    free(engine->buffers);
    free(engine->output_sizes);
    free(engine);
}

static enum status make_event(cudaEvent_t *event, unsigned flags, struct error *err)
{
    return cuda_check(cudaEventCreateWithFlags(event, cudaEventDisableTiming | flags), "making an event", err);
}

static enum status batch_buffers_init(struct batch_buffers *buffers, const struct engine *engine, struct error *err)
{
    enum status status = STATUS_OK;
    struct device *device = engine->device;
    const size_t batch = (size_t)engine->batch;
    size_t floats = 0;
    void *memory;
    for (int i = 0; i < engine->output_count; i++)
        floats += engine->output_sizes[i];
    const size_t bytes = size_mul(size_mul(floats, batch), sizeof(float));
    TRY(batch_upload_init(&buffers->upload, device, engine->batch, err));
    TRY(cuda_memory_new(device, cuda_render_scratch_bytes(2 * batch), "rendering", &memory, err));
    buffers->scratch = memory;
    TRY(cuda_memory_new(device, bytes, "the teacher's answers", &memory, err));
    buffers->answers = memory;
    TRY(cuda_pinned_new(bytes, "the teacher's answers", &memory, err));
    buffers->results = memory;
    TRY(make_event(&buffers->uploaded, 0, err));
    TRY(make_event(&buffers->computed, 0, err));
    TRY(make_event(&buffers->downloaded, cudaEventBlockingSync, err));
cleanup:
    return status;
}

static enum status make_memory(struct engine *engine, const struct graph *graph, const struct engine_options *options,
                               struct error *err)
{
    enum status status = STATUS_OK;
    engine->buffers = calloc((size_t)engine->in_flight, sizeof *engine->buffers);
    engine->output_sizes = calloc((size_t)engine->output_count, sizeof *engine->output_sizes);
    if (!engine->buffers || !engine->output_sizes)
        return error_no_memory(err, (size_t)engine->in_flight * sizeof *engine->buffers, "the teacher");
    for (int i = 0; i < engine->output_count; i++) {
        const struct shape shape =
            options->model ? options->model->outputs[i].shape : graph->nodes[options->outputs[i]].shape;
        engine->output_sizes[i] = (size_t)shape.c * (size_t)shape.h * (size_t)shape.w;
    }
    for (int i = 0; i < engine->in_flight; i++)
        TRY(batch_buffers_init(&engine->buffers[i], engine, err));
    TRY(cuda_check(cudaStreamCreateWithFlags(&engine->back, cudaStreamNonBlocking), "making a stream", err));
cleanup:
    return status;
}

static enum status engine_open(struct engine **out, struct device *device, const struct graph *graph,
                               const struct engine_options *options, struct error *err)
{
    enum status status = STATUS_OK;
    struct engine *engine = NULL;
    const struct shape input = options->model ? options->model->input.shape : graph->nodes[graph->input].shape;
    *out = NULL;
    if (options->batch < 1 || options->output_count < 1 || options->in_flight < 0)
        return error_set(err, STATUS_INTERNAL, NULL, "a teacher needs a batch and an output");
    engine = calloc(1, sizeof *engine);
    if (!engine)
        return error_no_memory(err, sizeof *engine, "the teacher");
    engine->device = device;
    engine->batch = options->batch;
    engine->in_flight = options->in_flight ? options->in_flight : 1;
    engine->output_count = options->output_count;
    engine->input_floats = (size_t)input.c * (size_t)input.h * (size_t)input.w;
    TRY(cuda_check(cudaSetDevice(device->index), "choosing the GPU", err));
    TRY(make_memory(engine, graph, options, err));
    TRY(open_runner(engine, graph, options, err));
    *out = engine;
    engine = NULL;
cleanup:
    engine_close(engine);
    return status;
}

/* ---- a batch ---- */

static struct value_layout layout_of(const struct teacher_value *value)
{
    return (struct value_layout){.dtype = value->type,
                                 .pixels = value->shape.h * value->shape.w,
                                 .channels = value->shape.c,
                                 .stored = value->channels};
}

/* Renders the batch that has arrived to where the runner reads it. */
static enum status fill_input(const struct engine *engine, const struct batch_buffers *buffers,
                              const struct uploaded_batch *arrived, const struct engine_batch *batch, struct error *err)
{
    const cudaStream_t stream = engine->device->stream;
    const struct teacher_value input = engine->ops->input(engine->runner);
    const struct value_layout layout = layout_of(&input);
    if (arrived->input)
        return values_from_rows(stream, &layout, arrived->input, batch->count, input.data, err);
    const struct cuda_render_job job = {
        .count = batch->count,
        .size = input.shape.h,
        .channels = input.shape.c,
        .out_channels = input.channels,
        .dtype = layout.dtype,
        .out = input.data,
        .views = arrived->views,
        .pictures = arrived->pictures,
        .scratch = buffers->scratch,
        .mixes = arrived->mixes,
        .partner_views = arrived->partner_views,
        .mirrored = batch->mirrored,
        .bgr = batch->bgr,
    };
    return cuda_render_views(stream, &job, batch->table, err);
}

/* answers[count, c, h, w] = output i. */
static enum status fetch_output(const struct engine *engine, int i, int count, float *answers, struct error *err)
{
    const cudaStream_t stream = engine->device->stream;
    const struct teacher_value value = engine->ops->output(engine->runner, i);
    struct value_layout layout = layout_of(&value);
    if (value.planes) { /* every element is a pixel of one channel: only the type changes */
        layout.pixels *= layout.channels;
        layout.channels = layout.stored = 1;
    }
    return values_to_planes(stream, &layout, value.data, count, answers, err);
}

static enum status compute(const struct engine *engine, const struct batch_buffers *buffers,
                           const struct uploaded_batch *arrived, const struct engine_batch *batch, struct error *err)
{
    enum status status = STATUS_OK;
    const cudaStream_t stream = engine->device->stream;
    float *answers = buffers->answers;
    TRY(cuda_check(cudaStreamWaitEvent(stream, buffers->uploaded, 0), "the teacher", err));
    TRY(fill_input(engine, buffers, arrived, batch, err));
    TRY(engine->ops->run(engine->runner, err));
    for (int i = 0; i < engine->output_count; i++) {
        TRY(fetch_output(engine, i, batch->count, answers, err));
        answers += (size_t)engine->batch * engine->output_sizes[i];
    }
    TRY(cuda_check(cudaEventRecord(buffers->computed, stream), "the teacher", err));
cleanup:
    return status;
}

static enum status download(const struct engine *engine, const struct batch_buffers *buffers, int count,
                            struct error *err)
{
    enum status status = STATUS_OK;
    size_t at = 0;
    TRY(cuda_check(cudaStreamWaitEvent(engine->back, buffers->computed, 0), "the teacher's answers", err));
    for (int i = 0; i < engine->output_count; i++) {
        const size_t floats = engine->output_sizes[i];
        TRY(cuda_check(cudaMemcpyAsync(buffers->results + at, buffers->answers + at,
                                       (size_t)count * floats * sizeof(float), cudaMemcpyDeviceToHost, engine->back),
                       "downloading the teacher's answers", err));
        at += (size_t)engine->batch * floats;
    }
    TRY(cuda_check(cudaEventRecord(buffers->downloaded, engine->back), "the teacher's answers", err));
cleanup:
    return status;
}

static enum status engine_submit(struct engine *engine, int index, const struct engine_batch *batch, struct error *err)
{
    enum status status = STATUS_OK;
    struct batch_buffers *buffers = &engine->buffers[index];
    struct uploaded_batch arrived;
    const cudaStream_t copies = engine->device->copy_stream;
    if (batch->count < 0 || batch->count > engine->batch)
        return error_set(err, STATUS_INTERNAL, NULL, "a batch of %d, but the teacher was opened for at most %d",
                         batch->count, engine->batch);
    if (batch->count == 0)
        return STATUS_OK;
    TRY(batch_upload_send(&buffers->upload, copies, batch, engine->input_floats, &arrived, err));
    TRY(cuda_check(cudaEventRecord(buffers->uploaded, copies), "uploading images", err));
    TRY(compute(engine, buffers, &arrived, batch, err));
    TRY(download(engine, buffers, batch->count, err));
cleanup:
    return status;
}

static enum status engine_collect(struct engine *engine, int index, const float **outputs, struct error *err)
{
    const struct batch_buffers *buffers = &engine->buffers[index];
    const float *results = buffers->results;
    for (int i = 0; i < engine->output_count; i++) {
        outputs[i] = results;
        results += (size_t)engine->batch * engine->output_sizes[i];
    }
    return cuda_check(cudaEventSynchronize(buffers->downloaded), "the teacher", err);
}

static const char *engine_describe(const struct engine *engine)
{
    return engine->description;
}

const struct engine_ops engine_cuda = {
    .usual_batch = 256,
    .choose_precision = choose_precision,
    .open = engine_open,
    .submit = engine_submit,
    .collect = engine_collect,
    .describe = engine_describe,
    .close = engine_close,
};
