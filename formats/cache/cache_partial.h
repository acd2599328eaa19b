/* The files of an unfinished cache (FORMAT.md, "While it is being written"); for formats/cache/cache_writer.c only.
 *
 * While a cache is unfinished, the folder `partial` in it holds
 *   identity.json      the manifest without the fields of published shards: what every process must agree on
 *   train-00000.json   the record (size, digest, ...) of a published shard, written after the shard
 *   train-00000.lock   made before the shard's file, held by the process that works on it
 *   lock               held while identity.json or cache.json is read and written
 * A shard without its record does not count. cache.json is written last; then `partial` is removed.
 *
 * Only what a writer of ours made there is ever replaced or removed: a new cache needs an empty folder, `partial` must
 * be a folder with these names and nothing else, and a shard's file counts as ours if its lock or record exists. Links
 * are not followed. */
#ifndef FORMATS_CACHE_CACHE_PARTIAL_H
#define FORMATS_CACHE_CACHE_PARTIAL_H

#include "formats/cache/cache.h"
#include "shared/base/folder.h"

struct cache_partial {
    struct open_folder out; /* the cache's folder */
};

enum { CACHE_RECORD_NAME_SIZE = 64 };

/* Makes the folder if it is missing, opens it, and checks that everything in the way is ours: STATUS_CANT_CREATE lists
 * what is not. */
enum status cache_partial_open(struct cache_partial *partial, const char *path, struct error *err);
void cache_partial_release(struct cache_partial *partial); /* accepts a closed one */

/* *finished: there is a cache.json. */
enum status cache_partial_is_finished(const struct cache_partial *partial, bool *finished, struct error *err);
/* Takes the lock of this name in `partial`, which is created if it is missing. While another process has the lock,
 * waits up to `tries` times 20 ms. STATUS_LOCKED, STATUS_CANT_CREATE. */
enum status cache_partial_lock(const struct cache_partial *partial, const char *name, int tries, int *descriptor,
                               struct error *err);

/* Reads cache.json (published) or identity.json into a manifest, whose arena is released first; writes it.
 * *there (may be NULL: then it must be there): false if there is no such file. */
enum status cache_partial_read(const struct cache_partial *partial, struct cache_manifest *manifest, bool published,
                               bool *there, struct error *err);
enum status cache_partial_write(const struct cache_partial *partial, const struct cache_manifest *manifest,
                                bool published, struct error *err);
enum status cache_partial_unpublish(const struct cache_partial *partial, struct error *err);

/* Opens `partial`; make: creates it. *there: false if it does not exist, also if another process has just removed it.
 */
enum status cache_partial_enter(const struct cache_partial *partial, bool make, struct open_folder *work,
                                struct error *err);
enum status cache_partial_enter_if_there(const struct cache_partial *partial, struct open_folder *work, bool *there,
                                         struct error *err);
/* STATUS_CANT_CREATE with the names that are not ours. */
enum status cache_partial_refuse(const struct open_folder *folder, struct folder_names *foreign, struct error *err);

/* ---- cache_records.c ---- */
/* Records. *there: false if there is none, or it is damaged or another shard's. */
enum status cache_partial_record_read(const struct cache_partial *partial, struct cache_shard_entry *entry, bool *there,
                                      struct error *err);
enum status cache_partial_record_write(const struct cache_partial *partial, const struct cache_shard_entry *entry,
                                       struct error *err);
/* *whole: the shard's file is there and has its entry's size and digest. */
enum status cache_partial_is_whole(const struct cache_partial *partial, const struct cache_shard_entry *entry,
                                   bool *whole, struct error *err);
/* *there: there is a file of this name. */
enum status cache_partial_has_shard(const struct cache_partial *partial, const struct cache_shard_entry *entry,
                                    bool *there, struct error *err);
/* Refuses shard files that are neither recorded nor locked. The caller has `lock`, and the cache is unfinished. */
enum status cache_partial_check_shards(const struct cache_partial *partial, const struct cache_manifest *manifest,
                                       struct error *err);
/* Removes a shard's file, its record and what a killed writer left. The caller has the shard's lock. */
enum status cache_partial_discard(const struct cache_partial *partial, const struct cache_shard_entry *entry,
                                  struct error *err);

/* For a finished cache: removes everything that only writing needed, also what killed processes left. STATUS_IO. */
enum status cache_partial_remove(const struct cache_partial *partial, struct error *err);

#endif
