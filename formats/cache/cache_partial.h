/* The files of an unfinished cache (FORMAT.md, "While it is being written"); for formats/cache/cache_writer.c only.
 *
 * While a cache is unfinished, the folder `partial` in it holds
 *   identity.json      the manifest without the fields of published shards: what every process must agree on
 *   train-00000.json   the record (size, digest, ...) of a published shard, written after the shard
 *   train-00000.lock   the lock of the process that works on that shard
 *   lock               held while identity.json or cache.json is read and written
 * A shard without its record does not count. cache.json is written last; then `partial` is removed. */
#ifndef FORMATS_CACHE_CACHE_PARTIAL_H
#define FORMATS_CACHE_CACHE_PARTIAL_H

#include "formats/cache/cache.h"

struct cache_partial {
    char *path, *folder; /* the cache's folder and `partial` in it */
    char *final;         /* cache.json */
};

enum { CACHE_PATH_SIZE = 4096 };

enum status cache_partial_init(struct cache_partial *partial, const char *path, struct error *err);
void cache_partial_release(struct cache_partial *partial);

/* folder/name in a buffer; a path that is too long is cut, so opening it fails. Returns the buffer. */
const char *cache_partial_path(char buffer[CACHE_PATH_SIZE], const char *folder, const char *name);

bool cache_partial_is_finished(const struct cache_partial *partial);
/* Takes the lock of this name in `partial`, which is created if it is missing. While another process has the lock,
 * waits up to `tries` times 20 ms. STATUS_LOCKED, STATUS_CANT_CREATE. */
enum status cache_partial_lock(const struct cache_partial *partial, const char *name, int tries, int *descriptor,
                               struct error *err);

/* Reads identity.json or cache.json into a manifest, whose arena is released first; writes it. */
enum status cache_partial_read(struct cache_manifest *manifest, const char *path, bool published, struct error *err);
enum status cache_partial_write(const struct cache_manifest *manifest, const char *path, bool published,
                                struct error *err);

/* Records. _read returns false if there is none or it is broken; _whole compares the shard's size and digest. */
bool cache_partial_record_read(const struct cache_partial *partial, struct cache_shard_entry *entry);
enum status cache_partial_record_write(const struct cache_partial *partial, const struct cache_shard_entry *entry,
                                       struct error *err);
bool cache_partial_is_whole(const struct cache_partial *partial, const struct cache_shard_entry *entry);
/* Removes a shard's record, its file and what a killed writer left. The caller has the shard's lock. */
void cache_partial_discard(const struct cache_partial *partial, const struct cache_shard_entry *entry);

/* For a finished cache: removes everything that only writing needed, also what killed processes left. */
void cache_partial_remove(const struct cache_partial *partial);

#endif
