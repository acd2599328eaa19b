#define _POSIX_C_SOURCE 200809L
#include "formats/cache/cache.h"
#include "formats/cache/manifest.h"
#include "shared/base/digest.h"
#include "shared/base/files.h"
#include "shared/tensor/half.h"
#include "tests/helper_cache.h"
#include "tests/helper_images.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* Several shards: more samples than one holds. */
static const struct cache_plan big = {.classes = 10, .views = 8, .samples = {10000, 1500, 0}, .seed = 1};
static const struct cache_plan small = {.classes = 10, .views = 3, .samples = {40, 9, 7}, .seed = 1};

static char *in(const char *folder, const char *name)
{
    char *path = path_join(folder, name);
    assert_non_null(path);
    return path;
}

/* One digest over names and contents of all files of a folder, its subfolders not allowed. */
static void folder_digest(const char *folder, char hex[DIGEST_HEX_SIZE])
{
    struct folder_entry *entries;
    struct digest *digest;
    size_t count;
    assert_int_equal(folder_list(folder, &entries, &count, NULL), STATUS_OK);
    assert_int_equal(digest_new(&digest, NULL), STATUS_OK);
    for (size_t i = 0; i < count; i++) {
        char *path = in(folder, entries[i].name), one[DIGEST_HEX_SIZE];
        assert_false(entries[i].is_folder);
        assert_int_equal(digest_file(path, one, NULL, NULL), STATUS_OK);
        digest_update(digest, entries[i].name, strlen(entries[i].name) + 1);
        digest_update(digest, one, sizeof one);
        free(path);
    }
    digest_finish(digest, hex);
    folder_list_free(entries, count);
}

static void assert_same(const void *a, const void *b, size_t size)
{
    assert_int_equal(a != NULL, b != NULL);
    if (a)
        assert_memory_equal(a, b, size);
}

static void compare_shards(const struct cache_manifest *manifest, const struct cache_shard *a,
                           const struct cache_shard *b)
{
    size_t n = a->count, nv = n * (size_t)a->views;
    assert_int_equal(a->count, b->count);
    assert_int_equal(a->views, b->views);
    assert_same(a->ids, b->ids, n * sizeof *a->ids);
    assert_same(a->labels, b->labels, n * sizeof *a->labels);
    assert_same(a->names, b->names, n * sizeof *a->names);
    assert_same(a->logits, b->logits, nv * (size_t)a->logits_per_view * 2);
    assert_same(a->top_classes, b->top_classes, nv * (size_t)manifest->top_k * 2);
    assert_same(a->image_offsets, b->image_offsets, (n + 1) * sizeof *a->image_offsets);
    assert_same(a->image_bytes, b->image_bytes, a->image_offsets ? a->image_offsets[n] : 0);
    assert_same(a->link_sizes, b->link_sizes, n * sizeof *a->link_sizes);
    assert_same(a->link_digests, b->link_digests, n * 32);
    for (int f = 0; f < manifest->feature_count && a->split == SPLIT_TRAIN; f++) {
        const struct cache_feature *feature = &manifest->features[f];
        size_t rows = n * (size_t)feature->views, count = (size_t)(feature->c * feature->h * feature->w);
        assert_same(a->features[f].half, b->features[f].half, rows * count * 2);
        assert_same(a->features[f].int8, b->features[f].int8, rows * count);
        assert_same(a->features[f].scales, b->features[f].scales, rows * (size_t)feature->c * sizeof(float));
    }
}

static void round_trip(const struct cache_plan *plan)
{
    char *folder = temporary_folder(), *path = in(folder, "a/cache");
    struct cache_plan here = *plan;
    struct cache cache;
    struct error err = {0};
    here.source_path = folder;
    assert_int_equal(plan_write(&here, path, 1 << 20), 0);
    if (cache_open(&cache, path, &err) != STATUS_OK)
        fail_msg("%s: %s", err.path, err.message);
    assert_int_equal(cache.manifest.class_count, plan->classes);
    assert_int_equal(cache.manifest.seed, plan->seed);
    assert_true(cache.manifest.mean[0] == 0.485f);
    for (int s = 0; s < SPLIT_COUNT; s++) {
        assert_int_equal(cache.manifest.splits[s].samples, plan->samples[s]);
        for (int i = 0; i < cache.manifest.splits[s].shard_count; i++) {
            struct cache_shard written, read;
            plan_shard(&here, &cache.manifest, (enum split)s, i, &written);
            if (cache_read_shard(&cache, (enum split)s, i, CACHE_READ_IMAGES | CACHE_READ_FEATURES, &read, &err))
                fail_msg("%s: %s", err.path, err.message);
            compare_shards(&cache.manifest, &written, &read);
            for (uint32_t j = 0; j < read.count; j++) {
                const uint8_t *bytes;
                uint8_t *owned;
                size_t size;
                assert_int_equal(cache_image(&cache, &read, j, &bytes, &size, &owned, &err), STATUS_OK);
                assert_true(size > 0);
                free(owned);
            }
            cache_shard_release(&written);
            cache_shard_release(&read);
        }
    }
    cache_release(&cache);
    remove_folder(folder);
    free(path);
    free(folder);
}

static void test_round_trips(void **state)
{
    (void)state;
    struct cache_plan plan = small;
    round_trip(&plan);
    plan.features = true;
    round_trip(&plan);
    plan.raw = true;
    round_trip(&plan);
    plan.classes = 1000;
    round_trip(&plan);
    plan = small;
    plan.link = true;
    plan.seed = UINT64_MAX;
    round_trip(&plan);
    plan = small;
    plan.samples[SPLIT_TRAIN] = 2 * CACHE_SHARD_SAMPLES + 1;
    plan.classes = 200; /* logits in several chunks */
    plan.views = 2;
    round_trip(&plan);
}

static void test_parts_not_read_are_null(void **state)
{
    (void)state;
    char *folder = temporary_folder();
    struct cache_plan plan = small;
    struct cache cache;
    struct cache_shard shard;
    plan.features = true;
    assert_int_equal(plan_write(&plan, folder, 1 << 20), 0);
    assert_int_equal(cache_open(&cache, folder, NULL), STATUS_OK);
    assert_int_equal(cache_read_shard(&cache, SPLIT_TRAIN, 0, 0, &shard, NULL), STATUS_OK);
    assert_non_null(shard.logits);
    assert_null(shard.image_bytes);
    assert_null(shard.image_offsets);
    assert_null(shard.features[0].half);
    cache_shard_release(&shard);
    cache_release(&cache);
    remove_folder(folder);
    free(folder);
}

/* The stored classes' softmax is exact, whatever the others are. */
static void test_top_k_keeps_the_mass(void **state)
{
    (void)state;
    struct cache_plan plan = {.classes = 1000, .views = 1, .samples = {1, 0, 0}, .seed = 3};
    struct cache_manifest manifest;
    struct cache_shard shard;
    float logits[1000], dense[1000];
    double sum = 0, stored = 0;
    plan_manifest(&plan, &manifest);
    plan_shard(&plan, &manifest, SPLIT_TRAIN, 0, &shard);
    for (int c = 0; c < 1000; c++)
        logits[c] = 4 * sinf((float)(c * c));
    logits[700] = 9.5f;
    assert_int_equal(cache_store_logits(&manifest, &shard, 0, 0, logits, NULL), STATUS_OK);
    cache_logits(&manifest, &shard, 0, 0, dense);
    for (int c = 0; c < 1000; c++) {
        sum += exp(logits[c]);
        stored += exp(dense[c]);
    }
    assert_int_equal(shard.top_classes[0], 700);
    assert_true(dense[700] == 9.5f);
    assert_true(fabs(stored / sum - 1) < 2e-3); /* float16 has 11 bits */
    logits[3] = NAN;
    assert_int_equal(cache_store_logits(&manifest, &shard, 0, 0, logits, NULL), STATUS_BAD_DATA);
    cache_shard_release(&shard);
    arena_release(&manifest.arena);
}

static void test_feature_forms(void **state)
{
    (void)state;
    struct cache_plan plan = {.classes = 2, .views = 1, .samples = {1, 0, 0}, .seed = 3, .features = true};
    struct cache_manifest manifest;
    struct cache_shard shard;
    float map[36], value[36];
    const struct shape shape = {6, 3, 2};
    plan_manifest(&plan, &manifest);
    plan_shard(&plan, &manifest, SPLIT_TRAIN, 0, &shard);
    for (int i = 0; i < 36; i++)
        map[i] = i < 6 ? 0 : 3 * sinf((float)i);
    for (int f = 0; f < 3; f++) {
        assert_int_equal(cache_store_feature(&manifest, &shard, f, 0, 0, map, shape, NULL), STATUS_OK);
        cache_feature_value(&manifest, &shard, f, 0, 0, value);
        for (int i = 0; i < 36 && f < 2; i++)
            assert_true(fabsf(value[i] - map[i]) <= (f == 0 ? 3.0f / 2048 : 1.5f / 127));
    }
    for (int c = 0; c < 6; c++) {
        float mean = 0;
        for (int i = 0; i < 6; i++)
            mean += map[c * 6 + i] / 6;
        assert_true(fabsf(value[c] - mean) <= 2e-3f);
    }
    map[35] = 70000;
    assert_int_equal(cache_store_feature(&manifest, &shard, 0, 0, 0, map, shape, NULL), STATUS_BAD_DATA);
    cache_shard_release(&shard);
    arena_release(&manifest.arena);
}

/* mean over channels of the squares, divided by their norm: F.normalize(map.pow(2).mean(1).flatten(1)). */
static void test_attention_maps(void **state)
{
    (void)state;
    enum { AT = 3 };
    struct cache_plan plan = {.classes = 2, .views = 1, .samples = {1, 0, 0}, .seed = 3, .features = true};
    struct cache_manifest manifest;
    struct cache_shard shard;
    const struct shape shape = {6, 3, 2}, stored = cache_feature_shape(FEATURE_AT, shape);
    float map[36], value[6];
    plan_manifest(&plan, &manifest);
    plan_shard(&plan, &manifest, SPLIT_TRAIN, 0, &shard);
    assert_int_equal(cache_feature_bytes(&manifest.features[AT]), 12);
    assert_true(stored.c == 1 && stored.h == 3 && stored.w == 2);
    for (int i = 0; i < 36; i++) /* pixel i has 3 * i in its first channel and 4 * i in the last: mean 25 i^2 / 6 */
        map[i] = i < 6 ? (float)(3 * i) : i >= 30 ? -(float)(4 * (i - 30)) : 0;
    assert_int_equal(cache_store_feature(&manifest, &shard, AT, 0, 0, map, shape, NULL), STATUS_OK);
    cache_feature_value(&manifest, &shard, AT, 0, 0, value);
    for (int i = 0; i < 6; i++) /* 0^4 + ... + 5^4 = 979 */
        assert_true(fabsf(value[i] - (float)(i * i) / sqrtf(979)) <= 1.0f / 2048);
    for (int i = 0; i < 36; i++) /* float16 could not hold the values, nor float their squares */
        map[i] = 1e30f;
    assert_int_equal(cache_store_feature(&manifest, &shard, AT, 0, 0, map, shape, NULL), STATUS_OK);
    cache_feature_value(&manifest, &shard, AT, 0, 0, value);
    assert_true(fabsf(value[5] - 1 / sqrtf(6)) <= 1.0f / 2048);
    memset(map, 0, sizeof map);
    assert_int_equal(cache_store_feature(&manifest, &shard, AT, 0, 0, map, shape, NULL), STATUS_OK);
    cache_feature_value(&manifest, &shard, AT, 0, 0, value);
    assert_true(value[0] == 0 && value[5] == 0);
    map[7] = NAN;
    assert_int_equal(cache_store_feature(&manifest, &shard, AT, 0, 0, map, shape, NULL), STATUS_BAD_DATA);
    cache_shard_release(&shard);
    arena_release(&manifest.arena);
}

static void test_budget(void **state)
{
    (void)state;
    for (int classes = 10; classes <= 11; classes++) {
        char *folder = temporary_folder();
        struct cache_plan plan = big;
        struct cache cache;
        uint64_t total, images, on_disk = 0;
        plan.classes = classes;
        assert_int_equal(plan_write(&plan, folder, 1 << 20), 0);
        assert_int_equal(cache_open(&cache, folder, NULL), STATUS_OK);
        cache_bytes(&cache.manifest, &total, &images);
        struct folder_entry *entries;
        size_t count;
        assert_int_equal(folder_list(folder, &entries, &count, NULL), STATUS_OK);
        for (size_t i = 0; i < count; i++) {
            char *path = in(folder, entries[i].name), hex[DIGEST_HEX_SIZE];
            size_t size;
            assert_int_equal(digest_file(path, hex, &size, NULL), STATUS_OK);
            on_disk += size;
            free(path);
        }
        folder_list_free(entries, count);
        assert_int_equal(total, on_disk);
        double per_view = (double)(total - images) / (double)cache_view_count(&cache.manifest);
        print_message("# %d classes: %.2f bytes a view\n", classes, per_view);
        assert_true(per_view <= 24);
        assert_true(cache.manifest.splits[SPLIT_TRAIN].teacher_accuracy > 0.3);
        cache_release(&cache);
        remove_folder(folder);
        free(folder);
    }
}

static void test_same_bytes_twice_and_resumed(void **state)
{
    (void)state;
    char *one = temporary_folder(), *two = temporary_folder(), a[DIGEST_HEX_SIZE], b[DIGEST_HEX_SIZE];
    assert_int_equal(plan_write(&big, one, 1 << 20), 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(plan_write(&big, two, 2), -1); /* stopped after two shards */
    struct cache cache;
    assert_int_equal(cache_open(&cache, two, NULL), STATUS_NO_INPUT);
    write_file(two, "train-00001.h5.77.tmp", "torn", 4); /* what a killed process leaves */
    write_file(two, "partial/train-00000.json", "{}", 2);
    write_file(two, "partial/identity.json.99.tmp", "torn", 4);
    write_file(two, "train-00004.h5", "not yet", 7);
    write_file(two, "partial/train-00004.lock", "", 0);
    assert_int_equal(plan_write(&big, two, 1 << 20), 0);
    folder_digest(one, a);
    folder_digest(two, b);
    assert_string_equal(a, b);
    /* a damaged shard of a finished cache is made anew */
    char *shard = in(two, "train-00002.h5");
    assert_int_equal(truncate(shard, 1000), 0);
    assert_int_equal(plan_write(&big, two, 1 << 20), 0);
    folder_digest(two, b);
    assert_string_equal(a, b);
    remove_folder(one);
    remove_folder(two);
    free(shard);
    free(one);
    free(two);
}

/* Processes that fill one cache at once; the small plan ends often while others are still looking. */
static void test_many_processes(void **state)
{
    (void)state;
    for (int round = 0; round < 40; round++) {
        const struct cache_plan *plan = round == 0 ? &big : &small;
        char *one = temporary_folder(), *two = temporary_folder(), a[DIGEST_HEX_SIZE], b[DIGEST_HEX_SIZE];
        pid_t children[4];
        assert_int_equal(plan_write(plan, one, 1 << 20), 0);
        for (int i = 0; i < 4; i++) {
            children[i] = fork();
            if (children[i] == 0)
                _exit(plan_write(plan, two, 1 << 20) >= 0 ? 0 : 1);
        }
        for (int i = 0; i < 4; i++) {
            int code;
            assert_int_equal(waitpid(children[i], &code, 0), children[i]);
            assert_int_equal(code, 0);
        }
        folder_digest(one, a);
        folder_digest(two, b);
        assert_string_equal(a, b);
        remove_folder(one);
        remove_folder(two);
        free(one);
        free(two);
    }
}

static void test_other_identity_is_refused(void **state)
{
    (void)state;
    for (int finished = 0; finished < 2; finished++) {
        char *folder = temporary_folder();
        struct cache_manifest manifest;
        struct cache_writer *writer;
        assert_int_equal(plan_write(&small, folder, finished ? 1 << 20 : 1), finished ? 0 : -1);
        for (int change = 0; change < 6; change++) {
            static const char *const fields[] = {"augmentation.seed is \"1\" there and \"77\" here",
                                                 "teacher.sha256",
                                                 "preprocessing.std[2]",
                                                 "augmentation.recipe",
                                                 "teacher.device is \"cpu\" there and \"cuda\" here",
                                                 "teacher.precision"};
            struct error err = {0};
            plan_manifest(&small, &manifest);
            manifest.seed = change == 0 ? 77 : manifest.seed;
            manifest.teacher_digest[5] = change == 1 ? 'x' : manifest.teacher_digest[5];
            manifest.std[2] = change == 2 ? 0.3f : manifest.std[2];
            manifest.device = change == 4 ? "cuda" : manifest.device;
            manifest.precision = change == 5 ? "fp16" : manifest.precision;
            manifest.recipe = change == 3 ? "vflip(p=0.5)" : manifest.recipe;
            assert_int_equal(cache_writer_open(&writer, folder, &manifest, &err), STATUS_CONFIG);
            assert_non_null(strstr(err.message, fields[change]));
            arena_release(&manifest.arena);
        }
        remove_folder(folder);
        free(folder);
    }
}

/* Reads everything; the error's path must name `file`. */
static void assert_damage_is_found(const char *folder, const char *file)
{
    struct cache cache;
    struct error err = {0};
    enum status status = cache_open(&cache, folder, &err);
    for (int s = 0; s < SPLIT_COUNT && status == STATUS_OK; s++) {
        for (int i = 0; i < cache.manifest.splits[s].shard_count && status == STATUS_OK; i++) {
            struct cache_shard shard;
            status = cache_read_shard(&cache, (enum split)s, i, CACHE_READ_IMAGES | CACHE_READ_FEATURES, &shard, &err);
            cache_shard_release(&shard);
        }
    }
    assert_int_equal(status, STATUS_BAD_DATA);
    assert_non_null(strstr(err.path, file));
    cache_release(&cache);
}

static void test_every_flipped_byte_is_found(void **state)
{
    (void)state;
    char *folder = temporary_folder(), *path = in(folder, "val-00000.h5");
    unsigned char *bytes;
    size_t size;
    struct cache_plan plan = small;
    plan.samples[SPLIT_TRAIN] = 1;
    plan.samples[SPLIT_TEST] = 0;
    assert_int_equal(plan_write(&plan, folder, 1 << 20), 0);
    assert_int_equal(file_read(path, 1 << 20, &bytes, &size, NULL), STATUS_OK);
    for (size_t i = 0; i < size; i += 37) {
        bytes[i] ^= (unsigned char)(1u << (i % 8));
        write_file(folder, "val-00000.h5", bytes, size);
        assert_damage_is_found(folder, "val-00000.h5");
        bytes[i] ^= (unsigned char)(1u << (i % 8));
    }
    write_file(folder, "val-00000.h5", bytes, size - 1);
    assert_damage_is_found(folder, "val-00000.h5");
    write_file(folder, "val-00000.h5", bytes, size);
    char *other = in(folder, "train-00000.h5");
    assert_int_equal(unlink(other), 0);
    struct cache cache;
    struct cache_shard shard;
    struct error err = {0};
    assert_int_equal(cache_open(&cache, folder, NULL), STATUS_OK);
    assert_int_equal(cache_read_shard(&cache, SPLIT_TRAIN, 0, 0, &shard, &err), STATUS_NO_INPUT);
    assert_non_null(strstr(err.path, "train-00000.h5"));
    cache_release(&cache);
    free(bytes);
    remove_folder(folder);
    free(other);
    free(path);
    free(folder);
}

static void test_linked_files_are_verified(void **state)
{
    (void)state;
    char *folder = temporary_folder(), *path = in(folder, "cache");
    struct cache_plan plan = small;
    struct cache cache;
    struct cache_shard shard;
    struct error err = {0};
    const uint8_t *bytes;
    uint8_t *owned;
    size_t size;
    plan.link = true;
    plan.source_path = folder;
    assert_int_equal(plan_write(&plan, path, 1 << 20), 0);
    assert_int_equal(cache_open(&cache, path, NULL), STATUS_OK);
    assert_int_equal(cache_read_shard(&cache, SPLIT_TRAIN, 0, CACHE_READ_IMAGES, &shard, NULL), STATUS_OK);
    write_file(folder, shard.names[5], "other", 5);
    assert_int_equal(cache_image(&cache, &shard, 5, &bytes, &size, &owned, &err), STATUS_BAD_DATA);
    assert_non_null(strstr(err.path, shard.names[5]));
    strcpy(shard.names[6], "train/../../etc/passwd");
    assert_int_equal(cache_image(&cache, &shard, 6, &bytes, &size, &owned, NULL), STATUS_BAD_DATA);
    cache_shard_release(&shard);
    cache_release(&cache);
    remove_folder(folder);
    free(path);
    free(folder);
}

static void test_layout(void **state)
{
    (void)state;
    struct cache_plan plan = small;
    struct cache_manifest manifest;
    struct error err = {0};
    uint64_t sizes[6] = {200 << 20, 100 << 20, 100 << 20, 250 << 20, 1, 1};
    plan_manifest(&plan, &manifest);
    assert_int_equal(cache_layout(&manifest, SPLIT_VAL, sizes, 6, NULL), STATUS_OK);
    assert_int_equal(manifest.splits[SPLIT_VAL].shard_count, 3);
    assert_int_equal(manifest.splits[SPLIT_VAL].shards[1].first, 1);
    assert_int_equal(manifest.splits[SPLIT_VAL].shards[1].count, 2);
    assert_int_equal(manifest.splits[SPLIT_VAL].shards[2].count, 3);
    sizes[3] = 256 << 20;
    assert_int_equal(cache_layout(&manifest, SPLIT_VAL, sizes, 6, &err), STATUS_CONFIG);
    arena_release(&manifest.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layout),
        cmocka_unit_test(test_round_trips),
        cmocka_unit_test(test_parts_not_read_are_null),
        cmocka_unit_test(test_top_k_keeps_the_mass),
        cmocka_unit_test(test_feature_forms),
        cmocka_unit_test(test_attention_maps),
        cmocka_unit_test(test_budget),
        cmocka_unit_test(test_same_bytes_twice_and_resumed),
        cmocka_unit_test(test_many_processes),
        cmocka_unit_test(test_other_identity_is_refused),
        cmocka_unit_test(test_every_flipped_byte_is_found),
        cmocka_unit_test(test_linked_files_are_verified),
    };
    return cmocka_run_group_tests_name("cache", tests, NULL, NULL);
}
