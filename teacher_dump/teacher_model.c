#include "teacher_dump/teacher_model.h"

#include "formats/onnx/onnx_file.h"
#include "formats/onnx/onnx_read.h"
#include "teacher_dump/foreign_model.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const teacher_engine_names[] = {"auto", "native", "onnxruntime", NULL};

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* What is read of the model's file. */
struct model_file {
    unsigned char *bytes;
    size_t length;
    bool apart; /* the weights are in other files, and stay there */
};

/* ---- both engines ---- */

static enum status check_teacher(const struct teacher_model *model, bool probabilities, struct error *err)
{
    const struct shape output = model->output_shape;
    if (model->probabilities && !probabilities)
        return error_set(
            err, STATUS_CONFIG, model->path,
            "its output %.200s is a %s: distillation with a temperature needs the logits before it; export "
            "the model without its last %s, or take the logarithm of what it gives with --from probabilities",
            model->output, model->probabilities, model->probabilities);
    if (output.h != 1 || output.w != 1 || output.c < 2)
        return error_set(err, STATUS_CONFIG, model->path,
                         "its output %.200s is %dx%dx%d: a classifier's logits are [classes]", model->output, output.c,
                         output.h, output.w);
    if (model->input.h != model->input.w)
        return error_set(err, STATUS_CONFIG, model->path, "its input is %dx%d: only square inputs are supported",
                         model->input.h, model->input.w);
    return STATUS_OK;
}

/* ---- our own ---- */

/* What gives the output, seen through nodes that change no number. */
static const char *name_probabilities(const struct graph *graph)
{
    const struct node *node = &graph->nodes[graph->output];
    while (node->op == OP_DROPOUT || node->op == OP_FLATTEN)
        node = &graph->nodes[node->inputs[0]];
    const bool sigmoid = node->op == OP_ACTIVATION && node->activation == ACTIVATION_SIGMOID;
    return node->op == OP_SOFTMAX ? "softmax" : sigmoid ? "sigmoid" : NULL;
}

static void finish_native(struct teacher_model *model)
{
    const struct node *output = &model->graph.nodes[model->graph.output];
    model->kind = TEACHER_ENGINE_NATIVE;
    model->output = output->name;
    model->output_shape = output->shape;
    model->probabilities = name_probabilities(&model->graph);
    model->input = model->graph.nodes[model->graph.input].shape;
    model->classes = output->shape.c;
    model->parameters = (double)graph_parameter_count(&model->graph);
}

/* ---- onnxruntime ---- */

/* What our reader says, without the list of what it knows. */
static void keep_reason(struct teacher_model *model, const char *message)
{
    const char *end = strstr(message, "; supported are");
    const size_t length = end ? (size_t)(end - message) : strlen(message);
    snprintf(model->why, sizeof model->why, "%.*s", (int)length, message);
}

/* Nothing can run it. */
static enum status refuse(const struct teacher_model *model, const struct onnx_outline *outline,
                          const struct error *why, struct error *err)
{
    return error_set(err, STATUS_CONFIG, model->path,
                     "%s%s%s%s; softcache's own engine does not run it, onnxruntime may: %s%s%s", model->why,
                     outline->kind[0] ? "; it is " : "", outline->kind[0] ? outline->kind : "", "",
                     why->path[0] && strcmp(why->path, model->path) != 0 ? why->path : "",
                     why->path[0] && strcmp(why->path, model->path) != 0 ? ": " : "", why->message);
}

static enum status open_foreign(struct teacher_model *model, struct model_file *file,
                                const struct teacher_model_request *request, struct error *err)
{
    enum status status = STATUS_OK;
    model->kind = TEACHER_ENGINE_ONNXRUNTIME;
    unsigned char *bytes = file->bytes;
    file->bytes = NULL; /* taken */
    TRY(foreign_model_open(&model->foreign, model->path, bytes, file->length, file->apart, request->size,
                           request->memory, err));
    const struct onnx_outline *outline = &model->foreign->outline;
    const struct onnxruntime_tensor *logits = &model->foreign->logits;
    model->output = outline->output;
    model->output_shape = logits->shape;
    if (outline->probabilities)
        model->probabilities = strcmp(outline->output_op, "Sigmoid") == 0 ? "sigmoid" : "softmax";
    model->input = model->foreign->input.shape;
    model->classes = logits->shape.c;
    model->parameters = outline->parameters;
cleanup:
    return status;
}

/* After our reader has refused the model. */
static enum status fall_back(struct teacher_model *model, struct model_file *file,
                             const struct teacher_model_request *request, const struct error *native, struct error *err)
{
    enum status status = STATUS_OK;
    const struct onnxruntime_ops *ops;
    const char *version, *library;
    struct onnx_outline outline = {0};
    struct error why = {0};
    keep_reason(model, native->message);
    if (foreign_model_library(&ops, &version, &library, &why) == STATUS_OK) {
        status = open_foreign(model, file, request, &why);
        return status == STATUS_OK
                   ? status
                   : error_set(err, status, model->path, "%s; nor does softcache's own engine run it: %s", why.message,
                               model->why);
    }
    TRY(onnx_outline_read(&outline, file->bytes, file->length, model->path, err));
    status = refuse(model, &outline, &why, err);
cleanup:
    onnx_outline_release(&outline);
    return status;
}

/* ---- opening ---- */

/* A model of more than 2 GiB is for onnxruntime only: its weights stay in their files. */
static enum status read_file(struct teacher_model *model, enum teacher_engine_kind kind, struct model_file *file,
                             struct error *native, struct error *err)
{
    enum status status = onnx_file_read(model->path, &file->bytes, &file->length, model->digest, native);
    if (status == STATUS_OK)
        return status;
    file->apart = status == STATUS_CONFIG && kind != TEACHER_ENGINE_NATIVE;
    if (!file->apart)
        return error_set(err, status, native->path, "%s", native->message);
    return onnx_file_read_apart(model->path, &file->bytes, &file->length, model->digest, err);
}

enum status teacher_model_read(struct teacher_model *model, const struct teacher_model_request *request,
                               struct error *err)
{
    enum status status = STATUS_OK;
    const enum teacher_engine_kind kind = request->kind;
    const struct onnx_read_options options = {.height = request->size, .width = request->size};
    struct error native = {0};
    struct model_file file = {0};
    *model = (struct teacher_model){.path = request->path, .file = base_name(request->path)};
    TRY(read_file(model, kind, &file, &native, err));
    if (kind == TEACHER_ENGINE_ONNXRUNTIME) {
        status = open_foreign(model, &file, request, err);
        goto cleanup;
    }
    status =
        file.apart ? STATUS_CONFIG : onnx_read(&model->graph, file.bytes, file.length, model->path, &options, &native);
    if (status == STATUS_OK)
        finish_native(model);
    else if (status == STATUS_CONFIG && kind == TEACHER_ENGINE_AUTO)
        status = fall_back(model, &file, request, &native, err);
    else
        error_set(err, status, native.path, "%s", native.message);
cleanup:
    free(file.bytes);
    if (status != STATUS_OK)
        teacher_model_release(model);
    return status;
}

enum status teacher_model_open(struct teacher_model *model, const struct teacher_model_request *request,
                               struct error *err)
{
    enum status status = teacher_model_read(model, request, err);
    if (status == STATUS_OK)
        status = check_teacher(model, request->probabilities, err);
    if (status != STATUS_OK)
        teacher_model_release(model);
    return status;
}

void teacher_model_release(struct teacher_model *model)
{
    foreign_model_free(model->foreign);
    graph_release(&model->graph);
    *model = (struct teacher_model){0};
}

/* ---- describing ---- */

const char *teacher_model_version(const struct teacher_model *model)
{
    return model->foreign ? model->foreign->version : "";
}

void teacher_model_explain(const struct teacher_model *model, char *text, size_t size)
{
    if (!model->foreign)
        snprintf(text, size, "native, which knows the whole model");
    else
        snprintf(text, size, "onnxruntime %s (%s)%s%s", model->foreign->version, model->foreign->library,
                 model->why[0] ? ": softcache's own does not know the model: " : ", as requested", model->why);
}
