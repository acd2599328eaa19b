/* The cache: a folder of HDF5 shards per split and cache.json, the manifest. FORMAT.md is the written specification.
 *
 * Writing: cache_begin (or resume) -> cache_write_shard for every shard, in any order, by any process -> cache_publish.
 * Reading: cache_open -> cache_read_shard. Nothing reaches libhdf5 before its size and SHA-256 were checked. */
#ifndef FORMATS_CACHE_H
#define FORMATS_CACHE_H

#include "formats/image_source.h"
#include "shared/base/error.h"
#include "shared/base/memory.h"
#include <stdbool.h>
#include <stdint.h>

enum { CACHE_FORMAT_VERSION = 1, CACHE_MAX_FEATURES = 32, CACHE_SHARD_LIMIT = 256 << 20 };

enum feature_form { FEATURE_FP16, FEATURE_INT8, FEATURE_POOLED };

struct cache_feature {
    const char *tensor; /* name of the teacher's value */
    enum feature_form form;
    int c, h, w; /* stored shape per view, PyTorch's order; pooled: [c, 1, 1] */
    int views;   /* the first `views` views of a sample have it */
};

struct cache_shard_entry {
    const char *file; /* "train-00000.h5" */
    uint64_t bytes;
    char digest[65];
    uint32_t first, count; /* sample ids [first, first + count) */
};

struct cache_split {
    uint32_t samples;
    int views; /* augmented views; evaluation splits: 1, the evaluation view. The training split has an evaluation view
                  too: see FORMAT.md */
    struct cache_shard_entry *shards;
    int shard_count;
    double teacher_accuracy; /* on evaluation views of labelled samples; -1 where there are no labels */
};

/* The manifest. All strings and arrays belong to the arena. */
struct cache_manifest {
    struct arena arena;
    int format_version;
    const char *program_version;
    const char *const *classes;
    int class_count;
    struct cache_split splits[SPLIT_COUNT];
    /* data set */
    const char *source_format; /* "ImageFolder", ... */
    const char *source_path;   /* --images link only, otherwise "" */
    char source_digest[65];
    enum image_encoding encoding;
    int raw_h, raw_w, channels; /* raw: every image's size */
    bool images_embedded;
    /* teacher */
    const char *teacher_file; /* base name */
    char teacher_digest[65];
    /* replay */
    const char *recipe; /* canonical text */
    int augment_version;
    uint64_t seed;
    int views;
    int base; /* short side of base images; 0: as stored */
    int size; /* the teacher's input side */
    float mean[3], std[3];
    /* outputs */
    int top_k; /* 0: dense logits; otherwise the k largest with class indices */
    struct cache_feature features[CACHE_MAX_FEATURES];
    int feature_count;
};

/* The content of one shard, in memory. n = samples, v = views, k = classes. Owned arrays, freed by cache_shard_release.
 */
struct cache_shard {
    enum split split;
    uint32_t first, count;      /* n = count */
    int views, logits_per_view; /* v, classes (or top_k) */
    uint32_t *ids;              /* [n] */
    int32_t *labels;            /* [n], -1: none */
    char (*names)[256];         /* [n], zero-padded */
    uint16_t *logits;           /* [n, v, logits_per_view] float16 */
    uint16_t *top_classes;      /* [n, v, top_k] or NULL */
    uint8_t *image_bytes;       /* all images of the shard, one after the other; NULL with --images link */
    uint64_t *image_offsets;    /* [n + 1] */
    uint64_t *link_sizes;       /* [n] with --images link */
    char (*link_digests)[65];   /* [n] with --images link */
    struct {
        uint16_t *half; /* fp16, pooled: [n, views', c, h, w] float16 */
        int8_t *int8;   /* int8: same shape, value = int8 * scale */
        float *scales;  /* [n, views', c] */
    } features[CACHE_MAX_FEATURES];
};

void cache_shard_release(struct cache_shard *shard);

/* ---- writing ---- */
struct cache_writer;

/* Opens folder `path` for writing under an identity: a manifest whose splits have sample counts and the shard layout
 * (file, first, count) but no sizes and digests yet. A new folder records the identity; an existing one must have the
 * same (STATUS_CONFIG names the field that differs: teacher, recipe, seed, ...). Several processes may write one cache,
 * as long as they write different shards. */
enum status cache_writer_open(struct cache_writer **out, const char *path, const struct cache_manifest *identity,
                              struct error *err);
void cache_writer_close(struct cache_writer *writer); /* NULL is legal */
/* True when this shard is published and whole (its size and digest are verified now); a broken one is removed and
 * false. */
bool cache_writer_has(struct cache_writer *writer, enum split split, int shard);
/* Builds the shard in memory, publishes it atomically. Thread-safe. STATUS_CANT_CREATE, STATUS_IO, STATUS_INTERNAL. */
enum status cache_writer_put(struct cache_writer *writer, enum split split, int shard,
                             const struct cache_shard *content, struct error *err);
/* When every shard of every split is there: computes the teacher's accuracy from the evaluation logits and publishes
 * cache.json. *published is false when shards of other parts are still missing. */
enum status cache_writer_publish(struct cache_writer *writer, bool *published, struct error *err);

/* ---- reading ---- */
struct cache {
    char *path;
    struct cache_manifest manifest;
};
/* STATUS_NO_INPUT (no cache.json: unfinished, run again to resume), STATUS_BAD_DATA, STATUS_CONFIG (format version). */
enum status cache_open(struct cache *cache, const char *path, struct error *err);
void cache_release(struct cache *cache);

enum cache_read_parts { CACHE_READ_IMAGES = 1, CACHE_READ_FEATURES = 2 }; /* the rest is always read */
/* Loads, verifies, then decodes one shard. Thread-safe. STATUS_NO_INPUT, STATUS_BAD_DATA names the file and what is
 * wrong. */
enum status cache_read_shard(const struct cache *cache, enum split split, int shard, unsigned parts,
                             struct cache_shard *content, struct error *err);
/* The stored image of sample i (0 <= i < count) of a shard: borrowed bytes when embedded, malloc'ed (*owned) and
 * verified when linked. */
enum status cache_image(const struct cache *cache, const struct cache_shard *shard, uint32_t i, const uint8_t **bytes,
                        size_t *size, uint8_t **owned, struct error *err);

#endif
