#include "formats/datasets/npz.h"

#include "shared/base/memory.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { END_BYTES = 22, MAX_COMMENT = 0xFFFF, ENTRY_BYTES = 46, LOCAL_BYTES = 30, MAX_ARRAY_BYTES = 1 << 30 };
enum { STORED = 0, DEFLATED = 8, DEFLATE_RATIO = 1032 };

static size_t read_uint(const uint8_t *bytes, int count)
{
    size_t value = 0;
    for (int i = count - 1; i >= 0; i--)
        value = value << 8 | bytes[i];
    return value;
}

/* A file in the archive, as its central directory has it. */
struct entry {
    const char *name;
    size_t name_length, method, packed, unpacked, local;
};

static enum status damaged(const char *path, const char *what, struct error *err)
{
    return error_set(err, STATUS_BAD_DATA, path, "is no readable .npz file: %s; get it again", what);
}

/* The place and number of the directory's entries: the last record of the file says so. */
static enum status find_directory(const uint8_t *bytes, size_t size, const char *path, size_t *at, size_t *count,
                                  struct error *err)
{
    for (size_t back = END_BYTES; back <= size && back <= END_BYTES + MAX_COMMENT; back++) {
        const uint8_t *end = bytes + size - back;
        if (memcmp(end, "PK\5\6", 4) != 0)
            continue;
        *count = read_uint(end + 10, 2);
        *at = read_uint(end + 16, 4);
        return *at <= size ? STATUS_OK : damaged(path, "its directory lies outside of it", err);
    }
    return damaged(path, "it has no directory, so its end is missing", err);
}

static enum status read_entry(const uint8_t *bytes, size_t size, size_t *at, const char *path, struct entry *entry,
                              struct error *err)
{
    if (size - *at < ENTRY_BYTES || memcmp(bytes + *at, "PK\1\2", 4) != 0)
        return damaged(path, "its directory is damaged", err);
    const uint8_t *head = bytes + *at;
    *entry = (struct entry){.name = (const char *)head + ENTRY_BYTES,
                            .name_length = read_uint(head + 28, 2),
                            .method = read_uint(head + 10, 2),
                            .packed = read_uint(head + 20, 4),
                            .unpacked = read_uint(head + 24, 4),
                            .local = read_uint(head + 42, 4)};
    const size_t length = ENTRY_BYTES + entry->name_length + read_uint(head + 30, 2) + read_uint(head + 32, 2);
    if (length > size - *at)
        return damaged(path, "its directory is damaged", err);
    *at += length;
    return STATUS_OK;
}

static enum status inflate_entry(const uint8_t *packed, const struct entry *entry, const char *path, uint8_t *out,
                                 struct error *err)
{
    z_stream stream = {.next_in = (z_const Bytef *)packed,
                       .avail_in = (uInt)entry->packed,
                       .next_out = out,
                       .avail_out = (uInt)entry->unpacked};
    if (inflateInit2(&stream, -MAX_WBITS) != Z_OK)
        return error_no_memory(err, 0, "decompression");
    const int code = inflate(&stream, Z_FINISH);
    inflateEnd(&stream);
    return code == Z_STREAM_END && stream.avail_out == 0 ? STATUS_OK : damaged(path, "an array is damaged", err);
}

/* *out: the bytes of the file, malloc'ed, followed by a zero byte. */
static enum status unpack(const uint8_t *bytes, size_t size, const struct entry *entry, const char *path, uint8_t **out,
                          struct error *err)
{
    if (entry->local > size || size - entry->local < LOCAL_BYTES || memcmp(bytes + entry->local, "PK\3\4", 4) != 0)
        return damaged(path, "an array lies outside of it", err);
    const uint8_t *local = bytes + entry->local;
    const size_t head = LOCAL_BYTES + read_uint(local + 26, 2) + read_uint(local + 28, 2);
    if (head > size - entry->local || entry->packed > size - entry->local - head)
        return damaged(path, "an array lies outside of it", err);
    if (entry->unpacked > MAX_ARRAY_BYTES || entry->unpacked / DEFLATE_RATIO > entry->packed ||
        (entry->method == STORED && entry->packed != entry->unpacked))
        return damaged(path, "the size of an array is impossible, or above 1 GiB", err);
    if (entry->method != STORED && entry->method != DEFLATED)
        return damaged(path, "an array is compressed in an unknown way", err);
    *out = calloc(entry->unpacked + 1, 1);
    if (!*out)
        return error_no_memory(err, entry->unpacked, path);
    if (entry->method == DEFLATED)
        return inflate_entry(local + head, entry, path, *out, err);
    memcpy(*out, local + head, entry->unpacked);
    return STATUS_OK;
}

/* "(2, 28, 28)" to the shape; false if it is none, or of a higher rank. */
static bool parse_shape(const char *at, struct npz_array *array)
{
    if (*at++ != '(')
        return false;
    for (array->rank = 0; *at != ')'; array->rank++) {
        char *end;
        const unsigned long long side = strtoull(at, &end, 10);
        if (end == at || array->rank == NPZ_MAX_RANK || side > MAX_ARRAY_BYTES)
            return false;
        array->shape[array->rank] = (size_t)side;
        at = end + strspn(end, ", ");
    }
    return true;
}

/* The header of a .npy file (numpy.lib.format): a dictionary as text, with descr, fortran_order and shape. */
static enum status parse_npy(struct npz_array *array, size_t size, const char *path, struct error *err)
{
    const uint8_t *bytes = array->bytes;
    const int length_bytes = size > 6 && bytes[6] == 1 ? 2 : 4;
    const size_t start = 8 + (size_t)length_bytes;
    if (size < start || memcmp(bytes, "\x93NUMPY", 6) != 0)
        return damaged(path, "it holds something that is no array", err);
    const size_t header = read_uint(bytes + 8, length_bytes);
    if (header > size - start || memchr(bytes + start, 0, header) || header == 0)
        return damaged(path, "the header of an array is damaged", err);
    array->bytes[start + header - 1] = '\0'; /* it ends in a line end */
    const char *text = (const char *)bytes + start, *type = strstr(text, "'descr': '"),
               *shape = strstr(text, "'shape': ");
    char order;
    if (!type || !shape || sscanf(type, "'descr': '%c%c%d'", &order, &array->kind, &array->item) != 3 || order == '>' ||
        array->item < 1 || array->item > 8 || !strstr(text, "'fortran_order': False") || !parse_shape(shape + 9, array))
        return error_set(err, STATUS_BAD_DATA, path,
                         "array %s is not one of numbers in C order with at most %d dimensions: %.100s", array->name,
                         NPZ_MAX_RANK, text);
    size_t expected = (size_t)array->item;
    for (int i = 0; i < array->rank; i++)
        expected = size_mul(expected, array->shape[i]);
    array->values = bytes + start + header;
    return expected == size - start - header ? STATUS_OK
                                             : damaged(path, "an array has another size than its shape", err);
}

enum status npz_load(const uint8_t *bytes, size_t size, const char *path, struct npz_array arrays[NPZ_MAX_ARRAYS],
                     int *count, struct error *err)
{
    enum status status = STATUS_OK;
    size_t at = 0, entries = 0;
    *count = 0;
    TRY(find_directory(bytes, size, path, &at, &entries, err));
    if (entries > NPZ_MAX_ARRAYS)
        FAIL(error_set(err, STATUS_BAD_DATA, path, "has %zu arrays; at most %d are read", entries, NPZ_MAX_ARRAYS));
    for (size_t i = 0; i < entries; i++) {
        struct entry entry = {0};
        struct npz_array *array = &arrays[*count];
        *array = (struct npz_array){0};
        TRY(read_entry(bytes, size, &at, path, &entry, err));
        const size_t length = entry.name_length > 4 ? entry.name_length - 4 : 0; /* without .npy */
        snprintf(array->name, sizeof array->name, "%.*s", (int)(length < NPZ_NAME_SIZE ? length : NPZ_NAME_SIZE - 1),
                 entry.name);
        (*count)++;
        TRY(unpack(bytes, size, &entry, path, &array->bytes, err));
        TRY(parse_npy(array, entry.unpacked, path, err));
    }
cleanup:
    return status;
}

void npz_release(struct npz_array arrays[NPZ_MAX_ARRAYS], int count)
{
    for (int i = 0; i < count; i++)
        free(arrays[i].bytes);
}
