/* Arrays that grow. */
#include "shared/base/memory.h"
#include "tests/helper_images.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

static void grows_by_doubling_and_keeps_items(void **state)
{
    (void)state;
    struct item {
        int32_t number;
        char text[9];
    } *items = NULL;
    size_t capacity = 0, before;
    for (size_t count = 0; count < 1000; count++) {
        before = capacity;
        assert_int_equal(array_grow(&items, sizeof *items, count, &capacity, "items", NULL), STATUS_OK);
        assert_true(count < capacity);
        assert_true(capacity == before || (before == count && (!before || capacity == 2 * before)));
        items[count] = (struct item){.number = (int32_t)count, .text = "something"};
    }
    for (size_t i = 0; i < 1000; i++) {
        assert_int_equal(items[i].number, i);
        assert_memory_equal(items[i].text, "something", 9);
    }
    free(items);
}

/* A size that overflows is an error; array and capacity stay. */
static void reports_what_does_not_fit(void **state)
{
    (void)state;
    char *items = malloc(1), *same = items;
    size_t capacity = SIZE_MAX / 2 + 1;
    struct error err = {0};
    assert_non_null(items);
    assert_int_equal(array_grow(&items, 1, capacity, &capacity, "many items", &err), STATUS_INTERNAL);
    assert_non_null(strstr(err.message, "many items"));
    assert_true(capacity == SIZE_MAX / 2 + 1);
    assert_ptr_equal(items, same);
    capacity = 0;
    assert_int_equal(array_grow(&items, SIZE_MAX / 8, 0, &capacity, "large items", NULL), STATUS_INTERNAL);
    assert_int_equal(capacity, 0);
    assert_ptr_equal(items, same);
    free(items);
}

/* Blocks of all sizes are aligned, full of zeros also where memory is used again, and can be written to their end. */
static void blocks_are_aligned_and_zero(void **state)
{
    (void)state;
    for (size_t bytes = 0; bytes < (size_t)5 << 20; bytes = bytes * 5 / 2 + 1)
        for (int again = 0; again < 2; again++) {
            unsigned char *block = NULL;
            assert_int_equal(memory_new((void **)&block, bytes, 1, "a block", NULL), STATUS_OK);
            assert_true((uintptr_t)block % (bytes < (size_t)2 << 20 ? 64 : (size_t)2 << 20) == 0);
            for (size_t i = 0; i < bytes; i++)
                assert_true(block[i] == 0);
            memset(block, 0xa5, bytes);
            memory_free(block);
        }
    memory_free(NULL);
}

/* The limit is on what comes on top, and is gone at its end. */
static void limits_hold_until_their_end(void **state)
{
    (void)state;
    enum { MORE = 64 << 20 };
    struct memory_limit limit;
    void *block = NULL;
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
    print_message("a sanitizer ends the program when memory runs out\n");
    skip();
#endif
    memory_limit_begin(&limit, MORE);
    if (!limit.held)
        skip(); /* not on this system */
    assert_int_equal(memory_new(&block, 2 * (size_t)MORE, 1, "a large block", NULL), STATUS_INTERNAL);
    assert_int_equal(memory_new(&block, MORE / 2, 1, "a block", NULL), STATUS_OK);
    memory_free(block);
    memory_limit_end(&limit);
    assert_int_equal(memory_new(&block, 2 * (size_t)MORE, 1, "a large block", NULL), STATUS_OK);
    memory_free(block);
}

/* The files of a machine with 8 GB and two control groups, of both versions. */
static size_t available(const char *group, const char *const files[][2])
{
    static const char meminfo[] = "MemFree: 1 kB\nMemAvailable:    8000000 kB\n";
    char *root = temporary_folder();
    write_file(root, "proc/meminfo", meminfo, sizeof meminfo - 1);
    write_file(root, "proc/self/cgroup", group, strlen(group));
    for (int i = 0; files[i][0]; i++)
        write_file(root, files[i][0], files[i][1], strlen(files[i][1]));
    const size_t bytes = memory_available_under(root);
    remove_folder(root);
    free(root);
    return bytes;
}

static void what_a_container_or_a_job_may_take_counts(void **state)
{
    (void)state;
    static const char *const nothing[][2] = {{NULL}};
    assert_int_equal(available("0::/\n", nothing), (size_t)8000000 * 1024);
    /* the job's own limit, with what it has taken; pages of files give way, read once or more often */
    static const char *const job[][2] = {
        {"sys/fs/cgroup/jobs/job_1/memory.max", "4000000\n"},
        {"sys/fs/cgroup/jobs/job_1/memory.current", "3000000\n"},
        {"sys/fs/cgroup/jobs/job_1/memory.stat", "anon 9\ninactive_file 500000\nactive_file 300000\n"},
        {NULL}};
    assert_int_equal(available("0::/jobs/job_1\n", job), 1800000);
    assert_int_equal(available("0::/jobs/job_1/step_0\n", job), 1800000); /* the limit of a group further up */
    assert_int_equal(available("0::/other\n", job), (size_t)8000000 * 1024);
    /* the smallest of several; one that says "max" */
    static const char *const nested[][2] = {{"sys/fs/cgroup/a/memory.max", "1000\n"},
                                            {"sys/fs/cgroup/a/memory.current", "2000\n"},
                                            {"sys/fs/cgroup/a/b/memory.max", "max\n"},
                                            {"sys/fs/cgroup/a/b/memory.current", "5\n"},
                                            {NULL}};
    assert_int_equal(available("0::/a/b\n", nested), 0);
    /* more pages than the group has taken when it is looked at a moment later */
    static const char *const read_much[][2] = {{"sys/fs/cgroup/a/memory.max", "4000\n"},
                                               {"sys/fs/cgroup/a/memory.current", "2000\n"},
                                               {"sys/fs/cgroup/a/memory.stat", "inactive_file 900\nactive_file 1200\n"},
                                               {NULL}};
    assert_int_equal(available("0::/a\n", read_much), 4000);
    /* version 1; a container that sees its own group as the root, under another name */
    static const char *const old[][2] = {
        {"sys/fs/cgroup/memory/memory.limit_in_bytes", "700000\n"},
        {"sys/fs/cgroup/memory/memory.usage_in_bytes", "300000\n"},
        {"sys/fs/cgroup/memory/memory.stat", "total_inactive_file 100000\ntotal_active_file 50000\n"},
        {NULL}};
    assert_int_equal(available("3:cpu,cpuacct:/\n4:memory:/docker/0123\n0::/\n", old), 550000);
}

static void a_limit_of_the_process_counts(void **state)
{
    (void)state;
    struct rlimit before, limit;
    assert_int_equal(getrlimit(RLIMIT_DATA, &before), 0);
    limit = before;
    limit.rlim_cur = memory_used() + (64 << 20);
    assert_int_equal(setrlimit(RLIMIT_DATA, &limit), 0);
    const size_t left = memory_available();
    assert_int_equal(setrlimit(RLIMIT_DATA, &before), 0);
    assert_in_range(left, 60 << 20, 64 << 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grows_by_doubling_and_keeps_items),
        cmocka_unit_test(reports_what_does_not_fit),
        cmocka_unit_test(blocks_are_aligned_and_zero),
        cmocka_unit_test(limits_hold_until_their_end),
        cmocka_unit_test(what_a_container_or_a_job_may_take_counts),
        cmocka_unit_test(a_limit_of_the_process_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
