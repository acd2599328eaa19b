/* Hostile caches: a manifest that was changed, and shards that were changed together with their size, digest and
 * checksums, so that our own checks see them, and for those of older versions libhdf5 in its process. Nothing may
 * crash, hang or allocate without bound. */
#define _GNU_SOURCE
#include "formats/cache/hdf5_table.h"
#include "formats/cache/manifest.h"
#include "formats/cache/shard.h"
#include "formats/cache/zstd_filter.h"
#include "formats/json.h"
#include "shared/base/digest.h"
#include "shared/base/files.h"
#include "shared/base/random.h"
#include "tests/helper_cache.h"
#include "tests/helper_hdf5.h"
#include "tests/helper_images.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static const struct cache_plan plan = {.classes = 300, .views = 2, .samples = {12, 3, 0}, .seed = 1, .features = true};

struct fixture {
    struct cache_manifest manifest;
    struct cache_shard content;
    unsigned char *bytes; /* [size] of the training shard */
    size_t size;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    uint64_t image_bytes;
    plan_manifest(&plan, &f->manifest);
    plan_shard(&plan, &f->manifest, SPLIT_TRAIN, 0, &f->content);
    assert_int_equal(shard_build(&f->manifest, &f->content, NULL, &f->bytes, &f->size, &image_bytes, NULL), STATUS_OK);
    *state = f;
    return 0;
}

/* A shard without a table: libhdf5 is asked. */
static int set_up_version_2(void **state)
{
    set_up(state);
    struct fixture *f = *state;
    uint64_t image_bytes;
    free(f->bytes);
    f->manifest.format_version = 2;
    assert_int_equal(shard_build(&f->manifest, &f->content, NULL, &f->bytes, &f->size, &image_bytes, NULL), STATUS_OK);
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    cache_shard_release(&f->content);
    arena_release(&f->manifest.arena);
    free(f->bytes);
    free(f);
    return 0;
}

static enum status parse(const struct fixture *f, const unsigned char *bytes, size_t size, struct error *err)
{
    struct cache_shard shard = {0};
    enum status status = shard_parse(&f->manifest, SPLIT_TRAIN, &f->manifest.splits[SPLIT_TRAIN].shards[0], bytes, size,
                                     CACHE_READ_IMAGES | CACHE_READ_FEATURES, "shard", &shard, err);
    cache_shard_release(&shard);
    return status;
}

/* Builds the fixture's shard after `change` was made to it, and expects it to be refused with `message`. */
static void assert_refused(struct fixture *f, const char *message)
{
    struct error err = {0};
    unsigned char *bytes;
    uint64_t image_bytes;
    size_t size;
    assert_int_equal(shard_build(&f->manifest, &f->content, NULL, &bytes, &size, &image_bytes, NULL), STATUS_OK);
    assert_int_equal(parse(f, bytes, size, &err), STATUS_BAD_DATA);
    if (!strstr(err.message, message))
        fail_msg("\"%s\", wanted \"%s\"", err.message, message);
    free(bytes);
}

static void consistent_but_hostile_values(void **state)
{
    struct fixture *f = *state;
    struct cache_shard *shard = &f->content;
    assert_int_equal(parse(f, f->bytes, f->size, NULL), STATUS_OK);
    shard->labels[3] = 300;
    assert_refused(f, "labels has class 300 at 3");
    shard->labels[3] = 0;
    shard->ids[5] = shard->ids[4];
    assert_refused(f, "ids does not increase at 5");
    shard->ids[5]++;
    shard->top_classes[7] = 300;
    assert_refused(f, "top_classes has class 300");
    shard->top_classes[7] = 0;
    shard->logits[9] = 0x7E00;
    assert_refused(f, "logits is not finite at 9");
    shard->logits[9] = 0;
    uint64_t offset = shard->image_offsets[4];
    shard->image_offsets[4] = UINT64_MAX;
    assert_refused(f, "image_offsets");
    shard->image_offsets[4] = offset;
    char first = shard->names[2][0];
    shard->names[2][0] = 0;
    assert_refused(f, "names has an empty name");
    shard->names[2][0] = first;
    shard->features[3].half[5] = 0xFC00;
    assert_refused(f, "feature_3 is not finite at 5");
    shard->features[3].half[5] = 0;
    shard->features[1].scales[2] = NAN;
    assert_refused(f, "feature_1_scales has nan at 2");
    shard->features[1].scales[2] = 1;
    struct error err = {0};
    f->manifest.features[1].h = 4; /* a shape that the manifest claims and the shard has not */
    assert_int_equal(parse(f, f->bytes, f->size, &err), STATUS_BAD_DATA);
    assert_non_null(strstr(err.message, "feature_1 does not have the type and shape"));
}

/* Files with the right names and wrong insides, written by libhdf5 itself. */
static void other_layouts_are_refused(void **state)
{
    struct fixture *f = *state;
    for (int kind = 0; kind < 5; kind++) {
        char *folder = temporary_folder(), *path = path_join(folder, "x.h5"), *good = path_join(folder, "good.h5");
        unsigned char *bytes;
        size_t size;
        write_file(folder, "x.h5", f->bytes, f->size);
        write_file(folder, "good.h5", f->bytes, f->size);
        hdf5_enter();
        hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT), set;
        const hsize_t n = 12;
        hid_t space = H5Screate_simple(1, &n, NULL), properties = H5Pcreate(H5P_DATASET_CREATE);
        assert_true(file >= 0 && H5Ldelete(file, "labels", H5P_DEFAULT) >= 0);
        if (kind == 0) { /* a link that leads out of the file */
            assert_true(H5Lcreate_external(good, "labels", file, "labels", H5P_DEFAULT, H5P_DEFAULT) >= 0);
        } else if (kind == 1) { /* a group */
            set = H5Gcreate2(file, "labels", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
            H5Gclose(set);
        } else { /* data in another file; contiguous; chunked without filters */
            if (kind == 2)
                H5Pset_external(properties, "/etc/passwd", 0, 48);
            if (kind == 4)
                H5Pset_chunk(properties, 1, &n);
            set = H5Dcreate2(file, "labels", H5T_STD_I32LE, space, H5P_DEFAULT, properties, H5P_DEFAULT);
            assert_true(set >= 0);
            H5Dclose(set);
        }
        H5Pclose(properties);
        H5Sclose(space);
        H5Fclose(file);
        hdf5_leave();
        assert_int_equal(file_read(path, 1 << 26, &bytes, &size, NULL), STATUS_OK);
        struct error err = {0};
        assert_int_equal(parse(f, bytes, size, &err), STATUS_BAD_DATA);
        assert_non_null(strstr(err.message, "labels"));
        free(bytes);
        remove_folder(folder);
        free(good);
        free(path);
        free(folder);
    }
}

/* Each series in a process of its own: a crash is seen, and named by its seed. */
static void in_children(struct fixture *f, uint32_t series_count,
                        void (*change)(struct fixture *f, struct random_stream *stream))
{
    enum { MUTATIONS = 150 };
    for (uint32_t series = 0; series < series_count; series++) {
        pid_t child = fork();
        if (child == 0) {
            alarm(60);
            for (uint32_t i = 0; i < MUTATIONS; i++) {
                struct random_stream stream;
                random_stream_init(&stream, 1, RANDOM_SHUFFLE, series, i);
                change(f, &stream);
            }
            _exit(0);
        }
        int code;
        assert_int_equal(waitpid(child, &code, 0), child);
        if (code != 0)
            fail_msg("series %u ended with %#x", series, code);
    }
}

static void change_bytes(struct fixture *f, struct random_stream *stream)
{
    unsigned char *copy = malloc(f->size);
    memcpy(copy, f->bytes, f->size);
    for (uint32_t k = 1 + random_below(stream, 4); k > 0; k--)
        copy[random_below(stream, (uint32_t)f->size)] = (unsigned char)random_u32(stream);
    parse(f, copy, random_below(stream, 5) ? f->size : random_below(stream, (uint32_t)f->size), NULL);
    free(copy);
}

static void mutated_bytes(void **state)
{
    in_children(*state, 6, change_bytes);
}

/* Replaces a number of the table, or what a data set is, by something that is worth a try. */
static void change_table(struct fixture *f, struct random_stream *stream)
{
    static const uint64_t numbers[] = {0, 1, 2, 47, 255, 4096, 1 << 20, INT32_MAX, UINT32_MAX, 1ULL << 53, UINT64_MAX};
    struct shard_table table = {0};
    size_t end, size;
    assert_int_equal(shard_table_read(&table, f->bytes, f->size, &end, "shard", NULL), STATUS_OK);
    for (uint32_t k = 1 + random_below(stream, 3); k > 0; k--) {
        struct shard_extent *set = &table.sets[random_below(stream, (uint32_t)table.count)];
        struct shard_piece *piece = &set->pieces[random_below(stream, (uint32_t)set->piece_count)];
        uint64_t number = numbers[random_below(stream, sizeof numbers / sizeof *numbers)];
        if (random_below(stream, 2))
            number = random_below(stream, (uint32_t)f->size + 3);
        switch (random_below(stream, 9)) {
        case 0:
        case 1:
            piece->offset = number;
            break;
        case 2:
        case 3:
            piece->size = number;
            break;
        case 4:
            set->rows = number;
            break;
        case 5:
            set->dims[random_below(stream, (uint32_t)set->rank)] = number;
            break;
        case 6:
            set->item = number;
            break;
        case 7:
            set->packed = !set->packed;
            break;
        default:
            set->type = (enum shard_type)random_below(stream, SHARD_TYPE_COUNT);
        }
    }
    unsigned char *copy = malloc(size = end);
    memcpy(copy, f->bytes, end);
    if (shard_table_append(&table, &copy, &size, NULL) == STATUS_OK)
        parse(f, copy, size, NULL);
    free(copy);
    shard_table_release(&table);
}

static void mutated_tables(void **state)
{
    in_children(*state, 40, change_table);
}

/* Compressed chunks that are garbage, or hold more or less than their data set. */
static void change_chunk(struct fixture *f, struct random_stream *stream)
{
    struct shard_table table = {0};
    size_t end;
    unsigned char *copy = malloc(f->size);
    memcpy(copy, f->bytes, f->size);
    assert_int_equal(shard_table_read(&table, f->bytes, f->size, &end, "shard", NULL), STATUS_OK);
    const struct shard_piece *piece = &table.sets[random_below(stream, (uint32_t)table.count)].pieces[0];
    const uint32_t reach = random_below(stream, 2) ? 16 : (uint32_t)piece->size; /* a frame's head holds its sizes */
    for (uint32_t k = 1 + random_below(stream, 3); k > 0; k--)
        copy[piece->offset + random_below(stream, reach < piece->size ? reach : (uint32_t)piece->size)] =
            (unsigned char)random_u32(stream);
    parse(f, copy, f->size, NULL);
    shard_table_release(&table);
    free(copy);
}

static void mutated_chunks(void **state)
{
    in_children(*state, 20, change_chunk);
}

/* libhdf5's own structures, with their checksums made right again: it parses what it should not. It may crash, but not
 * here. SHARD_FUZZ_RUNS: so many shards instead of 200. */
static void mutated_structures_of_older_shards(void **state)
{
    struct fixture *f = *state;
    struct hdf5_part parts[HDF5_MAX_PARTS];
    const int count = hdf5_find_parts(f->bytes, f->size, parts);
    const char *wanted = getenv("SHARD_FUZZ_RUNS");
    const uint32_t runs = wanted ? (uint32_t)atoi(wanted) : 200;
    uint32_t read = 0, refused = 0, crashed = 0;
    unsigned char *copy = malloc(f->size);
    assert_true(count > 15); /* the superblock, an object header for each data set, ... */
    for (uint32_t i = 0; i < runs; i++) {
        struct error err = {0};
        struct random_stream stream;
        random_stream_init(&stream, 3, RANDOM_SHUFFLE, 0, i);
        memcpy(copy, f->bytes, f->size);
        hdf5_mutate(copy, parts, count, &stream);
        const enum status status = parse(f, copy, f->size, &err);
        if (status != STATUS_OK && status != STATUS_BAD_DATA)
            fail_msg("shard %u: %d: %s", i, status, err.message);
        read += status == STATUS_OK;
        refused += status == STATUS_BAD_DATA;
        crashed += strstr(err.message, "libhdf5 cannot read it") != NULL;
    }
    printf("%u shards read, %u refused; libhdf5 crashed on %u\n", read, refused, crashed);
    assert_true(refused > runs / 4); /* it did see them */
    free(copy);
}

static char *manifest_json(const struct fixture *f)
{
    char *text = json_text(manifest_to_json(&f->manifest, false), false); /* without a seal */
    assert_non_null(text);
    return text;
}

/* Replaces the first `from` by `to`; the result must be refused with `message`. */
static void assert_manifest_refused(const struct fixture *f, const char *from, const char *to, const char *message)
{
    char *text = manifest_json(f), *at = strstr(text, from), *changed;
    struct cache_manifest manifest = {0};
    struct error err = {0};
    assert_non_null(at);
    assert_true(asprintf(&changed, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from)) > 0);
    assert_true(manifest_parse(&manifest, changed, strlen(changed), false, "cache.json", &err) != STATUS_OK);
    if (!strstr(err.message, message))
        fail_msg("\"%s\", wanted \"%s\"", err.message, message);
    arena_release(&manifest.arena);
    free(changed);
    free(text);
}

static void manifest_fields(void **state)
{
    const struct fixture *f = *state;
    assert_manifest_refused(f, "\"format_version\":\t3", "\"format_version\":\t4",
                            "format version 4, but this program reads");
    struct fixture older = *f;
    older.manifest.format_version = 1;
    assert_manifest_refused(&older, "\"encoding\":\t\"jpeg\"", "\"encoding\":\t\"files\"",
                            "format version 1, but fields of version 2");
    assert_manifest_refused(&older,
                            "\"path\":", "\"upright\": true, \"path\":", "format version 1, but fields of version 2");
    assert_manifest_refused(f, "\"path\":", "\"upright\": 1, \"path\":", "field upright must be true or false");
    assert_manifest_refused(f,
                            "\"base\":", "\"resize\": \"wider\", \"base\":", "field preprocessing.resize has a value");
    assert_manifest_refused(f, "\"recipe\"", "\"recipes\"", "field augmentation.recipe is missing");
    assert_manifest_refused(f, "\"views\":\t2", "\"views\":\t2.5", "field augmentation.views must be a whole number");
    assert_manifest_refused(f, "\"views\":\t2", "\"views\":\t1e9", "field augmentation.views must be a whole number");
    assert_manifest_refused(f, "\"seed\":\t\"1\"", "\"seed\":\t\"18446744073709551616\"", "field augmentation.seed");
    assert_manifest_refused(f, "train-00000.h5", "../../../etc/passwd", "is not called train-00000.h5");
    assert_manifest_refused(f, "\"count\":\t12", "\"count\":\t11", "do not hold its 12 samples");
    assert_manifest_refused(f, "\"first\":\t0", "\"first\":\t1", "must begin with sample 0");
    assert_manifest_refused(f, "\"channels\":\t6", "\"channels\":\t16000000", "larger than a shard may be");
    assert_manifest_refused(f, "\"top_k\":\t32", "\"top_k\":\t300", "field outputs.top_k");
    assert_manifest_refused(f, "\"encoding\":\t\"jpeg\"", "\"encoding\":\t\"png\"",
                            "field source.encoding has a value");
    assert_manifest_refused(f, "\"split\":\t\"val\"", "\"split\":\t\"train\"", "split train appears twice");
    assert_manifest_refused(f, "0.229", "0", "field preprocessing.std[0] must be positive");
    assert_manifest_refused(f, "\"sha256\":\t\"", "\"sha256\":\t\"Z", "must be a SHA-256");
}

static void mutated_manifest(void **state)
{
    const struct fixture *f = *state;
    char *text = manifest_json(f);
    size_t size = strlen(text);
    for (uint32_t i = 0; i < 3000; i++) {
        struct cache_manifest manifest = {0};
        struct random_stream stream;
        char *copy = strdup(text);
        random_stream_init(&stream, 2, RANDOM_SHUFFLE, 0, i);
        for (uint32_t k = 0; k < 1 + i % 3; k++)
            copy[random_below(&stream, (uint32_t)size)] =
                (char)(random_below(&stream, 4) ? ' ' + random_below(&stream, 95) : random_u32(&stream));
        manifest_parse(&manifest, copy, i % 7 ? size : random_below(&stream, (uint32_t)size), false, "m", NULL);
        arena_release(&manifest.arena);
        free(copy);
    }
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(consistent_but_hostile_values, set_up, tear_down),
        cmocka_unit_test_setup_teardown(other_layouts_are_refused, set_up_version_2, tear_down),
        cmocka_unit_test_setup_teardown(mutated_bytes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(mutated_tables, set_up, tear_down),
        cmocka_unit_test_setup_teardown(mutated_chunks, set_up, tear_down),
        cmocka_unit_test_setup_teardown(mutated_structures_of_older_shards, set_up_version_2, tear_down),
        cmocka_unit_test_setup_teardown(manifest_fields, set_up, tear_down),
        cmocka_unit_test_setup_teardown(mutated_manifest, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("shard_fuzz", tests, NULL, NULL);
}
