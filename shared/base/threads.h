/* A pool of threads that runs numbered tasks. Which thread runs which task varies; results must not depend on it:
 * write per task, or into per-task partial sums that are added up in task order. */
#ifndef SHARED_BASE_THREADS_H
#define SHARED_BASE_THREADS_H

#include "shared/base/error.h"

struct thread_pool;

/* threads: 0 means the number of processors this process may use. The calling thread is one of them. */
enum status thread_pool_new(struct thread_pool **out, int threads, struct error *err);
void thread_pool_free(struct thread_pool *pool); /* NULL is allowed */
int thread_pool_size(const struct thread_pool *pool);

/* Runs task(context, index, worker) for every index in [0, count) and returns when all are done.
 * worker is in [0, thread_pool_size): use it for scratch memory. Calls must not nest; one caller at a time.
 * pool may be NULL: then everything runs in the caller as worker 0. */
void thread_pool_run(struct thread_pool *pool, int count, void (*task)(void *context, int index, int worker),
                     void *context);

/* thread_pool_run for tasks that can fail: returns the error of the failed task with the smallest index, whatever the
 * threads. Once a task has failed, those with a larger index may be skipped; those with a smaller one are all run. */
enum status thread_pool_try(struct thread_pool *pool, int count,
                            enum status (*task)(void *context, int index, int worker, struct error *err), void *context,
                            struct error *err);

/* Processors this process may run on (sched_getaffinity), at least 1. */
int processor_count(void);

#endif
