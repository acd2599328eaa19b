/* What the readers of a cache refuse although every digest is right, because whoever wrote it meant it: values and
 * names in shards, tables, and places of photos. */
#include "formats/cache/hdf5_child.h"
#include "formats/cache/manifest.h"
#include "formats/cache/shard_table.h"
#include "formats/json.h"
#include "shared/base/digest.h"
#include "shared/base/files.h"
#include "tests/helper_cache.h"
#include "tests/helper_images.h"

#include <limits.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct cache_plan plan = {.classes = 300, .views = 2, .samples = {5, 0, 0}, .seed = 1, .features = true};

struct fixture {
    struct cache_manifest manifest;
    struct cache_shard content;
    unsigned char *bytes; /* [size] of the shard */
    size_t size;
};

static void begin(struct fixture *f, const struct cache_plan *of)
{
    *f = (struct fixture){0};
    plan_manifest(of, &f->manifest);
    plan_shard(of, &f->manifest, SPLIT_TRAIN, 0, &f->content);
}

static void build(struct fixture *f)
{
    uint64_t image_bytes;
    free(f->bytes);
    assert_int_equal(shard_build(&f->manifest, &f->content, NULL, &f->bytes, &f->size, &image_bytes, NULL), STATUS_OK);
}

static void end(struct fixture *f)
{
    cache_shard_release(&f->content);
    arena_release(&f->manifest.arena);
    free(f->bytes);
}

static enum status parse(const struct fixture *f, const unsigned char *bytes, size_t size, struct error *err)
{
    struct cache_shard shard = {0};
    const enum status status = shard_parse(&f->manifest, SPLIT_TRAIN, &f->manifest.splits[SPLIT_TRAIN].shards[0], bytes,
                                           size, CACHE_READ_IMAGES | CACHE_READ_FEATURES, "shard", &shard, err);
    cache_shard_release(&shard);
    return status;
}

static void assert_message(enum status status, enum status wanted, const struct error *err, const char *message)
{
    if (status != wanted || !strstr(err->message, message))
        fail_msg("status %d: %s: %s; wanted %d, \"%s\"", status, err->path, err->message, wanted, message);
}

/* ---- values ---- */

static void ids(struct cache_shard *s)
{
    s->ids[3] = s->ids[2];
}
static void low_label(struct cache_shard *s)
{
    s->labels[1] = -2;
}
static void high_label(struct cache_shard *s)
{
    s->labels[1] = 300;
}
static void logit(struct cache_shard *s)
{
    s->logits[7] = 0x7C00;
}
static void top_class(struct cache_shard *s)
{
    s->top_classes[9] = 300;
}
static void feature(struct cache_shard *s)
{
    s->features[0].half[5] = 0xFE00;
}
static void negative_scale(struct cache_shard *s)
{
    s->features[1].scales[2] = -1;
}
static void huge_scale(struct cache_shard *s)
{
    s->features[1].scales[2] = 1e38f;
}
static void no_scale(struct cache_shard *s)
{
    s->features[1].scales[2] = NAN;
}
static void first_offset(struct cache_shard *s)
{
    s->image_offsets[0] = 1;
}
static void equal_offsets(struct cache_shard *s)
{
    s->image_offsets[2] = s->image_offsets[1];
}
static void no_name(struct cache_shard *s)
{
    s->names[4][0] = 0;
}

static void values_are_refused(void **state)
{
    (void)state;
    static const struct {
        void (*change)(struct cache_shard *shard);
        const char *message;
    } cases[] = {
        {ids, "data set ids does not increase at 3"},
        {low_label, "data set labels has class -2 at 1"},
        {high_label, "data set labels has class 300 at 1"},
        {logit, "data set logits is not finite at 7"},
        {top_class, "data set top_classes has class 300 at 9"},
        {feature, "data set feature_0 is not finite at 5"},
        {negative_scale, "data set feature_1_scales has -1 at 2"},
        {huge_scale, "data set feature_1_scales has 1e+38 at 2"},
        {no_scale, "nan at 2"},
        {first_offset, "data set image_offsets does not fit the images"},
        {equal_offsets, "data set image_offsets does not fit the images"},
        {no_name, "data set names has an empty name"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct fixture f;
        struct error err = {0};
        begin(&f, &plan);
        cases[i].change(&f.content);
        build(&f);
        assert_message(parse(&f, f.bytes, f.size, &err), STATUS_BAD_DATA, &err, cases[i].message);
        end(&f);
    }
}

/* What a shard must hold again before it is published. */
static void name_differs(struct cache_shard *s)
{
    s->names[2][0]++;
}
static void image_differs(struct cache_shard *s)
{
    s->image_bytes[17]++;
}
static void label_differs(struct cache_shard *s)
{
    s->labels[0] = s->labels[0] ? 0 : 1;
}

static void what_does_not_read_back_is_not_published(void **state)
{
    (void)state;
    static const struct {
        void (*change)(struct cache_shard *shard);
        const char *message;
    } cases[] = {{label_differs, "data set labels does not read back as it was written"},
                 {name_differs, "data set names does not read back as it was written"},
                 {image_differs, "data set images does not read back as it was written"},
                 {no_name, "data set names does not read back"}};
    struct fixture f;
    struct error err = {0};
    begin(&f, &plan);
    build(&f);
    const struct cache_shard_entry *entry = &f.manifest.splits[SPLIT_TRAIN].shards[0];
    assert_int_equal(shard_check_bytes(&f.manifest, &f.content, entry, f.bytes, f.size, NULL), STATUS_OK);
    assert_message(shard_check_bytes(&f.manifest, &f.content, entry, f.bytes, f.size - 1, &err), STATUS_INTERNAL, &err,
                   "was not published: it does not read back: ");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct error failed = {0};
        cache_shard_release(&f.content);
        plan_shard(&plan, &f.manifest, SPLIT_TRAIN, 0, &f.content);
        cases[i].change(&f.content);
        assert_message(shard_check_bytes(&f.manifest, &f.content, entry, f.bytes, f.size, &failed), STATUS_INTERNAL,
                       &failed, cases[i].message);
    }
    end(&f);
}

/* ---- tables ---- */

static void tails_are_refused(void **state)
{
    (void)state;
    static const char *const tails[] = {"\nsoftcache-table 0000000001\n", "\nsoftcache-table 9999999999\n",
                                        "\nsoftcache-table 0001048577\n", "\nsoftcache-table +000000010\n",
                                        "\nsoftcache-table          2\n", "\nsoftcache-table 0000000010x",
                                        "\nsoftcache-table -000000001\n", "\nsoftcache-tables 000000001\n"};
    struct fixture f;
    begin(&f, &plan);
    build(&f);
    for (size_t i = 0; i < sizeof tails / sizeof *tails; i++) {
        struct error err = {0};
        unsigned char *bytes = malloc(f.size);
        memcpy(bytes, f.bytes, f.size);
        memcpy(bytes + f.size - 28, tails[i], 28);
        assert_message(parse(&f, bytes, f.size, &err), STATUS_BAD_DATA, &err,
                       i == 0 ? "its table" : "does not end with");
        free(bytes);
    }
    for (size_t size = 0; size <= 28; size += 14) {
        struct error err = {0};
        assert_message(parse(&f, f.bytes + f.size - size, size, &err), STATUS_BAD_DATA, &err, "does not end with");
    }
    end(&f);
}

/* A table with one thing changed is not the other's. */
static void tables_differ(void **state)
{
    (void)state;
    struct fixture f;
    struct shard_table table = {0}, other = {0};
    size_t file_end;
    char name[32];
    begin(&f, &plan);
    build(&f);
    for (int change = 0; change <= 12; change++) {
        shard_table_release(&table);
        shard_table_release(&other);
        table = other = (struct shard_table){0};
        assert_int_equal(shard_table_read(&table, f.bytes, f.size, &file_end, "shard", NULL), STATUS_OK);
        assert_int_equal(shard_table_read(&other, f.bytes, f.size, &file_end, "shard", NULL), STATUS_OK);
        struct shard_extent *set = &other.sets[1];
        set->type = change == 1 ? SHARD_U64 : set->type;
        set->item += change == 2;
        set->rank += change == 3;
        set->dims[0] += change == 4;
        set->shuffled ^= change == 5;
        set->packed ^= change == 6;
        set->rows += change == 7;
        set->pieces[0].offset += change == 8;
        set->pieces[0].size += change == 9;
        if (change == 10)
            snprintf(set->name, sizeof set->name, "another");
        if (change == 11) /* one more, in either of the two */
            free(table.sets[--table.count].pieces);
        if (change == 12)
            free(other.sets[--other.count].pieces);
        assert_int_equal(shard_table_equal(&table, &other, name), change == 0);
    }
    shard_table_release(&table);
    shard_table_release(&other);
    end(&f);
}

/* ---- places of photos ---- */

static void photos_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum status status;
        const char *message;
    } cases[] = {{"/etc/passwd", STATUS_BAD_DATA, "points outside the data folder"},
                 {"..", STATUS_BAD_DATA, "points outside the data folder"},
                 {"../a.jpg", STATUS_BAD_DATA, "points outside the data folder"},
                 {"a/../../b.jpg", STATUS_BAD_DATA, "points outside the data folder"},
                 {"a/..", STATUS_BAD_DATA, "points outside the data folder"},
                 {"..a/b.jpg", STATUS_NO_INPUT, "is missing: the cache refers to the photos"},
                 {"folder", STATUS_NO_INPUT, "is missing: the cache refers to the photos"},
                 {"same size", STATUS_BAD_DATA, "is not the file that the teacher saw"},
                 {"other size", STATUS_BAD_DATA, "is not the file that the teacher saw"}};
    char *folder = memory_folder();
    const struct cache_plan linked = {
        .classes = 3, .views = 1, .samples = {4, 0, 0}, .seed = 1, .link = true, .source_path = folder};
    struct fixture f;
    begin(&f, &linked);
    struct cache cache = {.path = folder, .manifest = f.manifest};
    char zeros[256] = "";
    write_file(folder, "folder/x", zeros, 1);
    write_file(folder, "same size", zeros, (size_t)f.content.link_sizes[0]);
    write_file(folder, "other size", zeros, (size_t)f.content.link_sizes[0] + 1);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct error err = {0};
        const uint8_t *bytes;
        uint8_t *owned;
        size_t size;
        snprintf(f.content.names[0], sizeof f.content.names[0], "%s", cases[i].name);
        assert_message(cache_image(&cache, &f.content, 0, &bytes, &size, &owned, &err), cases[i].status, &err,
                       cases[i].message);
        assert_null(owned);
    }
    struct error err = {0}, other = {0}, third = {0};
    struct cache_shard unread = {0};
    const uint8_t *bytes;
    uint8_t *owned;
    size_t size;
    assert_message(cache_image(&cache, &unread, 0, &bytes, &size, &owned, &err), STATUS_INTERNAL, &err,
                   "were not read");
    char *file = path_join(folder, "same size");
    assert_message(cache_set_data(&cache, file, &other), STATUS_NO_INPUT, &other, "is no folder");
    cache.manifest.images_embedded = true;
    assert_message(cache_set_data(&cache, folder, &third), STATUS_USAGE, &third, "the images are in the cache");
    assert_int_equal(cache_set_data(&cache, NULL, NULL), STATUS_OK);
    free(file);
    end(&f);
    remove_folder(folder);
    free(folder);
}

/* ---- JSON ---- */

static void seals_are_checked(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "{\"file_sha256\": 5}", "{\"file_sha256\": \"\"}", "{\"file_sha256\":\t\"0\"}",
        "{\"a\": 1, \"file_sha256\": null}",
        "{\"a\": {\"file_sha256\":\t\"00000000000000000000000000000000000000000000000000000000"
        "00000000\"}, \"file_sha256\": 5}"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct error err = {0};
        cJSON *tree;
        assert_message(json_parse_sealed(&tree, texts[i], strlen(texts[i]), "file", &err), STATUS_BAD_DATA, &err,
                       "was changed or damaged");
        assert_null(tree);
    }
}

static void differences_are_found(void **state)
{
    (void)state;
    static const struct {
        const char *left, *right, *path; /* NULL: none */
    } cases[] = {{"{}", "{}", NULL},
                 {"{\"a\": 1, \"b\": [1, \"x\", {\"c\": null}]}", "{\"a\": 1, \"b\": [1, \"x\", {\"c\": null}]}", NULL},
                 {"{\"a\": 1}", "{\"a\": 2}", "a"},
                 {"{\"a\": 1}", "{\"a\": \"1\"}", "a"},
                 {"{\"a\": [1]}", "{\"a\": {\"b\": 1}}", "a"},
                 {"{\"a\": [1]}", "{\"a\": [1, 2]}", "a[1]"},
                 {"{\"a\": [1, 2]}", "{\"a\": [1]}", "a[1]"},
                 {"{\"a\": true}", "{\"a\": false}", "a"},
                 {"{\"a\": 1, \"b\": 1}", "{\"b\": 1}", "a"},
                 {"{\"b\": 1}", "{\"a\": 1, \"b\": 1}", "a"},
                 {"{\"b\": 1}", "{\"b\": 1, \"z\": 1}", "z"},
                 {"{\"a\": {\"b\": \"x\"}}", "{\"a\": {\"b\": \"y\"}}", "a.b"},
                 {"{\"time\": 1, \"a\": 1}", "{\"a\": 1, \"time\": 2}", NULL}};
    static const char *const ignore[] = {"time", NULL};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cJSON *left = cJSON_Parse(cases[i].left), *right = cJSON_Parse(cases[i].right);
        const cJSON *a, *b;
        char path[100] = "";
        const bool differ = json_difference(left, right, ignore, path, sizeof path, &a, &b);
        if (differ != (cases[i].path != NULL) || (differ && strcmp(path, cases[i].path) != 0))
            fail_msg("case %zu: %d at \"%s\"", i, differ, path);
        cJSON_Delete(left);
        cJSON_Delete(right);
    }
    const cJSON *a, *b;
    char path[10] = "";
    assert_false(json_difference(NULL, NULL, ignore, path, sizeof path, &a, &b));
}

static void records_of_other_shards_are_refused(void **state)
{
    (void)state;
    static const char *const files[] = {"train-00000.h5", "train-00001.h5"};
    char digest[DIGEST_HEX_SIZE];
    digest_bytes("", 0, digest);
    for (int change = 0; change < 4; change++) {
        struct cache_shard_entry entry = {files[0],     .first = 5, .count = 7, .bytes = 100, .probability_squares = -1,
                                          .entropy = -1},
                                 record = entry;
        struct error err = {0};
        record.file = files[change == 1];
        record.first += change == 2;
        record.count += change == 3;
        memcpy(record.digest, digest, sizeof digest);
        char *text = json_sealed_text(manifest_shard_to_json(&record, true));
        const enum status status = manifest_record_parse(&entry, text, strlen(text), "record", &err);
        if (change == 0)
            assert_int_equal(status, STATUS_OK);
        else
            assert_message(status, STATUS_BAD_DATA, &err, "is the record of another shard");
        free(text);
    }
}

/* What is not known of every shard is known of none. */
static void teaching_may_be_unknown(void **state)
{
    (void)state;
    static const double known[][3] = {{10, 1, 1}, {0, 1, 1}, {10, -1, 1}, {10, 1, -1}}; /* samples, entropy, squares */
    for (int i = 0; i < 5; i++) {
        struct cache_shard_entry entry = {"train-00000.h5", .count = 10};
        struct cache_manifest manifest = {.class_count = 2};
        struct cache_teaching teaching;
        const double *k = known[i % 4];
        entry.entropy = k[1];
        entry.probability_squares = k[2];
        manifest.splits[SPLIT_TRAIN] = (struct cache_split){(uint32_t)k[0], 1, &entry, 1, -1};
        strcpy(manifest.teacher_digest, i == 4 ? "" : "a");
        cache_teaching(&manifest, &teaching);
        assert_int_equal(teaching.entropy >= 0, i == 0);
    }
}

/* ---- sizes ---- */

static void shards_that_are_too_large_are_refused(void **state)
{
    (void)state;
    struct cache_manifest manifest;
    struct cache_shard shard;
    struct error err = {0}, other = {0}, third = {0};
    plan_manifest(&plan, &manifest);
    assert_message(cache_shard_init(&shard, &manifest, SPLIT_TRAIN, 0, 1 << 20, &err), STATUS_BAD_DATA, &err,
                   "a shard of 1048576 samples would have");
    const uint64_t huge = (uint64_t)CACHE_SHARD_LIMIT + 1;
    assert_message(cache_layout(&manifest, SPLIT_TRAIN, &huge, 1, &other), STATUS_CONFIG, &other,
                   "sample 0 of split train needs more than a shard's 256 MiB");
    manifest.views = 1 << 30;
    manifest.features[0].views = 1 << 30;
    assert_message(cache_layout(&manifest, SPLIT_TRAIN, &(uint64_t){100}, 1, &third), STATUS_CONFIG, &third,
                   "sample 0 of split train needs more than a shard's 256 MiB");
    arena_release(&manifest.arena);
    /* Products beyond what 64 bits hold are SIZE_MAX, not small. */
    manifest =
        (struct cache_manifest){.teacher_digest = "a", .top_k = INT_MAX - 1, .views = INT_MAX, .feature_count = 1};
    assert_true(cache_sample_bytes(&manifest, SPLIT_TRAIN) > SIZE_MAX / 2);
    manifest.features[0] = (struct cache_feature){"map", FEATURE_INT8, INT_MAX, INT_MAX, INT_MAX, INT_MAX};
    assert_true(cache_sample_bytes(&manifest, SPLIT_TRAIN) == SIZE_MAX);
    manifest.top_k = 0;
    manifest.class_count = 2;
    assert_true(cache_sample_bytes(&manifest, SPLIT_TRAIN) == SIZE_MAX);
    /* A chunk has about a MiB, and at least a row. */
    assert_int_equal(shard_chunk_rows(&(struct shard_field){.dims = {5}, .bytes = 5u << 21}), 1);
    assert_int_equal(shard_chunk_rows(&(struct shard_field){.dims = {5}, .bytes = 5}), 5);
}

/* Names of data sets that no shard has, in a shard whose digest is right: they are counted as records. */
static void odd_names_are_counted(void **state)
{
    (void)state;
    static const char *const names[] = {"feature_-1", "feature_99", "feature_x", "top_classes", "feature_0"};
    const struct cache_plan small = {.classes = 3, .views = 1, .samples = {3, 0, 0}, .seed = 1, .raw = true};
    char *folder = memory_folder(), *path = path_join(folder, "cache"), *file = path_join(path, "train-00000.h5");
    struct cache cache;
    assert_int_equal(plan_write(&small, path, 100), 0);
    assert_int_equal(cache_open(&cache, path, NULL), STATUS_OK);
    struct cache_shard_entry *entry = &cache.manifest.splits[SPLIT_TRAIN].shards[0];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct cache_storage storage = {0};
        struct shard_table table = {0};
        unsigned char *bytes;
        size_t size, file_end;
        assert_int_equal(file_read(file, 1 << 20, &bytes, &size, NULL), STATUS_OK);
        assert_int_equal(shard_table_read(&table, bytes, size, &file_end, "shard", NULL), STATUS_OK);
        snprintf(table.sets[0].name, sizeof table.sets[0].name, "%s", names[i]);
        size = file_end;
        assert_int_equal(shard_table_append(&table, &bytes, &size, NULL), STATUS_OK);
        write_file(path, "train-00000.h5", bytes, size);
        entry->bytes = size;
        digest_bytes(bytes, size, entry->digest);
        assert_int_equal(cache_add_storage(&cache, SPLIT_TRAIN, 0, &storage, NULL), STATUS_OK);
        uint64_t sum = storage.images + storage.logits + storage.records + storage.form;
        for (int f = 0; f < CACHE_MAX_FEATURES; f++)
            sum += storage.features[f];
        assert_int_equal(sum, size);
        assert_int_equal(storage.features[0] > 0, i == 4);
        shard_table_release(&table);
        free(bytes);
    }
    cache_release(&cache);
    remove_folder(folder);
    free(folder);
    free(path);
    free(file);
}

/* ---- what writers may not do ---- */

static void writers_are_refused(void **state)
{
    (void)state;
    struct fixture f;
    struct cache_writer *writer;
    struct cache_claim claim = {0};
    struct error err = {0};
    char *folder = memory_folder(), kernels[64];
    begin(&f, &plan);
    assert_int_equal(cache_writer_open(&writer, folder, &f.manifest, NULL), STATUS_OK);
    for (int i = 0; i < 4; i++) { /* unclaimed; another split, place or size than the claim's */
        struct cache_shard other = f.content;
        struct error wrong = {0};
        if (i > 0)
            assert_int_equal(cache_writer_claim(writer, SPLIT_TRAIN, 0, &claim, NULL), STATUS_OK);
        other.split = i == 1 ? SPLIT_VAL : SPLIT_TRAIN;
        other.first += i == 2;
        other.count -= i == 3;
        assert_message(cache_writer_put(writer, &claim, &other, NULL, &wrong), STATUS_INTERNAL, &wrong,
                       "is not the shard that was claimed");
        assert_int_equal(claim.state, CACHE_UNCLAIMED);
    }
    for (int i = 0; i < CACHE_MAX_KERNELS; i++) {
        snprintf(kernels, sizeof kernels, "oneDNN %d", i);
        assert_int_equal(cache_writer_join(writer, kernels, true, NULL), STATUS_OK);
    }
    assert_message(cache_writer_join(writer, "one more", true, &err), STATUS_CONFIG, &err, "kinds of machines");
    cache_writer_close(writer);
    end(&f);
    remove_folder(folder);
    /* A cache of a version that does not say what computed it. */
    const struct cache_plan old = {.classes = 3, .views = 1, .samples = {3, 0, 0}, .raw = true, .format_version = 2};
    begin(&f, &old);
    assert_int_equal(cache_writer_open(&writer, folder, &f.manifest, NULL), STATUS_OK);
    assert_int_equal(cache_writer_join(writer, "any", false, NULL), STATUS_OK);
    assert_int_equal(cache_writer_join(writer, "other", false, NULL), STATUS_OK);
    cache_writer_close(writer);
    end(&f);
    remove_folder(folder);
    free(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_refused),
        cmocka_unit_test(what_does_not_read_back_is_not_published),
        cmocka_unit_test(tails_are_refused),
        cmocka_unit_test(tables_differ),
        cmocka_unit_test(photos_are_refused),
        cmocka_unit_test(shards_that_are_too_large_are_refused),
        cmocka_unit_test(records_of_other_shards_are_refused),
        cmocka_unit_test(teaching_may_be_unknown),
        cmocka_unit_test(seals_are_checked),
        cmocka_unit_test(differences_are_found),
        cmocka_unit_test(odd_names_are_counted),
        cmocka_unit_test(writers_are_refused),
    };
    return cmocka_run_group_tests_name("cache_refused", tests, NULL, NULL);
}
