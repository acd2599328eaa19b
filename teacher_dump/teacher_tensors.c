/* A model's tensors by name: what a user asks for, and what there is. */
#define _POSIX_C_SOURCE 200809L
#include "shared/base/suggest.h"
#include "teacher_dump/foreign_model.h"
#include "teacher_dump/teacher_model.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static int name_count(const struct teacher_model *model)
{
    return model->foreign ? model->foreign->outline.tensor_count : model->graph.node_count;
}

static const char *name_of(const struct teacher_model *model, int i)
{
    return model->foreign ? model->foreign->outline.tensors[i].name : model->graph.nodes[i].name;
}

static bool has(const struct teacher_model *model, const char *tensor)
{
    return model->foreign ? foreign_model_has(model->foreign, tensor) : graph_find(&model->graph, tensor) >= 0;
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
static void suggest_tensors(const struct teacher_model *model, const char *tensor, char *text, size_t size)
{
    enum { MOST = 4 };
    const int total = name_count(model);
    const char **names = malloc((size_t)total * sizeof *names);
    size_t used = 0;
    int count = 0;
    *text = 0;
    for (int i = 0; i < total && names; i++)
        names[i] = name_of(model, i);
    const char *nearest = names ? suggest(tensor, names, total) : NULL;
    for (int i = 0; i < total && names && count < MOST && used < size; i++)
        if (nearest ? names[i] == nearest : *tensor && contains(names[i], tensor))
            used += (size_t)snprintf(text + used, size - used, "%s'%.*s'", count++ ? ", " : "; did you mean ",
                                     NODE_MAX_NAME, names[i]);
    if (count && used < size)
        snprintf(text + used, size - used, "?");
    free(names);
}

static enum status unknown_tensor(const struct teacher_model *model, const char *tensor, struct error *err)
{
    const char *colon = strrchr(tensor, ':');
    char begin[NODE_MAX_NAME], near[4 * NODE_MAX_NAME];
    snprintf(begin, sizeof begin, "%.*s", colon ? (int)(colon - tensor) : 0, tensor);
    if (colon && has(model, begin))
        return error_set(err, STATUS_CONFIG, model->file,
                         "has no tensor '%s', but '%s': ending '%s' is not allowed; use one form (fp16, int8, "
                         "pooled, at) and one views=N",
                         tensor, begin, colon);
    suggest_tensors(model, tensor, near, sizeof near);
    return error_set(err, STATUS_CONFIG, model->file, "has no tensor '%s'%s%s `teacher_dump inspect` lists them",
                     tensor, near, *near ? "" : ":");
}

static enum status find_foreign(const struct teacher_model *model, const char *const *tensors, int count,
                                struct shape *shapes, struct error *err)
{
    enum status status = STATUS_OK;
    struct onnxruntime_tensor *looked = calloc((size_t)count + 1, sizeof *looked);
    if (!looked)
        return error_no_memory(err, (size_t)count * sizeof *looked, "tensors");
    for (int i = 0; i < count; i++)
        looked[i].name = tensors[i];
    if (count)
        TRY(foreign_model_look(model->foreign, looked, count, err));
    for (int i = 0; i < count; i++) {
        shapes[i] = looked[i].shape;
        if (shapes[i].c == 0)
            FAIL(error_set(
                err, STATUS_CONFIG, model->file,
                "tensor '%.200s' is not one map of floats per sample: `teacher_dump inspect` lists those that are",
                tensors[i]));
    }
cleanup:
    free(looked);
    return status;
}

enum status teacher_model_find(const struct teacher_model *model, const char *const *tensors, int count,
                               struct shape *shapes, struct error *err)
{
    for (int i = 0; i < count; i++)
        if (!has(model, tensors[i]))
            return unknown_tensor(model, tensors[i], err);
    if (model->foreign)
        return find_foreign(model, tensors, count, shapes, err);
    for (int i = 0; i < count; i++)
        shapes[i] = model->graph.nodes[graph_find(&model->graph, tensors[i])].shape;
    return STATUS_OK;
}

/* ---- inspect ---- */

static enum status list_foreign(const struct foreign_model *foreign, struct teacher_tensor *list, int count,
                                struct error *err)
{
    struct onnxruntime_tensor *tensors = calloc((size_t)count + 1, sizeof *tensors);
    if (!tensors)
        return error_no_memory(err, (size_t)count * sizeof *tensors, "tensors");
    for (int i = 0; i < count; i++)
        tensors[i].name = foreign->outline.tensors[i].name;
    const enum status status = foreign_model_look(foreign, tensors, count, err);
    for (int i = 0; i < count && status == STATUS_OK; i++)
        list[i] = (struct teacher_tensor){tensors[i].name, foreign->outline.tensors[i].op, tensors[i].shape};
    free(tensors);
    return status;
}

enum status teacher_model_list(const struct teacher_model *model, struct teacher_tensor **list, int *count,
                               struct error *err)
{
    *count = name_count(model);
    *list = calloc((size_t)*count + 1, sizeof **list);
    if (!*list)
        return error_no_memory(err, (size_t)*count * sizeof **list, "tensors");
    if (model->foreign)
        return list_foreign(model->foreign, *list, *count, err);
    for (int i = 0; i < *count; i++) {
        const struct node *node = &model->graph.nodes[i];
        (*list)[i] = (struct teacher_tensor){node->name, op_name(node->op), node->shape};
    }
    return STATUS_OK;
}
