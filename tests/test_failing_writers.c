/* Every allocation and every file call of what reads and writes caches, answers and the files of a run fails once
 * (helper_failing_calls.h): the error says so, nothing is half done, and the same again gives the right files. */
#define _POSIX_C_SOURCE 200809L
#include "formats/cache/answers.h"
#include "formats/cache/cache_library.h"
#include "formats/cache/manifest.h"
#include "formats/export/prediction_csv.h"
#include "formats/export/student_c.h"
#include "formats/report/report_html.h"
#include "shared/base/digest.h"
#include "shared/base/files.h"
#include "tests/helper_answers.h"
#include "tests/helper_cache.h"
#include "tests/helper_failing_calls.h"
#include "tests/helper_images.h"
#include "tests/helper_quantised.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char *folder;

/* ---- caches ---- */

static enum status read_cache(const void *what, uint64_t *sum, struct error *err)
{
    struct cache cache;
    struct cache_shard shard = {0};
    enum status status = cache_open(&cache, what, err);
    if (status != STATUS_OK)
        return status;
    for (int s = 0; s < SPLIT_COUNT; s++)
        for (int i = 0; i < cache.manifest.splits[s].shard_count; i++) {
            TRY(cache_read_shard(&cache, (enum split)s, i, CACHE_READ_IMAGES | CACHE_READ_FEATURES, &shard, err));
            attempt_add(sum, shard.logits,
                        (size_t)shard.count * (size_t)shard.views * (size_t)shard.logits_per_view * 2);
            for (uint32_t k = 0; k < shard.count; k++) {
                const uint8_t *bytes;
                uint8_t *owned;
                size_t size;
                TRY(cache_image(&cache, &shard, k, &bytes, &size, &owned, err));
                attempt_add(sum, bytes, size);
                free(owned);
            }
            cache_shard_release(&shard);
        }
cleanup:
    cache_shard_release(&shard);
    cache_release(&cache);
    return status;
}

/* libhdf5's view of a shard, from the process that may read it. */
static enum status compare_hdf5(const void *what, uint64_t *sum, struct error *err)
{
    struct cache cache;
    enum status status = cache_open(&cache, what, err);
    if (status != STATUS_OK)
        return status;
    status = cache_compare_hdf5(&cache, SPLIT_TRAIN, 0, err);
    *sum = 1;
    cache_release(&cache);
    return status;
}

/* What Python reads of a cache: labels, and rows of compressed logits. */
static enum status call_library(const void *what, uint64_t *sum, struct error *err)
{
    static const int64_t rows[] = {0, 3, 1};
    struct softcache_cache *cache = NULL;
    struct softcache_shard *shard = NULL;
    struct softcache_data data;
    char message[CALL_MESSAGE] = "";
    uint8_t out[3 * 8192];
    int status = softcache_cache_open(&cache, what, message);
    if (status == STATUS_OK)
        status = softcache_shard_open(&shard, cache, SPLIT_TRAIN, 0, message);
    for (int i = 0; i < 2 && status == STATUS_OK; i++) {
        const char *name = i == 0 ? "labels" : "logits";
        status = softcache_shard_data(shard, name, &data, message);
        size_t size = 3 * (size_t)data.item;
        for (int d = 1; d < data.rank && status == STATUS_OK; d++)
            size *= (size_t)data.dims[d];
        assert_true(size <= sizeof out);
        if (status == STATUS_OK)
            status = softcache_shard_rows(shard, name, rows, 3, out, message);
        if (status == STATUS_OK)
            attempt_add(sum, out, size);
    }
    softcache_shard_close(shard);
    softcache_cache_close(cache);
    return status == STATUS_OK ? STATUS_OK : error_set(err, (enum status)status, NULL, "%s", message);
}

/* Fills and publishes a cache of one shard. */
static enum status fill_cache(struct cache_writer *writer, const struct cache_manifest *manifest,
                              const struct cache_shard *content, struct error *err)
{
    struct cache_claim claim = {0};
    int missing;
    enum status status = STATUS_OK;
    TRY(cache_writer_claim(writer, SPLIT_TRAIN, 0, &claim, err));
    if (claim.state == CACHE_CLAIMED)
        TRY(cache_writer_put(writer, &claim, content, NULL, err));
    TRY(cache_writer_publish(writer, &missing, err));
    if (missing > 0)
        FAIL(error_set(err, STATUS_NO_INPUT, NULL, "%d shards are missing", missing));
    assert_int_equal(manifest->splits[SPLIT_TRAIN].shard_count, 1);
cleanup:
    return status;
}

struct written {
    struct cache_plan plan;
    struct cache_manifest manifest;
    struct cache_shard content;
    char path[512];
};

static enum status fill_once(const struct written *w, struct error *err)
{
    struct cache_writer *writer;
    enum status status = cache_writer_open(&writer, w->path, &w->manifest, err);
    if (status != STATUS_OK)
        return status;
    status = fill_cache(writer, &w->manifest, &w->content, err);
    cache_writer_close(writer);
    return status;
}

/* A cache is written; if that failed, the same again, undisturbed, must give the right one. */
static enum status write_one_cache(const void *what, uint64_t *sum, struct error *err)
{
    const struct written *w = what;
    struct error again = {0};
    const void *caller;
    remove_folder(w->path);
    const enum status status = fill_once(w, err);
    failing_calls_stop(&caller);
    assert_int_equal(failing_calls_hdf5_objects(), 0);
    if (status != STATUS_OK && fill_once(w, &again) != STATUS_OK)
        fail_msg("written again: %s: %s", again.path, again.message);
    unsigned char *text;
    size_t size;
    char *path = path_join(w->path, "cache.json");
    assert_int_equal(file_read(path, 1 << 20, &text, &size, &again), STATUS_OK);
    attempt_add(sum, text, size);
    free(path);
    free(text);
    return status;
}

/* ---- a finished cache whose shard is broken, which another kind of machine repairs ---- */

struct broken {
    const struct written *written;
    char path[512];
    unsigned char *manifest; /* [size] of cache.json */
    size_t size;
};

/* Makes the first shard with these kernels (NULL ends them), unless it is there, publishes, and closes the writer. */
static enum status finish(struct cache_writer *writer, const struct written *w, const char *const *kernels,
                          struct error *err)
{
    enum status status = STATUS_OK;
    struct cache_claim claim = {0};
    int missing;
    TRY(cache_writer_claim(writer, SPLIT_TRAIN, 0, &claim, err));
    if (claim.state == CACHE_CLAIMED) {
        for (; *kernels; kernels++)
            TRY(cache_writer_join(writer, *kernels, true, err));
        TRY(cache_writer_put(writer, &claim, &w->content, NULL, err));
    }
    TRY(cache_writer_publish(writer, &missing, err));
    if (missing > 0)
        FAIL(error_set(err, STATUS_NO_INPUT, NULL, "%d shards are missing", missing));
cleanup:
    cache_writer_unclaim(&claim);
    cache_writer_close(writer);
    return status;
}

static enum status repair_once(const struct broken *b, struct error *err)
{
    static const char *const kernels[] = {"oneDNN 1, avx2", "oneDNN 1, avx512", NULL};
    struct cache_writer *writer;
    const enum status status = cache_writer_open(&writer, b->path, &b->written->manifest, err);
    return status == STATUS_OK ? finish(writer, b->written, kernels, err) : status;
}

/* Whatever failed, the same again finishes it. */
static enum status repair(const void *what, uint64_t *sum, struct error *err)
{
    const struct broken *b = what;
    struct error again = {0};
    const void *caller;
    unsigned char *text;
    size_t size;
    failing_calls_pause();
    remove_folder(b->path);
    write_file(b->path, "cache.json", b->manifest, b->size);
    write_file(b->path, "train-00000.h5", "broken", 6);
    failing_calls_resume();
    const enum status status = repair_once(b, err);
    failing_calls_stop(&caller);
    if (status != STATUS_OK && repair_once(b, &again) != STATUS_OK)
        fail_msg("repaired again: %s: %s", again.path, again.message);
    char *path = path_join(b->path, "cache.json");
    assert_int_equal(file_read(path, 1 << 20, &text, &size, &again), STATUS_OK);
    attempt_add(sum, text, size);
    assert_int_equal(failing_calls_hdf5_objects(), 0);
    free(path);
    free(text);
    return status;
}

static void test_repairs(void **state)
{
    (void)state;
    static const struct cache_plan plan = {.classes = 3, .views = 1, .samples = {3, 0, 0}, .seed = 1, .raw = true};
    struct written w = {.plan = plan};
    struct broken b = {.written = &w};
    snprintf(w.path, sizeof w.path, "%s/whole", folder);
    snprintf(b.path, sizeof b.path, "%s/broken", folder);
    plan_manifest(&w.plan, &w.manifest);
    plan_shard(&w.plan, &w.manifest, SPLIT_TRAIN, 0, &w.content);
    assert_int_equal(fill_once(&w, NULL), STATUS_OK);
    char *path = path_join(w.path, "cache.json");
    assert_int_equal(file_read(path, 1 << 20, &b.manifest, &b.size, NULL), STATUS_OK);
    attempt_some(repair, &b, "a repaired cache", 100);
    attempt_vanishing(repair, &b, "a repaired cache");
    cache_shard_release(&w.content);
    arena_release(&w.manifest.arena);
    free(b.manifest);
    free(path);
}

/* ---- a cache that two processes fill: the other one has begun it, or has finished it since this one looked ---- */

struct shared_cache {
    const struct written *written;
    enum { BEGUN_BEFORE, BEGUN, FINISHED, STAGES } stage; /* what the other has done since this one has opened it */
};

static void fill_as_other(const struct shared_cache *shared)
{
    const struct written *w = shared->written;
    struct cache_writer *other;
    failing_calls_pause();
    assert_int_equal(cache_writer_open(&other, w->path, &w->manifest, NULL), STATUS_OK);
    assert_int_equal(cache_writer_join(other, "oneDNN 1, avx2", true, NULL), STATUS_OK);
    if (shared->stage == FINISHED)
        assert_int_equal(fill_cache(other, &w->manifest, &w->content, NULL), STATUS_OK);
    cache_writer_close(other);
    failing_calls_resume();
}

static enum status fill_with_other(const struct shared_cache *shared, bool again, struct error *err)
{
    static const char *const kernels[] = {"oneDNN 1, avx512", NULL};
    struct cache_writer *writer;
    if (!again && shared->stage == BEGUN_BEFORE)
        fill_as_other(shared);
    const enum status status = cache_writer_open(&writer, shared->written->path, &shared->written->manifest, err);
    if (status != STATUS_OK)
        return status;
    if (!again && shared->stage != BEGUN_BEFORE)
        fill_as_other(shared);
    return finish(writer, shared->written, kernels, err);
}

static enum status share(const void *what, uint64_t *sum, struct error *err)
{
    const struct shared_cache *shared = what;
    struct error again = {0};
    const void *caller;
    failing_calls_pause();
    remove_folder(shared->written->path);
    failing_calls_resume();
    const enum status status = fill_with_other(shared, false, err);
    failing_calls_stop(&caller);
    if (status != STATUS_OK && fill_with_other(shared, true, &again) != STATUS_OK)
        fail_msg("filled again: %s: %s", again.path, again.message);
    struct cache cache;
    if (cache_open(&cache, shared->written->path, &again) != STATUS_OK)
        fail_msg("%s: %s", again.path, again.message);
    attempt_add(sum, cache.manifest.splits[SPLIT_TRAIN].shards[0].digest, DIGEST_HEX_SIZE);
    cache_release(&cache);
    return status;
}

static void test_two_writers(void **state)
{
    (void)state;
    static const struct cache_plan plan = {.classes = 3, .views = 1, .samples = {3, 0, 0}, .seed = 1, .raw = true};
    struct written w = {.plan = plan};
    snprintf(w.path, sizeof w.path, "%s/shared", folder);
    plan_manifest(&w.plan, &w.manifest);
    plan_shard(&w.plan, &w.manifest, SPLIT_TRAIN, 0, &w.content);
    for (int stage = 0; stage < STAGES; stage++) {
        const struct shared_cache shared = {.written = &w, .stage = stage};
        attempt_some(share, &shared, "a cache of two", 30);
        attempt_vanishing(share, &shared, "a cache of two");
    }
    cache_shard_release(&w.content);
    arena_release(&w.manifest.arena);
}

/* What is no cache is that, whatever fails. */
static enum status open_none(const void *what, uint64_t *sum, struct error *err)
{
    struct cache cache;
    struct error failed = {0};
    const enum status status = cache_open(&cache, what, &failed);
    if (status == STATUS_NO_INPUT)
        attempt_add(sum, failed.message, strlen(failed.message));
    return status == STATUS_NO_INPUT ? STATUS_OK : error_set(err, status, failed.path, "%s", failed.message);
}

static enum status lay_out(const void *what, uint64_t *sum, struct error *err)
{
    static const uint64_t sizes[] = {100, 200u << 20, 200u << 20, 1};
    struct cache_manifest manifest = {.views = 1, .images_embedded = true};
    (void)what;
    const enum status status = cache_layout(&manifest, SPLIT_TRAIN, sizes, 4, err);
    for (int i = 0; i < manifest.splits[SPLIT_TRAIN].shard_count && status == STATUS_OK; i++)
        attempt_add(sum, &manifest.splits[SPLIT_TRAIN].shards[i].count, sizeof(uint32_t));
    arena_release(&manifest.arena);
    return status;
}

static void test_small_things(void **state)
{
    (void)state;
    char *none = path_join(folder, "none"), *empty = path_join(folder, "empty"), *begun = path_join(folder, "begun");
    write_file(empty, "notes", "x", 1);
    write_file(begun, "partial/identity.json", "{}", 2);
    attempt_all(open_none, none, "no folder");
    attempt_all(open_none, empty, "a folder of others");
    attempt_all(open_none, begun, "an unfinished cache");
    attempt_all(lay_out, NULL, "a layout");
    free(none);
    free(empty);
    free(begun);
}

static void test_caches(void **state)
{
    (void)state;
    static const struct cache_plan plans[] = {
        {.classes = 3, .views = 2, .samples = {5, 0, 0}, .seed = 1, .features = true},
        {.classes = 300, .views = 2, .samples = {4, 0, 0}, .seed = 1, .raw = true},
    };
    for (size_t i = 0; i < sizeof plans / sizeof *plans; i++) {
        struct written w = {.plan = plans[i]};
        snprintf(w.path, sizeof w.path, "%s/cache-%zu", folder, i);
        plan_manifest(&w.plan, &w.manifest);
        plan_shard(&w.plan, &w.manifest, SPLIT_TRAIN, 0, &w.content);
        attempt_all(write_one_cache, &w, "a written cache");
        attempt_vanishing(write_one_cache, &w, "a written cache");
        attempt_new_ways(write_one_cache, &w, "a written cache's allocations");
        assert_int_equal(fill_once(&w, NULL), STATUS_OK);
        attempt_all(read_cache, w.path, "a cache that is read");
        attempt_all(call_library, w.path, "a cache that Python reads");
        attempt_some(compare_hdf5, w.path, "libhdf5's view", 60); /* each starts a process */
        cache_shard_release(&w.content);
        arena_release(&w.manifest.arena);
    }
    attempt_some(read_cache, "tests/golden/caches/version_1", "a cache of version 1", 60);
    attempt_some(read_cache, "tests/golden/caches/version_2", "a cache of version 2", 60);
}

/* A manifest with all that there can be, read, written and compared. */
static enum status read_manifest(const void *what, uint64_t *sum, struct error *err)
{
    struct cache_manifest manifest = {0};
    enum status status = STATUS_OK;
    char *text = NULL;
    TRY(manifest_parse(&manifest, what, strlen(what), true, "manifest", err));
    text = manifest_text(manifest_to_json(&manifest, true));
    if (!text)
        FAIL(error_no_memory(err, strlen(what), "a manifest"));
    TRY(manifest_check_text(&manifest, text, true, "manifest", err));
    attempt_add(sum, text, strlen(text));
cleanup:
    cJSON_free(text);
    arena_release(&manifest.arena);
    return status;
}

static void test_manifest(void **state)
{
    (void)state;
    static const struct cache_plan plan = {.classes = 3, .views = 2, .samples = {5, 4, 2}, .features = true, .seed = 7};
    struct cache cache;
    char path[512];
    snprintf(path, sizeof path, "%s/full", folder);
    assert_int_equal(plan_write(&plan, path, 100), 0);
    assert_int_equal(cache_open(&cache, path, NULL), STATUS_OK);
    fill_manifest(&cache.manifest);
    char *text = manifest_text(manifest_to_json(&cache.manifest, true));
    assert_non_null(text);
    attempt_all(read_manifest, text, "a manifest");
    cJSON_free(text);
    cache_release(&cache);
}

static enum status read_answers(const void *what, uint64_t *sum, struct error *err)
{
    struct answers answers;
    enum status status = answers_open(&answers, what, err);
    if (status != STATUS_OK)
        return status;
    for (int i = 0; i < answers.file_count; i++) {
        unsigned char *bytes;
        const uint8_t *rows;
        TRY(answers_read(&answers, i, &bytes, &rows, err));
        attempt_add(sum, rows, answers.files[i].bytes);
        free(bytes);
    }
cleanup:
    answers_release(&answers);
    return status;
}

static void test_answers(void **state)
{
    (void)state;
    attempt_all(read_answers, GOLDEN_ANSWERS, "answers");
}

/* ---- files of a run ---- */

static enum status add_file(const char *path, uint64_t *sum, struct error *err)
{
    const void *caller;
    unsigned char *text;
    size_t size;
    failing_calls_stop(&caller);
    const enum status status = file_read(path, 1 << 22, &text, &size, err);
    if (status == STATUS_OK)
        attempt_add(sum, text, size);
    if (status == STATUS_OK)
        free(text);
    return status;
}

static enum status write_predictions(const void *what, uint64_t *sum, struct error *err)
{
    static const char *const names[] = {"a", "b,c", "d\"e"}, *const ids[] = {"1", "2", "x,y"};
    static const float probabilities[9] = {0.5f, 0.25f, 0.25f, 0.125f, 0.75f, 0.125f, 0, 0, 1};
    const struct prediction_csv *csv = what;
    struct prediction_csv named = *csv;
    named.names = names;
    named.classes = 3;
    char path[512];
    snprintf(path, sizeof path, "%s/predictions.csv", folder);
    const enum status status = prediction_csv_publish(path, &named, ids, probabilities, 3, err);
    return status == STATUS_OK ? add_file(path, sum, err) : status;
}

static enum status write_report(const void *what, uint64_t *sum, struct error *err)
{
    char path[512];
    snprintf(path, sizeof path, "%s/report.html", folder);
    const enum status status = report_publish(what, path, err);
    return status == STATUS_OK ? add_file(path, sum, err) : status;
}

struct log {
    char path[512];
    int first;
    const uint32_t *confusion;
};

/* TensorBoard's files have the second of their start in their names: there are not a thousand starts in a second. */
static void remove_events(const char *path)
{
    const struct dirent *entry;
    DIR *entries = opendir(path); /* the C library's own calls do not fail */
    assert_non_null(entries);
    while ((entry = readdir(entries)))
        if (strncmp(entry->d_name, "events.", 7) == 0)
            assert_int_equal(unlinkat(dirfd(entries), entry->d_name, 0), 0);
    closedir(entries);
}

static enum status write_log(const void *what, uint64_t *sum, struct error *err)
{
    static const char *const terms[] = {"ce", "kd"};
    const struct log *log = what;
    char path[600];
    struct run_log *run;
    enum status status = run_log_open(&run, log->path, terms, 2, log->first, err);
    if (status != STATUS_OK)
        return status;
    for (int epoch = log->first; epoch < log->first + 2; epoch++)
        TRY(run_log_epoch(run, &(struct run_epoch){.epoch = epoch, .train_loss = 1.5 / epoch, .val_accuracy = 0.25},
                          err));
    TRY(run_log_event(run, "event", &(struct run_field){"name", "text", 0}, 1, err));
    TRY(run_log_hparams(run, "lr = 0.1\nname = a\nno value\nend = ", err));
    TRY(run_log_success(run, log->confusion, 2, err));
    TRY(run_log_sync(run, err));
    snprintf(path, sizeof path, "%s/summary.csv", log->path);
    TRY(add_file(path, sum, err));
cleanup:
    run_log_close(run);
    remove_events(log->path);
    return status;
}

static void test_runs(void **state)
{
    (void)state;
    static const char *const classes[] = {"cat", "<dog>"}, *const terms[] = {"kd"};
    static const uint32_t confusion[] = {3, 1, 0, 4};
    static const double teacher[] = {0.5, 0.75};
    static const struct run_epoch epochs[] = {{.epoch = 1, .train_loss = 2, .val_accuracy = 0.5},
                                              {.epoch = 2, .train_loss = 1, .val_accuracy = 0.6}};
    static const struct photo_answer answer = {"teacher", 1, {1}, {0.5}};
    struct image photo;
    synthetic_photo(&photo, 8, 9, 0, 1);
    const struct photo_card card = {&photo, "a.jpg", NULL, 0, true, &answer, 1};
    const struct report report = {.title = "a & b",
                                  .subtitle = "c",
                                  .split = "val",
                                  .student_accuracy = 0.5,
                                  .teacher_accuracy = 0.75,
                                  .agreement = 0.5,
                                  .parameters = 10,
                                  .images_per_second = 3,
                                  .seconds = 5,
                                  .epochs = epochs,
                                  .epoch_count = 2,
                                  .terms = terms,
                                  .term_count = 1,
                                  .best_epoch = 2,
                                  .classes = classes,
                                  .class_count = 2,
                                  .confusion = confusion,
                                  .teacher_class_accuracy = teacher,
                                  .baseline_class_accuracy = teacher,
                                  .baseline_title = "change",
                                  .disagreements = &card,
                                  .disagreement_count = 1,
                                  .config = "lr = 1\n"};
    struct log log = {.first = 1, .confusion = confusion};
    uint64_t sum = 0;
    snprintf(log.path, sizeof log.path, "%s/run", folder);
    assert_int_equal(folder_make(log.path, NULL), STATUS_OK);
    attempt_all(write_predictions, &(struct prediction_csv){.top = 2}, "predictions");
    attempt_all(write_predictions, &(struct prediction_csv){.probabilities = true}, "probabilities");
    attempt_all(write_report, &report, "a report");
    attempt_all(write_log, &log, "a log");
    assert_int_equal(write_log(&log, &sum, NULL), STATUS_OK);
    log.first = 3;
    log.confusion = NULL;
    attempt_all(write_log, &log, "a log that goes on");
    image_release(&photo);
}

/* ---- students as C ---- */

static enum status write_student_c(const void *what, uint64_t *sum, struct error *err)
{
    struct student_c_files files;
    const enum status status = student_c_write(what, &files, err);
    if (status != STATUS_OK)
        return status;
    attempt_add(sum, files.source, files.source_size);
    attempt_add(sum, files.header, files.header_size);
    student_c_files_free(&files);
    return STATUS_OK;
}

static void students_in_c(void **state)
{
    static const char *const students[] = {"dwpw-small", "mcunet", "resnet18"};
    (void)state;
    for (size_t i = 0; i < sizeof students / sizeof *students; i++)
        for (int int8 = 0; int8 < 2; int8++) {
            struct quantised q;
            assert_int_equal(quantised_init(&q, students[i], NULL), STATUS_OK);
            const struct student_c student = {&q.lowered, int8 ? &q.net : NULL, &q.card, q.pictures.pixels};
            attempt_new_ways(write_student_c, &student, students[i]);
            quantised_release(&q);
        }
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
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_caches),       cmocka_unit_test(test_repairs),  cmocka_unit_test(test_two_writers),
        cmocka_unit_test(test_small_things), cmocka_unit_test(test_manifest), cmocka_unit_test(test_answers),
        cmocka_unit_test(test_runs),         cmocka_unit_test(students_in_c), cmocka_unit_test(failing_calls_all_seen)};
    return cmocka_run_group_tests_name("failing_writers", tests, setup, teardown);
}
