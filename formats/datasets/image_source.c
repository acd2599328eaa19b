#define _GNU_SOURCE
#include "formats/datasets/image_source.h"

#include "formats/datasets/source_reader.h"
#include "shared/base/files.h"

#include <stdlib.h>
#include <string.h>

/* In order of preference: the first reader that recognises a folder reads it. */
static const struct image_source_format *const readers[] = {&source_cifar10, &source_idx, &source_food11,
                                                            &source_imagefolder};

static const char layouts[] = "ImageFolder (train/CLASS/*.jpg val/CLASS/*.jpg), Food-11 (training/LABEL_INDEX.jpg "
                              "validation/...), CIFAR-10 (data_batch_*.bin test_batch.bin), "
                              "IDX (train-images-idx3-ubyte[.gz] train-labels-idx1-ubyte[.gz] t10k-...)";

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
                found = !inner[j].is_folder && image_format_is_image(folder, inner[j].name);
        folder_list_free(inner, inner_count);
        free(folder);
    }
    return found;
}

static enum status explain_unrecognised(const char *path, struct error *err)
{
    struct folder_entry *entries;
    size_t count;
    enum status status = folder_list(path, &entries, &count, err);
    if (status != STATUS_OK)
        return status;
    if (count == 0)
        status = error_set(err, STATUS_NO_INPUT, path, "the folder is empty; layouts that can be read: %s", layouts);
    else if (has_class_folders(path, entries, count))
        status = error_set(err, STATUS_BAD_DATA, path,
                           "has folders of images, but no train/ folder: an ImageFolder is train/CLASS/*.jpg and "
                           "val/CLASS/*.jpg; move the class folders into train/ and some images of each into val/");
    else
        status =
            error_set(err, STATUS_BAD_DATA, path, "is not a known data set; layouts that can be read: %s", layouts);
    folder_list_free(entries, count);
    return status;
}

enum status image_source_open(struct image_source *source, const char *path, struct error *err)
{
    enum status status = STATUS_OK;
    const struct image_source_format *reader = NULL;
    *source = (struct image_source){.channels = 3};
    for (size_t i = 0; i < sizeof readers / sizeof *readers && !reader; i++)
        if (readers[i]->recognises(path))
            reader = readers[i];
    if (!reader)
        return explain_unrecognised(path, err);
    source->reader = reader;
    source->format = reader->name;
    source->path = strdup(path);
    if (!source->path)
        TRY(error_no_memory(err, strlen(path), "a path"));
    TRY(reader->open(source, err));
    if (source->sets[SPLIT_TRAIN].count == 0)
        TRY(error_set(err, STATUS_BAD_DATA, path, "has no training images"));
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
    return source->reader->read(source, split, index, bytes, size, err);
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
