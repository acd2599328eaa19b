/* Reads a shard by its table, with nothing of libhdf5: every size is known before memory is allocated, and no place is
 * used before it was checked. */
#include "formats/cache/shard.h"

#include "formats/cache/hdf5_child.h"
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

struct shard_reader {
    const struct cache_manifest *manifest;
    const unsigned char *bytes; /* [end] of the HDF5 file, without the table */
    size_t end;
    const char *path;
    struct shard_table table;
};

static enum status bad(const struct shard_reader *reader, const struct shard_field *field, const char *what,
                       struct error *err)
{
    return error_set(err, STATUS_BAD_DATA, reader->path, "data set %s %s: the cache was not written by this program",
                     field->name, what);
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
    for (size_t i = 0; i < extent->piece_count && status == STATUS_OK; i++) {
        const struct shard_piece *piece = &extent->pieces[i];
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

/* Finds the table, and checks where it says that the data sets are. */
static enum status open_table(struct shard_reader *reader, size_t size, struct error *err)
{
    enum status status = STATUS_OK;
    reader->end = size;
    if (reader->manifest->format_version >= SHARD_TABLE_VERSION)
        TRY(shard_table_read(&reader->table, reader->bytes, size, &reader->end, reader->path, err));
    else
        TRY(hdf5_child_table(&reader->table, reader->bytes, size, reader->path, err));
    TRY(shard_table_check_pieces(&reader->table, reader->end, reader->path, err));
cleanup:
    return status;
}

/* The length of the names and the bytes of the images are known only from the file. */
static enum status sizes_from_table(const struct shard_reader *reader, bool images, size_t *name_length,
                                    size_t *image_bytes, struct error *err)
{
    const struct shard_extent *names = shard_table_find(&reader->table, "names");
    const struct shard_extent *set = shard_table_find(&reader->table, "images");
    *name_length = names ? names->item : 0;
    if (*name_length == 0 || *name_length >= CACHE_NAME_SIZE)
        return error_set(err, STATUS_BAD_DATA, reader->path, "data set names has names of %zu bytes", *name_length);
    *image_bytes = 0;
    if (!images)
        return STATUS_OK;
    *image_bytes = set ? 1 : 0;
    for (int d = 0; set && d < set->rank; d++)
        *image_bytes = size_mul(*image_bytes, set->dims[d]);
    if (*image_bytes == 0 || *image_bytes > CACHE_SHARD_LIMIT)
        return error_set(err, STATUS_BAD_DATA, reader->path, "data set images has %zu bytes", *image_bytes);
    return STATUS_OK;
}

/* Every data set that a shard of this manifest has, those of fixed shape first, the names last, with places. The table
 * must have these and no others. */
static enum status locate_all(struct shard_reader *reader, struct cache_shard *shard, unsigned parts,
                              struct shard_field fields[SHARD_MAX_FIELDS],
                              const struct shard_extent *extents[SHARD_MAX_FIELDS], int *count, char **names,
                              struct error *err)
{
    enum status status = STATUS_OK;
    const bool embedded = reader->manifest->images_embedded;
    size_t length = 0, image_bytes = 0;
    TRY(sizes_from_table(reader, embedded, &length, &image_bytes, err));
    *names = malloc(length * shard->count);
    if (embedded && (parts & CACHE_READ_IMAGES))
        shard->image_bytes = malloc(image_bytes);
    if (!*names || (embedded && (parts & CACHE_READ_IMAGES) && !shard->image_bytes))
        TRY(error_no_memory(err, image_bytes, "images of a shard"));
    *count = shard_fields(reader->manifest, shard, fields);
    if (embedded) {
        fields[*count] = shard_images_field(reader->manifest, shard, image_bytes);
        if (fields[(*count)++].bytes != image_bytes)
            TRY(error_set(err, STATUS_BAD_DATA, reader->path,
                          "data set images does not have the shape that the manifest says"));
    }
    fields[(*count)++] = shard_names_field(shard, *names, length);
    for (int i = 0; i < *count; i++)
        TRY(shard_table_locate(&reader->table, &fields[i], &extents[i], reader->path, err));
    if (*count != reader->table.count)
        TRY(error_set(err, STATUS_BAD_DATA, reader->path, "has %d data sets, but the manifest says %d",
                      reader->table.count, *count));
cleanup:
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
    struct shard_reader reader = {.manifest = manifest, .bytes = bytes, .path = path};
    struct shard_field fields[SHARD_MAX_FIELDS];
    const struct shard_extent *extents[SHARD_MAX_FIELDS];
    enum status status = STATUS_OK;
    char *names = NULL;
    int count = 0;
    TRY(cache_shard_init(shard, manifest, split, entry->first, entry->count, err));
    TRY(open_table(&reader, size, err));
    TRY(locate_all(&reader, shard, parts, fields, extents, &count, &names, err));
    for (int i = 0; i < count; i++)
        if (fields[i].part == 0 || (fields[i].part & parts))
            TRY(decode(&reader, &fields[i], extents[i], err));
    const struct shard_field *name_field = &fields[count - 1];
    if (!copy_names(shard, names, name_field->item))
        status = bad(&reader, name_field, "has an empty name", err);
    else if (shard->image_bytes && !offsets_are_clean(manifest, shard, fields[count - 2].bytes))
        status = error_set(err, STATUS_BAD_DATA, path, "data set image_offsets does not fit the images");
    else
        status = shard_check_values(manifest, shard, parts, path, err);
    drop_unread(shard, parts);
cleanup:
    shard_table_release(&reader.table);
    free(names);
    if (status != STATUS_OK)
        cache_shard_release(shard);
    return status;
}
