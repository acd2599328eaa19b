/* JPEG decoding: pixels as PIL gives them, broken files refused. */
#include "formats/jpeg.h"
#include "tests/helper_images.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_round_trip(void **state)
{
    (void)state;
    struct image photo, decoded;
    struct jpeg_info info;
    struct error err = {0};
    uint8_t *bytes;
    size_t size;
    synthetic_photo(&photo, 37, 91, 3, 1);
    assert_int_equal(jpeg_encode(&photo, 95, &bytes, &size, &err), STATUS_OK);
    assert_int_equal(jpeg_inspect(bytes, size, "x", &info, &err), STATUS_OK);
    assert_int_equal(info.h, 37);
    assert_int_equal(info.w, 91);
    assert_int_equal(info.components, 3);
    assert_int_equal(info.orientation, 1);
    assert_int_equal(jpeg_decode(bytes, size, "x", &decoded, &err), STATUS_OK);
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

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_round_trip)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
