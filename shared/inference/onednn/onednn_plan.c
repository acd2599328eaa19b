#include "shared/inference/onednn/onednn_plan.h"

#include <stdlib.h>
#include <string.h>

static const char WHAT[] = "the teacher's plan"; /* in messages about memory */

static const char *reason(dnnl_status_t result)
{
    switch (result) {
    case dnnl_out_of_memory:
        return "out of memory";
    case dnnl_invalid_arguments:
        return "invalid arguments";
    case dnnl_unimplemented:
        return "not implemented for these shapes";
    default:
        return "it failed while running";
    }
}

enum status onednn_status(dnnl_status_t result, const char *node, struct error *err)
{
    if (result == dnnl_success)
        return STATUS_OK;
    return error_set(err, STATUS_INTERNAL, NULL, "node '%s': oneDNN failed: %s (status %d)", node, reason(result),
                     (int)result);
}

enum status onednn_new_attributes(dnnl_primitive_attr_t *out, const char *name, struct error *err)
{
    enum status status = STATUS_OK;
    *out = NULL;
    TRY(onednn_status(dnnl_primitive_attr_create(out), name, err));
    TRY(onednn_status(dnnl_primitive_attr_set_scratchpad_mode(*out, dnnl_scratchpad_mode_user), name, err));
cleanup:
    return status;
}

enum status onednn_plan_init(struct onednn_plan *plan, struct error *err)
{
    enum status status = STATUS_OK;
    *plan = (struct onednn_plan){0};
    TRY(onednn_status(dnnl_engine_create(&plan->engine, dnnl_cpu, 0), "engine", err));
    TRY(onednn_status(dnnl_stream_create(&plan->stream, plan->engine, dnnl_stream_default_flags), "stream", err));
    TRY(onednn_new_attributes(&plan->attributes, "attributes", err));
cleanup:
    if (status != STATUS_OK)
        onednn_plan_release(plan);
    return status;
}

void onednn_plan_release(struct onednn_plan *plan)
{
    for (int i = 0; i < plan->step_count; i++)
        if (plan->steps[i].primitive)
            dnnl_primitive_destroy(plan->steps[i].primitive);
    for (int i = 0; i < plan->storage_count; i++)
        memory_free(plan->storages[i].data);
    for (int i = 0; i < plan->md_count; i++)
        onednn_md_free(plan->mds[i]);
    free(plan->mds);
    free(plan->storages);
    free(plan->tensors);
    free(plan->steps);
    free(plan->arguments);
    arena_release(&plan->memory);
    if (plan->attributes)
        dnnl_primitive_attr_destroy(plan->attributes);
    if (plan->stream)
        dnnl_stream_destroy(plan->stream);
    if (plan->engine)
        dnnl_engine_destroy(plan->engine);
    *plan = (struct onednn_plan){0};
}

/* Room for one more: what is made next belongs to the plan. */
static enum status grow_mds(struct onednn_plan *plan, struct error *err)
{
    return array_grow(&plan->mds, sizeof *plan->mds, (size_t)plan->md_count, &plan->md_capacity, WHAT, err);
}

enum status onednn_add_md(struct onednn_plan *plan, int rank, const dnnl_dims_t dims, dnnl_format_tag_t tag,
                          const_dnnl_memory_desc_t *md, struct error *err)
{
    enum status status = STATUS_OK;
    TRY(grow_mds(plan, err));
    TRY(onednn_status(onednn_md_new(md, rank, dims, tag), "layout", err));
    plan->mds[plan->md_count++] = *md;
cleanup:
    return status;
}

enum status onednn_add_map_md(struct onednn_plan *plan, struct shape shape, dnnl_format_tag_t tag,
                              const_dnnl_memory_desc_t *md, struct error *err)
{
    return onednn_add_md(plan, 4, (dnnl_dims_t){1, shape.c, shape.h, shape.w}, tag, md, err);
}

static enum status copy_md(struct onednn_plan *plan, const_dnnl_memory_desc_t md, const_dnnl_memory_desc_t *copy,
                           struct error *err)
{
    enum status status = STATUS_OK;
    TRY(grow_mds(plan, err));
    TRY(onednn_status(onednn_md_clone(copy, md), "layout", err));
    plan->mds[plan->md_count++] = *copy;
cleanup:
    return status;
}

enum status onednn_add_tensor(struct onednn_plan *plan, const_dnnl_memory_desc_t md, enum onednn_storage_kind kind,
                              int *tensor, struct error *err)
{
    enum status status = STATUS_OK;
    const_dnnl_memory_desc_t copy;
    TRY(copy_md(plan, md, &copy, err));
    TRY(array_grow(&plan->storages, sizeof *plan->storages, (size_t)plan->storage_count, &plan->storage_capacity, WHAT,
                   err));
    TRY(array_grow(&plan->tensors, sizeof *plan->tensors, (size_t)plan->tensor_count, &plan->tensor_capacity, WHAT,
                   err));
    plan->storages[plan->storage_count] =
        (struct onednn_storage){.kind = kind, .life = lifetime_new(dnnl_memory_desc_get_size(copy))};
    plan->tensors[plan->tensor_count] = (struct onednn_tensor){copy, plan->storage_count++};
    *tensor = plan->tensor_count++;
cleanup:
    return status;
}

enum status onednn_add_view(struct onednn_plan *plan, int of, const_dnnl_memory_desc_t md, int *tensor,
                            struct error *err)
{
    enum status status = STATUS_OK;
    const_dnnl_memory_desc_t copy;
    TRY(copy_md(plan, md, &copy, err));
    TRY(array_grow(&plan->tensors, sizeof *plan->tensors, (size_t)plan->tensor_count, &plan->tensor_capacity, WHAT,
                   err));
    plan->tensors[plan->tensor_count] = (struct onednn_tensor){copy, plan->tensors[of].storage};
    *tensor = plan->tensor_count++;
cleanup:
    return status;
}

/* Reorders at once, outside the plan. */
static enum status reorder_now(struct onednn_plan *plan, const char *name, const_dnnl_memory_desc_t from,
                               const void *source, const_dnnl_memory_desc_t to, void *target, struct error *err)
{
    enum status status = STATUS_OK;
    dnnl_primitive_desc_t descriptor = NULL;
    dnnl_primitive_t primitive = NULL;
    dnnl_memory_t memories[2] = {NULL, NULL};
    TRY(onednn_status(dnnl_memory_create(&memories[0], from, plan->engine, (void *)(size_t)source), name, err));
    TRY(onednn_status(dnnl_memory_create(&memories[1], to, plan->engine, target), name, err));
    TRY(onednn_status(dnnl_reorder_primitive_desc_create(&descriptor, from, plan->engine, to, plan->engine, NULL), name,
                      err));
    TRY(onednn_status(dnnl_primitive_create(&primitive, descriptor), name, err));
    const dnnl_exec_arg_t arguments[2] = {{DNNL_ARG_FROM, memories[0]}, {DNNL_ARG_TO, memories[1]}};
    TRY(onednn_status(dnnl_primitive_execute(primitive, plan->stream, 2, arguments), name, err));
    TRY(onednn_status(dnnl_stream_wait(plan->stream), name, err));
cleanup:
    if (primitive)
        dnnl_primitive_destroy(primitive);
    if (descriptor)
        dnnl_primitive_desc_destroy(descriptor);
    for (int i = 0; i < 2; i++)
        if (memories[i])
            dnnl_memory_destroy(memories[i]);
    return status;
}

enum status onednn_add_constant(struct onednn_plan *plan, const char *name, const float *data,
                                const_dnnl_memory_desc_t given, const_dnnl_memory_desc_t wanted, int *tensor,
                                struct error *err)
{
    enum status status = STATUS_OK;
    TRY(onednn_add_tensor(plan, wanted, ONEDNN_CONSTANT, tensor, err));
    struct onednn_storage *storage = &plan->storages[plan->tensors[*tensor].storage];
    TRY(memory_new(&storage->data, storage->life.size, 1, "the teacher's weights", err));
    TRY(reorder_now(plan, name, given, data, wanted, storage->data, err));
cleanup:
    return status;
}

/* step: its name is copied, its arguments are set here. */
static enum status append_step(struct onednn_plan *plan, struct onednn_step step,
                               const struct onednn_argument *arguments, int argument_count, struct error *err)
{
    enum status status = STATUS_OK;
    const size_t length = strlen(step.name);
    step.name = arena_strdup(&plan->memory, step.name);
    if (!step.name)
        return error_no_memory(err, length, WHAT);
    TRY(array_grow(&plan->steps, sizeof *plan->steps, (size_t)plan->step_count, &plan->step_capacity, WHAT, err));
    step.first_argument = plan->argument_count;
    step.argument_count = argument_count;
    for (int i = 0; i < argument_count; i++) {
        TRY(array_grow(&plan->arguments, sizeof *plan->arguments, (size_t)plan->argument_count,
                       &plan->argument_capacity, WHAT, err));
        plan->arguments[plan->argument_count++] = arguments[i];
        lifetime_use(&plan->storages[plan->tensors[arguments[i].tensor].storage].life, plan->step_count);
    }
    plan->steps[plan->step_count++] = step;
cleanup:
    return status;
}

enum status onednn_add_step(struct onednn_plan *plan, const char *name, dnnl_primitive_desc_t descriptor,
                            const struct onednn_argument *arguments, int argument_count, struct error *err)
{
    enum status status = STATUS_OK;
    dnnl_primitive_t primitive = NULL;
    struct onednn_argument all[NODE_MAX_INPUTS + 8];
    const_dnnl_memory_desc_t scratch = dnnl_primitive_desc_query_md(descriptor, dnnl_query_scratchpad_md, 0);
    memcpy(all, arguments, (size_t)argument_count * sizeof *all);
    if (scratch && dnnl_memory_desc_get_size(scratch) > 0) {
        all[argument_count].kind = DNNL_ARG_SCRATCHPAD;
        TRY(onednn_add_tensor(plan, scratch, ONEDNN_ARENA, &all[argument_count].tensor, err));
        argument_count++;
    }
    TRY(onednn_status(dnnl_primitive_create(&primitive, descriptor), name, err));
    TRY(append_step(plan, (struct onednn_step){.primitive = primitive, .name = name}, all, argument_count, err));
    primitive = NULL;
cleanup:
    if (primitive)
        dnnl_primitive_destroy(primitive);
    dnnl_primitive_desc_destroy(descriptor);
    return status;
}

enum status onednn_add_kernel(struct onednn_plan *plan, const char *name, lanes_kernel *kernel, const void *setup,
                              const int *tensors, int count, struct error *err)
{
    struct onednn_argument arguments[NODE_MAX_INPUTS + 8];
    for (int i = 0; i < count; i++)
        arguments[i] = (struct onednn_argument){0, tensors[i]};
    return append_step(plan, (struct onednn_step){.kernel = kernel, .setup = setup, .name = name}, arguments, count,
                       err);
}

enum status onednn_add_reorder(struct onednn_plan *plan, const char *name, int from, int to, struct error *err)
{
    enum status status = STATUS_OK;
    dnnl_primitive_desc_t descriptor = NULL;
    const struct onednn_argument arguments[2] = {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}};
    TRY(onednn_status(dnnl_reorder_primitive_desc_create(&descriptor, plan->tensors[from].md, plan->engine,
                                                         plan->tensors[to].md, plan->engine, plan->attributes),
                      name, err));
    TRY(onednn_add_step(plan, name, descriptor, arguments, 2, err));
cleanup:
    return status;
}

enum status onednn_add_layout(struct onednn_plan *plan, const char *name, int tensor, const_dnnl_memory_desc_t md,
                              int *out, struct error *err)
{
    enum status status = STATUS_OK;
    *out = tensor;
    if (dnnl_memory_desc_equal(plan->tensors[tensor].md, md))
        return STATUS_OK;
    TRY(onednn_add_tensor(plan, md, ONEDNN_ARENA, out, err));
    TRY(onednn_add_reorder(plan, name, tensor, *out, err));
cleanup:
    return status;
}

enum status onednn_plan_finish(struct onednn_plan *plan, struct error *err)
{
    enum { ALIGNMENT = 64 };
    enum status status = STATUS_OK;
    struct lifetime *lives = calloc((size_t)plan->storage_count + 1, sizeof *lives);
    if (!lives)
        return error_no_memory(err, (size_t)plan->storage_count * sizeof *lives, WHAT);
    for (int i = 0; i < plan->storage_count; i++) {
        lives[i] = plan->storages[i].life;
        if (plan->storages[i].kind != ONEDNN_ARENA || lives[i].first == LIFETIME_UNUSED)
            lives[i].size = 0;
    }
    TRY(plan_memory(lives, plan->storage_count, ALIGNMENT, &plan->arena_bytes, err));
    for (int i = 0; i < plan->storage_count; i++)
        plan->storages[i].life.offset = lives[i].offset;
cleanup:
    free(lives);
    return status;
}
