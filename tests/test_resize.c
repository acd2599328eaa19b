/* From JPEG bytes to the evaluation view, against PIL and torchvision, bit for bit. */
#include "formats/image/image_file.h"
#include "shared/augment/view.h"
#include "shared/base/digest.h"
#include "shared/base/files.h"
#include "tests/golden/evaluation_views.h"
#include "tests/golden/resizes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct image_reading strict = {0};

enum { BASE = 256, CROP = 224, VIEW_COUNT = sizeof evaluation_views / sizeof *evaluation_views };

static void expect_digest(const char *file, const char *what, const uint8_t *bytes, size_t size, const char *expected)
{
    char hex[DIGEST_HEX_SIZE];
    digest_bytes(bytes, size, hex);
    if (strcmp(hex, expected) != 0)
        fail_msg("%s: %s differs from PIL's", file, what);
}

static size_t image_bytes(const struct image *image)
{
    return (size_t)image->h * (size_t)image->w * (size_t)image->channels;
}

static void decode(const struct evaluation_view *golden, struct image *image)
{
    char path[256];
    struct error err = {0};
    struct image_info info;
    uint8_t *bytes;
    size_t size;
    snprintf(path, sizeof path, "tests/golden/evaluation_views/%s", golden->file);
    if (file_read(path, 1 << 20, &bytes, &size, &err) != STATUS_OK ||
        image_file_inspect(bytes, size, path, &info, &err) != STATUS_OK ||
        image_file_decode(bytes, size, &strict, path, image, &err) != STATUS_OK)
        fail_msg("%s: %s", path, err.message);
    assert_int_equal(info.h, golden->h);
    assert_int_equal(info.w, golden->w);
    assert_int_equal(info.gray ? 1 : info.cmyk ? 4 : 3, golden->components);
    assert_int_equal(info.orientation, golden->orientation);
    assert_int_equal(image->h, golden->h);
    assert_int_equal(image->w, golden->w);
    assert_int_equal(image->channels, 3);
    free(bytes);
}

static void test_decoded_pixels(void **state)
{
    (void)state;
    for (int i = 0; i < VIEW_COUNT; i++) {
        struct image image;
        decode(&evaluation_views[i], &image);
        expect_digest(evaluation_views[i].file, "the decoded image", image.pixels, image_bytes(&image),
                      evaluation_views[i].decoded);
        image_release(&image);
    }
}

/* The rendered evaluation view is torchvision's CenterCrop of the base image. */
static void check_view(const struct evaluation_view *golden, const struct image *base)
{
    static const int places[3][2] = {{0, 0}, {100, 17}, {223, 223}};
    static uint8_t pixels[CROP * CROP * 3];
    struct view view;
    view_make_evaluation(&view, base->h, base->w, CROP);
    view_render(&view, base, 1, CROP, pixels);
    for (int i = 0; i < 3; i++)
        for (int c = 0; c < 3; c++)
            assert_int_equal(pixels[(places[i][0] * CROP + places[i][1]) * 3 + c], golden->samples[3 * i + c]);
    expect_digest(golden->file, "the evaluation view", pixels, sizeof pixels, golden->view);
}

/* What a student sees is the evaluation view after torchvision's Resize; at the teacher's size it is the view. */
static void check_students(const struct evaluation_view *golden, const struct image *base)
{
    static const int sizes[3] = {64, 299, CROP};
    for (int k = 0; k < 3; k++) {
        struct image seen;
        assert_int_equal(evaluation_image(base, CROP, sizes[k], &seen, NULL), STATUS_OK);
        assert_true(seen.h == sizes[k] && seen.w == sizes[k] && seen.channels == 3);
        expect_digest(golden->file, "what a student sees", seen.pixels, image_bytes(&seen),
                      sizes[k] == CROP ? golden->view : golden->students[k]);
        image_release(&seen);
    }
}

/* The mean absolute difference of a view of size x size that nothing is done to, as training renders it, and what
 * evaluation shows. */
static double difference_of_training(const struct image *base, int size, enum view_sampling sampling)
{
    static uint8_t pixels[CROP * CROP * 3];
    struct image levels[VIEW_MAX_LEVELS], seen;
    struct view view;
    int count;
    double sum = 0;
    assert_int_equal(view_pyramid(base, levels, &count, NULL), STATUS_OK);
    assert_int_equal(evaluation_image(base, CROP, size, &seen, NULL), STATUS_OK);
    view_make(&view, &(struct recipe){.count = 0}, 0, 0, 0, base->h, base->w, CROP, size);
    if (view.sampling == VIEW_FINE && sampling != VIEW_FINE) { /* one sample per pixel, in the middle of the four */
        view.m[2] += (view.m[0] + view.m[1]) / 2;
        view.m[5] += (view.m[3] + view.m[4]) / 2;
        for (int i = 0; i < 6; i++)
            view.m[i] *= i % 3 == 2 ? 1 : 2;
        view.sampling = sampling;
    }
    view_render(&view, levels, count, size, pixels);
    for (size_t i = 0; i < image_bytes(&seen); i++)
        sum += abs(pixels[i] - seen.pixels[i]);
    sum /= (double)image_bytes(&seen);
    view_pyramid_release(levels, count);
    image_release(&seen);
    return sum;
}

/* Students are trained on pixels like those that they are evaluated on: antialiased, and nearer to what evaluation
 * shows than one sample per pixel where that passes over pixels. */
static void test_training_looks_like_evaluation(void **state)
{
    static const int sizes[] = {28, 64, 96, 160};
    (void)state;
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        double fine = 0, bilinear = 0;
        for (int i = 0; i < VIEW_COUNT; i++) {
            struct image image, base;
            decode(&evaluation_views[i], &image);
            assert_int_equal(image_resize_short_side(&image, BASE, &base, NULL), STATUS_OK);
            fine += difference_of_training(&base, sizes[k], VIEW_FINE) / VIEW_COUNT;
            bilinear += difference_of_training(&base, sizes[k], VIEW_BILINEAR) / VIEW_COUNT;
            image_release(&image);
            image_release(&base);
        }
        print_message("# size %d: %.3f levels, %.3f with one sample per pixel\n", sizes[k], fine, bilinear);
        assert_true(fine < 1 && (sizes[k] > 64 || fine < 0.9 * bilinear));
    }
}

static void test_base_images_and_evaluation_views(void **state)
{
    (void)state;
    for (int i = 0; i < VIEW_COUNT; i++) {
        const struct evaluation_view *golden = &evaluation_views[i];
        struct error err = {0};
        struct image image, base;
        decode(golden, &image);
        assert_int_equal(image_resize_short_side(&image, BASE, &base, &err), STATUS_OK);
        assert_int_equal(base.h, golden->base_h);
        assert_int_equal(base.w, golden->base_w);
        expect_digest(golden->file, "the base image", base.pixels, image_bytes(&base), golden->base);
        check_view(golden, &base);
        check_students(golden, &base);
        image_release(&image);
        image_release(&base);
    }
}

static void expect_pixels(const struct image *photo, const char *file, enum image_resize resize, int side,
                          const char *expected)
{
    struct error err = {0};
    struct image base;
    char digest[DIGEST_HEX_SIZE];
    assert_int_equal(image_resize_to(photo, resize, side, &base, &err), STATUS_OK);
    assert_true(base.h == side && base.w == side);
    digest_bytes(base.pixels, image_bytes(&base), digest);
    if (strcmp(digest, expected) != 0)
        fail_msg("%s, resize %d to %d: other pixels than torchvision's", file, (int)resize, side);
    image_release(&base);
}

static void test_squash_and_pad(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof golden_resizes / sizeof *golden_resizes; i++) {
        const struct golden_resize *golden = &golden_resizes[i];
        struct error err = {0};
        struct image photo;
        uint8_t *bytes;
        size_t size;
        char path[256];
        snprintf(path, sizeof path, "tests/golden/evaluation_views/%s", golden->file);
        if (file_read(path, 1 << 20, &bytes, &size, &err) != STATUS_OK ||
            image_file_decode(bytes, size, &strict, path, &photo, &err) != STATUS_OK)
            fail_msg("%s: %s", path, err.message);
        expect_pixels(&photo, golden->file, IMAGE_RESIZE_SQUASH, golden->side, golden->squashed);
        expect_pixels(&photo, golden->file, IMAGE_RESIZE_PAD, golden->side, golden->padded);
        image_release(&photo);
        free(bytes);
    }
}

/* One channel is resized like each of three equal channels. */
static void test_one_channel(void **state)
{
    (void)state;
    struct error err = {0};
    struct image gray, rgb, small_gray, small_rgb;
    assert_int_equal(image_init(&gray, 53, 71, 1, &err), STATUS_OK);
    assert_int_equal(image_init(&rgb, 53, 71, 3, &err), STATUS_OK);
    for (int i = 0; i < 53 * 71; i++) {
        gray.pixels[i] = (uint8_t)(i * i / 7);
        memset(rgb.pixels + 3 * i, gray.pixels[i], 3);
    }
    assert_int_equal(image_resize_short_side(&gray, 20, &small_gray, &err), STATUS_OK);
    assert_int_equal(image_resize_short_side(&rgb, 20, &small_rgb, &err), STATUS_OK);
    assert_int_equal(small_gray.h, 20);
    assert_int_equal(small_gray.w, 26);
    for (int i = 0; i < 20 * 26 * 3; i++)
        assert_int_equal(small_rgb.pixels[i], small_gray.pixels[i / 3]);
    image_release(&gray);
    image_release(&rgb);
    image_release(&small_gray);
    image_release(&small_rgb);
}

static void test_extreme_sizes(void **state)
{
    static const struct {
        int h, w, base, to_h, to_w;
    } sizes[] = {{1, 1, 256, 256, 256}, {1, 100, 7, 7, 700}, {900, 9, 1, 100, 1},
                 {3, 5, 3, 3, 5},       {4, 3, 0, 4, 3},     {33, 1000, 32, 32, 969}};
    (void)state;
    struct error err = {0};
    struct image image, resized;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        assert_int_equal(image_init(&image, sizes[i].h, sizes[i].w, 3, &err), STATUS_OK);
        memset(image.pixels, 255, image_bytes(&image));
        assert_int_equal(image_resize_short_side(&image, sizes[i].base, &resized, &err), STATUS_OK);
        assert_int_equal(resized.h, sizes[i].to_h);
        assert_int_equal(resized.w, sizes[i].to_w);
        for (size_t p = 0; p < image_bytes(&resized); p++)
            assert_int_equal(resized.pixels[p], 255); /* the weights of every pixel add up to 1 */
        image_release(&image);
        image_release(&resized);
    }
    assert_int_equal(image_init(&image, 1, 101, 3, &err), STATUS_OK);
    assert_int_equal(image_resize_short_side(&image, 256, &resized, &err), STATUS_BAD_DATA);
    assert_non_null(strstr(err.message, "too long and thin"));
    image_release(&image);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_decoded_pixels),
                                       cmocka_unit_test(test_base_images_and_evaluation_views),
                                       cmocka_unit_test(test_training_looks_like_evaluation),
                                       cmocka_unit_test(test_squash_and_pad),
                                       cmocka_unit_test(test_one_channel),
                                       cmocka_unit_test(test_extreme_sizes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
