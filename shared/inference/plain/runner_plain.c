#include "shared/inference/plain/runner_plain.h"

#include "shared/training/cuda/cuda_training.h"
#include "shared/inference/cuda/value_layout.h"
#include "shared/base/memory.h"
#include <stdlib.h>

/* The plan keeps every value because training needs them, so a batch runs in pieces. */
enum { PIECE = 32 };

struct teacher_runner {
    struct device *device;
    struct graph graph;           /* folded */
    struct plan plan;             /* for one piece */
    struct network_memory memory; /* no gradients */
    int batch;
    float *input;    /* [batch, h, w, c] */
    int *tensors;    /* [output_count] of the plan */
    float **outputs; /* [output_count], each [batch, h, w, c], after its epilogue */
    int output_count;
};

static void plain_free(struct teacher_runner *runner)
{
    if (!runner)
        return;
    struct network_memory *memory = &runner->memory;
    cudaStreamSynchronize(runner->device->stream);
    if (memory->workspace)
        cuda_network_ops.release(runner->device, memory->workspace);
    cuda_memory_free(runner->device, memory->values);
    cuda_memory_free(runner->device, memory->parameters);
    cuda_memory_free(runner->device, memory->state);
    cuda_memory_free(runner->device, memory->statistics);
    cuda_memory_free(runner->device, runner->input);
    for (int i = 0; runner->outputs && i < runner->output_count; i++)
        cuda_memory_free(runner->device, runner->outputs[i]);
    plan_release(&runner->plan);
    graph_release(&runner->graph);
    free(runner->tensors);
    free(runner->outputs);
    free(runner);
}

/* ---- making ---- */

/* The plan of the folded graph, in which every wanted value is a tensor of its own. */
static enum status make_plan(struct teacher_runner *runner, const struct graph *graph,
                             const struct teacher_runner_options *options, struct error *err)
{
    enum status status = STATUS_OK;
    struct error inner = {0};
    const int count = options->output_count;
    int *retained = calloc((size_t)count, sizeof *retained); /* nodes of the folded graph */
    if (!retained)
        return error_no_memory(err, (size_t)count * sizeof *retained, "the teacher");
    TRY(graph_fold(graph, &runner->graph, options->outputs, count, retained, err));
    const struct plan_options plan_options = {.batch = runner->batch < PIECE ? runner->batch : PIECE,
                                              .dtype = DTYPE_FP32,
                                              .retained = retained,
                                              .retained_count = count,
                                              .forward_only = true};
    status = plan_compile(&runner->plan, &runner->graph, &plan_options, &inner);
    if (status != STATUS_OK) {
        error_set(err, inner.code, inner.path, "%s; with cuDNN this GPU could run it", inner.message);
        goto cleanup;
    }
    for (int i = 0; i < count; i++) {
        runner->tensors[i] = runner->plan.node_tensor[retained[i]];
        if (runner->tensors[i] < 0) {
            status = error_set(err, STATUS_CONFIG, NULL, "'%s' cannot be recorded without cuDNN",
                               graph->nodes[options->outputs[i]].name);
            goto cleanup;
        }
    }
cleanup:
    free(retained);
    return status;
}

static enum status buffer(struct device *device, size_t count, const char *what, void *out, struct error *err)
{
    void *memory = NULL;
    const size_t bytes = size_mul(count, sizeof(float));
    enum status status = cuda_memory_new(device, bytes, what, &memory, err);
    if (status == STATUS_OK)
        status = cuda_zero(device, memory, bytes, err);
    *(void **)out = memory;
    return status;
}

static enum status upload_weights(struct teacher_runner *runner, struct error *err)
{
    enum status status = STATUS_OK;
    const struct plan *plan = &runner->plan;
    float *parameters = NULL, *state = NULL;
    TRY(memory_new((void **)&parameters, plan->parameter_count, sizeof(float), "the teacher's weights", err));
    TRY(memory_new((void **)&state, plan->state_count, sizeof(float), "the teacher's weights", err));
    plan_gather_weights(plan, &runner->graph, parameters, state);
    TRY(cuda_upload(runner->device, runner->memory.parameters, parameters, plan->parameter_count * sizeof(float), err));
    TRY(cuda_upload(runner->device, runner->memory.state, state, plan->state_count * sizeof(float), err));
cleanup:
    memory_free(parameters);
    memory_free(state);
    return status;
}

static size_t sample_floats(const struct plan_tensor *tensor)
{
    return (size_t)tensor->shape.c * (size_t)tensor->shape.h * (size_t)tensor->shape.w;
}

static enum status make_memory(struct teacher_runner *runner, struct error *err)
{
    enum status status = STATUS_OK;
    struct device *device = runner->device;
    const struct plan *plan = &runner->plan;
    struct network_memory *memory = &runner->memory;
    const size_t batch = (size_t)runner->batch;
    memory->students = 1;
    TRY(buffer(device, plan->value_count, "the teacher's values", &memory->values, err));
    TRY(buffer(device, plan->parameter_count, "the teacher's weights", &memory->parameters, err));
    TRY(buffer(device, plan->state_count, "the teacher's running statistics", &memory->state, err));
    TRY(buffer(device, plan->statistics_count, "the teacher's scales and shifts", &memory->statistics, err));
    TRY(buffer(device, size_mul(batch, sample_floats(&plan->tensors[plan->input])), "views", &runner->input, err));
    for (int i = 0; i < runner->output_count; i++)
        TRY(buffer(device, size_mul(batch, sample_floats(&plan->tensors[runner->tensors[i]])), "the teacher's values",
                   &runner->outputs[i], err));
    TRY(cuda_network_ops.prepare(device, plan, 1, &memory->workspace, err));
cleanup:
    return status;
}

static enum status plain_run(struct teacher_runner *runner, struct error *err);

enum status runner_plain_new(struct teacher_runner **out, struct device *device, const struct graph *graph,
                             const struct teacher_runner_options *options, struct error *err)
{
    enum status status = STATUS_OK;
    const size_t count = (size_t)options->output_count;
    struct teacher_runner *runner = calloc(1, sizeof *runner);
    *out = NULL;
    if (!runner)
        return error_no_memory(err, sizeof *runner, "the teacher");
    runner->device = device;
    runner->batch = options->batch;
    runner->output_count = options->output_count;
    graph_init(&runner->graph);
    runner->tensors = calloc(count, sizeof *runner->tensors);
    runner->outputs = calloc(count, sizeof *runner->outputs);
    if (!runner->tensors || !runner->outputs) {
        status = error_no_memory(err, count * sizeof *runner->outputs, "the teacher");
        goto cleanup;
    }
    TRY(make_plan(runner, graph, options, err));
    TRY(make_memory(runner, err));
    TRY(upload_weights(runner, err));
    TRY(plain_run(runner, err));
    TRY(cuda_check(cudaStreamSynchronize(device->stream), "the teacher's first pass", err));
    *out = runner;
    runner = NULL;
cleanup:
    plain_free(runner);
    return status;
}

/* ---- running ---- */

static float *place_of(const struct teacher_runner *runner, const struct plan_tensor *tensor)
{
    return (float *)runner->memory.values + tensor->value;
}

/* The plan stores raw values: output i of samples [first, first + count) as its readers would see it. */
static enum status apply_epilogue(const struct teacher_runner *runner, int i, int first, int count, struct error *err)
{
    const struct plan_tensor *tensor = &runner->plan.tensors[runner->tensors[i]];
    const size_t rows = (size_t)count * (size_t)tensor->shape.h * (size_t)tensor->shape.w;
    struct value_epilogue epilogue = {
        .activation = (int)tensor->activation, .alpha = tensor->alpha, .beta = tensor->beta};
    if (tensor->batch_norm >= 0) {
        const struct plan_batch_norm *norm = &runner->plan.batch_norms[tensor->batch_norm];
        const float *row = runner->memory.statistics + norm->statistics;
        epilogue.scale = row + (size_t)PLAN_SCALE * (size_t)norm->channels;
        epilogue.shift = row + (size_t)PLAN_SHIFT * (size_t)norm->channels;
    }
    return values_apply_epilogue(runner->device->stream, &epilogue, place_of(runner, tensor), rows, tensor->shape.c,
                                 runner->outputs[i] + (size_t)first * sample_floats(tensor), err);
}

static enum status plain_run(struct teacher_runner *runner, struct error *err)
{
    enum status status = STATUS_OK;
    const struct plan *plan = &runner->plan;
    const struct plan_tensor *input = &plan->tensors[plan->input];
    for (int first = 0; first < runner->batch; first += plan->batch) {
        const int count = runner->batch - first < plan->batch ? runner->batch - first : plan->batch;
        const struct pass pass = {.count = count};
        TRY(cuda_check(cudaMemcpyAsync(place_of(runner, input), runner->input + (size_t)first * sample_floats(input),
                                       (size_t)count * sample_floats(input) * sizeof(float), cudaMemcpyDeviceToDevice,
                                       runner->device->stream),
                       "the teacher's input", err));
        TRY(cuda_network_ops.forward(runner->device, plan, &runner->memory, &pass, 0, plan->step_count, err));
        for (int i = 0; i < runner->output_count; i++)
            TRY(apply_epilogue(runner, i, first, count, err));
    }
cleanup:
    return status;
}

static struct teacher_value value_of(const struct plan_tensor *tensor, float *data)
{
    return (struct teacher_value){
        .data = data, .shape = tensor->shape, .channels = tensor->shape.c, .type = DTYPE_FP32};
}

static struct teacher_value plain_input(const struct teacher_runner *runner)
{
    return value_of(&runner->plan.tensors[runner->plan.input], runner->input);
}

static struct teacher_value plain_output(const struct teacher_runner *runner, int i)
{
    return value_of(&runner->plan.tensors[runner->tensors[i]], runner->outputs[i]);
}

static const char *plain_describe(const struct teacher_runner *runner)
{
    (void)runner;
    return "own kernels, fp32";
}

const struct teacher_runner_ops runner_plain = {
    .input = plain_input,
    .run = plain_run,
    .output = plain_output,
    .describe = plain_describe,
    .free = plain_free,
};
