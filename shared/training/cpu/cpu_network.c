/* Prepares the workspace of a plan, and runs its steps. */
#include "shared/training/cpu/cpu_run.h"

#include <stdlib.h>
#include <string.h>

/* The kinds of steps: each is a file of its name in shared/training/steps. */
static const struct cpu_step_kernel *const kernels[STEP_KIND_COUNT] = {
    [STEP_CONV] = &cpu_conv,
    [STEP_POINTWISE] = &cpu_pointwise,
    [STEP_DEPTHWISE] = &cpu_depthwise,
    [STEP_LINEAR] = &cpu_linear,
    [STEP_MAX_POOL] = &cpu_max_pool,
    [STEP_AVERAGE_POOL] = &cpu_average_pool,
    [STEP_GLOBAL_AVERAGE_POOL] = &cpu_global_pool,
    [STEP_ADD] = &cpu_add,
    [STEP_CONCAT] = &cpu_concat,
    [STEP_DROPOUT] = &cpu_dropout,
    [STEP_COPY] = &cpu_copy,
    [STEP_MULTIPLY] = &cpu_multiply,
    [STEP_SCALE] = &cpu_scale,
    [STEP_PRELU] = &cpu_prelu,
    [STEP_SELECT] = &cpu_select,
    [STEP_GROUP_NORM] = &cpu_group_norm,
    [STEP_LAYER_NORM] = &cpu_layer_norm,
    [STEP_LP_NORM] = &cpu_lp_norm,
    [STEP_PAD] = &cpu_pad,
    [STEP_RESIZE] = &cpu_resize,
    [STEP_QUANTISE] = &cpu_quantise,
};

static size_t most(size_t a, size_t b)
{
    return a > b ? a : b;
}

static enum status floats_new(float **out, size_t count, const char *what, struct error *err)
{
    return memory_new((void **)out, count, sizeof **out, what, err);
}

/* What the steps need of the plan's tensors; the rows of statistics are taken from workspace->rows. */
static enum status prepare_tensors(struct cpu_workspace *w, const struct plan *plan, struct error *err)
{
    size_t floats = 0;
    w->tensors = calloc((size_t)plan->tensor_count, sizeof *w->tensors);
    if (!w->tensors)
        return error_no_memory(err, (size_t)plan->tensor_count * sizeof *w->tensors, "a workspace");
    for (int i = 0; i < plan->tensor_count; i++)
        if (plan->tensors[i].batch_norm >= 0)
            floats += PLAN_STATISTICS * (size_t)row_width(plan->tensors[i].shape.c);
    enum status status = floats_new(&w->rows, floats, "batch statistics", err);
    if (status != STATUS_OK)
        return status;
    float *rows = w->rows;
    for (int i = 0; i < plan->tensor_count; i++) {
        const struct plan_tensor *from = &plan->tensors[i];
        struct cpu_tensor *t = &w->tensors[i];
        t->shape = from->shape;
        t->dtype = i == plan->output ? DTYPE_FP32 : plan->dtype;
        t->sample = (size_t)from->shape.c * (size_t)from->shape.h * (size_t)from->shape.w;
        t->width = row_width(from->shape.c);
        t->value = from->value;
        t->gradient = from->gradient;
        t->batch_norm = from->batch_norm;
        t->epilogue = (struct epilogue){
            .width = t->width, .activation = from->activation, .alpha = from->alpha, .beta = from->beta};
        if (t->batch_norm < 0)
            continue;
        for (int row = 0; row < PLAN_STATISTICS; row++, rows += t->width)
            t->rows[row] = rows;
        t->epilogue.scale = t->rows[PLAN_SCALE];
        t->epilogue.shift = t->rows[PLAN_SHIFT];
        t->epilogue.mean = t->rows[PLAN_MEAN];
    }
    return STATUS_OK;
}

/* The sums of every slice, for the widest tensor of the plan. */
static enum status prepare_slices(struct cpu_workspace *w, const struct plan *plan, struct error *err)
{
    enum status status = STATUS_OK;
    size_t width = 0, channels = 0;
    for (int i = 0; i < plan->tensor_count; i++) {
        channels = most(channels, (size_t)plan->tensors[i].shape.c);
        width = most(width, (size_t)row_width(plan->tensors[i].shape.c));
    }
    TRY(floats_new(&w->zeros, width, "a workspace", err));
    TRY(floats_new(&w->sums, MAX_SLICES * 3 * width, "sums", err));
    TRY(memory_new((void **)&w->doubles, MAX_SLICES * 4 * channels, sizeof(double), "sums", err));
    for (size_t i = 0; i < MAX_SLICES; i++) {
        struct cpu_slice *slice = &w->slices[i];
        slice->pivot = w->sums + 3 * i * width;
        slice->tile = slice->pivot + width;
        slice->first = w->doubles + 4 * i * channels;
        slice->second = slice->first + channels;
        slice->bias = slice->second + channels;
        slice->weight = slice->bias + channels;
    }
cleanup:
    return status;
}

static enum status prepare_scratch(struct cpu_workspace *w, const struct plan *plan, struct error *err)
{
    enum status status = STATUS_OK;
    struct step_need all = {0};
    for (int i = 0; i < plan->step_count; i++) {
        const struct plan_step *step = &plan->steps[i];
        struct step_need need = kernels[step->kind]->need(plan, step);
        all.scratch = most(all.scratch, need.scratch);
        all.packed = most(all.packed, need.packed);
        all.partial = most(all.partial, need.partial);
        all.shared = most(all.shared, need.shared);
        all.taps = most(all.taps, need.taps);
    }
    TRY(floats_new(&w->packed, all.packed + KERNEL_SLACK, "packed weights", err));
    TRY(floats_new(&w->partial, all.partial + KERNEL_SLACK, "weight gradients", err));
    TRY(floats_new(&w->shared, all.shared + KERNEL_SLACK, "a linear layer", err));
    TRY(memory_new((void **)&w->taps, all.taps, sizeof *w->taps, "a window", err));
    TRY(memory_new((void **)&w->offsets, all.taps, sizeof *w->offsets, "a window", err));
    w->scratch = calloc((size_t)w->workers, sizeof *w->scratch);
    if (!w->scratch)
        return error_no_memory(err, (size_t)w->workers * sizeof *w->scratch, "a workspace");
    for (int i = 0; i < w->workers; i++)
        TRY(floats_new(&w->scratch[i], all.scratch + KERNEL_SLACK, "a worker's scratch memory", err));
cleanup:
    return status;
}

static void workspace_free(struct cpu_workspace *w)
{
    if (!w)
        return;
    for (int i = 0; w->scratch && i < w->workers; i++)
        memory_free(w->scratch[i]);
    free(w->scratch);
    free(w->tensors);
    memory_free(w->packed);
    memory_free(w->partial);
    memory_free(w->shared);
    memory_free(w->zeros);
    memory_free(w->taps);
    memory_free(w->offsets);
    memory_free(w->rows);
    memory_free(w->sums);
    memory_free(w->doubles);
    free(w);
}

static enum status workspace_new(struct cpu_workspace **out, const struct device *device, const struct plan *plan,
                                 struct error *err)
{
    enum status status = STATUS_OK;
    struct cpu_workspace *w = calloc(1, sizeof *w);
    if (!w)
        return error_no_memory(err, sizeof *w, "a workspace");
    w->workers = thread_pool_size(device->pool);
    TRY(prepare_tensors(w, plan, err));
    TRY(prepare_slices(w, plan, err));
    TRY(prepare_scratch(w, plan, err));
    *out = w;
    w = NULL;
cleanup:
    workspace_free(w);
    return status;
}

/* One workspace per student: it keeps the coefficients of batch norms from forward to backward. */
struct workspaces {
    int count;
    struct cpu_workspace *of[TRAINING_MAX_STUDENTS];
};

static void release(struct device *device, void *workspace)
{
    struct workspaces *all = workspace;
    (void)device;
    for (int i = 0; all && i < all->count; i++)
        workspace_free(all->of[i]);
    free(all);
}

static enum status prepare(struct device *device, const struct plan *plan, int students, void **workspace,
                           struct error *err)
{
    enum status status = STATUS_OK;
    struct workspaces *all = NULL;
    *workspace = NULL;
    if (plan->dtype != DTYPE_FP32 && plan->dtype != DTYPE_BF16)
        return error_set(err, STATUS_CONFIG, NULL, "the CPU stores activations in fp32 or bf16, not in %s",
                         dtype_name(plan->dtype));
    all = calloc(1, sizeof *all);
    if (!all)
        return error_no_memory(err, sizeof *all, "a workspace");
    for (; all->count < students; all->count++)
        TRY(workspace_new(&all->of[all->count], device, plan, err));
    *workspace = all;
    all = NULL;
cleanup:
    release(device, all);
    return status;
}

/* The memory of one student, with its own workspace. */
static struct network_memory memory_of(const struct plan *plan, const struct network_memory *all, int student)
{
    const struct workspaces *workspaces = all->workspace;
    const size_t k = (size_t)student;
    return (struct network_memory){
        .students = 1,
        .values = (char *)all->values + k * plan->value_count * dtype_size(plan->dtype),
        .gradients = (char *)all->gradients + k * plan->gradient_count * dtype_size(plan->dtype),
        .parameters = all->parameters + k * plan->parameter_count,
        .rounded = all->rounded ? all->rounded + k * plan->parameter_count : NULL,
        .parameter_gradients = all->parameter_gradients + k * plan->parameter_count,
        .state = all->state + k * plan->state_count,
        .statistics = all->statistics + k * plan->statistics_count,
        .workspace = workspaces->of[student],
    };
}

/* The network's input lies in the memory of the first student; the others get a copy. */
static void share_input(const struct plan *plan, const struct network_memory *all, const struct pass *pass, int student)
{
    const struct plan_tensor *t = &plan->tensors[plan->input];
    const size_t size = dtype_size(plan->dtype), sample = (size_t)t->shape.c * (size_t)t->shape.h * (size_t)t->shape.w;
    char *values = all->values;
    if (student > 0)
        memcpy(values + ((size_t)student * plan->value_count + t->value) * size, values + t->value * size,
               (size_t)pass->count * sample * size);
}

static struct cpu_run run_of(struct device *device, const struct plan *plan, const struct network_memory *memory,
                             const struct pass *pass, int student, int index)
{
    struct cpu_workspace *w = memory->workspace;
    const struct plan_step *step = &plan->steps[index];
    return (struct cpu_run){
        .device = device,
        .kernels = cpu_kernels_of(device->isa),
        .plan = plan,
        .step = step,
        .node = &plan->graph->nodes[step->node],
        .memory = memory,
        .pass = pass,
        .workspace = w,
        .index = index,
        .student = student,
        .in = &w->tensors[step->inputs[0].tensor],
        .out = &w->tensors[step->output],
        .input = &step->inputs[0],
    };
}

static enum status forward(struct device *device, const struct plan *plan, const struct network_memory *memory,
                           const struct pass *pass, int first, int last, struct error *err)
{
    (void)err;
    for (int student = 0; student < memory->students; student++) {
        const struct network_memory own = memory_of(plan, memory, student);
        if (first == 0) {
            share_input(plan, memory, pass, student);
            round_weights(plan, &own);
        }
        for (int i = first; i < last; i++) {
            struct cpu_run run = run_of(device, plan, &own, pass, student, i);
            kernels[run.step->kind]->forward(&run);
            if (run.step->statistics)
                finish_statistics(&run);
        }
    }
    return STATUS_OK;
}

static void step_backward(struct cpu_run *run)
{
    if (run->out->gradient == PLAN_NONE)
        return;
    for (int k = 0; k < run->step->input_count; k++) {
        run->input = &run->step->inputs[k];
        run->in = run_tensor(run, run->input->tensor);
        if (run->in->gradient == PLAN_NONE && !plan_step_learns(run->step))
            continue;
        kernels[run->step->kind]->backward(run);
        if (run->in->gradient != PLAN_NONE)
            finish_gradient(run);
    }
}

/* Gradients of shared weights, once all layers have written theirs. */
static void add_twins(const struct plan *plan, const struct network_memory *memory)
{
    for (int i = 0; i < plan->twin_count; i++) {
        const struct plan_twin *twin = &plan->twins[i];
        float *from = memory->parameter_gradients + twin->from, *to = memory->parameter_gradients + twin->to;
        for (size_t k = 0; k < twin->count; k++) {
            to[k] += from[k];
            from[k] = 0;
        }
    }
}

static enum status backward(struct device *device, const struct plan *plan, const struct network_memory *memory,
                            const struct pass *pass, int first, int last, struct error *err)
{
    (void)err;
    for (int student = 0; student < memory->students; student++) {
        const struct network_memory own = memory_of(plan, memory, student);
        for (int i = last - 1; i >= first; i--) {
            struct cpu_run run = run_of(device, plan, &own, pass, student, i);
            step_backward(&run);
        }
        if (first == 0)
            add_twins(plan, &own);
    }
    return STATUS_OK;
}

const struct network_ops cpu_network_ops = {
    .prepare = prepare,
    .release = release,
    .forward = forward,
    .backward = backward,
};
