/* One shard: from stored images to its content in memory. */
#ifndef TEACHER_DUMP_SHARD_DUMP_H
#define TEACHER_DUMP_SHARD_DUMP_H

#include "shared/base/threads.h"
#include "teacher_dump/dump_job.h"
#include "teacher_dump/partner_images.h"
#include "teacher_dump/view_batch.h"

/* What all shards of a run share. All pointers are borrowed. */
struct shard_work {
    const struct dump_job *job;
    struct view_batch *views;
    struct partner_images *partners; /* NULL if the recipe mixes nothing */
    struct thread_pool *pool;        /* decodes and stores while the device computes */
    /* Called after each batch with the number of views done so far in this shard; return false to interrupt. */
    bool (*progress)(void *context, size_t done);
    void *context;
};

/* Fills *content (the caller releases it, also after an error). STATUS_INTERRUPTED leaves nothing behind. */
enum status shard_dump(const struct shard_work *work, enum split split, int shard, struct cache_shard *content,
                       struct error *err);

#endif
