/* The pass over all images before a run: sizes, broken ones, the listing's digest. */
#include "formats/datasets/image_source.h"
#include "formats/image/jpeg.h"
#include "shared/base/digest.h"
#include "tests/helper_images.h"
#include "tests/helper_sources.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct image_reading reading = {0};

static bool count_progress(void *context, size_t done, size_t total)
{
    size_t *last = context;
    assert_true(done > *last && done <= total);
    *last = done;
    return true;
}

static bool interrupt(void *context, size_t done, size_t total)
{
    (void)context;
    (void)done;
    (void)total;
    return false;
}

/* The listing's digest, computed here from the header's words. */
static void expected_digest(const struct image_source *source, char hex[DIGEST_HEX_SIZE])
{
    struct error err = {0};
    struct digest *digest;
    assert_int_equal(digest_new(&digest, &err), STATUS_OK);
    for (int split = 0; split < SPLIT_COUNT; split++)
        for (size_t i = 0; i < source->sets[split].count; i++) {
            const struct image_sample *sample = &source->sets[split].samples[i];
            char line[128], content[DIGEST_HEX_SIZE];
            uint8_t *bytes;
            size_t size;
            assert_int_equal(image_source_read(source, (enum split)split, i, &bytes, &size, &err), STATUS_OK);
            digest_bytes(bytes, size, content);
            snprintf(line, sizeof line, "%d %zu %s\n", sample->label, size, content);
            digest_update(digest, sample->name, strlen(sample->name) + 1);
            digest_update(digest, line, strlen(line));
            free(bytes);
        }
    digest_finish(digest, hex);
}

static void test_scan(void **state)
{
    const char *folder = *state;
    struct image_source source;
    struct image_scan scan, again;
    struct error err = {0};
    struct image gray = {.pixels = (uint8_t[16 * 12]){0}, .h = 16, .w = 12, .channels = 1};
    uint8_t *bytes;
    size_t size, last = 0;
    char digest[DIGEST_HEX_SIZE];
    write_image_folder(folder, "train", 2, 40, 10, 14);
    write_image_folder(folder, "val", 2, 3, 9, 9);
    assert_int_equal(jpeg_encode(&gray, 90, &bytes, &size, &err), STATUS_OK);
    write_file(folder, "train/class_00/0005.jpg", bytes, size);
    write_file(folder, "train/class_01/0007.jpg", bytes, size - 3);
    write_file(folder, "val/class_00/0001.jpg", "", 0);
    free(bytes);
    open_source(&source, folder);
    assert_int_equal(image_source_scan(&source, &reading, 1, count_progress, &last, &scan, &err), STATUS_OK);
    assert_int_equal(last, 86);
    assert_int_equal(scan.gray, 1);
    assert_int_equal(scan.cmyk, 0);
    assert_int_equal(scan.rotated, 0);
    assert_int_equal(scan.max_h, 16);
    assert_int_equal(scan.max_w, 14);
    assert_int_equal(scan.problem_count, 2);
    assert_int_equal(scan.problems[0].split, SPLIT_TRAIN);
    assert_int_equal(scan.problems[0].index, 47);
    assert_non_null(strstr(scan.problems[0].reason, "truncated"));
    assert_int_equal(scan.problems[1].split, SPLIT_VAL);
    assert_int_equal(scan.problems[1].index, 1);
    assert_int_equal(scan.sizes[SPLIT_TRAIN][5], size);
    assert_int_equal(scan.sizes[SPLIT_TRAIN][47], size - 3);
    assert_null(scan.sizes[SPLIT_TEST]);
    uint64_t sum = 0;
    for (size_t i = 0; i < 80; i++)
        sum += scan.sizes[SPLIT_TRAIN][i];
    for (size_t i = 0; i < 6; i++)
        sum += scan.sizes[SPLIT_VAL][i];
    assert_int_equal(scan.total_bytes, sum);
    expected_digest(&source, digest);
    assert_string_equal(scan.digest, digest);

    assert_int_equal(image_source_scan(&source, &reading, 3, NULL, NULL, &again, &err), STATUS_OK);
    assert_string_equal(scan.digest, again.digest);
    assert_int_equal(again.problem_count, 2);
    image_scan_release(&again);
    assert_int_equal(image_source_scan(&source, &reading, 2, interrupt, NULL, &again, &err), STATUS_INTERRUPTED);
    image_scan_release(&scan);
    image_source_release(&source);
}

int main(void)
{
    const struct CMUnitTest tests[] = {IN_FOLDER(test_scan)};
    return cmocka_run_group_tests_name("image_scan", tests, NULL, NULL);
}
