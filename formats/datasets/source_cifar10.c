/* CIFAR-10, binary version (Krizhevsky 2009, cs.toronto.edu/~kriz/cifar.html): data_batch_*.bin are the training
 * images, test_batch.bin is SPLIT_VAL. A record is 1 byte of label and 3 planes (red, green, blue) of 32 x 32 bytes. */
#include "formats/datasets/source_reader.h"

#include "shared/base/files.h"

#include <stdlib.h>
#include <string.h>

enum { SIDE = 32, PLANE = SIDE * SIDE, CHANNELS = 3, RECORD = 1 + CHANNELS * PLANE, CLASSES = 10, MAX_BATCHES = 64 };
enum { MAX_BATCH_BYTES = 1 << 28, MAX_META_BYTES = 1 << 16 };

struct cifar10 {
    struct batch {
        uint8_t *records; /* [count][RECORD] */
        size_t count;
    } batches[MAX_BATCHES]; /* the training batches in order, then the test batch */
    int batch_count;
};

static bool is_data_batch(const struct folder_entry *entry)
{
    static const char prefix[] = "data_batch_", suffix[] = ".bin";
    size_t length = strlen(entry->name);
    return !entry->is_folder && strncmp(entry->name, prefix, sizeof prefix - 1) == 0 && length >= sizeof suffix - 1 &&
           strcmp(entry->name + length - (sizeof suffix - 1), suffix) == 0;
}

static bool cifar10_recognises(const char *path)
{
    struct folder_entry *entries = NULL;
    size_t count = 0;
    bool found = false;
    if (folder_list(path, &entries, &count, NULL) == STATUS_OK)
        for (size_t i = 0; i < count && !found; i++)
            found = is_data_batch(&entries[i]);
    folder_list_free(entries, count);
    return found;
}

static enum status load_batch(struct image_source *source, enum split split, const char *name, struct error *err)
{
    enum status status = STATUS_OK;
    struct cifar10 *cifar = source->state;
    size_t size;
    char *path = path_join(source->path, name);
    if (!path)
        return error_no_memory(err, 0, "a path");
    if (cifar->batch_count == MAX_BATCHES)
        TRY(error_set(err, STATUS_BAD_DATA, source->path, "has more than %d batches", MAX_BATCHES));
    if (!file_exists(path))
        TRY(error_set(err, STATUS_NO_INPUT, path, "is missing: CIFAR-10 is data_batch_*.bin and test_batch.bin"));
    struct batch *batch = &cifar->batches[cifar->batch_count++];
    TRY(file_read(path, MAX_BATCH_BYTES, &batch->records, &size, err));
    if (size == 0 || size % RECORD != 0)
        TRY(error_set(err, STATUS_BAD_DATA, path,
                      "has %zu bytes, not a whole number of records of %d bytes: get it again", size, RECORD));
    batch->count = size / RECORD;
    for (size_t i = 0; i < batch->count; i++)
        if (batch->records[i * RECORD] >= CLASSES)
            TRY(error_set(err, STATUS_BAD_DATA, path, "record %zu has label %d; CIFAR-10 has labels 0 to %d", i,
                          batch->records[i * RECORD], CLASSES - 1));
    TRY(source_add_raw(source, split, batch->count, batch->records, RECORD, err));
cleanup:
    free(path);
    return status;
}

/* Replaces the published class names by those of batches.meta.txt (one per line), if that file exists. */
static enum status load_class_names(struct image_source *source, struct error *err)
{
    enum status status = STATUS_OK;
    uint8_t *text = NULL;
    size_t size, count = 0;
    const char **names = arena_alloc(&source->arena, CLASSES, sizeof *names);
    char *path = path_join(source->path, "batches.meta.txt"), *rest = NULL;
    if (!path || !names)
        TRY(error_no_memory(err, 0, "class names"));
    if (!file_exists(path))
        goto cleanup;
    TRY(file_read(path, MAX_META_BYTES, &text, &size, err));
    for (char *line = strtok_r((char *)text, "\r\n", &rest); line; line = strtok_r(NULL, "\r\n", &rest), count++) {
        if (count == CLASSES || strlen(line) > SOURCE_MAX_NAME)
            TRY(error_set(err, STATUS_BAD_DATA, path, "line %zu: expected %d class names of at most %d bytes",
                          count + 1, CLASSES, SOURCE_MAX_NAME));
        names[count] = arena_strdup(&source->arena, line);
        if (!names[count])
            TRY(error_no_memory(err, strlen(line), "class names"));
    }
    if (count != CLASSES)
        TRY(error_set(err, STATUS_BAD_DATA, path, "has %zu class names instead of %d", count, CLASSES));
    source->classes = names;
cleanup:
    free(text);
    free(path);
    return status;
}

static enum status cifar10_open(struct image_source *source, struct error *err)
{
    static const char *const published[CLASSES] = {"airplane", "automobile", "bird",  "cat",  "deer",
                                                   "dog",      "frog",       "horse", "ship", "truck"};
    enum status status = STATUS_OK;
    struct folder_entry *entries = NULL;
    size_t count = 0;
    source->encoding = IMAGE_RAW;
    source->h = source->w = SIDE;
    source->channels = CHANNELS;
    source->classes = published;
    source->class_count = CLASSES;
    source->state = calloc(1, sizeof(struct cifar10));
    if (!source->state)
        return error_no_memory(err, sizeof(struct cifar10), "CIFAR-10");
    TRY(load_class_names(source, err));
    TRY(folder_list(source->path, &entries, &count, err));
    for (size_t i = 0; i < count; i++)
        if (is_data_batch(&entries[i]))
            TRY(load_batch(source, SPLIT_TRAIN, entries[i].name, err));
    TRY(load_batch(source, SPLIT_VAL, "test_batch.bin", err));
cleanup:
    folder_list_free(entries, count);
    return status;
}

/* Converts the record's planes to [h, w, channels]. */
static enum status cifar10_read(const struct image_source *source, const struct image_sample *sample, uint8_t **bytes,
                                size_t *size, struct error *err)
{
    const struct cifar10 *cifar = source->state;
    size_t index = sample->place;
    const struct batch *batch = sample->from == SPLIT_VAL ? &cifar->batches[cifar->batch_count - 1] : cifar->batches;
    *size = 0;
    *bytes = malloc(CHANNELS * PLANE);
    if (!*bytes)
        return error_no_memory(err, CHANNELS * PLANE, "an image");
    while (index >= batch->count)
        index -= batch++->count;
    const uint8_t *planes = batch->records + index * RECORD + 1;
    for (int i = 0; i < PLANE; i++)
        for (int c = 0; c < CHANNELS; c++)
            (*bytes)[i * CHANNELS + c] = planes[c * PLANE + i];
    *size = CHANNELS * PLANE;
    return STATUS_OK;
}

static void cifar10_release(struct image_source *source)
{
    struct cifar10 *cifar = source->state;
    for (int i = 0; cifar && i < cifar->batch_count; i++)
        free(cifar->batches[i].records);
    free(cifar);
}

const struct image_source_format source_cifar10 = {
    .name = "CIFAR-10",
    .recognises = cifar10_recognises,
    .open = cifar10_open,
    .read = cifar10_read,
    .release = cifar10_release,
};
