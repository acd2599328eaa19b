#define _POSIX_C_SOURCE 200809L
#include "formats/cache/cache.h"

#include "formats/cache/hdf5_child.h"
#include "formats/cache/manifest.h"
#include "formats/datasets/file_name.h"
#include "shared/base/digest.h"
#include "shared/base/files.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Says why there is no cache.json. */
static enum status no_manifest(const char *path, struct error *err)
{
    enum status status = STATUS_OK;
    enum file_kind kind;
    char *partial = path_join(path, "partial");
    if (!partial)
        return error_no_memory(err, strlen(path), "a path");
    TRY(file_look(path, &kind, err));
    if (kind != FILE_FOLDER)
        FAIL(error_set(err, STATUS_NO_INPUT, path, "is not a cache: there is no such folder"));
    TRY(file_look(partial, &kind, err));
    status =
        error_set(err, STATUS_NO_INPUT, path, "%s",
                  kind == FILE_FOLDER ? "is an unfinished cache: run the same `teacher_dump run` again to finish it"
                                      : "is not a cache: cache.json is missing");
cleanup:
    free(partial);
    return status;
}

enum status cache_open(struct cache *cache, const char *path, struct error *err)
{
    enum status status = STATUS_OK;
    enum file_kind kind;
    unsigned char *text = NULL;
    size_t size;
    *cache = (struct cache){0};
    char *file = path_join(path, "cache.json");
    cache->path = strdup(path);
    if (!file || !cache->path)
        FAIL(error_no_memory(err, strlen(path), "a path"));
    TRY(file_look(file, &kind, err));
    if (kind != FILE_REGULAR)
        FAIL(no_manifest(path, err));
    TRY(file_read(file, MANIFEST_LIMIT, &text, &size, err));
    TRY(manifest_parse(&cache->manifest, (const char *)text, size, true, file, err));
cleanup:
    free(text);
    free(file);
    if (status != STATUS_OK)
        cache_release(cache);
    return status;
}

void cache_release(struct cache *cache)
{
    free(cache->path);
    arena_release(&cache->manifest.arena);
    *cache = (struct cache){0};
}

/* The bytes of a shard, malloc'ed, and its path, too: with the size and the digest that the manifest says. */
static enum status load_shard(const struct cache *cache, enum split split, int shard, unsigned char **bytes,
                              size_t *size, char **path, struct error *err)
{
    const struct cache_shard_entry *entry = &cache->manifest.splits[split].shards[shard];
    enum status status = STATUS_OK;
    char digest[DIGEST_HEX_SIZE];
    *bytes = NULL;
    *path = path_join(cache->path, entry->file);
    if (!*path)
        return error_no_memory(err, strlen(cache->path), "a path");
    TRY(file_read(*path, (size_t)CACHE_SHARD_LIMIT * 2, bytes, size, err));
    if (*size != entry->bytes)
        FAIL(error_set(
            err, STATUS_BAD_DATA, *path,
            "has %zu bytes, but the manifest says %llu: copy it again, or run teacher_dump again to repair it", *size,
            (unsigned long long)entry->bytes));
    digest_bytes(*bytes, *size, digest);
    if (strcmp(digest, entry->digest) != 0)
        status = error_set(err, STATUS_BAD_DATA, *path,
                           "is damaged (its SHA-256 is not the manifest's): copy it again, or run teacher_dump again "
                           "to repair it");
cleanup:
    return status;
}

enum status cache_read_shard(const struct cache *cache, enum split split, int shard, unsigned parts,
                             struct cache_shard *content, struct error *err)
{
    enum status status = STATUS_OK;
    unsigned char *bytes;
    char *path;
    size_t size;
    *content = (struct cache_shard){0};
    TRY(load_shard(cache, split, shard, &bytes, &size, &path, err));
    TRY(shard_parse(&cache->manifest, split, &cache->manifest.splits[split].shards[shard], bytes, size, parts, path,
                    content, err));
cleanup:
    free(bytes);
    free(path);
    return status;
}

enum status cache_compare_hdf5(const struct cache *cache, enum split split, int shard, struct error *err)
{
    enum status status = STATUS_OK;
    struct shard_table ours = {0}, theirs = {0};
    unsigned char *bytes;
    char *path, name[32];
    size_t size, end;
    TRY(load_shard(cache, split, shard, &bytes, &size, &path, err));
    if (cache->manifest.format_version >= SHARD_TABLE_VERSION)
        TRY(shard_table_read(&ours, bytes, size, &end, path, err));
    TRY(hdf5_child_table(&theirs, bytes, size, path, err));
    if (cache->manifest.format_version >= SHARD_TABLE_VERSION && !shard_table_equal(&ours, &theirs, name))
        status = error_set(err, STATUS_BAD_DATA, path,
                           "libhdf5 sees another data set %s than the shard's table says: programs that use libhdf5 "
                           "read other values than this one",
                           name);
cleanup:
    shard_table_release(&ours);
    shard_table_release(&theirs);
    free(bytes);
    free(path);
    return status;
}

/* Where the bytes of a data set are counted. */
static uint64_t *storage_of(struct cache_storage *storage, const char *name)
{
    int feature;
    if (strcmp(name, "images") == 0 || strcmp(name, "image_offsets") == 0)
        return &storage->images;
    if (strcmp(name, "logits") == 0 || strcmp(name, "top_classes") == 0)
        return &storage->logits;
    if (sscanf(name, "feature_%d", &feature) == 1 && feature >= 0 && feature < CACHE_MAX_FEATURES)
        return &storage->features[feature];
    return &storage->records;
}

enum status cache_add_storage(const struct cache *cache, enum split split, int shard, struct cache_storage *storage,
                              struct error *err)
{
    enum status status = STATUS_OK;
    struct shard_table table = {0};
    unsigned char *bytes;
    char *path;
    size_t size, end;
    TRY(load_shard(cache, split, shard, &bytes, &size, &path, err));
    end = size;
    if (cache->manifest.format_version >= SHARD_TABLE_VERSION)
        TRY(shard_table_read(&table, bytes, size, &end, path, err));
    else
        TRY(hdf5_child_table(&table, bytes, size, path, err));
    TRY(shard_table_check_pieces(&table, end, path, err)); /* so their sum is at most the file's size */
    uint64_t form = size;
    for (int i = 0; i < table.count; i++)
        for (size_t k = 0; k < table.sets[i].piece_count; k++) {
            *storage_of(storage, table.sets[i].name) += table.sets[i].pieces[k].size;
            form -= table.sets[i].pieces[k].size;
        }
    storage->form += form;
cleanup:
    shard_table_release(&table);
    free(bytes);
    free(path);
    return status;
}

/* Names are relative to the data folder; one that points outside of it is refused. */
static bool is_inside(const char *name)
{
    if (name[0] == '/')
        return false;
    for (const char *at = name; at; at = strchr(at, '/') ? strchr(at, '/') + 1 : NULL)
        if (strncmp(at, "..", 2) == 0 && (at[2] == '/' || at[2] == 0))
            return false;
    return true;
}

static enum status read_linked(const struct cache *cache, const struct cache_shard *shard, uint32_t i, uint8_t **bytes,
                               size_t *size, struct error *err)
{
    enum status status = STATUS_OK;
    enum file_kind kind;
    char digest[DIGEST_HEX_SIZE], wanted[DIGEST_HEX_SIZE];
    char *folder = file_name_unescape(cache->manifest.source_path), *name = file_name_unescape(shard->names[i]);
    char *path = folder && name ? path_join(folder, name) : NULL;
    if (!path)
        FAIL(error_no_memory(err, CACHE_NAME_SIZE, "a path"));
    if (!is_inside(name))
        FAIL(error_set(err, STATUS_BAD_DATA, shard->names[i], "the name points outside the data folder"));
    TRY(file_look(path, &kind, err));
    if (kind != FILE_REGULAR)
        FAIL(error_set(
            err, STATUS_NO_INPUT, path,
            "is missing: the cache refers to the photos that were in %s; if they are elsewhere now, pass --data "
            "with their folder",
            cache->manifest.source_path));
    TRY(file_read(path, CACHE_SHARD_LIMIT, bytes, size, err));
    digest_bytes(*bytes, *size, digest);
    for (int b = 0; b < 32; b++)
        snprintf(wanted + 2 * b, 3, "%02x", shard->link_digests[i][b]);
    if (*size != shard->link_sizes[i] || strcmp(digest, wanted) != 0) {
        free(*bytes);
        *bytes = NULL;
        status = error_set(err, STATUS_BAD_DATA, path,
                           "is not the file that the teacher saw: restore it, or make the cache again");
    }
cleanup:
    free(folder);
    free(name);
    free(path);
    return status;
}

enum status cache_set_data(struct cache *cache, const char *data, struct error *err)
{
    if (!data)
        return STATUS_OK;
    if (cache->manifest.images_embedded)
        return error_set(err, STATUS_USAGE, cache->path, "--data %s: the images are in the cache, leave it out", data);
    enum file_kind kind;
    enum status status = file_look(data, &kind, err);
    if (status != STATUS_OK)
        return status;
    if (kind != FILE_FOLDER)
        return error_set(err, STATUS_NO_INPUT, data, "is no folder: --data is where the cache's photos are now");
    char *escaped = file_name_escape(data);
    cache->manifest.source_path = escaped ? arena_strdup(&cache->manifest.arena, escaped) : NULL;
    free(escaped);
    return cache->manifest.source_path ? STATUS_OK : error_no_memory(err, strlen(data), "a path");
}

enum status cache_image(const struct cache *cache, const struct cache_shard *shard, uint32_t i, const uint8_t **bytes,
                        size_t *size, uint8_t **owned, struct error *err)
{
    *owned = NULL;
    if (shard->image_bytes) {
        *bytes = shard->image_bytes + shard->image_offsets[i];
        *size = (size_t)(shard->image_offsets[i + 1] - shard->image_offsets[i]);
        return STATUS_OK;
    }
    if (!shard->link_sizes)
        return error_set(err, STATUS_INTERNAL, cache->path, "the images of this shard were not read");
    enum status status = read_linked(cache, shard, i, owned, size, err);
    *bytes = *owned;
    return status;
}

void cache_bytes(const struct cache_manifest *manifest, uint64_t *total, uint64_t *images)
{
    char *text = manifest_text(manifest_to_json(manifest, true));
    *total = text ? strlen(text) : 0;
    *images = 0;
    free(text);
    for (int s = 0; s < SPLIT_COUNT; s++) {
        for (int i = 0; i < manifest->splits[s].shard_count; i++) {
            *total += manifest->splits[s].shards[i].bytes;
            *images += manifest->splits[s].shards[i].image_bytes;
        }
    }
}

uint64_t cache_view_count(const struct cache_manifest *manifest)
{
    uint64_t count = 0;
    for (int s = 0; s < SPLIT_COUNT; s++)
        count += (uint64_t)manifest->splits[s].samples * (uint64_t)manifest->splits[s].views;
    return count;
}
