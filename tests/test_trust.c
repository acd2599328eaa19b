/* What a cache may be trusted with: files that are not ours stay as they are, links lead nowhere, every changed byte of
 * a manifest is found, and caches of older versions are read. */
#define _GNU_SOURCE
#include "formats/cache/cache.h"
#include "formats/cache/manifest.h"
#include "formats/json.h"
#include "shared/base/digest.h"
#include "shared/base/files.h"
#include "tests/helper_cache.h"
#include "tests/helper_images.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static const struct cache_plan plan = {.classes = 3, .views = 2, .samples = {5, 3, 0}, .seed = 1};

static char *in(const char *folder, const char *name)
{
    char *path = path_join(folder, name);
    assert_non_null(path);
    return path;
}

/* Tries to write the cache into the folder: it must be refused with the message, which names `path` and `text`. */
static void assert_refused(const char *folder, const char *text)
{
    struct cache_manifest manifest;
    struct cache_writer *writer;
    struct error err = {0};
    plan_manifest(&plan, &manifest);
    enum status status = cache_writer_open(&writer, folder, &manifest, &err);
    if (status == STATUS_OK || !strstr(err.message, text))
        fail_msg("status %d: %s: %s, wanted '%s'", status, err.path, err.message, text);
    cache_writer_close(writer);
    arena_release(&manifest.arena);
}

static void assert_content(const char *folder, const char *name, const char *content)
{
    char *path = in(folder, name);
    unsigned char *bytes;
    size_t size;
    assert_int_equal(file_read(path, 1 << 20, &bytes, &size, NULL), STATUS_OK);
    assert_string_equal((char *)bytes, content);
    free(bytes);
    free(path);
}

static void put(const char *folder, const char *name, const char *content)
{
    write_file(folder, name, content, strlen(content));
}

/* A folder that holds anything before the cache is begun belongs to somebody else. */
static void foreign_files_are_refused(void **state)
{
    (void)state;
    static const char *const names[] = {
        "notes.txt",        "train-00000.h5",    "train-old.tmp", "train-00000.h5.77.tmp",
        "partial/mine.txt", "partial/lock/mine", "cache.json"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *folder = temporary_folder();
        put(folder, names[i], "precious");
        assert_refused(folder, strcmp(names[i], "cache.json") == 0          ? "is not valid JSON"
                               : strncmp(names[i], "partial/lock", 12) == 0 ? "lock"
                               : strrchr(names[i], '/')                     ? "mine.txt"
                                                                            : names[i]);
        assert_content(folder, names[i], "precious");
        struct folder_entry *entries;
        size_t count;
        assert_int_equal(folder_list(folder, &entries, &count, NULL), STATUS_OK);
        assert_int_equal(count, 1); /* and nothing was added */
        folder_list_free(entries, count);
        remove_folder(folder);
        free(folder);
    }
}

/* Files that somebody adds to an unfinished or finished cache are neither replaced nor removed. */
static void foreign_files_in_a_cache_stay(void **state)
{
    (void)state;
    char *folder = temporary_folder();
    assert_int_equal(plan_write(&plan, folder, 1), -1);
    put(folder, "val-00000.h5", "precious"); /* that shard is neither recorded nor locked */
    char *lock = in(folder, "partial/val-00000.lock");
    unlink(lock);
    assert_refused(folder, "val-00000.h5");
    assert_content(folder, "val-00000.h5", "precious");
    char *shard = in(folder, "val-00000.h5");
    assert_int_equal(unlink(shard), 0);
    put(folder, "train-mine.tmp", "precious");
    put(folder, "train-00000.h5.tmp", "precious");
    put(folder, "train-00000.h5.x.tmp", "precious");
    put(folder, "README.md", "precious");
    put(folder, "partial/mine.txt", "precious");
    assert_refused(folder, "mine.txt");
    assert_content(folder, "partial/mine.txt", "precious");
    char *mine = in(folder, "partial/mine.txt");
    assert_int_equal(unlink(mine), 0);
    assert_int_equal(plan_write(&plan, folder, 1 << 20), 0);
    put(folder, "partial/mine.txt", "precious"); /* in a finished cache */
    assert_refused(folder, "mine.txt");
    assert_content(folder, "partial/mine.txt", "precious");
    assert_content(folder, "train-mine.tmp", "precious");
    assert_content(folder, "train-00000.h5.tmp", "precious");
    assert_content(folder, "train-00000.h5.x.tmp", "precious");
    assert_content(folder, "README.md", "precious");
    remove_folder(folder);
    free(mine);
    free(shard);
    free(lock);
    free(folder);
}

/* A downloaded cache whose `partial` is a link to a folder of the user's. */
static void links_are_not_followed(void **state)
{
    (void)state;
    for (int finished = 0; finished < 2; finished++) {
        char *folder = temporary_folder(), *cache = in(folder, "cache"), *victim = in(folder, "victim");
        char *partial = in(cache, "partial"), *lock = in(cache, "partial/lock");
        put(victim, "precious.txt", "precious");
        put(victim, "train-00000.json", "precious");
        put(victim, "train-00000.h5", "precious");
        if (finished)
            assert_int_equal(plan_write(&plan, cache, 1 << 20), 0);
        else
            assert_int_equal(folder_make(cache, NULL), STATUS_OK);
        assert_int_equal(symlink(victim, partial), 0);
        assert_refused(cache, "is a link");
        assert_content(victim, "precious.txt", "precious");
        assert_content(victim, "train-00000.json", "precious");
        assert_int_equal(unlink(partial), 0);
        /* a lock and a shard that are links */
        char *target = in(victim, "train-00000.h5"), *link = in(cache, "train-00000.h5");
        assert_int_equal(mkdir(partial, 0777), 0);
        assert_int_equal(symlink(target, lock), 0);
        assert_refused(cache, "");
        assert_int_equal(unlink(lock), 0);
        if (finished) {
            assert_int_equal(unlink(link), 0);
            assert_int_equal(symlink(target, link), 0);
            assert_int_equal(plan_write(&plan, cache, 1 << 20), 0); /* repaired: the link is replaced */
        }
        assert_content(victim, "train-00000.h5", "precious");
        remove_folder(folder);
        free(target);
        free(link);
        free(lock);
        free(partial);
        free(victim);
        free(cache);
        free(folder);
    }
}

static char *canonical(const struct cache_manifest *manifest)
{
    char *text = json_text(manifest_to_json(manifest, true), false);
    assert_non_null(text);
    return text;
}

/* Every byte of cache.json replaced by every one of several others: refused, or read as the same manifest (a changed
 * name of the seal's field is the only such change). */
static void every_changed_byte_of_a_manifest_is_found(void **state)
{
    (void)state;
    char *folder = temporary_folder(), *path = in(folder, "cache.json"), *wanted;
    unsigned char *bytes;
    size_t size, same = 0, tried = 0;
    struct cache cache;
    assert_int_equal(plan_write(&plan, folder, 1 << 20), 0);
    assert_int_equal(file_read(path, 1 << 20, &bytes, &size, NULL), STATUS_OK);
    assert_non_null(strstr((char *)bytes, "\"" JSON_SEAL "\":\t\""));
    assert_int_equal(cache_open(&cache, folder, NULL), STATUS_OK);
    wanted = canonical(&cache.manifest);
    cache_release(&cache);
    for (size_t i = 0; i < size; i++) {
        for (int bit = 0; bit < 8; bit++) {
            struct cache_manifest manifest = {0};
            struct error err = {0};
            bytes[i] ^= (unsigned char)(1 << bit);
            if (manifest_parse(&manifest, (char *)bytes, size, true, path, &err) == STATUS_OK) {
                char *text = canonical(&manifest);
                assert_string_equal(text, wanted);
                free(text);
                same++;
            }
            tried++;
            arena_release(&manifest.arena);
            bytes[i] ^= (unsigned char)(1 << bit);
        }
    }
    assert_true(same <= 8 * (strlen(JSON_SEAL) + 2));
    for (size_t i = 0; i < size; i += 7) { /* and every truncation */
        struct cache_manifest manifest = {0};
        assert_int_not_equal(manifest_parse(&manifest, (char *)bytes, i, true, path, NULL), STATUS_OK);
        arena_release(&manifest.arena);
    }
    print_message("# %zu flips of %zu bytes: %zu read as the same manifest, the others refused\n", tried, size, same);
    free(wanted);
    free(bytes);
    remove_folder(folder);
    free(path);
    free(folder);
}

/* Values that no program of ours writes, in a manifest without a seal or with a right one. */
static void values_are_checked(void **state)
{
    (void)state;
    static const char *const changes[][3] = {
        {"hflip(p=0.5)", "hflip(p=0.7", "field augmentation.recipe"},
        {"hflip(p=0.5)", "hflip(0.5)", "not its canonical form"},
        {"\"version\":\t1", "\"version\":\t2", "made by algorithm 2"},
        {"\"size\":\t4,", "\"size\":\t60000,", "preprocessing.size must be a whole number from 1 to 4096"},
        {"0.485", "1e30", "preprocessing.mean[0] is 1e+30"},
        {"0.229", "1e-30", "preprocessing.std[0] is 1e-30"},
        {"0.229", "-1", "preprocessing.std[0] must be positive"},
    };
    struct cache_manifest manifest;
    plan_manifest(&plan, &manifest);
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        for (int sealed = 0; sealed < 2; sealed++) {
            struct cache_manifest read = {0};
            struct error err = {0};
            char *text = json_text(manifest_to_json(&manifest, false), false), *at = strstr(text, changes[i][0]),
                 *changed;
            assert_non_null(at);
            assert_true(
                asprintf(&changed, "%.*s%s%s", (int)(at - text), text, changes[i][1], at + strlen(changes[i][0])) > 0);
            if (sealed) {
                char *again = json_sealed_text(cJSON_Parse(changed));
                free(changed);
                changed = again;
            }
            assert_int_not_equal(manifest_parse(&read, changed, strlen(changed), false, "m", &err), STATUS_OK);
            if (!strstr(err.message, changes[i][2]))
                fail_msg("'%s', wanted '%s'", err.message, changes[i][2]);
            arena_release(&read.arena);
            free(changed);
            free(text);
        }
    }
    arena_release(&manifest.arena);
}

/* A record whose numbers were changed is not believed: its shard is made again. */
static void a_changed_record_is_not_believed(void **state)
{
    (void)state;
    char *folder = temporary_folder(), *record = in(folder, "partial/train-00000.json"), *at;
    unsigned char *bytes;
    size_t size;
    struct cache cache;
    assert_int_equal(plan_write(&plan, folder, 1), -1);
    assert_int_equal(file_read(record, 1 << 20, &bytes, &size, NULL), STATUS_OK);
    at = strstr((char *)bytes, "\"labelled_views\":\t10");
    assert_non_null(at);
    at[strlen("\"labelled_views\":\t1")] = '9';
    write_file(folder, "partial/train-00000.json", bytes, size);
    assert_int_equal(plan_write(&plan, folder, 1 << 20), 0);
    assert_int_equal(cache_open(&cache, folder, NULL), STATUS_OK);
    assert_int_equal(cache.manifest.splits[SPLIT_TRAIN].shards[0].labelled, 10);
    cache_release(&cache);
    free(bytes);
    remove_folder(folder);
    free(record);
    free(folder);
}

/* Fields that one of two manifests lacks: an ignored one is no difference, and another one is not taken for its
 * neighbour, even if that has the same value. */
static void fields_that_are_missing(void **state)
{
    (void)state;
    static const char *const ignore[] = {"left", NULL};
    static const struct {
        const char *left, *right, *place;
    } cases[] = {
        {"{\"a\":1,\"left\":2,\"b\":3}", "{\"a\":1,\"b\":3}", NULL},
        {"{\"a\":1,\"b\":3}", "{\"left\":[1],\"a\":1,\"b\":3,\"left\":1}", NULL},
        {"{\"upright\":true}", "{\"salvage\":true}", "upright"},
        {"{\"o\":{\"a\":1}}", "{\"o\":{\"a\":1,\"b\":2}}", "o.b"},
        {"{\"a\":[1,2]}", "{\"a\":[1,3]}", "a[1]"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cJSON *left = cJSON_Parse(cases[i].left), *right = cJSON_Parse(cases[i].right);
        const cJSON *a, *b;
        char place[128] = "";
        assert_int_equal(json_difference(left, right, ignore, place, sizeof place, &a, &b), cases[i].place != NULL);
        if (cases[i].place)
            assert_string_equal(place, cases[i].place);
        cJSON_Delete(left);
        cJSON_Delete(right);
    }
}

/* tests/golden/caches has a cache of each version of the format; the first was written before manifests had a seal. */
static void caches_of_every_version_are_read(void **state)
{
    (void)state;
    for (int version = 1; version <= CACHE_FORMAT_VERSION; version++) {
        struct cache cache;
        struct error err = {0};
        char path[64];
        snprintf(path, sizeof path, "tests/golden/caches/version_%d", version);
        if (cache_open(&cache, path, &err) != STATUS_OK)
            fail_msg("%s: %s", err.path, err.message);
        assert_int_equal(cache.manifest.format_version, version);
        assert_int_equal(cache.manifest.splits[SPLIT_TRAIN].samples, 10);
        assert_string_equal(cache.manifest.teacher_file, "tiny.onnx");
        for (int s = 0; s < SPLIT_TEST; s++) {
            struct cache_shard shard;
            if (cache_read_shard(&cache, (enum split)s, 0, CACHE_READ_IMAGES | CACHE_READ_FEATURES, &shard, &err) ||
                cache_compare_hdf5(&cache, (enum split)s, 0, &err))
                fail_msg("%s: %s", err.path, err.message);
            assert_int_equal(shard.count, 10);
            assert_int_equal(shard.labels[3], 3);
            const bool png = version > 1 && s == SPLIT_TRAIN; /* the first file */
            assert_memory_equal(shard.image_bytes, png ? "\x89P" : "\xff\xd8", 2);
            cache_shard_release(&shard);
        }
        cache_release(&cache);
    }
}

/* A cache of an older version is repaired in that version, with the bytes that it had. */
static void an_older_cache_stays_what_it_is(void **state)
{
    (void)state;
    struct cache_plan older = plan;
    older.format_version = 2;
    char *before = temporary_folder(), *after = temporary_folder(), *shard = in(after, "train-00000.h5");
    assert_int_equal(plan_write(&older, before, 1 << 20), 0);
    assert_int_equal(plan_write(&older, after, 1 << 20), 0);
    assert_int_equal(unlink(shard), 0);
    assert_int_equal(plan_write(&plan, after, 1 << 20), 0);
    static const char *const files[] = {"cache.json", "train-00000.h5"};
    for (int i = 0; i < 2; i++) {
        unsigned char *a, *b;
        size_t a_size, b_size;
        char *left = in(before, files[i]), *right = in(after, files[i]);
        assert_int_equal(file_read(left, 1 << 24, &a, &a_size, NULL), STATUS_OK);
        assert_int_equal(file_read(right, 1 << 24, &b, &b_size, NULL), STATUS_OK);
        assert_int_equal(a_size, b_size);
        assert_memory_equal(a, b, a_size);
        free(a);
        free(b);
        free(left);
        free(right);
    }
    remove_folder(before);
    remove_folder(after);
    free(shard);
    free(before);
    free(after);
}

/* The table and libhdf5 may disagree in a cache that was made to deceive; `verify --hdf5` says so. */
static void libhdf5_is_asked(void **state)
{
    (void)state;
    struct cache cache;
    struct error err = {0};
    char *folder = temporary_folder(), *path = in(folder, "train-00000.h5"), *at;
    unsigned char *bytes;
    size_t size;
    assert_int_equal(plan_write(&plan, folder, 1 << 20), 0);
    assert_int_equal(cache_open(&cache, folder, NULL), STATUS_OK);
    struct cache_shard_entry *entry = &cache.manifest.splits[SPLIT_TRAIN].shards[0];
    assert_int_equal(cache_compare_hdf5(&cache, SPLIT_TRAIN, 0, NULL), STATUS_OK);
    assert_int_equal(file_read(path, 1 << 24, &bytes, &size, NULL), STATUS_OK);
    at = memmem(bytes, size, "\"name\":\"ids\"", 12);
    assert_non_null(at);
    at = strstr(at, "\"sizes\":[");
    at[strlen("\"sizes\":[")] ^= 1;
    write_file(folder, "train-00000.h5", bytes, size);
    digest_bytes(bytes, size, entry->digest);
    assert_int_equal(cache_compare_hdf5(&cache, SPLIT_TRAIN, 0, &err), STATUS_BAD_DATA);
    assert_non_null(strstr(err.message, "libhdf5 sees another data set ids"));
    cache_release(&cache);
    free(bytes);
    remove_folder(folder);
    free(path);
    free(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(foreign_files_are_refused),
        cmocka_unit_test(foreign_files_in_a_cache_stay),
        cmocka_unit_test(links_are_not_followed),
        cmocka_unit_test(every_changed_byte_of_a_manifest_is_found),
        cmocka_unit_test(values_are_checked),
        cmocka_unit_test(a_changed_record_is_not_believed),
        cmocka_unit_test(fields_that_are_missing),
        cmocka_unit_test(caches_of_every_version_are_read),
        cmocka_unit_test(an_older_cache_stays_what_it_is),
        cmocka_unit_test(libhdf5_is_asked),
    };
    return cmocka_run_group_tests_name("trust", tests, NULL, NULL);
}
