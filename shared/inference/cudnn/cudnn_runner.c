/* The engine behind teacher_runner.h: folds the graph, makes the plan, owns the device memory. */
#include "shared/inference/cudnn/teacher_cuda_check.h"
#include "shared/inference/cudnn/teacher_run.h"
#include "shared/inference/cuda/teacher_planner.h"

#include <stdio.h>
#include <stdlib.h>

struct teacher_runner {
    struct teacher_plan plan;
    struct libraries *libraries;
    cudaStream_t stream;
    struct teacher_memory memory;
    char description[160];
};

static void runner_free(struct teacher_runner *runner)
{
    if (!runner)
        return;
    cudaStreamSynchronize(runner->stream);
    cudaFree(runner->memory.weights);
    cudaFree(runner->memory.values);
    cudaFree(runner->memory.input);
    cudaFree(runner->memory.workspace);
    teacher_plan_release(&runner->plan);
    libraries_free(runner->libraries);
    free(runner);
}

/* ---- making ---- */

/* Plans a graph and places its values; the caller releases *folded. */
static enum status make_plan(struct teacher_plan *plan, struct libraries *libraries, const struct graph *graph,
                             const struct teacher_runner_options *options, struct graph *folded, struct error *err)
{
    enum status status = STATUS_OK;
    int *wanted = calloc((size_t)options->output_count, sizeof *wanted);
    if (!wanted)
        return error_no_memory(err, (size_t)options->output_count * sizeof *wanted, "the teacher");
    plan->batch = options->batch;
    plan->precision = options->precision;
    TRY(graph_fold(graph, folded, options->outputs, options->output_count, wanted, err));
    TRY(teacher_compile(plan, folded, wanted, options->output_count, err));
    TRY(teacher_plan_layers(plan, libraries, err));
    TRY(teacher_place_values(plan, err));
    teacher_place_weights(plan, folded);
cleanup:
    free(wanted);
    return status;
}

static enum status check_memory(const struct teacher_runner *runner, const struct teacher_runner_options *options,
                                size_t *wanted, struct error *err)
{
    enum status status = STATUS_OK;
    const struct teacher_plan *plan = &runner->plan;
    size_t free_bytes, total, limit;
    *wanted = plan->value_bytes + plan->weight_bytes + plan->workspace + teacher_value_bytes(plan, plan->input);
    TRY(teacher_cuda_check(cudaMemGetInfo(&free_bytes, &total), "the GPU's memory", err));
    limit = options->memory_limit && options->memory_limit < free_bytes ? options->memory_limit : free_bytes;
    if (*wanted > limit)
        return error_set(err, STATUS_CONFIG, NULL,
                         "the teacher needs %zu MiB of GPU memory for batches of %d, but may use only %zu MiB "
                         "(%zu MiB are free): use a smaller batch",
                         *wanted >> 20, plan->batch, limit >> 20, free_bytes >> 20);
cleanup:
    return status;
}

static enum status allocate(struct teacher_runner *runner, struct error *err)
{
    enum status status = STATUS_OK;
    const struct teacher_plan *plan = &runner->plan;
    struct teacher_memory *memory = &runner->memory;
    const size_t input = teacher_value_bytes(plan, plan->input);
    TRY(teacher_cuda_check(cudaMalloc((void **)&memory->input, input), "memory for the teacher's input", err));
    TRY(teacher_cuda_check(cudaMemsetAsync(memory->input, 0, input, runner->stream), "the teacher's input", err));
    if (plan->value_bytes)
        TRY(teacher_cuda_check(cudaMalloc((void **)&memory->values, plan->value_bytes),
                               "memory for the teacher's values", err));
    if (plan->weight_bytes)
        TRY(teacher_cuda_check(cudaMalloc((void **)&memory->weights, plan->weight_bytes),
                               "memory for the teacher's weights", err));
    if (plan->workspace)
        TRY(teacher_cuda_check(cudaMalloc(&memory->workspace, plan->workspace), "working memory for the teacher", err));
cleanup:
    return status;
}

static enum status upload_weights(struct teacher_runner *runner, const struct graph *folded, struct error *err)
{
    enum status status = STATUS_OK;
    void *packed = NULL;
    const size_t bytes = runner->plan.weight_bytes;
    if (!bytes)
        return STATUS_OK;
    TRY(memory_new(&packed, bytes, 1, "the teacher's weights", err));
    TRY(teacher_pack_weights(&runner->plan, folded, packed, err));
    TRY(teacher_cuda_check(
        cudaMemcpyAsync(runner->memory.weights, packed, bytes, cudaMemcpyHostToDevice, runner->stream),
        "uploading the teacher's weights", err));
    TRY(teacher_cuda_check(cudaStreamSynchronize(runner->stream), "uploading the teacher's weights", err));
cleanup:
    memory_free(packed);
    return status;
}

static enum status check_options(const struct teacher_runner_options *options, struct error *err)
{
    if (options->batch < 1 || options->output_count < 1)
        return error_set(err, STATUS_INTERNAL, NULL, "a teacher needs a batch and an output");
    return STATUS_OK;
}

static enum status runner_new(struct teacher_runner **out, const struct graph *graph,
                              const struct teacher_runner_options *options, void *stream, struct error *err)
{
    enum status status = STATUS_OK;
    struct graph folded;
    size_t bytes = 0;
    struct teacher_runner *runner = calloc(1, sizeof *runner);
    *out = NULL;
    if (!runner)
        return error_no_memory(err, sizeof *runner, "the teacher");
    graph_init(&folded);
    runner->stream = stream;
    TRY(check_options(options, err));
    TRY(libraries_new(&runner->libraries, options, runner->stream, err));
    TRY(make_plan(&runner->plan, runner->libraries, graph, options, &folded, err));
    TRY(check_memory(runner, options, &bytes, err));
    TRY(allocate(runner, err));
    TRY(upload_weights(runner, &folded, err));
    TRY(teacher_bind_steps(&runner->plan, &runner->memory, err));
    TRY(teacher_run_steps(&runner->plan, &runner->memory, runner->stream, err));
    TRY(teacher_cuda_check(cudaStreamSynchronize(runner->stream), "the teacher's first pass", err));
    snprintf(runner->description, sizeof runner->description,
             "%s: %d of %d convolutions planned, %d of them with all that follows fused, %zu MiB",
             libraries_name(runner->libraries), runner->plan.conv_planned, runner->plan.conv_count,
             runner->plan.conv_fused, bytes >> 20);
    *out = runner;
    runner = NULL;
cleanup:
    graph_release(&folded);
    runner_free(runner);
    return status;
}

/* ---- running ---- */

static struct teacher_value describe_value(const struct teacher_runner *runner, int value)
{
    const struct planned_value *v = &runner->plan.values[value];
    return (struct teacher_value){teacher_place(&runner->plan, &runner->memory, value), v->shape, v->channels, v->type};
}

static struct teacher_value runner_input(const struct teacher_runner *runner)
{
    return describe_value(runner, runner->plan.input);
}

static struct teacher_value runner_output(const struct teacher_runner *runner, int i)
{
    return describe_value(runner, runner->plan.outputs[i]);
}

static enum status runner_run(struct teacher_runner *runner, struct error *err)
{
    return teacher_run_steps(&runner->plan, &runner->memory, runner->stream, err);
}

static const char *runner_describe(const struct teacher_runner *runner)
{
    return runner->description;
}

extern const struct teacher_runner_ops softcache_teacher_cudnn_1; /* TEACHER_CUDNN_SYMBOL */
const struct teacher_runner_ops softcache_teacher_cudnn_1 = {runner_new,    runner_input,    runner_run,
                                                             runner_output, runner_describe, runner_free};

/* ---- planning without a GPU ---- */

static enum status planner_plan(const struct graph *graph, const struct teacher_runner_options *options,
                                const char *device_json, struct teacher_plan_report *report, struct error *err)
{
    enum status status = STATUS_OK;
    struct teacher_plan plan = {0};
    struct libraries *libraries = NULL;
    struct graph folded;
    graph_init(&folded);
    TRY(check_options(options, err));
    TRY(libraries_new_without_gpu(&libraries, options, device_json, err));
    TRY(make_plan(&plan, libraries, graph, options, &folded, err));
    *report = (struct teacher_plan_report){plan.conv_count,  plan.conv_planned, plan.conv_fused,
                                           plan.value_bytes, plan.weight_bytes, plan.workspace};
    snprintf(report->library, sizeof report->library, "%s", libraries_name(libraries));
cleanup:
    teacher_plan_release(&plan);
    libraries_free(libraries);
    graph_release(&folded);
    return status;
}

extern const struct teacher_planner_ops softcache_teacher_planner_1; /* TEACHER_PLANNER_SYMBOL */
const struct teacher_planner_ops softcache_teacher_planner_1 = {planner_plan};
