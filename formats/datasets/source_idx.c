#define _GNU_SOURCE
/* IDX, the format of MNIST and similar data sets (LeCun, yann.lecun.com/exdb/mnist), plain or gzipped:
 * train-images-idx3-ubyte with train-labels-idx1-ubyte, and t10k-..., which is SPLIT_VAL. A file is 2 zero bytes, the
 * type (8: unsigned bytes), the number of dimensions, each dimension as a big-endian 32-bit number, then the values. */
#include "formats/datasets/source_reader.h"

#include "formats/datasets/gzip.h"
#include "shared/base/files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MAX_FILE_BYTES = 1 << 30, MAX_SIDE = 4096, TYPE_UBYTE = 8 };

struct idx_file {
    uint8_t *bytes; /* the whole file, decompressed */
    size_t size;
    uint32_t dimensions[3];
    const uint8_t *values; /* in bytes */
};

struct idx {
    struct idx_file images[SPLIT_COUNT], labels[SPLIT_COUNT];
};

/* The path of PREFIX-KIND-idxD-ubyte in any of its usual spellings, malloc'ed; NULL if there is none (err stays empty),
 * or that is not known. */
static char *find_file(const char *folder, const char *prefix, const char *kind, int dimensions, struct error *err)
{
    static const char *const spellings[] = {"%s-%s-idx%d-ubyte", "%s-%s-idx%d-ubyte.gz", "%s-%s.idx%d-ubyte",
                                            "%s-%s.idx%d-ubyte.gz"};
    for (size_t i = 0; i < sizeof spellings / sizeof *spellings; i++) {
        char name[128];
        snprintf(name, sizeof name, spellings[i], prefix, kind, dimensions);
        char *path = path_join(folder, name);
        if (!path)
            error_no_memory(err, strlen(folder), "a path");
        else if (file_is_there(path, err))
            return path;
        free(path);
    }
    return NULL;
}

static bool idx_recognises(const char *path, struct error *err)
{
    char *file = find_file(path, "train", "images", 3, err);
    free(file);
    return file != NULL;
}

enum { MAX_HEADER = 16 };

/* Of the first bytes of a file; *values gets how many values must follow the header. */
static enum status parse_header(struct idx_file *file, const uint8_t *bytes, size_t size, int dimensions,
                                size_t *values, const char *path, struct error *err)
{
    const size_t header = 4 + 4 * (size_t)dimensions;
    *values = 1;
    if (size < header || bytes[0] != 0 || bytes[1] != 0 || bytes[2] != TYPE_UBYTE || bytes[3] != dimensions)
        return error_set(err, STATUS_BAD_DATA, path, "is not an IDX file of unsigned bytes in %d dimensions",
                         dimensions);
    for (int i = 0; i < dimensions; i++) {
        const uint8_t *at = bytes + 4 + 4 * i;
        file->dimensions[i] = (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
        *values = size_mul(*values, file->dimensions[i]);
    }
    return STATUS_OK;
}

/* What the header promises is known before the rest is decompressed, so a small file cannot become a large one. */
static enum status decompress(struct idx_file *file, const uint8_t *stored, size_t size, int dimensions,
                              const char *path, struct error *err)
{
    uint8_t head[MAX_HEADER];
    const size_t header = 4 + 4 * (size_t)dimensions;
    size_t values;
    const size_t there = gzip_peek(stored, size, head, header);
    if (there == header) {
        enum status status = parse_header(file, head, there, dimensions, &values, path, err);
        if (status != STATUS_OK)
            return status;
        if (values > MAX_FILE_BYTES)
            return error_set(err, STATUS_BAD_DATA, path, "has %zu values according to its header; at most %d are read",
                             values, MAX_FILE_BYTES);
        return gzip_decompress(stored, size, header + values, path, &file->bytes, &file->size, err);
    }
    return gzip_decompress(stored, size, MAX_HEADER, path, &file->bytes, &file->size, err); /* too short, or damaged */
}

static enum status load_file(struct idx_file *file, const char *folder, const char *prefix, const char *kind,
                             int dimensions, struct error *err)
{
    enum status status = STATUS_OK;
    uint8_t *stored = NULL;
    size_t size, values;
    struct error trouble = {0};
    char *path = find_file(folder, prefix, kind, dimensions, &trouble);
    if (!path && trouble.code != STATUS_OK)
        return error_pass(err, &trouble);
    if (!path)
        return error_set(err, STATUS_NO_INPUT, folder, "has no %s-%s-idx%d-ubyte[.gz] beside train-images-idx3-ubyte",
                         prefix, kind, dimensions);
    TRY(file_read(path, MAX_FILE_BYTES, &stored, &size, err));
    if (gzip_recognises(stored, size)) {
        TRY(decompress(file, stored, size, dimensions, path, err));
    } else {
        file->bytes = stored;
        file->size = size;
        stored = NULL;
    }
    TRY(parse_header(file, file->bytes, file->size, dimensions, &values, path, err));
    const size_t header = 4 + 4 * (size_t)dimensions;
    file->values = file->bytes + header;
    if (values != file->size - header)
        FAIL(error_set(err, STATUS_BAD_DATA, path, "has %zu bytes of values, but its header says %zu: get it again",
                       file->size - header, values));
cleanup:
    free(stored);
    free(path);
    return status;
}

static enum status load_split(struct image_source *source, enum split split, const char *prefix, struct error *err)
{
    enum status status = STATUS_OK;
    struct idx *idx = source->state;
    struct idx_file *images = &idx->images[split], *labels = &idx->labels[split];
    TRY(load_file(images, source->path, prefix, "images", 3, err));
    TRY(load_file(labels, source->path, prefix, "labels", 1, err));
    uint32_t count = images->dimensions[0], h = images->dimensions[1], w = images->dimensions[2];
    if (count != labels->dimensions[0])
        FAIL(error_set(err, STATUS_BAD_DATA, source->path, "%s: %u images but %u labels", prefix, count,
                       labels->dimensions[0]));
    if (count == 0 || h == 0 || w == 0 || h > MAX_SIDE || w > MAX_SIDE)
        FAIL(error_set(err, STATUS_BAD_DATA, source->path, "%s: %u images of %u x %u; sides must be 1 to %d", prefix,
                       count, h, w, MAX_SIDE));
    if (split == SPLIT_TRAIN) {
        source->h = (int)h;
        source->w = (int)w;
    } else if ((int)h != source->h || (int)w != source->w) {
        FAIL(error_set(err, STATUS_BAD_DATA, source->path, "%s: images are %u x %u, but %d x %d in the training set",
                       prefix, h, w, source->h, source->w));
    }
    TRY(source_add_raw(source, split, count, labels->values, 1, err));
cleanup:
    return status;
}

/* Class names are the labels themselves, 0 to the largest; Fashion-MNIST is recognised by the name of its folder. */
static enum status name_classes(struct image_source *source, struct error *err)
{
    static const char *const fashion[] = {"T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
                                          "Sandal",      "Shirt",   "Sneaker",  "Bag",   "Ankle boot"};
    enum { FASHION_CLASSES = sizeof fashion / sizeof *fashion };
    int largest[SPLIT_COUNT] = {0};
    for (int split = 0; split < SPLIT_COUNT; split++)
        for (size_t i = 0; i < source->sets[split].count; i++)
            if (source->sets[split].samples[i].label > largest[split])
                largest[split] = source->sets[split].samples[i].label;
    if (largest[SPLIT_VAL] > largest[SPLIT_TRAIN])
        return error_set(err, STATUS_BAD_DATA, source->path, "t10k has label %d, but the largest training label is %d",
                         largest[SPLIT_VAL], largest[SPLIT_TRAIN]);
    source->class_count = largest[SPLIT_TRAIN] + 1;
    if (source->class_count == FASHION_CLASSES && strcasestr(source->path, "fashion")) {
        source->classes = fashion;
        return STATUS_OK;
    }
    const char **names = arena_alloc(&source->arena, (size_t)source->class_count, sizeof *names);
    for (int i = 0; names && i < source->class_count; i++)
        if (!(names[i] = arena_printf(&source->arena, "%d", i)))
            names = NULL;
    source->classes = names;
    return names ? STATUS_OK : error_no_memory(err, 0, "class names");
}

static enum status idx_open(struct image_source *source, struct error *err)
{
    enum status status = STATUS_OK;
    source->encoding = IMAGE_RAW;
    source->channels = 1;
    source->state = calloc(1, sizeof(struct idx));
    if (!source->state)
        return error_no_memory(err, sizeof(struct idx), "IDX");
    TRY(load_split(source, SPLIT_TRAIN, "train", err));
    TRY(load_split(source, SPLIT_VAL, "t10k", err));
    TRY(name_classes(source, err));
cleanup:
    return status;
}

static enum status idx_read(const struct image_source *source, const struct image_sample *sample, uint8_t **bytes,
                            size_t *size, struct error *err)
{
    const struct idx *idx = source->state;
    *size = (size_t)source->h * (size_t)source->w;
    *bytes = malloc(*size);
    if (!*bytes)
        return error_no_memory(err, *size, "an image");
    memcpy(*bytes, idx->images[sample->from].values + sample->place * *size, *size);
    return STATUS_OK;
}

static void idx_release(struct image_source *source)
{
    struct idx *idx = source->state;
    for (int split = 0; idx && split < SPLIT_COUNT; split++) {
        free(idx->images[split].bytes);
        free(idx->labels[split].bytes);
    }
    free(idx);
}

const struct image_source_format source_idx = {
    .name = "IDX",
    .recognises = idx_recognises,
    .open = idx_open,
    .read = idx_read,
    .release = idx_release,
};
