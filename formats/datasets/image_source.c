#define _GNU_SOURCE
#include "formats/datasets/image_source.h"

#include "formats/datasets/source_reader.h"
#include "shared/base/files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* In order of preference: the first reader that recognises a folder reads it. */
static const struct image_source_format *const readers[] = {
    &source_cifar, &source_idx, &source_food11, &source_named, &source_imagefolder, &source_csv, &source_npz};

static const char layouts[] =
    "ImageFolder (train/CLASS/*.jpg val/CLASS/*.jpg), Food-11 (training/LABEL_INDEX.jpg validation/...), named files "
    "(train/CLASS.NUMBER.jpg), a CSV file (path,label or path,label,split), an .npz file (x_train y_train x_test "
    "y_test), CIFAR-10 and CIFAR-100, binary or Python "
    "(data_batch_* test_batch*; train* test* meta), "
    "IDX "
    "(train-images-idx3-ubyte[.gz] "
    "train-labels-idx1-ubyte[.gz] t10k-...)";

const char *split_name(enum split split)
{
    static const char *const names[SPLIT_COUNT] = {"train", "val", "test"};
    return names[split];
}

const char *image_encoding_name(enum image_encoding encoding)
{
    static const char *const names[IMAGE_ENCODING_COUNT] = {"JPEG", "raw", "image files"};
    return names[encoding];
}

/* Whether a subfolder has images, so that path seems to have class folders without train/ and val/ above them. */
static bool has_class_folders(const char *path, const struct folder_entry *entries, size_t count)
{
    bool found = false;
    for (size_t i = 0; i < count && !found; i++) {
        struct folder_entry *inner = NULL;
        size_t inner_count = 0;
        char *folder = entries[i].is_folder ? path_join(path, entries[i].name) : NULL;
        if (folder && folder_list(folder, &inner, &inner_count, NULL) == STATUS_OK)
            for (size_t j = 0; j < inner_count && !found; j++)
                found = !inner[j].is_folder && image_format_is_image(folder, inner[j].name, NULL);
        folder_list_free(inner, inner_count);
        free(folder);
    }
    return found;
}

/* "3 folders (a, b, ...) and 20 files (x.csv, ...)". */
static void describe_entries(const struct folder_entry *entries, size_t count, char *text, size_t size)
{
    size_t used = 0;
    for (int folders = 1; folders >= 0; folders--) {
        size_t found = 0;
        for (size_t i = 0; i < count; i++)
            found += entries[i].is_folder == (bool)folders;
        if (found == 0)
            continue;
        used += (size_t)snprintf(text + used, size - used, "%s%zu %s%s (", used ? " and " : "", found,
                                 folders ? "folder" : "file", found == 1 ? "" : "s");
        for (size_t i = 0, shown = 0; i < count && shown < 4 && used + 80 < size; i++)
            if (entries[i].is_folder == (bool)folders)
                used += (size_t)snprintf(text + used, size - used, "%s%.60s", shown++ ? ", " : "", entries[i].name);
        used += (size_t)snprintf(text + used, size - used, "%s)", found > 4 ? ", ..." : "");
    }
}

static enum status explain_unrecognised(const char *path, struct error *err)
{
    struct folder_entry *entries;
    size_t count;
    char found[512] = "";
    enum status status = folder_list(path, &entries, &count, err);
    if (status != STATUS_OK)
        return status;
    describe_entries(entries, count, found, sizeof found);
    if (count == 0)
        status = error_set(err, STATUS_NO_INPUT, path, "the folder is empty; layouts that can be read: %s", layouts);
    else if (has_class_folders(path, entries, count))
        status = error_set(
            err, STATUS_BAD_DATA, path,
            "has folders of images, but no train/ folder (found: %s): an ImageFolder is train/CLASS/*.jpg and "
            "val/CLASS/*.jpg. Move the class folders into train/, and pass --val-from train:0.1 if there "
            "are no images to evaluate on",
            found);
    else
        status = error_set(err, STATUS_BAD_DATA, path,
                           "is not a known data set: it has %s; layouts that can be read: %s", found, layouts);
    folder_list_free(entries, count);
    return status;
}

/* *reader is NULL if none is meant to read it. */
static enum status recognise(const char *path, const struct image_source_format **reader, struct error *err)
{
    *reader = NULL;
    for (size_t i = 0; i < sizeof readers / sizeof *readers && !*reader; i++) {
        struct error trouble = {0};
        const bool meant = readers[i]->recognises(path, &trouble);
        if (trouble.code == STATUS_IO || trouble.code == STATUS_INTERNAL)
            return error_pass(err, &trouble);
        if (meant)
            *reader = readers[i];
    }
    return STATUS_OK;
}

/* The only folder in path that is a data set, as unpacked archives have it: *inner is malloc'ed, and NULL if there is
 * none. More than one is an error. */
static enum status find_inner(const char *path, char **inner, const struct image_source_format **reader,
                              struct error *err)
{
    enum status status = STATUS_OK;
    struct folder_entry *entries = NULL;
    size_t count = 0, found = 0;
    *inner = NULL;
    TRY(folder_list(path, &entries, &count, err));
    for (size_t i = 0; i < count && status == STATUS_OK; i++) {
        const struct image_source_format *inner_reader = NULL;
        char *folder = entries[i].is_folder ? path_join(path, entries[i].name) : NULL;
        if (entries[i].is_folder)
            status = folder ? recognise(folder, &inner_reader, err) : error_no_memory(err, strlen(path), "a path");
        found += inner_reader != NULL;
        if (inner_reader && !*inner) {
            *reader = inner_reader;
            *inner = folder;
        } else {
            free(folder);
        }
    }
    if (status == STATUS_OK && found > 1)
        FAIL(error_set(err, STATUS_BAD_DATA, path,
                       "has %zu folders that are data sets, such as %s: pass one of them as --data", found, *inner));
cleanup:
    folder_list_free(entries, count);
    return status;
}

enum status image_source_open(struct image_source *source, const char *path, const struct image_source_options *options,
                              struct error *err)
{
    static const struct image_source_options none = {0};
    const struct image_source_format *reader;
    enum status status = STATUS_OK;
    *source = (struct image_source){.channels = 3};
    TRY(recognise(path, &reader, err));
    if (reader)
        source->path = strdup(path);
    else
        TRY(find_inner(path, &source->path, &reader, err));
    if (!reader)
        TRY(explain_unrecognised(path, err));
    if (!source->path)
        FAIL(error_no_memory(err, strlen(path), "a path"));
    source->reader = reader;
    source->format = source->reader->name;
    if (strcmp(source->path, path) != 0)
        TRY(source_note(source, err, "the data set is one folder deeper, in %s", source->path));
    TRY(source->reader->open(source, err)); /* may change the path: a list lies in the data folder */
    if (source->sets[SPLIT_TRAIN].count == 0)
        FAIL(error_set(err, STATUS_BAD_DATA, path, "has no training images"));
    TRY(source_make_validation(source, options ? options : &none, err));
cleanup:
    if (status != STATUS_OK)
        image_source_release(source);
    return status;
}

void image_source_release(struct image_source *source)
{
    if (source->reader && source->reader->release)
        source->reader->release(source);
    for (int split = 0; split < SPLIT_COUNT; split++)
        free(source->sets[split].samples);
    free(source->path);
    free(source->left_out);
    arena_release(&source->arena);
    *source = (struct image_source){0};
}

enum status image_source_read(const struct image_source *source, enum split split, size_t index, uint8_t **bytes,
                              size_t *size, struct error *err)
{
    return source->reader->read(source, &source->sets[split].samples[index], bytes, size, err);
}

enum status image_decode(const struct image_coding *coding, const uint8_t *bytes, size_t size, const char *name,
                         struct image *image, struct error *err)
{
    const int h = coding->h, w = coding->w, channels = coding->channels;
    *image = (struct image){0};
    if (coding->encoding != IMAGE_RAW)
        return image_file_decode(bytes, size, &coding->reading, name, image, err);
    size_t expected = size_mul(size_mul((size_t)h, (size_t)w), (size_t)channels);
    if (h < 1 || w < 1 || (channels != 1 && channels != 3) || size != expected)
        return error_set(err, STATUS_BAD_DATA, name, "has %zu bytes, but images of this data set have %d x %d x %d",
                         size, h, w, channels);
    enum status status = image_init(image, h, w, channels, err);
    if (status == STATUS_OK)
        memcpy(image->pixels, bytes, size);
    return status;
}
