#define _GNU_SOURCE
#include "shared/base/threads.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

struct thread_pool {
    pthread_mutex_t mutex;
    pthread_cond_t start, done;
    pthread_t *threads;
    int size;    /* workers, including the caller */
    int started; /* threads created */
    bool stop;
    unsigned generation; /* number of the current run */
    int busy;            /* threads that have not finished the current run */
    void (*task)(void *, int, int);
    void *context;
    int count;
    atomic_int next;
};

struct worker_start {
    struct thread_pool *pool;
    int worker;
};

static void run_tasks(struct thread_pool *pool, int worker)
{
    for (;;) {
        int index = atomic_fetch_add_explicit(&pool->next, 1, memory_order_relaxed);
        if (index >= pool->count)
            return;
        pool->task(pool->context, index, worker);
    }
}

static void *worker_main(void *argument)
{
    struct worker_start *start = argument;
    struct thread_pool *pool = start->pool;
    int worker = start->worker;
    unsigned seen = 0;
    free(start);
    pthread_mutex_lock(&pool->mutex);
    for (;;) {
        while (!pool->stop && pool->generation == seen)
            pthread_cond_wait(&pool->start, &pool->mutex);
        if (pool->stop)
            break;
        seen = pool->generation;
        pthread_mutex_unlock(&pool->mutex);
        run_tasks(pool, worker);
        pthread_mutex_lock(&pool->mutex);
        if (--pool->busy == 0)
            pthread_cond_signal(&pool->done);
    }
    pthread_mutex_unlock(&pool->mutex);
    return NULL;
}

int processor_count(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0)
        return CPU_COUNT(&set);
    return 1;
}

enum status thread_pool_new(struct thread_pool **out, int threads, struct error *err)
{
    *out = NULL;
    struct thread_pool *pool = calloc(1, sizeof *pool);
    if (!pool)
        return error_no_memory(err, sizeof *pool, "thread pool");
    pool->size = threads > 0 ? threads : processor_count();
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->start, NULL);
    pthread_cond_init(&pool->done, NULL);
    pool->threads = calloc((size_t)pool->size, sizeof *pool->threads);
    for (int worker = 1; pool->threads && worker < pool->size; worker++) {
        struct worker_start *start = malloc(sizeof *start);
        if (start)
            *start = (struct worker_start){pool, worker};
        if (!start || pthread_create(&pool->threads[worker], NULL, worker_main, start) != 0) {
            free(start);
            thread_pool_free(pool);
            return error_set(err, STATUS_INTERNAL, NULL, "cannot start thread %d of %d: use a smaller --threads",
                             worker, threads);
        }
        pool->started++;
    }
    if (!pool->threads) {
        thread_pool_free(pool);
        return error_no_memory(err, 0, "thread pool");
    }
    *out = pool;
    return STATUS_OK;
}

void thread_pool_free(struct thread_pool *pool)
{
    if (!pool)
        return;
    pthread_mutex_lock(&pool->mutex);
    pool->stop = true;
    pthread_cond_broadcast(&pool->start);
    pthread_mutex_unlock(&pool->mutex);
    for (int i = 1; i <= pool->started; i++)
        pthread_join(pool->threads[i], NULL);
    pthread_cond_destroy(&pool->start);
    pthread_cond_destroy(&pool->done);
    pthread_mutex_destroy(&pool->mutex);
    free(pool->threads);
    free(pool);
}

int thread_pool_size(const struct thread_pool *pool)
{
    return pool ? pool->size : 1;
}

void thread_pool_run(struct thread_pool *pool, int count, void (*task)(void *, int, int), void *context)
{
    if (!pool || pool->size == 1 || count <= 1) {
        for (int i = 0; i < count; i++)
            task(context, i, 0);
        return;
    }
    pthread_mutex_lock(&pool->mutex);
    pool->task = task;
    pool->context = context;
    pool->count = count;
    atomic_store(&pool->next, 0);
    pool->busy = pool->started;
    pool->generation++;
    pthread_cond_broadcast(&pool->start);
    pthread_mutex_unlock(&pool->mutex);
    run_tasks(pool, 0);
    pthread_mutex_lock(&pool->mutex);
    while (pool->busy > 0)
        pthread_cond_wait(&pool->done, &pool->mutex);
    pthread_mutex_unlock(&pool->mutex);
}

/* Tasks that can fail, and the error of the first of them in order that did. */
struct attempt {
    enum status (*task)(void *, int, int, struct error *);
    void *context;
    atomic_int failed; /* its index; the count of tasks while none has failed */
    pthread_mutex_t mutex;
    enum status status;
    struct error error;
};

static void try_task(void *context, int index, int worker)
{
    struct attempt *attempt = context;
    struct error error = {0};
    if (index > atomic_load(&attempt->failed))
        return;
    const enum status status = attempt->task(attempt->context, index, worker, &error);
    if (status == STATUS_OK)
        return;
    pthread_mutex_lock(&attempt->mutex);
    if (index < atomic_load(&attempt->failed)) {
        attempt->status = status;
        attempt->error = error;
        atomic_store(&attempt->failed, index);
    }
    pthread_mutex_unlock(&attempt->mutex);
}

enum status thread_pool_try(struct thread_pool *pool, int count, enum status (*task)(void *, int, int, struct error *),
                            void *context, struct error *err)
{
    struct attempt attempt = {.task = task, .context = context, .failed = count};
    pthread_mutex_init(&attempt.mutex, NULL);
    thread_pool_run(pool, count, try_task, &attempt);
    pthread_mutex_destroy(&attempt.mutex);
    if (attempt.status != STATUS_OK)
        error_set(err, attempt.status, attempt.error.path, "%s", attempt.error.message);
    return attempt.status;
}
