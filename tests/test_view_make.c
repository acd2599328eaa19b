/* Parameters of views: pure functions, golden values, the distributions of torchvision, the same geometry at every
 * size. */
#include "shared/augment/view.h"

#include "shared/augment/portable_math.h"
#include "shared/base/digest.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static struct recipe parse(const char *text)
{
    struct recipe recipe;
    assert_int_equal(recipe_parse(&recipe, text, NULL), STATUS_OK);
    return recipe;
}

static struct view make(const char *text, uint64_t seed, uint32_t id, uint32_t number, int h, int w, int crop, int size)
{
    const struct recipe recipe = parse(text);
    struct view view;
    view_make(&view, &recipe, seed, id, number, h, w, crop, size);
    return view;
}

static void portable_math_is_accurate(void **state)
{
    const double pi = 3.14159265358979323846, quarters[] = {0, 1, 0, -1};
    double s, c;
    (void)state;
    for (double degrees = -1000; degrees < 1000; degrees += 0.37) {
        portable_sincos(degrees, &s, &c);
        assert_true(fabs(s - sin(fmod(degrees, 360) * pi / 180)) < 2e-15);
        assert_true(fabs(c - cos(fmod(degrees, 360) * pi / 180)) < 2e-15);
    }
    for (int quarter = -5; quarter <= 5; quarter++) {
        portable_sincos(90.0 * quarter, &s, &c);
        assert_true(s == quarters[quarter & 3] && c == quarters[(quarter + 1) & 3]);
    }
    for (double x = -20; x < 20; x += 0.0137) {
        assert_true(fabs(portable_exp(x) / exp(x) - 1) < 5e-15);
        assert_true(fabs(portable_log(exp(x)) - log(exp(x))) < 5e-15);
    }
}

/* Offsets by torchvision's CenterCrop: int(round((side - crop) / 2.0)), or padding of (crop - side) // 2. */
static void evaluation_is_the_centre_crop(void **state)
{
    static const int known[][3] = {{224, 224, 0}, {225, 224, 0}, {226, 224, 1},  {227, 224, 2},
                                   {229, 224, 2}, {231, 224, 4}, {341, 224, 58}, {256, 224, 16},
                                   {20, 24, -2},  {21, 24, -1},  {223, 224, 0},  {1, 224, -111}};
    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        struct view view;
        view_make_evaluation(&view, known[i][0], 300, known[i][1]);
        assert_int_equal(view.sampling, VIEW_EXACT);
        assert_int_equal(view.level, 0);
        assert_int_equal(view.m[5], known[i][2] * 65536 + 128);
        view_make_evaluation(&view, 300, known[i][0], known[i][1]);
        assert_int_equal(view.m[2], known[i][2] * 65536 + 128);
    }
}

static void parameters_are_pure(void **state)
{
    const char *text = "food11-strong+color_jitter(0.2,hue=0.1)+erase(p=1)";
    const struct view first = make(text, 1, 2, 3, 256, 300, 224, 224);
    const struct view others[] = {
        make(text, 2, 2, 3, 256, 300, 224, 224),
        make(text, 1, 3, 3, 256, 300, 224, 224),
        make(text, 1, 2, 4, 256, 300, 224, 224),
        make(text, 1ull << 40 | 1, 2, 3, 256, 300, 224, 224),
    };
    const struct view again = make(text, 1, 2, 3, 256, 300, 224, 224);
    (void)state;
    assert_memory_equal(&first, &again, sizeof first);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        assert_memory_not_equal(&first.m, &others[i].m, sizeof first.m);
        assert_memory_not_equal(&first.color, &others[i].color, sizeof first.color);
        assert_memory_not_equal(&first.erase, &others[i].erase, sizeof first.erase);
    }
}

/* Appending to a recipe does not change the transforms before, whatever they drew. */
static void appended_transforms_leave_the_rest(void **state)
{
    (void)state;
    for (uint32_t number = 0; number < 50; number++) {
        const struct view less = make("light+color_jitter(hue=0.1)+erase(p=0.5)", 1, 0, number, 90, 70, 64, 64);
        const struct view more =
            make("light+color_jitter(hue=0.1)+erase(p=0.5)+erase(p=1)", 1, 0, number, 90, 70, 64, 64);
        assert_memory_equal(&less.m, &more.m, sizeof less.m);
        assert_memory_equal(&less.color, &more.color, sizeof less.color);
        assert_memory_equal(&less.erase, &more.erase, sizeof less.erase[0] * (size_t)less.erase_count);
        const struct view a = make("light+rotate(0)", 1, 0, number, 90, 70, 64, 64);
        assert_memory_equal(&a.m, &less.m, sizeof less.m);
    }
}

static void position(const struct view *view, double x, double y, double *px, double *py)
{
    double scale = (double)(1 << view->level) / 65536; /* base pixels; (x, y) in continuous output pixels */
    const double grid = view->sampling == VIEW_FINE ? 2 : 1;
    x = grid * x - 0.5, y = grid * y - 0.5;
    *px = ((double)view->m[0] * x + (double)view->m[1] * y + (double)view->m[2] - 128 + 32768) * scale;
    *py = ((double)view->m[3] * x + (double)view->m[4] * y + (double)view->m[5] - 128 + 32768) * scale;
}

static void geometry_is_the_same_at_every_size(void **state)
{
    static const int sizes[] = {16, 100, 128, 160, 448};
    (void)state;
    for (uint32_t number = 0; number < 100; number++) {
        const char *text = number % 2 ? "food11-strong+erase(p=1)"
                                      : "random_crop(padding=9)+affine(shear=30,translate=0.2)+erase(p=1)";
        const struct view full = make(text, 3, 1, number, 256, 341, 224, 224);
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            const struct view other = make(text, 3, 1, number, 256, 341, 224, sizes[i]);
            double grid = sizes[i] / 224.0;
            for (int corner = 0; corner < 4; corner++) {
                double x, y, other_x, other_y, u = corner % 2 ? 224 : 0, v = corner / 2 ? 224 : 0;
                position(&full, u, v, &x, &y);
                position(&other, u * grid, v * grid, &other_x, &other_y);
                assert_true(fabs(x - other_x) < 0.02 && fabs(y - other_y) < 0.02);
            }
            assert_int_equal(full.erase_count, 1);
            if (other.erase_count == 1)
                assert_true(fabs(full.erase[0].x * grid - other.erase[0].x) <= 0.5 &&
                            fabs((full.erase[0].y + full.erase[0].h) * grid - other.erase[0].y - other.erase[0].h) <=
                                0.5);
        }
    }
}

static void strong_shrinking_takes_a_level(void **state)
{
    static const struct {
        int side, size, level, sampling;
    } known[] = {{448, 448, 0, VIEW_EXACT},    {448, 334, 0, VIEW_BILINEAR}, {448, 332, 0, VIEW_FINE},
                 {448, 216, 0, VIEW_FINE},     {448, 215, 1, VIEW_BILINEAR}, {448, 108, 1, VIEW_FINE},
                 {448, 107, 2, VIEW_BILINEAR}, {448, 53, 3, VIEW_BILINEAR},  {448, 1, 4, VIEW_FINE}};
    const struct recipe recipe = parse("none");
    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        struct view view;
        view_make(&view, &recipe, 0, 0, 0, known[i].side, known[i].side, known[i].side, known[i].size);
        assert_int_equal(view.level, known[i].level);
        assert_int_equal(view.sampling, known[i].sampling);
    }
}

/* At the crop's own size, where the teacher looks, a level is taken as soon as it has the resolution. */
static void teachers_views_take_levels_too(void **state)
{
    (void)state;
    assert_int_equal(make("affine(scale=0.51:0.51)", 1, 0, 0, 300, 300, 224, 224).level, 0);
    assert_int_equal(make("affine(scale=0.49:0.49)", 1, 0, 0, 300, 300, 224, 224).level, 1);
    assert_int_equal(make("affine(scale=0.49:0.49)", 1, 0, 0, 300, 300, 224, 224).sampling, VIEW_BILINEAR);
}

static void resized_crops_are_distributed(void **state)
{
    const struct recipe recipe = parse("random_resized_crop(scale=0.25:0.75,ratio=0.5:2)");
    enum { VIEWS = 20000, H = 400, W = 400, CROP = 100 };
    double area_sum = 0, log_aspect_sum = 0;
    int wide = 0;
    (void)state;
    for (uint32_t number = 0; number < VIEWS; number++) {
        struct view view;
        double left, top, right, bottom;
        view_make(&view, &recipe, 1, 0, number, H, W, CROP, CROP);
        position(&view, 0, 0, &left, &top);
        position(&view, CROP, CROP, &right, &bottom);
        double w = right - left, h = bottom - top, area = w * h / (H * W), aspect = w / h;
        assert_true(left > -0.01 && top > -0.01 && right < W + 0.01 && bottom < H + 0.01);
        assert_true(area > 0.245 && area < 0.755 && aspect > 0.49 && aspect < 2.04);
        area_sum += area;
        log_aspect_sum += log(aspect);
        wide += aspect > 1;
    }
    assert_true(fabs(area_sum / VIEWS - 0.4697) < 0.005); /* the mean area, weighted by the range of aspects that fit */
    assert_true(fabs(log_aspect_sum / VIEWS) < 0.01);
    assert_true(fabs((double)wide / VIEWS - 0.5) < 0.015);
}

/* If no try fits: the centre crop of the nearest ratio. */
static void impossible_crops_fall_back(void **state)
{
    const struct view wide = make("random_resized_crop(scale=1:1,ratio=0.5:2)", 1, 0, 0, 50, 400, 50, 50);
    double left, top, right, bottom;
    (void)state;
    position(&wide, 0, 0, &left, &top);
    position(&wide, 50, 50, &right, &bottom);
    assert_true(fabs(left - 150) < 0.01 && fabs(right - 250) < 0.01 && fabs(top) < 0.01 && fabs(bottom - 50) < 0.01);
}

static void flips_rotations_and_crops_are_distributed(void **state)
{
    const struct recipe recipe = parse("random_crop(padding=4)+hflip(p=0.25)+rotate(90)"), crop_only = parse("cifar");
    enum { VIEWS = 20000 };
    int flipped = 0, quadrant = 0, offsets[9] = {0};
    double angle_sum = 0;
    (void)state;
    for (uint32_t number = 0; number < VIEWS; number++) {
        struct view view;
        view_make(&view, &recipe, 1, number, 0, 32, 32, 32, 32);
        bool mirrored = (double)view.m[0] * (double)view.m[4] < (double)view.m[1] * (double)view.m[3];
        double cosine = (double)view.m[4] / 65536;
        flipped += mirrored;
        assert_true(cosine > -1e-4);
        angle_sum += acos(fmin(cosine, 1));
        quadrant += view.m[3] > 0;
        view_make(&view, &crop_only, 1, number, 0, 32, 32, 32, 32);
        assert_in_range((view.m[5] >> 16) + 4, 0, 8);
        offsets[(view.m[5] >> 16) + 4]++;
    }
    assert_true(fabs((double)flipped / VIEWS - 0.25) < 0.015);
    assert_true(fabs((double)quadrant / VIEWS - 0.5) < 0.015);
    assert_true(fabs(angle_sum / VIEWS - 0.785398) < 0.015);
    for (int i = 0; i < 9; i++)
        assert_true(fabs((double)offsets[i] / VIEWS - 1.0 / 9) < 0.01);
}

static void colors_and_erases_are_distributed(void **state)
{
    const struct recipe recipe =
        parse("color_jitter(0.4,contrast=0.4,saturation=2,hue=0.1)+erase(p=0.3,scale=0.1:0.3)");
    enum { VIEWS = 24000 };
    int orders[256] = {0}, order_kinds = 0, erased = 0;
    double brightness = 0, saturation = 0, area = 0;
    (void)state;
    for (uint32_t number = 0; number < VIEWS; number++) {
        struct view view;
        int order = 0;
        view_make(&view, &recipe, 9, 0, number, 100, 100, 100, 100);
        assert_int_equal(view.color_count, 4);
        for (int i = 0; i < 4; i++) {
            double weight = (double)view.color[i].weight[0] / 65536;
            order = order * 4 + view.color[i].kind;
            if (view.color[i].kind == VIEW_BRIGHTNESS) {
                assert_true(weight > 0.5999 && weight < 1.4001);
                brightness += weight;
            } else if (view.color[i].kind == VIEW_SATURATION) {
                assert_true(weight >= 0 && weight < 3.0001);
                saturation += weight;
            } else if (view.color[i].kind == VIEW_HUE) {
                assert_int_equal(view.color[i].weight[0] + view.color[i].weight[1] + view.color[i].weight[2], 65536);
            }
        }
        order_kinds += orders[order]++ == 0;
        erased += view.erase_count;
        if (view.erase_count) {
            assert_true(view.erase[0].x >= 0 && view.erase[0].x + view.erase[0].w <= 100 && view.erase[0].w > 0);
            assert_true(view.erase[0].y >= 0 && view.erase[0].y + view.erase[0].h <= 100 && view.erase[0].h > 0);
            area += view.erase[0].w * view.erase[0].h / 10000.0;
        }
    }
    assert_int_equal(order_kinds, 24);
    for (int i = 0; i < 256; i++)
        assert_true(orders[i] == 0 || abs(orders[i] - 1000) < 150);
    assert_true(fabs(brightness / VIEWS - 1) < 0.01);
    assert_true(fabs(saturation / VIEWS - 1.5) < 0.02);
    assert_true(fabs((double)erased / VIEWS - 0.3) < 0.015);
    assert_true(fabs(area / erased - 0.2) < 0.01);
}

/* Recipes at their limits give finite numbers and a level that exists. */
static void absurd_recipes_are_harmless(void **state)
{
    char text[RECIPE_MAX_TEXT] = "random_resized_crop(scale=0.0001:0.0001,ratio=100:100)";
    static const int sides[] = {1, 2, 17, 5000, 65500};
    (void)state;
    for (int i = 0; i < 7; i++)
        strcat(text, "+affine(180,translate=1,scale=10:10,shear=80)+affine(scale=0.1:0.1)");
    const struct recipe recipe = parse(text);
    for (uint32_t i = 0; i < 25 * 20; i++) {
        int h = sides[i % 5], w = sides[i / 5 % 5];
        struct view view;
        view_make(&view, &recipe, 1, i, 0, h, w, i % 2 ? 1 : VIEW_MAX_SIZE, i % 3 ? 1 : VIEW_MAX_SIZE);
        assert_in_range(view.level, 0, view_level_count(h, w) - 1);
        for (int k = 0; k < 6; k++)
            assert_true(llabs(view.m[k]) <= ((int64_t)1 << 50) + 128);
    }
}

static void descriptions_are_one_line(void **state)
{
    char text[256], cut[20];
    const struct view view = make("cifar+color_jitter(hue=0.1)+erase(p=1)", 1, 2, 3, 32, 32, 32, 32);
    (void)state;
    view_describe(&view, text, sizeof text);
    assert_non_null(strstr(text, "level 0"));
    assert_non_null(strstr(text, "hue"));
    assert_non_null(strstr(text, "erase"));
    assert_null(strchr(text, '\n'));
    view_describe(&view, cut, sizeof cut);
    assert_int_equal(strlen(cut), sizeof cut - 1);
    assert_memory_equal(cut, text, sizeof cut - 1);
}

/* Golden values: parameters, and digests of pixels over a base image made by a formula. If one differs, caches of
 * another version cannot be replayed, and AUGMENT_VERSION must change; not so for a size other than the crop, whose
 * pixels are in no cache. */
/* clang-format off */
static const struct golden {
    const char *recipe;
    uint64_t seed;
    uint32_t id, number;
    int h, w, crop, size;
    int64_t m[6];
    const char *digest; /* of the pixels, its first 16 digits */
} goldens[] = {
    {"none", 0, 0, 0, 60, 80, 48, 48, {65536, 0, 1048704, 0, 65536, 393344}, "1a25d1d2763f08e1"},
    {"light", 1, 2, 3, 256, 300, 224, 224, {76361, 0, 923045, 0, 65536, 131200}, "9888bf9e53496c14"},
    {"cifar", 7, 49999, 15, 32, 32, 32, 32, {-65536, 0, 1769600, 0, 65536, -262016}, "ff7fc56f3c29fe78"},
    {"food11-strong", 12345678901234567890u, 9992, 599, 256, 341, 224, 224, {77300, -40954, 7088722, 31366, 59203, -1382075}, "f0c15aa967c8e57d"},
    {"food11-strong", 1, 5, 1, 256, 341, 224, 128, {41165, 63314, -2769700, 48720, -31676, 6805479}, "14a98404e03bb3d6"},
    {"food11-strong", 1, 5, 1, 256, 341, 160, 200, {52691, 81042, -2755072, 62361, -40545, 6807865}, "34995e1f76986e05"},
    {"random_resized_crop+color_jitter(0.4,contrast=0.4,saturation=0.4,hue=0.1)", 2, 3, 4, 200, 100, 96, 96, {35499, 0, -14891, 0, 45739, 5757397}, "dc92412e7ff001f3"},
    {"rotate(30)+affine(degrees=10,translate=0.1,scale=0.8:1.2,shear=10)+erase(p=1)+erase(p=1,value=0)", 3, 4, 5, 100, 100, 64, 64, {56501, -48691, 3362424, 46613, 55724, -62515}, "cd8294711cbc04db"},
};
/* clang-format on */

static void golden_values_hold(void **state)
{
    static uint8_t pixels[224 * 224 * 3];
    bool differ = false;
    (void)state;
    assert_int_equal(AUGMENT_VERSION, 1);
    for (size_t i = 0; i < sizeof goldens / sizeof *goldens; i++) {
        const struct golden *golden = &goldens[i];
        struct image base, levels[VIEW_MAX_LEVELS];
        char digest[DIGEST_HEX_SIZE];
        int level_count;
        const struct view view = make(golden->recipe, golden->seed, golden->id, golden->number, golden->h, golden->w,
                                      golden->crop, golden->size);
        assert_int_equal(image_init(&base, golden->h, golden->w, 3, NULL), STATUS_OK);
        for (int at = 0; at < golden->h * golden->w * 3; at++)
            base.pixels[at] =
                (uint8_t)((at % 3 + 1) * (at / 3 % golden->w) + 5 * (at / 3 / golden->w) + at % 13 * (at % 13) % 13);
        assert_int_equal(view_pyramid(&base, levels, &level_count, NULL), STATUS_OK);
        view_render(&view, levels, level_count, golden->size, pixels);
        digest_bytes(pixels, (size_t)golden->size * (size_t)golden->size * 3, digest);
        view_pyramid_release(levels, level_count);
        image_release(&base);
        if (memcmp(view.m, golden->m, sizeof view.m) != 0 || strncmp(digest, golden->digest, 16) != 0) {
            differ = true;
            print_error("{\"%s\", %llu, %u, %u, %d, %d, %d, %d, {%lld, %lld, %lld, %lld, %lld, %lld}, \"%.16s\"},\n",
                        golden->recipe, (unsigned long long)golden->seed, golden->id, golden->number, golden->h,
                        golden->w, golden->crop, golden->size, (long long)view.m[0], (long long)view.m[1],
                        (long long)view.m[2], (long long)view.m[3], (long long)view.m[4], (long long)view.m[5], digest);
        }
    }
    assert_false(differ);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(portable_math_is_accurate),
        cmocka_unit_test(evaluation_is_the_centre_crop),
        cmocka_unit_test(parameters_are_pure),
        cmocka_unit_test(appended_transforms_leave_the_rest),
        cmocka_unit_test(geometry_is_the_same_at_every_size),
        cmocka_unit_test(strong_shrinking_takes_a_level),
        cmocka_unit_test(teachers_views_take_levels_too),
        cmocka_unit_test(resized_crops_are_distributed),
        cmocka_unit_test(impossible_crops_fall_back),
        cmocka_unit_test(flips_rotations_and_crops_are_distributed),
        cmocka_unit_test(colors_and_erases_are_distributed),
        cmocka_unit_test(absurd_recipes_are_harmless),
        cmocka_unit_test(descriptions_are_one_line),
        cmocka_unit_test(golden_values_hold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
