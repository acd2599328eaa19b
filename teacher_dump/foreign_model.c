#define _POSIX_C_SOURCE 200809L
#include "teacher_dump/foreign_model.h"

#include "shared/base/library.h"
#include <stdlib.h>
#include <string.h>

enum status foreign_model_library(const struct onnxruntime_ops **ops, const char **version, const char **library,
                                  struct error *err)
{
    const void *symbol = NULL;
    enum status status = library_symbol(ONNXRUNTIME_LIBRARY, ONNXRUNTIME_SYMBOL, &symbol, err);
    if (status != STATUS_OK)
        return status;
    *ops = symbol;
    return (*ops)->find(version, library, err);
}

bool foreign_model_has(const struct foreign_model *model, const char *tensor)
{
    for (int i = 0; i < model->outline.tensor_count; i++)
        if (strcmp(model->outline.tensors[i].name, tensor) == 0)
            return true;
    return false;
}

/* ---- looking ---- */

static void set_batch(struct onnxruntime_tensor *tensor, int from, int to)
{
    if (tensor->rank > 0 && tensor->dims[0] == from)
        tensor->dims[0] = to;
}

static enum status probe(const struct foreign_model *model, struct onnxruntime_tensor *tensors, int count,
                         struct error *err)
{
    enum status status = STATUS_OK;
    struct onnxruntime_model wanted = {.path = model->path,
                                       .weights = model->weights,
                                       .input = model->input,
                                       .batch = model->batch,
                                       .memory = model->memory};
    uint8_t *bytes = NULL;
    const char **names = calloc((size_t)count + 1, sizeof *names);
    if (!names)
        return error_no_memory(err, (size_t)count * sizeof *names, "tensors");
    for (int i = 0; i < count; i++)
        names[i] = tensors[i].name;
    TRY(onnx_with_outputs(&model->outline, model->bytes, model->size, names, count, &bytes, &wanted.size, err));
    wanted.bytes = bytes;
    TRY(model->ops->probe(&wanted, tensors, count, err));
cleanup:
    free(bytes);
    free(names);
    return status;
}

enum status foreign_model_look(const struct foreign_model *model, struct onnxruntime_tensor *tensors, int count,
                               struct error *err)
{
    return probe(model, tensors, count, err);
}

/* ---- opening ---- */

/* The input of a run of `batch` samples. */
static enum status set_input(struct foreign_model *model, int size, struct error *err)
{
    const struct onnx_outline *o = &model->outline;
    struct onnxruntime_tensor *input = &model->input;
    *input = (struct onnxruntime_tensor){.name = o->input,
                                         .type = o->half ? ONNXRUNTIME_HALF : ONNXRUNTIME_FLOAT,
                                         .rank = o->rank,
                                         .channels_last = o->channels_last};
    model->any_batch = o->dims[0] == 0;
    model->batch = model->any_batch ? 2 : (int)o->dims[0];
    if (model->batch > 4096)
        return error_set(err, STATUS_CONFIG, model->path, "its input is fixed to batches of %d: export it with 1",
                         model->batch);
    for (int i = 1; i < o->rank; i++)
        input->dims[i] = o->dims[i] ? o->dims[i] : size;
    input->dims[0] = model->batch;
    const int64_t *d = input->dims;
    if (o->rank == 2)
        input->shape = (struct shape){(int)d[1], 1, 1};
    else if (o->rank == 3)
        input->shape = (struct shape){1, (int)d[1], (int)d[2]};
    else if (o->channels_last)
        input->shape = (struct shape){(int)d[3], (int)d[1], (int)d[2]};
    else
        input->shape = (struct shape){(int)d[1], (int)d[2], (int)d[3]};
    if ((int64_t)input->shape.h * input->shape.w > (int64_t)1 << 28 || input->shape.c > 1 << 24)
        return error_set(err, STATUS_CONFIG, model->path, "its input is %dx%dx%d: too large", input->shape.c,
                         input->shape.h, input->shape.w);
    return STATUS_OK;
}

/* Runs the model on two samples, so that a tensor shows where its batch is. Models that are frozen to one sample
 * inside, whatever their input says, fail with two and are run one by one. */
static enum status first_run(struct foreign_model *model, struct error *err)
{
    struct error ignored = {0};
    model->logits = (struct onnxruntime_tensor){.name = model->outline.output};
    if (model->any_batch && probe(model, &model->logits, 1, &ignored) == STATUS_OK && model->logits.shape.c > 0)
        return STATUS_OK;
    if (model->any_batch) {
        set_batch(&model->input, model->batch, 1);
        model->batch = 1;
        model->any_batch = false;
    }
    return probe(model, &model->logits, 1, err);
}

/* The folder of a file: "." if the path has none. */
static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
}

enum status foreign_model_open(struct foreign_model **out, const char *path, unsigned char *bytes, size_t length,
                               bool apart, int size, size_t memory, struct error *err)
{
    enum status status = STATUS_OK;
    struct foreign_model *model = calloc(1, sizeof *model);
    *out = NULL;
    if (!model) {
        free(bytes);
        return error_no_memory(err, sizeof *model, "a model");
    }
    *model = (struct foreign_model){.path = path, .bytes = bytes, .size = length, .memory = memory};
    model->weights = apart ? folder_of(path) : NULL;
    if (apart && !model->weights)
        FAIL(error_no_memory(err, strlen(path), "a path"));
    TRY(onnx_outline_read(&model->outline, bytes, length, path, err));
    TRY(set_input(model, size, err));
    TRY(foreign_model_library(&model->ops, &model->version, &model->library, err));
    TRY(first_run(model, err));
    *out = model;
    model = NULL;
cleanup:
    foreign_model_free(model);
    return status;
}

void foreign_model_free(struct foreign_model *model)
{
    if (!model)
        return;
    onnx_outline_release(&model->outline);
    free(model->bytes);
    free(model->weights);
    free(model);
}

/* ---- for an engine ---- */

enum status foreign_model_make(const struct foreign_model *foreign, struct onnxruntime_tensor *tensors, int count,
                               int batch, unsigned char **bytes, struct onnxruntime_model *model, struct error *err)
{
    enum status status = STATUS_OK;
    const char **names = calloc((size_t)count + 1, sizeof *names);
    *model = (struct onnxruntime_model){.path = foreign->path,
                                        .weights = foreign->weights,
                                        .input = foreign->input,
                                        .batch = foreign->any_batch ? batch : foreign->batch,
                                        .outputs = tensors,
                                        .output_count = count,
                                        .memory = foreign->memory};
    *bytes = NULL;
    if (!names)
        return error_no_memory(err, (size_t)count * sizeof *names, "tensors");
    for (int i = 0; i < count; i++) {
        names[i] = tensors[i].name;
        set_batch(&tensors[i], foreign->batch, model->batch);
    }
    set_batch(&model->input, foreign->batch, model->batch);
    TRY(onnx_with_outputs(&foreign->outline, foreign->bytes, foreign->size, names, count, bytes, &model->size, err));
    model->bytes = *bytes;
cleanup:
    free(names);
    return status;
}
