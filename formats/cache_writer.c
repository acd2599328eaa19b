/* Writing a cache by any number of processes. While it is unfinished, the folder `partial` in it holds
 *   identity.json      the manifest without what only published shards have: what every process must agree on
 *   train-00000.json   the record (size, digest, ...) of a published shard, written after the shard
 *   train-00000.lock   the lock of the process that works on that shard
 *   lock               held while identity.json or cache.json is looked at and written
 * A shard without its record does not count. cache.json is written last; then `partial` is removed. */
#define _POSIX_C_SOURCE 200809L
#include "formats/cache.h"

#include "formats/manifest.h"
#include "formats/shard.h"
#include "shared/base/digest.h"
#include "shared/base/files.h"
#include "shared/tensor/half.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct cache_writer {
    char *path, *partial;           /* the cache's folder and its `partial` */
    char *final;                    /* cache.json */
    struct cache_manifest manifest; /* the identity as it was recorded first */
    int lock;                       /* of the claimed shard, or -1 */
    enum split split;               /* the claimed shard */
    int shard;
};

/* path_join into a buffer; a path that is too long fails when it is opened. */
static const char *join(char buffer[4096], const char *folder, const char *name, const char *suffix)
{
    snprintf(buffer, 4096, "%s/%s%s", folder, name, suffix);
    return buffer;
}

static void shard_stem(char stem[32], enum split split, int shard)
{
    manifest_shard_name(stem, split, shard);
    *strrchr(stem, '.') = 0;
}

static bool is_finished(const struct cache_writer *writer)
{
    return file_exists(writer->final);
}

/* A lock file that was removed by whoever finished the cache locks nothing. */
static bool is_current(int descriptor, const char *path)
{
    struct stat held, there;
    return fstat(descriptor, &held) == 0 && stat(path, &there) == 0 && held.st_ino == there.st_ino &&
           held.st_dev == there.st_dev;
}

/* Takes a lock in `partial`; while another process has it, waits up to `tries` times 20 ms. `partial` may vanish under
 * our hands when another process finishes the cache: so a failure to create is tried a few times too. */
static enum status take_lock(const struct cache_writer *writer, const char *path, int tries, int *descriptor,
                             struct error *err)
{
    const struct timespec pause = {.tv_nsec = 20 * 1000 * 1000};
    enum status status = STATUS_LOCKED;
    struct error last = {0};
    for (int i = 0, failures = 0; i < tries && failures < 5; i++) {
        last = (struct error){0};
        status = folder_make(writer->partial, &last);
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

/* Removes the entries of a folder whose names begin with prefix and end with suffix. */
static void remove_matching(const char *folder, const char *prefix, const char *suffix)
{
    struct folder_entry *entries;
    size_t count;
    if (folder_list(folder, &entries, &count, NULL) != STATUS_OK)
        return;
    for (size_t i = 0; i < count; i++) {
        char path[4096];
        size_t length = strlen(entries[i].name);
        if (strncmp(entries[i].name, prefix, strlen(prefix)) == 0 && length >= strlen(suffix) &&
            strcmp(entries[i].name + length - strlen(suffix), suffix) == 0)
            unlink(join(path, folder, entries[i].name, ""));
    }
    folder_list_free(entries, count);
}

/* Of a finished cache: whatever only the writing needed, also what killed processes left. */
static void remove_leftovers(const struct cache_writer *writer)
{
    static const char *const prefixes[] = {"train-", "val-", "test-", "cache.json."};
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++)
        remove_matching(writer->path, prefixes[i], ".tmp");
    if (!folder_exists(writer->partial))
        return;
    remove_matching(writer->partial, "", "");
    rmdir(writer->partial);
}

static enum status read_manifest(struct cache_manifest *manifest, const char *path, bool published, struct error *err)
{
    arena_release(&manifest->arena);
    *manifest = (struct cache_manifest){0};
    unsigned char *text;
    size_t size;
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

/* Under the lock: compares with the identity that is there, or records this one. */
static enum status agree(struct cache_writer *writer, const struct cache_manifest *identity, struct error *err)
{
    char path[4096];
    enum status status = STATUS_OK;
    bool finished = is_finished(writer);
    join(path, writer->partial, "identity.json", "");
    if (!finished && !file_exists(path))
        TRY(publish_json(path, manifest_to_json(identity, false), err));
    TRY(read_manifest(&writer->manifest, finished ? writer->final : path, finished, err));
    TRY(manifest_compare(&writer->manifest, identity, writer->path, err));
cleanup:
    if (finished)
        remove_leftovers(writer);
    return status;
}

enum status cache_writer_open(struct cache_writer **out, const char *path, const struct cache_manifest *identity,
                              struct error *err)
{
    enum status status = STATUS_OK;
    char lock_path[4096];
    int lock = -1;
    struct cache_writer *writer = calloc(1, sizeof *writer);
    *out = NULL;
    if (!writer)
        return error_no_memory(err, sizeof *writer, "a cache writer");
    writer->lock = -1;
    writer->path = strdup(path);
    writer->partial = path_join(path, "partial");
    writer->final = path_join(path, "cache.json");
    if (!writer->path || !writer->partial || !writer->final) {
        status = error_no_memory(err, strlen(path), "a path");
        goto cleanup;
    }
    TRY(folder_make(path, err));
    TRY(take_lock(writer, join(lock_path, writer->partial, "lock", ""), 500, &lock, err));
    TRY(agree(writer, identity, err));
    *out = writer;
    writer = NULL;
cleanup:
    file_unlock(lock);
    cache_writer_close(writer);
    return status;
}

void cache_writer_close(struct cache_writer *writer)
{
    if (!writer)
        return;
    cache_writer_unclaim(writer);
    free(writer->path);
    free(writer->partial);
    free(writer->final);
    arena_release(&writer->manifest.arena);
    free(writer);
}

void cache_writer_unclaim(struct cache_writer *writer)
{
    file_unlock(writer->lock);
    writer->lock = -1;
}

/* Reads the record of a published shard into its entry; false when there is none, or a broken one. */
static bool read_record(const struct cache_writer *writer, enum split split, int shard, struct cache_shard_entry *entry)
{
    char path[4096], stem[32];
    unsigned char *text;
    size_t size;
    shard_stem(stem, split, shard);
    join(path, writer->partial, stem, ".json");
    if (file_read(path, MANIFEST_LIMIT, &text, &size, NULL) != STATUS_OK)
        return false;
    bool whole = manifest_record_parse(entry, (const char *)text, size, path, NULL) == STATUS_OK;
    free(text);
    return whole;
}

static bool is_whole(const struct cache_writer *writer, const struct cache_shard_entry *entry)
{
    char path[4096], digest[DIGEST_HEX_SIZE];
    size_t size;
    return digest_file(join(path, writer->path, entry->file, ""), digest, &size, NULL) == STATUS_OK &&
           size == entry->bytes && strcmp(digest, entry->digest) == 0;
}

static enum status publish_record(const struct cache_writer *writer, enum split split, int shard, struct error *err)
{
    char path[4096], stem[32];
    shard_stem(stem, split, shard);
    join(path, writer->partial, stem, ".json");
    return publish_json(path, manifest_shard_to_json(&writer->manifest.splits[split].shards[shard], true), err);
}

/* A finished cache with a broken shard becomes unfinished again: identity and records as they were before publication.
 */
static enum status reopen(struct cache_writer *writer, struct error *err)
{
    enum status status = STATUS_OK;
    char path[4096];
    int lock = -1;
    TRY(take_lock(writer, join(path, writer->partial, "lock", ""), 500, &lock, err));
    if (!is_finished(writer))
        goto cleanup;
    TRY(publish_json(join(path, writer->partial, "identity.json", ""), manifest_to_json(&writer->manifest, false),
                     err));
    for (int s = 0; s < SPLIT_COUNT; s++)
        for (int i = 0; i < writer->manifest.splits[s].shard_count; i++)
            TRY(publish_record(writer, (enum split)s, i, err));
    if (unlink(writer->final) != 0)
        status = error_set(err, STATUS_IO, writer->final, "cannot be removed");
cleanup:
    file_unlock(lock);
    return status;
}

enum status cache_writer_claim(struct cache_writer *writer, enum split split, int shard, enum cache_claim *claim,
                               struct error *err)
{
    struct cache_shard_entry *entry = &writer->manifest.splits[split].shards[shard];
    enum status status = STATUS_OK;
    char path[4096], stem[32];
    struct error busy = {0};
    cache_writer_unclaim(writer);
    *claim = CACHE_DONE;
    if (is_finished(writer)) {
        if (entry->bytes == 0) /* finished meanwhile by others: its manifest tells this shard's digest */
            TRY(read_manifest(&writer->manifest, writer->final, true, err));
        if (is_whole(writer, &writer->manifest.splits[split].shards[shard]))
            return STATUS_OK;
        TRY(reopen(writer, err));
    }
    entry = &writer->manifest.splits[split].shards[shard];
    shard_stem(stem, split, shard);
    status = take_lock(writer, join(path, writer->partial, stem, ".lock"), 1, &writer->lock, &busy);
    if (status == STATUS_LOCKED) {
        *claim = CACHE_BUSY;
        return STATUS_OK;
    }
    if (status != STATUS_OK)
        return error_set(err, busy.code, busy.path, "%s", busy.message);
    if (read_record(writer, split, shard, entry) && is_whole(writer, entry)) {
        cache_writer_unclaim(writer);
        return STATUS_OK;
    }
    unlink(join(path, writer->partial, stem, ".json"));
    unlink(join(path, writer->path, entry->file, ""));
    strcat(stem, ".h5.");
    remove_matching(writer->path, stem, ".tmp");
    writer->split = split;
    writer->shard = shard;
    *claim = CACHE_CLAIMED;
cleanup:
    return status;
}

/* Labelled views, and those whose largest stored logit (ties: the smaller class) is the label's. */
static void count_correct(const struct cache_manifest *manifest, const struct cache_shard *shard,
                          struct cache_shard_entry *entry, float *logits)
{
    entry->labelled = entry->correct = 0;
    if (!cache_has_teacher(manifest))
        return;
    for (uint32_t i = 0; i < shard->count; i++) {
        if (shard->labels[i] < 0)
            continue;
        for (int v = 0; v < shard->views; v++) {
            int best = 0;
            cache_logits(manifest, shard, i, v, logits);
            for (int c = 1; c < manifest->class_count; c++)
                best = logits[c] > logits[best] ? c : best;
            entry->labelled++;
            entry->correct += best == shard->labels[i];
        }
    }
}

enum status cache_writer_put(struct cache_writer *writer, const struct cache_shard *content, struct error *err)
{
    struct cache_shard_entry *entry = &writer->manifest.splits[writer->split].shards[writer->shard];
    enum status status = STATUS_OK;
    unsigned char *bytes = NULL;
    size_t size;
    char path[4096];
    float *logits = malloc((size_t)writer->manifest.class_count * sizeof *logits);
    if (!logits) {
        status = error_no_memory(err, (size_t)writer->manifest.class_count * sizeof *logits, "logits");
        goto cleanup;
    }
    if (writer->lock < 0 || content->split != writer->split || content->first != entry->first ||
        content->count != entry->count) {
        status = error_set(err, STATUS_INTERNAL, entry->file, "is not the shard that was claimed");
        goto cleanup;
    }
    TRY(shard_build(&writer->manifest, content, &bytes, &size, &entry->image_bytes, err));
    entry->bytes = size;
    digest_bytes(bytes, size, entry->digest);
    count_correct(&writer->manifest, content, entry, logits);
    TRY(file_publish(join(path, writer->path, entry->file, ""), bytes, size, err));
    TRY(publish_record(writer, writer->split, writer->shard, err));
cleanup:
    free(logits);
    free(bytes);
    cache_writer_unclaim(writer);
    return status;
}

enum status cache_writer_publish(struct cache_writer *writer, int *missing, struct error *err)
{
    enum status status = STATUS_OK;
    char path[4096];
    int lock = -1;
    *missing = 0;
    TRY(take_lock(writer, join(path, writer->partial, "lock", ""), 500, &lock, err));
    if (!is_finished(writer)) {
        for (int s = 0; s < SPLIT_COUNT; s++) {
            struct cache_split *split = &writer->manifest.splits[s];
            for (int i = 0; i < split->shard_count; i++)
                *missing += !read_record(writer, (enum split)s, i, &split->shards[i]) ||
                            !file_exists(join(path, writer->path, split->shards[i].file, ""));
        }
        if (*missing > 0)
            goto cleanup;
        TRY(publish_json(writer->final, manifest_to_json(&writer->manifest, true), err));
    }
    remove_leftovers(writer);
cleanup:
    file_unlock(lock);
    return status;
}
