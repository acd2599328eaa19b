/* safetensors files: header and entries. */
#include "formats/export/safetensors.h"

#include "formats/json.h"
#include "shared/tensor/half.h"
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_HEADER = 16 << 20, MAX_ENTRIES = 1 << 16 };

/* A JSON number that is a whole number from 0 to 2^53. */
static bool is_whole(const cJSON *item, uint64_t *out)
{
    if (!cJSON_IsNumber(item) || !(item->valuedouble >= 0 && item->valuedouble <= 9007199254740992.0))
        return false;
    *out = (uint64_t)item->valuedouble;
    return (double)*out == item->valuedouble;
}

static size_t dtype_size(const char *dtype)
{
    static const struct {
        const char *name;
        size_t size;
    } dtypes[] = {
        {"F64", 8}, {"F32", 4}, {"F16", 2}, {"BF16", 2}, {"I64", 8}, {"I32", 4},  {"I16", 2},
        {"I8", 1},  {"U64", 8}, {"U32", 4}, {"U16", 2},  {"U8", 1},  {"BOOL", 1},
    };
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++)
        if (strcmp(dtypes[i].name, dtype) == 0)
            return dtypes[i].size;
    return 0;
}

/* State while a header is read. */
struct header {
    struct safetensors *file;
    const uint8_t *data;
    size_t data_size;
    const char *path;
    struct error *err;
};

static enum status bad_entry(const struct header *header, const char *name, const char *reason)
{
    return error_set(header->err, STATUS_BAD_DATA, header->path, "tensor '%.200s': %s", name, reason);
}

static enum status read_entry(const struct header *header, const cJSON *item, struct safetensors_entry *entry)
{
    const cJSON *dtype = cJSON_GetObjectItemCaseSensitive(item, "dtype"), *dim;
    const cJSON *shape = cJSON_GetObjectItemCaseSensitive(item, "shape");
    const cJSON *offsets = cJSON_GetObjectItemCaseSensitive(item, "data_offsets");
    uint64_t begin, end, extent;
    if (!cJSON_IsString(dtype) || !cJSON_IsArray(shape) || !cJSON_IsArray(offsets) ||
        cJSON_GetArraySize(offsets) != 2 || !is_whole(cJSON_GetArrayItem(offsets, 0), &begin) ||
        !is_whole(cJSON_GetArrayItem(offsets, 1), &end))
        return bad_entry(header, item->string, "dtype, shape or data_offsets is missing or wrong");
    entry->count = 1;
    cJSON_ArrayForEach(dim, shape)
    {
        if (entry->rank == SAFETENSORS_MAX_RANK || !is_whole(dim, &extent))
            return bad_entry(header, item->string, "its shape is wrong or has too many dimensions");
        entry->dims[entry->rank++] = (int64_t)extent;
        entry->count = size_mul(entry->count, (size_t)extent);
    }
    size_t size = dtype_size(dtype->valuestring);
    if (size == 0)
        return bad_entry(header, item->string, "its dtype is unknown");
    if (begin > end || end > header->data_size || end - begin != size_mul(entry->count, size))
        return bad_entry(header, item->string, "its data_offsets do not fit its shape or the file");
    entry->data = header->data + begin;
    entry->name = arena_strdup(&header->file->arena, item->string);
    entry->dtype = arena_strdup(&header->file->arena, dtype->valuestring);
    return entry->name && entry->dtype ? STATUS_OK : error_no_memory(header->err, strlen(item->string), "a name");
}

static int compare_offsets(const void *a, const void *b)
{
    const struct safetensors_entry *x = a, *y = b;
    if (x->data != y->data)
        return x->data < y->data ? -1 : 1;
    return x->count == y->count ? 0 : x->count < y->count ? -1 : 1; /* empty tensors first */
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const struct safetensors_entry *)a)->name, ((const struct safetensors_entry *)b)->name);
}

/* Checks that entries cover the data exactly once and that names are unique; sorts by name. */
static enum status check_entries(const struct header *header)
{
    struct safetensors *file = header->file;
    const uint8_t *expected = header->data;
    if (file->count)
        qsort(file->entries, file->count, sizeof *file->entries, compare_offsets);
    for (size_t i = 0; i < file->count; i++) {
        if (file->entries[i].data != expected)
            return bad_entry(header, file->entries[i].name, "its data overlaps another tensor's, or leaves a gap");
        expected += file->entries[i].count * dtype_size(file->entries[i].dtype);
    }
    if (expected != header->data + header->data_size)
        return error_set(header->err, STATUS_BAD_DATA, header->path, "has data that do not belong to a tensor");
    if (file->count)
        qsort(file->entries, file->count, sizeof *file->entries, compare_names);
    for (size_t i = 1; i < file->count; i++)
        if (strcmp(file->entries[i - 1].name, file->entries[i].name) == 0)
            return bad_entry(header, file->entries[i].name, "its name is used twice");
    return STATUS_OK;
}

static enum status read_entries(const struct header *header, const cJSON *json)
{
    enum status status = STATUS_OK;
    const cJSON *item;
    size_t count = 0;
    cJSON_ArrayForEach(item, json) count++;
    if (count > MAX_ENTRIES)
        return error_set(header->err, STATUS_BAD_DATA, header->path, "has more than %d tensors", MAX_ENTRIES);
    header->file->entries = arena_alloc(&header->file->arena, count + 1, sizeof *header->file->entries);
    if (!header->file->entries)
        return error_no_memory(header->err, count * sizeof *header->file->entries, "a list of tensors");
    cJSON_ArrayForEach(item, json)
    {
        if (strcmp(item->string, "__metadata__") != 0)
            TRY(read_entry(header, item, &header->file->entries[header->file->count++]));
    }
    item = cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(json, "__metadata__"), "int8_ranges");
    header->file->ranges = cJSON_IsString(item) ? arena_strdup(&header->file->arena, item->valuestring) : NULL;
    if (cJSON_IsString(item) && !header->file->ranges)
        FAIL(error_no_memory(header->err, strlen(item->valuestring), "ranges of values"));
    TRY(check_entries(header));
cleanup:
    return status;
}

enum status safetensors_open(struct safetensors *file, const uint8_t *bytes, size_t size, const char *path,
                             struct error *err)
{
    enum status status = STATUS_OK;
    uint64_t length = 0;
    *file = (struct safetensors){0};
    for (int i = 0; i < 8 && size >= 8; i++)
        length |= (uint64_t)bytes[i] << 8 * i;
    if (size < 8 || length > size - 8 || length > MAX_HEADER)
        return error_set(err, STATUS_BAD_DATA, path, "is not a safetensors file: the length of its header is wrong");
    const uint8_t *text = bytes + 8, *data = text + length;
    cJSON *json = NULL;
    struct error bad = {0};
    if (!memchr(text, 0, (size_t)length))
        status = json_parse(&json, (const char *)text, (size_t)length, path, &bad);
    if (json)
        status = read_entries(&(struct header){file, data, size - 8 - (size_t)length, path, err}, json);
    else if (status == STATUS_INTERNAL)
        error_set(err, status, bad.path, "%s", bad.message);
    else
        status = error_set(err, STATUS_BAD_DATA, path, "is not a safetensors file: its header is not a JSON object");
    cJSON_Delete(json);
    if (status != STATUS_OK)
        safetensors_close(file);
    return status;
}

void safetensors_close(struct safetensors *file)
{
    arena_release(&file->arena);
    *file = (struct safetensors){0};
}

const struct safetensors_entry *safetensors_find(const struct safetensors *file, const char *name)
{
    struct safetensors_entry key = {.name = name};
    return file->count ? bsearch(&key, file->entries, file->count, sizeof key, compare_names) : NULL;
}

/* Element i as float; size: bytes of the dtype. */
static float element(const struct safetensors_entry *entry, size_t i)
{
    if (strcmp(entry->dtype, "F64") == 0) {
        double value;
        memcpy(&value, entry->data + 8 * i, sizeof value);
        return (float)value;
    }
    uint16_t bits;
    memcpy(&bits, entry->data + 2 * i, sizeof bits);
    if (strcmp(entry->dtype, "F16") == 0)
        return half_to_float(bits);
    uint32_t wide = (uint32_t)bits << 16;
    float value;
    memcpy(&value, &wide, sizeof value);
    return value;
}

enum status safetensors_floats(const struct safetensors_entry *entry, const char *path, float *out, struct error *err)
{
    if (strcmp(entry->dtype, "F32") == 0) {
        if (entry->count)
            memcpy(out, entry->data, entry->count * sizeof *out);
        return STATUS_OK;
    }
    if (strcmp(entry->dtype, "F64") != 0 && strcmp(entry->dtype, "F16") != 0 && strcmp(entry->dtype, "BF16") != 0)
        return error_set(err, STATUS_CONFIG, path, "tensor '%.200s' has type %s; F32, F16, BF16 and F64 are supported",
                         entry->name, entry->dtype);
    for (size_t i = 0; i < entry->count; i++)
        out[i] = element(entry, i);
    return STATUS_OK;
}
