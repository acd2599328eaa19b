/* One shard as HDF5 bytes (FORMAT.md, "Shards"); for formats/cache/ only. */
#ifndef FORMATS_CACHE_SHARD_H
#define FORMATS_CACHE_SHARD_H

#include "formats/cache/cache.h"

enum shard_type { SHARD_U8, SHARD_I8, SHARD_U16, SHARD_I32, SHARD_U32, SHARD_U64, SHARD_F16, SHARD_F32, SHARD_STRING };
enum { SHARD_TYPE_COUNT = SHARD_STRING + 1 };
enum { SHARD_MAX_RANK = 5, SHARD_MAX_FIELDS = 10 + 2 * CACHE_MAX_FEATURES, SHARD_CHUNK_BYTES = 1 << 20 };

/* A data set of a shard: what is written, and what a reader requires. */
struct shard_field {
    char name[32];
    enum shard_type type;
    size_t item; /* bytes of an element; for a SHARD_STRING its length */
    int rank;
    size_t dims[SHARD_MAX_RANK];
    unsigned part;   /* of enum cache_read_parts; 0: always read */
    bool compressed; /* chunked by the first dimension, shuffled (items above 1 byte) and zstd; otherwise contiguous */
    void *data;      /* borrowed, in the file's layout */
    size_t bytes;    /* of data: item * dims */
};

/* The data sets of fixed shape, in the order of the file: all except names and images. The shard's arrays must be
 * allocated. */
int shard_fields(const struct cache_manifest *manifest, const struct cache_shard *shard,
                 struct shard_field fields[SHARD_MAX_FIELDS]);
/* names: [n] of fixed length. images: [bytes] of JPEG files, or [n, h, w, c] of raw sets. */
struct shard_field shard_names_field(const struct cache_shard *shard, void *data, size_t length);
struct shard_field shard_images_field(const struct cache_manifest *manifest, const struct cache_shard *shard,
                                      size_t bytes);

/* Initialises libhdf5, before the work starts: it does not bear a lack of memory then. */
void shard_build_prepare(void);
/* The bytes of the shard's file, malloc'ed; from SHARD_TABLE_VERSION on with a table (shard_table.h). Equal content
 * gives equal bytes, whatever threads compress it (pool may be NULL). *image_bytes: those of the images. */
enum status shard_build(const struct cache_manifest *manifest, const struct cache_shard *shard,
                        struct thread_pool *pool, unsigned char **bytes, size_t *size, uint64_t *image_bytes,
                        struct error *err);

/* Parses the bytes of a shard, which may be anything: every type, shape, place, size and index is checked. Where the
 * format has no table, hdf5_child.h makes one. */
enum status shard_parse(const struct cache_manifest *manifest, enum split split, const struct cache_shard_entry *entry,
                        const unsigned char *bytes, size_t size, unsigned parts, const char *path,
                        struct cache_shard *shard, struct error *err);

/* Parses the bytes that shard_build made of `content`, and compares. STATUS_INTERNAL if anything differs. */
enum status shard_check_bytes(const struct cache_manifest *manifest, const struct cache_shard *content,
                              const struct cache_shard_entry *entry, const unsigned char *bytes, size_t size,
                              struct error *err);

/* Checks the values of a shard that was read: indices must be in range, numbers finite. */
enum status shard_check_values(const struct cache_manifest *manifest, const struct cache_shard *shard, unsigned parts,
                               const char *path, struct error *err);

/* How many rows of the first dimension a chunk of a compressed field has; it is chunked along that dimension only. */
size_t shard_chunk_rows(const struct shard_field *field);
/* Makes chunks as HDF5's filters would: shuffled, then zstd. packed[count] gets chunks [first, first + count), made on
 * the pool (NULL: in the caller's thread). The caller frees each .bytes, also after an error. */
struct shard_chunk {
    void *bytes; /* malloc'ed */
    size_t size;
};
enum status shard_pack(const struct shard_field *field, size_t first, int count, struct thread_pool *pool,
                       struct shard_chunk *packed, struct error *err);

/* The reverse of shard_pack for one chunk after the other. */
struct shard_unpacker {
    size_t item, chunk;       /* bytes of an element, of a chunk */
    unsigned char *scratch;   /* [chunk], owned */
    struct ZSTD_DCtx_s *zstd; /* owned: a context that zstd allocates by itself would make a lack of memory look like
                                 damage */
};
/* rows: of the field in a chunk. STATUS_INTERNAL; release it in any case. */
enum status shard_unpacker_init(struct shard_unpacker *unpacker, const struct shard_field *field, size_t rows,
                                struct error *err);
void shard_unpacker_release(struct shard_unpacker *unpacker);
/* Decompresses packed[size], which must hold exactly a chunk, and gives out its first `count` bytes. */
bool shard_unpack(struct shard_unpacker *unpacker, const unsigned char *packed, size_t size, unsigned char *out,
                  size_t count);

#endif
