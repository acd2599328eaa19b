/* Which files of a folder are samples, by their content, and what is left out. */
#define _GNU_SOURCE
#include "formats/datasets/source_reader.h"

#include "formats/datasets/file_name.h"
#include "shared/base/files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char convert[] = "not read: convert to JPEG or PNG";

enum status source_leave_out(struct image_source *source, const char *kind, const char *advice, size_t count,
                             struct error *err)
{
    for (size_t i = 0; i < source->left_out_count; i++)
        if (strcmp(source->left_out[i].kind, kind) == 0) {
            source->left_out[i].count += count;
            return STATUS_OK;
        }
    if (count == 0)
        return STATUS_OK;
    enum status status = array_grow(&source->left_out, sizeof *source->left_out, source->left_out_count,
                                    &source->left_out_capacity, "the list of other files", err);
    char *copy = status == STATUS_OK ? arena_strdup(&source->arena, kind) : NULL;
    if (!copy)
        return status == STATUS_OK ? error_no_memory(err, strlen(kind), "the list of other files") : status;
    source->left_out[source->left_out_count++] = (struct left_out){copy, advice, count};
    return STATUS_OK;
}

/* The ending of a name in lower case, as valid UTF-8, or a word for names without one. */
static enum status leave_out_name(struct image_source *source, const char *name, struct error *err)
{
    const char *dot = strrchr(name, '.');
    char *ending = file_name_escape(dot && strlen(dot) > 1 && strlen(dot) < 12 ? dot : "without ending");
    if (!ending)
        return error_no_memory(err, strlen(name), "a name");
    for (char *at = ending; *at; at++)
        if (*at >= 'A' && *at <= 'Z')
            *at = (char)(*at - 'A' + 'a');
    enum status status = source_leave_out(source, ending, NULL, 1, err);
    free(ending);
    return status;
}

enum status source_take_file(struct image_source *source, const char *folder, const char *name, bool *taken,
                             struct error *err)
{
    char *path = path_join(folder, name);
    if (!path)
        return error_no_memory(err, 0, "a path");
    enum image_format format;
    const enum status status = image_format_of_file(path, &format, err);
    free(path);
    if (status != STATUS_OK)
        return status;
    *taken = image_format_is_read(format) || image_format_is_name(name);
    if (image_format_is_read(format) && format != IMAGE_FORMAT_JPEG)
        source->encoding = IMAGE_FILES;
    if (*taken)
        return STATUS_OK;
    if (format == IMAGE_FORMAT_UNKNOWN)
        return leave_out_name(source, name, err);
    return source_leave_out(source, image_format_name(format), convert, 1, err);
}

enum status source_list(struct image_source *source, const char *folder, struct folder_entry **entries, size_t *count,
                        struct error *err)
{
    size_t hidden;
    enum status status = folder_list_visible(folder, entries, count, &hidden, err);
    return status == STATUS_OK ? source_leave_out(source, "hidden", NULL, hidden, err) : status;
}

enum status source_leave_out_rest(struct image_source *source, const char *const *used, size_t used_count,
                                  struct error *err)
{
    enum status status = STATUS_OK;
    struct folder_entry *entries = NULL;
    size_t count = 0;
    TRY(source_list(source, source->path, &entries, &count, err));
    for (size_t i = 0; i < count; i++) {
        bool known = false;
        for (size_t k = 0; k < used_count; k++)
            known = known || (used[k] && strcmp(used[k], entries[i].name) == 0);
        if (!known && entries[i].is_folder) {
            char *name = file_name_escape(entries[i].name), kind[300];
            snprintf(kind, sizeof kind, "folder %s/", name ? name : "");
            free(name);
            TRY(source_leave_out(source, kind, NULL, 1, err));
        } else if (!known) {
            TRY(leave_out_name(source, entries[i].name, err));
        }
    }
cleanup:
    folder_list_free(entries, count);
    return status;
}

void image_source_describe_left_out(const struct image_source *source, char *text, size_t size)
{
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < source->left_out_count && used < size; i++) {
        const struct left_out *left = &source->left_out[i];
        const bool folder = strncmp(left->kind, "folder ", 7) == 0;
        int length = snprintf(text + used, size - used, "%s", used ? ", " : "");
        used += length > 0 ? (size_t)length : 0;
        if (used < size && !folder)
            used += (size_t)snprintf(text + used, size - used, "%zu ", left->count);
        if (used < size)
            used += (size_t)snprintf(text + used, size - used, "%s%s%s%s", left->kind, left->advice ? " (" : "",
                                     left->advice ? left->advice : "", left->advice ? ")" : "");
    }
}
