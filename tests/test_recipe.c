#include "shared/augment/recipe.h"

#include "shared/base/random.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#define LIGHT "random_resized_crop(scale=0.7:1,ratio=0.75:1.3333334)+hflip(p=0.5)"

static void texts_become_canonical(void **state)
{
    static const char *const known[][2] = {
        {"none", "none"},
        {"light", LIGHT},
        {"cifar", "random_crop(padding=4)+hflip(p=0.5)"},
        {"food11-strong", LIGHT "+vflip(p=0.5)+rotate(degrees=180)+affine(degrees=30,translate=0,scale=1:1,shear=0)"},
        {" random_resized_crop ( ratio = .75:1.25 , scale=0.70:1.0 ) , hflip() ",
         "random_resized_crop(scale=0.7:1,ratio=0.75:1.25)+hflip(p=0.5)"},
        {"hflip(0.3)+rotate(15)+hflip", "hflip(p=0.3)+rotate(degrees=15)+hflip(p=0.5)"},
        {"light+none+color_jitter(hue=.1,contrast=4e-1)+erase(0.25,value=0)",
         LIGHT "+color_jitter(brightness=0,contrast=0.4,saturation=0,hue=0.1)"
               "+erase(p=0.25,scale=0.02:0.33,ratio=0.3:3.3,value=0)"},
        {"affine(30, scale=0.9:1.1, translate=1, shear=10)", "affine(degrees=30,translate=1,scale=0.9:1.1,shear=10)"},
        {"hflip(p=-0)", "hflip(p=0)"},
        {"cifar+erase+cutmix+mixup(0.4)",
         "random_crop(padding=4)+hflip(p=0.5)+erase(p=0.5,scale=0.02:0.33,ratio=0.3:3.3,"
         "value=128)+cutmix(alpha=1,p=1)+mixup(alpha=0.4,p=1)"},
        {"mixup", "mixup(alpha=0.2,p=1)"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        struct recipe recipe, again;
        struct error err = {0};
        assert_int_equal(recipe_parse(&recipe, known[i][0], &err), STATUS_OK);
        assert_string_equal(recipe.text, known[i][1]);
        assert_int_equal(recipe_parse(&again, recipe.text, &err), STATUS_OK);
        assert_memory_equal(&again, &recipe, sizeof recipe);
    }
}

static void fields_are_filled(void **state)
{
    struct recipe recipe;
    (void)state;
    assert_int_equal(recipe_parse(&recipe, "random_resized_crop(scale=0.25:0.5)+affine(translate=0.125,shear=5)", NULL),
                     STATUS_OK);
    assert_int_equal(recipe.count, 2);
    assert_int_equal(recipe.transforms[0].kind, TRANSFORM_RANDOM_RESIZED_CROP);
    assert_true(recipe.transforms[0].scale.low == 0.25f && recipe.transforms[0].scale.high == 0.5f);
    assert_true(recipe.transforms[0].ratio.high == 4.f / 3);
    assert_int_equal(recipe.transforms[1].kind, TRANSFORM_AFFINE);
    assert_true(recipe.transforms[1].translate == 0.125f && recipe.transforms[1].shear == 5);
    assert_true(recipe.transforms[1].scale.low == 1 && recipe.transforms[1].degrees == 0);
}

static void mistakes_are_named(void **state)
{
    static const struct {
        const char *text, *message;
        enum status status;
    } wrong[] = {
        {"", "character 1: expected the name", STATUS_USAGE},
        {"light+", "character 7: expected the name", STATUS_USAGE},
        {"hflp", "unknown transform 'hflp' (did you mean hflip?)", STATUS_USAGE},
        {"food11_strong", "did you mean food11-strong?", STATUS_USAGE},
        {"sharpen", "the known ones are random_resized_crop", STATUS_USAGE},
        {"light(p=1)", "unexpected '('", STATUS_USAGE},
        {"hflip(q=1)", "hflip has no parameter 'q'", STATUS_USAGE},
        {"color_jitter(brigthness=1)", "did you mean brightness?", STATUS_USAGE},
        {"hflip(p)", "expected '=' after p", STATUS_USAGE},
        {"hflip(p=)", "p: expected a number", STATUS_USAGE},
        {"hflip(p=1.5)", "p=1.5 is outside 0 to 1", STATUS_USAGE},
        {"hflip(p=-0.1)", "p=-0.1 is outside 0 to 1", STATUS_USAGE},
        {"hflip(p=nan)", "p: expected a number", STATUS_USAGE},
        {"hflip(p=1e99)", "outside", STATUS_USAGE},
        {"hflip(p=0x1)", "expected ',' or ')'", STATUS_USAGE},
        {"hflip(p=1.2.3)", "'1.2.3' is not a number", STATUS_USAGE},
        {"hflip(p=1,p=1)", "p is given twice", STATUS_USAGE},
        {"hflip(1,1)", "expected the name of a parameter", STATUS_USAGE},
        {"hflip(p=1", "expected ',' or ')'", STATUS_USAGE},
        {"hflip hflip", "unexpected 'h'", STATUS_USAGE},
        {"random_crop(padding=1.5)", "padding=1.5 must be a whole number", STATUS_USAGE},
        {"random_resized_crop(0.7)", "scale needs a range low:high", STATUS_USAGE},
        {"random_resized_crop(0.7:0.6)", "low end 0.7 of the range is above its high end 0.6", STATUS_USAGE},
        {"random_resized_crop(0:1)", "outside 0.0001 to 1", STATUS_USAGE},
        {"light+cifar", "a second crop", STATUS_USAGE},
        {"color_jitter+color_jitter", "too many color_jitter: a recipe may have at most 1", STATUS_USAGE},
        {"erase+erase+erase+erase+erase", "too many erase: a recipe may have at most 4", STATUS_USAGE},
        {"color_jitter+hflip", "hflip cannot come after color_jitter", STATUS_USAGE},
        {"erase+light", "random_resized_crop cannot come after erase", STATUS_USAGE},
        {"hflip+hflip+hflip+hflip+hflip+hflip+hflip+hflip+hflip+hflip+hflip+hflip+hflip+hflip+hflip+hflip+hflip",
         "too many hflip: a recipe may have at most 16", STATUS_USAGE},
        {"mixup+erase", "erase cannot come after mixup", STATUS_USAGE},
        {"mixup+light", "random_resized_crop cannot come after mixup", STATUS_USAGE},
        {"mixup+cutmix+mixup", "too many mixup: a recipe may have at most 1", STATUS_USAGE},
        {"mixup(alpha=0)", "alpha=0 is outside 0.01 to 100", STATUS_USAGE},
        {"hflip\x01", "unexpected '?'", STATUS_USAGE},
        {"a_name_that_is_longer_than_any_of_the_transforms", "letters", STATUS_USAGE},
    };
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct recipe recipe;
        struct error err = {0};
        assert_int_equal(recipe_parse(&recipe, wrong[i].text, &err), wrong[i].status);
        assert_int_equal(err.code, wrong[i].status);
        if (!strstr(err.message, wrong[i].message))
            fail_msg("'%s': the message is '%s'", wrong[i].text, err.message);
    }
}

static void long_texts_are_refused(void **state)
{
    struct recipe recipe;
    struct error err = {0};
    char text[2 * RECIPE_MAX_TEXT];
    (void)state;
    memset(text, ' ', sizeof text);
    memcpy(text, "hflip", 5);
    text[sizeof text - 1] = 0;
    assert_int_equal(recipe_parse(&recipe, text, &err), STATUS_USAGE);
    assert_non_null(strstr(err.message, "longer than 1023"));
    text[0] = 0;
    for (int i = 0; i < RECIPE_MAX_TRANSFORMS; i++) /* the text is short, but too long with its defaults */
        strcat(text, &"+affine(1.2345678,translate=0.123456,shear=1.234567)"[i == 0]);
    err = (struct error){0};
    assert_int_equal(recipe_parse(&recipe, text, &err), STATUS_USAGE);
    assert_non_null(strstr(err.message, "with its defaults written out"));
}

/* Every preset in the help exists, and its expansion is right. */
static void help_lists_the_presets(void **state)
{
    char name[64], expansion[512];
    int length, count = 0;
    (void)state;
    for (const char *line = recipe_presets(); sscanf(line, "%63s %511[^\n]%n", name, expansion, &length) == 2;
         count++) {
        struct recipe preset, expanded;
        assert_int_equal(recipe_parse(&preset, name, NULL), STATUS_OK);
        if (preset.count) {
            assert_int_equal(recipe_parse(&expanded, expansion, NULL), STATUS_OK);
            assert_string_equal(preset.text, expanded.text);
        }
        line += length + 1;
    }
    assert_int_equal(count, recipe_preset_count());
}

/* Mutated recipes either parse, and then their canonical text is a fixed point, or give an error with a message. */
static void fuzz(void **state)
{
    static const char *const seeds[] = {
        "random_resized_crop(scale=0.7:1,ratio=0.75:1.25)+hflip(p=0.5)+rotate(180)",
        "color_jitter(brightness=0.4,contrast=0.4,saturation=0.4,hue=0.1)+erase(p=0.5,scale=0.02:0.33)",
        "food11-strong,affine(degrees=30, translate=0.1, scale=0.9:1.1, shear=10)",
    };
    static const char alphabet[] = "abp_019.e-+,:=()  \t\xff";
    struct random_stream stream;
    int good = 0;
    (void)state;
    random_stream_init(&stream, 1, RANDOM_INIT, 0, 0);
    for (int round = 0; round < 30000; round++) {
        char text[256];
        size_t length = strlen(strcpy(text, seeds[round % 3]));
        for (uint32_t edits = 1 + random_below(&stream, 3); edits > 0 && length > 1; edits--) {
            size_t at = random_below(&stream, (uint32_t)length);
            switch (random_below(&stream, 3)) {
            case 0: /* another character */
                text[at] = alphabet[random_below(&stream, sizeof alphabet - 1)];
                break;
            case 1: /* cut a piece out */
                length -= at + 3 < length ? 3 : length - at;
                memmove(text + at, text + at + 3, length - at);
                text[length] = 0;
                break;
            default: /* repeat a piece */
                if (length + 10 < sizeof text) {
                    size_t size = length - at < 9 ? length - at : 9;
                    memmove(text + at + size, text + at, length - at + 1);
                    length += size;
                }
            }
        }
        struct recipe recipe, again;
        struct error err = {0};
        if (recipe_parse(&recipe, text, &err) == STATUS_OK) {
            good++;
            assert_int_equal(recipe_parse(&again, recipe.text, NULL), STATUS_OK);
            assert_memory_equal(&again, &recipe, sizeof recipe);
        } else {
            assert_true(err.code == STATUS_USAGE && err.message[0] != 0);
        }
    }
    assert_in_range(good, 300, 29000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_become_canonical), cmocka_unit_test(fields_are_filled),
        cmocka_unit_test(mistakes_are_named),     cmocka_unit_test(long_texts_are_refused),
        cmocka_unit_test(help_lists_the_presets), cmocka_unit_test(fuzz),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
