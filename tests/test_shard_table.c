/* The table of a shard says what libhdf5 and h5py say: two ways to read a shard, one content. */
#define _GNU_SOURCE
#include "formats/cache/hdf5_child.h"
#include "formats/cache/hdf5_table.h"
#include "formats/cache/zstd_filter.h"
#include "shared/base/digest.h"
#include "shared/base/files.h"
#include "tests/helper_cache.h"
#include "tests/helper_images.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { KINDS = 4 };
static const struct cache_plan plans[KINDS] = {
    {.classes = 300, .views = 2, .samples = {12, 3, 0}, .seed = 1, .features = true},
    {.classes = 11, .views = 40, .samples = {2000, 0, 0}, .seed = 2, .raw = true, .features = true}, /* many chunks */
    {.classes = 11, .views = 3, .samples = {70, 0, 0}, .seed = 3, .link = true},
    {.classes = 11, .views = 1000, .samples = {300, 0, 0}, .seed = 4},
};

struct fixture {
    char *folder, *path;
    struct cache_plan plan;
    struct cache_manifest manifest;
    struct cache_shard content, read;
    unsigned char *bytes; /* [size] of the training shard, also at `path` */
    size_t size;
};

static void begin(struct fixture *f, int kind, int format_version)
{
    struct error err = {0};
    uint64_t image_bytes;
    *f = (struct fixture){.folder = temporary_folder(), .plan = plans[kind]};
    f->path = path_join(f->folder, "shard.h5");
    f->plan.source_path = f->folder;
    f->plan.format_version = format_version;
    plan_manifest(&f->plan, &f->manifest);
    plan_shard(&f->plan, &f->manifest, SPLIT_TRAIN, 0, &f->content);
    assert_int_equal(shard_build(&f->manifest, &f->content, NULL, &f->bytes, &f->size, &image_bytes, NULL), STATUS_OK);
    write_file(f->folder, "shard.h5", f->bytes, f->size);
    if (shard_parse(&f->manifest, SPLIT_TRAIN, &f->manifest.splits[SPLIT_TRAIN].shards[0], f->bytes, f->size,
                    CACHE_READ_IMAGES | CACHE_READ_FEATURES, "shard", &f->read, &err) != STATUS_OK)
        fail_msg("%s", err.message);
}

static void end(struct fixture *f)
{
    cache_shard_release(&f->content);
    cache_shard_release(&f->read);
    arena_release(&f->manifest.arena);
    remove_folder(f->folder);
    free(f->bytes);
    free(f->path);
    free(f->folder);
}

/* The data sets that our reader decoded; the caller frees the names, *names. */
static int read_fields(struct fixture *f, struct shard_field fields[SHARD_MAX_FIELDS], size_t name_length, char **names)
{
    int count = shard_fields(&f->manifest, &f->read, fields);
    if (f->manifest.images_embedded)
        fields[count++] = shard_images_field(&f->manifest, &f->read, f->read.image_offsets[f->read.count]);
    *names = calloc(f->read.count, name_length);
    for (uint32_t i = 0; i < f->read.count; i++)
        memcpy(*names + i * name_length, f->read.names[i], name_length);
    fields[count++] = shard_names_field(&f->read, *names, name_length);
    return count;
}

static size_t name_length(const struct fixture *f)
{
    struct shard_table table = {0};
    size_t file_end;
    assert_int_equal(shard_table_read(&table, f->bytes, f->size, &file_end, "shard", NULL), STATUS_OK);
    const size_t length = shard_table_find(&table, "names")->item;
    shard_table_release(&table);
    return length;
}

static void libhdf5_reads_the_same(void **state)
{
    (void)state;
    for (int kind = 0; kind < KINDS; kind++) {
        struct fixture f;
        struct shard_field fields[SHARD_MAX_FIELDS];
        char *names;
        begin(&f, kind, 0);
        const int count = read_fields(&f, fields, name_length(&f), &names);
        hdf5_enter();
        assert_int_equal(zstd_filter_register(NULL), STATUS_OK);
        hid_t file = H5Fopen(f.path, H5F_ACC_RDONLY, H5P_DEFAULT);
        assert_true(file >= 0);
        for (int i = 0; i < count; i++) {
            hid_t set = H5Dopen2(file, fields[i].name, H5P_DEFAULT), type = H5Dget_type(set);
            unsigned char *data = malloc(fields[i].bytes);
            if (H5Dread(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) < 0 ||
                memcmp(data, fields[i].data, fields[i].bytes) != 0) {
                hdf5_leave(); /* for the next test */
                fail_msg("shard %d: libhdf5 reads another %s", kind, fields[i].name);
            }
            free(data);
            H5Tclose(type);
            H5Dclose(set);
        }
        H5Fclose(file);
        hdf5_leave();
        free(names);
        end(&f);
    }
}

/* h5py, which has a libhdf5 of its own, prints the digest of each data set. */
static void h5py_reads_the_same(void **state)
{
    (void)state;
    const char *python = getenv("SOFTCACHE_PYTHON") ? getenv("SOFTCACHE_PYTHON") : "python3";
    const char *build = getenv("BUILD") ? getenv("BUILD") : "build";
    char *command, line[256];
    assert_true(asprintf(&command, "%s -c 'import h5py' 2>/dev/null", python) > 0);
    const bool there = system(command) == 0;
    free(command);
    if (!there) {
        print_message("no h5py: SOFTCACHE_PYTHON names a Python that has it\n");
        skip();
    }
    for (int kind = 0; kind < KINDS; kind++) {
        struct fixture f;
        struct shard_field fields[SHARD_MAX_FIELDS];
        char *names;
        int seen = 0;
        begin(&f, kind, 0);
        const int count = read_fields(&f, fields, name_length(&f), &names);
        assert_true(asprintf(&command, "%s -B tests/check_shard_table.py %s %s/plugins", python, f.path, build) > 0);
        FILE *answer = popen(command, "r");
        assert_non_null(answer);
        while (fgets(line, sizeof line, answer)) {
            char name[64], digest[DIGEST_HEX_SIZE], ours[DIGEST_HEX_SIZE] = "";
            assert_int_equal(sscanf(line, "%63s %64s", name, digest), 2);
            for (int i = 0; i < count; i++)
                if (strcmp(fields[i].name, name) == 0)
                    digest_bytes(fields[i].data, fields[i].bytes, ours);
            if (strcmp(digest, ours) != 0)
                fail_msg("shard %d: h5py reads another %s", kind, name);
            seen++;
        }
        assert_int_equal(pclose(answer), 0);
        assert_int_equal(seen, count);
        free(command);
        free(names);
        end(&f);
    }
}

/* The table is only appended: the HDF5 file before it is that of version 2, byte for byte. */
static void a_table_follows_the_same_file(void **state)
{
    (void)state;
    for (int kind = 0; kind < KINDS; kind++) {
        struct fixture f, older;
        struct shard_table table = {0}, asked = {0};
        size_t file_end;
        char name[32];
        struct error err = {0};
        begin(&f, kind, 0);
        begin(&older, kind, 2);
        assert_int_equal(shard_table_read(&table, f.bytes, f.size, &file_end, "shard", NULL), STATUS_OK);
        assert_int_equal(file_end, older.size);
        assert_memory_equal(f.bytes, older.bytes, file_end);
        if (hdf5_child_table(&asked, f.bytes, f.size, "shard", &err) != STATUS_OK)
            fail_msg("%s", err.message);
        if (!shard_table_equal(&table, &asked, name))
            fail_msg("shard %d: libhdf5 sees another %s", kind, name);
        print_message("shard %d: %zu bytes, of which %zu are the table's\n", kind, f.size, f.size - file_end);
        table.sets[1].pieces[0].size++;
        assert_false(shard_table_equal(&table, &asked, name));
        assert_string_equal(name, table.sets[1].name);
        shard_table_release(&table);
        shard_table_release(&asked);
        end(&older);
        end(&f);
    }
}

/* Each rule for a table, broken once. */
static void bad_tables_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to, *message;
    } cases[] = {
        {"\"name\":\"ids\"", "\"name\":\"idx\"", "data set ids is missing"},
        {"\"name\":\"ids\"", "\"name\":\"labels\"", "data set labels appears twice"},
        {"\"name\":\"ids\",\"type\":\"uint32\"", "\"name\":\"ids\",\"type\":\"int32\"",
         "ids does not have the type and shape"},
        {"\"shape\":[70,3,11]", "\"shape\":[70,3,12]", "logits does not have the type and shape"},
        {"\"shape\":[70,3,11]", "\"shape\":[70,3,0]", "must have positive whole numbers"},
        {"\"shape\":[70,3,11]", "\"shape\":[70,3,1e300]", "must have positive whole numbers"},
        {"\"shape\":[70,3,11]", "\"shape\":[1,2,3,4,5,6]", "shape"},
        {"[\"shuffle\",\"zstd\"]", "[\"zstd\",\"shuffle\"]", "must be [], [zstd] or [shuffle, zstd]"},
        {"[\"shuffle\",\"zstd\"]", "[\"shuffle\",\"shuffle\"]", "must be [], [zstd] or [shuffle, zstd]"},
        {"[\"shuffle\",\"zstd\"]", "[\"zstd\"]", "does not have the chunks and filters of the format"},
        {"\"chunk_rows\":70", "\"chunk_rows\":35", "must have 2 offsets and sizes"},
        {"\"chunk_rows\":70", "\"chunk_rows\":0", "chunk_rows"},
        {"\"offsets\":[", "\"offsets\":[1", "outside of the file's"},
        {"\"sizes\":[", "\"sizes\":[-", "must be two whole numbers"},
        {"\"sizes\":[", "\"sizes\":[0, ", "must have 1 offsets and sizes"},
        {"\"data_sets\"", "\"data_set\"", "data_sets is missing"},
        {"{\"data_sets\"", "{{\"data_sets\"", "is not valid JSON"},
    };
    struct fixture f;
    size_t file_end;
    struct shard_table table = {0};
    begin(&f, 2, 0);
    assert_int_equal(shard_table_read(&table, f.bytes, f.size, &file_end, "shard", NULL), STATUS_OK);
    char *text = shard_table_text(&table);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct cache_shard shard = {0};
        struct error err = {0};
        char *at = strstr(text, cases[i].from), *changed;
        assert_non_null(at);
        const int size =
            asprintf(&changed, "%.*s%s%s\nsoftcache-table %010zu\n", (int)(at - text), text, cases[i].to,
                     at + strlen(cases[i].from), strlen(text) - strlen(cases[i].from) + strlen(cases[i].to));
        unsigned char *bytes = malloc(file_end + (size_t)size);
        memcpy(bytes, f.bytes, file_end);
        memcpy(bytes + file_end, changed, (size_t)size);
        assert_int_equal(shard_parse(&f.manifest, SPLIT_TRAIN, &f.manifest.splits[SPLIT_TRAIN].shards[0], bytes,
                                     file_end + (size_t)size, 0, "shard", &shard, &err),
                         STATUS_BAD_DATA);
        if (!strstr(err.message, cases[i].message))
            fail_msg("%s: \"%s\", wanted \"%s\"", cases[i].to, err.message, cases[i].message);
        free(bytes);
        free(changed);
    }
    free(text);
    shard_table_release(&table);
    end(&f);
}

/* Two data sets in the same bytes, and a piece in the table itself. */
static void pieces_that_overlap_are_refused(void **state)
{
    (void)state;
    struct fixture f;
    struct shard_table table = {0};
    struct error err = {0};
    size_t file_end;
    begin(&f, 0, 0);
    assert_int_equal(shard_table_read(&table, f.bytes, f.size, &file_end, "shard", NULL), STATUS_OK);
    assert_int_equal(shard_table_check_pieces(&table, file_end, "shard", NULL), STATUS_OK);
    struct shard_piece *piece = &table.sets[0].pieces[0], kept = *piece;
    *piece = (struct shard_piece){table.sets[1].pieces[0].offset + table.sets[1].pieces[0].size - 1, 1};
    assert_int_equal(shard_table_check_pieces(&table, file_end, "shard", &err), STATUS_BAD_DATA);
    assert_non_null(strstr(err.message, "two chunks share the byte"));
    *piece = kept;
    piece->offset = file_end - piece->size + 1;
    assert_int_equal(shard_table_check_pieces(&table, file_end, "shard", NULL), STATUS_BAD_DATA);
    piece->offset = UINT64_MAX;
    assert_int_equal(shard_table_check_pieces(&table, file_end, "shard", NULL), STATUS_BAD_DATA);
    shard_table_release(&table);
    end(&f);
}

/* Each thing that a data set's place must agree in with the manifest, changed once. */
static void places_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    struct fixture f;
    size_t file_end;
    struct shard_table table = {0};
    struct shard_field fields[SHARD_MAX_FIELDS];
    const struct shard_extent *extents[SHARD_MAX_FIELDS];
    int count;
    begin(&f, 1, 0);
    assert_int_equal(shard_table_read(&table, f.bytes, f.size, &file_end, "shard", NULL), STATUS_OK);
    assert_int_equal(shard_locate(&f.manifest, &f.content, &table, "shard", fields, extents, &count, NULL), STATUS_OK);
    assert_int_equal(count, table.count);
    for (int i = 0; i < table.count; i++)
        for (int change = 0; change < 8; change++) {
            struct shard_extent *set = &table.sets[i], kept = *set;
            struct error err = {0};
            const uint64_t size = set->pieces[0].size;
            set->type = change == 0 ? (set->type + 1) % SHARD_TYPE_COUNT : set->type;
            set->item = change == 1 ? CACHE_NAME_SIZE : set->item;
            set->rank = change == 2 ? set->rank % SHARD_MAX_RANK + 1 : set->rank;
            set->dims[0] += change == 3;
            set->shuffled ^= change == 4;
            set->packed ^= change == 5;
            set->piece_count += change == 6;
            set->pieces[0].size += change == 7;
            const enum status status =
                shard_locate(&f.manifest, &f.content, &table, "shard", fields, extents, &count, &err);
            if (change < 6 || !kept.packed) { /* pieces of compressed sets may have any number and size */
                if (status != STATUS_BAD_DATA || !strstr(err.message, kept.name))
                    fail_msg("%s, change %d: %d %s", kept.name, change, status, err.message);
            } else {
                assert_int_equal(status, STATUS_OK);
            }
            kept.pieces[0].size = size;
            *set = kept;
        }
    /* Another set than those of the manifest; images in a cache that has their names only. */
    struct error more = {0};
    table.sets[table.count] = (struct shard_extent){.name = "another"};
    table.count++;
    assert_int_equal(shard_locate(&f.manifest, &f.content, &table, "shard", fields, extents, &count, &more),
                     STATUS_BAD_DATA);
    assert_non_null(strstr(more.message, "data sets, but the manifest says"));
    f.manifest.images_embedded = false;
    assert_int_equal(shard_locate(&f.manifest, &f.content, &table, "shard", fields, extents, &count, NULL),
                     STATUS_BAD_DATA);
    f.manifest.images_embedded = true;
    shard_table_release(&table);
    end(&f);
}

/* A table that no reader takes is not written. */
static void long_tables_are_not_written(void **state)
{
    (void)state;
    enum { PIECES = 200000 };
    struct shard_table table = {.count = 1};
    struct error err = {0};
    size_t size = 4;
    unsigned char *bytes = calloc(1, size);
    table.sets[0] = (struct shard_extent){.name = "a", .rank = 1, .dims = {PIECES}, .item = 1, .rows = 1};
    table.sets[0].pieces = calloc(PIECES, sizeof *table.sets[0].pieces);
    table.sets[0].piece_count = PIECES;
    for (int i = 0; i < PIECES; i++)
        table.sets[0].pieces[i] = (struct shard_piece){100000 + (uint64_t)i, 1};
    assert_int_equal(shard_table_append(&table, &bytes, &size, &err), STATUS_INTERNAL);
    assert_non_null(strstr(err.message, "which no reader takes"));
    assert_int_equal(size, 4);
    shard_table_release(&table);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(libhdf5_reads_the_same),          cmocka_unit_test(h5py_reads_the_same),
        cmocka_unit_test(a_table_follows_the_same_file),   cmocka_unit_test(bad_tables_are_refused),
        cmocka_unit_test(pieces_that_overlap_are_refused), cmocka_unit_test(places_that_do_not_fit_are_refused),
        cmocka_unit_test(long_tables_are_not_written),
    };
    return cmocka_run_group_tests_name("shard_table", tests, NULL, NULL);
}
