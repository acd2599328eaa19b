/* The execution shim's stand-in for cuDNN and cuBLASLt: computes their layers with a kernel of our own, with the
 * contract of teacher_libraries.h. Like cuDNN, it fuses some activations and leaves others to the engine; like
 * cuBLASLt, it may have no algorithm for a layer. */
#include "shared/inference/cudnn/teacher_kernels.h"
#include "shared/inference/cudnn/teacher_libraries.h"
#include "shared/inference/cudnn/teacher_plan.h"

#include <stdlib.h>

struct libraries {
    cudaStream_t stream;
};

/* A convolution, or a linear layer as one. */
struct conv_layer {
    struct conv_problem problem; /* of what it computes */
    struct layer_memory memory;
    cudaStream_t stream;
};

struct linear_layer {
    struct conv_layer conv;
};

enum status libraries_new(struct libraries **out, const struct teacher_runner_options *options, cudaStream_t stream,
                          struct error *err)
{
    (void)options;
    *out = calloc(1, sizeof **out);
    if (!*out)
        return error_no_memory(err, sizeof **out, "the shim");
    (*out)->stream = stream;
    return STATUS_OK;
}

enum status libraries_new_without_gpu(struct libraries **out, const struct teacher_runner_options *options,
                                      const char *device_json, struct error *err)
{
    (void)device_json;
    return libraries_new(out, options, NULL, err);
}

void libraries_free(struct libraries *libraries)
{
    free(libraries);
}

const char *libraries_name(const struct libraries *libraries)
{
    (void)libraries;
    return "execution shim";
}

/* ---- convolutions ---- */

enum status conv_layer_new(struct conv_layer **layer, struct libraries *libraries, const struct conv_problem *problem,
                           bool *fused, struct error *err)
{
    *fused = problem->activation == ACTIVATION_NONE || problem->activation == ACTIVATION_RELU;
    *layer = calloc(1, sizeof **layer);
    if (!*layer)
        return error_no_memory(err, sizeof **layer, "the shim");
    (*layer)->problem = *problem;
    (*layer)->stream = libraries->stream;
    if (!*fused) {
        (*layer)->problem.activation = ACTIVATION_NONE;
        (*layer)->problem.has_addend = 0;
    }
    return STATUS_OK;
}

size_t conv_layer_workspace(const struct conv_layer *layer)
{
    (void)layer;
    return 1;
}

enum status conv_layer_bind(struct conv_layer *layer, const struct layer_memory *memory, const char *name,
                            struct error *err)
{
    layer->memory = *memory;
    if (!memory->workspace || layer->problem.has_bias != (memory->bias != NULL))
        return error_set(err, STATUS_INTERNAL, NULL, "%s: not the operands that its shape says", name);
    if (!layer->problem.has_addend)
        layer->memory.addend = NULL;
    return STATUS_OK;
}

enum status conv_layer_run(const struct conv_layer *layer, const char *name, struct error *err)
{
    const struct conv_problem *problem = &layer->problem;
    const struct layer_memory *memory = &layer->memory;
    const struct conv_operands operands = {memory->x, memory->w, memory->bias, memory->addend, memory->y};
    if (teacher_direct_conv(precision_dtype(problem->precision), problem, problem->in.c / problem->groups,
                            problem->out.c / problem->groups, &operands, layer->stream) == cudaSuccess)
        return STATUS_OK;
    return error_set(err, STATUS_INTERNAL, NULL, "%s: the shim refused it", name);
}

void conv_layer_free(struct conv_layer *layer)
{
    free(layer);
}

/* ---- fully connected layers ---- */

/* None for layers with float output: the kernel has one type. */
enum status linear_layer_new(struct linear_layer **layer, struct libraries *libraries, const struct linear_shape *shape,
                             struct error *err)
{
    *layer = NULL;
    if (shape->float_output)
        return STATUS_OK;
    *layer = calloc(1, sizeof **layer);
    if (!*layer)
        return error_no_memory(err, sizeof **layer, "the shim");
    (*layer)->conv.stream = libraries->stream;
    (*layer)->conv.problem = (struct conv_problem){.in = {shape->in, 1, 1},
                                                   .out = {shape->out, 1, 1},
                                                   .window = {1, 1, 1, 1, 1, 1, 0, 0, 0, 0},
                                                   .batch = shape->batch,
                                                   .groups = 1,
                                                   .has_bias = shape->has_bias,
                                                   .activation = shape->relu ? ACTIVATION_RELU : ACTIVATION_NONE,
                                                   .precision = shape->precision};
    return STATUS_OK;
}

size_t linear_layer_workspace(const struct linear_layer *layer)
{
    (void)layer;
    return 1;
}

enum status linear_layer_bind(struct linear_layer *layer, const struct layer_memory *memory, struct error *err)
{
    return conv_layer_bind(&layer->conv, memory, "a fully connected layer", err);
}

enum status linear_layer_run(const struct linear_layer *layer, const char *name, struct error *err)
{
    return conv_layer_run(&layer->conv, name, err);
}

void linear_layer_free(struct linear_layer *layer)
{
    free(layer);
}
