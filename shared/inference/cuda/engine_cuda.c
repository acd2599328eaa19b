/* Stage one on a GPU: uploads, rendering and the teacher, and downloads, each on a stream of its own, so that the
 * copies of some batches overlap the computing of another. The host waits in collect only.
 *
 * Bytes over the bus a view: its image's share of pixels (once for neighbouring views), 248 bytes of parameters, and
 * its answers as floats; a mixed view's partner is as much again and not shared. */
#include "shared/inference/cuda/engine_cuda.h"

#include "shared/inference/cuda/batch_upload.h"
#include "shared/inference/plain/runner_plain.h"
#include "shared/inference/cuda/value_layout.h"
#include "shared/base/library.h"
#include "shared/base/memory.h"

#include <stdio.h>
#include <stdlib.h>

struct slot {
    struct batch_upload upload;
    int32_t *means; /* device memory [2 * batch, VIEW_MAX_COLORS], for rendering: views and partners */
    float *answers; /* device memory: output after output, [batch, c, h, w] each */
    float *results; /* pinned host memory, the same */
    cudaEvent_t uploaded, computed, downloaded;
};

struct engine {
    struct device *device;
    const struct teacher_runner_ops *ops;
    struct teacher_runner *runner;
    int batch, slots, output_count;
    size_t input_floats;  /* of a sample */
    size_t *output_sizes; /* [output_count] floats of a sample */
    cudaStream_t back;    /* of downloads; uploads go on the device's copy_stream, the rest on its stream */
    struct slot *slot;    /* [slots] */
    char description[256];
};

/* ---- which engine ---- */

/* cuDNN's runner, or NULL and why it cannot be had. */
static const struct teacher_runner_ops *find_cudnn(struct error *why)
{
    const void *table = NULL;
    return library_symbol(TEACHER_CUDNN_LIBRARY, TEACHER_CUDNN_SYMBOL, &table, why) == STATUS_OK ? table : NULL;
}

static enum status choose_precision(enum precision wanted, enum precision *chosen, struct error *err)
{
    struct error why = {0};
    const bool cudnn = find_cudnn(&why) != NULL;
    *chosen = wanted != PRECISION_AUTO ? wanted : cudnn ? PRECISION_FP16 : PRECISION_FP32;
    if (cudnn || *chosen == PRECISION_FP32)
        return STATUS_OK;
    return error_set(err, STATUS_CONFIG, why.path, "teachers in %s need cuDNN: %s; or use --teacher-precision fp32",
                     precision_name(wanted), why.message);
}

/* Where cuDNN's plans are kept between runs: false where there is no such place. */
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

static enum status open_runner(struct engine *inference, const struct graph *graph,
                               const struct engine_options *options, struct error *err)
{
    enum status status = STATUS_OK;
    enum precision precision;
    struct device *device = inference->device;
    struct error why = {0};
    char folder[4096];
    const bool kept = plan_folder(folder, sizeof folder);
    struct teacher_runner_options runner = {.batch = options->batch,
                                            .outputs = options->outputs,
                                            .output_count = options->output_count,
                                            .plan_folder = kept ? folder : NULL,
                                            .tune = kept};
    TRY(choose_precision(options->precision, &precision, err));
    runner.precision = precision;
    inference->ops = find_cudnn(&why);
    if (inference->ops) {
        if (device->memory_limit) {
            TRY(cuda_memory_left(device, &runner.memory_limit, err));
            runner.memory_limit += runner.memory_limit == 0; /* 0 would be no limit */
        }
        TRY(inference->ops->new (&inference->runner, graph, &runner, device->stream, err));
        snprintf(inference->description, sizeof inference->description, "%s, %s",
                 inference->ops->describe(inference->runner), precision_name(precision));
    } else {
        inference->ops = &runner_plain;
        TRY(runner_plain_new(&inference->runner, device, graph, &runner, err));
        snprintf(inference->description, sizeof inference->description, "%s (slow: cuDNN cannot be had: %.150s)",
                 inference->ops->describe(inference->runner), why.message);
    }
cleanup:
    return status;
}

/* ---- memory ---- */

static void slot_release(struct slot *slot, struct device *device)
{
    batch_upload_release(&slot->upload);
    cuda_memory_free(device, slot->means);
    cuda_memory_free(device, slot->answers);
    cuda_pinned_free(slot->results);
    const cudaEvent_t events[] = {slot->uploaded, slot->computed, slot->downloaded};
    for (int i = 0; i < 3; i++)
        if (events[i])
            cudaEventDestroy(events[i]);
}

static void inference_close(struct engine *inference)
{
    if (!inference)
        return;
    cudaStreamSynchronize(inference->device->copy_stream);
    cudaStreamSynchronize(inference->device->stream);
    if (inference->back) {
        cudaStreamSynchronize(inference->back);
        cudaStreamDestroy(inference->back);
    }
    if (inference->runner)
        inference->ops->free(inference->runner);
    for (int i = 0; inference->slot && i < inference->slots; i++)
        slot_release(&inference->slot[i], inference->device);
    free(inference->slot);
    free(inference->output_sizes);
    free(inference);
}

static enum status make_event(cudaEvent_t *event, unsigned flags, struct error *err)
{
    return cuda_check(cudaEventCreateWithFlags(event, cudaEventDisableTiming | flags), "making an event", err);
}

static enum status slot_init(struct slot *slot, const struct engine *inference, struct error *err)
{
    enum status status = STATUS_OK;
    struct device *device = inference->device;
    const size_t batch = (size_t)inference->batch;
    size_t floats = 0;
    void *memory;
    for (int i = 0; i < inference->output_count; i++)
        floats += inference->output_sizes[i];
    const size_t bytes = size_mul(size_mul(floats, batch), sizeof(float));
    TRY(batch_upload_init(&slot->upload, device, inference->batch, err));
    TRY(cuda_memory_new(device, 2 * batch * VIEW_MAX_COLORS * sizeof *slot->means, "means of views", &memory, err));
    slot->means = memory;
    TRY(cuda_memory_new(device, bytes, "the teacher's answers", &memory, err));
    slot->answers = memory;
    TRY(cuda_pinned_new(bytes, "the teacher's answers", &memory, err));
    slot->results = memory;
    TRY(make_event(&slot->uploaded, 0, err));
    TRY(make_event(&slot->computed, 0, err));
    TRY(make_event(&slot->downloaded, cudaEventBlockingSync, err));
cleanup:
    return status;
}

static enum status make_memory(struct engine *inference, const struct graph *graph, const int *outputs,
                               struct error *err)
{
    enum status status = STATUS_OK;
    inference->slot = calloc((size_t)inference->slots, sizeof *inference->slot);
    inference->output_sizes = calloc((size_t)inference->output_count, sizeof *inference->output_sizes);
    if (!inference->slot || !inference->output_sizes)
        return error_no_memory(err, (size_t)inference->slots * sizeof *inference->slot, "the teacher");
    for (int i = 0; i < inference->output_count; i++) {
        const struct shape shape = graph->nodes[outputs[i]].shape;
        inference->output_sizes[i] = (size_t)shape.c * (size_t)shape.h * (size_t)shape.w;
    }
    for (int i = 0; i < inference->slots; i++)
        TRY(slot_init(&inference->slot[i], inference, err));
    TRY(cuda_check(cudaStreamCreateWithFlags(&inference->back, cudaStreamNonBlocking), "making a stream", err));
cleanup:
    return status;
}

static enum status inference_open(struct engine **out, struct device *device, const struct graph *graph,
                                  const struct engine_options *options, struct error *err)
{
    enum status status = STATUS_OK;
    struct engine *inference = NULL;
    const struct shape input = graph->nodes[graph->input].shape;
    *out = NULL;
    if (options->batch < 1 || options->output_count < 1 || options->slots < 0)
        return error_set(err, STATUS_INTERNAL, NULL, "a teacher needs a batch and an output");
    inference = calloc(1, sizeof *inference);
    if (!inference)
        return error_no_memory(err, sizeof *inference, "the teacher");
    inference->device = device;
    inference->batch = options->batch;
    inference->slots = options->slots ? options->slots : 1;
    inference->output_count = options->output_count;
    inference->input_floats = (size_t)input.c * (size_t)input.h * (size_t)input.w;
    TRY(cuda_check(cudaSetDevice(device->index), "choosing the GPU", err));
    TRY(make_memory(inference, graph, options->outputs, err));
    TRY(open_runner(inference, graph, options, err));
    *out = inference;
    inference = NULL;
cleanup:
    inference_close(inference);
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

/* The batch that has arrived, rendered to where the runner reads it. */
static enum status fill_input(const struct engine *inference, const struct slot *slot,
                              const struct uploaded_batch *arrived, const struct engine_batch *batch, struct error *err)
{
    const cudaStream_t stream = inference->device->stream;
    const struct teacher_value input = inference->ops->input(inference->runner);
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
        .means = slot->means,
        .mixes = arrived->mixes,
        .partner_views = arrived->partner_views,
    };
    return cuda_render_views(stream, &job, batch->table, err);
}

static enum status compute(const struct engine *inference, const struct slot *slot,
                           const struct uploaded_batch *arrived, const struct engine_batch *batch, struct error *err)
{
    enum status status = STATUS_OK;
    const cudaStream_t stream = inference->device->stream;
    float *answers = slot->answers;
    TRY(cuda_check(cudaStreamWaitEvent(stream, slot->uploaded, 0), "the teacher", err));
    TRY(fill_input(inference, slot, arrived, batch, err));
    TRY(inference->ops->run(inference->runner, err));
    for (int i = 0; i < inference->output_count; i++) {
        const struct teacher_value value = inference->ops->output(inference->runner, i);
        const struct value_layout layout = layout_of(&value);
        TRY(values_to_planes(stream, &layout, value.data, batch->count, answers, err));
        answers += (size_t)inference->batch * inference->output_sizes[i];
    }
    TRY(cuda_check(cudaEventRecord(slot->computed, stream), "the teacher", err));
cleanup:
    return status;
}

static enum status download(const struct engine *inference, const struct slot *slot, int count, struct error *err)
{
    enum status status = STATUS_OK;
    size_t at = 0;
    TRY(cuda_check(cudaStreamWaitEvent(inference->back, slot->computed, 0), "the teacher's answers", err));
    for (int i = 0; i < inference->output_count; i++) {
        const size_t floats = inference->output_sizes[i];
        TRY(cuda_check(cudaMemcpyAsync(slot->results + at, slot->answers + at, (size_t)count * floats * sizeof(float),
                                       cudaMemcpyDeviceToHost, inference->back),
                       "downloading the teacher's answers", err));
        at += (size_t)inference->batch * floats;
    }
    TRY(cuda_check(cudaEventRecord(slot->downloaded, inference->back), "the teacher's answers", err));
cleanup:
    return status;
}

static enum status inference_submit(struct engine *inference, int index, const struct engine_batch *batch,
                                    struct error *err)
{
    enum status status = STATUS_OK;
    struct slot *slot = &inference->slot[index];
    struct uploaded_batch arrived;
    const cudaStream_t copies = inference->device->copy_stream;
    if (batch->count < 0 || batch->count > inference->batch)
        return error_set(err, STATUS_INTERNAL, NULL, "a batch of %d for a teacher planned for %d", batch->count,
                         inference->batch);
    if (batch->count == 0)
        return STATUS_OK;
    TRY(batch_upload_send(&slot->upload, copies, batch, inference->input_floats, &arrived, err));
    TRY(cuda_check(cudaEventRecord(slot->uploaded, copies), "uploading images", err));
    TRY(compute(inference, slot, &arrived, batch, err));
    TRY(download(inference, slot, batch->count, err));
cleanup:
    return status;
}

static enum status inference_collect(struct engine *inference, int index, const float **outputs, struct error *err)
{
    const struct slot *slot = &inference->slot[index];
    const float *results = slot->results;
    for (int i = 0; i < inference->output_count; i++) {
        outputs[i] = results;
        results += (size_t)inference->batch * inference->output_sizes[i];
    }
    return cuda_check(cudaEventSynchronize(slot->downloaded), "the teacher", err);
}

static const char *inference_describe(const struct engine *inference)
{
    return inference->description;
}

const struct engine_ops engine_cuda = {
    .usual_batch = 256,
    .choose_precision = choose_precision,
    .open = inference_open,
    .submit = inference_submit,
    .collect = inference_collect,
    .describe = inference_describe,
    .close = inference_close,
};
