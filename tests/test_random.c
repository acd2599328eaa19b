#include "shared/base/random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

/* Known answers published with the paper (Random123, kat_vectors: philox4x32 10). */
static void philox_known_answers(void **state)
{
    static const struct {
        uint32_t counter[4], key[2], answer[4];
    } known[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        uint32_t out[4];
        philox4x32(known[i].counter, known[i].key, out);
        assert_memory_equal(out, known[i].answer, sizeof out);
    }
}

static void stream_is_philox_in_order(void **state)
{
    struct random_stream stream;
    (void)state;
    random_stream_init(&stream, 0x123456789abcdef0u, RANDOM_VIEW, 7, 9);
    for (uint32_t block = 0; block < 3; block++) {
        const uint32_t counter[4] = {block, 9, 7, RANDOM_VIEW}, key[2] = {0x9abcdef0, 0x12345678};
        uint32_t out[4];
        philox4x32(counter, key, out);
        for (int i = 0; i < 4; i++)
            assert_int_equal(random_u32(&stream), out[i]);
    }
}

static void streams_differ(void **state)
{
    struct random_stream a, b;
    int same = 0;
    (void)state;
    random_stream_init(&a, 1, RANDOM_VIEW, 0, 1);
    random_stream_init(&b, 1, RANDOM_VIEW, 1, 0);
    for (int i = 0; i < 1000; i++)
        same += random_u32(&a) == random_u32(&b);
    assert_int_equal(same, 0);
}

static void uniform_covers_its_range(void **state)
{
    struct random_stream stream;
    double sum = 0, squares = 0;
    int counts[7] = {0};
    (void)state;
    random_stream_init(&stream, 3, RANDOM_INIT, 0, 0);
    for (int i = 0; i < 70000; i++) {
        float u = random_uniform(&stream);
        assert_true(u >= 0 && u < 1);
        sum += (double)u;
        squares += (double)u * (double)u;
        counts[random_below(&stream, 7)]++;
    }
    assert_true(sum / 70000 > 0.495 && sum / 70000 < 0.505);
    assert_true(squares / 70000 > 0.328 && squares / 70000 < 0.338);
    for (int i = 0; i < 7; i++)
        assert_in_range(counts[i], 9500, 10500);
}

static void shuffle_is_a_permutation(void **state)
{
    struct random_stream stream;
    uint32_t items[1000];
    int seen[1000] = {0}, fixed = 0;
    (void)state;
    for (uint32_t i = 0; i < 1000; i++)
        items[i] = i;
    random_stream_init(&stream, 5, RANDOM_SHUFFLE, 0, 0);
    random_shuffle(&stream, items, 1000);
    for (uint32_t i = 0; i < 1000; i++) {
        assert_in_range(items[i], 0, 999);
        assert_int_equal(seen[items[i]]++, 0);
        fixed += items[i] == i;
    }
    assert_in_range(fixed, 0, 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(philox_known_answers),     cmocka_unit_test(stream_is_philox_in_order),
        cmocka_unit_test(streams_differ),           cmocka_unit_test(uniform_covers_its_range),
        cmocka_unit_test(shuffle_is_a_permutation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
