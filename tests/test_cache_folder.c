/* What may lie in the folder of a cache that is being written, and in that of answers: our own names, and what is
 * refused or left alone beside them. */
#define _POSIX_C_SOURCE 200809L
#include "formats/cache/answers.h"
#include "shared/base/files.h"
#include "tests/helper_answers.h"
#include "tests/helper_images.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static const struct cache_plan plan = {.classes = 3, .views = 1, .samples = {3, 0, 0}, .seed = 1, .raw = true};

static enum status open_writer(const char *path, struct error *err)
{
    struct cache_manifest manifest;
    struct cache_writer *writer;
    plan_manifest(&plan, &manifest);
    const enum status status = cache_writer_open(&writer, path, &manifest, err);
    cache_writer_close(writer);
    arena_release(&manifest.arena);
    return status;
}

static char *inside(const char *folder, const char *name)
{
    char *path = path_join(folder, name);
    assert_non_null(path);
    return path;
}

static void names_of_an_unfinished_cache(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        bool ours;
    } cases[] = {
        {"train-00000.json", true},
        {"val-00000.lock", true},
        {"test-123456.json", true},
        {"train-00000.json.77.tmp", true},
        {"identity.json.1.tmp", true},
        {"train-0000.json", false},
        {"train-00000.txt", false},
        {"train-00000.jsonx", false},
        {"trainx-00000.json", false},
        {"train_00000.json", false},
        {"train-.json", false},
        {"train", false},
        {"train-00000.json.tmp", false},
        {"train-00000.json.x.tmp", false},
        {"x.json.1.tmp", false},
        {"train-00000.lock.1.tmp", false},
        {"notes", false},
        {"a-very-long-name-that-no-record-of-any-shard-could-ever-have-because-they-are-short.json.1.tmp", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *folder = memory_folder(), *work = inside(folder, "partial");
        struct error err = {0}, again = {0};
        assert_int_equal(open_writer(folder, NULL), STATUS_OK);
        write_file(work, cases[i].name, "{}", 2);
        const enum status status = open_writer(folder, &err);
        if (status != (cases[i].ours ? STATUS_OK : STATUS_CANT_CREATE) ||
            (!cases[i].ours && !strstr(err.message, "holds what teacher_dump did not make there")))
            fail_msg("%s: status %d: %s", cases[i].name, status, err.message);
        /* Without an identity, records are nobody's. */
        char *identity = inside(work, "identity.json");
        assert_int_equal(unlink(identity), 0);
        const bool record = cases[i].ours && !strstr(cases[i].name, ".tmp");
        assert_int_equal(open_writer(folder, &again) == STATUS_OK, cases[i].ours && !record);
        remove_folder(folder);
        free(identity);
        free(work);
        free(folder);
    }
}

static void folders_in_the_place_of_files(void **state)
{
    (void)state;
    static const char *const names[] = {"cache.json", "partial/train-00000.json", "partial/other"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *folder = memory_folder(), *path = inside(folder, names[i]);
        struct error err = {0};
        assert_int_equal(open_writer(folder, NULL), STATUS_OK);
        assert_int_equal(mkdir(path, 0777), 0);
        assert_int_equal(open_writer(folder, &err), i == 0 ? STATUS_NO_INPUT : STATUS_CANT_CREATE);
        assert_true(strlen(err.message) > 5);
        remove_folder(folder);
        free(path);
        free(folder);
    }
}

/* Files that were being written when their process was killed go when the cache is finished; others stay. */
static void temporaries_go_at_the_end(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        bool stays;
    } cases[] = {{"cache.json.1.tmp", false}, {"train-00000.h5.22.tmp", false}, {"x.h5.22.tmp", true}, {"notes", true}};
    char *folder = memory_folder();
    assert_int_equal(open_writer(folder, NULL), STATUS_OK);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        write_file(folder, cases[i].name, "x", 1);
    assert_int_equal(plan_write(&plan, folder, 100), 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *path = inside(folder, cases[i].name);
        if ((access(path, F_OK) == 0) != cases[i].stays)
            fail_msg("%s %s", cases[i].name, cases[i].stays ? "is gone" : "is left");
        free(path);
    }
    remove_folder(folder);
    free(folder);
}

/* ---- answers ---- */

static void copy_answers(const char *folder)
{
    static const char *const names[] = {"answers.json", "train-0000000000.rows", "train-0000000012.rows",
                                        "val-0000000000.rows"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        unsigned char *bytes;
        size_t size;
        char path[128];
        snprintf(path, sizeof path, GOLDEN_ANSWERS "/%s", names[i]);
        assert_int_equal(file_read(path, 1 << 20, &bytes, &size, NULL), STATUS_OK);
        write_file(folder, names[i], bytes, size);
        free(bytes);
    }
}

static void what_is_no_answer_is_left_alone(void **state)
{
    (void)state;
    char *folder = memory_folder(), *path = inside(folder, "sub.rows"), *pipe = inside(folder, "pipe.rows");
    struct answers answers;
    struct error err = {0}, damaged = {0};
    unsigned char *bytes;
    const uint8_t *rows;
    copy_answers(folder);
    write_file(folder, ".rows", "x", 1);
    write_file(folder, "notes.txt", "x", 1);
    assert_int_equal(mkdir(path, 0777), 0);
    assert_int_equal(answers_open(&answers, folder, NULL), STATUS_OK);
    assert_int_equal(answers.file_count, 3);
    char *file = inside(folder, answers.files[0].name);
    assert_int_equal(truncate(file, 10), 0); /* since it was opened */
    assert_int_equal(answers_read(&answers, 0, &bytes, &rows, &damaged), STATUS_BAD_DATA);
    assert_non_null(strstr(damaged.message, "is damaged"));
    assert_null(bytes);
    /* A line that counts more than a file may hold. */
    char head[256];
    struct error large = {0};
    struct answers_file big = {0};
    const int size = snprintf(head, sizeof head,
                              "{\"answers\": \"%s\", \"split\": \"train\", \"first\": 0, \"count\": 1000000000, "
                              "\"sha256\": \"%s\"}\n",
                              answers.digest, answers.files[0].digest);
    assert_int_equal(
        answers_parse_head(&answers.manifest, answers.digest, head, (size_t)size, 1000, "file", &big, &large),
        STATUS_BAD_DATA);
    assert_non_null(strstr(large.message, "field count is 1000000000: a file may have"));
    answers_release(&answers);
    assert_int_equal(mkfifo(pipe, 0666), 0);
    copy_answers(folder);
    assert_int_equal(answers_open(&answers, folder, &err), STATUS_NO_INPUT);
    assert_non_null(strstr(err.message, "is not a file"));
    remove_folder(folder);
    free(path);
    free(pipe);
    free(file);
    free(folder);
}

static void too_many_answers_are_refused(void **state)
{
    (void)state;
    char *folder = memory_folder(), *photos = inside(folder, "photos"), *out = inside(folder, "cache"),
         *none = inside(folder, "none");
    struct answers answers;
    struct cache cache;
    struct error err = {0}, missing = {0};
    unsigned char *text;
    size_t size;
    make_golden_cache(photos, out, GOLDEN_SEED);
    assert_int_equal(cache_open(&cache, out, NULL), STATUS_OK);
    assert_int_equal(answers_open(&answers, GOLDEN_ANSWERS, NULL), STATUS_OK);
    assert_int_equal(answers_check(&answers, &cache.manifest, NULL), STATUS_OK);
    cache.manifest.splits[SPLIT_TRAIN].samples--;
    assert_int_equal(answers_check(&answers, &cache.manifest, &err), STATUS_BAD_DATA);
    assert_non_null(strstr(err.message, "but split train has"));
    answers_release(&answers);
    assert_int_equal(file_read(GOLDEN_ANSWERS "/answers.json", 1 << 20, &text, &size, NULL), STATUS_OK);
    write_file(none, "answers.json", text, size);
    assert_int_equal(answers_open(&answers, none, NULL), STATUS_OK);
    assert_int_equal(answers.file_count, 0);
    assert_int_equal(answers_check(&answers, &cache.manifest, &missing), STATUS_BAD_DATA);
    assert_non_null(strstr(missing.message, "have no answer yet, from view 0 of sample 0 on"));
    answers_release(&answers);
    cache_release(&cache);
    remove_folder(folder);
    free(text);
    free(photos);
    free(out);
    free(none);
    free(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_of_an_unfinished_cache), cmocka_unit_test(folders_in_the_place_of_files),
        cmocka_unit_test(temporaries_go_at_the_end),    cmocka_unit_test(what_is_no_answer_is_left_alone),
        cmocka_unit_test(too_many_answers_are_refused),
    };
    return cmocka_run_group_tests_name("cache_folder", tests, NULL, NULL);
}
