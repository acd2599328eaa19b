/* Rows of the data sets of shards, for other languages: only the chunks that hold them are read. */
#define _POSIX_C_SOURCE 200809L
#include "formats/cache/cache_library_call.h"

#include "formats/cache/hdf5_child.h"
#include "shared/base/file_calls.h"
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct softcache_cache {
    struct cache cache;
};

struct softcache_shard {
    char *path;
    int file;
    struct shard_table table;
    struct shard_field fields[SHARD_MAX_FIELDS]; /* data is not used */
    const struct shard_extent *extents[SHARD_MAX_FIELDS];
    int count;
};

int softcache_cache_open(struct softcache_cache **out, const char *path, char *message)
{
    struct error err = {0};
    struct softcache_cache *cache = calloc(1, sizeof *cache);
    *out = NULL;
    if (!cache)
        return library_tell(error_no_memory(&err, sizeof *cache, "a cache"), &err, message);
    const enum status status = cache_open(&cache->cache, path, &err);
    if (status == STATUS_OK)
        *out = cache;
    else
        free(cache);
    return library_tell(status, &err, message);
}

void softcache_cache_close(struct softcache_cache *cache)
{
    if (cache)
        cache_release(&cache->cache);
    free(cache);
}

/* Reads [offset, offset + size) of the file. */
static enum status read_at(const struct softcache_shard *shard, void *bytes, size_t size, uint64_t offset,
                           struct error *err)
{
    for (size_t done = 0; done < size;) {
        const ssize_t got =
            RETRY(pread(shard->file, (char *)bytes + done, size - done, (off_t)(offset + (uint64_t)done)));
        if (got < 0)
            return file_call_failed(err, STATUS_IO, shard->path, "cannot be read");
        if (got == 0)
            return error_set(err, STATUS_BAD_DATA, shard->path, "ends before byte %llu",
                             (unsigned long long)(offset + size));
        done += (size_t)got;
    }
    return STATUS_OK;
}

/* The table at the end of the file, or what libhdf5 says about the whole file. */
static enum status read_table(struct softcache_shard *shard, size_t size, bool has_table, struct error *err)
{
    enum status status = STATUS_OK;
    const size_t part = has_table && size > 2 * SHARD_TABLE_LIMIT ? 2 * SHARD_TABLE_LIMIT : size;
    size_t end = part;
    unsigned char *bytes = malloc(part);
    if (!bytes)
        return error_no_memory(err, part, "a shard's table");
    TRY(read_at(shard, bytes, part, size - part, err));
    if (has_table)
        TRY(shard_table_read(&shard->table, bytes, part, &end, shard->path, err));
    else
        TRY(hdf5_child_table(&shard->table, bytes, size, shard->path, err));
    TRY(shard_table_check_pieces(&shard->table, size - part + end, shard->path, err));
cleanup:
    free(bytes);
    return status;
}

static enum status open_shard(struct softcache_shard *shard, const struct cache *cache, enum split split, int index,
                              struct error *err)
{
    enum status status = STATUS_OK;
    const struct cache_manifest *manifest = &cache->manifest;
    const struct cache_shard_entry *entry = &manifest->splits[split].shards[index];
    struct cache_shard form = {0}; /* its arrays are never touched, so they take no memory */
    struct stat about;
    shard->path = path_join(cache->path, entry->file);
    if (!shard->path)
        FAIL(error_no_memory(err, strlen(cache->path), "a path"));
    shard->file = file_call_open(AT_FDCWD, shard->path, O_RDONLY, 0);
    if (shard->file < 0 || RETRY(fstat(shard->file, &about)) != 0)
        FAIL(file_call_failed(err, STATUS_NO_INPUT, shard->path, "cannot be read"));
    if ((uint64_t)about.st_size != entry->bytes)
        FAIL(error_set(err, STATUS_BAD_DATA, shard->path, "has %lld bytes, but the manifest says %llu: copy it again",
                       (long long)about.st_size, (unsigned long long)entry->bytes));
    TRY(read_table(shard, (size_t)about.st_size, manifest->format_version >= SHARD_TABLE_VERSION, err));
    TRY(cache_shard_init(&form, manifest, split, entry->first, entry->count, err));
    TRY(shard_locate(manifest, &form, &shard->table, shard->path, shard->fields, shard->extents, &shard->count, err));
cleanup:
    cache_shard_release(&form);
    return status;
}

int softcache_shard_open(struct softcache_shard **out, const struct softcache_cache *cache, int split, int index,
                         char *message)
{
    struct error err = {0};
    enum status status = STATUS_OK;
    *out = NULL;
    if (split < 0 || split >= SPLIT_COUNT || index < 0 || index >= cache->cache.manifest.splits[split].shard_count)
        return library_tell(
            error_set(&err, STATUS_USAGE, cache->cache.path, "has no shard %d of split %d", index, split), &err,
            message);
    struct softcache_shard *shard = calloc(1, sizeof *shard);
    if (!shard)
        return library_tell(error_no_memory(&err, sizeof *shard, "a shard"), &err, message);
    shard->file = -1;
    status = open_shard(shard, &cache->cache, (enum split)split, index, &err);
    if (status == STATUS_OK)
        *out = shard;
    else
        softcache_shard_close(shard);
    return library_tell(status, &err, message);
}

void softcache_shard_close(struct softcache_shard *shard)
{
    if (!shard)
        return;
    if (shard->file >= 0)
        close(shard->file);
    shard_table_release(&shard->table);
    free(shard->path);
    free(shard);
}

static enum status find(const struct softcache_shard *shard, const char *name, int *index, struct error *err)
{
    for (*index = 0; *index < shard->count; ++*index)
        if (strcmp(shard->fields[*index].name, name) == 0)
            return STATUS_OK;
    return error_set(err, STATUS_USAGE, shard->path, "has no data set %s", name);
}

int softcache_shard_data(const struct softcache_shard *shard, const char *name, struct softcache_data *data,
                         char *message)
{
    struct error err = {0};
    int i;
    enum status status = find(shard, name, &i, &err);
    if (status != STATUS_OK)
        return library_tell(status, &err, message);
    const struct shard_field *field = &shard->fields[i];
    *data = (struct softcache_data){.type = (int32_t)field->type, .item = (int32_t)field->item, .rank = field->rank};
    for (int d = 0; d < field->rank; d++)
        data->dims[d] = (int64_t)field->dims[d];
    data->offset = field->compressed ? -1 : (int64_t)shard->extents[i]->pieces[0].offset;
    return STATUS_OK;
}

/* Copies rows out of chunks, of which it keeps the last one. */
static enum status unpack_rows(const struct softcache_shard *shard, const struct shard_field *field,
                               const struct shard_extent *extent, const int64_t *rows, size_t count, unsigned char *out,
                               struct error *err)
{
    enum status status = STATUS_OK;
    const size_t row = field->bytes / field->dims[0], chunk = row * extent->rows;
    size_t here = SIZE_MAX, largest = 0;
    struct shard_unpacker unpacker;
    for (size_t i = 0; i < extent->piece_count; i++)
        largest = extent->pieces[i].size > largest ? (size_t)extent->pieces[i].size : largest;
    unsigned char *packed = malloc(largest), *plain = malloc(chunk);
    TRY(shard_unpacker_init(&unpacker, field, extent->rows, err));
    if (!packed || !plain)
        FAIL(error_no_memory(err, chunk, "a chunk"));
    for (size_t i = 0; i < count; i++) {
        const size_t piece = (size_t)rows[i] / extent->rows;
        if (piece != here) {
            TRY(read_at(shard, packed, extent->pieces[piece].size, extent->pieces[piece].offset, err));
            if (!shard_unpack(&unpacker, packed, extent->pieces[piece].size, plain, chunk))
                FAIL(error_set(err, STATUS_BAD_DATA, shard->path,
                               "data set %s has a chunk that does not decompress to its size", field->name));
            here = piece;
        }
        memcpy(out + i * row, plain + ((size_t)rows[i] - piece * extent->rows) * row, row);
    }
cleanup:
    shard_unpacker_release(&unpacker);
    free(plain);
    free(packed);
    return status;
}

int softcache_shard_rows(const struct softcache_shard *shard, const char *name, const int64_t *rows, size_t count,
                         void *out, char *message)
{
    enum status status = STATUS_OK;
    struct error err = {0};
    int index;
    TRY(find(shard, name, &index, &err));
    const struct shard_field *field = &shard->fields[index];
    const struct shard_extent *extent = shard->extents[index];
    const size_t row = field->bytes / field->dims[0];
    for (size_t i = 0; i < count; i++)
        if (rows[i] < 0 || (uint64_t)rows[i] >= field->dims[0])
            FAIL(error_set(&err, STATUS_USAGE, shard->path, "data set %s has no row %lld", name, (long long)rows[i]));
    if (field->compressed)
        TRY(unpack_rows(shard, field, extent, rows, count, out, &err));
    for (size_t i = 0; i < count && !field->compressed; i++)
        TRY(read_at(shard, (char *)out + i * row, row, extent->pieces[0].offset + (uint64_t)rows[i] * row, &err));
cleanup:
    return library_tell(status, &err, message);
}
