/* Arrays that grow. */
#include "shared/base/memory.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

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

/* The limit is on what comes on top, and is gone at its end. */
static void limits_hold_until_their_end(void **state)
{
    (void)state;
    enum { MORE = 64 << 20 };
    struct memory_limit limit;
    void *block = NULL;
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grows_by_doubling_and_keeps_items),
        cmocka_unit_test(reports_what_does_not_fit),
        cmocka_unit_test(limits_hold_until_their_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
