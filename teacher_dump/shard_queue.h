/* Finished shards on their way to the disk: one thread compresses, hashes and publishes a shard while the next one is
 * computed. Two shards are in memory at most: handing one over waits until the one before is published. */
#ifndef TEACHER_DUMP_SHARD_QUEUE_H
#define TEACHER_DUMP_SHARD_QUEUE_H

#include "formats/cache/cache.h"

struct shard_queue;

/* writer: borrowed until shard_queue_free. threads: that compress, 0 means all processors. */
enum status shard_queue_new(struct shard_queue **out, struct cache_writer *writer, int threads, struct error *err);
/* Takes a claim and its content, also when it fails: *claim and *content are zeroed. Returns the error of a shard
 * before this one, if there was one; then this one is not written. */
enum status shard_queue_put(struct shard_queue *queue, struct cache_claim *claim, struct cache_shard *content,
                            struct error *err);
/* Waits until everything is published; returns the error of what could not be. */
enum status shard_queue_finish(struct shard_queue *queue, struct error *err);
void shard_queue_free(struct shard_queue *queue); /* after what it has in hand; NULL is legal */

#endif
