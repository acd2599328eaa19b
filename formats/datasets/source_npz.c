/* Archives of numpy arrays: x_train, y_train, x_test, y_test (Keras) or train_images, train_labels, val_images, ...
 * (MedMNIST), or images and labels alone. Images are bytes: [n, h, w], [n, h, w, 1 or 3] or [n, 1 or 3, h, w];
 * labels are whole numbers, [n] or [n, 1]. Without arrays for val, the test images are SPLIT_VAL. */
#define _GNU_SOURCE
#include "formats/datasets/source_reader.h"

#include "formats/datasets/npz.h"
#include "shared/base/files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MAX_FILE_BYTES = 1 << 30, MAX_SIDE = 4096 };

struct npz {
    struct npz_array arrays[NPZ_MAX_ARRAYS];
    int count;
    const struct npz_array *images[SPLIT_COUNT];
    bool planes; /* channels come first */
};

/* The archive that --data names: the file itself, or the only one in the folder. malloc'ed; NULL if there is none, or
 * err says what is in the way. */
static char *find_archive(const char *path, struct error *err)
{
    struct folder_entry *entries = NULL;
    size_t count = 0, found = 0;
    char *archive = NULL;
    const char *dot = strrchr(path, '.');
    if (dot && strcasecmp(dot, ".npz") == 0 && file_is_there(path, err)) {
        archive = strdup(path);
        if (!archive)
            error_no_memory(err, strlen(path), "a path");
        return archive;
    }
    if (folder_list(path, &entries, &count, err) != STATUS_OK)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        dot = strrchr(entries[i].name, '.');
        if (entries[i].is_folder || !dot || strcasecmp(dot, ".npz") != 0 || found++ > 0)
            continue;
        archive = path_join(path, entries[i].name);
        if (!archive)
            error_no_memory(err, strlen(path), "a path");
    }
    folder_list_free(entries, count);
    if (found == 1)
        return archive;
    free(archive);
    return NULL;
}

static bool npz_recognises(const char *path, struct error *err)
{
    char *archive = find_archive(path, err);
    free(archive);
    return archive != NULL;
}

static const struct npz_array *find_array(const struct npz *npz, const char *const *names)
{
    for (; *names; names++)
        for (int i = 0; i < npz->count; i++)
            if (strcasecmp(npz->arrays[i].name, *names) == 0)
                return &npz->arrays[i];
    return NULL;
}

/* Height, width and channels of the images; *planes: the channels come first. */
static enum status read_form(const struct npz_array *images, const char *path, struct image_coding *form, bool *planes,
                             struct error *err)
{
    const size_t *shape = images->shape;
    if (images->kind != 'u' || images->item != 1)
        return error_set(err, STATUS_BAD_DATA, path, "%s must be bytes (uint8), not %c%d", images->name, images->kind,
                         images->item);
    *planes = images->rank == 4 && shape[3] != 3 && shape[3] != 1 && (shape[1] == 3 || shape[1] == 1);
    const size_t h = *planes ? shape[2] : shape[1], w = *planes ? shape[3] : shape[2],
                 channels = images->rank < 4 ? 1
                            : *planes        ? shape[1]
                                             : shape[3];
    if (images->rank < 3 || h < 1 || w < 1 || h > MAX_SIDE || w > MAX_SIDE || (channels != 1 && channels != 3))
        return error_set(err, STATUS_BAD_DATA, path,
                         "%s must be [n, h, w], [n, h, w, 1 or 3] or [n, 1 or 3, h, w] with sides up to %d",
                         images->name, MAX_SIDE);
    *form = (struct image_coding){.encoding = IMAGE_RAW, .h = (int)h, .w = (int)w, .channels = (int)channels};
    return STATUS_OK;
}

static int64_t label_at(const struct npz_array *labels, size_t i)
{
    const uint8_t *at = labels->values + i * (size_t)labels->item;
    uint64_t value = 0;
    for (int b = labels->item - 1; b >= 0; b--)
        value = value << 8 | at[b];
    const int unused = 64 - 8 * labels->item;
    return labels->kind == 'i' ? (int64_t)(value << unused) >> unused : (int64_t)value;
}

static enum status add_labels(struct image_source *source, enum split split, const struct npz_array *images,
                              const struct npz_array *labels, const char *path, struct error *err)
{
    enum status status = STATUS_OK;
    if ((labels->kind != 'u' && labels->kind != 'i') || labels->rank < 1 || labels->rank > 2 ||
        labels->shape[0] != images->shape[0] || (labels->rank == 2 && labels->shape[1] != 1))
        return error_set(err, STATUS_BAD_DATA, path, "%s must be %zu whole numbers, one for each image of %s",
                         labels->name, images->shape[0], images->name);
    for (size_t i = 0; i < images->shape[0]; i++) {
        const int64_t label = label_at(labels, i);
        char name[64];
        if (label < 0 || label >= SOURCE_MAX_CLASSES)
            FAIL(error_set(err, STATUS_BAD_DATA, path, "%s: label %zu is %lld; labels are 0 to %d", labels->name, i,
                           (long long)label, SOURCE_MAX_CLASSES - 1));
        snprintf(name, sizeof name, "%s/%06zu", split_name(split), i);
        TRY(source_add(source, split, name, (int)label, err));
        source->class_count = label >= source->class_count ? (int)label + 1 : source->class_count;
    }
cleanup:
    return status;
}

static enum status add_split(struct image_source *source, enum split split, const struct npz_array *images,
                             const struct npz_array *labels, const char *path, struct error *err)
{
    struct npz *npz = source->state;
    struct image_coding form = {0};
    enum status status = STATUS_OK;
    bool planes = false;
    if (!labels)
        FAIL(error_set(err, STATUS_BAD_DATA, path, "has %s, but no array with its labels", images->name));
    TRY(read_form(images, path, &form, &planes, err));
    if (source->h &&
        (form.h != source->h || form.w != source->w || form.channels != source->channels || planes != npz->planes))
        FAIL(error_set(err, STATUS_BAD_DATA, path, "%s has images of another form than the training images",
                       images->name));
    source->h = form.h;
    source->w = form.w;
    source->channels = form.channels;
    npz->planes = planes;
    npz->images[split] = images;
    TRY(add_labels(source, split, images, labels, path, err));
cleanup:
    return status;
}

static enum status add_arrays(struct image_source *source, const char *path, struct error *err)
{
    static const char *const images[SPLIT_COUNT][5] = {{"x_train", "train_images", "train_x", "images"},
                                                       {"x_val", "val_images", "val_x", "x_valid"},
                                                       {"x_test", "test_images", "test_x"}};
    static const char *const labels[SPLIT_COUNT][5] = {{"y_train", "train_labels", "train_y", "labels"},
                                                       {"y_val", "val_labels", "val_y", "y_valid"},
                                                       {"y_test", "test_labels", "test_y"}};
    const struct npz *npz = source->state;
    enum status status = STATUS_OK;
    const bool has_val = find_array(npz, images[SPLIT_VAL]) != NULL;
    if (!find_array(npz, images[SPLIT_TRAIN]))
        FAIL(error_set(
            err, STATUS_BAD_DATA, path,
            "has %d arrays, but none of training images: x_train and y_train, train_images and train_labels, or "
            "images and labels",
            npz->count));
    for (int s = 0; s < SPLIT_COUNT; s++) {
        const struct npz_array *found = find_array(npz, images[s]);
        if (found)
            TRY(add_split(source, s == SPLIT_TEST && !has_val ? SPLIT_VAL : (enum split)s, found,
                          find_array(npz, labels[s]), path, err));
    }
cleanup:
    return status;
}

static enum status name_classes(struct image_source *source, struct error *err)
{
    const char **names = arena_alloc(&source->arena, (size_t)source->class_count + 1, sizeof *names);
    source->classes = names;
    for (int c = 0; names && c < source->class_count; c++)
        if (!(names[c] = arena_printf(&source->arena, "%d", c)))
            names = NULL;
    return names ? STATUS_OK : error_no_memory(err, (size_t)source->class_count, "class names");
}

static enum status npz_open(struct image_source *source, struct error *err)
{
    enum status status = STATUS_OK;
    struct npz *npz = calloc(1, sizeof *npz);
    struct error trouble = {.code = STATUS_OK};
    char *path = find_archive(source->path, &trouble);
    uint8_t *bytes = NULL;
    size_t size;
    source->state = npz;
    source->encoding = IMAGE_RAW;
    if (!npz)
        FAIL(error_no_memory(err, sizeof *npz, ".npz"));
    if (!path && trouble.code != STATUS_OK)
        FAIL(error_pass(err, &trouble));
    if (!path)
        FAIL(error_set(err, STATUS_NO_INPUT, source->path, "its archive has gone"));
    TRY(file_read(path, MAX_FILE_BYTES, &bytes, &size, err));
    TRY(npz_load(bytes, size, path, npz->arrays, &npz->count, err));
    TRY(add_arrays(source, path, err));
    TRY(name_classes(source, err));
cleanup:
    free(bytes);
    free(path);
    return status;
}

static enum status npz_read(const struct image_source *source, const struct image_sample *sample, uint8_t **bytes,
                            size_t *size, struct error *err)
{
    const struct npz *npz = source->state;
    const size_t plane = (size_t)source->h * (size_t)source->w, channels = (size_t)source->channels;
    const uint8_t *from = npz->images[sample->from]->values + sample->place * plane * channels;
    *size = plane * channels;
    *bytes = malloc(*size);
    if (!*bytes)
        return error_no_memory(err, *size, "an image");
    if (!npz->planes)
        memcpy(*bytes, from, *size);
    for (size_t i = 0; i < plane && npz->planes; i++)
        for (size_t c = 0; c < channels; c++)
            (*bytes)[i * channels + c] = from[c * plane + i];
    return STATUS_OK;
}

static void npz_free(struct image_source *source)
{
    struct npz *npz = source->state;
    if (npz)
        npz_release(npz->arrays, npz->count);
    free(npz);
}

const struct image_source_format source_npz = {
    .name = "NPZ",
    .recognises = npz_recognises,
    .open = npz_open,
    .read = npz_read,
    .release = npz_free,
};
