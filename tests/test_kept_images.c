/* Decoded images that are kept from run to run (--keep-decoded): what a data set is after it was loaded from the file
 * is what it is after decoding, and a file that is cut, changed, somebody else's, or of another decoder is never
 * trusted. */
#define _GNU_SOURCE
#include "formats/cache/kept_images.h"
#include "shared/base/digest.h"
#include "student_train/trainer/dataset.h"
#include "tests/helper_cache.h"
#include "tests/helper_device.h"
#include "tests/helper_images.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { SAMPLES = 70, SIZE = 4, VIEW = SIZE * SIZE * 3 }; /* image 0 and 64 of the kept ones are decoded as well */

static const struct cache_plan plan = {.classes = 3, .views = 2, .samples = {SAMPLES, 5, 0}, .raw = true, .seed = 5};

struct fixture {
    char *folder, *kept; /* the cache, the folder of decoded images */
    char path[4096];     /* of the training split's file there */
    struct cache cache;
    char digest[DIGEST_HEX_SIZE];
    struct test_device t;
    struct compute compute;
    struct kept_key key;
    float *views; /* [SAMPLES, VIEW] as decoding gives them */
};

/* Loads the training split as one run does, and renders a view of each sample. Returns the notes, which the caller
 * frees. */
static char *load(struct fixture *f, float *views)
{
    struct dataset dataset;
    struct progress progress;
    struct error err = {0};
    struct view made[SAMPLES];
    uint32_t samples[SAMPLES], cursor = 0;
    char *text = NULL;
    size_t size;
    FILE *notes = open_memstream(&text, &size);
    progress_init(&progress, notes, false);
    test_must(dataset_load(&dataset, &f->cache, SPLIT_TRAIN, DATASET_TRAINING, SIZE, &f->compute, &progress, &err),
              &err);
    for (uint32_t i = 0; i < SAMPLES; i++) {
        samples[i] = i;
        dataset_view(&dataset, i, 1, &made[i]);
    }
    const struct epoch_views step = {.batch = SAMPLES, .cursor = &cursor, .views = made, .samples = samples};
    test_must(f->t.backend->device->images->render(f->t.device, dataset.images, &step, SAMPLES, SIZE,
                                                   dataset.cache_views.table, DTYPE_FP32, views, &err),
              &err);
    dataset_release(&dataset);
    fclose(notes);
    return text;
}

static void open_fixture(struct fixture *f)
{
    *f = (struct fixture){.folder = memory_folder()};
    char name[KEPT_NAME_SIZE], *manifest, *cache = path_join(f->folder, "cache");
    assert_int_equal(plan_write(&plan, cache, 1 << 20), 0);
    assert_int_equal(cache_open(&f->cache, cache, NULL), STATUS_OK);
    manifest = path_join(cache, "cache.json");
    assert_int_equal(digest_file(manifest, f->digest, NULL, NULL), STATUS_OK);
    f->t = test_device_open("cpu", 2);
    f->compute = (struct compute){.backend = f->t.backend, .device = f->t.device};
    assert_int_equal(thread_pool_new(&f->compute.pool, 2, NULL), STATUS_OK);
    f->kept = path_join(f->folder, "kept");
    f->views = calloc(SAMPLES * VIEW, sizeof *f->views);
    free(load(f, f->views));
    f->key = (struct kept_key){.cache = f->digest, .split = SPLIT_TRAIN, .count = SAMPLES, .channels = 3};
    kept_images_name(&f->key, name);
    snprintf(f->path, sizeof f->path, "%s/%s", f->kept, name);
    free(manifest);
    free(cache);
}

static void close_fixture(struct fixture *f)
{
    thread_pool_free(f->compute.pool);
    test_device_close(&f->t);
    cache_release(&f->cache);
    remove_folder(f->folder);
    free(f->views);
    free(f->kept);
    free(f->folder);
}

/* Loads with the folder; the views must be those of decoding. `said` NULL: nothing about decoded images may be said. */
static void load_kept(struct fixture *f, const char *said)
{
    static float views[SAMPLES * VIEW];
    f->compute.keep_folder = f->kept;
    f->compute.keep_digest = f->digest;
    char *notes = load(f, views);
    assert_memory_equal(views, f->views, sizeof views);
    if (said && !strstr(notes, said))
        fail_msg("notes have no '%s': %s", said, notes);
    if (!said && (strstr(notes, "decod") || strstr(notes, ".images")))
        fail_msg("notes say something: %s", notes);
    free(notes);
}

static unsigned char *content(const char *path, size_t *size)
{
    unsigned char *bytes;
    assert_int_equal(file_read(path, 1 << 24, &bytes, size, NULL), STATUS_OK);
    return bytes;
}

static void put(const char *path, const void *bytes, size_t size)
{
    FILE *file = fopen(path, "wb");
    assert_true(file && fwrite(bytes, 1, size, file) == size && fclose(file) == 0);
}

/* Writes a file of gray images, which are not those of the cache: equal_first: except the images that are compared. */
static void write_gray(const struct fixture *f, const struct kept_key *key, bool equal_first)
{
    struct kept_images *kept;
    struct kept_writer *writer;
    struct error err = {0};
    test_must(kept_images_open(&kept, f->kept, &f->key, &err), &err);
    test_must(kept_writer_open(&writer, f->kept, key, &err), &err);
    for (uint32_t i = 0; i < key->count; i++) {
        struct image image;
        test_must(kept_images_read(kept, i, &image, &err), &err);
        if (!equal_first || i % 64 != 0)
            memset(image.pixels, 128, (size_t)(image.h * image.w * image.channels));
        test_must(kept_writer_add(writer, i, &image, &err), &err);
        image_release(&image);
    }
    test_must(kept_writer_publish(writer, &err), &err);
    kept_writer_close(writer);
    kept_images_close(kept);
}

static void later_runs_do_not_decode(void **state)
{
    (void)state;
    struct fixture f;
    open_fixture(&f);
    static float views[SAMPLES * VIEW];
    load_kept(&f, NULL);
    assert_true(file_exists(f.path));
    load_kept(&f, NULL);
    /* What shows that nothing is decoded: another file that is whole is taken. */
    write_gray(&f, &f.key, true);
    free(load(&f, views));
    assert_memory_equal(views, f.views, VIEW * sizeof *views);
    for (int i = 0; i < VIEW; i++)
        assert_true(views[VIEW + i] == views[5 * VIEW + i % 3]);
    close_fixture(&f);
}

static void another_decoder_is_noticed(void **state)
{
    (void)state;
    struct fixture f;
    open_fixture(&f);
    load_kept(&f, NULL);
    write_gray(&f, &f.key, false);
    load_kept(&f, "is decoded otherwise today; decoding again");
    load_kept(&f, NULL);
    close_fixture(&f);
}

/* Every bit flip and every cut of it is noticed, and afterwards the file is whole again. Of the pixels, some bytes. */
static void damage_is_noticed(void **state)
{
    (void)state;
    struct fixture f;
    open_fixture(&f);
    size_t size, again;
    load_kept(&f, NULL);
    unsigned char *bytes = content(f.path, &size), *now;
    const size_t pixels = SAMPLES * 6 * 5 * 3;
    for (size_t at = 0; at < size; at += at < pixels ? 997 : 1) {
        struct kept_images *kept;
        struct error err = {0};
        bytes[at] ^= 4;
        put(f.path, bytes, size);
        bytes[at] ^= 4;
        if (at < pixels || at % 500 == 0)
            load_kept(&f, "decoding again");
        else
            assert_int_equal(kept_images_open(&kept, f.kept, &f.key, &err), STATUS_BAD_DATA);
    }
    for (size_t length = 0; length < size; length += length + 300 < size && length > 300 ? 211 : 1) {
        struct kept_images *kept;
        struct error err = {0};
        put(f.path, bytes, length);
        assert_int_equal(kept_images_open(&kept, f.kept, &f.key, &err), STATUS_BAD_DATA);
    }
    load_kept(&f, "decoding again");
    now = content(f.path, &again);
    assert_int_equal(size, again);
    load_kept(&f, NULL);
    free(now);
    free(bytes);
    close_fixture(&f);
}

/* A file of another cache, split or size under our name; bytes of others; no file at all. */
static void foreign_files_are_noticed(void **state)
{
    (void)state;
    struct fixture f;
    open_fixture(&f);
    char digest[DIGEST_HEX_SIZE], other[4096], name[KEPT_NAME_SIZE];
    load_kept(&f, NULL);
    memcpy(digest, f.digest, sizeof digest);
    digest[20] = digest[20] == '0' ? '1' : '0'; /* behind what the name has */
    const struct kept_key keys[] = {{digest, SPLIT_TRAIN, 0, SAMPLES, 3},
                                    {f.digest, SPLIT_VAL, 0, SAMPLES, 3},
                                    {f.digest, SPLIT_TRAIN, 6, SAMPLES, 3},
                                    {f.digest, SPLIT_TRAIN, 0, SAMPLES - 1, 3}};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        write_gray(&f, &keys[i], true);
        kept_images_name(&keys[i], name);
        snprintf(other, sizeof other, "%s/%s", f.kept, name);
        if (strcmp(other, f.path) != 0)
            assert_int_equal(rename(other, f.path), 0);
        load_kept(&f, i == 3 ? "decoding again" : "has other images; decoding again");
    }
    put(f.path, "hello", 5);
    load_kept(&f, "is cut: it has 5 bytes; decoding again");
    snprintf(other, sizeof other, "%s/theirs", f.kept);
    assert_int_equal(rename(f.path, other), 0);
    assert_int_equal(symlink(other, f.path), 0); /* is not followed, but replaced */
    load_kept(&f, NULL);
    struct stat info;
    assert_true(lstat(f.path, &info) == 0 && S_ISREG(info.st_mode));
    assert_true(file_exists(other));
    assert_int_equal(unlink(f.path), 0);
    assert_int_equal(mkdir(f.path, 0700), 0);
    load_kept(&f, "decoding again");
    assert_int_equal(rmdir(f.path), 0);
    load_kept(&f, NULL);
    load_kept(&f, NULL);
    close_fixture(&f);
}

/* One process writes at a time, the others decode for themselves; what a killed one left is removed. */
static void processes_do_not_disturb_each_other(void **state)
{
    (void)state;
    struct fixture f;
    open_fixture(&f);
    struct kept_writer *writer, *second;
    struct kept_images *kept;
    struct image image;
    struct error err = {0};
    char left[4200];
    f.compute.keep_folder = f.kept;
    test_must(kept_writer_open(&writer, f.kept, &f.key, &err), &err);
    load_kept(&f, "another process is keeping those of train");
    assert_int_equal(kept_writer_open(&second, f.kept, &f.key, &err), STATUS_LOCKED);
    assert_false(file_exists(f.path));
    kept_writer_close(writer);
    snprintf(left, sizeof left, "%s.4194304.tmp", f.path);
    put(left, "half", 4);
    load_kept(&f, NULL);
    assert_false(file_exists(left));
    err = (struct error){0};
    test_must(kept_images_open(&kept, f.kept, &f.key, &err), &err);
    write_gray(&f, &f.key, false); /* a reader keeps what it has opened */
    test_must(kept_images_read(kept, 3, &image, &err), &err);
    int differs = 0;
    for (int i = 0; i < 6 * 5 * 3; i++)
        differs += image.pixels[i] != 128;
    assert_true(differs > 0);
    image_release(&image);
    kept_images_close(kept);
    close_fixture(&f);
}

static void folders_of_others_are_refused(void **state)
{
    (void)state;
    struct fixture f;
    open_fixture(&f);
    struct dataset dataset;
    struct progress progress;
    struct error err = {0};
    progress_init(&progress, NULL, true);
    f.compute.keep_folder = f.cache.path;
    f.compute.keep_digest = f.digest;
    assert_int_equal(dataset_load(&dataset, &f.cache, SPLIT_TRAIN, DATASET_TRAINING, SIZE, &f.compute, &progress, &err),
                     STATUS_USAGE);
    assert_non_null(strstr(err.message, "has a cache.json, so decoded images cannot be kept there"));
    close_fixture(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(later_runs_do_not_decode),
        cmocka_unit_test(another_decoder_is_noticed),
        cmocka_unit_test(damage_is_noticed),
        cmocka_unit_test(foreign_files_are_noticed),
        cmocka_unit_test(processes_do_not_disturb_each_other),
        cmocka_unit_test(folders_of_others_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
