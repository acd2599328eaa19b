/* TensorBoard event files: CRC-32C known answers, the exact bytes of an event, the records of a file. */
#define _GNU_SOURCE
#include "formats/report/tensorboard.h"
#include "shared/base/files.h"
#include "tests/helper_images.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void crc_known_answers(void **state)
{
    (void)state;
    uint8_t zeros[32] = {0}, ones[32];
    memset(ones, 0xFF, sizeof ones);
    /* RFC 3720, B.4, and the check value of the catalogue of CRCs. */
    assert_int_equal(crc32c(zeros, 32), 0x8A9136AA);
    assert_int_equal(crc32c(ones, 32), 0x62A8AB43);
    assert_int_equal(crc32c("123456789", 9), 0xE3069283);
    assert_int_equal(crc32c("", 0), 0);
}

/* Made by TensorBoard's own event_pb2: Event(wall_time=1700000000.25, step=300, loss/train = 0.15625, lr = -2). */
static const uint8_t golden[60] = {0x2c, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xf4, 0xae, 0xcc, 0x45,
                                   0x09, 0x00, 0x00, 0x10, 0x40, 0xfc, 0x54, 0xd9, 0x41, 0x10, 0xac, 0x02,
                                   0x2a, 0x1e, 0x0a, 0x11, 0x0a, 0x0a, 0x6c, 0x6f, 0x73, 0x73, 0x2f, 0x74,
                                   0x72, 0x61, 0x69, 0x6e, 0x15, 0x00, 0x00, 0x20, 0x3e, 0x0a, 0x09, 0x0a,
                                   0x02, 0x6c, 0x72, 0x15, 0x00, 0x00, 0x00, 0xc0, 0x01, 0xe4, 0x8a, 0x15};

static void event_has_the_exact_bytes(void **state)
{
    (void)state;
    static const struct tensorboard_scalar scalars[] = {{"loss/train", 0.15625f}, {"not measured", NAN}, {"lr", -2}};
    size_t size = 0;
    uint8_t *record = tensorboard_encode(1700000000.25, 300, scalars, 3, &size);
    assert_non_null(record);
    assert_int_equal(size, sizeof golden);
    assert_memory_equal(record, golden, size);
    free(record);
}

/* The size of the record at `at`, after checking that its length and CRCs hold. */
static size_t check_record(const uint8_t *at, size_t left)
{
    assert_true(left >= 16);
    size_t size = at[0] | (size_t)at[1] << 8;
    assert_true(size + 16 <= left);
    for (int part = 0; part < 2; part++) {
        const uint8_t *data = part ? at + 12 : at, *stored = part ? at + 12 + size : at + 8;
        uint32_t crc = crc32c(data, part ? size : 8), masked = (crc >> 15 | crc << 17) + 0xA282EAD8u;
        assert_int_equal(stored[0] | stored[1] << 8 | stored[2] << 16 | (uint32_t)stored[3] << 24, masked);
    }
    return size + 16;
}

static void files_start_with_version_and_session(void **state)
{
    (void)state;
    char *folder = temporary_folder(), long_tag[300];
    struct tensorboard_writer *first = NULL, *second = NULL;
    struct folder_entry *entries = NULL;
    size_t count = 0, size = 0, records = 0;
    unsigned char *bytes = NULL;
    memset(long_tag, 'x', sizeof long_tag - 1);
    long_tag[sizeof long_tag - 1] = 0;
    const struct tensorboard_scalar scalar = {long_tag, 1};
    assert_int_equal(tensorboard_open(&first, folder, 1, NULL), STATUS_OK);
    assert_int_equal(tensorboard_write(first, 1, &scalar, 1, NULL), STATUS_OK);
    assert_int_equal(tensorboard_open(&second, folder, 2, NULL), STATUS_OK);
    tensorboard_close(first);
    tensorboard_close(second);
    assert_int_equal(folder_list(folder, &entries, &count, NULL), STATUS_OK);
    assert_int_equal(count, 2); /* a second start in the same second gets a file of its own */
    for (size_t i = 0; i < count; i++) {
        char *path = path_join(folder, entries[i].name);
        assert_int_equal(strncmp(entries[i].name, "events.out.tfevents.", 20), 0);
        assert_int_equal(file_read(path, 1 << 20, &bytes, &size, NULL), STATUS_OK);
        records = 0;
        for (size_t at = 0; at < size; records++)
            at += check_record(bytes + at, size - at);
        assert_int_equal(records, i == 0 ? 3 : 2);
        assert_non_null(memmem(bytes, size, "brain.Event:2", 13));
        free(bytes);
        unlink(path);
        free(path);
    }
    folder_list_free(entries, count);
    rmdir(folder);
    free(folder);
}

static void missing_folder_is_an_error(void **state)
{
    (void)state;
    struct tensorboard_writer *writer = NULL;
    struct error err = {0};
    assert_int_equal(tensorboard_open(&writer, "/nonexistent/folder", 1, &err), STATUS_CANT_CREATE);
    assert_null(writer);
    assert_non_null(strstr(err.path, "/nonexistent/folder/events.out.tfevents."));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crc_known_answers),
        cmocka_unit_test(event_has_the_exact_bytes),
        cmocka_unit_test(files_start_with_version_and_session),
        cmocka_unit_test(missing_folder_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
