/* Finished shards on their way to the disk: one thread compresses, hashes and publishes a shard while the next one is
 * computed. Two shards are in memory at most: shard_queue_put waits until the previous one is published. */
#ifndef TEACHER_DUMP_SHARD_QUEUE_H
#define TEACHER_DUMP_SHARD_QUEUE_H

#include "formats/cache/cache.h"

struct shard_queue;

/* writer: borrowed until shard_queue_free. threads: how many compress; 0 means all processors. */
enum status shard_queue_new(struct shard_queue **out, struct cache_writer *writer, int threads, struct error *err);
/* Takes over a claim and its content, also on failure: *claim and *content are zeroed. If an earlier shard could not be
 * written, returns its error and does not write this one. */
enum status shard_queue_put(struct shard_queue *queue, struct cache_claim *claim, struct cache_shard *content,
                            struct error *err);
/* Waits until everything is published; returns the error of a shard that could not be written. */
enum status shard_queue_finish(struct shard_queue *queue, struct error *err);
void shard_queue_free(struct shard_queue *queue); /* finishes the shard being written; NULL is allowed */

#endif
