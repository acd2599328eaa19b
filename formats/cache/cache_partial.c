#define _POSIX_C_SOURCE 200809L
#include "formats/cache/cache_partial.h"

#include "formats/cache/manifest.h"
#include "shared/base/digest.h"
#include "shared/base/files.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum status cache_partial_init(struct cache_partial *partial, const char *path, struct error *err)
{
    partial->path = strdup(path);
    partial->folder = path_join(path, "partial");
    partial->final = path_join(path, "cache.json");
    if (partial->path && partial->folder && partial->final)
        return STATUS_OK;
    return error_no_memory(err, strlen(path), "a path");
}

void cache_partial_release(struct cache_partial *partial)
{
    free(partial->path);
    free(partial->folder);
    free(partial->final);
}

const char *cache_partial_path(char buffer[CACHE_PATH_SIZE], const char *folder, const char *name)
{
    snprintf(buffer, CACHE_PATH_SIZE, "%s/%s", folder, name);
    return buffer;
}

bool cache_partial_is_finished(const struct cache_partial *partial)
{
    return file_exists(partial->final);
}

/* A lock on a file that another process removed when it finished the cache locks nothing. */
static bool is_current(int descriptor, const char *path)
{
    struct stat held, there;
    return fstat(descriptor, &held) == 0 && stat(path, &there) == 0 && held.st_ino == there.st_ino &&
           held.st_dev == there.st_dev;
}

/* `partial` may vanish while we work, when another process finishes the cache: so creating is tried again. */
enum status cache_partial_lock(const struct cache_partial *partial, const char *name, int tries, int *descriptor,
                               struct error *err)
{
    const struct timespec pause = {.tv_nsec = 20 * 1000 * 1000};
    enum status status = STATUS_LOCKED;
    struct error last = {0};
    char path[CACHE_PATH_SIZE];
    cache_partial_path(path, partial->folder, name);
    for (int i = 0, failures = 0; i < tries && failures < 5; i++) {
        last = (struct error){0};
        status = folder_make(partial->folder, &last);
        if (status == STATUS_OK)
            status = file_lock(path, descriptor, &last);
        if (status == STATUS_OK && is_current(*descriptor, path))
            return STATUS_OK;
        failures += status != STATUS_OK && status != STATUS_LOCKED;
        if (status == STATUS_OK)
            file_unlock(*descriptor);
        if (i + 1 < tries)
            nanosleep(&pause, NULL);
    }
    *descriptor = -1;
    return error_set(err, status == STATUS_OK ? STATUS_LOCKED : status, last.path, "%s", last.message);
}

enum status cache_partial_read(struct cache_manifest *manifest, const char *path, bool published, struct error *err)
{
    unsigned char *text;
    size_t size;
    arena_release(&manifest->arena);
    *manifest = (struct cache_manifest){0};
    enum status status = file_read(path, MANIFEST_LIMIT, &text, &size, err);
    if (status == STATUS_OK)
        status = manifest_parse(manifest, (const char *)text, size, published, path, err);
    free(text);
    return status;
}

static enum status publish_json(const char *path, cJSON *tree, struct error *err)
{
    char *text = manifest_text(tree);
    if (!text)
        return error_no_memory(err, 0, path);
    enum status status = file_publish(path, text, strlen(text), err);
    free(text);
    return status;
}

enum status cache_partial_write(const struct cache_manifest *manifest, const char *path, bool published,
                                struct error *err)
{
    return publish_json(path, manifest_to_json(manifest, published), err);
}

/* partial/train-00000.json of train-00000.h5 */
static void record_path(char path[CACHE_PATH_SIZE], const struct cache_partial *partial,
                        const struct cache_shard_entry *entry)
{
    snprintf(path, CACHE_PATH_SIZE, "%s/%.*s.json", partial->folder, (int)strcspn(entry->file, "."), entry->file);
}

bool cache_partial_record_read(const struct cache_partial *partial, struct cache_shard_entry *entry)
{
    char path[CACHE_PATH_SIZE];
    unsigned char *text;
    size_t size;
    record_path(path, partial, entry);
    if (file_read(path, MANIFEST_LIMIT, &text, &size, NULL) != STATUS_OK)
        return false;
    bool whole = manifest_record_parse(entry, (const char *)text, size, path, NULL) == STATUS_OK;
    free(text);
    return whole;
}

enum status cache_partial_record_write(const struct cache_partial *partial, const struct cache_shard_entry *entry,
                                       struct error *err)
{
    char path[CACHE_PATH_SIZE];
    record_path(path, partial, entry);
    return publish_json(path, manifest_shard_to_json(entry, true), err);
}

bool cache_partial_is_whole(const struct cache_partial *partial, const struct cache_shard_entry *entry)
{
    char path[CACHE_PATH_SIZE], digest[DIGEST_HEX_SIZE];
    size_t size;
    return digest_file(cache_partial_path(path, partial->path, entry->file), digest, &size, NULL) == STATUS_OK &&
           size == entry->bytes && strcmp(digest, entry->digest) == 0;
}

/* Removes the entries of a folder whose names begin with prefix and end with suffix. */
static void remove_matching(const char *folder, const char *prefix, const char *suffix)
{
    struct folder_entry *entries;
    size_t count;
    if (folder_list(folder, &entries, &count, NULL) != STATUS_OK)
        return;
    for (size_t i = 0; i < count; i++) {
        char path[CACHE_PATH_SIZE];
        size_t length = strlen(entries[i].name);
        if (strncmp(entries[i].name, prefix, strlen(prefix)) == 0 && length >= strlen(suffix) &&
            strcmp(entries[i].name + length - strlen(suffix), suffix) == 0)
            unlink(cache_partial_path(path, folder, entries[i].name));
    }
    folder_list_free(entries, count);
}

void cache_partial_discard(const struct cache_partial *partial, const struct cache_shard_entry *entry)
{
    char path[CACHE_PATH_SIZE], prefix[64];
    record_path(path, partial, entry);
    unlink(path);
    unlink(cache_partial_path(path, partial->path, entry->file));
    snprintf(prefix, sizeof prefix, "%s.", entry->file);
    remove_matching(partial->path, prefix, ".tmp");
}

void cache_partial_remove(const struct cache_partial *partial)
{
    static const char *const prefixes[] = {"train-", "val-", "test-", "cache.json."};
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++)
        remove_matching(partial->path, prefixes[i], ".tmp");
    if (!folder_exists(partial->folder))
        return;
    remove_matching(partial->folder, "", "");
    rmdir(partial->folder);
}
