#include "shared/inference/onnxruntime/ort_session.h"

#include "shared/inference/onnxruntime/ort_tensor.h"
#include <inttypes.h>
#include <stdio.h>

/* Runs on the stream of the caller, and takes no more memory than it may. */
static enum status add_cuda(const struct ort_library *ort, struct ort_session_options *options,
                            const struct onnxruntime_cuda *cuda, const char *path, struct error *err)
{
    const struct ort_api *api = &ort->api;
    enum status status = STATUS_OK;
    struct ort_cuda_options *settings = NULL;
    char device[16], stream[24], limit[24];
    const char *keys[4] = {"device_id", "user_compute_stream"}, *values[4] = {device, stream};
    size_t count = 2;
    snprintf(device, sizeof device, "%d", cuda->device);
    snprintf(stream, sizeof stream, "%" PRIuPTR, (uintptr_t)cuda->stream);
    snprintf(limit, sizeof limit, "%zu", cuda->memory_limit);
    if (cuda->memory_limit) {
        keys[count] = "gpu_mem_limit";
        values[count++] = limit;
    }
    if (!cuda->tf32) { /* newer versions have this setting, and it is on */
        keys[count] = "use_tf32";
        values[count++] = "0";
    }
    TRY(ort_check(
        ort, api->create_cuda_options(&settings), path,
        "starting its CUDA provider (pip install onnxruntime-gpu, in place of onnxruntime; or use --device cpu)", err));
    TRY(ort_check(ort, api->update_cuda_options(settings, keys, values, count), path, "setting up its CUDA provider",
                  err));
    TRY(ort_check(ort, api->append_cuda(options, settings), path,
                  "starting its CUDA provider (is the CUDA and cuDNN that it needs on LD_LIBRARY_PATH? otherwise use "
                  "--device cpu)",
                  err));
cleanup:
    if (settings)
        api->release_cuda_options(settings);
    return status;
}

enum status ort_session_new(struct ort_session **out, const struct ort_library *ort,
                            const struct onnxruntime_model *model, int optimisation,
                            const struct onnxruntime_cuda *cuda, struct error *err)
{
    const struct ort_api *api = &ort->api;
    enum status status = STATUS_OK;
    struct ort_session_options *options = NULL;
    *out = NULL;
    TRY(ort_check(ort, api->create_session_options(&options), model->path, "loading it", err));
    TRY(ort_check(ort, api->set_graph_optimization_level(options, optimisation), model->path, "loading it", err));
    TRY(ort_check(ort, api->set_intra_op_threads(options, 1), model->path, "loading it", err));
    TRY(ort_check(ort, api->set_inter_op_threads(options, 1), model->path, "loading it", err));
    /* otherwise sums of two 8-bit products saturate in 16 bits on x86 processors without VNNI */
    TRY(ort_check(ort, api->add_session_option(options, "session.x64quantprecision", "1"), model->path, "loading it",
                  err));
    if (model->weights) /* onnxruntime 1.18 or newer */
        TRY(ort_check(
            ort,
            api->add_session_option(options, "session.model_external_initializers_file_folder_path", model->weights),
            model->path, "loading it", err));
    if (cuda)
        TRY(add_cuda(ort, options, cuda, model->path, err));
    TRY(ort_check(ort, api->create_session_from_array(ort->env, model->bytes, model->size, options, out), model->path,
                  "loading it", err));
cleanup:
    if (options)
        api->release_session_options(options);
    return status;
}

enum status ort_value_over(struct ort_value **out, const struct ort_library *ort, const struct ort_memory_info *place,
                           const struct onnxruntime_tensor *tensor, void *data, const char *path, struct error *err)
{
    *out = NULL;
    return ort_check(ort,
                     ort->api.create_tensor_with_data(place, data, ort_tensor_bytes(tensor), tensor->dims,
                                                      (size_t)tensor->rank, tensor->type, out),
                     path, "making a tensor", err);
}
