/* Mutated folders of answers: any status but a crash, a hang or an internal error, and never a size that was not
 * checked. The mutations are the same on every run. */
#include "formats/cache/answers.h"
#include "formats/cache/cache_row.h"
#include "shared/base/digest.h"
#include "shared/base/files.h"
#include "shared/base/random.h"
#include "teacher_dump/import_job.h"
#include "tests/helper_answers.h"
#include "tests/helper_images.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static size_t mutate(struct random_stream *random, uint8_t *bytes, size_t size, uint32_t front)
{
    static const char *const pieces[] = {"9", "-1", "1e99", "\"", "{", "null", "65536", "4294967296", "[]", "\\u0000"};
    for (uint32_t round = random_below(random, 3) + 1; round > 0; round--) {
        const uint32_t limit = front < size ? front : (uint32_t)size, at = random_below(random, limit);
        const char *piece = pieces[random_below(random, sizeof pieces / sizeof *pieces)];
        if (random_below(random, 2))
            bytes[at] = (uint8_t)random_below(random, 256);
        else
            memcpy(bytes + at, piece, strlen(piece) < size - at ? strlen(piece) : size - at);
    }
    return random_below(random, 8) ? size : random_below(random, (uint32_t)size);
}

static void check_status(enum status status, const struct error *err)
{
    if (status != STATUS_OK && status != STATUS_BAD_DATA && status != STATUS_CONFIG && status != STATUS_NO_INPUT)
        fail_msg("status %d: %s", status, err->message);
    if (status != STATUS_OK)
        assert_true(err->message[0]);
}

static void mutated_json(void **state)
{
    (void)state;
    struct random_stream random;
    unsigned char *text;
    size_t size, accepted = 0;
    assert_int_equal(file_read("tests/golden/answers/answers.json", 1 << 20, &text, &size, NULL), STATUS_OK);
    random_stream_init(&random, 1, RANDOM_SHUFFLE, 1, 0);
    for (int round = 0; round < 20000; round++) {
        struct cache_manifest manifest = {0};
        struct error err = {0};
        uint8_t *copy = malloc(size);
        memcpy(copy, text, size);
        const size_t length = mutate(&random, copy, size, (uint32_t)size);
        const enum status status = answers_parse(&manifest, (char *)copy, length, "mutated", &err);
        check_status(status, &err);
        accepted += status == STATUS_OK;
        if (status == STATUS_OK) /* every size can be computed and is sane */
            assert_true(cache_row_bytes(&manifest, SPLIT_TRAIN, 0, (uint64_t)manifest.views) <= CACHE_SHARD_LIMIT);
        arena_release(&manifest.arena);
        free(copy);
    }
    assert_in_range(accepted, 200, 19000);
    free(text);
}

static void mutated_heads(void **state)
{
    (void)state;
    struct cache_manifest manifest = {0};
    struct random_stream random;
    unsigned char *text, *bytes;
    char digest[65];
    size_t size, accepted = 0;
    assert_int_equal(file_read("tests/golden/answers/answers.json", 1 << 20, &text, &size, NULL), STATUS_OK);
    digest_bytes(text, size, digest);
    assert_int_equal(answers_parse(&manifest, (char *)text, size, "answers.json", NULL), STATUS_OK);
    assert_int_equal(file_read("tests/golden/answers/train-0000000000.rows", 1 << 20, &bytes, &size, NULL), STATUS_OK);
    random_stream_init(&random, 2, RANDOM_SHUFFLE, 2, 0);
    for (int round = 0; round < 50000; round++) {
        struct answers_file file = {0};
        struct error err = {0};
        uint8_t *copy = malloc(size);
        memcpy(copy, bytes, size);
        const size_t length = mutate(&random, copy, size, 240);
        const enum status status =
            answers_parse_head(&manifest, digest, (char *)copy, length, length, "mutated", &file, &err);
        check_status(status, &err);
        accepted += status == STATUS_OK;
        if (status == STATUS_OK)
            assert_int_equal(file.head + file.bytes, length);
        free(copy);
    }
    assert_in_range(accepted, 200, 49000);
    arena_release(&manifest.arena);
    free(bytes);
    free(text);
}

/* Whole folders with rows that are changed together with their digest. */
static void mutated_rows(void **state)
{
    (void)state;
    char *folder = temporary_folder(), cache[128], answers[128], photos[128];
    struct random_stream random;
    unsigned char *bytes;
    size_t size;
    snprintf(cache, sizeof cache, "%s/cache", folder);
    snprintf(answers, sizeof answers, "%s/answers", folder);
    snprintf(photos, sizeof photos, "%s/photos", folder);
    make_golden_cache(photos, cache, GOLDEN_SEED);
    static const char *const names[] = {"answers.json", "train-0000000000.rows", "train-0000000012.rows",
                                        "val-0000000000.rows"};
    for (size_t i = 0; i < 4; i++) {
        char path[128];
        snprintf(path, sizeof path, "%s/%s", GOLDEN_ANSWERS, names[i]);
        assert_int_equal(file_read(path, 1 << 20, &bytes, &size, NULL), STATUS_OK);
        write_file(answers, names[i], bytes, size);
        if (i < 3)
            free(bytes);
    }
    random_stream_init(&random, 3, RANDOM_SHUFFLE, 3, 0);
    char digest[65], *end = memchr(bytes, '\n', size);
    for (int round = 0; round < 60; round++) {
        struct error err = {0};
        for (char *at = end + 1; at < (char *)bytes + size; at++)
            *at = (char)random_below(&random, 256);
        digest_bytes(end + 1, size - (size_t)(end + 1 - (char *)bytes), digest);
        memcpy(end - 66, digest, 64); /* "sha256": "..."} */
        write_file(answers, "val-0000000000.rows", bytes, size);
        struct import_job job = {.photos_path = cache, .answers_path = answers};
        struct progress progress;
        progress_init(&progress, stderr, true);
        struct cache_shard shard = {0};
        if (import_job_open(&job, &progress, &err) != STATUS_OK)
            fail_msg("%s: %s", err.path, err.message);
        check_status(import_job_shard(&job, SPLIT_VAL, 0, &shard, &err), &err);
        cache_shard_release(&shard);
        import_job_release(&job);
    }
    free(bytes);
    remove_folder(folder);
    free(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mutated_json),
        cmocka_unit_test(mutated_heads),
        cmocka_unit_test(mutated_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
