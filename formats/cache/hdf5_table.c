#define _DEFAULT_SOURCE
#include "formats/cache/hdf5_table.h"

#include "formats/cache/zstd_filter.h"
#include "shared/base/out_of_memory.h"
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static pthread_mutex_t hdf5_mutex = PTHREAD_MUTEX_INITIALIZER;

static void on_endless_recursion(int number)
{
    (void)number;
    out_of_memory();
    _exit(STATUS_INTERNAL);
}

/* libhdf5 1.10 tries to note that its initialisation failed, for which it initialises itself, until the stack is full.
 * So a handler with a stack of its own says what happened. */
static void initialise(void)
{
    static char reserve[1 << 16];
    struct sigaction before, action = {.sa_handler = on_endless_recursion, .sa_flags = SA_ONSTACK};
    stack_t old, own = {.ss_sp = reserve, .ss_size = sizeof reserve};
    const bool guarded = out_of_memory_installed() && sigaltstack(&own, &old) == 0;
    H5dont_atexit(); /* it does the same when it ends, and nothing of ours is open then */
    if (guarded && sigaction(SIGSEGV, &action, &before) == 0) {
        H5open();
        sigaction(SIGSEGV, &before, NULL);
    } else
        H5open();
    if (guarded)
        sigaltstack(&old, NULL);
}

enum { LEAST_BYTES = 1 << 16 };
static bool lacks_memory; /* since hdf5_enter */

static herr_t look_for_memory(unsigned n, const H5E_error2_t *error, void *context)
{
    (void)n, (void)context;
    lacks_memory = lacks_memory || error->maj_num == H5E_RESOURCE || error->min_num == H5E_NOSPACE;
    return 0;
}

/* Called by libhdf5 when a call of ours fails. */
static herr_t on_failure(hid_t stack, void *context)
{
    return H5Ewalk2(stack, H5E_WALK_DOWNWARD, look_for_memory, context);
}

void hdf5_enter(void)
{
    static bool initialised;
    pthread_mutex_lock(&hdf5_mutex);
    if (!initialised)
        initialise();
    initialised = true;
    lacks_memory = false;
    H5Eset_auto2(H5E_DEFAULT, on_failure, NULL);
}

/* Where nothing is left, libhdf5 cannot even note the failure. */
bool hdf5_lacks_memory(void)
{
    void *some = malloc(LEAST_BYTES);
    const bool lacks = lacks_memory || !some;
    free(some);
    return lacks;
}

void hdf5_leave(void)
{
    pthread_mutex_unlock(&hdf5_mutex);
}

/* A copy of a type, which is closed when one of the steps that change it has failed. */
static hid_t if_changed(hid_t type, bool changed)
{
    if (type >= 0 && !changed) {
        H5Tclose(type);
        return -1;
    }
    return type;
}

/* float16 as in h5py and numpy. */
static hid_t float16_type(void)
{
    const hid_t type = H5Tcopy(H5T_IEEE_F32LE);
    return if_changed(type, type >= 0 && H5Tset_fields(type, 15, 10, 5, 0, 10) >= 0 && H5Tset_size(type, 2) >= 0 &&
                                H5Tset_ebias(type, 15) >= 0);
}

static hid_t string_type(size_t length)
{
    const hid_t type = H5Tcopy(H5T_C_S1);
    return if_changed(type, type >= 0 && H5Tset_size(type, length) >= 0 && H5Tset_strpad(type, H5T_STR_NULLPAD) >= 0 &&
                                H5Tset_cset(type, H5T_CSET_UTF8) >= 0);
}

hid_t hdf5_type(enum shard_type type, size_t item)
{
    switch (type) {
    case SHARD_U8:
        return H5Tcopy(H5T_STD_U8LE);
    case SHARD_I8:
        return H5Tcopy(H5T_STD_I8LE);
    case SHARD_U16:
        return H5Tcopy(H5T_STD_U16LE);
    case SHARD_I32:
        return H5Tcopy(H5T_STD_I32LE);
    case SHARD_U32:
        return H5Tcopy(H5T_STD_U32LE);
    case SHARD_U64:
        return H5Tcopy(H5T_STD_U64LE);
    case SHARD_F16:
        return float16_type();
    case SHARD_F32:
        return H5Tcopy(H5T_IEEE_F32LE);
    case SHARD_STRING:
        return string_type(item);
    }
    return -1;
}

static enum status bad(const struct shard_extent *extent, const char *what, struct error *err)
{
    return error_set(err, STATUS_BAD_DATA, NULL, "data set %s %s: the cache was not written by this program",
                     extent->name, what);
}

/* Opens a data set of this file: a link could lead to another file. */
static hid_t open_set(hid_t file, const char *name)
{
    H5L_info_t link;
    if (H5Lget_info(file, name, &link, H5P_DEFAULT) < 0 || link.type != H5L_TYPE_HARD)
        return -1;
    return H5Dopen2(file, name, H5P_DEFAULT);
}

static bool find_type(hid_t set, struct shard_extent *extent)
{
    hid_t type = H5Dget_type(set);
    bool found = false;
    extent->item = type < 0 ? 0 : H5Tget_size(type);
    for (int i = 0; i < SHARD_TYPE_COUNT && extent->item > 0 && !found; i++) {
        hid_t wanted = hdf5_type((enum shard_type)i, extent->item);
        found = wanted >= 0 && H5Tequal(type, wanted) > 0;
        extent->type = (enum shard_type)i;
        if (wanted >= 0)
            H5Tclose(wanted);
    }
    if (type >= 0)
        H5Tclose(type);
    return found;
}

static bool find_shape(hid_t set, struct shard_extent *extent)
{
    hsize_t dims[H5S_MAX_RANK];
    hid_t space = H5Dget_space(set);
    int rank = space < 0 ? 0 : H5Sget_simple_extent_ndims(space);
    bool found = rank > 0 && rank <= SHARD_MAX_RANK && H5Sget_simple_extent_dims(space, dims, NULL) == rank;
    extent->rank = rank;
    for (int d = 0; d < rank && found; d++) {
        extent->dims[d] = dims[d];
        found = dims[d] > 0 && dims[d] <= CACHE_SHARD_LIMIT;
    }
    if (space >= 0)
        H5Sclose(space);
    return found;
}

static bool find_filters(hid_t properties, struct shard_extent *extent)
{
    const int count = H5Pget_nfilters(properties);
    for (int i = 0; i < count; i++) {
        unsigned flags, config;
        size_t values = 0;
        const int filter = H5Pget_filter2(properties, (unsigned)i, &flags, &values, NULL, 0, NULL, &config);
        if (filter == H5Z_FILTER_SHUFFLE && i == 0)
            extent->shuffled = true;
        else if (filter == ZSTD_FILTER_ID && i == count - 1)
            extent->packed = true;
        else
            return false;
    }
    return count >= 0 && (extent->packed || !extent->shuffled);
}

/* Chunks go along the first dimension only. */
static bool find_rows(hid_t properties, struct shard_extent *extent)
{
    hsize_t chunk[SHARD_MAX_RANK];
    if (!extent->packed) {
        extent->rows = extent->dims[0];
        return H5Pget_layout(properties) == H5D_CONTIGUOUS && H5Pget_external_count(properties) == 0;
    }
    if (H5Pget_layout(properties) != H5D_CHUNKED || H5Pget_chunk(properties, SHARD_MAX_RANK, chunk) != extent->rank ||
        chunk[0] == 0 || chunk[0] > extent->dims[0])
        return false;
    for (int d = 1; d < extent->rank; d++)
        if (chunk[d] != extent->dims[d])
            return false;
    extent->rows = chunk[0];
    return true;
}

static enum status find_pieces(hid_t set, struct shard_extent *extent, struct error *err)
{
    const size_t count = (extent->dims[0] - 1) / extent->rows + 1;
    hsize_t at[SHARD_MAX_RANK] = {0}, size = 0;
    haddr_t offset = HADDR_UNDEF;
    if (count > SHARD_TABLE_LIMIT)
        return bad(extent, "has more chunks than any shard", err);
    extent->pieces = calloc(count, sizeof *extent->pieces);
    if (!extent->pieces)
        return error_no_memory(err, count * sizeof *extent->pieces, "a list of chunks");
    extent->piece_count = count;
    for (size_t i = 0; i < count; i++, at[0] += extent->rows) {
        unsigned mask = 0; /* of the filters that were not applied */
        bool found;
        if (extent->packed) {
            found = H5Dget_chunk_info_by_coord(set, at, &mask, &offset, &size) >= 0;
        } else {
            offset = H5Dget_offset(set);
            size = H5Dget_storage_size(set);
            found = true;
        }
        if (!found || offset == HADDR_UNDEF || mask != 0)
            return bad(extent, "lacks a chunk", err);
        extent->pieces[i] = (struct shard_piece){.offset = offset, .size = size};
    }
    return STATUS_OK;
}

static enum status describe(hid_t file, struct shard_extent *extent, struct error *err)
{
    enum status status = STATUS_OK;
    hid_t set = open_set(file, extent->name), properties = -1;
    if (set < 0)
        FAIL(bad(extent, "is not a data set of this file", err));
    properties = H5Dget_create_plist(set);
    if (!find_type(set, extent) || !find_shape(set, extent))
        status = bad(extent, "has a type or shape that no shard has", err);
    else if (properties < 0 || !find_filters(properties, extent) || !find_rows(properties, extent))
        status = bad(extent, "does not have the chunks and filters of the format", err);
    else
        status = find_pieces(set, extent, err);
cleanup:
    if (properties >= 0)
        H5Pclose(properties);
    if (set >= 0)
        H5Dclose(set);
    return status;
}

enum status hdf5_table(hid_t file, struct shard_table *table, struct error *err)
{
    enum status status = STATUS_OK;
    H5G_info_t group;
    if (H5Gget_info(file, &group) < 0 || group.nlinks > SHARD_MAX_FIELDS)
        return error_set(err, STATUS_BAD_DATA, NULL, "has no root group, or one with more data sets than any shard");
    for (hsize_t i = 0; i < group.nlinks; i++) {
        struct shard_extent *extent = &table->sets[i];
        ssize_t length = H5Lget_name_by_idx(file, ".", H5_INDEX_NAME, H5_ITER_INC, i, extent->name, sizeof extent->name,
                                            H5P_DEFAULT);
        if (length <= 0 || (size_t)length >= sizeof extent->name)
            return error_set(err, STATUS_BAD_DATA, NULL, "has a data set with a name that no shard has");
        table->count = (int)i + 1;
        TRY(describe(file, extent, err));
    }
cleanup:
    return status;
}
