#define _POSIX_C_SOURCE 200809L
#include "formats/shard.h"

#include "formats/zstd_filter.h"
#include <stdlib.h>
#include <string.h>

/* A file in memory; nothing of it depends on the time or the place. */
static hid_t create_file(void)
{
    hid_t access = H5Pcreate(H5P_FILE_ACCESS), creation = H5Pcreate(H5P_FILE_CREATE), file = -1;
    if (access >= 0 && creation >= 0 && H5Pset_fapl_core(access, 1 << 20, 0) >= 0 &&
        H5Pset_libver_bounds(access, H5F_LIBVER_LATEST, H5F_LIBVER_LATEST) >= 0 &&
        H5Pset_obj_track_times(creation, 0) >= 0)
        file = H5Fcreate("shard", H5F_ACC_TRUNC, creation, access);
    H5Pclose(access);
    H5Pclose(creation);
    return file;
}

static hid_t creation_properties(const struct shard_field *field)
{
    hid_t properties = H5Pcreate(H5P_DATASET_CREATE);
    if (properties < 0 || H5Pset_obj_track_times(properties, 0) < 0)
        return -1;
    if (!field->compressed)
        return H5Pset_layout(properties, H5D_CONTIGUOUS) < 0 ? -1 : properties;
    const unsigned level = ZSTD_FILTER_LEVEL;
    hsize_t chunk[SHARD_MAX_RANK], row = field->bytes / field->dims[0];
    memcpy(chunk, field->dims, sizeof chunk);
    chunk[0] = row < SHARD_CHUNK_BYTES ? SHARD_CHUNK_BYTES / row : 1;
    chunk[0] = chunk[0] < field->dims[0] ? chunk[0] : field->dims[0];
    if (H5Pset_chunk(properties, field->rank, chunk) < 0 || H5Pset_fill_time(properties, H5D_FILL_TIME_ALLOC) < 0 ||
        (field->item > 1 && H5Pset_shuffle(properties) < 0) ||
        H5Pset_filter(properties, ZSTD_FILTER_ID, H5Z_FLAG_MANDATORY, 1, &level) < 0)
        return -1;
    return properties;
}

static enum status write_field(hid_t file, const struct shard_field *field, uint64_t *stored, struct error *err)
{
    hid_t type = hdf5_type(field->type, field->item), space = H5Screate_simple(field->rank, field->dims, NULL);
    hid_t properties = creation_properties(field), set = -1;
    enum status status = STATUS_OK;
    if (type >= 0 && space >= 0 && properties >= 0)
        set = H5Dcreate2(file, field->name, type, space, H5P_DEFAULT, properties, H5P_DEFAULT);
    if (set < 0 || H5Dwrite(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, field->data) < 0)
        status = error_set(err, STATUS_INTERNAL, NULL, "libhdf5 cannot write data set %s of %zu bytes", field->name,
                           field->bytes);
    else
        *stored = H5Dget_storage_size(set);
    H5Dclose(set);
    H5Pclose(properties);
    H5Sclose(space);
    H5Tclose(type);
    return status;
}

static enum status file_image(hid_t file, unsigned char **bytes, size_t *size, struct error *err)
{
    ssize_t length = H5Fflush(file, H5F_SCOPE_GLOBAL) < 0 ? -1 : H5Fget_file_image(file, NULL, 0);
    *bytes = length > 0 ? malloc((size_t)length) : NULL;
    if (!*bytes || H5Fget_file_image(file, *bytes, (size_t)length) != length) {
        free(*bytes);
        *bytes = NULL;
        return error_set(err, STATUS_INTERNAL, NULL, "libhdf5 cannot make a file image of %zd bytes", length);
    }
    *size = (size_t)length;
    return STATUS_OK;
}

/* names[n] as they are stored: as long as the longest. */
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
                             uint64_t *image_bytes, struct error *err)
{
    enum status status = STATUS_OK;
    struct shard_field fields[SHARD_MAX_FIELDS];
    uint64_t stored;
    size_t length;
    int count = shard_fields(manifest, shard, CACHE_READ_IMAGES | CACHE_READ_FEATURES, fields);
    char *packed = pack_names(shard, &length);
    if (!packed)
        return error_no_memory(err, length * shard->count, "sample names");
    struct shard_field names = shard_names_field(shard, packed, length);
    TRY(write_field(file, &names, &stored, err));
    for (int i = 0; i < count; i++)
        TRY(write_field(file, &fields[i], &stored, err));
    if (manifest->images_embedded) {
        struct shard_field images = shard_images_field(manifest, shard, shard->image_offsets[shard->count]);
        TRY(write_field(file, &images, image_bytes, err));
    }
cleanup:
    free(packed);
    return status;
}

enum status shard_build(const struct cache_manifest *manifest, const struct cache_shard *shard, unsigned char **bytes,
                        size_t *size, uint64_t *image_bytes, struct error *err)
{
    enum status status = STATUS_OK;
    hid_t file = -1;
    *bytes = NULL;
    *image_bytes = 0;
    hdf5_enter();
    TRY(zstd_filter_register(err));
    file = create_file();
    if (file < 0) {
        status = error_set(err, STATUS_INTERNAL, NULL, "libhdf5 cannot create a file in memory");
        goto cleanup;
    }
    TRY(write_all(file, manifest, shard, image_bytes, err));
    TRY(file_image(file, bytes, size, err));
cleanup:
    if (file >= 0)
        H5Fclose(file);
    hdf5_leave();
    return status;
}
