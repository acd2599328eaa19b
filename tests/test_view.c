/* Pixels of views: the renderer against its executable specification, and properties of the specification. */
#include "shared/augment/view.h"

#include "shared/base/random.h"
#include "tests/helper_views.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { GUARD = 64, GUARD_VALUE = 0xa5 };

/* Both renderers give the same bytes and write only there. Returns the pixels, malloc'ed. */
static uint8_t *render_checked(const struct picture *picture, const struct view *view, int size)
{
    size_t count = (size_t)size * (size_t)size * (size_t)picture->base.channels;
    uint8_t *fast = malloc(count + 2 * GUARD), *slow = malloc(count);
    memset(fast, GUARD_VALUE, count + 2 * GUARD);
    view_render(view, picture->levels, picture->level_count, size, fast + GUARD);
    view_render_reference(view, picture->levels, picture->level_count, size, slow);
    for (size_t i = 0; i < GUARD; i++)
        assert_true(fast[i] == GUARD_VALUE && fast[GUARD + count + i] == GUARD_VALUE);
    assert_memory_equal(fast + GUARD, slow, count);
    free(fast);
    return slow;
}

static void renderers_agree_on_any_map(void **state)
{
    static const int shapes[][3] = {{1, 1, 3}, {1, 9, 3},   {9, 1, 1},   {2, 2, 3},
                                    {3, 2, 1}, {33, 70, 3}, {70, 64, 1}, {40, 256, 3}};
    struct random_stream stream;
    (void)state;
    random_stream_init(&stream, 2, RANDOM_INIT, 0, 0);
    for (uint32_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        struct picture picture;
        picture_init(&picture, shapes[i][0], shapes[i][1], shapes[i][2], i);
        for (int round = 0; round < 600; round++) {
            int size = 1 + (int)random_below(&stream, 70);
            struct view view;
            random_view(&view, &stream, &picture, size);
            free(render_checked(&picture, &view, size));
        }
        picture_release(&picture);
    }
}

static void renderers_agree_on_extremes(void **state)
{
    static const int64_t extremes[] = {
        0, 1, -1, 32767, -32768, -32769, 65535, 65536, (int64_t)1 << 31, -((int64_t)1 << 31)};
    static const int64_t origins[] = {
        0, -32768, -32769, (64 << 16) - 32768, (64 << 16) - 32769, 63 << 16, (int64_t)1 << 50, -((int64_t)1 << 50)};
    struct picture picture;
    struct random_stream stream;
    (void)state;
    picture_init(&picture, 64, 64, 3, 0);
    random_stream_init(&stream, 3, RANDOM_INIT, 0, 0);
    for (int round = 0; round < 3000; round++) {
        struct view view = {.level = 0};
        for (int i = 0; i < 6; i++)
            view.m[i] = i % 3 == 2 ? origins[random_below(&stream, 8)] : extremes[random_below(&stream, 10)];
        free(render_checked(&picture, &view, 1 + (int)random_below(&stream, 40)));
    }
    picture_release(&picture);
}

static void renderers_agree_on_recipes(void **state)
{
    static const char *const recipes[] = {
        "none",
        "light",
        "cifar",
        "food11-strong",
        "random_resized_crop(scale=0.001:1)+affine(180,translate=1,scale=0.1:10,shear=80)",
        "light+color_jitter(brightness=10,contrast=10,saturation=10,hue=0.5)+erase(p=1)+erase(p=1,value=0)",
    };
    static const int shapes[][3] = {{32, 32, 3}, {28, 28, 1}, {96, 131, 3}, {150, 17, 3}};
    (void)state;
    for (uint32_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        struct picture picture;
        picture_init(&picture, shapes[i][0], shapes[i][1], shapes[i][2], i);
        for (size_t r = 0; r < sizeof recipes / sizeof *recipes; r++) {
            struct recipe recipe;
            assert_int_equal(recipe_parse(&recipe, recipes[r], NULL), STATUS_OK);
            for (uint32_t number = 0; number < 40; number++) {
                int crop = number % 2 ? 32 : 90, size = number % 3 ? crop : 25;
                struct view view;
                view_make(&view, &recipe, 7, i, number, picture.base.h, picture.base.w, crop, size);
                free(render_checked(&picture, &view, size));
            }
        }
        picture_release(&picture);
    }
}

/* The general path at whole positions reproduces the base, shifted, mirrored or turned by 90 degrees. */
static void whole_positions_give_the_pixels(void **state)
{
    static const int64_t maps[][4] = {{1, 0, 0, 1}, {-1, 0, 0, 1}, {1, 0, 0, -1}, {0, -1, 1, 0}};
    struct picture picture;
    enum { SIZE = 30 };
    (void)state;
    for (int channels = 1; channels <= 3; channels += 2) {
        picture_init(&picture, 23, 41, channels, 5);
        for (size_t i = 0; i < 4; i++) {
            const int64_t *a = maps[i], dx = 12, dy = 20;
            struct view view = {
                .m = {a[0] * 65536, a[1] * 65536, dx * 65536 + 128, a[2] * 65536, a[3] * 65536, dy * 65536 + 128}};
            uint8_t *pixels = render_checked(&picture, &view, SIZE);
            for (int at = 0; at < SIZE * SIZE; at++) {
                int64_t x = a[0] * (at % SIZE) + a[1] * (at / SIZE) + dx,
                        y = a[2] * (at % SIZE) + a[3] * (at / SIZE) + dy;
                bool inside = x >= 0 && y >= 0 && x < 41 && y < 23;
                for (int c = 0; c < channels; c++)
                    assert_int_equal(pixels[at * channels + c],
                                     inside ? picture.base.pixels[(y * 41 + x) * channels + c] : 0);
            }
            free(pixels);
        }
        picture_release(&picture);
    }
}

/* The exact path, which copies, gives the same as interpolation. */
static void exact_views_are_copies(void **state)
{
    struct picture picture;
    (void)state;
    picture_init(&picture, 30, 45, 3, 6);
    for (int crop = 1; crop < 60; crop++) {
        struct view view;
        view_make_evaluation(&view, 30, 45, crop);
        assert_int_equal(view.sampling, VIEW_EXACT);
        uint8_t *copied = render_checked(&picture, &view, crop);
        view.sampling = VIEW_BILINEAR;
        uint8_t *interpolated = render_checked(&picture, &view, crop);
        assert_memory_equal(copied, interpolated, (size_t)crop * (size_t)crop * 3);
        free(copied);
        free(interpolated);
    }
    picture_release(&picture);
}

static void half_positions_average(void **state)
{
    uint8_t pixels[] = {10, 20, 31, 50}, out[1];
    const struct image level = {pixels, 2, 2, 1};
    struct view view = {.m = {0, 0, 32768, 0, 0, 0}};
    (void)state;
    view_render(&view, &level, 1, 1, out);
    assert_int_equal(out[0], 15);
    view.m[5] = 32768;
    view_render(&view, &level, 1, 1, out);
    assert_int_equal(out[0], 28); /* 27.75 */
    view.m[2] = -16384;           /* within half a pixel of the edge: the value of the edge */
    view.m[5] = -16384;
    view_render(&view, &level, 1, 1, out);
    assert_int_equal(out[0], 10);
}

static void pyramid_is_box_reduced(void **state)
{
    struct picture picture;
    (void)state;
    assert_int_equal(view_level_count(256, 341), 5);
    assert_int_equal(view_level_count(31, 400), 2);
    assert_int_equal(view_level_count(30, 400), 1);
    assert_int_equal(view_level_count(1, 1), 1);
    assert_int_equal(view_level_count(60000, 60000), VIEW_MAX_LEVELS);
    picture_init(&picture, 33, 64, 3, 8);
    assert_int_equal(picture.level_count, 2);
    assert_ptr_equal(picture.levels[0].pixels, picture.base.pixels);
    const struct image *base = &picture.base, *level = &picture.levels[1];
    assert_int_equal(level->h, 17);
    assert_int_equal(level->w, 32);
    for (int y = 0; y < 17; y++) {
        for (int i = 0; i < 32 * 3; i++) {
            int left = i / 3 * 6 + i % 3, below = y < 16 ? 64 * 3 : 0;
            const uint8_t *p = base->pixels + 2 * y * 64 * 3 + left;
            assert_int_equal(level->pixels[y * 32 * 3 + i], (p[0] + p[3] + p[below] + p[below + 3] + 2) / 4);
        }
    }
    picture_release(&picture);
}

/* One colour operation on a view of four pixels. */
static void apply(int32_t kind, int32_t w0, int32_t w1, int32_t w2, uint8_t pixels[12])
{
    struct view view = {
        .m = {65536, 0, 128, 0, 65536, 128}, .sampling = VIEW_EXACT, .color_count = 1, .color = {{kind, {w0, w1, w2}}}};
    struct image level = {pixels, 2, 2, 3};
    uint8_t out[12];
    view_render(&view, &level, 1, 2, out);
    memcpy(pixels, out, 12);
}

static void colors_do_what_they_say(void **state)
{
    static const uint8_t start[12] = {200, 100, 50, 0, 0, 0, 255, 255, 255, 90, 90, 90};
    uint8_t p[12];
    (void)state;
    for (int32_t kind = 0; kind < 4; kind++) { /* weight 1 changes nothing */
        memcpy(p, start, 12);
        apply(kind, 65536, 0, 0, p);
        assert_memory_equal(p, start, 12);
    }
    memcpy(p, start, 12);
    apply(VIEW_BRIGHTNESS, 98304, 0, 0, p); /* 1.5 */
    assert_memory_equal(p, ((const uint8_t[]){255, 150, 75, 0, 0, 0, 255, 255, 255, 135, 135, 135}), 12);
    memcpy(p, start, 12);
    apply(VIEW_SATURATION, 0, 0, 0, p); /* gray: (200*0.299 + 100*0.587 + 50*0.114) = 124.2 */
    assert_memory_equal(p, ((const uint8_t[]){124, 124, 124, 0, 0, 0, 255, 255, 255, 90, 90, 90}), 12);
    memcpy(p, start, 12);
    apply(VIEW_CONTRAST, 0, 0, 0, p); /* the mean gray: (124 + 0 + 255 + 90) / 4 = 117.25 */
    for (int i = 0; i < 12; i++)
        assert_int_equal(p[i], 117);
    memcpy(p, start, 12);
    apply(VIEW_HUE, 0, 0, 65536, p); /* a third of a turn: green gets what red had */
    assert_memory_equal(p, ((const uint8_t[]){50, 200, 100, 0, 0, 0, 255, 255, 255, 90, 90, 90}), 12);
}

static void normalisation_is_exact(void **state)
{
    const float mean[3] = {0.485f, 0.456f, 0.406f}, std[3] = {0.229f, 0.224f, 0.225f};
    float table[3][256], out[256 * 3];
    uint8_t pixels[256 * 3];
    (void)state;
    for (int i = 0; i < 256 * 3; i++)
        pixels[i] = (uint8_t)(i * 7);
    view_normalisation_table(table, mean, std, 3);
    view_normalise(out, pixels, 256, 3, table);
    for (int i = 0; i < 256 * 3; i++)
        assert_true(out[i] == ((float)pixels[i] / 255.0f - mean[i % 3]) / std[i % 3]);
    view_normalise(out, pixels, 256 * 3, 1, table);
    for (int i = 0; i < 256 * 3; i++)
        assert_true(out[i] == ((float)pixels[i] / 255.0f - mean[0]) / std[0]);
}

static void input_is_render_and_normalise(void **state)
{
    struct picture picture;
    const float mean[3] = {0.5f, 0.4f, 0.3f}, std[3] = {0.2f, 0.2f, 0.3f};
    float table[3][256], out[20 * 20 * 3];
    uint8_t scratch[20 * 20 * 3];
    struct view view;
    (void)state;
    picture_init(&picture, 30, 30, 3, 9);
    view_make(&view, &(struct recipe){.count = 0}, 0, 0, 0, 30, 30, 24, 20);
    assert_int_equal(view.sampling, VIEW_BILINEAR);
    view_normalisation_table(table, mean, std, 3);
    view_render_input(&view, picture.levels, picture.level_count, 20, table, scratch, out);
    uint8_t *pixels = render_checked(&picture, &view, 20);
    assert_memory_equal(scratch, pixels, sizeof scratch);
    for (int i = 0; i < 20 * 20 * 3; i++)
        assert_true(out[i] == table[i % 3][pixels[i]]);
    free(pixels);
    picture_release(&picture);
}

/* A whole image as it is and mirrored, by both renderers. */
static void whole_images_are_copied_or_mirrored(void **state)
{
    (void)state;
    for (int channels = 1; channels <= 3; channels += 2)
        for (int size = 1; size <= 37; size += 9)
            for (int mirrored = 0; mirrored < 2; mirrored++) {
                struct picture picture;
                struct view view;
                const size_t c = (size_t)channels, n = (size_t)size;
                picture_init(&picture, size, size, channels, (unsigned)(size + channels));
                view_make_whole(&view, size, mirrored);
                uint8_t *pixels = render_checked(&picture, &view, size);
                for (size_t y = 0; y < n; y++)
                    for (size_t x = 0; x < n; x++)
                        assert_memory_equal(pixels + (y * n + x) * c,
                                            picture.levels[0].pixels + (y * n + (mirrored ? n - 1 - x : x)) * c, c);
                free(pixels);
                picture_release(&picture);
            }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(renderers_agree_on_any_map),
        cmocka_unit_test(renderers_agree_on_extremes),
        cmocka_unit_test(renderers_agree_on_recipes),
        cmocka_unit_test(whole_positions_give_the_pixels),
        cmocka_unit_test(whole_images_are_copied_or_mirrored),
        cmocka_unit_test(exact_views_are_copies),
        cmocka_unit_test(half_positions_average),
        cmocka_unit_test(pyramid_is_box_reduced),
        cmocka_unit_test(colors_do_what_they_say),
        cmocka_unit_test(normalisation_is_exact),
        cmocka_unit_test(input_is_render_and_normalise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
