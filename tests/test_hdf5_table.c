/* What hdf5_table says about HDF5 files that no shard is: each is made by libhdf5 and is a correct file, but has
 * another type, shape, layout, filter or link. softcache_hdf5_reader must say the same. */
#include "formats/cache/hdf5_child.h"
#include "formats/cache/hdf5_table.h"
#include "formats/cache/zstd_filter.h"
#include "shared/base/files.h"
#include "tests/helper_images.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum filters { SHUFFLE = 1, ZSTD = 2, FLETCHER = 4, SHUFFLE_LAST = 8 };

/* A data set "set". */
struct variant {
    const char *message; /* NULL: it is read */
    hid_t *type;         /* NULL: uint16 */
    int rank;            /* -1: a scalar, -2: nothing */
    hsize_t dims[6], chunk[6];
    unsigned filters;
    bool compact; /* in its header */
    bool growing; /* its first dimension */
    bool unwritten;
    bool outside;  /* its bytes are in another file */
    unsigned mask; /* of filters that the chunk was not given to */
};

static const char *const type_or_shape = "has a type or shape that no shard has",
                         *const chunks = "does not have the chunks and filters of the format",
                         *const lacks = "lacks a chunk";
static char *folder, *path;

static hid_t properties_of(const struct variant *v)
{
    const unsigned level = 1;
    hid_t list = H5Pcreate(H5P_DATASET_CREATE);
    if (v->chunk[0])
        assert_true(H5Pset_chunk(list, v->rank, v->chunk) >= 0);
    else
        assert_true(H5Pset_layout(list, v->compact ? H5D_COMPACT : H5D_CONTIGUOUS) >= 0);
    if (v->outside)
        assert_true(H5Pset_external(list, "/dev/null", 0, H5F_UNLIMITED) >= 0);
    if (v->filters & SHUFFLE)
        assert_true(H5Pset_shuffle(list) >= 0);
    if (v->filters & ZSTD)
        assert_true(H5Pset_filter(list, ZSTD_FILTER_ID, H5Z_FLAG_MANDATORY, 1, &level) >= 0);
    if (v->filters & FLETCHER)
        assert_true(H5Pset_fletcher32(list) >= 0);
    if (v->filters & SHUFFLE_LAST)
        assert_true(H5Pset_shuffle(list) >= 0);
    return list;
}

static hid_t space_of(const struct variant *v)
{
    hsize_t most[6];
    if (v->rank < 0)
        return H5Screate(v->rank == -1 ? H5S_SCALAR : H5S_NULL);
    memcpy(most, v->dims, sizeof most);
    if (v->growing)
        most[0] = H5S_UNLIMITED;
    return H5Screate_simple(v->rank, v->dims, most);
}

static void add_set(hid_t file, const struct variant *v)
{
    static unsigned char zeros[1 << 16];
    static const hsize_t begin[6];
    hid_t list = properties_of(v), space = space_of(v), type = v->type ? *v->type : H5T_STD_U16LE;
    hid_t set = H5Dcreate2(file, "set", type, space, H5P_DEFAULT, list, H5P_DEFAULT);
    assert_true(set >= 0);
    if (v->mask)
        assert_true(H5Dwrite_chunk(set, H5P_DEFAULT, v->mask, begin, 16, zeros) >= 0);
    else if (!v->unwritten)
        assert_true(H5Dwrite(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, zeros) >= 0);
    H5Dclose(set);
    H5Sclose(space);
    H5Pclose(list);
}

/* What is wrong with the file at `path`, "" if nothing is; both ways to ask must say the same. */
static void look(char message[256], struct shard_table *table)
{
    struct shard_table asked = {0};
    struct error err = {0}, other = {0};
    unsigned char *bytes;
    char name[32];
    size_t size;
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    assert_true(file >= 0);
    const enum status status = hdf5_table(file, table, &err);
    assert_int_equal(H5Fget_obj_count(file, H5F_OBJ_ALL), 1); /* the file itself */
    H5Fclose(file);
    assert_true(status == STATUS_OK || status == STATUS_BAD_DATA);
    assert_int_equal(file_read(path, 1 << 24, &bytes, &size, NULL), STATUS_OK);
    assert_int_equal(hdf5_child_table(&asked, bytes, size, "file", &other), status);
    assert_string_equal(err.message, other.message);
    if (status == STATUS_OK)
        assert_true(shard_table_equal(table, &asked, name));
    snprintf(message, 256, "%.255s", err.message);
    shard_table_release(&asked);
    free(bytes);
}

static void try_variant(const struct variant *v, int number)
{
    struct shard_table table = {0};
    char message[256];
    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(file >= 0);
    add_set(file, v);
    H5Fclose(file);
    look(message, &table);
    if (v->message ? !strstr(message, v->message) || !strstr(message, "data set set ") : message[0] != 0)
        fail_msg("variant %d: \"%s\", wanted \"%s\"", number, message, v->message ? v->message : "");
    shard_table_release(&table);
}

static hid_t made(hid_t type, size_t size)
{
    hid_t copy = H5Tcopy(type);
    assert_true(copy >= 0 && H5Tset_size(copy, size) >= 0);
    return copy;
}

static void data_sets(void **state)
{
    (void)state;
    hid_t text = made(H5T_C_S1, 5), endless = made(H5T_C_S1, H5T_VARIABLE), pair = H5Tcreate(H5T_COMPOUND, 4);
    hid_t f64 = H5T_IEEE_F64LE, u16_big = H5T_STD_U16BE, u8 = H5T_STD_U8LE, i32 = H5T_STD_I32LE;
    hid_t string = hdf5_type(SHARD_STRING, 5), half = hdf5_type(SHARD_F16, 2);
    assert_true(H5Tinsert(pair, "a", 0, H5T_STD_U16LE) >= 0 && H5Tinsert(pair, "b", 2, H5T_STD_U16LE) >= 0);
    const struct variant variants[] = {
        {.rank = 2, .dims = {3, 4}},
        {.type = &string, .rank = 1, .dims = {3}},
        {.rank = 2, .dims = {7, 4}, .chunk = {3, 4}, .filters = SHUFFLE | ZSTD},
        {.type = &u8, .rank = 2, .dims = {7, 4}, .chunk = {3, 4}, .filters = ZSTD},
        {.type = &half, .rank = 5, .dims = {1, 1, 2, 1, 3}},
        /* types */
        {type_or_shape, &text, 1, {3}}, /* another padding */
        {type_or_shape, &endless, 1, {3}, .unwritten = true},
        {type_or_shape, &pair, 1, {3}},
        {type_or_shape, &f64, 1, {3}},
        {type_or_shape, &u16_big, 1, {3}},
        /* shapes */
        {type_or_shape, &i32, -1},
        {type_or_shape, &i32, -2, .unwritten = true},
        {type_or_shape, &i32, 6, {1, 1, 1, 1, 1, 2}},
        {type_or_shape, &i32, 2, {0, 3}},
        {type_or_shape, &u8, 1, {CACHE_SHARD_LIMIT + (hsize_t)1}, .unwritten = true},
        /* filters */
        {chunks, NULL, 1, {8}, {8}},
        {chunks, NULL, 1, {8}, {8}, .filters = SHUFFLE},
        {chunks, NULL, 1, {8}, {8}, .filters = FLETCHER},
        {chunks, NULL, 1, {8}, {8}, .filters = ZSTD | FLETCHER},
        {chunks, NULL, 1, {8}, {8}, .filters = SHUFFLE | FLETCHER},
        {chunks, NULL, 1, {8}, {8}, .filters = ZSTD | SHUFFLE_LAST},
        /* layouts */
        {chunks, NULL, 1, {8}, .compact = true},
        {chunks, NULL, 1, {8}, .outside = true, .unwritten = true},
        {chunks, NULL, 2, {4, 8}, {4, 4}, .filters = ZSTD},
        {chunks, NULL, 1, {8}, {16}, .filters = ZSTD, .growing = true},
        /* places */
        {lacks, NULL, 1, {8}, .unwritten = true},
        {lacks, NULL, 1, {8}, {8}, .filters = ZSTD, .unwritten = true},
        {lacks, NULL, 1, {8}, {8}, .filters = SHUFFLE | ZSTD, .mask = 1},
        {"has more chunks than any shard", &u8, 1, {SHARD_TABLE_LIMIT + 1}, {1}, .filters = ZSTD, .unwritten = true},
    };
    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++)
        try_variant(&variants[i], (int)i);
    H5Tclose(text);
    H5Tclose(endless);
    H5Tclose(pair);
    H5Tclose(string);
    H5Tclose(half);
}

/* What is in the root group instead of a data set. */

static void add_nothing(hid_t file)
{
    (void)file;
}

static void add_group(hid_t file)
{
    H5Gclose(H5Gcreate2(file, "set", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
}

static void add_type(hid_t file)
{
    hid_t type = H5Tcopy(H5T_STD_U8LE);
    assert_true(H5Tcommit2(file, "set", type, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT) >= 0);
    H5Tclose(type);
}

static void add_soft_link(hid_t file)
{
    assert_true(H5Lcreate_soft("/", file, "set", H5P_DEFAULT, H5P_DEFAULT) >= 0);
}

static void add_external_link(hid_t file)
{
    assert_true(H5Lcreate_external("/etc/passwd", "/", file, "set", H5P_DEFAULT, H5P_DEFAULT) >= 0);
}

static void add_long_name(hid_t file)
{
    H5Gclose(H5Gcreate2(file, "a name of thirty-two characters..", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
}

static void add_many(hid_t file)
{
    char name[16];
    for (int i = 0; i <= SHARD_MAX_FIELDS; i++) {
        snprintf(name, sizeof name, "%d", i);
        H5Gclose(H5Gcreate2(file, name, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    }
}

static void root_groups(void **state)
{
    (void)state;
    static const struct {
        void (*add)(hid_t file);
        const char *message;
    } cases[] = {
        {add_nothing, ""},
        {add_group, "data set set is not a data set of this file"},
        {add_type, "data set set is not a data set of this file"},
        {add_soft_link, "data set set is not a data set of this file"},
        {add_external_link, "data set set is not a data set of this file"},
        {add_long_name, "has a data set with a name that no shard has"},
        {add_many, "more data sets than any shard"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct shard_table table = {0};
        char message[256];
        hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
        cases[i].add(file);
        H5Fclose(file);
        look(message, &table);
        if (!strstr(message, cases[i].message))
            fail_msg("case %zu: \"%s\", wanted \"%s\"", i, message, cases[i].message);
        shard_table_release(&table);
    }
}

/* Chunks that the filter for zstd must not decompress, through libhdf5; a filter without a level has one. */
static void bad_frames_are_refused(void **state)
{
    (void)state;
    static const unsigned char empty[] = {0x28, 0xB5, 0x2F, 0xFD, 0x20, 0, 1, 0, 0}, none[] = {0},
                               text[] = "no frame at all",
                               huge[] = {0x28, 0xB5, 0x2F, 0xFD, 0xA0, 0, 0, 0, 0x80, 1, 0, 0},
                               damaged[] = {0x28, 0xB5, 0x2F, 0xFD, 0x20, 16, 0xFF, 0xFF, 0xFF};
    static const struct {
        const unsigned char *bytes;
        size_t size;
    } frames[] = {{empty, sizeof empty},
                  {none, sizeof none},
                  {text, sizeof text},
                  {huge, sizeof huge},
                  {damaged, sizeof damaged}};
    const hsize_t dims[] = {16}, begin[] = {0};
    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT), space = H5Screate_simple(1, dims, NULL);
    for (size_t i = 0; i <= sizeof frames / sizeof *frames; i++) {
        unsigned char values[16], read[16];
        char name[8];
        hid_t list = H5Pcreate(H5P_DATASET_CREATE);
        memset(values, (int)i, sizeof values);
        snprintf(name, sizeof name, "%zu", i);
        assert_true(H5Pset_chunk(list, 1, dims) >= 0);
        assert_true(H5Pset_filter(list, ZSTD_FILTER_ID, H5Z_FLAG_MANDATORY, 0, NULL) >= 0);
        hid_t set = H5Dcreate2(file, name, H5T_STD_U8LE, space, H5P_DEFAULT, list, H5P_DEFAULT);
        if (i < sizeof frames / sizeof *frames) {
            assert_true(H5Dwrite_chunk(set, H5P_DEFAULT, 0, begin, frames[i].size, frames[i].bytes) >= 0);
            assert_true(H5Dread(set, H5T_STD_U8LE, H5S_ALL, H5S_ALL, H5P_DEFAULT, read) < 0);
        } else {
            assert_true(H5Dwrite(set, H5T_STD_U8LE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0);
            H5Dclose(set); /* and out of the cache of chunks */
            set = H5Dopen2(file, name, H5P_DEFAULT);
            assert_true(H5Dread(set, H5T_STD_U8LE, H5S_ALL, H5S_ALL, H5P_DEFAULT, read) >= 0);
            assert_memory_equal(read, values, sizeof values);
        }
        H5Dclose(set);
        H5Pclose(list);
    }
    H5Sclose(space);
    H5Fclose(file);
}

static int setup(void **state)
{
    (void)state;
    folder = memory_folder();
    path = path_join(folder, "file.h5");
    hdf5_enter();
    return zstd_filter_register(NULL);
}

static int teardown(void **state)
{
    (void)state;
    hdf5_leave();
    remove_folder(folder);
    free(folder);
    free(path);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(data_sets), cmocka_unit_test(root_groups),
                                       cmocka_unit_test(bad_frames_are_refused)};
    return cmocka_run_group_tests_name("hdf5_table", tests, setup, teardown);
}
