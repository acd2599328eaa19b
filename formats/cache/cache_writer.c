/* Writes a cache, by any number of processes at once; cache_partial.h lists the files they use for that. */
#define _POSIX_C_SOURCE 200809L
#include "formats/cache/cache.h"

#include "formats/cache/cache_partial.h"
#include "formats/cache/manifest.h"
#include "formats/cache/shard_table.h"
#include "shared/base/digest.h"
#include "shared/base/files.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LOCK_TRIES = 500 }; /* 10 s; the lock is held for milliseconds */

struct cache_writer {
    struct cache_partial partial;
    const struct cache_manifest *identity; /* borrowed; never changes */
    int format_version;                    /* of the cache: an older one is finished and repaired as it was begun */
    pthread_mutex_t mutex;                 /* protects the manifest */
    struct cache_manifest manifest;        /* the recorded identity, with what is known about shards */
};

/* Compares with the recorded identity, or records this one if there is none. The caller holds the lock. */
static enum status agree(struct cache_writer *writer, const struct cache_manifest *identity, struct error *err)
{
    const struct cache_partial *partial = &writer->partial;
    enum status status = STATUS_OK;
    bool finished = false, there;
    TRY(cache_partial_is_finished(partial, &finished, err));
    TRY(cache_partial_read(partial, &writer->manifest, finished, &there, err));
    if (!there) {
        TRY(cache_partial_write(partial, identity, false, err));
        TRY(cache_partial_read(partial, &writer->manifest, false, NULL, err));
    }
    TRY(manifest_compare(&writer->manifest, identity, partial->out.path, err));
    writer->format_version = writer->manifest.format_version;
    if (!finished)
        TRY(cache_partial_check_shards(partial, identity, err));
cleanup:
    if (finished) {
        enum status removed = cache_partial_remove(partial, err);
        status = status == STATUS_OK ? removed : status;
    }
    return status;
}

enum status cache_writer_open(struct cache_writer **out, const char *path, const struct cache_manifest *identity,
                              struct error *err)
{
    enum status status = STATUS_OK;
    int lock = -1;
    struct cache_writer *writer = calloc(1, sizeof *writer);
    *out = NULL;
    if (!writer)
        return error_no_memory(err, sizeof *writer, "a cache writer");
    writer->partial.out.descriptor = -1;
    pthread_mutex_init(&writer->mutex, NULL);
    writer->identity = identity;
    shard_build_prepare();
    TRY(cache_partial_open(&writer->partial, path, err));
    TRY(cache_partial_lock(&writer->partial, "lock", LOCK_TRIES, &lock, err));
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
    cache_partial_release(&writer->partial);
    arena_release(&writer->manifest.arena);
    pthread_mutex_destroy(&writer->mutex);
    free(writer);
}

void cache_writer_unclaim(struct cache_claim *claim)
{
    if (claim->state == CACHE_CLAIMED)
        file_unlock(claim->lock);
    *claim = (struct cache_claim){0};
}

/* Makes a finished cache with a broken shard unfinished again: restores identity and records as before publication, but
 * leaves nothing of that shard, so that nobody counts it before whoever claims it has replaced it. *whole: another
 * process has replaced it meanwhile, and has finished the cache. */
static enum status reopen(struct cache_writer *writer, enum split split, int shard, bool *whole, struct error *err)
{
    enum status status = STATUS_OK;
    bool finished;
    int lock = -1;
    TRY(cache_partial_lock(&writer->partial, "lock", LOCK_TRIES, &lock, err));
    TRY(cache_partial_is_finished(&writer->partial, &finished, err));
    if (!finished)
        goto cleanup;
    TRY(cache_partial_read(&writer->partial, &writer->manifest, true, NULL, err));
    const struct cache_shard_entry *broken = &writer->manifest.splits[split].shards[shard];
    TRY(cache_partial_is_whole(&writer->partial, broken, whole, err));
    if (*whole)
        goto cleanup;
    TRY(cache_partial_write(&writer->partial, &writer->manifest, false, err));
    for (int s = 0; s < SPLIT_COUNT; s++)
        for (int i = 0; i < writer->manifest.splits[s].shard_count; i++)
            if (&writer->manifest.splits[s].shards[i] != broken)
                TRY(cache_partial_record_write(&writer->partial, &writer->manifest.splits[s].shards[i], err));
    TRY(cache_partial_discard(&writer->partial, broken, err));
    TRY(cache_partial_unpublish(&writer->partial, err));
cleanup:
    file_unlock(lock);
    return status;
}

/* *whole: the cache is finished and this shard is as its manifest says. If it is broken, reopens the cache. */
static enum status check_finished(struct cache_writer *writer, enum split split, int shard, bool *whole,
                                  struct error *err)
{
    enum status status = STATUS_OK;
    bool finished, there = true;
    *whole = false;
    TRY(cache_partial_is_finished(&writer->partial, &finished, err));
    if (!finished)
        return STATUS_OK;
    if (writer->manifest.splits[split].shards[shard].bytes == 0) /* finished in the meantime by other processes */
        TRY(cache_partial_read(&writer->partial, &writer->manifest, true, &there, err));
    if (!there) /* and reopened by another one: back to what we agreed on */
        return cache_partial_read(&writer->partial, &writer->manifest, false, NULL, err);
    TRY(cache_partial_is_whole(&writer->partial, &writer->manifest.splits[split].shards[shard], whole, err));
    if (!*whole)
        TRY(reopen(writer, split, shard, whole, err));
cleanup:
    return status;
}

/* *whole: the shard is published and as recorded. Otherwise removes what is left of it. The caller has its lock. */
static enum status look_at_shard(struct cache_writer *writer, enum split split, int shard, bool *whole,
                                 struct error *err)
{
    struct cache_shard_entry *entry = &writer->manifest.splits[split].shards[shard];
    enum status status = STATUS_OK;
    /* Records are removed only after cache.json was written: so if there is no record, look for cache.json again. */
    TRY(cache_partial_record_read(&writer->partial, entry, whole, err));
    if (*whole)
        TRY(cache_partial_is_whole(&writer->partial, entry, whole, err));
    if (!*whole)
        TRY(check_finished(writer, split, shard, whole, err));
    if (!*whole)
        TRY(cache_partial_discard(&writer->partial, &writer->manifest.splits[split].shards[shard], err));
cleanup:
    return status;
}

enum status cache_writer_claim(struct cache_writer *writer, enum split split, int shard, struct cache_claim *claim,
                               struct error *err)
{
    enum status status = STATUS_OK;
    struct error failed = {0};
    char name[32];
    bool whole;
    int lock = -1;
    *claim = (struct cache_claim){.state = CACHE_DONE, .split = split, .shard = shard};
    pthread_mutex_lock(&writer->mutex);
    TRY(check_finished(writer, split, shard, &whole, err));
    if (whole)
        goto cleanup;
    const char *file = writer->manifest.splits[split].shards[shard].file;
    snprintf(name, sizeof name, "%.*s.lock", (int)strcspn(file, "."), file);
    status = cache_partial_lock(&writer->partial, name, 1, &lock, &failed);
    if (status == STATUS_LOCKED) {
        claim->state = CACHE_BUSY;
        status = STATUS_OK;
        goto cleanup;
    }
    if (status != STATUS_OK) {
        error_set(err, failed.code, failed.path, "%s", failed.message);
        goto cleanup;
    }
    TRY(look_at_shard(writer, split, shard, &whole, err));
    if (!whole) {
        claim->state = CACHE_CLAIMED;
        claim->lock = lock;
        lock = -1;
    }
cleanup:
    pthread_mutex_unlock(&writer->mutex);
    file_unlock(lock);
    if (status != STATUS_OK)
        *claim = (struct cache_claim){0};
    return status;
}

enum status cache_writer_put(struct cache_writer *writer, struct cache_claim *claim, const struct cache_shard *content,
                             struct thread_pool *pool, struct error *err)
{
    enum status status = STATUS_OK;
    unsigned char *bytes = NULL;
    size_t size;
    struct cache_shard_entry entry = writer->identity->splits[claim->split].shards[claim->shard];
    struct cache_manifest form = *writer->identity;
    form.format_version = writer->format_version;
    if (claim->state != CACHE_CLAIMED || content->split != claim->split || content->first != entry.first ||
        content->count != entry.count)
        FAIL(error_set(err, STATUS_INTERNAL, entry.file, "is not the shard that was claimed"));
    TRY(shard_build(&form, content, pool, &bytes, &size, &entry.image_bytes, err));
    entry.bytes = size;
    digest_bytes(bytes, size, entry.digest);
    TRY(cache_teaching_count(writer->identity, content, &entry, err));
    TRY(shard_check_bytes(&form, content, &entry, bytes, size, err));
    TRY(folder_publish(&writer->partial.out, entry.file, bytes, size, err));
    TRY(cache_partial_record_write(&writer->partial, &entry, err));
    pthread_mutex_lock(&writer->mutex);
    entry.file = writer->manifest.splits[claim->split].shards[claim->shard].file;
    writer->manifest.splits[claim->split].shards[claim->shard] = entry;
    pthread_mutex_unlock(&writer->mutex);
cleanup:
    free(bytes);
    cache_writer_unclaim(claim);
    return status;
}

/* The list in identity.json: another process may have joined since we read it. The caller has `lock`, and the mutex. */
static enum status read_kernels(struct cache_writer *writer, struct error *err)
{
    enum status status = STATUS_OK;
    struct cache_manifest now = {0}, *manifest = &writer->manifest;
    TRY(cache_partial_read(&writer->partial, &now, false, NULL, err));
    for (int i = manifest->kernel_count; i < now.kernel_count; i++) {
        manifest->kernels[i] = arena_strdup(&manifest->arena, now.kernels[i]);
        if (!manifest->kernels[i])
            FAIL(error_no_memory(err, strlen(now.kernels[i]), "a manifest"));
        manifest->kernel_count = i + 1;
    }
cleanup:
    arena_release(&now.arena);
    return status;
}

/* Adds to the list. */
static enum status add_kernels(struct cache_writer *writer, const char *kernels, struct error *err)
{
    struct cache_manifest *manifest = &writer->manifest;
    if (manifest->kernel_count == CACHE_MAX_KERNELS)
        return error_set(err, STATUS_CONFIG, writer->partial.out.path, "was computed on more than %d kinds of machines",
                         CACHE_MAX_KERNELS);
    manifest->kernels[manifest->kernel_count] = arena_strdup(&manifest->arena, kernels);
    if (!manifest->kernels[manifest->kernel_count])
        return error_no_memory(err, strlen(kernels), "a manifest");
    manifest->kernel_count++;
    return cache_partial_write(&writer->partial, manifest, false, err);
}

enum status cache_writer_join(struct cache_writer *writer, const char *kernels, bool mix, struct error *err)
{
    enum status status = STATUS_OK;
    int lock = -1;
    if (writer->format_version < SHARD_TABLE_VERSION)
        return STATUS_OK;
    pthread_mutex_lock(&writer->mutex);
    TRY(cache_partial_lock(&writer->partial, "lock", LOCK_TRIES, &lock, err));
    TRY(read_kernels(writer, err));
    const struct cache_manifest *manifest = &writer->manifest;
    for (int i = 0; i < manifest->kernel_count; i++)
        if (strcmp(manifest->kernels[i], kernels) == 0)
            goto cleanup;
    if (manifest->kernel_count > 0 && !mix)
        FAIL(
            error_set(err, STATUS_CONFIG, writer->partial.out.path,
                      "has shards that were computed by %s, and here is %s: the teacher's answers differ in their last "
                      "bits. Go on where the others were made; or pass --allow-mixed, and the cache will name both; or "
                      "make it anew with --deterministic, which gives the same bits on every processor with AVX2",
                      manifest->kernels[0], kernels));
    TRY(add_kernels(writer, kernels, err));
cleanup:
    pthread_mutex_unlock(&writer->mutex);
    file_unlock(lock);
    return status;
}

static enum status count_missing(struct cache_writer *writer, int *missing, struct error *err)
{
    enum status status = STATUS_OK;
    *missing = 0;
    for (int s = 0; s < SPLIT_COUNT; s++) {
        struct cache_split *split = &writer->manifest.splits[s];
        for (int i = 0; i < split->shard_count; i++) {
            bool recorded, there = false;
            TRY(cache_partial_record_read(&writer->partial, &split->shards[i], &recorded, err));
            if (recorded)
                TRY(cache_partial_has_shard(&writer->partial, &split->shards[i], &there, err));
            *missing += !there;
        }
    }
cleanup:
    return status;
}

enum status cache_writer_publish(struct cache_writer *writer, int *missing, struct error *err)
{
    enum status status = STATUS_OK;
    bool finished;
    int lock = -1;
    *missing = 0;
    TRY(cache_partial_lock(&writer->partial, "lock", LOCK_TRIES, &lock, err));
    TRY(cache_partial_is_finished(&writer->partial, &finished, err));
    if (!finished) {
        TRY(count_missing(writer, missing, err));
        if (*missing > 0)
            goto cleanup;
        TRY(read_kernels(writer, err));
        TRY(cache_partial_write(&writer->partial, &writer->manifest, true, err));
    }
    TRY(cache_partial_remove(&writer->partial, err));
cleanup:
    file_unlock(lock);
    return status;
}
