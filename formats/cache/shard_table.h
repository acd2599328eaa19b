/* The table of a shard: where each data set lies in the file, so that a reader needs no HDF5 library (FORMAT.md, "The
 * table of a shard"). Shards of format version 3 end with it; for older ones hdf5_child.h makes it.
 *
 * A table is as untrusted as the shard: shard_table_parse checks its form, shard_locate that the data sets are those of
 * the manifest, and shard_table_check_pieces that their pieces lie in the file and do not overlap. */
#ifndef FORMATS_CACHE_SHARD_TABLE_H
#define FORMATS_CACHE_SHARD_TABLE_H

#include "formats/cache/shard.h"

enum {
    SHARD_TABLE_VERSION = 3,     /* the first format version whose shards have a table */
    SHARD_TABLE_LIMIT = 1 << 20, /* bytes of its text; those of the largest shards are 1/20 of this */
};

/* Bytes of a file. */
struct shard_piece {
    uint64_t offset, size;
};

/* A data set and its place. */
struct shard_extent {
    char name[32];
    enum shard_type type;
    size_t item; /* bytes of an element */
    int rank;
    size_t dims[SHARD_MAX_RANK];
    bool shuffled, packed;      /* its filters: HDF5's byte shuffle, then zstd */
    size_t rows;                /* of the first dimension in a chunk; contiguous data: dims[0] */
    size_t piece_count;         /* ceil(dims[0] / rows) */
    struct shard_piece *pieces; /* [piece_count], owned */
};

struct shard_table {
    struct shard_extent sets[SHARD_MAX_FIELDS];
    int count;
};

void shard_table_release(struct shard_table *table); /* a zeroed one is allowed */

/* The table as JSON text without a line feed, malloc'ed; NULL when out of memory. */
char *shard_table_text(const struct shard_table *table);
/* The reverse, into a zeroed table. path: for errors. STATUS_BAD_DATA. */
enum status shard_table_parse(struct shard_table *table, const char *text, size_t size, const char *path,
                              struct error *err);

/* Appends the table to the malloc'ed bytes of an HDF5 file. STATUS_INTERNAL. */
enum status shard_table_append(const struct shard_table *table, unsigned char **bytes, size_t *size, struct error *err);
/* Reads the table at the end of a shard's bytes into a zeroed one; *end gets the size of what is before it.
 * STATUS_BAD_DATA. */
enum status shard_table_read(struct shard_table *table, const unsigned char *bytes, size_t size, size_t *end,
                             const char *path, struct error *err);

/* The extent of this name; NULL if there is none. */
const struct shard_extent *shard_table_find(const struct shard_table *table, const char *name);
/* *extent gets the place of this data set. STATUS_BAD_DATA if it is missing, or has another type, shape or filters. */
enum status shard_table_locate(const struct shard_table *table, const struct shard_field *field,
                               const struct shard_extent **extent, const char *path, struct error *err);
/* Every piece must lie in the first `end` bytes, and no two may share a byte. STATUS_BAD_DATA, STATUS_INTERNAL. */
enum status shard_table_check_pieces(const struct shard_table *table, size_t end, const char *path, struct error *err);
/* Every data set that a shard of this manifest has, and its place: those of shard_fields, then the images (if they are
 * embedded) and the names, whose data is NULL. The table must have these and no others. On STATUS_BAD_DATA *count is 0.
 */
enum status shard_locate(const struct cache_manifest *manifest, const struct cache_shard *shard,
                         const struct shard_table *table, const char *path, struct shard_field fields[SHARD_MAX_FIELDS],
                         const struct shard_extent *extents[SHARD_MAX_FIELDS], int *count, struct error *err);
/* True if both describe the same data sets in the same places, in any order; otherwise name[32] gets the first that
 * differs. */
bool shard_table_equal(const struct shard_table *a, const struct shard_table *b, char name[32]);

#endif
