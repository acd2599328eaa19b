#define _POSIX_C_SOURCE 200809L
#include "student_train/run/photos.h"

#include "formats/image/image_file.h"
#include "shared/augment/view.h"
#include "shared/base/files.h"
#include "shared/base/natural_order.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PHOTO_LIMIT = 256 << 20, MAX_DEPTH = 32 };

/* By its name or its content, so that a photo that is empty, cut off or of a kind that is not read keeps its row. */
static enum status is_photo(const char *folder, const char *name, bool *photo, struct error *err)
{
    enum image_format format;
    *photo = image_format_is_name(name);
    if (*photo)
        return STATUS_OK;
    char *path = path_join(folder, name);
    if (!path)
        return error_no_memory(err, strlen(name), "a path");
    const enum status status = image_format_of_file(path, &format, err);
    free(path);
    *photo = image_format_is_read(format) || (format >= IMAGE_FORMAT_HEIC && format <= IMAGE_FORMAT_NETPBM);
    return status;
}

static enum status add_photo(struct photos *photos, const char *name, struct error *err)
{
    enum status status =
        array_grow(&photos->names, sizeof *photos->names, photos->count, &photos->capacity, "a list of photos", err);
    if (status != STATUS_OK)
        return status;
    photos->names[photos->count] = arena_strdup(&photos->arena, name);
    return photos->names[photos->count++] ? STATUS_OK : error_no_memory(err, strlen(name), "a list of photos");
}

/* Adds the photos of a subfolder of photos->folder ("": the folder itself), and of its subfolders. */
static enum status add_folder(struct photos *photos, const char *below, int depth, struct error *err)
{
    enum status status = STATUS_OK;
    struct folder_entry *entries = NULL;
    size_t count = 0;
    char *path = *below ? path_join(photos->folder, below) : strdup(photos->folder), *name = NULL;
    if (!path)
        FAIL(error_no_memory(err, strlen(below), "a path"));
    if (depth > MAX_DEPTH)
        FAIL(error_set(err, STATUS_BAD_DATA, path, "more than %d folders inside each other", MAX_DEPTH));
    TRY(folder_list(path, &entries, &count, err));
    for (size_t i = 0; i < count; i++) {
        free(name);
        name = *below ? path_join(below, entries[i].name) : strdup(entries[i].name);
        if (!name)
            FAIL(error_no_memory(err, strlen(below), "a path"));
        bool photo = false;
        if (!entries[i].is_folder)
            TRY(is_photo(photos->folder, name, &photo, err));
        if (entries[i].is_folder)
            TRY(add_folder(photos, name, depth + 1, err));
        else if (photo)
            TRY(add_photo(photos, name, err));
        else if (photos->others++ == 0)
            snprintf(photos->other, sizeof photos->other, "%s", entries[i].name);
    }
cleanup:
    free(name);
    free(path);
    folder_list_free(entries, count);
    return status;
}

enum status photos_list(struct photos *photos, const char *folder, struct error *err)
{
    enum status status = STATUS_OK;
    *photos = (struct photos){.folder = folder};
    TRY(add_folder(photos, "", 0, err));
    if (photos->count == 0)
        FAIL(error_set(err, STATUS_NO_INPUT, folder, "has no photos (%s)%s%s; give the folder with the photos",
                       image_formats_read, photos->others ? ", only files like " : "", photos->other));
    qsort(photos->names, photos->count, sizeof *photos->names, natural_order_entries);
cleanup:
    if (status != STATUS_OK)
        photos_release(photos);
    return status;
}

void photos_release(struct photos *photos)
{
    arena_release(&photos->arena);
    free(photos->names);
    *photos = (struct photos){0};
}

/* Pillow's convert("L") of RGB. */
static enum status make_gray(struct image *image, struct error *err)
{
    struct image gray;
    enum status status = image_init(&gray, image->h, image->w, 1, err);
    if (status != STATUS_OK)
        return status;
    const uint8_t *p = image->pixels;
    for (size_t i = 0; i < (size_t)image->h * (size_t)image->w; i++, p += 3)
        gray.pixels[i] = (uint8_t)((19595 * p[0] + 38470 * p[1] + 7471 * p[2] + 32768) >> 16);
    image_release(image);
    *image = gray;
    return STATUS_OK;
}

/* Decodes a photo to RGB. If that fails and salvage is set, takes what is there, and *damage says what failed. */
static enum status decode(const uint8_t *bytes, size_t size, bool upright, bool salvage, const char *path,
                          struct image *photo, struct error *damage, struct error *err)
{
    const struct image_reading strict = {.upright = upright}, any = {.upright = upright, .salvage = true};
    struct error problem = {0};
    enum status status = image_file_decode(bytes, size, &strict, path, photo, &problem);
    if (status == STATUS_BAD_DATA && salvage) {
        status = image_file_decode(bytes, size, &any, path, photo, NULL);
        if (status == STATUS_OK)
            *damage = problem;
    }
    if (status != STATUS_OK)
        *err = problem;
    return status;
}

enum status photo_seen(const struct photos *photos, size_t index, const struct model_card *card, bool salvage,
                       struct image *seen, struct error *damage, struct error *err)
{
    enum status status = STATUS_OK;
    char *path = path_join(photos->folder, photos->names[index]);
    unsigned char *bytes = NULL;
    size_t size;
    enum file_kind kind;
    struct image photo = {0}, base = {0};
    *seen = (struct image){0};
    if (!path)
        FAIL(error_no_memory(err, 0, "a path"));
    TRY(file_look(path, &kind, err));
    if (kind != FILE_REGULAR)
        FAIL(error_set(err, STATUS_NO_INPUT, path, "is not a regular file"));
    TRY(file_read(path, PHOTO_LIMIT, &bytes, &size, err));
    TRY(decode(bytes, size, card->upright, salvage, path, &photo, damage, err));
    if (card->channels == 1)
        TRY(make_gray(&photo, err));
    TRY(image_resize_to(&photo, card->resize, card->base, &base, err));
    TRY(evaluation_image(&base, card->crop, card->size, seen, err));
cleanup:
    free(path);
    free(bytes);
    image_release(&photo);
    image_release(&base);
    return status;
}
