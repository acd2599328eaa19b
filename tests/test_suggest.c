#include "shared/base/suggest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

static const char *const choices[] = {"hflip", "vflip", "rotate", "affine", "color_jitter", "p"};

static const char *ask(const char *word)
{
    return suggest(word, choices, (int)(sizeof choices / sizeof *choices));
}

static void near_words_are_found(void **state)
{
    (void)state;
    assert_string_equal(ask("hflp"), "hflip");
    assert_string_equal(ask("hfilp"), "hflip");
    assert_string_equal(ask("vflip"), "vflip");
    assert_string_equal(ask("Rotation"), "rotate");
    assert_string_equal(ask("colour_jitter"), "color_jitter");
    assert_string_equal(ask("colorjiter"), "color_jitter");
}

static void far_words_are_not(void **state)
{
    char longer[200];
    (void)state;
    assert_null(ask("sharpen"));
    assert_null(ask(""));
    assert_null(ask("xyz"));
    memset(longer, 'a', sizeof longer - 1);
    longer[sizeof longer - 1] = 0;
    assert_null(ask(longer));
    assert_null(suggest("hflip", choices, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(near_words_are_found),
        cmocka_unit_test(far_words_are_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
