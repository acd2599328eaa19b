#define _GNU_SOURCE
#include "teacher_dump/teacher.h"

#include "shared/base/files.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const ensemble_names[] = {"logits", "probabilities", NULL};
const char *const teacher_tta_names[] = {"none", "hflip", NULL};
const char *const teacher_from_names[] = {"logits", "probabilities", NULL};

bool teacher_is_none(const char *path)
{
    return strcmp(path, "none") == 0;
}

const struct teacher_model *teacher_first(const struct teacher *teacher)
{
    return teacher->member_count ? &teacher->members[0].model : NULL;
}

/* ---- opening ---- */

/* "a.onnx@0.7" is a.onnx with a weight, unless there is a file of that name. Without one, the weight stays as it is. */
static enum status split_weight(struct teacher_member *member, const char *text, bool *given, struct error *err)
{
    const char *at = strrchr(text, '@');
    char *end = NULL;
    member->path = strdup(text);
    if (!member->path)
        return error_no_memory(err, strlen(text), "a path");
    if (!at || strchr(at, '/') || file_exists(text))
        return STATUS_OK;
    member->weight = strtod(at + 1, &end);
    if (end == at + 1 || *end || !(member->weight > 0) || !(member->weight <= 1e6))
        return error_set(err, STATUS_USAGE, NULL,
                         "--teacher %s: what follows '@' is the teacher's weight, a number above 0", text);
    member->path[at - text] = 0;
    *given = true;
    return STATUS_OK;
}

/* How many models a cache was made with. */
static int count_made(const struct cache_manifest *made)
{
    return made->member_count ? made->member_count : 1;
}

/* Which engine ran model i of a cache: the one of that file's name, so that models in another order are told by their
 * digests, and not by operators that the other's engine does not know. */
static enum teacher_engine_kind engine_made(const struct cache_manifest *made, const char *path, int i)
{
    const char *slash = strrchr(path, '/'), *file = slash ? slash + 1 : path;
    for (int k = made->member_count - 1; k >= 0; k--)
        if (strcmp(made->members[k].file, file) == 0)
            i = k;
    const char *name = made->member_count ? made->members[i].engine.name : made->engine.name;
    return name && strcmp(name, teacher_engine_names[TEACHER_ENGINE_ONNXRUNTIME]) == 0 ? TEACHER_ENGINE_ONNXRUNTIME
                                                                                       : TEACHER_ENGINE_NATIVE;
}

static int choose_name(const char *const *names, const char *name)
{
    for (int i = 0; name && names[i]; i++)
        if (strcmp(names[i], name) == 0)
            return i;
    return 0;
}

static enum status check_member(const struct teacher *teacher, const struct teacher_model *model, struct error *err)
{
    const struct shape *a = &teacher->input, *b = &model->input;
    if (model->classes != teacher->output_classes)
        return error_set(err, STATUS_CONFIG, model->path,
                         "has %d logits, but the first teacher has %d: they were trained on other classes",
                         model->classes, teacher->output_classes);
    if (a->c != b->c || a->h != b->h)
        return error_set(err, STATUS_CONFIG, model->path,
                         "takes %dx%dx%d, but the first teacher takes %dx%dx%d: several teachers must take the same "
                         "input; export this one with that size",
                         b->c, b->h, b->w, a->c, a->h, a->w);
    return STATUS_OK;
}

/* How many logits the teacher has, after the choice of outputs. */
static enum status set_classes(struct teacher *teacher, const struct teacher_model *model, struct error *err)
{
    const struct teacher_outputs *outputs = &teacher->outputs;
    for (int i = 0; i < outputs->selected_count; i++)
        if (outputs->selected[i] >= model->classes)
            return error_set(err, STATUS_CONFIG, model->path, "--logits %d: it has %d outputs, numbered from 0",
                             outputs->selected[i], model->classes);
    teacher->classes = outputs->selected_count ? outputs->selected_count : model->classes;
    return STATUS_OK;
}

static enum status open_member(struct teacher *teacher, const struct teacher_request *request, int i, bool *given,
                               struct error *err)
{
    enum status status = STATUS_OK;
    struct teacher_member *member = &teacher->members[i];
    enum teacher_engine_kind kind = request->kind;
    member->weight = request->made && request->made->member_count ? request->made->members[i].weight : 1;
    TRY(split_weight(member, request->teachers.items[i], given, err));
    if (request->made && kind == TEACHER_ENGINE_AUTO)
        kind = engine_made(request->made, member->path, i);
    const struct teacher_model_request model = {.path = member->path,
                                                .size = request->size,
                                                .kind = kind,
                                                .probabilities = teacher->outputs.from == TEACHER_FROM_PROBABILITIES,
                                                .memory = (size_t)request->max_memory};
    TRY(teacher_model_open(&member->model, &model, err));
    if (i == 0) {
        teacher->input = member->model.input;
        teacher->output_classes = member->model.classes;
        TRY(set_classes(teacher, &member->model, err));
    }
    TRY(check_member(teacher, &member->model, err));
cleanup:
    return status;
}

/* Weights with six decimals, which is how the manifest keeps them: a teacher that is read back is the same. */
static enum status normalise_weights(struct teacher *teacher, struct error *err)
{
    double sum = 0;
    for (int i = 0; i < teacher->member_count; i++)
        sum += teacher->members[i].weight;
    for (int i = 0; i < teacher->member_count; i++) {
        struct teacher_member *member = &teacher->members[i];
        member->weight = round(member->weight / sum * 1e6) / 1e6;
        if (member->weight == 0)
            return error_set(err, STATUS_USAGE, NULL, "--teacher %s: its share is below a millionth", member->path);
    }
    return STATUS_OK;
}

enum status teacher_open(struct teacher *teacher, const struct teacher_request *request, struct error *err)
{
    enum status status = STATUS_OK;
    const int count = request->teachers.count;
    const struct cache_manifest *made = request->made;
    bool given = false;
    *teacher = (struct teacher){.ensemble = request->ensemble, .tta = request->tta, .outputs = request->outputs};
    if (made) {
        teacher->outputs =
            (struct teacher_outputs){made->selected, made->selected_count,
                                     made->from_probabilities ? TEACHER_FROM_PROBABILITIES : TEACHER_FROM_LOGITS};
        teacher->ensemble = (enum ensemble)choose_name(ensemble_names, made->ensemble);
        teacher->tta = (enum teacher_tta)choose_name(teacher_tta_names, made->tta);
    }
    if (count > TEACHER_MAX_MEMBERS)
        return error_set(err, STATUS_USAGE, NULL, "--teacher: at most %d are allowed", TEACHER_MAX_MEMBERS);
    if (made && count != count_made(made))
        return error_set(err, STATUS_CONFIG, request->teachers.items[0],
                         "the cache was made with %d teachers (%s), but %d are given: name all, in the same order",
                         count_made(made), made->teacher_file, count);
    teacher->members = calloc((size_t)count, sizeof *teacher->members);
    if (!teacher->members)
        return error_no_memory(err, (size_t)count * sizeof *teacher->members, "teachers");
    for (int i = 0; i < count; i++) {
        teacher->member_count++;
        TRY(open_member(teacher, request, i, &given, err));
    }
    if (!made || given)
        TRY(normalise_weights(teacher, err));
    TRY(teacher_digest(teacher, err));
cleanup:
    if (status != STATUS_OK)
        teacher_release(teacher);
    return status;
}

void teacher_release(struct teacher *teacher)
{
    for (int i = 0; i < teacher->member_count; i++) {
        struct teacher_member *member = &teacher->members[i];
        if (member->engine)
            teacher->backend->engine->close(member->engine);
        teacher_model_release(&member->model);
        free(member->path);
    }
    if (teacher->device)
        teacher->backend->device->close(teacher->device);
    memory_free(teacher->logits);
    free(teacher->members);
    *teacher = (struct teacher){0};
}
