#include "shared/inference/cudnn/conv_plan.h"

#include "shared/inference/cudnn/conv_graph.h"

#include <stdlib.h>

struct conv_plan {
    descriptor config; /* NULL for a plan made from text */
    descriptor plan;
    size_t workspace;
    bool tensor_cores;
};

/* ---- devices ---- */

static enum status finish_device(struct conv_device *device, struct descriptor_set *set, descriptor properties,
                                 struct error *err)
{
    descriptor_finish(set, properties);
    enum status status = descriptor_check(set, "properties of the GPU", err);
    device->properties = status == STATUS_OK ? descriptor_take(set, properties) : NULL;
    descriptor_set_release(set);
    return status;
}

enum status conv_device_of_handle(struct conv_device *device, cudnnHandle_t handle, struct error *err)
{
    struct descriptor_set set = {0};
    descriptor properties = descriptor_new(&set, CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
    descriptor_put(&set, properties, CUDNN_ATTR_DEVICEPROP_HANDLE, CUDNN_TYPE_HANDLE, 1, &handle);
    return finish_device(device, &set, properties, err);
}

enum status conv_device_of_json(struct conv_device *device, const char *json, struct error *err)
{
    struct descriptor_set set = {0};
    descriptor properties = descriptor_new(&set, CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
    descriptor_put_text(&set, properties, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, json);
    return finish_device(device, &set, properties, err);
}

void conv_device_release(struct conv_device *device)
{
    if (device->properties)
        cudnnBackendDestroyDescriptor(device->properties);
    device->properties = NULL;
}

/* ---- plans ---- */

struct notes {
    bool acceptable, tensor_cores, compiled; /* compiled: at run time, about a second per plan */
};

/* What cuDNN says about the engine of a configuration, and whether it keeps our promises: the same bits every time,
 * sums in float, and products in float if float is requested. */
static struct notes read_notes(descriptor config, enum precision precision)
{
    cudnnBackendNumericalNote_t list[CUDNN_NUMERICAL_NOTE_TYPE_COUNT];
    cudnnBackendBehaviorNote_t behaviour[CUDNN_BEHAVIOR_NOTE_TYPE_COUNT];
    int64_t count = 0;
    struct notes notes = {0};
    struct descriptor_set set = {0};
    descriptor engine = descriptor_new(&set, CUDNN_BACKEND_ENGINE_DESCRIPTOR);
    notes.acceptable = set.status == CUDNN_STATUS_SUCCESS &&
                       cudnnBackendGetAttribute(config, CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
                                                &count, &engine) == CUDNN_STATUS_SUCCESS &&
                       cudnnBackendGetAttribute(engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE,
                                                CUDNN_NUMERICAL_NOTE_TYPE_COUNT, &count, list) == CUDNN_STATUS_SUCCESS;
    for (int64_t i = 0; notes.acceptable && i < count; i++) {
        notes.tensor_cores |= list[i] == CUDNN_NUMERICAL_NOTE_TENSOR_CORE;
        bool rounds =
            list[i] == CUDNN_NUMERICAL_NOTE_TENSOR_CORE || list[i] == CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS;
        if (list[i] == CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC ||
            list[i] == CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION || (rounds && precision == PRECISION_FP32))
            notes.acceptable = false;
    }
    if (cudnnBackendGetAttribute(engine, CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE, CUDNN_TYPE_BEHAVIOR_NOTE,
                                 CUDNN_BEHAVIOR_NOTE_TYPE_COUNT, &count, behaviour) != CUDNN_STATUS_SUCCESS)
        count = 0;
    for (int64_t i = 0; i < count; i++)
        notes.compiled |= behaviour[i] == CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION;
    descriptor_set_release(&set);
    return notes;
}

/* Finishes a plan, which the set owns, and releases the set; NULL if cuDNN cannot. */
static struct conv_plan *finish_plan(struct descriptor_set *set, descriptor plan, const struct conv_device *device)
{
    struct conv_plan *made = calloc(1, sizeof *made);
    descriptor_put_descriptor(set, plan, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, device->properties);
    descriptor_finish(set, plan);
    int64_t workspace = descriptor_int(set, plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE);
    if (made && set->status == CUDNN_STATUS_SUCCESS && workspace >= 0) {
        made->plan = descriptor_take(set, plan);
        made->workspace = (size_t)workspace;
    } else {
        free(made);
        made = NULL;
    }
    descriptor_set_release(set);
    return made;
}

static struct conv_plan *plan_of_config(const struct conv_device *device, descriptor config)
{
    struct descriptor_set set = {0};
    descriptor plan = descriptor_new(&set, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
    descriptor_put_descriptor(&set, plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, config);
    return finish_plan(&set, plan, device);
}

struct conv_plan *conv_plan_of_text(const struct conv_device *device, const char *text)
{
    struct descriptor_set set = {0};
    descriptor plan = descriptor_new(&set, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
    descriptor_put_text(&set, plan, CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION, text);
    return finish_plan(&set, plan, device);
}

char *conv_plan_text(const struct conv_plan *plan)
{
    struct descriptor_set set = {0};
    char *text = descriptor_text(&set, plan->plan, CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION);
    descriptor_set_release(&set);
    return text;
}

void conv_plan_free(struct conv_plan *plan)
{
    if (!plan)
        return;
    cudnnBackendDestroyDescriptor(plan->plan);
    if (plan->config)
        cudnnBackendDestroyDescriptor(plan->config);
    free(plan);
}

bool conv_plan_uses_tensor_cores(const struct conv_plan *plan)
{
    return plan->tensor_cores;
}

size_t conv_plan_workspace(const struct conv_plan *plan)
{
    return plan->workspace;
}

/* ---- cuDNN's proposals ---- */

enum { PROPOSALS = DESCRIPTOR_SET_CAPACITY - 8 };

/* Configurations that a heuristic proposes for a graph, best guess first; none if the graph is not supported. */
static enum status propose(struct descriptor_set *set, descriptor graph, const struct conv_device *device,
                           cudnnBackendHeurMode_t mode, descriptor configs[PROPOSALS], int64_t *count,
                           struct error *err)
{
    descriptor heuristic = descriptor_new(set, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
    descriptor_put_descriptor(set, heuristic, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph);
    descriptor_put(set, heuristic, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode);
    descriptor_put_descriptor(set, heuristic, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, device->properties);
    descriptor_finish(set, heuristic);
    for (int i = 0; i < PROPOSALS; i++)
        configs[i] = descriptor_new(set, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
    *count = descriptor_list(set, heuristic, CUDNN_ATTR_ENGINEHEUR_RESULTS, PROPOSALS, configs);
    return CUDNN_STATUS_CATEGORY(set->status) == CUDNN_STATUS_NOT_SUPPORTED
               ? STATUS_OK
               : descriptor_check(set, "plans for a convolution", err);
}

/* Asks one heuristic and adds the plans that can be finished, those on tensor cores in the first round. It tries only a
 * few of those that are compiled at run time: they are nearly equally good, and each takes a second. */
static enum status ask(descriptor graph, const struct conv_problem *problem, const struct conv_device *device,
                       cudnnBackendHeurMode_t mode, int capacity, struct conv_plan **plans, int *count,
                       struct error *err)
{
    enum { COMPILED = 3 };
    struct descriptor_set set = {0};
    descriptor configs[PROPOSALS];
    int64_t proposed = 0;
    int compiled = 0;
    enum status status = propose(&set, graph, device, mode, configs, &proposed, err);
    for (int round = 0; round < 2 && status == STATUS_OK; round++)
        for (int64_t i = 0; i < proposed && *count < capacity; i++) {
            struct notes notes = read_notes(configs[i], problem->precision);
            if (!notes.acceptable || notes.tensor_cores != (round == 0) || (notes.compiled && compiled == COMPILED))
                continue;
            compiled += notes.compiled;
            struct conv_plan *plan = plan_of_config(device, configs[i]);
            if (!plan)
                continue;
            plan->tensor_cores = notes.tensor_cores;
            plan->config = descriptor_take(&set, configs[i]);
            plans[(*count)++] = plan;
        }
    descriptor_set_release(&set);
    return status;
}

enum status conv_plans_find(const struct conv_problem *problem, const struct conv_device *device, int capacity,
                            struct conv_plan **plans, int *count, struct error *err)
{
    enum status status = STATUS_OK;
    struct descriptor_set set = {0};
    *count = 0;
    if (!conv_graph_has(problem->activation, problem->alpha, problem->beta))
        return STATUS_OK;
    descriptor graph = conv_graph(&set, problem);
    if (CUDNN_STATUS_CATEGORY(set.status) != CUDNN_STATUS_NOT_SUPPORTED) {
        TRY(descriptor_check(&set, "a convolution", err));
        TRY(ask(graph, problem, device, CUDNN_HEUR_MODE_A, capacity, plans, count, err));
        if (*count == 0)
            TRY(ask(graph, problem, device, CUDNN_HEUR_MODE_FALLBACK, capacity, plans, count, err));
    }
cleanup:
    descriptor_set_release(&set);
    return status;
}

/* ---- running ---- */

enum status conv_plan_bind(const struct conv_memory *memory, const char *name, descriptor *call, struct error *err)
{
    const struct {
        int64_t id;
        const void *place;
    } all[] = {{CONV_X, memory->x},
               {CONV_W, memory->w},
               {CONV_BIAS, memory->bias},
               {CONV_ADDEND, memory->addend},
               {CONV_Y, memory->y}};
    enum { TENSORS = sizeof all / sizeof *all };
    int64_t ids[TENSORS], count = 0;
    const void *places[TENSORS];
    for (int i = 0; i < TENSORS; i++)
        if (all[i].place) {
            ids[count] = all[i].id;
            places[count++] = all[i].place;
        }
    struct descriptor_set set = {0};
    descriptor pack = descriptor_new(&set, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
    descriptor_put(&set, pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, count, places);
    descriptor_put(&set, pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, count, ids);
    descriptor_put(&set, pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &memory->workspace);
    descriptor_finish(&set, pack);
    enum status status = descriptor_check(&set, name, err);
    *call = status == STATUS_OK ? descriptor_take(&set, pack) : NULL;
    descriptor_set_release(&set);
    return status;
}

enum status conv_plan_run(const struct conv_plan *plan, descriptor call, cudnnHandle_t handle, const char *name,
                          struct error *err)
{
    return cudnn_check(cudnnBackendExecute(handle, plan->plan, call), name, err);
}
