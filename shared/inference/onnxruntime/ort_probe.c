/* What a model's tensors look like: onnxruntime runs it once. Shapes that a file states may be missing, symbolic or
 * wrong, and those that a run gives are none of that. */
#include "shared/inference/onnxruntime/ort_probe.h"

#include "shared/base/memory.h"
#include "shared/inference/onnxruntime/ort_limit.h"
#include "shared/inference/onnxruntime/ort_session.h"
#include "shared/inference/onnxruntime/ort_tensor.h"
#include <stdlib.h>

static enum status look(const struct ort_library *ort, const struct ort_value *value, const char *path,
                        struct onnxruntime_tensor *tensor, struct error *err)
{
    const struct ort_api *api = &ort->api;
    enum status status = STATUS_OK;
    struct ort_tensor_info *info = NULL;
    size_t rank = 0;
    int tensors = 0;
    tensor->rank = tensor->type = 0;
    TRY(ort_check(ort, api->is_tensor(value, &tensors), path, "looking at its tensors", err));
    if (tensors) { /* not a sequence or a map */
        TRY(ort_check(ort, api->get_tensor_info(value, &info), path, "looking at its tensors", err));
        TRY(ort_check(ort, api->get_element_type(info, &tensor->type), path, "looking at its tensors", err));
        TRY(ort_check(ort, api->get_rank(info, &rank), path, "looking at its tensors", err));
        if (rank > 0 && rank <= ONNXRUNTIME_MAX_RANK) {
            tensor->rank = (int)rank;
            TRY(ort_check(ort, api->get_dims(info, tensor->dims, rank), path, "looking at its tensors", err));
        }
    }
cleanup:
    if (info)
        api->release_tensor_info(info);
    return status;
}

static enum status run_once(const struct ort_library *ort, struct ort_session *session,
                            const struct onnxruntime_model *model, const struct ort_value *input, const char **names,
                            struct ort_value **values, struct onnxruntime_tensor *tensors, int count, struct error *err)
{
    enum status status = STATUS_OK;
    for (int i = 0; i < count; i++)
        names[i] = tensors[i].name;
    TRY(ort_check(ort, ort->api.run(session, NULL, &model->input.name, &input, 1, names, (size_t)count, values),
                  model->path, "running it", err));
    for (int i = 0; i < count; i++) {
        TRY(look(ort, values[i], model->path, &tensors[i], err));
        ort_tensor_see(&tensors[i], model->batch);
    }
cleanup:
    return status;
}

static enum status load_and_run(const struct onnxruntime_model *model, struct onnxruntime_tensor *tensors, int count,
                                struct error *err)
{
    enum status status = STATUS_OK;
    const struct ort_library *ort = NULL;
    struct ort_session *session = NULL;
    struct ort_value *input = NULL;
    void *zeros = NULL;
    struct ort_value **values = calloc((size_t)count + 1, sizeof *values);
    const char **names = calloc((size_t)count + 1, sizeof *names);
    if (!values || !names)
        FAIL(error_no_memory(err, (size_t)count * sizeof *values, "tensors"));
    TRY(ort_library(&ort, err));
    TRY(ort_session_new(&session, ort, model, ORT_OPTIMIZE_NOTHING, NULL, err));
    TRY(memory_new(&zeros, ort_tensor_bytes(&model->input), 1, "an input", err));
    TRY(ort_value_over(&input, ort, ort->host, &model->input, zeros, model->path, err));
    TRY(run_once(ort, session, model, input, names, values, tensors, count, err));
cleanup:
    for (int i = 0; i < count && values; i++)
        if (values[i])
            ort->api.release_value(values[i]);
    if (input)
        ort->api.release_value(input);
    if (session)
        ort->api.release_session(session);
    memory_free(zeros);
    free(values);
    free(names);
    return status;
}

enum status ort_probe(const struct onnxruntime_model *model, struct onnxruntime_tensor *tensors, int count,
                      struct error *err)
{
    struct ort_limit limit;
    struct error inner = {0};
    ort_limit_begin(&limit, model);
    const enum status status = load_and_run(model, tensors, count, &inner);
    return ort_limit_end(&limit, status, &inner, model->path, 1, err);
}
