#define _POSIX_C_SOURCE 200809L
#include "formats/cache/hdf5_table.h"
#include "formats/cache/zstd_filter.h"
#include <stdlib.h>
#include <string.h>

/* The memory of HDF5's core driver, kept when it closes the file. H5Fget_file_image cannot be used: in 1.10 it clears a
 * flag of the superblock but does not update its checksum, so the image cannot be opened. */
struct kept_image {
    unsigned char *bytes;
};

static void *image_malloc(size_t size, H5FD_file_image_op_t op, void *context)
{
    (void)op, (void)context;
    return malloc(size);
}

static void *image_memcpy(void *to, const void *from, size_t size, H5FD_file_image_op_t op, void *context)
{
    (void)op, (void)context;
    return memcpy(to, from, size);
}

static void *image_realloc(void *bytes, size_t size, H5FD_file_image_op_t op, void *context)
{
    (void)op, (void)context;
    return realloc(bytes, size);
}

static herr_t image_free(void *bytes, H5FD_file_image_op_t op, void *context)
{
    if (op == H5FD_FILE_IMAGE_OP_FILE_CLOSE)
        ((struct kept_image *)context)->bytes = bytes;
    else
        free(bytes);
    return 0;
}

static void *same_context(void *context)
{
    return context;
}

static herr_t keep_context(void *context)
{
    (void)context;
    return 0;
}

/* A file in memory. Its bytes depend neither on the time nor on the machine. */
static hid_t create_file(struct kept_image *kept)
{
    H5FD_file_image_callbacks_t callbacks = {
        .image_malloc = image_malloc,
        .image_memcpy = image_memcpy,
        .image_realloc = image_realloc,
        .image_free = image_free,
        .udata_copy = same_context,
        .udata_free = keep_context,
        .udata = kept,
    };
    hid_t access = H5Pcreate(H5P_FILE_ACCESS), creation = H5Pcreate(H5P_FILE_CREATE), file = -1;
    if (access >= 0 && creation >= 0 && H5Pset_fapl_core(access, 1 << 20, 0) >= 0 &&
        H5Pset_file_image_callbacks(access, &callbacks) >= 0 &&
        H5Pset_libver_bounds(access, H5F_LIBVER_LATEST, H5F_LIBVER_LATEST) >= 0 &&
        H5Pset_obj_track_times(creation, 0) >= 0)
        file = H5Fcreate("shard", H5F_ACC_TRUNC, creation, access);
    H5Pclose(access);
    H5Pclose(creation);
    return file;
}

static bool set_storage(hid_t properties, const struct shard_field *field)
{
    const unsigned level = ZSTD_FILTER_LEVEL;
    hsize_t chunk[SHARD_MAX_RANK] = {shard_chunk_rows(field)};
    if (H5Pset_obj_track_times(properties, 0) < 0)
        return false;
    if (!field->compressed)
        return H5Pset_layout(properties, H5D_CONTIGUOUS) >= 0;
    for (int d = 1; d < field->rank; d++)
        chunk[d] = field->dims[d];
    return H5Pset_chunk(properties, field->rank, chunk) >= 0 &&
           H5Pset_fill_time(properties, H5D_FILL_TIME_ALLOC) >= 0 &&
           (field->item == 1 || H5Pset_shuffle(properties) >= 0) &&
           H5Pset_filter(properties, ZSTD_FILTER_ID, H5Z_FLAG_MANDATORY, 1, &level) >= 0;
}

/* Compression is most of the work: the pool does it, and libhdf5 gets finished chunks, one group at a time. */
static enum status write_chunks(hid_t set, const struct shard_field *field, struct thread_pool *pool, struct error *err)
{
    enum status status = STATUS_OK;
    size_t rows = shard_chunk_rows(field), count = (size_t)(field->dims[0] + rows - 1) / rows;
    int group = 4 * thread_pool_size(pool);
    struct shard_chunk *packed = calloc((size_t)group, sizeof *packed);
    if (!packed)
        return error_no_memory(err, (size_t)group * sizeof *packed, "chunks");
    for (size_t first = 0; first < count && status == STATUS_OK; first += (size_t)group) {
        int now = count - first < (size_t)group ? (int)(count - first) : group;
        status = shard_pack(field, first, now, pool, packed, err);
        for (int i = 0; i < now; i++) {
            const hsize_t at[SHARD_MAX_RANK] = {(first + (size_t)i) * rows};
            if (status == STATUS_OK && H5Dwrite_chunk(set, H5P_DEFAULT, 0, at, packed[i].size, packed[i].bytes) < 0)
                status = error_set(err, STATUS_INTERNAL, NULL, "libhdf5 cannot write data set %s of %zu bytes",
                                   field->name, field->bytes);
            free(packed[i].bytes);
        }
    }
    free(packed);
    return status;
}

static enum status write_field(hid_t file, const struct shard_field *field, struct thread_pool *pool, uint64_t *stored,
                               struct error *err)
{
    hsize_t dims[SHARD_MAX_RANK];
    for (int d = 0; d < field->rank; d++)
        dims[d] = field->dims[d];
    const hid_t type = hdf5_type(field->type, field->item), space = H5Screate_simple(field->rank, dims, NULL);
    const hid_t properties = H5Pcreate(H5P_DATASET_CREATE);
    hid_t set = -1;
    enum status status = STATUS_OK;
    if (type >= 0 && space >= 0 && properties >= 0 && set_storage(properties, field))
        set = H5Dcreate2(file, field->name, type, space, H5P_DEFAULT, properties, H5P_DEFAULT);
    bool written = set >= 0;
    if (written && field->compressed)
        status = write_chunks(set, field, pool, err);
    else if (written)
        written = H5Dwrite(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, field->data) >= 0;
    *stored = written && status == STATUS_OK ? H5Dget_storage_size(set) : 0;
    if (*stored == 0 && status == STATUS_OK) /* no data set of a shard is empty */
        status = error_set(err, STATUS_INTERNAL, NULL, "libhdf5 cannot write data set %s of %zu bytes", field->name,
                           field->bytes);
    H5Dclose(set);
    H5Pclose(properties);
    H5Sclose(space);
    H5Tclose(type);
    return status;
}

/* The size of a closed file: the end-of-file address in its superblock (version 3: bytes 28 to 35). */
static size_t image_size(const unsigned char *bytes)
{
    uint64_t size = 0;
    for (int i = 7; i >= 0; i--)
        size = size << 8 | bytes[28 + i];
    return (size_t)size;
}

/* names[n] as they are stored: all as long as the longest one. */
static char *pack_names(const struct cache_shard *shard, size_t *length)
{
    *length = 1;
    for (uint32_t i = 0; i < shard->count; i++) {
        size_t name = strnlen(shard->names[i], CACHE_NAME_SIZE - 1);
        *length = name > *length ? name : *length;
    }
    char *packed = calloc(shard->count, *length);
    for (uint32_t i = 0; i < shard->count && packed; i++)
        memcpy(packed + i * *length, shard->names[i], strnlen(shard->names[i], *length));
    return packed;
}

static enum status write_all(hid_t file, const struct cache_manifest *manifest, const struct cache_shard *shard,
                             struct thread_pool *pool, uint64_t *image_bytes, struct error *err)
{
    enum status status = STATUS_OK;
    struct shard_field fields[SHARD_MAX_FIELDS];
    uint64_t stored;
    size_t length;
    int count = shard_fields(manifest, shard, fields);
    char *packed = pack_names(shard, &length);
    if (!packed)
        return error_no_memory(err, length * shard->count, "sample names");
    struct shard_field names = shard_names_field(shard, packed, length);
    TRY(write_field(file, &names, pool, &stored, err));
    for (int i = 0; i < count; i++)
        TRY(write_field(file, &fields[i], pool, &stored, err));
    if (manifest->images_embedded) {
        struct shard_field images = shard_images_field(manifest, shard, shard->image_offsets[shard->count]);
        TRY(write_field(file, &images, pool, image_bytes, err));
    }
cleanup:
    free(packed);
    return status;
}

void shard_build_prepare(void)
{
    hdf5_enter();
    hdf5_leave();
}

/* libhdf5 1.10 crashes at some of its small allocations when they fail: so it is not called when memory is nearly out.
 * The large ones are ours (image_realloc), or fail well. */
static enum status check_reserve(struct error *err)
{
    enum { RESERVE = 16 << 20 };
    void *reserve = malloc(RESERVE);
    if (!reserve)
        return error_no_memory(err, RESERVE, "libhdf5's file of a shard");
    free(reserve);
    return STATUS_OK;
}

/* The table of a file that libhdf5 has just written: what it does not find in there is no damage of a file. */
static enum status describe_written(hid_t file, struct shard_table *table, struct error *err)
{
    struct error failed = {0};
    const enum status status = hdf5_table(file, table, &failed);
    if (status == STATUS_OK)
        return STATUS_OK;
    return error_set(err, STATUS_INTERNAL, NULL,
                     status == STATUS_BAD_DATA ? "libhdf5 does not find what it has just written: %s" : "%s",
                     failed.message);
}

enum status shard_build(const struct cache_manifest *manifest, const struct cache_shard *shard,
                        struct thread_pool *pool, unsigned char **bytes, size_t *size, uint64_t *image_bytes,
                        struct error *err)
{
    enum status status = STATUS_OK;
    struct kept_image kept = {0};
    struct shard_table table = {0};
    hid_t file = -1;
    *bytes = NULL;
    *image_bytes = 0;
    hdf5_enter();
    TRY(check_reserve(err));
    TRY(zstd_filter_register(err));
    file = create_file(&kept);
    if (file < 0)
        FAIL(error_set(err, STATUS_INTERNAL, NULL, "libhdf5 cannot create a file in memory"));
    TRY(write_all(file, manifest, shard, pool, image_bytes, err));
    if (manifest->format_version >= SHARD_TABLE_VERSION)
        TRY(describe_written(file, &table, err));
cleanup:
    if (file >= 0 && H5Fclose(file) < 0 && status == STATUS_OK)
        status = error_set(err, STATUS_INTERNAL, NULL, "libhdf5 cannot finish a file in memory");
    if (status != STATUS_OK && hdf5_lacks_memory()) {
        if (err)
            *err = (struct error){0}; /* a step that failed for it says something else */
        status = error_no_memory(err, 0, "libhdf5's file of a shard");
    }
    hdf5_leave();
    if (status == STATUS_OK) {
        *size = image_size(kept.bytes);
        if (manifest->format_version >= SHARD_TABLE_VERSION)
            status = shard_table_append(&table, &kept.bytes, size, err);
    }
    if (status == STATUS_OK)
        *bytes = kept.bytes;
    else
        free(kept.bytes);
    shard_table_release(&table);
    return status;
}
