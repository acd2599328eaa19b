/* A pool of threads that runs numbered tasks. Which thread runs a task varies, and results must not depend on it: write
 * one result per task, or one partial sum per task, and add them up in the order of the tasks. */
#ifndef SHARED_BASE_THREADS_H
#define SHARED_BASE_THREADS_H

#include "shared/base/error.h"

struct thread_pool;

/* threads: 0 means the number of processors that this process may use. The calling thread is one of the workers. */
enum status thread_pool_new(struct thread_pool **out, int threads, struct error *err);
void thread_pool_free(struct thread_pool *pool); /* NULL is allowed */
int thread_pool_size(const struct thread_pool *pool);

/* Runs task(context, index, worker) for every index in [0, count) and returns when all are done.
 * worker is in [0, thread_pool_size): use it to choose scratch memory. Calls must not nest, and only one thread may
 * call at a time. pool may be NULL: then the caller runs everything as worker 0. */
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
