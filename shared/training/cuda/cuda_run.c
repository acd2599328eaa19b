/* Prepares the workspace of a plan, runs its steps, and describes tensors to the kernels of the steps. */
#include "shared/training/cuda/cuda_step.h"

/* The kinds of steps: each is a file of its name in shared/training/steps. */
static const struct cuda_step_kernel *const kernels[STEP_KIND_COUNT] = {
    [STEP_CONV] = &cuda_conv,
    [STEP_POINTWISE] = &cuda_pointwise,
    [STEP_DEPTHWISE] = &cuda_depthwise,
    [STEP_LINEAR] = &cuda_linear,
    [STEP_MAX_POOL] = &cuda_max_pool,
    [STEP_AVERAGE_POOL] = &cuda_average_pool,
    [STEP_GLOBAL_AVERAGE_POOL] = &cuda_global_pool,
    [STEP_ADD] = &cuda_add,
    [STEP_CONCAT] = &cuda_concat,
    [STEP_DROPOUT] = &cuda_dropout,
    [STEP_COPY] = &cuda_copy,
    [STEP_MULTIPLY] = &cuda_multiply,
    [STEP_SCALE] = &cuda_scale,
    [STEP_PRELU] = &cuda_prelu,
    [STEP_SELECT] = &cuda_select,
    [STEP_GROUP_NORM] = &cuda_group_norm,
    [STEP_LAYER_NORM] = &cuda_layer_norm,
    [STEP_LP_NORM] = &cuda_lp_norm,
    [STEP_PAD] = &cuda_pad,
    [STEP_RESIZE] = &cuda_resize,
    [STEP_QUANTISE] = &cuda_quantise,
};

/* Floats per student: what the step itself needs, and the moments or sums of its widest tensor. */
static size_t scratch_of(const struct plan *plan, const struct plan_step *step)
{
    const struct cuda_step_kernel *kernel = kernels[step->kind];
    int channels = plan->tensors[step->output].shape.c;
    for (int i = 0; i < step->input_count; i++) {
        const int c = plan->tensors[step->inputs[i].tensor].shape.c;
        channels = c > channels ? c : channels;
    }
    return 3 * (size_t)CUDA_MAX_BLOCKS * (size_t)channels + (kernel->scratch ? kernel->scratch(plan, step) : 0);
}

/* Counters of blocks that have arrived, per student: gridDim.y is at most the number of channels. Rounded up to what
 * keeps the scratch memory behind them aligned. */
static size_t arrivals_of(const struct plan *plan)
{
    const size_t alignment = 64;
    int channels = 1;
    for (int i = 0; i < plan->tensor_count; i++)
        channels = plan->tensors[i].shape.c > channels ? plan->tensors[i].shape.c : channels;
    return ((size_t)channels * CUDA_ARRIVALS + alignment - 1) / alignment * alignment;
}

/* The workspace, on the device: the counters, which kernels leave as they find them, and scratch memory, for every
 * student what the step that needs most takes. */
static enum status network_prepare(struct device *device, const struct plan *plan, int students, void **workspace,
                                   struct error *err)
{
    enum status status = STATUS_OK;
    const size_t arrivals = arrivals_of(plan);
    size_t floats = 0;
    *workspace = NULL;
    if (plan->dtype != DTYPE_FP32 && plan->dtype != DTYPE_BF16)
        return error_set(err, STATUS_CONFIG, NULL, "the CUDA backend trains in fp32 and bf16, not in %s",
                         dtype_name(plan->dtype));
    if (plan->dtype == DTYPE_BF16 && !cuda_has_bf16(device->index))
        return error_set(err, STATUS_CONFIG, NULL,
                         "this GPU (%s) has no bfloat16, and emulating it would be slower than floats: use "
                         "--precision fp32",
                         device->description);
    for (int i = 0; i < plan->step_count; i++) {
        const size_t need = scratch_of(plan, &plan->steps[i]);
        floats = need > floats ? need : floats;
    }
    TRY(cuda_memory_new(device, size_mul(size_mul(arrivals + floats, (size_t)students), sizeof(float)),
                        "partial sums of the training step", workspace, err));
    TRY(cuda_zero(device, *workspace, (size_t)students * arrivals * sizeof(unsigned int), err));
cleanup:
    return status;
}

static struct cuda_run run_of(struct device *device, const struct plan *plan, const struct network_memory *memory,
                              const struct pass *pass, int index)
{
    const struct plan_step *step = &plan->steps[index];
    return (struct cuda_run){
        .device = device,
        .stream = device->stream,
        .plan = plan,
        .step = step,
        .node = &plan->graph->nodes[step->node],
        .memory = memory,
        .pass = pass,
        .input = &step->inputs[0],
        .index = index,
        .students = memory->students,
        .scratch = (float *)memory->workspace + (size_t)memory->students * arrivals_of(plan),
        .arrived = memory->workspace,
    };
}

static enum status forward(struct device *device, const struct plan *plan, const struct network_memory *memory,
                           const struct pass *pass, int first, int last, struct error *err)
{
    enum status status = STATUS_OK;
    if (first == 0)
        TRY(cuda_round_weights(device->stream, plan, memory, err));
    for (int i = first; i < last; i++) {
        const struct cuda_run run = run_of(device, plan, memory, pass, i);
        TRY(kernels[run.step->kind]->forward(&run, err));
    }
cleanup:
    return status;
}

static enum status backward(struct device *device, const struct plan *plan, const struct network_memory *memory,
                            const struct pass *pass, int first, int last, struct error *err)
{
    enum status status = STATUS_OK;
    for (int i = last - 1; i >= first; i--) {
        struct cuda_run run = run_of(device, plan, memory, pass, i);
        if (cuda_output_of(&run)->gradient == PLAN_NONE)
            continue;
        for (int k = 0; k < run.step->input_count; k++) {
            run.input = &run.step->inputs[k];
            if (cuda_input_of(&run)->gradient == PLAN_NONE && !plan_step_learns(run.step))
                continue;
            TRY(kernels[run.step->kind]->backward(&run, err));
        }
    }
    if (first == 0)
        TRY(cuda_add_twins(device->stream, plan, memory, err));
cleanup:
    return status;
}

/* ---- the tensors of a step ---- */
enum dtype cuda_dtype_of(const struct cuda_run *run, const struct plan_tensor *tensor)
{
    return tensor == &run->plan->tensors[run->plan->output] ? DTYPE_FP32 : run->plan->dtype;
}

/* The address of an offset of the plan. */
static void *at(const struct cuda_run *run, void *base, size_t offset)
{
    return (char *)base + offset * dtype_size(run->plan->dtype);
}

/* From one student's copy of a buffer with `count` elements to the next, in elements of the tensor's own dtype. */
static size_t stride_of(const struct cuda_run *run, const struct plan_tensor *tensor, size_t count)
{
    return count * dtype_size(run->plan->dtype) / dtype_size(cuda_dtype_of(run, tensor));
}

/* The network's input is shared by all students. */
static size_t value_stride(const struct cuda_run *run, const struct plan_tensor *tensor)
{
    const bool shared = tensor == &run->plan->tensors[run->plan->input];
    return shared ? 0 : stride_of(run, tensor, run->plan->value_count);
}

/* A row of the tensor's statistics, of the first student; NULL: no batch norm. */
static float *row_of(const struct cuda_run *run, const struct plan_tensor *tensor, int row)
{
    if (tensor->batch_norm < 0)
        return NULL;
    const struct plan_batch_norm *norm = &run->plan->batch_norms[tensor->batch_norm];
    return run->memory->statistics + norm->statistics + (size_t)row * (size_t)norm->channels;
}

/* The batch norm of a tensor that has one. */
static struct cuda_norm norm_of(const struct cuda_run *run, const struct plan_tensor *tensor)
{
    const struct plan_batch_norm *norm = &run->plan->batch_norms[tensor->batch_norm];
    const struct network_memory *memory = run->memory;
    const double count = (double)run->pass->count * tensor->shape.h * tensor->shape.w;
    return (struct cuda_norm){
        .rows = memory->statistics + norm->statistics,
        .gamma = weight_values(memory, norm->weight),
        .beta = weight_values(memory, norm->bias),
        .layer_bias = weight_values(memory, norm->layer_bias),
        .running_mean = weight_values(memory, norm->running_mean),
        .running_var = weight_values(memory, norm->running_var),
        .gamma_gradient = weight_gradient(memory, norm->weight),
        .beta_gradient = weight_gradient(memory, norm->bias),
        .bias_gradient = weight_gradient(memory, norm->layer_bias),
        .parameter_stride = run->plan->parameter_count,
        .state_stride = run->plan->state_count,
        .row_stride = run->plan->statistics_count,
        .channels = norm->channels,
        .observed = pass_observes(run->pass),
        .count = (float)count,
        .unbiased = (float)(count > 1 ? count / (count - 1) : 1),
        .epsilon = norm->epsilon,
        .momentum = norm->momentum,
    };
}

struct cuda_read cuda_read_of(const struct cuda_run *run, const struct plan_tensor *tensor)
{
    return (struct cuda_read){
        .values = at(run, run->memory->values, tensor->value),
        .stride = value_stride(run, tensor),
        .scale = row_of(run, tensor, PLAN_SCALE),
        .shift = row_of(run, tensor, PLAN_SHIFT),
        .row_stride = run->plan->statistics_count,
        .activation = tensor->activation,
        .alpha = tensor->alpha,
        .beta = tensor->beta,
    };
}

struct cuda_write cuda_write_of(const struct cuda_run *run, float *moments)
{
    const struct plan_tensor *out = cuda_output_of(run);
    return (struct cuda_write){
        .values = at(run, run->memory->values, out->value),
        .stride = value_stride(run, out),
        .moments = run->step->statistics && pass_observes(run->pass) ? moments : NULL,
        .norm = run->step->statistics ? norm_of(run, out) : (struct cuda_norm){0},
        .arrived = run->arrived,
    };
}

struct cuda_derivative cuda_derivative_of(const struct cuda_run *run)
{
    const struct plan_tensor *out = cuda_output_of(run);
    return (struct cuda_derivative){
        .gradient = at(run, run->memory->gradients, out->gradient),
        .values = at(run, run->memory->values, out->value),
        .gradient_stride = stride_of(run, out, run->plan->gradient_count),
        .value_stride = value_stride(run, out),
        .a = row_of(run, out, PLAN_GRADIENT_A),
        .b = row_of(run, out, PLAN_GRADIENT_B),
        .d = row_of(run, out, PLAN_GRADIENT_D),
        .row_stride = run->plan->statistics_count,
    };
}

struct cuda_give cuda_give_of(const struct cuda_run *run, float *sums)
{
    const struct plan_tensor *in = cuda_input_of(run);
    const bool norm = run->input->finish && in->batch_norm >= 0;
    return (struct cuda_give){
        .gradient = in->gradient == PLAN_NONE ? NULL : at(run, run->memory->gradients, in->gradient),
        .stride = stride_of(run, in, run->plan->gradient_count),
        .accumulate = run->input->accumulate,
        .finish = run->input->finish,
        .input = cuda_read_of(run, in),
        .mean = norm ? row_of(run, in, PLAN_MEAN) : NULL,
        .sums = norm ? sums : NULL,
        .norm = norm ? norm_of(run, in) : (struct cuda_norm){0},
        .arrived = run->arrived,
    };
}

struct cuda_partial cuda_partial_of(const struct cuda_run *run, const struct plan_weight *weight, float *rows,
                                    size_t count)
{
    return (struct cuda_partial){
        .rows = rows,
        .gradient = weight_gradient(run->memory, *weight),
        .count = count,
        .stride = run->plan->parameter_count,
    };
}

const struct network_ops cuda_network_ops = {
    .prepare = network_prepare,
    .release = cuda_memory_free,
    .forward = forward,
    .backward = backward,
};
