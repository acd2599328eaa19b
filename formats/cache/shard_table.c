#include "formats/cache/shard_table.h"

#include "formats/json.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const type_names[SHARD_TYPE_COUNT] = {
    [SHARD_U8] = "uint8",    [SHARD_I8] = "int8",     [SHARD_U16] = "uint16",
    [SHARD_I32] = "int32",   [SHARD_U32] = "uint32",  [SHARD_U64] = "uint64",
    [SHARD_F16] = "float16", [SHARD_F32] = "float32", [SHARD_STRING] = "string"};

/* The last bytes of a file: this line with the number of bytes of the text before it. */
static const char TAIL_FORMAT[] = "\nsoftcache-table %010zu\n";
enum { TAIL_SIZE = 28, TAIL_ROOM = TAIL_SIZE + 10 };

void shard_table_release(struct shard_table *table)
{
    for (int i = 0; i < table->count; i++)
        free(table->sets[i].pieces);
    table->count = 0;
}

/* ---- to JSON ---- */

static void add_filters(cJSON *item, const struct shard_extent *set)
{
    cJSON *filters = cJSON_AddArrayToObject(item, "filters");
    if (set->shuffled)
        json_append(filters, cJSON_CreateString("shuffle"));
    if (set->packed)
        json_append(filters, cJSON_CreateString("zstd"));
}

char *shard_table_text(const struct shard_table *table)
{
    cJSON *root = cJSON_CreateObject(), *sets = cJSON_AddArrayToObject(root, "data_sets");
    for (int i = 0; i < table->count; i++) {
        const struct shard_extent *set = &table->sets[i];
        cJSON *item = json_append(sets, cJSON_CreateObject());
        cJSON_AddStringToObject(item, "name", set->name);
        cJSON_AddStringToObject(item, "type", type_names[set->type]);
        cJSON_AddNumberToObject(item, "item_bytes", (double)set->item);
        cJSON *shape = cJSON_AddArrayToObject(item, "shape");
        for (int d = 0; d < set->rank; d++)
            json_append(shape, cJSON_CreateNumber((double)set->dims[d]));
        add_filters(item, set);
        cJSON_AddNumberToObject(item, "chunk_rows", (double)set->rows);
        cJSON *offsets = cJSON_AddArrayToObject(item, "offsets"), *sizes = cJSON_AddArrayToObject(item, "sizes");
        for (size_t p = 0; p < set->piece_count; p++) {
            json_append(offsets, cJSON_CreateNumber((double)set->pieces[p].offset));
            json_append(sizes, cJSON_CreateNumber((double)set->pieces[p].size));
        }
    }
    return json_text(root, true);
}

/* ---- from JSON ---- */

/* A whole number below 2^53 of an array. */
static bool whole(const cJSON *item, uint64_t *value)
{
    if (!cJSON_IsNumber(item) || !(item->valuedouble >= 0 && item->valuedouble < 9007199254740992.0))
        return false;
    *value = (uint64_t)item->valuedouble;
    return (double)*value == item->valuedouble;
}

static enum status parse_shape(const struct json_place *at, struct shard_extent *set, struct error *err)
{
    enum status status = STATUS_OK;
    struct json_place array;
    uint64_t size = 0;
    TRY(json_array(at, "shape", SHARD_MAX_RANK, &array, &set->rank, err));
    const cJSON *item = array.node->child;
    for (int d = 0; d < set->rank; d++, item = item->next) {
        if (!whole(item, &size) || size == 0)
            return error_set(err, STATUS_BAD_DATA, at->path, "field %s must have positive whole numbers", array.place);
        set->dims[d] = size;
    }
    if (set->rank == 0)
        status = error_set(err, STATUS_BAD_DATA, at->path, "field %s is empty", array.place);
cleanup:
    return status;
}

static enum status parse_filters(const struct json_place *at, struct shard_extent *set, struct error *err)
{
    enum status status = STATUS_OK;
    struct json_place array;
    int count;
    TRY(json_array(at, "filters", 2, &array, &count, err));
    for (const cJSON *item = array.node->child; item; item = item->next) {
        const char *name = cJSON_IsString(item) ? item->valuestring : "";
        if (strcmp(name, "shuffle") == 0 && !set->shuffled && !set->packed)
            set->shuffled = true;
        else if (strcmp(name, "zstd") == 0 && !set->packed)
            set->packed = true;
        else
            return error_set(err, STATUS_BAD_DATA, at->path, "field %s must be [], [zstd] or [shuffle, zstd]",
                             array.place);
    }
cleanup:
    return status;
}

/* The number of pieces follows from shape and rows, so only that many are allocated. */
static enum status parse_pieces(const struct json_place *at, struct shard_extent *set, struct error *err)
{
    enum status status = STATUS_OK;
    struct json_place offsets, sizes;
    int offset_count, size_count;
    int64_t rows;
    TRY(json_integer(at, "chunk_rows", 1, (int64_t)set->dims[0], &rows, err));
    set->rows = (size_t)rows;
    set->piece_count = (set->dims[0] - 1) / set->rows + 1;
    TRY(json_array(at, "offsets", SHARD_TABLE_LIMIT, &offsets, &offset_count, err));
    TRY(json_array(at, "sizes", SHARD_TABLE_LIMIT, &sizes, &size_count, err));
    if ((size_t)offset_count != set->piece_count || offset_count != size_count)
        return error_set(err, STATUS_BAD_DATA, at->path, "field %s must have %zu offsets and sizes, one a chunk",
                         at->place, set->piece_count);
    set->pieces = calloc(set->piece_count, sizeof *set->pieces);
    if (!set->pieces)
        return error_no_memory(err, set->piece_count * sizeof *set->pieces, "a list of chunks");
    const cJSON *offset = offsets.node->child, *size = sizes.node->child;
    for (size_t i = 0; i < set->piece_count; i++, offset = offset->next, size = size->next)
        if (!whole(offset, &set->pieces[i].offset) || !whole(size, &set->pieces[i].size))
            return error_set(err, STATUS_BAD_DATA, at->path, "field %s: place %zu must be two whole numbers", at->place,
                             i);
cleanup:
    return status;
}

static enum status parse_set(const struct json_place *at, struct arena *arena, struct shard_extent *set,
                             struct error *err)
{
    enum status status = STATUS_OK;
    const char *name;
    int64_t item;
    int type;
    TRY(json_string(at, "name", arena, &name, err));
    if (snprintf(set->name, sizeof set->name, "%s", name) >= (int)sizeof set->name)
        return error_set(err, STATUS_BAD_DATA, at->path, "field %s.name is too long", at->place);
    TRY(json_choice(at, "type", type_names, SHARD_TYPE_COUNT, &type, err));
    set->type = (enum shard_type)type;
    TRY(json_integer(at, "item_bytes", 1, CACHE_NAME_SIZE, &item, err));
    set->item = (size_t)item;
    TRY(parse_shape(at, set, err));
    TRY(parse_filters(at, set, err));
    TRY(parse_pieces(at, set, err));
cleanup:
    return status;
}

enum status shard_table_parse(struct shard_table *table, const char *text, size_t size, const char *path,
                              struct error *err)
{
    enum status status = STATUS_OK;
    struct arena arena = {0};
    struct json_place array, element = {0};
    struct error failed = {0};
    cJSON *tree = NULL;
    int count;
    TRY(json_parse(&tree, text, size, path, &failed));
    const struct json_place root = json_root(tree, path);
    TRY(json_array(&root, "data_sets", SHARD_MAX_FIELDS, &array, &count, &failed));
    for (int i = 0; i < count; i++) {
        TRY(json_element(&array, i, &element, &failed));
        table->count = i + 1;
        TRY(parse_set(&element, &arena, &table->sets[i], &failed));
        for (int j = 0; j < i; j++)
            if (strcmp(table->sets[j].name, table->sets[i].name) == 0)
                FAIL(error_set(&failed, STATUS_BAD_DATA, path, "data set %s appears twice", table->sets[i].name));
    }
cleanup:
    if (status != STATUS_OK)
        error_set(err, status, path, status == STATUS_BAD_DATA ? "its table: %s" : "%s", failed.message);
    arena_release(&arena);
    cJSON_Delete(tree);
    return status;
}

/* ---- at the end of a file ---- */

enum status shard_table_append(const struct shard_table *table, unsigned char **bytes, size_t *size, struct error *err)
{
    char tail[TAIL_ROOM];
    char *text = shard_table_text(table);
    const size_t length = text ? strlen(text) : 0;
    if (length > SHARD_TABLE_LIMIT) {
        free(text);
        return error_set(err, STATUS_INTERNAL, NULL, "a shard's table has %zu bytes, which no reader takes", length);
    }
    unsigned char *longer = text ? realloc(*bytes, *size + length + TAIL_SIZE) : NULL;
    if (longer) {
        snprintf(tail, sizeof tail, TAIL_FORMAT, length);
        memcpy(longer + *size, text, length);
        memcpy(longer + *size + length, tail, TAIL_SIZE);
        *bytes = longer;
        *size += length + TAIL_SIZE;
    }
    free(text);
    return longer ? STATUS_OK : error_no_memory(err, *size, "a shard");
}

enum status shard_table_read(struct shard_table *table, const unsigned char *bytes, size_t size, size_t *end,
                             const char *path, struct error *err)
{
    char tail[TAIL_ROOM] = "", again[TAIL_ROOM];
    size_t length = 0;
    if (size >= TAIL_SIZE)
        memcpy(tail, bytes + size - TAIL_SIZE, TAIL_SIZE);
    if (sscanf(tail, "\nsoftcache-table %10zu", &length) != 1 || length > SHARD_TABLE_LIMIT ||
        length > size - TAIL_SIZE ||
        (snprintf(again, sizeof again, TAIL_FORMAT, length), memcmp(again, tail, TAIL_SIZE)) != 0)
        return error_set(err, STATUS_BAD_DATA, path,
                         "does not end with a table of its data sets, which shards of format version %d have",
                         SHARD_TABLE_VERSION);
    *end = size - TAIL_SIZE - length;
    return shard_table_parse(table, (const char *)bytes + *end, length, path, err);
}
