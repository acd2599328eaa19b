/* What a teacher is, for the manifest: its files, their digest, and who runs them. */
#define _GNU_SOURCE
#include "teacher_dump/teacher.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct cache_engine engine_of(const struct teacher_model *model)
{
    const bool ours = model->kind == TEACHER_ENGINE_NATIVE;
    return (struct cache_engine){ours ? "" : teacher_engine_names[model->kind], teacher_model_version(model)};
}

/* "a.onnx + b.onnx" */
static const char *join_files(const struct teacher *teacher, struct arena *arena)
{
    const char *text = arena_strdup(arena, teacher->members[0].model.file);
    for (int i = 1; i < teacher->member_count && text; i++)
        text = arena_printf(arena, "%s + %s", text, teacher->members[i].model.file);
    return text;
}

enum status teacher_identify(const struct teacher *teacher, struct cache_manifest *manifest, struct error *err)
{
    manifest->teacher_file = "";
    if (!teacher->member_count)
        return STATUS_OK;
    manifest->teacher_file = join_files(teacher, &manifest->arena);
    if (!manifest->teacher_file)
        return error_no_memory(err, 0, "the teachers' names");
    memcpy(manifest->teacher_digest, teacher->digest, sizeof manifest->teacher_digest);
    manifest->engine = engine_of(&teacher->members[0].model);
    manifest->selected = teacher->outputs.selected;
    manifest->selected_count = teacher->outputs.selected_count;
    manifest->from_probabilities = teacher->outputs.from == TEACHER_FROM_PROBABILITIES;
    if (teacher_is_plain(teacher))
        return STATUS_OK;
    manifest->ensemble = ensemble_names[teacher->ensemble];
    manifest->tta = teacher_tta_names[teacher->tta];
    manifest->member_count = teacher->member_count;
    for (int i = 0; i < teacher->member_count; i++) {
        const struct teacher_member *from = &teacher->members[i];
        struct cache_member *to = &manifest->members[i];
        *to =
            (struct cache_member){.file = from->model.file, .weight = from->weight, .engine = engine_of(&from->model)};
        memcpy(to->digest, from->model.digest, sizeof to->digest);
    }
    return STATUS_OK;
}

/* The digest of one plain teacher is that of its file; otherwise of a text: FORMAT.md. */
enum status teacher_digest(struct teacher *teacher, struct error *err)
{
    char *text = NULL;
    size_t size = 0;
    if (teacher_is_plain(teacher)) {
        memcpy(teacher->digest, teacher->members[0].model.digest, sizeof teacher->digest);
        return STATUS_OK;
    }
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return error_no_memory(err, 0, "a digest");
    fprintf(out, "%s %s\n", ensemble_names[teacher->ensemble], teacher_tta_names[teacher->tta]);
    for (int i = 0; i < teacher->member_count; i++)
        fprintf(out, "%s %.6f\n", teacher->members[i].model.digest, teacher->members[i].weight);
    fclose(out);
    if (!text)
        return error_no_memory(err, 0, "a digest");
    digest_bytes(text, size, teacher->digest);
    free(text);
    return STATUS_OK;
}
