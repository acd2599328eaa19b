/* The execution shim's stand-in for cuDNN and cuBLASLt: it has no plan for anything, so that the teacher's engine
 * computes every layer with its own kernels. */
#include "shared/backend/cuda/cudnn/teacher_libraries.h"

#include <stdlib.h>

static enum status none(struct libraries **out, struct error *err)
{
    *out = calloc(1, 1);
    return *out ? STATUS_OK : error_no_memory(err, 1, "the shim");
}

enum status libraries_new(struct libraries **out, const struct teacher_runner_options *options, cudaStream_t stream,
                          struct error *err)
{
    (void)options;
    (void)stream;
    return none(out, err);
}

enum status libraries_new_without_gpu(struct libraries **out, const struct teacher_runner_options *options,
                                      const char *device_json, struct error *err)
{
    (void)options;
    (void)device_json;
    return none(out, err);
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

enum status conv_layer_new(struct conv_layer **layer, struct libraries *libraries, const struct conv_shape *shape,
                           bool *fused, struct error *err)
{
    (void)libraries;
    (void)shape;
    (void)fused;
    (void)err;
    *layer = NULL;
    return STATUS_OK;
}

enum status linear_layer_new(struct linear_layer **layer, struct libraries *libraries, const struct linear_shape *shape,
                             struct error *err)
{
    (void)libraries;
    (void)shape;
    (void)err;
    *layer = NULL;
    return STATUS_OK;
}

/* Layers that do not exist. */

static enum status unreachable_layer(const char *name, struct error *err)
{
    return error_set(err, STATUS_INTERNAL, NULL, "%s: the shim has no cuDNN", name);
}

size_t conv_layer_workspace(const struct conv_layer *layer)
{
    (void)layer;
    return 0;
}

enum status conv_layer_bind(struct conv_layer *layer, const struct layer_memory *memory, const char *name,
                            struct error *err)
{
    (void)layer;
    (void)memory;
    return unreachable_layer(name, err);
}

enum status conv_layer_run(const struct conv_layer *layer, const char *name, struct error *err)
{
    (void)layer;
    return unreachable_layer(name, err);
}

void conv_layer_free(struct conv_layer *layer)
{
    (void)layer;
}

size_t linear_layer_workspace(const struct linear_layer *layer)
{
    (void)layer;
    return 0;
}

enum status linear_layer_bind(struct linear_layer *layer, const struct layer_memory *memory, struct error *err)
{
    (void)layer;
    (void)memory;
    return unreachable_layer("a fully connected layer", err);
}

enum status linear_layer_run(const struct linear_layer *layer, const char *name, struct error *err)
{
    (void)layer;
    return unreachable_layer(name, err);
}

void linear_layer_free(struct linear_layer *layer)
{
    (void)layer;
}
