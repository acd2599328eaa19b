/* Files whose names begin with their class, as in the data sets of cats and dogs or of pets: train/CLASS.NUMBER.jpg,
 * also CLASS_NUMBER and CLASS-NUMBER. In test/, names without a class of the training split have no label. */
#include "formats/datasets/source_reader.h"

#include "formats/datasets/file_name.h"
#include "shared/base/files.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The length of the class in "CLASS.NUMBER.ENDING"; 0 if the name does not have that form. */
static size_t class_length(const char *name)
{
    const char *dot = strrchr(name, '.');
    size_t length = dot ? (size_t)(dot - name) : strlen(name), digits = 0;
    while (length > 0 && isdigit((unsigned char)name[length - 1])) {
        length--;
        digits++;
    }
    if (digits == 0 || length < 2 || !strchr("._-", name[length - 1]))
        return 0;
    length--;
    for (size_t i = 0; i < length; i++)
        if (isalpha((unsigned char)name[i]) || (unsigned char)name[i] >= 0x80)
            return length;
    return 0;
}

/* Two classes at least: IMG_0001.jpg names no class. Every image must name one. */
static bool named_recognises(const char *path, struct error *err)
{
    struct folder_entry *entries = NULL;
    size_t count = 0, images = 0, named = 0, first_length = 0;
    char name[SOURCE_FOLDER_NAME], first[SOURCE_FOLDER_NAME] = "";
    bool several = false;
    if (source_split_folder(path, SPLIT_TRAIN, name, err) != STATUS_OK || !name[0])
        return false;
    char *folder = path_join(path, name);
    if (!folder)
        error_no_memory(err, strlen(name), "a path");
    if (folder && folder_list(folder, &entries, &count, err) == STATUS_OK)
        for (size_t i = 0; i < count; i++) {
            const size_t length = entries[i].is_folder ? 0 : class_length(entries[i].name);
            if (entries[i].is_folder || !image_format_is_image(folder, entries[i].name, err))
                continue;
            images++;
            named += length > 0;
            if (!first[0] && length > 0)
                snprintf(first, sizeof first, "%.*s", (int)(first_length = length), entries[i].name);
            several =
                several || (length > 0 && (length != first_length || strncmp(entries[i].name, first, length) != 0));
        }
    folder_list_free(entries, count);
    free(folder);
    return images > 0 && named == images && several;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The number of the class that a name begins with, among classes[count] in byte order; -1: none. */
static enum status find_class(const struct image_source *source, const char *name, int *label, struct error *err)
{
    char *escaped = file_name_escape(name);
    if (!escaped)
        return error_no_memory(err, strlen(name), "a name");
    escaped[class_length(escaped)] = '\0';
    const char *const key = escaped;
    const char *const *class =
        bsearch(&key, source->classes, (size_t)source->class_count, sizeof *class, compare_names);
    free(escaped);
    *label = class ? (int)(class - source->classes) : -1;
    return STATUS_OK;
}

/* Lists the classes of the entries, in byte order. */
static enum status take_classes(struct image_source *source, const struct folder_entry *entries, size_t count,
                                struct error *err)
{
    const char **classes = arena_alloc(&source->arena, count + 1, sizeof *classes);
    size_t used = 0, kept = 0;
    if (!classes)
        return error_no_memory(err, count * sizeof *classes, "class names");
    for (size_t i = 0; i < count; i++) {
        if (entries[i].is_folder || !class_length(entries[i].name))
            continue;
        char *name = file_name_escape(entries[i].name);
        if (!name)
            return error_no_memory(err, strlen(entries[i].name), "a class name");
        name[class_length(name)] = '\0';
        if (used == 0 || strcmp(classes[used - 1], name) != 0)
            classes[used++] = arena_strdup(&source->arena, name);
        free(name);
        if (!classes[used - 1])
            return error_no_memory(err, 0, "class names");
    }
    qsort(classes, used, sizeof *classes, compare_names);
    for (size_t i = 0; i < used; i++)
        if (kept == 0 || strcmp(classes[kept - 1], classes[i]) != 0)
            classes[kept++] = classes[i];
    if (kept > SOURCE_MAX_CLASSES)
        return error_set(err, STATUS_BAD_DATA, source->path, "more than %d classes", SOURCE_MAX_CLASSES);
    source->classes = classes;
    source->class_count = (int)kept;
    return STATUS_OK;
}

static enum status add_file(struct image_source *source, enum split split, const char *path, const char *folder,
                            const char *file, struct error *err)
{
    enum status status = STATUS_OK;
    char name[4096];
    bool taken;
    int label = -1;
    TRY(source_take_file(source, path, file, &taken, err));
    if (!taken)
        return STATUS_OK;
    TRY(find_class(source, file, &label, err));
    if (label < 0 && split != SPLIT_TEST)
        FAIL(error_set(err, STATUS_BAD_DATA, source->path,
                       "%s/%s: names are CLASS.NUMBER.jpg here, and this one has no class of the training images",
                       folder, file));
    snprintf(name, sizeof name, "%s/%s", folder, file);
    TRY(source_add(source, split, name, label, err));
cleanup:
    return status;
}

static enum status add_split(struct image_source *source, enum split split, const char *folder, struct error *err)
{
    enum status status = STATUS_OK;
    struct folder_entry *entries = NULL;
    size_t count = 0;
    char *path = path_join(source->path, folder), kind[2 * SOURCE_FOLDER_NAME];
    if (!path)
        return error_no_memory(err, 0, "a path");
    TRY(source_list(source, path, &entries, &count, err));
    if (split == SPLIT_TRAIN)
        TRY(take_classes(source, entries, count, err));
    for (size_t i = 0; i < count; i++) {
        snprintf(kind, sizeof kind, "folder %.280s/%.255s/", folder, entries[i].name);
        if (entries[i].is_folder)
            TRY(source_leave_out(source, kind, NULL, 1, err));
        else
            TRY(add_file(source, split, path, folder, entries[i].name, err));
    }
cleanup:
    folder_list_free(entries, count);
    free(path);
    return status;
}

static enum status named_open(struct image_source *source, struct error *err)
{
    enum status status = STATUS_OK;
    TRY(source_add_splits(source, add_split, err));
    TRY(source_note(source, err, "classes are the beginnings of the files' names: %d, from %s to %s",
                    source->class_count, source->classes[0], source->classes[source->class_count - 1]));
cleanup:
    return status;
}

const struct image_source_format source_named = {
    .name = "Named files",
    .recognises = named_recognises,
    .open = named_open,
    .read = source_read_file,
};
