/* CIFAR-10 and CIFAR-100 (Krizhevsky 2009, cs.toronto.edu/~kriz/cifar.html): the binary and the Python version. The
 * test batch is SPLIT_VAL. An image is 3 planes (red, green, blue) of 32 x 32 bytes; in the binary version, records
 * of 1 label (CIFAR-100: 2, the second is the fine one) and an image. Of CIFAR-100, the 100 fine classes are read. */
#include "formats/datasets/source_reader.h"

#include "formats/datasets/pickle.h"
#include "shared/base/files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SIDE = 32, PLANE = SIDE * SIDE, CHANNELS = 3, IMAGE = CHANNELS * PLANE, MAX_CLASSES = 100, MAX_BATCHES = 64 };
enum { MAX_BATCH_BYTES = 1 << 29, MAX_META_BYTES = 1 << 16 };

struct cifar_version {
    const char *name;
    bool python;
    int classes;
    int labels;                    /* binary: in a record; the last one is read */
    const char *train, *train_end; /* how the names of the training batches begin and end */
    const char *test, *meta;       /* file names; meta may be missing */
    const char *key, *meta_key;    /* Python: of the labels, and of the class names */
};

static const struct cifar_version versions[] = {
    {"CIFAR-10", false, 10, 1, "data_batch_", ".bin", "test_batch.bin", "batches.meta.txt", NULL, NULL},
    {"CIFAR-100", false, 100, 2, "train.bin", "", "test.bin", "fine_label_names.txt", NULL, NULL},
    {"CIFAR-10", true, 10, 0, "data_batch_", "", "test_batch", "batches.meta", "labels", "label_names"},
    {"CIFAR-100", true, 100, 0, "train", "", "test", "meta", "fine_labels", "fine_label_names"},
};

struct cifar {
    const struct cifar_version *version;
    struct batch {
        uint8_t *bytes;        /* the file */
        const uint8_t *planes; /* of the first image */
        size_t stride, count;  /* from image to image; images */
    } batches[MAX_BATCHES];    /* the training batches in order, then the test batch */
    int batch_count;
};

static bool is_train_batch(const struct cifar_version *version, const struct folder_entry *entry)
{
    const size_t start = strlen(version->train), end = strlen(version->train_end), length = strlen(entry->name);
    const size_t digits =
        version->classes == 10 ? strspn(entry->name + (length < start ? length : start), "0123456789") : 0;
    return !entry->is_folder && strncmp(entry->name, version->train, start) == 0 && length == start + digits + end &&
           (version->classes != 10 || digits > 0) && strcmp(entry->name + length - end, version->train_end) == 0;
}

static bool has_file(const char *folder, const char *name, struct error *err)
{
    char *path = path_join(folder, name);
    if (!path)
        error_no_memory(err, strlen(name), "a path");
    const bool found = path && file_is_there(path, err);
    free(path);
    return found;
}

/* The version that a folder holds; NULL: none, or err. "train" alone is too common a name: meta and test must be there
 * as well. */
static const struct cifar_version *find_version(const char *path, struct error *err)
{
    const struct cifar_version *found = NULL;
    struct folder_entry *entries = NULL;
    size_t count = 0;
    if (folder_list(path, &entries, &count, err) != STATUS_OK)
        return NULL;
    for (size_t v = 0; v < sizeof versions / sizeof *versions && !found; v++)
        for (size_t i = 0; i < count && !found; i++)
            if (is_train_batch(&versions[v], &entries[i]) &&
                (versions[v].classes == 10 ||
                 (has_file(path, versions[v].test, err) && has_file(path, versions[v].meta, err))))
                found = &versions[v];
    folder_list_free(entries, count);
    return found;
}

static bool cifar_recognises(const char *path, struct error *err)
{
    return find_version(path, err) != NULL;
}

static enum status check_label(const struct cifar_version *version, size_t index, int64_t label, const char *path,
                               struct error *err)
{
    return label >= 0 && label < version->classes
               ? STATUS_OK
               : error_set(err, STATUS_BAD_DATA, path, "record %zu has label %lld; %s has labels 0 to %d", index,
                           (long long)label, version->name, version->classes - 1);
}

/* labels[i * stride]: of the records. */
static enum status read_binary(const struct cifar_version *version, struct batch *batch, size_t size, const char *path,
                               const uint8_t **labels, struct error *err)
{
    enum status status = STATUS_OK;
    batch->stride = (size_t)version->labels + IMAGE;
    if (size == 0 || size % batch->stride != 0)
        return error_set(err, STATUS_BAD_DATA, path,
                         "has %zu bytes, not a whole number of records of %zu bytes: get it again", size,
                         batch->stride);
    batch->count = size / batch->stride;
    batch->planes = batch->bytes + version->labels;
    *labels = batch->bytes + version->labels - 1;
    for (size_t i = 0; i < batch->count; i++)
        TRY(check_label(version, i, (*labels)[i * batch->stride], path, err));
cleanup:
    return status;
}

/* A dictionary with "data", an array [n, 3072] of bytes, and a list of labels. */
static enum status read_pickle(const struct cifar_version *version, struct batch *batch, size_t size, const char *path,
                               struct arena *arena, uint8_t **labels, struct error *err)
{
    enum status status = STATUS_OK;
    const struct pickle_value *root;
    TRY(pickle_parse(batch->bytes, size, path, arena, &root, err));
    const struct pickle_value *data = pickle_get(root, "data"), *list = pickle_get(root, version->key);
    if (!data || data->kind != PICKLE_ARRAY || !data->dtype || data->dtype->size != 2 ||
        memcmp(data->dtype->bytes, "u1", 2) != 0 || !list || list->kind != PICKLE_LIST || list->count == 0)
        FAIL(error_set(err, STATUS_BAD_DATA, path, "has no array 'data' of bytes, or no list '%s'", version->key));
    if (list->count > MAX_BATCH_BYTES / IMAGE || data->size != list->count * IMAGE)
        FAIL(error_set(err, STATUS_BAD_DATA, path, "has %zu labels, but %zu bytes of images of %d bytes", list->count,
                       data->size, IMAGE));
    batch->stride = IMAGE;
    batch->count = list->count;
    batch->planes = data->bytes;
    *labels = arena_alloc(arena, list->count, 1);
    if (!*labels)
        FAIL(error_no_memory(err, list->count, "labels"));
    for (size_t i = 0; i < list->count; i++) {
        TRY(check_label(version, i, list->items[i]->kind == PICKLE_INTEGER ? list->items[i]->integer : -1, path, err));
        (*labels)[i] = (uint8_t)list->items[i]->integer;
    }
cleanup:
    return status;
}

static enum status load_batch(struct image_source *source, enum split split, const char *name, struct error *err)
{
    enum status status = STATUS_OK;
    struct cifar *cifar = source->state;
    struct arena arena = {0};
    const uint8_t *labels = NULL;
    uint8_t *list = NULL;
    size_t size;
    enum file_kind kind;
    char *path = path_join(source->path, name);
    if (!path)
        return error_no_memory(err, 0, "a path");
    if (cifar->batch_count == MAX_BATCHES)
        FAIL(error_set(err, STATUS_BAD_DATA, source->path, "has more than %d batches", MAX_BATCHES));
    TRY(file_look(path, &kind, err));
    if (kind != FILE_REGULAR)
        FAIL(error_set(err, STATUS_NO_INPUT, path, "is missing: %s is %s...%s and %s", cifar->version->name,
                       cifar->version->train, cifar->version->train_end, cifar->version->test));
    struct batch *batch = &cifar->batches[cifar->batch_count++];
    TRY(file_read(path, MAX_BATCH_BYTES, &batch->bytes, &size, err));
    if (cifar->version->python) {
        TRY(read_pickle(cifar->version, batch, size, path, &arena, &list, err));
        TRY(source_add_raw(source, split, batch->count, list, 1, err));
    } else {
        TRY(read_binary(cifar->version, batch, size, path, &labels, err));
        TRY(source_add_raw(source, split, batch->count, labels, batch->stride, err));
    }
cleanup:
    arena_release(&arena);
    free(path);
    return status;
}

/* ---- class names ---- */

static enum status add_name(struct image_source *source, const char **names, size_t count, const char *name,
                            size_t length, const char *path, struct error *err)
{
    if (count >= (size_t)source->class_count || length > SOURCE_MAX_NAME)
        return error_set(err, STATUS_BAD_DATA, path, "name %zu: expected %d class names of at most %d bytes", count + 1,
                         source->class_count, SOURCE_MAX_NAME);
    names[count] = arena_printf(&source->arena, "%.*s", (int)length, name);
    return names[count] ? STATUS_OK : error_no_memory(err, length, "class names");
}

/* One per line. */
static enum status read_names(struct image_source *source, char *text, const char *path, const char **names,
                              size_t *count, struct error *err)
{
    enum status status = STATUS_OK;
    for (char *line = text + strspn(text, "\r\n"); *line && status == STATUS_OK; line += strspn(line, "\r\n")) {
        const size_t length = strcspn(line, "\r\n");
        status = add_name(source, names, (*count)++, line, length, path, err);
        line += length;
    }
    return status;
}

static enum status unpickle_names(struct image_source *source, const uint8_t *bytes, size_t size, const char *path,
                                  const char **names, size_t *count, struct error *err)
{
    enum status status = STATUS_OK;
    const struct cifar *cifar = source->state;
    const struct pickle_value *root, *list;
    struct arena arena = {0};
    TRY(pickle_parse(bytes, size, path, &arena, &root, err));
    list = pickle_get(root, cifar->version->meta_key);
    for (size_t i = 0; list && list->kind == PICKLE_LIST && i < list->count; i++)
        TRY(add_name(source, names, (*count)++, (const char *)list->items[i]->bytes, list->items[i]->size, path, err));
cleanup:
    arena_release(&arena);
    return status;
}

/* The published names of CIFAR-10, or numbers, unless the file of names is there. */
static enum status name_classes(struct image_source *source, struct error *err)
{
    static const char *const published[] = {"airplane", "automobile", "bird",  "cat",  "deer",
                                            "dog",      "frog",       "horse", "ship", "truck"};
    const struct cifar *cifar = source->state;
    enum status status = STATUS_OK;
    uint8_t *bytes = NULL;
    size_t size, count = 0;
    enum file_kind kind;
    const char **names = arena_alloc(&source->arena, MAX_CLASSES, sizeof *names);
    char *path = path_join(source->path, cifar->version->meta);
    if (!path || !names)
        FAIL(error_no_memory(err, 0, "class names"));
    source->classes = names;
    source->class_count = cifar->version->classes;
    TRY(file_look(path, &kind, err));
    if (kind != FILE_REGULAR) {
        for (; count < (size_t)source->class_count; count++)
            names[count] = count < 10 ? published[count] : NULL;
        goto cleanup; /* CIFAR-100 is only recognised with its names */
    }
    TRY(file_read(path, MAX_META_BYTES, &bytes, &size, err));
    if (cifar->version->python)
        TRY(unpickle_names(source, bytes, size, path, names, &count, err));
    else
        TRY(read_names(source, (char *)bytes, path, names, &count, err));
    if (count != (size_t)source->class_count)
        FAIL(error_set(err, STATUS_BAD_DATA, path, "has %zu class names instead of %d", count, source->class_count));
cleanup:
    free(bytes);
    free(path);
    return status;
}

static enum status cifar_open(struct image_source *source, struct error *err)
{
    enum status status = STATUS_OK;
    struct folder_entry *entries = NULL;
    size_t count = 0;
    struct cifar *cifar = calloc(1, sizeof *cifar);
    source->state = cifar;
    source->encoding = IMAGE_RAW;
    source->h = source->w = SIDE;
    source->channels = CHANNELS;
    if (!cifar)
        return error_no_memory(err, sizeof *cifar, "CIFAR");
    struct error trouble = {.code = STATUS_OK};
    cifar->version = find_version(source->path, &trouble);
    if (!cifar->version && trouble.code != STATUS_OK)
        return error_pass(err, &trouble);
    if (!cifar->version)
        return error_set(err, STATUS_BAD_DATA, source->path, "is no CIFAR-10 or CIFAR-100 any more");
    source->format = cifar->version->name;
    TRY(name_classes(source, err));
    TRY(folder_list(source->path, &entries, &count, err));
    for (size_t i = 0; i < count; i++)
        if (is_train_batch(cifar->version, &entries[i]))
            TRY(load_batch(source, SPLIT_TRAIN, entries[i].name, err));
    TRY(load_batch(source, SPLIT_VAL, cifar->version->test, err));
cleanup:
    folder_list_free(entries, count);
    return status;
}

/* Converts planes to [h, w, channels]. */
static enum status cifar_read(const struct image_source *source, const struct image_sample *sample, uint8_t **bytes,
                              size_t *size, struct error *err)
{
    const struct cifar *cifar = source->state;
    size_t index = sample->place;
    const struct batch *batch = sample->from == SPLIT_VAL ? &cifar->batches[cifar->batch_count - 1] : cifar->batches;
    *size = 0;
    *bytes = malloc(IMAGE);
    if (!*bytes)
        return error_no_memory(err, IMAGE, "an image");
    while (index >= batch->count)
        index -= batch++->count;
    const uint8_t *planes = batch->planes + index * batch->stride;
    for (int i = 0; i < PLANE; i++)
        for (int c = 0; c < CHANNELS; c++)
            (*bytes)[i * CHANNELS + c] = planes[c * PLANE + i];
    *size = IMAGE;
    return STATUS_OK;
}

static void cifar_release(struct image_source *source)
{
    struct cifar *cifar = source->state;
    for (int i = 0; cifar && i < cifar->batch_count; i++)
        free(cifar->batches[i].bytes);
    free(cifar);
}

const struct image_source_format source_cifar = {
    .name = "CIFAR",
    .recognises = cifar_recognises,
    .open = cifar_open,
    .read = cifar_read,
    .release = cifar_release,
};
