#include "shared/inference/onnxruntime/ort_cuda.h"

#include "shared/inference/onnxruntime/ort_session.h"
#include "shared/inference/onnxruntime/ort_tensor.h"
#include <stdlib.h>
#include <string.h>

struct ort_bindings {
    struct ort_memory_info *device;
    struct ort_run_options *options;
    struct ort_binding **runs; /* [run_count] */
    int run_count;
    struct ort_value **values; /* [value_count] that are bound */
    int value_count;
};

void ort_bindings_free(struct ort_bindings *bindings, const struct ort_library *ort)
{
    if (!bindings)
        return;
    for (int i = 0; bindings->runs && i < bindings->run_count; i++)
        if (bindings->runs[i])
            ort->api.release_binding(bindings->runs[i]);
    for (int i = 0; i < bindings->value_count; i++)
        ort->api.release_value(bindings->values[i]);
    if (bindings->options)
        ort->api.release_run_options(bindings->options);
    if (bindings->device)
        ort->api.release_memory_info(bindings->device);
    free(bindings->runs);
    free(bindings->values);
    free(bindings);
}

/* The part of a tensor of all runs that belongs to one of them. */
static enum status add_value(struct ort_bindings *bindings, const struct ort_library *ort,
                             const struct onnxruntime_tensor *tensor, void *data, int run, const char *path,
                             struct error *err)
{
    void *part = (unsigned char *)data + (size_t)run * ort_tensor_bytes(tensor);
    const enum status status =
        ort_value_over(&bindings->values[bindings->value_count], ort, bindings->device, tensor, part, path, err);
    bindings->value_count += status == STATUS_OK;
    return status;
}

static enum status bind_run(struct ort_bindings *bindings, const struct ort_library *ort, struct ort_session *session,
                            const struct onnxruntime_model *model, const struct onnxruntime_cuda *cuda, int run,
                            struct error *err)
{
    static const char doing[] = "binding GPU memory";
    const struct ort_api *api = &ort->api;
    enum status status = STATUS_OK;
    TRY(ort_check(ort, api->create_binding(session, &bindings->runs[run]), model->path, doing, err));
    TRY(add_value(bindings, ort, &model->input, cuda->input, run, model->path, err));
    TRY(ort_check(ort,
                  api->bind_input(bindings->runs[run], model->input.name, bindings->values[bindings->value_count - 1]),
                  model->path, doing, err));
    for (int i = 0; i < model->output_count; i++) {
        const struct onnxruntime_tensor *output = &model->outputs[i];
        int first = 0;
        while (strcmp(model->outputs[first].name, output->name) != 0)
            first++;
        if (first < i)
            continue;
        TRY(add_value(bindings, ort, output, cuda->outputs[i], run, model->path, err));
        TRY(ort_check(ort,
                      api->bind_output(bindings->runs[run], output->name, bindings->values[bindings->value_count - 1]),
                      model->path, doing, err));
    }
cleanup:
    return status;
}

enum status ort_bindings_new(struct ort_bindings **out, const struct ort_library *ort, struct ort_session *session,
                             const struct onnxruntime_model *model, const struct onnxruntime_cuda *cuda,
                             struct error *err)
{
    static const char doing[] = "binding GPU memory";
    const struct ort_api *api = &ort->api;
    enum status status = STATUS_OK;
    struct ort_bindings *bindings = calloc(1, sizeof *bindings);
    *out = NULL;
    if (!bindings)
        return error_no_memory(err, sizeof *bindings, "the teacher");
    bindings->run_count = cuda->runs;
    bindings->runs = calloc((size_t)cuda->runs, sizeof *bindings->runs);
    bindings->values = calloc((size_t)cuda->runs * (size_t)(1 + model->output_count), sizeof *bindings->values);
    if (!bindings->runs || !bindings->values)
        FAIL(error_no_memory(err, (size_t)cuda->runs * sizeof *bindings->values, "the teacher"));
    TRY(ort_check(
        ort, api->create_memory_info("Cuda", ORT_DEVICE_ALLOCATOR, cuda->device, ORT_MEMORY_DEFAULT, &bindings->device),
        model->path, doing, err));
    /* The stream keeps the order: the host need not wait at the end of a run. */
    TRY(ort_check(ort, api->create_run_options(&bindings->options), model->path, doing, err));
    TRY(ort_check(ort, api->add_run_option(bindings->options, "disable_synchronize_execution_providers", "1"),
                  model->path, doing, err));
    for (int run = 0; run < cuda->runs; run++)
        TRY(bind_run(bindings, ort, session, model, cuda, run, err));
    *out = bindings;
    bindings = NULL;
cleanup:
    ort_bindings_free(bindings, ort);
    return status;
}

enum status ort_bindings_run(const struct ort_bindings *bindings, const struct ort_library *ort,
                             struct ort_session *session, const char *path, struct error *err)
{
    enum status status = STATUS_OK;
    for (int i = 0; i < bindings->run_count; i++)
        TRY(ort_check(ort, ort->api.run_with_binding(session, bindings->options, bindings->runs[i]), path, "running it",
                      err));
cleanup:
    return status;
}
