#include "shared/inference/cudnn/teacher_cuda_check.h"
#include "shared/base/files.h"
#include "shared/inference/cudnn/libraries_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct conv_layer {
    const struct libraries *libraries;
    const struct conv_choice *choice;
    descriptor call;
};

static enum status check_version(struct libraries *libraries, struct error *err)
{
    enum { NEEDED = 90800 }; /* the first with device properties as a descriptor */
    const size_t version = cudnnGetVersion();
    if (version < NEEDED)
        return error_set(err, STATUS_CONFIG, NULL,
                         "cuDNN %zu.%zu is too old: install cuDNN 9.8 or later to run teachers on the GPU",
                         version / 10000, version % 10000 / 100);
    snprintf(libraries->name, sizeof libraries->name, "cuDNN %zu.%zu.%zu", version / 10000, version % 10000 / 100,
             version % 100);
    return STATUS_OK;
}

static enum status open_gpu(struct libraries *libraries, const struct teacher_runner_options *options,
                            cudaStream_t stream, struct error *err)
{
    enum status status = STATUS_OK;
    int device, major;
    TRY(check_version(libraries, err));
    TRY(teacher_cuda_check(cudaGetDevice(&device), "the GPU", err));
    TRY(teacher_cuda_check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device), "the GPU", err));
    if (major < 8 && options->precision == PRECISION_BF16) {
        status = error_set(err, STATUS_CONFIG, NULL,
                           "this GPU (compute capability %d.x) has no bfloat16: use fp16 for the teacher", major);
        goto cleanup;
    }
    libraries->stream = stream;
    TRY(cudnn_check(cudnnCreate(&libraries->cudnn), "opening cuDNN", err));
    TRY(cudnn_check(cudnnSetStream(libraries->cudnn, stream), "cuDNN's stream", err));
    TRY(conv_device_of_handle(&libraries->device, libraries->cudnn, err));
    TRY(cublas_library_open(&libraries->cublas_library, err));
    if (libraries->cublas_library.cublasLtCreate(&libraries->cublas) != CUBLAS_STATUS_SUCCESS)
        status = error_set(err, STATUS_INTERNAL, NULL, "cuBLASLt cannot be opened on this GPU");
cleanup:
    return status;
}

static enum status make(struct libraries **out, struct error *err)
{
    struct libraries *libraries = calloc(1, sizeof *libraries);
    *out = libraries;
    if (!libraries)
        return error_no_memory(err, sizeof *libraries, "cuDNN");
    libraries->chooser.device = &libraries->device;
    return STATUS_OK;
}

/* Uses the plan folder if it can be written. Without it plans are not tuned: two runs would not agree. */
static void use_folder(struct conv_chooser *chooser, const struct teacher_runner_options *options)
{
    struct error refused = {0};
    if (!options->plan_folder || folder_make(options->plan_folder, &refused) != STATUS_OK ||
        access(options->plan_folder, W_OK) != 0)
        return;
    chooser->folder = options->plan_folder;
    chooser->tune = options->tune;
}

enum status libraries_new(struct libraries **out, const struct teacher_runner_options *options, cudaStream_t stream,
                          struct error *err)
{
    enum status status = STATUS_OK;
    TRY(make(out, err));
    TRY(open_gpu(*out, options, stream, err));
    (*out)->chooser.handle = (*out)->cudnn;
    (*out)->chooser.memory_limit = options->memory_limit;
    use_folder(&(*out)->chooser, options);
cleanup:
    if (status != STATUS_OK) {
        libraries_free(*out);
        *out = NULL;
    }
    return status;
}

enum status libraries_new_without_gpu(struct libraries **out, const struct teacher_runner_options *options,
                                      const char *device_json, struct error *err)
{
    enum status status = STATUS_OK;
    TRY(make(out, err));
    TRY(check_version(*out, err));
    TRY(conv_device_of_json(&(*out)->device, device_json, err));
    use_folder(&(*out)->chooser, options);
    (*out)->chooser.tune = false;
cleanup:
    if (status != STATUS_OK) {
        libraries_free(*out);
        *out = NULL;
    }
    return status;
}

void libraries_free(struct libraries *libraries)
{
    if (!libraries)
        return;
    conv_chooser_release(&libraries->chooser);
    conv_device_release(&libraries->device);
    if (libraries->cublas)
        libraries->cublas_library.cublasLtDestroy(libraries->cublas);
    if (libraries->cudnn)
        cudnnDestroy(libraries->cudnn);
    free(libraries);
}

const char *libraries_name(const struct libraries *libraries)
{
    return libraries->name;
}

/* ---- convolutions ---- */

enum status conv_layer_new(struct conv_layer **layer, struct libraries *libraries, const struct conv_problem *problem,
                           bool *fused, struct error *err)
{
    const struct conv_choice *choice;
    *layer = NULL;
    enum status status = conv_choose(&libraries->chooser, problem, &choice, err);
    if (status != STATUS_OK || !choice->plan)
        return status;
    *layer = calloc(1, sizeof **layer);
    if (!*layer)
        return error_no_memory(err, sizeof **layer, "the teacher's plan");
    **layer = (struct conv_layer){.libraries = libraries, .choice = choice};
    *fused = choice->fused;
    return STATUS_OK;
}

size_t conv_layer_workspace(const struct conv_layer *layer)
{
    return conv_plan_workspace(layer->choice->plan);
}

enum status conv_layer_bind(struct conv_layer *layer, const struct layer_memory *memory, const char *name,
                            struct error *err)
{
    const struct conv_memory places = {
        memory->x, memory->w, memory->bias, layer->choice->fused ? memory->addend : NULL, memory->y, memory->workspace};
    return conv_plan_bind(&places, name, &layer->call, err);
}

enum status conv_layer_run(const struct conv_layer *layer, const char *name, struct error *err)
{
    return conv_plan_run(layer->choice->plan, layer->call, layer->libraries->cudnn, name, err);
}

void conv_layer_free(struct conv_layer *layer)
{
    if (!layer)
        return;
    if (layer->call)
        cudnnBackendDestroyDescriptor(layer->call);
    free(layer);
}
