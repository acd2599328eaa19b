/* Image files of every kind: pixels equal Pillow's, whatever the name; what is broken is refused, or salvaged as Pillow
 * does; hostile bytes are an error and nothing else. */
#define _GNU_SOURCE
#include "formats/image/image_file.h"
#include "formats/image/exif.h"
#include "shared/base/digest.h"
#include "shared/base/files.h"
#include "shared/base/random.h"
#include "tests/golden/image_files.h"
#include "tests/helper_images.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { FILES = sizeof image_files / sizeof *image_files };

/* WebP and TIFF are built only where their libraries are. */
static bool is_built(enum image_format format)
{
    struct image_info info;
    struct error err = {0};
    const uint8_t webp[32] = "RIFF\x18\0\0\0WEBPVP8 ", tiff[32] = "II*\0";
    if (format != IMAGE_FORMAT_WEBP && format != IMAGE_FORMAT_TIFF)
        return true;
    return image_file_inspect(format == IMAGE_FORMAT_WEBP ? webp : tiff, 32, "x", &info, &err) != STATUS_CONFIG;
}

static uint8_t *read_golden(const char *name, size_t *size)
{
    char path[256];
    struct error err = {0};
    uint8_t *bytes;
    snprintf(path, sizeof path, "tests/golden/image_files/%s", name);
    if (file_read(path, 1 << 20, &bytes, size, &err) != STATUS_OK)
        fail_msg("%s: %s", path, err.message);
    return bytes;
}

static void check_pixels(const struct image_file *file, const struct image_reading *reading, const char *expected)
{
    size_t size;
    uint8_t *bytes = read_golden(file->name, &size);
    struct image image;
    struct error err = {0};
    char digest[DIGEST_HEX_SIZE];
    if (image_file_decode(bytes, size, reading, file->name, &image, &err) != STATUS_OK)
        fail_msg("%s: %s", file->name, err.message);
    if (!reading->upright && (image.h != file->h || image.w != file->w))
        fail_msg("%s: %d x %d instead of %d x %d", file->name, image.h, image.w, file->h, file->w);
    digest_bytes(image.pixels, (size_t)image.h * (size_t)image.w * 3, digest);
    if (strcmp(digest, expected) != 0)
        fail_msg("%s: other pixels than Pillow's%s", file->name, reading->upright ? " when turned" : "");
    image_release(&image);
    free(bytes);
}

static void test_pixels(void **state)
{
    (void)state;
    int checked = 0;
    for (int i = 0; i < FILES; i++) {
        size_t size;
        uint8_t *bytes = read_golden(image_files[i].name, &size);
        const enum image_format format = image_format_of(bytes, size);
        free(bytes);
        if (!is_built(format))
            continue;
        const struct image_reading plain = {.salvage = image_files[i].broken},
                                   upright = {.upright = true, .salvage = image_files[i].broken};
        check_pixels(&image_files[i], &plain, image_files[i].plain);
        check_pixels(&image_files[i], &upright, image_files[i].upright);
        checked++;
    }
    assert_true(checked > 90);
    if (checked < FILES)
        printf("[  NOTE    ] %d of %d files left out: WebP or TIFF is not built\n", FILES - checked, FILES);
}

/* Salvaging a good file changes nothing. */
static void test_salvage_of_good_files(void **state)
{
    (void)state;
    const struct image_reading salvage = {.salvage = true};
    for (int i = 0; i < FILES; i++)
        if (!image_files[i].broken && strncmp(image_files[i].name, "tiff", 4) &&
            strncmp(image_files[i].name, "webp", 4))
            check_pixels(&image_files[i], &salvage, image_files[i].plain);
}

static void test_broken_files_are_refused(void **state)
{
    (void)state;
    const struct image_reading strict = {0};
    for (int i = 0; i < FILES; i++) {
        struct error err = {0};
        struct image image;
        size_t size;
        if (!image_files[i].broken)
            continue;
        uint8_t *bytes = read_golden(image_files[i].name, &size);
        if (image_file_decode(bytes, size, &strict, "folder/name", &image, &err) != STATUS_BAD_DATA)
            fail_msg("%s: accepted", image_files[i].name);
        assert_string_equal(err.path, "folder/name");
        assert_null(image.pixels);
        free(bytes);
    }
}

/* Every file cut at many places: refused, or as it should be; never a crash. Behind the pixels there may be bytes that
 * nobody needs. */
static void test_cut_files(void **state)
{
    (void)state;
    const struct image_reading strict = {0}, salvage = {.salvage = true};
    for (int i = 0; i < FILES; i++) {
        size_t size;
        uint8_t *bytes = read_golden(image_files[i].name, &size);
        if (image_files[i].broken || !is_built(image_format_of(bytes, size))) {
            free(bytes);
            continue;
        }
        for (size_t cut = 0; cut < size; cut += 1 + size / 23) {
            uint8_t *exact = malloc(cut ? cut : 1); /* its own block, so that sanitizers see reads behind it */
            struct error err = {0};
            struct image image;
            memcpy(exact, bytes, cut);
            enum status status = image_file_decode(exact, cut, &strict, "x", &image, &err);
            if (status != STATUS_OK && status != STATUS_BAD_DATA)
                fail_msg("%s cut at %zu: status %d: %s", image_files[i].name, cut, status, err.message);
            if (status == STATUS_OK && cut < size / 2)
                fail_msg("%s: accepted with %zu of %zu bytes", image_files[i].name, cut, size);
            assert_true(status == STATUS_OK || (err.message[0] && !image.pixels));
            image_release(&image);
            image_file_decode(exact, cut, &salvage, "x", &image, NULL);
            image_release(&image);
            free(exact);
        }
        free(bytes);
    }
}

static void mutate(struct random_stream *random, uint8_t *bytes, size_t size)
{
    static const uint8_t extremes[] = {0, 1, 0x7F, 0x80, 0xFF};
    for (uint32_t round = random_below(random, 4) + 1; round > 0; round--) {
        const uint32_t limit = random_below(random, 3) ? (uint32_t)(size < 200 ? size : 200) : (uint32_t)size;
        const uint32_t at = random_below(random, limit), what = random_below(random, 3);
        bytes[at] = what == 0   ? extremes[random_below(random, sizeof extremes)]
                    : what == 1 ? (uint8_t)random_below(random, 256)
                                : bytes[at] ^ (uint8_t)(1u << random_below(random, 8));
    }
}

/* Mutated files: any answer but a crash, a hang, or another error than that the file is bad. */
static void test_mutated_files(void **state)
{
    (void)state;
    const int rounds = 60;
    int accepted = 0, refused = 0;
    for (int i = 0; i < FILES; i++) {
        struct random_stream random;
        size_t size;
        uint8_t *bytes = read_golden(image_files[i].name, &size);
        random_stream_init(&random, 3, RANDOM_SHUFFLE, (uint32_t)i, 0);
        for (int round = 0; round < rounds && is_built(image_format_of(bytes, size)); round++) {
            const struct image_reading reading = {.upright = round % 3 == 0, .salvage = round % 2 == 0};
            uint8_t *copy = malloc(size);
            struct error err = {0};
            struct image_info info;
            struct image image;
            memcpy(copy, bytes, size);
            mutate(&random, copy, size);
            image_file_inspect(copy, size, "x", &info, NULL);
            enum status status = image_file_decode(copy, size, &reading, "x", &image, &err);
            if (status != STATUS_OK && status != STATUS_BAD_DATA)
                fail_msg("%s, round %d: status %d: %s", image_files[i].name, round, status, err.message);
            accepted += status == STATUS_OK;
            refused += status != STATUS_OK;
            image_release(&image);
            free(copy);
        }
        free(bytes);
    }
    assert_true(accepted > 500 && refused > 500);
}

/* One answer for each change: an image of the size that the header says, or that the file is bad. */
static void decode_changed(const uint8_t *bytes, size_t size, const char *name, size_t at, bool salvage)
{
    const struct image_reading reading = {.upright = at % 2, .salvage = salvage};
    struct error err = {0};
    struct image_info info = {0};
    struct image image;
    const enum status known = image_file_inspect(bytes, size, name, &info, NULL);
    const enum status status = image_file_decode(bytes, size, &reading, name, &image, &err);
    if (status != STATUS_OK ? status != STATUS_BAD_DATA || strlen(err.message) < 5 || image.pixels
                            : known == STATUS_OK && image.h != info.h && image.h != info.w)
        fail_msg("%s, changed at %zu: status %d: %s", name, at, (int)status, err.message);
    image_release(&image);
}

/* Every byte of the header has each of the values that headers give a meaning to. */
static void test_header_bytes(void **state)
{
    (void)state;
    static const uint8_t values[] = {0, 1, 2, 3, 4, 8, 16, 24, 32, 127, 255};
    for (int i = 0; i < FILES; i++) {
        size_t size;
        uint8_t *bytes = read_golden(image_files[i].name, &size);
        const size_t header = image_files[i].broken ? 0 : size < 60 ? size : 60;
        for (size_t at = 0; at < header && is_built(image_format_of(bytes, size)); at++) {
            const uint8_t own = bytes[at];
            for (size_t k = 0; k < sizeof values; k++) {
                bytes[at] = values[k];
                decode_changed(bytes, size, image_files[i].name, at, k % 2);
            }
            bytes[at] = own;
        }
        free(bytes);
    }
}

static uint64_t little(const uint8_t *bytes, int count)
{
    uint64_t value = 0;
    for (int i = count - 1; i >= 0; i--)
        value = value << 8 | bytes[i];
    return value;
}

/* Every entry of a TIFF's directory has another type, count or value, or is another tag. */
static void test_tiff_entries(void **state)
{
    (void)state;
    enum { ENTRY = 12 };
    static const struct {
        int at, bytes;
    } fields[] = {{0, 2}, {2, 2}, {4, 4}, {8, 4}};
    static const uint32_t values[] = {0, 1, 2, 3, 4, 5, 8, 16, 255, 65000, 1 << 20, 0xFFFFFFFF};
    int changed = 0;
    for (int i = 0; i < FILES; i++) {
        size_t size;
        uint8_t *bytes = read_golden(image_files[i].name, &size);
        const uint64_t directory = size > 8 && memcmp(bytes, "II*", 4) == 0 ? little(bytes + 4, 4) : size;
        const uint64_t count = directory + 2 < size ? little(bytes + directory, 2) : 0;
        for (uint64_t e = 0; e < count && is_built(IMAGE_FORMAT_TIFF); e++)
            for (int f = 0; f < 4; f++)
                for (size_t k = 0; k < sizeof values / sizeof *values; k++) {
                    uint8_t *field = bytes + directory + 2 + e * ENTRY + fields[f].at, own[4];
                    if (field + 4 > bytes + size)
                        continue;
                    memcpy(own, field, 4);
                    for (int b = 0; b < fields[f].bytes; b++)
                        field[b] = (uint8_t)(values[k] >> 8 * b);
                    decode_changed(bytes, size, image_files[i].name, (size_t)(field - bytes), false);
                    memcpy(field, own, 4);
                    changed++;
                }
        free(bytes);
    }
    assert_true(changed > 10000 || !is_built(IMAGE_FORMAT_TIFF));
}

/* What the first bytes of a file may be: each mark of a kind, cut and with other bytes. */
static void test_marks(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
    } marks[] = {{"\xFF\xD8\xFF\xE0", 4},
                 {"\x89PNG\r\n\x1A\n\0\0\0\rIHDR", 16},
                 {"GIF89a\1\0\1\0", 10},
                 {"BM\x1E\0\0\0\0\0\0\0\x1A\0\0\0", 14},
                 {"RIFF\x18\0\0\0WEBPVP8 ", 16},
                 {"RIFF\x18\0\0\0AVI LIST", 16},
                 {"RIFF\x18\0\0\0WAVEfmt ", 16},
                 {"II*\0\x10\0\0\0CR\2\0", 12},
                 {"MM\0*\0\0\0\x08", 8},
                 {"\0\0\0\x18"
                  "ftypheic\0\0\0\0",
                  16},
                 {"\0\0\0\x18"
                  "ftypavif\0\0\0\0",
                  16},
                 {"\0\0\0\x18"
                  "ftypmp42\0\0\0\0",
                  16},
                 {"P1\n1 1\n1", 8},
                 {"P7\t1 1\n1", 8},
                 {"P8\n1 1\n1", 8},
                 {"P5\r2 2\n1", 8},
                 {"\xFF\x0A", 2},
                 {"8BPS\0\1", 6},
                 {"%PDF-1.7", 8},
                 {"<!DOCTYPE html>", 15},
                 {"<svg xmlns", 10},
                 {"PK\3\4", 4},
                 {"\x1F\x8B\x08", 3}};
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
        for (size_t cut = 1; cut <= marks[i].size; cut++)
            for (size_t at = 0; at <= cut; at++) {
                uint8_t bytes[64] = {0};
                memcpy(bytes, marks[i].bytes, cut);
                if (at < cut)
                    bytes[at] ^= 0x21;
                decode_changed(bytes, cut, "a mark", at, false);
                decode_changed(bytes, sizeof bytes, "a mark", at, false);
            }
}

static void expect_refusal(const void *bytes, size_t size, const char *words)
{
    const struct image_reading strict = {0};
    struct error err = {0};
    struct image image;
    assert_int_equal(image_file_decode(bytes, size, &strict, "name.jpg", &image, &err), STATUS_BAD_DATA);
    if (!strstr(err.message, words))
        fail_msg("the message has no '%s': %s", words, err.message);
}

/* What is no image, or one that is not read, is called by its name. */
static void test_other_kinds(void **state)
{
    (void)state;
    expect_refusal("", 0, "is empty");
    expect_refusal("\0\0\0\x18"
                   "ftypheic\0\0\0\0mif1heic",
                   24, "HEIC");
    expect_refusal("\0\0\0\x18"
                   "ftypavif\0\0\0\0mif1avif",
                   24, "AVIF");
    expect_refusal("\xFF\x0A\0\0\0\0\0\0", 8, "JPEG XL");
    expect_refusal("8BPS\0\1\0\0", 8, "Photoshop");
    expect_refusal("%PDF-1.7", 8, "PDF");
    expect_refusal("<!DOCTYPE html><html>", 21, "HTML");
    expect_refusal("P6\n3 2\n255\nabcdefghijklmnopqr", 29, "PBM/PGM/PPM");
    expect_refusal("BMW is a car, and no header of a bitmap", 39, "it starts with 0x42 0x4d");
    assert_int_equal(image_format_of((const uint8_t *)"II*\0\x10\0\0\0CR\2\0", 12), IMAGE_FORMAT_RAW_PHOTO);
    assert_true(image_format_is_name("a.JPG") && image_format_is_name("b.tiff") && !image_format_is_name("png"));
}

/* Headers that promise gigabytes in a few bytes. */
static void test_bombs(void **state)
{
    (void)state;
    uint8_t png[64] = "\x89PNG\r\n\x1A\n\0\0\0\rIHDR\0\0\xF0\0\0\0\xF0\0\x08\x02", bmp[64] = "BM";
    uint8_t gif[64] = "GIF89a\xFF\xFF\xFF\xFF\0\0\0,\0\0\0\0\xFF\xFF\xFF\xFF";
    bmp[14] = 40;
    bmp[18] = bmp[19] = bmp[22] = bmp[23] = 0xF0; /* w, h */
    bmp[28] = 24;
    expect_refusal(png, sizeof png, "over the limit");
    expect_refusal(bmp, sizeof bmp, "over the limit");
    expect_refusal(gif, sizeof gif, "over the limit");
    png[17] = png[21] = 0;
    png[18] = png[22] = 0x20; /* 8192 x 8192 */
    expect_refusal(png, sizeof png, "impossible");
}

static void test_turns(void **state)
{
    (void)state;
    struct error err = {0};
    struct image image;
    assert_int_equal(image_init(&image, 2, 3, 1, &err), STATUS_OK);
    memcpy(image.pixels, "abcdef", 6);
    assert_int_equal(exif_turn(&image, 6, &err), STATUS_OK); /* the camera was turned to the left: turn to the right */
    assert_int_equal(image.h, 3);
    assert_memory_equal(image.pixels, "daebfc", 6);
    image_release(&image);
    assert_int_equal(exif_orientation((const uint8_t *)"MM\0*\0\0\0\x08\0\1\x01\x12\0\3\0\0\0\1\0\7\0\0", 22), 7);
    assert_int_equal(exif_orientation((const uint8_t *)"MM\0*\0\0\0\x08\0\1\x01\x12\0\3\0\0\0\1\0\7", 19), 1);
    assert_int_equal(exif_orientation((const uint8_t *)"II*\0\xFF\xFF\xFF\xFF", 8), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pixels),
        cmocka_unit_test(test_salvage_of_good_files),
        cmocka_unit_test(test_broken_files_are_refused),
        cmocka_unit_test(test_cut_files),
        cmocka_unit_test(test_mutated_files),
        cmocka_unit_test(test_header_bytes),
        cmocka_unit_test(test_tiff_entries),
        cmocka_unit_test(test_marks),
        cmocka_unit_test(test_other_kinds),
        cmocka_unit_test(test_bombs),
        cmocka_unit_test(test_turns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
