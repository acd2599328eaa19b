#include "teacher_dump/shard_queue.h"

#include <pthread.h>
#include <stdlib.h>

struct shard_queue {
    struct cache_writer *writer;
    struct thread_pool *pool;
    pthread_t thread;
    bool started;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    /* protected by the mutex */
    bool busy, stop; /* busy: the thread owns claim and content */
    struct cache_claim claim;
    struct cache_shard content;
    struct error error; /* of the first shard that failed */
};

static void *write_shards(void *argument)
{
    struct shard_queue *queue = argument;
    pthread_mutex_lock(&queue->mutex);
    for (;;) {
        while (!queue->busy && !queue->stop)
            pthread_cond_wait(&queue->changed, &queue->mutex);
        if (!queue->busy)
            break;
        struct error error = {0};
        pthread_mutex_unlock(&queue->mutex);
        cache_writer_put(queue->writer, &queue->claim, &queue->content, queue->pool, &error);
        cache_shard_release(&queue->content);
        pthread_mutex_lock(&queue->mutex);
        if (queue->error.code == STATUS_OK)
            queue->error = error;
        queue->busy = false;
        pthread_cond_broadcast(&queue->changed);
    }
    pthread_mutex_unlock(&queue->mutex);
    return NULL;
}

enum status shard_queue_new(struct shard_queue **out, struct cache_writer *writer, int threads, struct error *err)
{
    enum status status = STATUS_OK;
    struct shard_queue *queue = calloc(1, sizeof *queue);
    *out = NULL;
    if (!queue)
        return error_no_memory(err, sizeof *queue, "the queue of shards");
    queue->writer = writer;
    pthread_mutex_init(&queue->mutex, NULL);
    pthread_cond_init(&queue->changed, NULL);
    TRY(thread_pool_new(&queue->pool, threads, err));
    if (pthread_create(&queue->thread, NULL, write_shards, queue) != 0)
        FAIL(error_set(err, STATUS_INTERNAL, NULL, "cannot start the thread that writes shards"));
    queue->started = true;
    *out = queue;
    queue = NULL;
cleanup:
    shard_queue_free(queue);
    return status;
}

void shard_queue_free(struct shard_queue *queue)
{
    if (!queue)
        return;
    if (queue->started) {
        pthread_mutex_lock(&queue->mutex);
        queue->stop = true;
        pthread_cond_broadcast(&queue->changed);
        pthread_mutex_unlock(&queue->mutex);
        pthread_join(queue->thread, NULL);
    }
    thread_pool_free(queue->pool);
    pthread_cond_destroy(&queue->changed);
    pthread_mutex_destroy(&queue->mutex);
    free(queue);
}

/* Waits until the thread has nothing to do. The caller holds the mutex. */
static enum status wait_for_thread(struct shard_queue *queue, struct error *err)
{
    while (queue->busy)
        pthread_cond_wait(&queue->changed, &queue->mutex);
    if (queue->error.code == STATUS_OK)
        return STATUS_OK;
    return error_set(err, queue->error.code, queue->error.path, "%s", queue->error.message);
}

enum status shard_queue_put(struct shard_queue *queue, struct cache_claim *claim, struct cache_shard *content,
                            struct error *err)
{
    pthread_mutex_lock(&queue->mutex);
    enum status status = wait_for_thread(queue, err);
    if (status == STATUS_OK) {
        queue->claim = *claim;
        queue->content = *content;
        queue->busy = true;
        *claim = (struct cache_claim){0};
        *content = (struct cache_shard){0};
        pthread_cond_broadcast(&queue->changed);
    }
    pthread_mutex_unlock(&queue->mutex);
    cache_writer_unclaim(claim);
    cache_shard_release(content);
    return status;
}

enum status shard_queue_finish(struct shard_queue *queue, struct error *err)
{
    pthread_mutex_lock(&queue->mutex);
    enum status status = wait_for_thread(queue, err);
    pthread_mutex_unlock(&queue->mutex);
    return status;
}
