/* Views against torchvision (tests/golden/make_views.py): directions, centres and order of the arithmetic. */
#include "shared/augment/view.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

enum { SIDE = 48, BYTES = SIDE * SIDE * 3, SEED = 5 };

static void views_match_torchvision(void **state)
{
    static uint8_t base[BYTES], expected[BYTES], pixels[BYTES];
    FILE *file = fopen("tests/golden/views.bin", "rb");
    char recipe_text[128];
    unsigned id, number;
    double tolerance;
    int records = 0;
    struct image levels[VIEW_MAX_LEVELS];
    int level_count = 0;
    (void)state;
    assert_non_null(file);
    for (; fscanf(file, "%127[^;];%u;%u;%lf", recipe_text, &id, &number, &tolerance) == 4; records++) {
        struct recipe recipe;
        struct view view;
        long difference = 0;
        assert_int_equal(fgetc(file), '\n');
        assert_int_equal(fread(records ? expected : base, 1, BYTES, file), BYTES);
        if (records == 0) {
            const struct image image = {base, SIDE, SIDE, 3};
            assert_int_equal(view_pyramid(&image, levels, &level_count, NULL), STATUS_OK);
            continue;
        }
        assert_int_equal(recipe_parse(&recipe, recipe_text, NULL), STATUS_OK);
        view_make(&view, &recipe, SEED, id, number, SIDE, SIDE, SIDE, SIDE);
        view_render(&view, levels, level_count, SIDE, pixels);
        for (int i = 0; i < BYTES; i++)
            difference += labs((long)pixels[i] - expected[i]);
        if ((double)difference / BYTES > tolerance)
            fail_msg("%s: mean absolute difference %.3f, allowed %.3f", recipe_text, (double)difference / BYTES,
                     tolerance);
    }
    view_pyramid_release(levels, level_count);
    fclose(file);
    assert_int_equal(records, 15);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(views_match_torchvision)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
