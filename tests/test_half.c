/* float16: every value there and back, one at a time and in runs. */
#include "shared/tensor/half.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>
#include <cmocka.h>

enum { HALVES = 1 << 16 };

static void every_half_comes_back(void **state)
{
    (void)state;
    for (int i = 0; i < HALVES; i++) {
        const float value = half_to_float((uint16_t)i);
        const bool number = (i & 0x7c00) != 0x7c00;
        const double magnitude = i & 0x7c00 ? ldexp(1024 + (i & 0x3ff), (i >> 10 & 31) - 25) : ldexp(i & 0x3ff, -24);
        if (number)
            assert_true((double)value == (i & 0x8000 ? -magnitude : magnitude));
        else
            assert_true(i & 0x3ff ? isnan(value) : isinf(value));
        if (!isnan(value))
            assert_int_equal(half_from_float(value), i);
    }
}

static void runs_equal_single_values(void **state)
{
    static uint16_t halves[HALVES], back[HALVES];
    static float values[HALVES];
    (void)state;
    for (int i = 0; i < HALVES; i++)
        halves[i] = (uint16_t)i;
    half_to_floats(values, halves, HALVES);
    half_from_floats(back, values, HALVES);
    for (int i = 0; i < HALVES; i++) {
        const float expected = half_to_float(halves[i]);
        assert_memory_equal(&values[i], &expected, sizeof expected);
        assert_int_equal(back[i], half_from_float(expected));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_half_comes_back),
        cmocka_unit_test(runs_equal_single_values),
    };
    return cmocka_run_group_tests_name("half", tests, NULL, NULL);
}
