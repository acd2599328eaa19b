/* Base images of the CPU: views of any level are the same whether the images are in memory or in a file, and whether
 * levels that no view samples were dropped or not. */
#include "shared/base/scratch_file.h"
#include "shared/device/cpu/cpu_device.h"
#include "shared/tensor/bf16.h"
#include "tests/helper_images.h"
#include "tests/helper_views.h"
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { PICTURES = 5, VIEWS = 60, SIZE = 24 };

static const int shapes[PICTURES][2] = {{130, 97}, {64, 64}, {33, 70}, {9, 2}, {40, 256}};

struct scene {
    struct device *device;
    struct device_images *images;
    struct picture pictures[PICTURES];
    int least[PICTURES];
};

/* The views of picture i sample level i % 3 or a higher one. */
static void scene_open(struct scene *s, struct scratch_file *file, bool drops)
{
    const struct device_options options = {.threads = 2};
    assert_int_equal(cpu_device_ops.open(&s->device, &options, NULL), STATUS_OK);
    assert_int_equal(cpu_image_ops.create(s->device, PICTURES, 3, file, &s->images, NULL), STATUS_OK);
    for (uint32_t i = 0; i < PICTURES; i++) {
        struct picture *picture = &s->pictures[i];
        struct image copy;
        picture_init(picture, shapes[i][0], shapes[i][1], 3, i);
        s->least[i] = picture->level_count > (int)i % 3 ? (int)i % 3 : 0;
        assert_int_equal(image_init(&copy, shapes[i][0], shapes[i][1], 3, NULL), STATUS_OK);
        memcpy(copy.pixels, picture->base.pixels, (size_t)copy.h * (size_t)copy.w * 3);
        assert_int_equal(cpu_image_ops.put(s->device, s->images, i, &copy, drops ? s->least[i] : 0, NULL), STATUS_OK);
        assert_null(copy.pixels);
    }
}

static void scene_close(struct scene *s)
{
    cpu_image_ops.destroy(s->device, s->images);
    cpu_device_ops.close(s->device);
    for (int i = 0; i < PICTURES; i++)
        picture_release(&s->pictures[i]);
}

static void check(struct scratch_file *file, bool drops)
{
    struct scene s;
    struct view views[VIEWS], partner_views[VIEWS];
    struct view_mix mixes[VIEWS];
    uint32_t samples[VIEWS], partners[VIEWS], cursor = 0;
    struct random_stream stream;
    float table[3][256], *out = malloc(VIEWS * SIZE * SIZE * 3 * sizeof *out);
    uint16_t *half = malloc(VIEWS * SIZE * SIZE * 3 * sizeof *half);
    uint8_t pixels[SIZE * SIZE * 3];
    scene_open(&s, file, drops);
    random_stream_init(&stream, 1, RANDOM_VIEW, 2, 3);
    for (int i = 0; i < VIEWS; i++) {
        samples[i] = (uint32_t)i % PICTURES;
        partners[i] = (uint32_t)(i / PICTURES) % PICTURES;
        do
            random_view(&views[i], &stream, &s.pictures[samples[i]], SIZE);
        while (views[i].level < s.least[samples[i]]);
        do
            random_view(&partner_views[i], &stream, &s.pictures[partners[i]], SIZE);
        while (partner_views[i].level < s.least[partners[i]]);
        random_mix(&mixes[i], &stream, SIZE);
    }
    for (int i = 0; i < 3 * 256; i++)
        table[i / 256][i % 256] = (float)i;
    const struct epoch_views epoch = {.batch = VIEWS,
                                      .cursor = &cursor,
                                      .views = views,
                                      .samples = samples,
                                      .mixes = mixes,
                                      .partner_views = partner_views,
                                      .partners = partners};
    assert_int_equal(cpu_image_ops.render(s.device, s.images, &epoch, VIEWS, SIZE, table, DTYPE_FP32, out, NULL),
                     STATUS_OK);
    for (int i = 0; i < VIEWS; i++) {
        reference_pixels(&views[i], &s.pictures[samples[i]], &mixes[i], &partner_views[i], &s.pictures[partners[i]],
                         SIZE, pixels);
        for (int k = 0; k < SIZE * SIZE * 3; k++)
            if (out[i * SIZE * SIZE * 3 + k] != (float)(k % 3 * 256 + pixels[k]))
                fail_msg("view %d of level %d, mix %d, value %d: %g, expected %d", i, views[i].level, mixes[i].kind, k,
                         (double)out[i * SIZE * SIZE * 3 + k], k % 3 * 256 + pixels[k]);
    }
    assert_int_equal(cpu_image_ops.render(s.device, s.images, &epoch, VIEWS, SIZE, table, DTYPE_BF16, half, NULL),
                     STATUS_OK);
    for (int i = 0; i < VIEWS * SIZE * SIZE * 3; i++) {
        const double grain = out[i] < 256 ? 1 : out[i] < 512 ? 2 : 4; /* of 8 significant bits */
        if ((double)bf16_to_float(half[i]) != grain * nearbyint((double)out[i] / grain))
            fail_msg("value %d in bf16: %g, not %g rounded", i, (double)bf16_to_float(half[i]), (double)out[i]);
    }
    scene_close(&s);
    free(out);
    free(half);
}

static void in_memory(void **state)
{
    (void)state;
    check(NULL, false);
    check(NULL, true);
}

static void in_a_file(void **state)
{
    char *folder = temporary_folder();
    (void)state;
    for (int drops = 0; drops < 2; drops++) {
        struct scratch_file file;
        assert_int_equal(scratch_file_open(&file, folder, NULL), STATUS_OK);
        check(&file, drops);
        assert_true(atomic_load(&file.size) > 0);
        scratch_file_close(&file);
    }
    assert_int_equal(rmdir(folder), 0); /* nothing is left in it */
    free(folder);
}

/* A view of a level that was dropped, and a file that is shorter than it was, are errors and not other pixels. */
static void what_is_gone_is_an_error(void **state)
{
    char *folder = temporary_folder();
    struct view view = {.m = {65536, 0, 0, 0, 65536, 0}};
    uint32_t sample = 1, cursor = 0; /* its least level is 1 */
    const struct epoch_views epoch = {.batch = 1, .cursor = &cursor, .views = &view, .samples = &sample};
    float table[3][256] = {{0}}, out[SIZE * SIZE * 3];
    struct scratch_file file;
    struct scene s;
    struct error err = {0};
    (void)state;
    scene_open(&s, NULL, true);
    assert_int_equal(cpu_image_ops.render(s.device, s.images, &epoch, 1, SIZE, table, DTYPE_FP32, out, &err),
                     STATUS_INTERNAL);
    assert_non_null(strstr(err.message, "reduced to level 1"));
    scene_close(&s);
    assert_int_equal(scratch_file_open(&file, folder, NULL), STATUS_OK);
    scene_open(&s, &file, false);
    assert_int_equal(ftruncate(file.descriptor, 1000), 0);
    assert_int_equal(cpu_image_ops.render(s.device, s.images, &epoch, 1, SIZE, table, DTYPE_FP32, out, &err),
                     STATUS_IO);
    scene_close(&s);
    scratch_file_close(&file);
    assert_int_equal(scratch_file_open(&file, "/nowhere/at all", &err), STATUS_CANT_CREATE);
    remove_folder(folder);
    free(folder);
}

/* As the sample of a view, and as the partner that is mixed into it. */
static void what_was_never_put_is_an_error(void **state)
{
    enum { PUT = 1, FREE = 2, BEHIND = PICTURES };
    char *folder = temporary_folder();
    struct scratch_file file;
    (void)state;
    assert_int_equal(scratch_file_open(&file, folder, NULL), STATUS_OK);
    for (int in_file = 0; in_file < 2; in_file++) {
        static const uint32_t pairs[][2] = {{FREE, PUT}, {PUT, FREE}, {BEHIND, PUT}, {PUT, BEHIND}};
        struct view view = {.level = 1, .m = {65536, 0, 0, 0, 65536, 0}};
        const struct view_mix mix = {.kind = VIEW_MIX_BLEND, .share = 32768};
        uint32_t cursor = 0;
        float table[3][256] = {{0}}, out[SIZE * SIZE * 3];
        struct scene s;
        scene_open(&s, in_file ? &file : NULL, false);
        struct device_images *images;
        struct image copy;
        assert_int_equal(cpu_image_ops.create(s.device, PICTURES, 3, in_file ? &file : NULL, &images, NULL), STATUS_OK);
        assert_int_equal(image_init(&copy, 40, 40, 3, NULL), STATUS_OK);
        memset(copy.pixels, 0, 40 * 40 * 3);
        assert_int_equal(cpu_image_ops.put(s.device, images, PUT, &copy, 0, NULL), STATUS_OK);
        for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
            struct error err = {0};
            const struct epoch_views epoch = {.batch = 1,
                                              .cursor = &cursor,
                                              .views = &view,
                                              .samples = &pairs[i][0],
                                              .mixes = &mix,
                                              .partner_views = &view,
                                              .partners = &pairs[i][1]};
            assert_int_equal(cpu_image_ops.render(s.device, images, &epoch, 1, SIZE, table, DTYPE_FP32, out, &err),
                             STATUS_INTERNAL);
            assert_non_null(strstr(err.message, "was never loaded"));
        }
        cpu_image_ops.destroy(s.device, images);
        scene_close(&s);
    }
    scratch_file_close(&file);
    remove_folder(folder);
    free(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(in_memory), cmocka_unit_test(in_a_file),
                                       cmocka_unit_test(what_is_gone_is_an_error),
                                       cmocka_unit_test(what_was_never_put_is_an_error)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
