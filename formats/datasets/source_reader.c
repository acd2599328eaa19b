#define _GNU_SOURCE
#include "formats/datasets/source_reader.h"

#include "formats/datasets/file_name.h"
#include "shared/base/files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum status source_add(struct image_source *source, enum split split, const char *name, int label, struct error *err)
{
    struct image_set *set = &source->sets[split];
    enum status status = STATUS_OK;
    char *escaped = file_name_escape(name), *copy = escaped ? arena_strdup(&source->arena, escaped) : NULL;
    if (!copy)
        TRY(error_no_memory(err, strlen(name), "the list of images"));
    if (strlen(copy) > SOURCE_MAX_NAME)
        TRY(error_set(err, STATUS_BAD_DATA, source->path, "%s: the name has more than %d bytes; use a shorter one",
                      copy, SOURCE_MAX_NAME));
    TRY(array_grow(&set->samples, sizeof *set->samples, set->count, &set->capacity, "the list of images", err));
    set->samples[set->count++] = (struct image_sample){.name = copy, .label = label};
cleanup:
    free(escaped);
    return status;
}

enum status source_add_raw(struct image_source *source, enum split split, size_t count, const uint8_t *labels,
                           size_t stride, struct error *err)
{
    enum status status = STATUS_OK;
    size_t first = source->sets[split].count;
    for (size_t i = 0; i < count && status == STATUS_OK; i++) {
        char name[64];
        snprintf(name, sizeof name, "%s/%06zu", split_name(split), first + i);
        status = source_add(source, split, name, labels[i * stride], err);
    }
    return status;
}

enum status source_read_file(const struct image_source *source, enum split split, size_t index, uint8_t **bytes,
                             size_t *size, struct error *err)
{
    enum status status = STATUS_OK;
    *bytes = NULL;
    *size = 0;
    char *name = file_name_unescape(source->sets[split].samples[index].name);
    char *path = name ? path_join(source->path, name) : NULL;
    free(name);
    if (!path)
        return error_no_memory(err, 0, "a path");
    if (!file_exists(path)) /* opening a pipe would block */
        TRY(error_set(err, STATUS_NO_INPUT, path, "is missing, or is not a regular file"));
    TRY(file_read(path, SOURCE_MAX_IMAGE_BYTES, bytes, size, err));
cleanup:
    free(path);
    return status;
}

enum status source_split_folder(const char *path, enum split split, const char **name, struct error *err)
{
    static const char *const names[SPLIT_COUNT][4] = {
        {"train", "training"}, {"val", "valid", "validation"}, {"test", "testing", "evaluation"}};
    *name = NULL;
    for (int i = 0; i < 4 && names[split][i]; i++) {
        char *folder = path_join(path, names[split][i]);
        if (!folder)
            return error_no_memory(err, 0, "a path");
        bool exists = folder_exists(folder);
        free(folder);
        if (!exists)
            continue;
        if (*name)
            return error_set(err, STATUS_BAD_DATA, path, "has both %s/ and %s/: keep one of them", *name,
                             names[split][i]);
        *name = names[split][i];
    }
    return STATUS_OK;
}

enum status source_add_splits(struct image_source *source, source_add_split *add_split, const char *no_validation,
                              struct error *err)
{
    enum status status = STATUS_OK;
    const char *folders[SPLIT_COUNT] = {NULL};
    source->encoding = IMAGE_JPEG;
    for (int split = 0; split < SPLIT_COUNT; split++) {
        const char *folder;
        TRY(source_split_folder(source->path, (enum split)split, &folder, err));
        if (!folder && split == SPLIT_VAL)
            TRY(error_set(err, STATUS_BAD_DATA, source->path, "%s", no_validation));
        if (folder)
            TRY(add_split(source, (enum split)split, folder, err));
        folders[split] = folder;
    }
    TRY(source_leave_out_rest(source, folders, SPLIT_COUNT, err));
cleanup:
    return status;
}
