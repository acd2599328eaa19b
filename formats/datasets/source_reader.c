#define _GNU_SOURCE
#include "formats/datasets/source_reader.h"

#include "formats/datasets/file_name.h"
#include "shared/base/files.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum status source_add(struct image_source *source, enum split split, const char *name, int label, struct error *err)
{
    struct image_set *set = &source->sets[split];
    enum status status = STATUS_OK;
    char *escaped = file_name_escape(name), *copy = escaped ? arena_strdup(&source->arena, escaped) : NULL;
    if (!copy)
        FAIL(error_no_memory(err, strlen(name), "the list of images"));
    if (strlen(copy) > SOURCE_MAX_NAME)
        FAIL(error_set(err, STATUS_BAD_DATA, source->path, "%s: the name has more than %d bytes; use a shorter one",
                       copy, SOURCE_MAX_NAME));
    TRY(array_grow(&set->samples, sizeof *set->samples, set->count, &set->capacity, "the list of images", err));
    set->samples[set->count] = (struct image_sample){.name = copy, .label = label, .from = split, .place = set->count};
    set->count++;
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

enum status source_read_file(const struct image_source *source, const struct image_sample *sample, uint8_t **bytes,
                             size_t *size, struct error *err)
{
    enum status status = STATUS_OK;
    enum file_kind kind;
    *bytes = NULL;
    *size = 0;
    char *name = file_name_unescape(sample->name);
    char *path = name ? path_join(source->path, name) : NULL;
    free(name);
    if (!path)
        return error_no_memory(err, 0, "a path");
    TRY(file_look(path, &kind, err));
    if (kind != FILE_REGULAR) /* opening a pipe would block */
        FAIL(error_set(err, STATUS_NO_INPUT, path, "is missing, or is not a regular file"));
    TRY(file_read(path, SOURCE_MAX_IMAGE_BYTES, bytes, size, err));
cleanup:
    free(path);
    return status;
}

/* Whether a name is one of the words, whatever its case. */
static bool is_word(const char *name, const char *const *words)
{
    for (; *words; words++)
        if (strcasecmp(name, *words) == 0)
            return true;
    return false;
}

enum status source_split_folder(const char *path, enum split split, char name[SOURCE_FOLDER_NAME], struct error *err)
{
    static const char *const names[SPLIT_COUNT][5] = {
        {"train", "training"}, {"val", "valid", "validation"}, {"test", "testing", "evaluation", "test1"}};
    enum status status = STATUS_OK;
    struct folder_entry *entries = NULL;
    size_t count = 0;
    name[0] = '\0';
    enum file_kind kind;
    TRY(file_look(path, &kind, err));
    if (kind != FILE_FOLDER)
        return STATUS_OK;
    TRY(folder_list(path, &entries, &count, err));
    for (size_t i = 0; i < count; i++) {
        if (!entries[i].is_folder || !is_word(entries[i].name, names[split]))
            continue;
        if (name[0])
            FAIL(
                error_set(err, STATUS_BAD_DATA, path, "has both %s/ and %s/: keep one of them", name, entries[i].name));
        snprintf(name, SOURCE_FOLDER_NAME, "%s", entries[i].name);
    }
cleanup:
    folder_list_free(entries, count);
    return status;
}

/* A split that consists of labeled/ and unlabeled/: the first becomes the split, the second is left out. */
static enum status enter_labelled(struct image_source *source, char folder[SOURCE_FOLDER_NAME], struct error *err)
{
    static const char *const labelled[] = {"labeled", "labelled", NULL}, *const unlabelled[] = {"unlabeled",
                                                                                                "unlabelled", NULL};
    enum status status = STATUS_OK;
    struct folder_entry *entries = NULL;
    size_t count = 0;
    const char *inner = NULL, *other = NULL, *more = NULL;
    char *path = path_join(source->path, folder);
    if (!path)
        return error_no_memory(err, 0, "a path");
    TRY(folder_list(path, &entries, &count, err));
    for (size_t i = 0; i < count; i++) {
        const char *name = entries[i].name;
        if (entries[i].is_folder)
            *(is_word(name, labelled) ? &inner : is_word(name, unlabelled) ? &other : &more) = name;
    }
    if (!inner || more)
        goto cleanup;
    if (other) {
        char kind[2 * SOURCE_FOLDER_NAME];
        snprintf(kind, sizeof kind, "folder %.280s/%.255s/", folder, other);
        TRY(source_leave_out(source, kind, NULL, 1, err));
    }
    snprintf(folder + strlen(folder), SOURCE_FOLDER_NAME - strlen(folder), "/%.255s", inner);
cleanup:
    folder_list_free(entries, count);
    free(path);
    return status;
}

enum status source_add_splits(struct image_source *source, source_add_split *add_split, struct error *err)
{
    enum status status = STATUS_OK;
    char folders[SPLIT_COUNT][SOURCE_FOLDER_NAME];
    const char *used[SPLIT_COUNT] = {folders[0], folders[1], folders[2]};
    source->encoding = IMAGE_JPEG;
    for (int split = 0; split < SPLIT_COUNT; split++)
        TRY(source_split_folder(source->path, (enum split)split, folders[split], err));
    TRY(source_leave_out_rest(source, used, SPLIT_COUNT, err));
    for (int split = 0; split < SPLIT_COUNT; split++) {
        if (!folders[split][0])
            continue;
        TRY(enter_labelled(source, folders[split], err));
        TRY(add_split(source, (enum split)split, folders[split], err));
    }
cleanup:
    return status;
}

enum status source_note(struct image_source *source, struct error *err, const char *format, ...)
{
    char text[1024];
    va_list arguments;
    if (source->note_count == IMAGE_SOURCE_NOTES)
        return STATUS_OK;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    source->notes[source->note_count] = arena_strdup(&source->arena, text);
    if (!source->notes[source->note_count])
        return error_no_memory(err, strlen(text), "a note");
    source->note_count++;
    return STATUS_OK;
}
