/* The views of a cache: the parameters are those that view_make, view_make_evaluation and view_mix_make give for what
 * the manifest records, at the teacher's size and at a student's; logits and base images are the stored ones. */
#include "formats/cache/cache_view.h"
#include "tests/helper_cache.h"
#include "tests/helper_images.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { CROP = 32, SMALL = 20, BASE_H = 48, BASE_W = 37, SAMPLES = 12, VIEWS = 5 };

static const struct cache_plan plan = {
    .classes = 3, .views = VIEWS, .samples = {SAMPLES, 3, 0}, .raw = true, .seed = 1ull << 40 | 9};

struct fixture {
    struct cache_manifest manifest;
    struct cache_views views;
    uint32_t ids[SAMPLES];
};

static void open_fixture(struct fixture *f, const char *recipe, int size)
{
    plan_manifest(&plan, &f->manifest);
    f->manifest.recipe = recipe;
    f->manifest.size = CROP;
    for (uint32_t i = 0; i < SAMPLES; i++)
        f->ids[i] = 2 * i + 1; /* with gaps, as where images were skipped */
    assert_int_equal(cache_views_init(&f->views, &f->manifest, size, NULL), STATUS_OK);
}

static struct cache_view which(const struct fixture *f, enum split split, uint32_t sample, int row)
{
    return (struct cache_view){split, sample, f->ids[sample], cache_view_number(split, row)};
}

static void numbers_follow_the_split(void **state)
{
    (void)state;
    assert_int_equal(cache_view_number(SPLIT_TRAIN, 0), 0);
    assert_int_equal(cache_view_number(SPLIT_TRAIN, 4), 4);
    assert_int_equal(cache_view_number(SPLIT_VAL, 0), CACHE_EVALUATION_VIEW);
    assert_int_equal(cache_view_number(SPLIT_TEST, 0), CACHE_EVALUATION_VIEW);
}

static void parameters_are_those_of_the_manifest(void **state)
{
    static const int sizes[] = {CROP, SMALL};
    (void)state;
    for (int k = 0; k < 2; k++) {
        struct fixture f;
        open_fixture(&f, "food11-strong", sizes[k]);
        assert_false(cache_views_mix(&f.views, SPLIT_TRAIN));
        for (uint32_t i = 0; i < SAMPLES; i++) {
            struct view expected, got;
            struct cache_view view;
            for (int row = 0; row < VIEWS; row++) {
                view = which(&f, SPLIT_TRAIN, i, row);
                memset(&expected, 0, sizeof expected);
                memset(&got, 0, sizeof got);
                view_make(&expected, &f.views.recipe, plan.seed, 2 * i + 1, (uint32_t)row, BASE_H, BASE_W, CROP,
                          sizes[k]);
                cache_view_make(&f.views, &view, BASE_H, BASE_W, &got);
                assert_memory_equal(&got, &expected, sizeof got);
            }
            if (sizes[k] != CROP)
                continue; /* evaluation has images instead: evaluation_images_are_the_teachers_resized */
            memset(&expected, 0, sizeof expected);
            memset(&got, 0, sizeof got);
            view_make_evaluation(&expected, BASE_H, BASE_W, CROP);
            view = which(&f, SPLIT_VAL, i % 3, 0);
            cache_view_make(&f.views, &view, BASE_H, BASE_W, &got);
            assert_memory_equal(&got, &expected, sizeof got);
        }
        arena_release(&f.manifest.arena);
    }
}

static void training_views_are_mixed_and_others_not(void **state)
{
    static const int sizes[] = {CROP, SMALL};
    (void)state;
    for (int k = 0; k < 2; k++) {
        struct fixture f;
        int mixed = 0;
        open_fixture(&f, "light+mixup(alpha=1,p=0.5)+cutmix(alpha=1,p=1)", sizes[k]);
        assert_true(cache_views_mix(&f.views, SPLIT_TRAIN));
        assert_false(cache_views_mix(&f.views, SPLIT_VAL));
        for (uint32_t i = 0; i < SAMPLES; i++) {
            struct view_mix expected, got;
            struct cache_view view, partner;
            uint32_t other;
            for (int row = 0; row < VIEWS; row++) {
                view = which(&f, SPLIT_TRAIN, i, row);
                view_mix_make(&expected, &other, &f.views.recipe, plan.seed, 2 * i + 1, (uint32_t)row, i, SAMPLES, CROP,
                              sizes[k]);
                cache_view_mix(&f.views, &view, f.ids, &got, &partner);
                assert_memory_equal(&got, &expected, sizeof got);
                assert_int_equal(partner.split, SPLIT_TRAIN);
                assert_int_equal(partner.sample, other);
                assert_int_equal(partner.id, 2 * other + 1);
                assert_int_equal(partner.number, row);
                mixed += got.kind != VIEW_MIX_NONE;
                cache_view_mix(&f.views, &view, NULL, &got, &partner);
                assert_memory_equal(&got, &expected, sizeof got);
                assert_int_equal(partner.sample, other);
            }
            view = which(&f, SPLIT_VAL, i % 3, 0);
            cache_view_mix(&f.views, &view, NULL, &got, &partner);
            assert_int_equal(got.kind, VIEW_MIX_NONE);
            assert_int_equal(got.share, 65536);
            assert_memory_equal(&partner, &view, sizeof view);
        }
        assert_in_range(mixed, SAMPLES * VIEWS / 2, SAMPLES * VIEWS - 1);
        arena_release(&f.manifest.arena);
    }
}

static void logits_are_those_of_the_stored_row(void **state)
{
    static const enum split splits[] = {SPLIT_TRAIN, SPLIT_VAL};
    (void)state;
    struct fixture f;
    open_fixture(&f, "none", CROP);
    for (int s = 0; s < 2; s++) {
        struct cache_shard shard;
        plan_shard(&plan, &f.manifest, splits[s], 0, &shard);
        shard.first = 100; /* as a later shard of its split */
        for (uint32_t i = 0; i < shard.count; i++)
            for (int row = 0; row < shard.views; row++) {
                float expected[3], got[3];
                const struct cache_view view = {splits[s], 100 + i, 0, cache_view_number(splits[s], row)};
                cache_logits(&f.manifest, &shard, i, row, expected);
                cache_view_logits(&f.manifest, &shard, &view, got);
                assert_memory_equal(got, expected, sizeof got);
            }
        cache_shard_release(&shard);
    }
    arena_release(&f.manifest.arena);
}

static void base_images_have_the_manifests_short_side(void **state)
{
    (void)state;
    struct cache_manifest manifest = {
        .encoding = IMAGE_RAW, .raw_h = 10, .raw_w = 8, .channels = 1, .base = 4, .size = 4};
    struct image base, stored, expected;
    struct error err = {0};
    assert_int_equal(image_init(&stored, 10, 8, 1, NULL), STATUS_OK);
    for (int i = 0; i < 80; i++)
        stored.pixels[i] = (uint8_t)(i * 37);
    assert_int_equal(image_resize_short_side(&stored, 4, &expected, NULL), STATUS_OK);
    assert_int_equal(cache_base_image(&manifest, stored.pixels, 80, "one", &base, NULL), STATUS_OK);
    assert_true(base.h == expected.h && base.w == expected.w && base.channels == 1 && base.w == 4);
    assert_memory_equal(base.pixels, expected.pixels, (size_t)base.h * (size_t)base.w);
    image_release(&base);
    assert_int_equal(cache_base_image(&manifest, stored.pixels, 79, "two", &base, &err), STATUS_BAD_DATA);
    assert_string_equal(err.path, "two");
    image_release(&stored);
    image_release(&expected);
}

/* What a student sees: the teacher's evaluation view, black border included, resized if its own size differs. */
static void evaluation_images_are_the_teachers_resized(void **state)
{
    (void)state;
    struct cache_manifest manifest = {
        .encoding = IMAGE_RAW, .raw_h = 10, .raw_w = 30, .channels = 1, .base = 20, .size = 24};
    struct image base, teacher = {0}, small, got;
    struct view view;
    uint8_t stored[300];
    for (int i = 0; i < 300; i++)
        stored[i] = (uint8_t)(i * i * 37 | 1);
    assert_int_equal(cache_base_image(&manifest, stored, sizeof stored, "one", &base, NULL), STATUS_OK);
    assert_int_equal(image_init(&teacher, 24, 24, 1, NULL), STATUS_OK);
    view_make_evaluation(&view, base.h, base.w, 24);
    view_render(&view, &base, 1, 24, teacher.pixels);
    for (int side = 7; side <= 24; side += 17) {
        assert_int_equal(image_resize_short_side(&teacher, side, &small, NULL), STATUS_OK);
        assert_int_equal(cache_evaluation_image(&manifest, stored, sizeof stored, "one", side, &got, NULL), STATUS_OK);
        assert_true(got.h == side && got.w == side && got.channels == 1);
        assert_memory_equal(got.pixels, side == 24 ? teacher.pixels : small.pixels, (size_t)(side * side));
        image_release(&small);
        image_release(&got);
    }
    image_release(&teacher);
    image_release(&base);
}

/* No training view at the size or below samples a lower level than the least one, and some view samples it. */
static void least_level_is_that_of_all_views(void **state)
{
    static const char *const recipes[] = {"none", "light", "random_resized_crop(scale=0.05:1)", "affine(scale=0.5:2)"};
    static const int sizes[] = {3, 8, SMALL, CROP - 1, CROP, CROP + 9};
    int higher = 0;
    (void)state;
    for (size_t r = 0; r < sizeof recipes / sizeof *recipes; r++)
        for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++)
            for (int base = 33; base < 300; base += 38) {
                struct fixture f;
                int lowest = VIEW_MAX_LEVELS;
                open_fixture(&f, recipes[r], sizes[k]);
                const int least = cache_view_least_level(&f.views, f.ids[1], base, 2 * base);
                for (int size = 1; size <= sizes[k]; size++)
                    for (int row = 0; row < VIEWS; row++) {
                        const struct cache_view view = which(&f, SPLIT_TRAIN, 1, row);
                        struct view made;
                        f.views.size = size;
                        cache_view_make(&f.views, &view, base, 2 * base, &made);
                        lowest = made.level < lowest ? made.level : lowest;
                    }
                assert_int_equal(least, lowest);
                higher += least > 0;
                arena_release(&f.manifest.arena);
            }
    assert_true(higher > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_follow_the_split),
        cmocka_unit_test(least_level_is_that_of_all_views),
        cmocka_unit_test(parameters_are_those_of_the_manifest),
        cmocka_unit_test(training_views_are_mixed_and_others_not),
        cmocka_unit_test(logits_are_those_of_the_stored_row),
        cmocka_unit_test(base_images_have_the_manifests_short_side),
        cmocka_unit_test(evaluation_images_are_the_teachers_resized),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
