/* JPEG files that are whole, odd, broken and hostile. (Pixels are compared with PIL's in test_resize.c.) */
#include "formats/image/image_file.h"
#include "formats/image/jpeg.h"
#include "tests/helper_images.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct image_reading strict = {0};

struct bytes {
    uint8_t *data; /* malloc'ed, with room for SPARE more bytes */
    size_t size;
};

enum { SPARE = 4096 };

/* A photo of 40 x 56 as a JPEG. */
static int make_jpeg(void **state)
{
    struct bytes *jpeg = malloc(sizeof *jpeg);
    struct image photo;
    struct error err = {0};
    synthetic_photo(&photo, 40, 56, 3, 1);
    if (!jpeg || jpeg_encode(&photo, 90, &jpeg->data, &jpeg->size, &err) != STATUS_OK)
        return -1;
    jpeg->data = realloc(jpeg->data, jpeg->size + SPARE);
    image_release(&photo);
    *state = jpeg;
    return 0;
}

static int drop_jpeg(void **state)
{
    struct bytes *jpeg = *state;
    free(jpeg->data);
    free(jpeg);
    return 0;
}

static void insert(struct bytes *jpeg, size_t at, const void *data, size_t size)
{
    assert_true(size <= SPARE);
    memmove(jpeg->data + at + size, jpeg->data + at, jpeg->size - at);
    memcpy(jpeg->data + at, data, size);
    jpeg->size += size;
}

/* The position of the first marker 0xFF `code`. */
static size_t find_marker(const struct bytes *jpeg, uint8_t code)
{
    for (size_t i = 0; i + 1 < jpeg->size; i++)
        if (jpeg->data[i] == 0xFF && jpeg->data[i + 1] == code)
            return i;
    fail_msg("no marker %02x", code);
    return 0;
}

static void expect_accepted(const uint8_t *data, size_t size)
{
    struct image image;
    struct error err = {0};
    if (image_file_decode(data, size, &strict, "x.jpg", &image, &err) != STATUS_OK)
        fail_msg("refused: %s", err.message);
    image_release(&image);
}

static void expect_refused(const uint8_t *data, size_t size, const char *words)
{
    struct image image;
    struct error err = {0};
    assert_int_equal(image_file_decode(data, size, &strict, "x.jpg", &image, &err), STATUS_BAD_DATA);
    assert_string_equal(err.path, "x.jpg");
    if (!strstr(err.message, words))
        fail_msg("the message has no '%s': %s", words, err.message);
    assert_null(image.pixels);
}

static void test_round_trip(void **state)
{
    (void)state;
    struct image photo, decoded;
    struct image_info info;
    struct error err = {0};
    uint8_t *bytes;
    size_t size;
    synthetic_photo(&photo, 37, 91, 3, 1);
    assert_int_equal(jpeg_encode(&photo, 95, &bytes, &size, &err), STATUS_OK);
    assert_int_equal(image_file_inspect(bytes, size, "x", &info, &err), STATUS_OK);
    assert_int_equal(info.h, 37);
    assert_int_equal(info.w, 91);
    assert_true(!info.gray && !info.cmyk);
    assert_int_equal(info.orientation, 1);
    assert_int_equal(image_file_decode(bytes, size, &strict, "x", &decoded, &err), STATUS_OK);
    assert_int_equal(decoded.h, 37);
    assert_int_equal(decoded.w, 91);
    assert_int_equal(decoded.channels, 3);
    double difference = 0;
    for (int i = 0; i < 37 * 91 * 3; i++)
        difference += abs(photo.pixels[i] - decoded.pixels[i]);
    assert_true(difference / (37 * 91 * 3) < 12);
    image_release(&photo);
    image_release(&decoded);
    free(bytes);
}

/* As PIL: every cut is refused, even one that only takes the end marker; bytes after the end marker do not matter. */
static void test_truncated(void **state)
{
    struct bytes *jpeg = *state;
    for (size_t size = 1; size < jpeg->size; size++) {
        uint8_t *exact = malloc(size); /* so that a sanitizer sees reads past the end */
        memcpy(exact, jpeg->data, size);
        expect_refused(exact, size, "");
        free(exact);
    }
    expect_refused(jpeg->data, jpeg->size - 2, "truncated JPEG: the data ends after");
    expect_refused(jpeg->data, jpeg->size / 2, "truncated JPEG");
    insert(jpeg, jpeg->size, "trailing bytes", 14);
    expect_accepted(jpeg->data, jpeg->size);
}

static void test_not_jpeg(void **state)
{
    (void)state;
    expect_refused((const uint8_t *)"", 0, "is empty");
    expect_refused((const uint8_t *)"\x89PNG\r\n\x1a\n........", 16, "not a readable PNG");
    expect_refused((const uint8_t *)"\xFF\xD8\xFF\xD9", 4, "near byte 4");
}

static void test_damage(void **state)
{
    struct bytes *jpeg = *state;
    size_t scan = find_marker(jpeg, 0xDA);
    uint8_t zeros[40] = {0};
    insert(jpeg, jpeg->size - 2, zeros, 5); /* stray bytes before the end marker: PIL's pixels are right, and ours */
    expect_accepted(jpeg->data, jpeg->size);
    insert(jpeg, scan + 40, "\xFF\xD9", 2); /* the end marker within the data */
    expect_refused(jpeg->data, jpeg->size, "premature end of data");
}

static void set_size(struct bytes *jpeg, unsigned h, unsigned w)
{
    uint8_t *frame = jpeg->data + find_marker(jpeg, 0xC0);
    frame[5] = (uint8_t)(h >> 8), frame[6] = (uint8_t)h;
    frame[7] = (uint8_t)(w >> 8), frame[8] = (uint8_t)w;
}

static void test_hostile_sizes(void **state)
{
    struct bytes *jpeg = *state;
    struct image_info info;
    struct error err = {0};
    set_size(jpeg, 65500, 65500);
    expect_refused(jpeg->data, jpeg->size, "over the limit of 2^28 pixels");
    assert_int_equal(image_file_inspect(jpeg->data, jpeg->size, "x", &info, &err), STATUS_BAD_DATA);
    set_size(jpeg, 16000, 16000);
    expect_refused(jpeg->data, jpeg->size, "impossible");
    set_size(jpeg, 65535, 40);
    expect_refused(jpeg->data, jpeg->size, "maximum supported image dimension");
    set_size(jpeg, 0, 40);
    expect_refused(jpeg->data, jpeg->size, "");
    set_size(jpeg, 2000, 2000);
    expect_refused(jpeg->data, jpeg->size, "premature end of data");
}

/* A progressive JPEG of side x side flat gray pixels: a DC scan, then `count` - 1 times the same AC scan, which takes
 * few bytes whatever the size: a symbol of 15 zero bits says that 2^14 blocks have nothing. */
static size_t write_scans(uint8_t *out, int count, int side)
{
    const uint8_t high = (uint8_t)(side >> 8), low = (uint8_t)side;
    const uint8_t head[] = {0xFF, 0xD8, 0xFF, 0xC2, 0, 11, 8, high, low, high, low, 1, 1, 0x11, 0};
    static const uint8_t dc_scan[] = {0xFF, 0xDA, 0, 8, 1, 1, 0, 0, 0, 0};
    static const uint8_t ac_scan[] = {0xFF, 0xDA, 0, 8, 1, 1, 0, 1, 63, 0};
    const size_t blocks = (size_t)(side + 7) / 8 * ((size_t)(side + 7) / 8);
    const size_t dc_bytes = blocks / 8 + 1, ac_bytes = (blocks / 16384 + 1) * 15 / 8 + 1;
    uint8_t *at = out;
    memcpy(at, head, sizeof head);
    at += sizeof head;
    *at++ = 0xFF, *at++ = 0xDB, *at++ = 0, *at++ = 67, *at++ = 0; /* quantisation: all 1 */
    memset(at, 1, 64);
    at += 64;
    for (int table = 0; table < 2; table++) { /* Huffman: the code 0 is symbol 0, and 0xE0 in AC scans */
        *at++ = 0xFF, *at++ = 0xC4, *at++ = 0, *at++ = 20, *at++ = (uint8_t)(table << 4), *at++ = 1;
        memset(at, 0, 16);
        at[15] = table ? 0xE0 : 0;
        at += 16;
    }
    for (int scan = 0; scan < count; scan++) {
        const size_t size = scan ? ac_bytes : dc_bytes;
        memcpy(at, scan ? ac_scan : dc_scan, sizeof dc_scan);
        memset(at + sizeof dc_scan, 0, size);
        at += sizeof dc_scan + size;
    }
    *at++ = 0xFF, *at++ = 0xD9;
    return (size_t)(at - out);
}

static void test_scan_limit(void **state)
{
    (void)state;
    uint8_t jpeg[4096];
    expect_accepted(jpeg, write_scans(jpeg, JPEG_MAX_SCANS, 8));
    expect_refused(jpeg, write_scans(jpeg, JPEG_MAX_SCANS + 1, 8), "more than 100 scans");
    /* 16 megapixels in 35 kB: as many scans as a photo has, or so many that they are work and nothing else. */
    uint8_t *large = malloc(1 << 16);
    expect_accepted(large, write_scans(large, 12, 4000));
    expect_refused(large, write_scans(large, 60, 4000), "scans or more of 16000000 pixels in ");
    free(large);
}

static void test_orientation(void **state)
{
    static const struct {
        const char *what;
        uint8_t tiff[26];
        size_t size;
        int orientation;
    } cases[] = {
        {"big-endian", "MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0", 22, 6},
        {"little-endian", "II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x08\0\0\0", 22, 8},
        {"value out of range", "MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x09\0\0", 22, 1},
        {"other type", "MM\0*\0\0\0\x08\0\x01\x01\x12\0\x02\0\0\0\x01\0\x06\0\0", 22, 1},
        {"offset past the end", "MM\0*\xff\xff\xff\xff\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0", 22, 1},
        {"directory at the end", "MM\0*\0\0\0\x14\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\xff\xff", 22, 1},
        {"entry cut off", "MM\0*\0\0\0\x08\xff\xff\x01\x12\0\x03\0\0\0\x01\0", 19, 1},
        {"not TIFF", "XX\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0", 22, 1},
        {"nothing", "", 0, 1},
    };
    struct bytes *jpeg = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct image_info info;
        struct error err = {0};
        uint8_t segment[64] = {0xFF, 0xE1, 0, (uint8_t)(2 + 6 + cases[i].size), 'E', 'x', 'i', 'f'};
        memcpy(segment + 10, cases[i].tiff, cases[i].size);
        struct bytes copy = {malloc(jpeg->size + SPARE), jpeg->size};
        memcpy(copy.data, jpeg->data, jpeg->size);
        insert(&copy, 2, segment, 10 + cases[i].size);
        assert_int_equal(image_file_inspect(copy.data, copy.size, "x", &info, &err), STATUS_OK);
        if (info.orientation != cases[i].orientation)
            fail_msg("%s: orientation %d", cases[i].what, info.orientation);
        expect_accepted(copy.data, copy.size);
        free(copy.data);
    }
}

int main(void)
{
#define WITH_JPEG(test) cmocka_unit_test_setup_teardown(test, make_jpeg, drop_jpeg)
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_round_trip), WITH_JPEG(test_truncated),
                                       cmocka_unit_test(test_not_jpeg),   WITH_JPEG(test_damage),
                                       WITH_JPEG(test_hostile_sizes),     cmocka_unit_test(test_scan_limit),
                                       WITH_JPEG(test_orientation)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
