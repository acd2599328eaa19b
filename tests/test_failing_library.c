/* Every call of what Python and other languages use of a cache fails once (helper_failing_calls.h): its data sets,
 * views and rows of answers. Also what both programs ask about a finished cache. */
#define _POSIX_C_SOURCE 200809L
#include "formats/cache/cache_library.h"
#include "formats/cache/hdf5_child.h"
#include "formats/cache/manifest.h"
#include "shared/base/files.h"
#include "tests/helper_answers.h"
#include "tests/helper_failing_calls.h"
#include "tests/helper_images.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define CACHES "tests/golden/caches/"
static char *folder;

static enum status told(int status, const char *message, struct error *err)
{
    return status == STATUS_OK ? STATUS_OK : error_set(err, (enum status)status, NULL, "%s", message);
}

/* ---- data sets ---- */

/* Rows 0, the last one, and 0 again. */
static int read_rows(const struct softcache_shard *shard, const char *name, uint64_t *sum, char *message)
{
    struct softcache_data data;
    int status = softcache_shard_data(shard, name, &data, message);
    if (status != STATUS_OK)
        return status;
    const int64_t rows[] = {0, data.dims[0] - 1, 0};
    size_t size = 3 * (size_t)data.item;
    for (int d = 1; d < data.rank; d++)
        size *= (size_t)data.dims[d];
    uint8_t *out = malloc(size);
    status = out ? softcache_shard_rows(shard, name, rows, 3, out, message) : STATUS_INTERNAL;
    if (!out)
        snprintf(message, CALL_MESSAGE, "the test has no memory");
    if (status == STATUS_OK)
        attempt_add(sum, out, size);
    free(out);
    return status;
}

static enum status read_data_sets(const void *what, uint64_t *sum, struct error *err)
{
    static const char *const names[] = {"ids", "labels", "logits", "names", "images"};
    struct softcache_cache *cache;
    struct softcache_shard *shard = NULL;
    char message[CALL_MESSAGE] = "";
    int status = softcache_cache_open(&cache, what, message);
    if (status == STATUS_OK)
        status = softcache_shard_open(&shard, cache, SPLIT_TRAIN, 0, message);
    for (size_t i = 0; i < sizeof names / sizeof *names && status == STATUS_OK; i++)
        status = read_rows(shard, names[i], sum, message);
    softcache_shard_close(shard);
    softcache_cache_close(cache);
    return told(status, message, err);
}

static void data_sets(void **state)
{
    (void)state;
    attempt_all(read_data_sets, CACHES "version_3", "data sets");
    attempt_some(read_data_sets, CACHES "version_2", "data sets that libhdf5 finds", 30); /* each starts a process */
}

/* ---- views ---- */

enum { SAMPLES = 3, SIDE = 12 };

struct seen {
    char *text; /* cache.json */
    const uint8_t *bytes[SAMPLES];
    size_t sizes[SAMPLES];
    int split;
};

static enum status render_views(const void *what, uint64_t *sum, struct error *err)
{
    static const char *const names[SAMPLES] = {"a", "b", "c"};
    static const uint32_t samples[SAMPLES] = {0, 1, 2};
    static const int32_t numbers[SAMPLES];
    const struct seen *seen = what;
    struct softcache_views *views;
    struct softcache_image *images[SAMPLES] = {0};
    const struct softcache_image *own[SAMPLES];
    struct softcache_mix mixes[SAMPLES];
    const struct softcache_choice choice = {seen->split, SAMPLES, samples, samples, numbers};
    char message[CALL_MESSAGE] = "", text[1024];
    uint8_t pixels[SAMPLES * SIDE * SIDE * 3];
    int status = softcache_views_open(&views, seen->text, strlen(seen->text), SIDE, 1, message);
    if (status == STATUS_OK)
        status = softcache_images_make(views, SAMPLES, seen->bytes, seen->sizes, names, images, message);
    if (status == STATUS_OK)
        status = softcache_views_mix(views, &choice, mixes, message);
    for (int i = 0; i < SAMPLES; i++)
        own[i] = images[i];
    if (status == STATUS_OK)
        status = softcache_views_render(views, &choice, own, samples, own, pixels, message);
    if (status == STATUS_OK)
        status = softcache_views_describe(views, &choice, 1, own[1], text, sizeof text, message);
    if (status == STATUS_OK) {
        attempt_add(sum, pixels, sizeof pixels);
        attempt_add(sum, text, strlen(text));
    }
    for (int i = 0; i < SAMPLES; i++)
        softcache_image_free(images[i]);
    softcache_views_close(views);
    return told(status, message, err);
}

static void views(void **state)
{
    (void)state;
    struct cache cache;
    struct cache_shard shard;
    struct seen seen = {0};
    uint8_t *owned[SAMPLES];
    assert_int_equal(cache_open(&cache, CACHES "version_3", NULL), STATUS_OK);
    assert_int_equal(cache_read_shard(&cache, SPLIT_TRAIN, 0, CACHE_READ_IMAGES, &shard, NULL), STATUS_OK);
    assert_true(shard.count >= SAMPLES && cache.manifest.splits[SPLIT_VAL].samples >= SAMPLES);
    for (uint32_t i = 0; i < SAMPLES; i++)
        assert_int_equal(cache_image(&cache, &shard, i, &seen.bytes[i], &seen.sizes[i], &owned[i], NULL), STATUS_OK);
    cache.manifest.recipe = "hflip(p=0.5)+mixup(alpha=0.4,p=1)";
    seen.text = manifest_text(manifest_to_json(&cache.manifest, true));
    for (seen.split = SPLIT_TRAIN; seen.split <= SPLIT_VAL; seen.split++)
        attempt_all(render_views, &seen, "views");
    cJSON_free(seen.text);
    cache_shard_release(&shard);
    cache_release(&cache);
}

/* ---- answers ---- */

static enum status pack_rows(const void *what, uint64_t *sum, struct error *err)
{
    static const float logits[2 * GOLDEN_CLASSES] = {1, 2, -3, 0.5f}, values[2 * 12] = {1, -1};
    static const int32_t shapes[15] = {2, 2, 3, 2, 2, 3, 2, 2, 3, 2, 2, 3, 5, 1, 1};
    static const float *const features[5] = {values, values, values, values, values};
    const char *text = what;
    struct softcache_rows *rows;
    char message[CALL_MESSAGE] = "";
    uint8_t out[512];
    int status = softcache_rows_open(&rows, text, strlen(text), message);
    for (int split = SPLIT_TRAIN; split <= SPLIT_TEST && status == STATUS_OK; split += SPLIT_TEST) {
        const size_t size = softcache_rows_bytes(rows, split, 0, 2);
        assert_true(size > 0 && size <= sizeof out);
        status = softcache_rows_pack(rows, split, 0, 2, logits, features, shapes, out, message);
        if (status == STATUS_OK)
            attempt_add(sum, out, size);
    }
    softcache_rows_close(rows);
    return told(status, message, err);
}

static void answers(void **state)
{
    (void)state;
    unsigned char *bytes;
    size_t size;
    assert_int_equal(file_read(GOLDEN_ANSWERS "/answers.json", 1 << 20, &bytes, &size, NULL), STATUS_OK);
    char *text = strndup((const char *)bytes, size);
    assert_non_null(text);
    attempt_all(pack_rows, text, "answers");
    free(bytes);
    free(text);
}

/* ---- both programs ---- */

/* What `inspect` counts, and the photos of a cache that has only their names, which are in `folder`. */
static enum status inspect(const void *what, uint64_t *sum, struct error *err)
{
    struct cache cache;
    struct cache_storage storage = {0};
    struct cache_shard shard = {0};
    bool begun;
    enum status status = cache_is_begun(what, &begun, err);
    if (status != STATUS_OK)
        return status;
    TRY(cache_open(&cache, what, err));
    TRY(cache_add_storage(&cache, SPLIT_TRAIN, 0, &storage, err));
    attempt_add(sum, &storage, sizeof storage);
    if (!cache.manifest.images_embedded)
        TRY(cache_set_data(&cache, folder, err));
    TRY(cache_read_shard(&cache, SPLIT_TRAIN, 0, CACHE_READ_IMAGES, &shard, err));
    for (uint32_t i = 0; i < shard.count; i++) {
        const uint8_t *bytes;
        uint8_t *owned;
        size_t size;
        TRY(cache_image(&cache, &shard, i, &bytes, &size, &owned, err));
        attempt_add(sum, bytes, size);
        free(owned);
    }
cleanup:
    cache_shard_release(&shard);
    cache_release(&cache);
    return status;
}

static void inspected(void **state)
{
    (void)state;
    static const char *const goldens[] = {CACHES "version_1", CACHES "version_2", CACHES "version_3"};
    const struct cache_plan plan = {.classes = 300,
                                    .views = 2,
                                    .samples = {4, 0, 0},
                                    .seed = 1,
                                    .link = true,
                                    .features = true,
                                    .source_path = folder};
    char *path = path_join(folder, "linked");
    assert_int_equal(plan_write(&plan, path, 100), 0);
    attempt_all(inspect, path, "a cache of names");
    for (int i = 0; i < 3; i++)
        attempt_some(inspect, goldens[i], goldens[i], i < 2 ? 30 : 1000);
    free(path);
}

static int setup(void **state)
{
    (void)state;
    folder = memory_folder();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    remove_folder(folder);
    free(folder);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(data_sets), cmocka_unit_test(views), cmocka_unit_test(answers),
                                       cmocka_unit_test(inspected), cmocka_unit_test(failing_calls_all_seen)};
    return cmocka_run_group_tests_name("failing_library", tests, setup, teardown);
}
