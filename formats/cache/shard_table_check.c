/* What a table says about a data set must be what the manifest says, and its pieces must be bytes of the file. */
#include "formats/cache/shard_table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct shard_extent *shard_table_find(const struct shard_table *table, const char *name)
{
    for (int i = 0; i < table->count; i++)
        if (strcmp(table->sets[i].name, name) == 0)
            return &table->sets[i];
    return NULL;
}

enum status shard_table_locate(const struct shard_table *table, const struct shard_field *field,
                               const struct shard_extent **extent, const char *path, struct error *err)
{
    const struct shard_extent *set = shard_table_find(table, field->name);
    *extent = set;
    const char *what = NULL;
    if (!set)
        what = "is missing";
    else if (set->type != field->type || set->item != field->item || set->rank != field->rank ||
             memcmp(set->dims, field->dims, (size_t)field->rank * sizeof *set->dims) != 0)
        what = "does not have the type and shape that the manifest says";
    else if (set->packed != field->compressed || set->shuffled != (field->compressed && field->item > 1) ||
             (!field->compressed && (set->piece_count != 1 || set->pieces[0].size != field->bytes)))
        what = "does not have the chunks and filters of the format";
    return what ? error_set(err, STATUS_BAD_DATA, path, "data set %s %s: the cache was not written by this program",
                            field->name, what)
                : STATUS_OK;
}

static int by_offset(const void *left, const void *right)
{
    const struct shard_piece *a = left, *b = right;
    return (a->offset > b->offset) - (a->offset < b->offset);
}

enum status shard_table_check_pieces(const struct shard_table *table, size_t end, const char *path, struct error *err)
{
    enum status status = STATUS_OK;
    size_t count = 0, filled = 0;
    for (int i = 0; i < table->count; i++)
        count += table->sets[i].piece_count;
    struct shard_piece *all = calloc(count + 1, sizeof *all);
    if (!all)
        return error_no_memory(err, count * sizeof *all, "a list of chunks");
    for (int i = 0; i < table->count; i++) {
        const struct shard_extent *set = &table->sets[i];
        for (size_t p = 0; p < set->piece_count; p++) {
            const struct shard_piece piece = set->pieces[p];
            if (piece.size == 0 || piece.offset > end || piece.size > end - piece.offset)
                FAIL(error_set(err, STATUS_BAD_DATA, path,
                               "data set %s: chunk %zu (%llu bytes at %llu) lies outside of the file's %zu bytes",
                               set->name, p, (unsigned long long)piece.size, (unsigned long long)piece.offset, end));
            all[filled++] = piece;
        }
    }
    qsort(all, filled, sizeof *all, by_offset);
    for (size_t i = 1; i < filled; i++)
        if (all[i].offset - all[i - 1].offset < all[i - 1].size)
            FAIL(error_set(err, STATUS_BAD_DATA, path, "two chunks share the byte at %llu",
                           (unsigned long long)all[i].offset));
cleanup:
    free(all);
    return status;
}

static bool extent_equal(const struct shard_extent *a, const struct shard_extent *b)
{
    return b && a->type == b->type && a->item == b->item && a->rank == b->rank &&
           memcmp(a->dims, b->dims, sizeof a->dims) == 0 && a->shuffled == b->shuffled && a->packed == b->packed &&
           a->rows == b->rows && a->piece_count == b->piece_count &&
           memcmp(a->pieces, b->pieces, a->piece_count * sizeof *a->pieces) == 0;
}

bool shard_table_equal(const struct shard_table *a, const struct shard_table *b, char name[32])
{
    for (int i = 0; i < a->count; i++)
        if (!extent_equal(&a->sets[i], shard_table_find(b, a->sets[i].name))) {
            snprintf(name, 32, "%s", a->sets[i].name);
            return false;
        }
    for (int i = 0; i < b->count; i++)
        if (!shard_table_find(a, b->sets[i].name)) {
            snprintf(name, 32, "%s", b->sets[i].name);
            return false;
        }
    return true;
}

/* The length of the names and the bytes of the images are known only from the table. */
static enum status sizes_from_table(const struct shard_table *table, bool images, size_t *name_length,
                                    size_t *image_bytes, const char *path, struct error *err)
{
    const struct shard_extent *names = shard_table_find(table, "names"), *set = shard_table_find(table, "images");
    *name_length = names ? names->item : 0;
    if (*name_length == 0 || *name_length >= CACHE_NAME_SIZE)
        return error_set(err, STATUS_BAD_DATA, path, "data set names has names of %zu bytes", *name_length);
    *image_bytes = set && images ? 1 : 0;
    for (int d = 0; set && d < set->rank; d++)
        *image_bytes = size_mul(*image_bytes, set->dims[d]);
    if (images && (*image_bytes == 0 || *image_bytes > CACHE_SHARD_LIMIT))
        return error_set(err, STATUS_BAD_DATA, path, "data set images has %zu bytes", *image_bytes);
    return STATUS_OK;
}

enum status shard_locate(const struct cache_manifest *manifest, const struct cache_shard *shard,
                         const struct shard_table *table, const char *path, struct shard_field fields[SHARD_MAX_FIELDS],
                         const struct shard_extent *extents[SHARD_MAX_FIELDS], int *count, struct error *err)
{
    enum status status = STATUS_OK;
    size_t name_length = 0, image_bytes = 0;
    int n = 0;
    *count = 0;
    TRY(sizes_from_table(table, manifest->images_embedded, &name_length, &image_bytes, path, err));
    n = shard_fields(manifest, shard, fields);
    if (manifest->images_embedded) {
        fields[n] = shard_images_field(manifest, shard, image_bytes);
        if (fields[n++].bytes != image_bytes)
            FAIL(error_set(err, STATUS_BAD_DATA, path,
                           "data set images does not have the shape that the manifest says"));
    }
    fields[n++] = shard_names_field(shard, NULL, name_length);
    for (int i = 0; i < n; i++)
        TRY(shard_table_locate(table, &fields[i], &extents[i], path, err));
    if (n != table->count)
        FAIL(error_set(err, STATUS_BAD_DATA, path, "has %d data sets, but the manifest says %d", table->count, n));
    *count = n;
cleanup:
    return status;
}
