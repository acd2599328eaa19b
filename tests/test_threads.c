/* Tasks on threads: all of them run once, and the error that is reported does not depend on the threads. */
#include "shared/base/threads.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { TASKS = 200 };

struct job {
    atomic_int runs[TASKS];
    int failing[4], failing_count; /* tasks that fail */
    int slow;                      /* a task that takes long */
};

static enum status task(void *context, int index, int worker, struct error *err)
{
    struct job *job = context;
    (void)worker;
    atomic_fetch_add(&job->runs[index], 1);
    if (index == job->slow)
        nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    for (int i = 0; i < job->failing_count; i++)
        if (job->failing[i] == index) {
            char path[32];
            snprintf(path, sizeof path, "file %d", index);
            return error_set(err, index % 2 ? STATUS_BAD_DATA : STATUS_NO_INPUT, path, "task %d failed", index);
        }
    return STATUS_OK;
}

static void tasks_that_succeed_run_once(void **state)
{
    (void)state;
    for (int threads = 0; threads <= 8; threads++) {
        struct job job = {.slow = -1};
        struct error err = {0};
        struct thread_pool *pool = NULL;
        if (threads)
            assert_int_equal(thread_pool_new(&pool, threads, NULL), STATUS_OK);
        assert_int_equal(thread_pool_try(pool, TASKS, task, &job, &err), STATUS_OK);
        assert_int_equal(err.code, STATUS_OK);
        for (int i = 0; i < TASKS; i++)
            assert_int_equal(atomic_load(&job.runs[i]), 1);
        assert_int_equal(thread_pool_try(pool, 0, task, &job, &err), STATUS_OK);
        thread_pool_free(pool);
    }
}

/* Also where the first task that fails takes longest: the error is its own, and every task before it was run. */
static void the_first_task_in_order_reports_its_error(void **state)
{
    static const struct job jobs[] = {
        {.failing = {TASKS - 1, 17, 3, 90}, .failing_count = 4, .slow = 3},
        {.failing = {4, 5, 6, 7}, .failing_count = 4, .slow = 4},
        {.failing = {0, TASKS - 1}, .failing_count = 2, .slow = -1},
        {.failing = {TASKS - 1}, .failing_count = 1, .slow = -1},
    };
    static const int firsts[] = {3, 4, 0, TASKS - 1};
    (void)state;
    for (int threads = 0; threads <= 8; threads++) {
        struct thread_pool *pool = NULL;
        if (threads)
            assert_int_equal(thread_pool_new(&pool, threads, NULL), STATUS_OK);
        for (size_t k = 0; k < sizeof jobs / sizeof *jobs; k++)
            for (int repeat = 0; repeat < 5; repeat++) {
                struct job job = {.failing_count = jobs[k].failing_count, .slow = jobs[k].slow};
                struct error err = {0};
                char path[32], message[32];
                const int first = firsts[k];
                memcpy(job.failing, jobs[k].failing, sizeof job.failing);
                snprintf(path, sizeof path, "file %d", first);
                snprintf(message, sizeof message, "task %d failed", first);
                assert_int_equal(thread_pool_try(pool, TASKS, task, &job, &err),
                                 first % 2 ? STATUS_BAD_DATA : STATUS_NO_INPUT);
                assert_int_equal(err.code, first % 2 ? STATUS_BAD_DATA : STATUS_NO_INPUT);
                assert_string_equal(err.path, path);
                assert_string_equal(err.message, message);
                for (int i = 0; i <= first; i++)
                    assert_int_equal(atomic_load(&job.runs[i]), 1);
                for (int i = first + 1; i < TASKS; i++)
                    assert_in_range(atomic_load(&job.runs[i]), 0, 1);
                assert_int_equal(thread_pool_try(pool, TASKS, task, &job, NULL),
                                 first % 2 ? STATUS_BAD_DATA : STATUS_NO_INPUT);
            }
        thread_pool_free(pool);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tasks_that_succeed_run_once),
        cmocka_unit_test(the_first_task_in_order_reports_its_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
