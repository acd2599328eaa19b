/* Reads a shard by its table, with nothing of libhdf5: every size is known before memory is allocated, and no place is
 * used before it was checked. */
#include "formats/cache/shard.h"

#include "formats/cache/hdf5_child.h"
#include <stdlib.h>
#include <string.h>

struct shard_reader {
    const struct cache_manifest *manifest;
    const unsigned char *bytes; /* [end] of the HDF5 file, without the table */
    size_t end;
    const char *path;
    struct shard_table table;
};

static enum status decode(const struct shard_reader *reader, const struct shard_field *field,
                          const struct shard_extent *extent, struct error *err)
{
    if (!field->compressed) {
        memcpy(field->data, reader->bytes + extent->pieces[0].offset, field->bytes);
        return STATUS_OK;
    }
    struct shard_unpacker unpacker;
    enum status status = shard_unpacker_init(&unpacker, field, extent->rows, err);
    const size_t chunk = unpacker.chunk;
    for (size_t i = 0; i < extent->piece_count && status == STATUS_OK; i++) {
        const size_t done = i * chunk, left = field->bytes - done;
        if (!shard_unpack(&unpacker, reader->bytes + extent->pieces[i].offset, extent->pieces[i].size,
                          (unsigned char *)field->data + done, chunk < left ? chunk : left))
            status =
                error_set(err, STATUS_BAD_DATA, reader->path,
                          "data set %s has a chunk that does not decompress to its size: the cache was not written "
                          "by this program",
                          field->name);
    }
    shard_unpacker_release(&unpacker);
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

/* The data sets with their places, and the memory that names and images need. */
static enum status locate_all(struct shard_reader *reader, struct cache_shard *shard, unsigned parts,
                              struct shard_field fields[SHARD_MAX_FIELDS],
                              const struct shard_extent *extents[SHARD_MAX_FIELDS], int *count, struct error *err)
{
    enum status status = STATUS_OK;
    TRY(shard_locate(reader->manifest, shard, &reader->table, reader->path, fields, extents, count, err));
    for (int i = 0; i < *count; i++) {
        struct shard_field *field = &fields[i];
        if (field->data || (field->part != 0 && !(field->part & parts)))
            continue;
        field->data = malloc(field->bytes);
        if (!field->data)
            FAIL(error_no_memory(err, field->bytes, field->name));
        if (field->part == CACHE_READ_IMAGES)
            shard->image_bytes = field->data;
    }
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
    void *names = NULL;
    int count = 0;
    TRY(cache_shard_init(shard, manifest, split, entry->first, entry->count, err));
    TRY(open_table(&reader, size, err));
    status = locate_all(&reader, shard, parts, fields, extents, &count, err);
    names = count ? fields[count - 1].data : NULL;
    TRY(status);
    for (int i = 0; i < count; i++)
        if (fields[i].part == 0 || (fields[i].part & parts))
            TRY(decode(&reader, &fields[i], extents[i], err));
    const struct shard_field *name_field = &fields[count - 1];
    if (!copy_names(shard, names, name_field->item))
        status = error_set(err, STATUS_BAD_DATA, path, "data set names has an empty name");
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
