#define _POSIX_C_SOURCE 200809L
#include "teacher_dump/teacher.h"

#include "formats/onnx/onnx_file.h"
#include "formats/onnx/onnx_read.h"
#include "shared/base/suggest.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

bool teacher_is_none(const char *path)
{
    return strcmp(path, "none") == 0;
}

enum status teacher_open(struct teacher *teacher, const char *path, int size, struct error *err)
{
    enum status status = STATUS_OK;
    const struct onnx_read_options options = {.height = size, .width = size};
    unsigned char *bytes = NULL;
    size_t length;
    *teacher = (struct teacher){.file = base_name(path)};
    TRY(onnx_file_read(path, &bytes, &length, teacher->digest, err));
    TRY(onnx_read(&teacher->graph, bytes, length, path, &options, err));
    const struct node *output = &teacher->graph.nodes[teacher->graph.output];
    if (output->op == OP_SOFTMAX)
        TRY(error_set(err, STATUS_CONFIG, path,
                      "its output %s is a softmax: distillation with a temperature needs the logits before it; export "
                      "the model without its last softmax",
                      output->name));
    teacher->input = teacher->graph.nodes[teacher->graph.input].shape;
    teacher->classes = output->shape.c;
    if (output->shape.h != 1 || output->shape.w != 1 || teacher->classes < 2)
        status = error_set(err, STATUS_CONFIG, path, "its output %s is %dx%dx%d: a classifier's logits are [classes]",
                           output->name, output->shape.c, output->shape.h, output->shape.w);
    else if (teacher->input.h != teacher->input.w)
        status = error_set(err, STATUS_CONFIG, path, "its input is %dx%d: only square inputs are supported",
                           teacher->input.h, teacher->input.w);
cleanup:
    free(bytes);
    if (status != STATUS_OK)
        teacher_release(teacher);
    return status;
}

void teacher_release(struct teacher *teacher)
{
    if (teacher->engine)
        teacher->backend->engine->close(teacher->engine);
    if (teacher->device)
        teacher->backend->device->close(teacher->device);
    graph_release(&teacher->graph);
    *teacher = (struct teacher){0};
}

/* Whether name contains word; case does not matter. */
static bool contains(const char *name, const char *word)
{
    const size_t length = strlen(word);
    for (; *name; name++)
        if (strncasecmp(name, word, length) == 0)
            return true;
    return false;
}

/* Names that the user may have meant by `tensor`: "; did you mean 'a', 'b'?", or nothing. */
static void suggest_tensors(const struct graph *graph, const char *tensor, char *text, size_t size)
{
    enum { MOST = 4 };
    const char **names = malloc((size_t)graph->node_count * sizeof *names);
    size_t used = 0;
    int count = 0;
    *text = 0;
    for (int i = 0; i < graph->node_count && names; i++)
        names[i] = graph->nodes[i].name;
    const char *nearest = names ? suggest(tensor, names, graph->node_count) : NULL;
    for (int i = 0; i < graph->node_count && names && count < MOST && used < size; i++)
        if (nearest ? names[i] == nearest : *tensor && contains(names[i], tensor))
            used += (size_t)snprintf(text + used, size - used, "%s'%s'", count++ ? ", " : "; did you mean ", names[i]);
    if (count && used < size)
        snprintf(text + used, size - used, "?");
    free(names);
}

enum status teacher_find(const struct teacher *teacher, const char *tensor, int *node, struct error *err)
{
    const char *colon = strrchr(tensor, ':');
    char begin[NODE_MAX_NAME], near[4 * NODE_MAX_NAME];
    *node = graph_find(&teacher->graph, tensor);
    if (*node >= 0)
        return STATUS_OK;
    snprintf(begin, sizeof begin, "%.*s", colon ? (int)(colon - tensor) : 0, tensor);
    if (colon && graph_find(&teacher->graph, begin) >= 0)
        return error_set(err, STATUS_CONFIG, teacher->file,
                         "has no tensor '%s', but '%s': ending '%s' is not allowed; use one form (fp16, int8, "
                         "pooled, at) and one views=N",
                         tensor, begin, colon);
    suggest_tensors(&teacher->graph, tensor, near, sizeof near);
    return error_set(err, STATUS_CONFIG, teacher->file, "has no tensor '%s'%s%s `teacher_dump inspect` lists them",
                     tensor, near, *near ? "" : ":");
}

enum status teacher_choose(struct teacher_engine *engine, struct error *err)
{
    enum status status = STATUS_OK;
    enum precision precision;
    TRY(backend_find(engine->device, &engine->backend, &engine->index, &engine->why, err));
    const struct engine_ops *ops = engine->backend->engine;
    if (!ops)
        TRY(error_set(err, STATUS_CONFIG, NULL, "the %s backend cannot run teachers: use --device cpu",
                      engine->backend->name));
    TRY(ops->choose_precision((enum precision)engine->precision, &precision, err));
    engine->precision = (int)precision;
    engine->batch = engine->batch ? engine->batch : ops->usual_batch;
cleanup:
    return status;
}

enum status teacher_start(struct teacher *teacher, const struct teacher_engine *engine,
                          const struct cache_manifest *manifest, struct error *err)
{
    enum status status = STATUS_OK;
    const struct device_options device = {
        .index = engine->index, .threads = engine->threads, .memory_limit = (size_t)engine->gpu_memory};
    teacher->nodes[0] = teacher->graph.output;
    for (int i = 0; i < manifest->feature_count; i++)
        TRY(teacher_find(teacher, manifest->features[i].tensor, &teacher->nodes[1 + i], err));
    teacher->output_count = 1 + manifest->feature_count;
    for (int i = 0; i < teacher->output_count; i++)
        teacher->shapes[i] = teacher->graph.nodes[teacher->nodes[i]].shape;
    teacher->backend = engine->backend;
    const struct engine_options options = {.batch = engine->batch,
                                           .in_flight = engine->in_flight,
                                           .precision = (enum precision)engine->precision,
                                           .outputs = teacher->nodes,
                                           .output_count = teacher->output_count};
    TRY(teacher->backend->device->open(&teacher->device, &device, err));
    TRY(teacher->backend->engine->open(&teacher->engine, teacher->device, &teacher->graph, &options, err));
cleanup:
    return status;
}

void teacher_describe(const struct teacher *teacher, char *text, size_t size)
{
    snprintf(text, size, "%s; %s", teacher->backend->device->describe(teacher->device),
             teacher->backend->engine->describe(teacher->engine));
}
