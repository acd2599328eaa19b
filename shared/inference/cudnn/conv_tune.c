/* Times plans against each other on zeros, on the handle's stream. */
#include "shared/inference/cudnn/conv_choice.h"
#include "shared/inference/cudnn/teacher_cuda_check.h"

struct race {
    cudnnHandle_t handle;
    cudaStream_t stream;
    cudaEvent_t start, stop;
    struct conv_memory memory;
    void *block;
};

static size_t aligned(size_t bytes)
{
    return (bytes + 255) / 256 * 256;
}

static size_t map_bytes(const struct conv_problem *problem, int n, struct shape map)
{
    size_t element = problem->precision == PRECISION_FP16 || problem->precision == PRECISION_BF16 ? 2 : 4;
    return aligned((size_t)n * (size_t)map.c * (size_t)map.h * (size_t)map.w * element);
}

/* Memory for all operands of the problem, in one block; race->block stays NULL if there is not enough. */
static enum status make_memory(struct race *race, const struct conv_problem *problem, size_t workspace,
                               size_t memory_limit, struct error *err)
{
    enum status status = STATUS_OK;
    const struct shape filter = {problem->in.c / problem->groups, problem->window.kernel_h, problem->window.kernel_w};
    size_t x = map_bytes(problem, problem->batch, problem->in), y = map_bytes(problem, problem->batch, problem->out),
           w = map_bytes(problem, problem->out.c, filter),
           bias = map_bytes(problem, 1, (struct shape){problem->out.c, 1, 1});
    size_t used = x + w + bias + y + (problem->has_addend ? y : 0);
    if (memory_limit && used + workspace > memory_limit)
        return STATUS_OK;
    const cudaError_t allocated = cudaMalloc(&race->block, used + workspace);
    if (allocated == cudaErrorMemoryAllocation) {
        cudaGetLastError(); /* it would be taken for an error of the next kernel */
        race->block = NULL;
        return STATUS_OK;
    }
    TRY(teacher_cuda_check(allocated, "memory for timing convolutions", err));
    TRY(teacher_cuda_check(cudaMemsetAsync(race->block, 0, used, race->stream), "timing convolutions", err));
    char *at = race->block;
    race->memory = (struct conv_memory){.x = at, .w = at + x, .y = at + x + w + bias};
    race->memory.bias = problem->has_bias ? at + x + w : NULL;
    race->memory.addend = problem->has_addend ? at + x + w + bias + y : NULL;
    race->memory.workspace = workspace ? at + used : NULL;
cleanup:
    return status;
}

/* The best of a few runs, in milliseconds; STATUS_OK with -1 if the plan does not run. */
static enum status time_plan(const struct race *race, const struct conv_plan *plan, float *best, struct error *err)
{
    enum { WARM = 2, RUNS = 6 };
    enum status status = STATUS_OK;
    descriptor call = NULL;
    struct error refused = {0};
    *best = -1;
    TRY(conv_plan_bind(&race->memory, "timing convolutions", &call, err));
    for (int i = 0; i < WARM + RUNS; i++) {
        float milliseconds;
        TRY(teacher_cuda_check(cudaEventRecord(race->start, race->stream), "timing convolutions", err));
        if (conv_plan_run(plan, call, race->handle, "timing convolutions", &refused) != STATUS_OK) {
            *best = -1;
            break;
        }
        TRY(teacher_cuda_check(cudaEventRecord(race->stop, race->stream), "timing convolutions", err));
        TRY(teacher_cuda_check(cudaEventSynchronize(race->stop), "timing convolutions", err));
        TRY(teacher_cuda_check(cudaEventElapsedTime(&milliseconds, race->start, race->stop), "timing convolutions",
                               err));
        if (i >= WARM && (*best < 0 || milliseconds < *best))
            *best = milliseconds;
    }
cleanup:
    if (call)
        cudnnBackendDestroyDescriptor(call);
    return status;
}

static enum status make_race(struct race *race, const struct conv_problem *problem, cudnnHandle_t handle,
                             size_t workspace, size_t memory_limit, struct error *err)
{
    enum status status = STATUS_OK;
    *race = (struct race){.handle = handle};
    TRY(cudnn_check(cudnnGetStream(handle, &race->stream), "timing convolutions", err));
    TRY(teacher_cuda_check(cudaEventCreate(&race->start), "timing convolutions", err));
    TRY(teacher_cuda_check(cudaEventCreate(&race->stop), "timing convolutions", err));
    TRY(make_memory(race, problem, workspace, memory_limit, err));
cleanup:
    return status;
}

static void race_release(struct race *race)
{
    if (race->start)
        cudaEventDestroy(race->start);
    if (race->stop)
        cudaEventDestroy(race->stop);
    cudaFree(race->block);
}

enum status conv_tune(const struct conv_problem *problem, cudnnHandle_t handle, size_t memory_limit,
                      struct conv_plan **plans, int count, struct error *err)
{
    enum status status = STATUS_OK;
    struct race race;
    size_t workspace = 0;
    float best = -1;
    int winner = 0;
    for (int i = 0; i < count; i++)
        if (conv_plan_workspace(plans[i]) > workspace)
            workspace = conv_plan_workspace(plans[i]);
    TRY(make_race(&race, problem, handle, workspace, memory_limit, err));
    if (!race.block)
        goto cleanup;
    for (int i = 0; i < count; i++) {
        float milliseconds;
        TRY(time_plan(&race, plans[i], &milliseconds, err));
        if (milliseconds >= 0 && (best < 0 || milliseconds < best)) {
            best = milliseconds;
            winner = i;
        }
    }
    struct conv_plan *first = plans[0];
    plans[0] = plans[winner];
    plans[winner] = first;
cleanup:
    race_release(&race);
    return status;
}
