/* One shard: from stored images to its content in memory. */
#ifndef TEACHER_DUMP_SHARD_DUMP_H
#define TEACHER_DUMP_SHARD_DUMP_H

#include "shared/base/threads.h"
#include "teacher_dump/dump_job.h"
#include "teacher_dump/view_batch.h"

/* Called after each batch with the views done so far in this shard; returning false interrupts. */
typedef bool (*shard_progress)(void *context, size_t done);

/* Fills *content (the caller releases it, also after an error). STATUS_INTERRUPTED leaves nothing behind. */
enum status shard_dump(const struct dump_job *job, struct view_batch *views, struct thread_pool *pool, enum split split,
                       int shard, shard_progress progress, void *context, struct cache_shard *content,
                       struct error *err);

#endif
