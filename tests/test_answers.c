/* `teacher_dump import`: answers that another program wrote become the shards that `run` writes, or are refused. */
#define _GNU_SOURCE
#include "formats/cache/answers.h"
#include "formats/cache/cache_row.h"
#include "formats/cache/manifest.h"
#include "shared/base/digest.h"
#include "shared/base/files.h"
#include "teacher_dump/commands.h"
#include "tests/helper_answers.h"
#include "tests/helper_images.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static enum status import(const char *cache, const char *answers, const char *out, struct error *err)
{
    char *arguments[] = {"import",
                         "--cache",
                         (char *)(uintptr_t)cache,
                         "--answers",
                         (char *)(uintptr_t)answers,
                         "--out",
                         (char *)(uintptr_t)out,
                         "--quiet",
                         NULL};
    *err = (struct error){0};
    return import_command(8, arguments, err);
}

/* left: made without an import; right: with one. */
static void assert_same_shards(const char *left, const char *right)
{
    struct cache a, b;
    assert_int_equal(cache_open(&a, left, NULL), STATUS_OK);
    assert_int_equal(cache_open(&b, right, NULL), STATUS_OK);
    for (int s = 0; s < SPLIT_COUNT; s++) {
        assert_int_equal(a.manifest.splits[s].shard_count, b.manifest.splits[s].shard_count);
        for (int i = 0; i < a.manifest.splits[s].shard_count; i++) {
            const struct cache_shard_entry *one = &a.manifest.splits[s].shards[i];
            const struct cache_shard_entry *other = &b.manifest.splits[s].shards[i];
            struct cache_shard shard;
            assert_string_equal(one->digest, other->digest);
            assert_int_equal(one->correct, other->correct);
            assert_int_equal(one->image_bytes, other->image_bytes);
            assert_int_equal(cache_read_shard(&b, (enum split)s, i, CACHE_READ_IMAGES, &shard, NULL), STATUS_OK);
            cache_shard_release(&shard);
        }
    }
    assert_true(cache_is_imported(&b.manifest));
    assert_string_equal(b.manifest.teacher_file, "elsewhere");
    assert_string_equal(b.manifest.precision, "bf16");
    cache_release(&a);
    cache_release(&b);
}

/* A temporary folder and paths in it. */
struct fixture {
    char *folder, cache[128], cut[128], answers[128], out[128], photos[128];
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    f->folder = temporary_folder();
    snprintf(f->cache, sizeof f->cache, "%s/cache", f->folder);
    snprintf(f->cut, sizeof f->cut, "%s/cut", f->folder);
    snprintf(f->answers, sizeof f->answers, "%s/answers", f->folder);
    snprintf(f->out, sizeof f->out, "%s/out", f->folder);
    snprintf(f->photos, sizeof f->photos, "%s/photos", f->folder);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    remove_folder(f->folder);
    free(f->folder);
    free(f);
    return 0;
}

static void import_ok(const struct fixture *f, const char *cache)
{
    struct error err;
    if (import(cache, f->answers, f->out, &err) != STATUS_OK)
        fail_msg("%s: %s", err.path, err.message);
}

/* Whatever the images, the outputs, the layout of the photos' shards, and how the answers are cut into files. */
static void shards_are_those_of_run(void **state)
{
    const struct fixture *f = *state;
    const struct cache_plan plans[] = {
        {.classes = 7, .views = 3, .samples = {23, 6, 4}, .seed = 1, .features = true},
        {.classes = 300, .views = 2, .samples = {23, 6, 0}, .seed = 2, .features = true, .raw = true},
        {.classes = 7, .views = 4, .samples = {9, 0, 3}, .seed = 3, .link = true, .source_path = f->photos},
        {.classes = 2, .views = 1, .samples = {0, 5, 0}, .seed = 4},
    };
    const uint64_t per_file[] = {1, 7, 1000};
    for (size_t p = 0; p < sizeof plans / sizeof *plans; p++) {
        for (size_t i = 0; i < sizeof per_file / sizeof *per_file; i++) {
            assert_int_equal(plan_write(&plans[p], f->cache, -1), 0);
            write_cache(&plans[p], f->cut, 5);
            write_answers(f->answers, f->cut, per_file[i]);
            import_ok(f, f->cut);
            assert_same_shards(f->cache, f->out);
            remove_folder(f->cache);
            remove_folder(f->cut);
            remove_folder(f->answers);
            remove_folder(f->out);
        }
    }
}

static void an_import_goes_on(void **state)
{
    const struct fixture *f = *state;
    const struct cache_plan plan = {.classes = 3, .views = 3, .samples = {2100, 8, 0}, .seed = 1, .features = true};
    char *shard, *manifest, before[65], after[65];
    struct error err;
    assert_int_equal(plan_write(&plan, f->cache, -1), 0);
    write_answers(f->answers, f->cache, 700); /* the second shard begins in a file that begins within a sample */
    import_ok(f, f->cache);
    shard = path_join(f->out, "train-00001.h5");
    manifest = path_join(f->out, "cache.json");
    assert_int_equal(digest_file(manifest, before, NULL, NULL), STATUS_OK);
    assert_int_equal(truncate(shard, 100), 0); /* as after a crash */
    import_ok(f, f->cache);
    assert_int_equal(digest_file(manifest, after, NULL, NULL), STATUS_OK);
    assert_string_equal(before, after);
    assert_same_shards(f->cache, f->out);
    /* the same answers in other files are the same answers; other answers are not */
    remove_folder(f->answers);
    write_answers(f->answers, f->cache, 77);
    import_ok(f, f->cache);
    struct cache cache;
    char digest[65];
    size_t size;
    assert_int_equal(cache_open(&cache, f->cache, NULL), STATUS_OK);
    write_head(f->answers, &cache.manifest, digest);
    uint8_t *rows = split_rows(&cache, SPLIT_VAL, &size);
    rows[0] ^= 1;
    write_rows(f->answers, digest, "val", 0, 8, rows, size);
    assert_int_equal(import(f->cache, f->answers, f->out, &err), STATUS_CONFIG);
    assert_non_null(strstr(err.message, "teacher.sha256"));
    free(rows);
    free(shard);
    free(manifest);
    cache_release(&cache);
}

/* ---- the golden folder ---- */
static double golden_value(int sample, int view, int index)
{
    return ((5 * sample + 3 * view + 2 * index) % 19 - 9) / 8.0;
}

/* What feature `feature` must be at element e, from the formula of its tensor: map [2, 2, 3] or embedding [5]. */
static double golden_feature(int feature, int sample, int view, int e)
{
    enum { AREA = 6 };
    double sum = 0, squares = 0, mean[AREA];
    if (feature != 2 && feature != 3)
        return golden_value(sample, view, e);
    for (int p = 0; p < AREA; p++) {
        sum += golden_value(sample, view, e * AREA + p);
        mean[p] = (pow(golden_value(sample, view, p), 2) + pow(golden_value(sample, view, AREA + p), 2)) / 2;
        squares += mean[p] * mean[p];
    }
    return feature == 2 ? sum / AREA : mean[e % AREA] / sqrt(squares);
}

static void answers_of_the_package(void **state)
{
    static const int counts[] = {12, 12, 2, 6, 5}, views[] = {2, 1, 3, 3, 3};
    const struct fixture *f = *state;
    struct error err;
    struct cache cache;
    struct cache_shard shard;
    make_golden_cache(f->photos, f->cache, GOLDEN_SEED);
    if (import(f->cache, GOLDEN_ANSWERS, f->out, &err) != STATUS_OK)
        fail_msg("%s: %s", err.path, err.message);
    assert_int_equal(cache_open(&cache, f->out, NULL), STATUS_OK);
    const struct cache_manifest *manifest = &cache.manifest;
    assert_int_equal(manifest->feature_count, 5);
    for (int s = 0; s < 2; s++) {
        assert_int_equal(cache_read_shard(&cache, (enum split)s, 0, CACHE_READ_FEATURES, &shard, NULL), STATUS_OK);
        assert_int_equal(shard.count, s == SPLIT_TRAIN ? GOLDEN_TRAIN : GOLDEN_TEST);
        for (int i = 0; i < (int)shard.count; i++) {
            for (int v = 0; v < shard.views; v++) {
                float logits[GOLDEN_CLASSES], value[12];
                cache_logits(manifest, &shard, (uint32_t)i, v, logits);
                for (int c = 0; c < GOLDEN_CLASSES; c++)
                    assert_float_equal(logits[c], ((31 * i + 17 * v + 7 * c) % 23 - 11) / 4.0, 0);
                for (int k = 0; k < 5 && s == SPLIT_TRAIN; k++) {
                    if (v >= views[k])
                        continue;
                    cache_feature_value(manifest, &shard, k, (uint32_t)i, v, value);
                    for (int e = 0; e < counts[k]; e++)
                        assert_float_equal(value[e], golden_feature(k, i, v, e), k == 0 || k == 4 ? 0 : 5e-3);
                }
            }
        }
        cache_shard_release(&shard);
    }
    for (int k = 0; k < 5; k++)
        assert_int_equal(manifest->features[k].views, views[k]);
    cache_release(&cache);
}

/* ---- what is refused ---- */
static void assert_refused(const struct fixture *f, enum status code, const char *text)
{
    struct error err;
    const enum status status = import(f->cache, f->answers, f->out, &err);
    if (status != code || !strstr(err.message, text))
        fail_msg("status %d, wanted %d and \"%s\": %s: %s", status, code, text, err.path, err.message);
    assert_false(file_exists(f->out)); /* nothing was begun */
}

static char *path_of(const struct fixture *f, const char *name)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", f->answers, name);
    return path;
}

/* Replaces a text in a file of the answers. */
static void edit(const struct fixture *f, const char *name, const char *from, const char *to)
{
    unsigned char *bytes;
    size_t size;
    assert_int_equal(file_read(path_of(f, name), 1 << 20, &bytes, &size, NULL), STATUS_OK);
    char *at = memmem(bytes, size, from, strlen(from)), *text = malloc(size + strlen(to) + 1);
    if (!at)
        fail_msg("%s has no %s", name, from);
    const size_t before = (size_t)(at - (char *)bytes), rest = size - before - strlen(from);
    memcpy(text, bytes, before);
    memcpy(text + before, to, strlen(to));
    memcpy(text + before + strlen(to), at + strlen(from), rest);
    write_file(f->answers, name, text, before + strlen(to) + rest);
    free(text);
    free(bytes);
}

static void again(const struct fixture *f)
{
    remove_folder(f->answers);
    write_answers(f->answers, f->cache, 7);
}

static const struct cache_plan small = {.classes = 7, .views = 3, .samples = {8, 6, 0}, .seed = 1, .features = true};

static void every_view_needs_one_answer(void **state)
{
    const struct fixture *f = *state;
    struct error err;
    assert_int_equal(plan_write(&small, f->cache, -1), 0);
    assert_int_equal(import(f->cache, f->answers, f->out, &err), STATUS_NO_INPUT);

    again(f); /* an answer is missing, at the front, in the middle, at the end, a whole split */
    unlink(path_of(f, "train-0000000000.rows"));
    assert_refused(f, STATUS_BAD_DATA, "7 views of split train have no answer yet, from view 0 of sample 0 on");
    again(f);
    unlink(path_of(f, "train-0000000014.rows"));
    assert_refused(f, STATUS_BAD_DATA, "7 views of split train have no answer yet, from view 2 of sample 4 on");
    again(f);
    unlink(path_of(f, "train-0000000021.rows"));
    assert_refused(f, STATUS_BAD_DATA, "3 views of split train have no answer yet, from view 0 of sample 7 on");
    again(f);
    unlink(path_of(f, "val-0000000000.rows"));
    assert_refused(f, STATUS_BAD_DATA, "6 views of split val have no answer yet");
    again(f); /* twice the same views, or more views than there are */
    edit(f, "val-0000000000.rows", "\"val\"", "\"test\"");
    assert_refused(f, STATUS_BAD_DATA, "no answer yet");
    again(f);
    edit(f, "train-0000000007.rows", "\"first\": 7,", "\"first\": 6,"); /* view 0 has more features than view 1 */
    assert_refused(f, STATUS_BAD_DATA, "but the answers to 7 views have");
    again(f);
    edit(f, "train-0000000007.rows", "\"first\": 7,", "\"first\": 4,");
    assert_refused(f, STATUS_BAD_DATA, "answer the same views");
    again(f);
    edit(f, "train-0000000007.rows", "\"first\": 7,", "\"first\": 700,");
    assert_refused(f, STATUS_BAD_DATA, "no answer yet");
}

static void damaged_files_are_refused(void **state)
{
    const struct fixture *f = *state;
    unsigned char *bytes;
    size_t size;
    assert_int_equal(plan_write(&small, f->cache, -1), 0);
    again(f);
    assert_int_equal(file_read(path_of(f, "val-0000000000.rows"), 1 << 20, &bytes, &size, NULL), STATUS_OK);
    bytes[size - 1] ^= 1;
    write_file(f->answers, "val-0000000000.rows", bytes, size);
    assert_refused(f, STATUS_BAD_DATA, "is damaged (its SHA-256");
    write_file(f->answers, "val-0000000000.rows", bytes, size - 1);
    assert_refused(f, STATUS_BAD_DATA, "answers to 6 views have");
    write_file(f->answers, "val-0000000000.rows", bytes, 20);
    assert_refused(f, STATUS_BAD_DATA, "does not begin with a line");
    free(bytes);
    again(f);
    edit(f, "val-0000000000.rows", "\"split\": \"val\"", "\"split\": \"dev\"");
    assert_refused(f, STATUS_BAD_DATA, "split");
}

static void answers_for_other_views_are_refused(void **state)
{
    const struct fixture *f = *state;
    size_t size;
    assert_int_equal(plan_write(&small, f->cache, -1), 0);
    again(f);
    edit(f, "answers.json", "\"elsewhere\"", "\"nowhere\"");
    assert_refused(f, STATUS_CONFIG, "belongs to another answers.json");
    static const char *const edits[][3] = {
        {"\"hflip(p=0.5)\"", "\"hflip(p=0.25)\"", "augmentation.recipe is \"hflip(p=0.25)\" there"},
        {"\"seed\":\t\"1\"", "\"seed\":\t\"2\"", "augmentation.seed"},
        {"\"size\":\t4", "\"size\":\t5", "preprocessing.size is 5 there and 4"},
        {"n01440764", "n01440765", "classes[0]"},
        {"0.485", "0.5", "preprocessing.mean[0]"},
    };
    for (size_t i = 0; i < sizeof edits / sizeof *edits; i++) {
        remove_folder(f->answers);
        write_answers(f->answers, f->cache, 7);
        edit(f, "answers.json", edits[i][0], edits[i][1]);
        char digest[65], *json = strdup(path_of(f, "answers.json"));
        struct cache cache; /* files that belong to the edited text */
        assert_int_equal(digest_file(json, digest, NULL, NULL), STATUS_OK);
        assert_int_equal(cache_open(&cache, f->cache, NULL), STATUS_OK);
        for (int s = 0; s < 2; s++) {
            uint8_t *rows = split_rows(&cache, (enum split)s, &size);
            write_rows(f->answers, digest, split_name((enum split)s), 0, s ? 6 : 24, rows, size);
            free(rows);
        }
        unlink(path_of(f, "train-0000000007.rows"));
        unlink(path_of(f, "train-0000000014.rows"));
        unlink(path_of(f, "train-0000000021.rows"));
        assert_refused(f, STATUS_CONFIG, edits[i][2]);
        cache_release(&cache);
        free(json);
    }
}

static void texts_that_make_no_sense_are_refused(void **state)
{
    const struct fixture *f = *state;
    assert_int_equal(plan_write(&small, f->cache, -1), 0);
    again(f);
    edit(f, "answers.json", "\"format_version\":\t1", "\"format_version\":\t2");
    assert_refused(f, STATUS_CONFIG, "format version 2");
    again(f);
    edit(f, "answers.json", "\"imported\"", "\"cpu\"");
    assert_refused(f, STATUS_BAD_DATA, "does not describe an imported teacher");
    again(f);
    edit(f, "answers.json", "\"top_k\":\t0", "\"top_k\":\t5");
    assert_refused(f, STATUS_BAD_DATA, "top_k is 5, but of 7 classes it must be 0");
    again(f);
    edit(f, "answers.json", "\"height\":\t3", "\"height\":\t60000");
    edit(f, "answers.json", "\"width\":\t2", "\"width\":\t60000");
    assert_refused(f, STATUS_CONFIG, "need more than a shard's 256 MiB");
    again(f);
    edit(f, "answers.json", "\"splits\":\t[]",
         "\"splits\":\t[{\"split\": \"val\", \"samples\": 1, \"views\": 1, \"shards\": "
         "[{\"file\": \"val-00000.h5\", \"first\": 0, \"count\": 1}]}]");
    assert_refused(f, STATUS_BAD_DATA, "cache.splits must be empty");
}

/* Values that no shard may have are found before a shard is written. */
static void values_are_checked(void **state)
{
    const struct fixture *f = *state;
    const struct cache_plan plan = {.classes = 300, .views = 2, .samples = {4, 0, 0}, .seed = 1, .features = true};
    const uint16_t infinite = 0x7C00, class300 = 300;
    /* bytes in the first row: 33 logits, 32 classes, then map as fp16 [6, 3, 2], int8 with its scales, pooled, at */
    const size_t logit = 2 * 5, class = 2 * 33 + 2 * 4, half = 2 * 65 + 2 * 7, scales = 2 * 65 + 2 * 36 + 36 + 4;
    const float not_a_number = NAN;
    const struct {
        size_t at;
        const void *value;
        size_t bytes;
        const char *text;
    } wrong[] = {{logit, &infinite, 2, "logits is not finite at 5"},
                 {class, &class300, 2, "top_classes has class 300"},
                 {half, &infinite, 2, "feature_0 is not finite at 7"},
                 {scales, &not_a_number, 4, "feature_1_scales has nan at 1"}};
    struct cache cache;
    char digest[65];
    assert_int_equal(plan_write(&plan, f->cache, -1), 0);
    assert_int_equal(cache_open(&cache, f->cache, NULL), STATUS_OK);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct error err;
        size_t size;
        uint8_t *rows = split_rows(&cache, SPLIT_TRAIN, &size);
        memcpy(rows + wrong[i].at, wrong[i].value, wrong[i].bytes);
        write_head(f->answers, &cache.manifest, digest);
        write_rows(f->answers, digest, "train", 0, 8, rows, size);
        free(rows);
        assert_int_equal(import(f->cache, f->answers, f->out, &err), STATUS_BAD_DATA);
        if (!strstr(err.message, wrong[i].text))
            fail_msg("\"%s\", wanted \"%s\"", err.message, wrong[i].text);
        char *manifest = path_join(f->out, "cache.json");
        assert_false(file_exists(manifest));
        free(manifest);
        remove_folder(f->out);
    }
    cache_release(&cache);
}

static void another_cache_is_refused(void **state)
{
    const struct fixture *f = *state;
    struct error err;
    make_golden_cache(f->photos, f->cache, "12345678901234567891");
    assert_int_equal(import(f->cache, GOLDEN_ANSWERS, f->out, &err), STATUS_CONFIG);
    assert_non_null(strstr(err.message, "augmentation.seed is \"12345678901234567890\" there and "
                                        "\"12345678901234567891\" in this cache"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(shards_are_those_of_run, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_import_goes_on, set_up, tear_down),
        cmocka_unit_test_setup_teardown(answers_of_the_package, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_view_needs_one_answer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(damaged_files_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(answers_for_other_views_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(texts_that_make_no_sense_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(values_are_checked, set_up, tear_down),
        cmocka_unit_test_setup_teardown(another_cache_is_refused, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
