#include "shared/inference/cuda/runner_onnxruntime.h"

#include "shared/base/library.h"
#include "shared/base/memory.h"
#include "shared/inference/cuda/value_layout.h"
#include "shared/inference/onnxruntime/onnxruntime_engine.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct teacher_runner {
    struct device *device;
    const struct onnxruntime_ops *ops;
    struct onnxruntime_engine *engine;
    int batch;
    struct shape shape; /* of the input */
    bool channels_last, half;
    void *rendered;               /* [batch, h, w, c]; NULL if the model takes that */
    float *planes;                /* [batch, c, h, w]; NULL if not needed on the way */
    void *input;                  /* the model's */
    void **outputs;               /* [output_count]; outputs that are the same tensor share memory */
    bool *owned;                  /* [output_count] */
    struct teacher_value *values; /* [output_count] */
    int output_count;
    char description[160];
};

enum status runner_onnxruntime_precision(enum precision wanted, enum precision *chosen, struct error *err)
{
    *chosen = wanted == PRECISION_AUTO ? PRECISION_TF32 : wanted;
    if (*chosen == PRECISION_TF32 || *chosen == PRECISION_FP32)
        return STATUS_OK;
    return error_set(err, STATUS_CONFIG, NULL,
                     "onnxruntime computes in the types of the model's file: use --teacher-precision tf32 or fp32, or "
                     "convert the model to float16");
}

static void runner_free(struct teacher_runner *runner)
{
    if (!runner)
        return;
    cudaStreamSynchronize(runner->device->stream);
    if (runner->engine)
        runner->ops->free(runner->engine);
    if (runner->input != runner->planes)
        cuda_memory_free(runner->device, runner->planes);
    if (runner->input != runner->rendered)
        cuda_memory_free(runner->device, runner->rendered);
    cuda_memory_free(runner->device, runner->input);
    for (int i = 0; runner->outputs && i < runner->output_count; i++)
        if (runner->owned[i])
            cuda_memory_free(runner->device, runner->outputs[i]);
    free(runner->outputs);
    free(runner->owned);
    free(runner->values);
    free(runner);
}

/* ---- making ---- */

static size_t shape_size(struct shape shape)
{
    return (size_t)shape.c * (size_t)shape.h * (size_t)shape.w;
}

/* The views' way into the model: rendered as the model takes them if it has channels last; otherwise rendered as
 * floats, turned into planes, and rounded if the model takes float16. */
static enum status make_input(struct teacher_runner *runner, const struct onnxruntime_model *model, struct error *err)
{
    enum status status = STATUS_OK;
    const size_t count = size_mul(shape_size(runner->shape), (size_t)runner->batch);
    void *memory;
    runner->half = model->input.type == ONNXRUNTIME_HALF;
    runner->channels_last = model->input.channels_last || runner->shape.c == 1;
    TRY(cuda_memory_new(runner->device, size_mul(count, runner->half ? 2 : sizeof(float)), "the teacher's input",
                        &runner->input, err));
    if (runner->channels_last) {
        runner->rendered = runner->input;
    } else {
        TRY(cuda_memory_new(runner->device, size_mul(count, sizeof(float)), "the teacher's input", &runner->rendered,
                            err));
        memory = runner->input;
        if (runner->half)
            TRY(cuda_memory_new(runner->device, size_mul(count, sizeof(float)), "the teacher's input", &memory, err));
        runner->planes = memory;
    }
    TRY(cuda_check(cudaMemsetAsync(runner->rendered, 0,
                                   count * (runner->channels_last && runner->half ? 2 : sizeof(float)),
                                   runner->device->stream),
                   "the teacher's input", err));
cleanup:
    return status;
}

static int first_of_name(const struct onnxruntime_model *model, int i)
{
    int k = 0;
    while (strcmp(model->outputs[k].name, model->outputs[i].name) != 0)
        k++;
    return k;
}

static enum status make_outputs(struct teacher_runner *runner, const struct onnxruntime_model *model, struct error *err)
{
    enum status status = STATUS_OK;
    const size_t count = (size_t)model->output_count;
    runner->outputs = calloc(count, sizeof *runner->outputs);
    runner->owned = calloc(count, sizeof *runner->owned);
    runner->values = calloc(count, sizeof *runner->values);
    if (!runner->outputs || !runner->owned || !runner->values)
        return error_no_memory(err, count * sizeof *runner->values, "the teacher");
    runner->output_count = model->output_count;
    for (int i = 0; i < model->output_count; i++) {
        const struct onnxruntime_tensor *tensor = &model->outputs[i];
        const bool half = tensor->type == ONNXRUNTIME_HALF;
        const size_t bytes = size_mul(shape_size(tensor->shape), half ? 2 : sizeof(float));
        runner->owned[i] = first_of_name(model, i) == i;
        if (runner->owned[i])
            TRY(cuda_memory_new(runner->device, size_mul(bytes, (size_t)runner->batch), "the teacher's values",
                                &runner->outputs[i], err));
        else
            runner->outputs[i] = runner->outputs[first_of_name(model, i)];
        runner->values[i] = (struct teacher_value){.data = runner->outputs[i],
                                                   .shape = tensor->shape,
                                                   .channels = tensor->shape.c,
                                                   .type = half ? DTYPE_FP16 : DTYPE_FP32,
                                                   .planes = !tensor->channels_last};
    }
cleanup:
    return status;
}

static enum status start(struct teacher_runner *runner, const struct onnxruntime_model *model,
                         const struct teacher_runner_options *options, struct error *err)
{
    enum status status = STATUS_OK;
    const void *symbol = NULL;
    const char *version, *file;
    struct onnxruntime_cuda cuda = {.device = runner->device->index,
                                    .stream = runner->device->stream,
                                    .tf32 = options->precision == PRECISION_TF32,
                                    .runs = runner->batch / model->batch,
                                    .input = runner->input,
                                    .outputs = runner->outputs};
    if (runner->device->memory_limit) {
        TRY(cuda_memory_left(runner->device, &cuda.memory_limit, err));
        cuda.memory_limit += cuda.memory_limit == 0; /* 0 would be no limit */
    }
    TRY(library_symbol(ONNXRUNTIME_LIBRARY, ONNXRUNTIME_SYMBOL, &symbol, err));
    runner->ops = symbol;
    TRY(runner->ops->find(&version, &file, err));
    TRY(runner->ops->new_cuda(&runner->engine, model, &cuda, err));
    snprintf(runner->description, sizeof runner->description, "onnxruntime %.40s, its CUDA provider, %s%s", version,
             runner->half ? "a float16 model, otherwise " : "", precision_name(options->precision));
cleanup:
    return status;
}

enum status runner_onnxruntime_new(struct teacher_runner **out, struct device *device,
                                   const struct onnxruntime_model *model, const struct teacher_runner_options *options,
                                   struct error *err)
{
    enum status status = STATUS_OK;
    struct teacher_runner *runner = calloc(1, sizeof *runner);
    *out = NULL;
    if (!runner)
        return error_no_memory(err, sizeof *runner, "the teacher");
    runner->device = device;
    runner->batch = options->batch;
    runner->shape = model->input.shape;
    if (options->batch % model->batch != 0)
        FAIL(error_set(err, STATUS_INTERNAL, model->path, "a batch of %d is no number of runs of %d samples",
                       options->batch, model->batch));
    TRY(make_input(runner, model, err));
    TRY(make_outputs(runner, model, err));
    TRY(start(runner, model, options, err));
    TRY(runner_onnxruntime.run(runner, err));
    TRY(cuda_check(cudaStreamSynchronize(device->stream), "the teacher's first run", err));
    *out = runner;
    runner = NULL;
cleanup:
    runner_free(runner);
    return status;
}

/* ---- running ---- */

static struct teacher_value runner_input(const struct teacher_runner *runner)
{
    return (struct teacher_value){.data = runner->rendered,
                                  .shape = runner->shape,
                                  .channels = runner->shape.c,
                                  .type = runner->channels_last && runner->half ? DTYPE_FP16 : DTYPE_FP32};
}

static enum status runner_run(struct teacher_runner *runner, struct error *err)
{
    enum status status = STATUS_OK;
    const struct shape *shape = &runner->shape;
    const int pixels = shape->h * shape->w;
    const struct value_layout rows = {DTYPE_FP32, pixels, shape->c, shape->c},
                              halves = {DTYPE_FP16, pixels * shape->c, 1, 1};
    if (!runner->channels_last)
        TRY(values_to_planes(runner->device->stream, &rows, runner->rendered, runner->batch, runner->planes, err));
    if (!runner->channels_last && runner->half)
        TRY(values_from_rows(runner->device->stream, &halves, runner->planes, runner->batch, runner->input, err));
    TRY(runner->ops->run_cuda(runner->engine, err));
cleanup:
    return status;
}

static struct teacher_value runner_output(const struct teacher_runner *runner, int i)
{
    return runner->values[i];
}

static const char *runner_describe(const struct teacher_runner *runner)
{
    return runner->description;
}

const struct teacher_runner_ops runner_onnxruntime = {.input = runner_input,
                                                      .run = runner_run,
                                                      .output = runner_output,
                                                      .describe = runner_describe,
                                                      .free = runner_free};
