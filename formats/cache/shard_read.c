/* Reads a shard. libhdf5 only finds the data sets and their chunks; we decompress directly from the bytes, without
 * libhdf5's lock, and every size is known before. */
#include "formats/cache/shard.h"

#include "formats/cache/zstd_filter.h"
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

/* The place of a data set in the file. */
struct shard_extent {
    size_t rows;   /* per chunk */
    size_t chunks; /* 1 for contiguous data */
    struct piece {
        uint64_t offset, size;
    } * pieces; /* [chunks], owned */
};

struct shard_reader {
    const struct cache_manifest *manifest;
    const unsigned char *bytes; /* [size] */
    size_t size;
    const char *path;
    hid_t file;
};

static enum status bad(const struct shard_reader *reader, const struct shard_field *field, const char *what,
                       struct error *err)
{
    return error_set(err, STATUS_BAD_DATA, reader->path, "data set %s %s: the cache was not written by this program",
                     field->name, what);
}

/* Opens a data set of this file: a link could lead to another file. */
static hid_t open_set(const struct shard_reader *reader, const char *name)
{
    H5L_info_t link;
    if (H5Lget_info(reader->file, name, &link, H5P_DEFAULT) < 0 || link.type != H5L_TYPE_HARD)
        return -1;
    return H5Dopen2(reader->file, name, H5P_DEFAULT);
}

static bool same_type(hid_t set, const struct shard_field *field)
{
    hid_t type = H5Dget_type(set), wanted = hdf5_type(field->type, field->item);
    bool same = type >= 0 && wanted >= 0 && H5Tequal(type, wanted) > 0;
    H5Tclose(type);
    H5Tclose(wanted);
    return same;
}

static bool same_shape(hid_t set, const struct shard_field *field)
{
    hsize_t dims[SHARD_MAX_RANK];
    hid_t space = H5Dget_space(set);
    bool same = space >= 0 && H5Sget_simple_extent_ndims(space) == field->rank &&
                H5Sget_simple_extent_dims(space, dims, NULL) == field->rank &&
                memcmp(dims, field->dims, (size_t)field->rank * sizeof *dims) == 0;
    H5Sclose(space);
    return same;
}

static bool same_filters(hid_t properties, const struct shard_field *field)
{
    const int wanted[] = {H5Z_FILTER_SHUFFLE, ZSTD_FILTER_ID};
    int first = field->item > 1 ? 0 : 1;
    if (H5Pget_nfilters(properties) != 2 - first)
        return false;
    for (int i = first; i < 2; i++) {
        unsigned flags, config;
        size_t values = 0;
        if (H5Pget_filter2(properties, (unsigned)(i - first), &flags, &values, NULL, 0, NULL, &config) != wanted[i])
            return false;
    }
    return true;
}

static enum status locate_chunks(const struct shard_reader *reader, hid_t set, hid_t properties,
                                 const struct shard_field *field, struct shard_extent *extent, struct error *err)
{
    hsize_t chunk[SHARD_MAX_RANK], at[SHARD_MAX_RANK] = {0};
    if (H5Pget_layout(properties) != H5D_CHUNKED || H5Pget_chunk(properties, SHARD_MAX_RANK, chunk) != field->rank ||
        chunk[0] == 0 || chunk[0] > field->dims[0] ||
        memcmp(chunk + 1, field->dims + 1, (size_t)(field->rank - 1) * sizeof *chunk) != 0 ||
        !same_filters(properties, field))
        return bad(reader, field, "does not have the chunks and filters of the format", err);
    extent->rows = chunk[0];
    extent->chunks = (field->dims[0] + chunk[0] - 1) / chunk[0];
    extent->pieces = calloc(extent->chunks, sizeof *extent->pieces);
    if (!extent->pieces)
        return error_no_memory(err, extent->chunks * sizeof *extent->pieces, "a list of chunks");
    for (size_t i = 0; i < extent->chunks; i++, at[0] += chunk[0]) {
        struct piece *piece = &extent->pieces[i];
        unsigned mask;
        haddr_t offset;
        hsize_t size;
        if (H5Dget_chunk_info_by_coord(set, at, &mask, &offset, &size) < 0 || mask != 0 || offset == HADDR_UNDEF ||
            offset > reader->size || size > reader->size - offset)
            return bad(reader, field, "lacks a chunk", err);
        *piece = (struct piece){.offset = offset, .size = size};
    }
    return STATUS_OK;
}

static enum status locate_contiguous(const struct shard_reader *reader, hid_t set, hid_t properties,
                                     const struct shard_field *field, struct shard_extent *extent, struct error *err)
{
    haddr_t offset = H5Dget_offset(set);
    if (H5Pget_layout(properties) != H5D_CONTIGUOUS || H5Pget_nfilters(properties) != 0 ||
        H5Pget_external_count(properties) != 0 || offset == HADDR_UNDEF || offset > reader->size ||
        field->bytes > reader->size - offset)
        return bad(reader, field, "is not stored in one piece", err);
    extent->rows = field->dims[0];
    extent->chunks = 1;
    extent->pieces = calloc(1, sizeof *extent->pieces);
    if (!extent->pieces)
        return error_no_memory(err, sizeof *extent->pieces, "a list of chunks");
    extent->pieces[0] = (struct piece){.offset = offset, .size = field->bytes};
    return STATUS_OK;
}

static enum status locate(const struct shard_reader *reader, const struct shard_field *field,
                          struct shard_extent *extent, struct error *err)
{
    enum status status = STATUS_OK;
    hid_t set = open_set(reader, field->name), properties = -1;
    if (set < 0)
        TRY(bad(reader, field, "is missing", err));
    if (!same_type(set, field) || !same_shape(set, field))
        TRY(bad(reader, field, "does not have the type and shape that the manifest says", err));
    properties = H5Dget_create_plist(set);
    if (properties < 0)
        status = bad(reader, field, "has no properties", err);
    else if (field->compressed)
        status = locate_chunks(reader, set, properties, field, extent, err);
    else
        status = locate_contiguous(reader, set, properties, field, extent, err);
cleanup:
    if (properties >= 0)
        H5Pclose(properties);
    if (set >= 0)
        H5Dclose(set);
    return status;
}

/* Undoes HDF5's byte shuffle for the first `count` of `total` items. */
static void unshuffle(unsigned char *out, const unsigned char *in, size_t item, size_t count, size_t total)
{
    for (size_t byte = 0; byte < item; byte++)
        for (size_t i = 0; i < count; i++)
            out[i * item + byte] = in[byte * total + i];
}

static enum status decode(const struct shard_reader *reader, const struct shard_field *field,
                          const struct shard_extent *extent, struct error *err)
{
    if (!field->compressed) {
        memcpy(field->data, reader->bytes + extent->pieces[0].offset, field->bytes);
        return STATUS_OK;
    }
    size_t row = field->bytes / field->dims[0], chunk = row * extent->rows, done = 0;
    unsigned char *plain = malloc(chunk), *out = field->data;
    /* Our own context: ZSTD_decompress would allocate one, and a failure of that looks like damage. */
    ZSTD_DCtx *context = ZSTD_createDCtx();
    enum status status = plain && context ? STATUS_OK : error_no_memory(err, chunk, "a chunk");
    for (size_t i = 0; i < extent->chunks && status == STATUS_OK; i++) {
        const struct piece *piece = &extent->pieces[i];
        size_t left = field->bytes - done, bytes = chunk < left ? chunk : left;
        if (ZSTD_decompressDCtx(context, plain, chunk, reader->bytes + piece->offset, piece->size) != chunk)
            status = bad(reader, field, "has a chunk that does not decompress to its size", err);
        else if (field->item > 1)
            unshuffle(out + done, plain, field->item, bytes / field->item, chunk / field->item);
        else
            memcpy(out + done, plain, bytes);
        done += bytes;
    }
    ZSTD_freeDCtx(context);
    free(plain);
    return status;
}

/* The length of the names and the bytes of the images are known only from the file. */
static enum status sizes_from_file(const struct shard_reader *reader, bool images, size_t *name_length,
                                   size_t *image_bytes, struct error *err)
{
    hid_t names = open_set(reader, "names"), type = names < 0 ? -1 : H5Dget_type(names);
    *name_length = type < 0 ? 0 : H5Tget_size(type);
    if (type >= 0)
        H5Tclose(type);
    if (names >= 0)
        H5Dclose(names);
    if (*name_length == 0 || *name_length >= CACHE_NAME_SIZE)
        return error_set(err, STATUS_BAD_DATA, reader->path, "data set names has names of %zu bytes", *name_length);
    *image_bytes = 0;
    if (!images)
        return STATUS_OK;
    hid_t set = open_set(reader, "images"), space = set < 0 ? -1 : H5Dget_space(set);
    hssize_t count = space < 0 ? -1 : H5Sget_simple_extent_npoints(space);
    if (space >= 0)
        H5Sclose(space);
    if (set >= 0)
        H5Dclose(set);
    if (count <= 0 || count > CACHE_SHARD_LIMIT)
        return error_set(err, STATUS_BAD_DATA, reader->path, "data set images has %lld bytes", (long long)count);
    *image_bytes = (size_t)count;
    return STATUS_OK;
}

static hid_t open_image(const unsigned char *bytes, size_t size)
{
    hid_t access = H5Pcreate(H5P_FILE_ACCESS), file = -1;
    if (access >= 0 && H5Pset_fapl_core(access, 1 << 20, 0) >= 0 &&
        H5Pset_file_image(access, (void *)(uintptr_t)bytes, size) >= 0)
        file = H5Fopen("shard", H5F_ACC_RDONLY, access);
    if (access >= 0)
        H5Pclose(access);
    return file;
}

/* Finds every data set and checks its type, shape and filters. The caller has libhdf5's lock. */
static enum status locate_all(struct shard_reader *reader, struct cache_shard *shard, unsigned parts,
                              struct shard_field fields[SHARD_MAX_FIELDS],
                              struct shard_extent extents[SHARD_MAX_FIELDS], int *count, char **names,
                              struct error *err)
{
    enum status status = STATUS_OK;
    size_t length, image_bytes;
    bool images = (parts & CACHE_READ_IMAGES) && reader->manifest->images_embedded;
    hdf5_enter();
    reader->file = open_image(reader->bytes, reader->size);
    if (reader->file < 0)
        TRY(error_set(err, STATUS_BAD_DATA, reader->path, "is not an HDF5 file"));
    TRY(sizes_from_file(reader, images, &length, &image_bytes, err));
    *names = malloc(length * shard->count);
    shard->image_bytes = images ? malloc(image_bytes) : NULL;
    if (!*names || (images && !shard->image_bytes))
        TRY(error_no_memory(err, image_bytes, "images of a shard"));
    *count = shard_fields(reader->manifest, shard, parts, fields);
    if (images) {
        fields[*count] = shard_images_field(reader->manifest, shard, image_bytes);
        if (fields[(*count)++].bytes != image_bytes)
            TRY(error_set(err, STATUS_BAD_DATA, reader->path,
                          "data set images does not have the shape that the manifest says"));
    }
    fields[(*count)++] = shard_names_field(shard, *names, length);
    for (int i = 0; i < *count; i++)
        TRY(locate(reader, &fields[i], &extents[i], err));
cleanup:
    if (reader->file >= 0)
        H5Fclose(reader->file);
    hdf5_leave();
    return status;
}

/* Any characters: the programs escape what they print (printable.h). */
static bool copy_names(struct cache_shard *shard, const char *names, size_t length)
{
    for (uint32_t i = 0; i < shard->count; i++) {
        memcpy(shard->names[i], names + i * length, length);
        if (!shard->names[i][0])
            return false;
    }
    return true;
}

static bool offsets_are_clean(const struct cache_manifest *manifest, struct cache_shard *shard, size_t image_bytes)
{
    if (manifest->encoding == IMAGE_RAW)
        for (uint32_t i = 0; i <= shard->count; i++)
            shard->image_offsets[i] = image_bytes / shard->count * i;
    for (uint32_t i = 0; i < shard->count; i++)
        if (shard->image_offsets[i] >= shard->image_offsets[i + 1])
            return false;
    return shard->image_offsets[0] == 0 && shard->image_offsets[shard->count] == image_bytes;
}

/* Parts that were not requested are NULL, not zeros. */
static void drop_unread(struct cache_shard *shard, unsigned parts)
{
    if (!(parts & CACHE_READ_IMAGES)) {
        free(shard->image_offsets);
        shard->image_offsets = NULL;
    }
    for (int i = 0; i < CACHE_MAX_FEATURES && !(parts & CACHE_READ_FEATURES); i++) {
        free(shard->features[i].half);
        free(shard->features[i].int8);
        free(shard->features[i].scales);
        memset(&shard->features[i], 0, sizeof shard->features[i]);
    }
}

enum status shard_parse(const struct cache_manifest *manifest, enum split split, const struct cache_shard_entry *entry,
                        const unsigned char *bytes, size_t size, unsigned parts, const char *path,
                        struct cache_shard *shard, struct error *err)
{
    struct shard_reader reader = {.manifest = manifest, .bytes = bytes, .size = size, .path = path, .file = -1};
    struct shard_field fields[SHARD_MAX_FIELDS];
    struct shard_extent extents[SHARD_MAX_FIELDS] = {0};
    enum status status = STATUS_OK;
    char *names = NULL;
    int count = 0;
    TRY(cache_shard_init(shard, manifest, split, entry->first, entry->count, err));
    TRY(locate_all(&reader, shard, parts, fields, extents, &count, &names, err));
    for (int i = 0; i < count; i++)
        TRY(decode(&reader, &fields[i], &extents[i], err));
    const struct shard_field *name_field = &fields[count - 1];
    if (!copy_names(shard, names, name_field->item))
        status = bad(&reader, name_field, "has an empty name", err);
    else if (shard->image_bytes && !offsets_are_clean(manifest, shard, fields[count - 2].bytes))
        status = error_set(err, STATUS_BAD_DATA, path, "data set image_offsets does not fit the images");
    else
        status = shard_check_values(manifest, shard, parts, path, err);
    drop_unread(shard, parts);
cleanup:
    for (int i = 0; i < SHARD_MAX_FIELDS; i++)
        free(extents[i].pieces);
    free(names);
    if (status != STATUS_OK)
        cache_shard_release(shard);
    return status;
}
