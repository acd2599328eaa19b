/* The manifest as JSON (FORMAT.md, "cache.json"); for formats/cache/ only. */
#ifndef FORMATS_CACHE_MANIFEST_H
#define FORMATS_CACHE_MANIFEST_H

#include "formats/cache/cache.h"
#include "formats/json.h"

enum {
    MANIFEST_LIMIT = 256 << 20, /* bytes of the largest cache.json that is read */
    MANIFEST_MAX_CLASSES = 65536,
    MANIFEST_MAX_SHARDS = 1 << 20,
    MANIFEST_MAX_VIEWS = 65536,
};

extern const char *const manifest_format; /* "softcache" */
extern const char *const manifest_forms[FEATURE_FORM_COUNT];
extern const char *const manifest_encodings[IMAGE_ENCODING_COUNT];
extern const char *const manifest_resizes[IMAGE_RESIZE_COUNT];
extern const char *const manifest_image_modes[2]; /* by images_embedded */

/* published: with the fields of shards that are known only after they are written; otherwise an identity. */
cJSON *manifest_to_json(const struct cache_manifest *manifest, bool published); /* NULL when out of memory */
/* The sealed text of a tree (formats/json.h), malloc'ed and ending in a newline; frees the tree. NULL when out of
 * memory or if tree is NULL. */
char *manifest_text(cJSON *tree);

/* Parses and checks everything: the seal, unknown version (STATUS_CONFIG), missing or bad fields, shards that do not
 * cover their split exactly, impossible sizes of shards, recipes and numbers that no program of ours writes. *manifest
 * must be zeroed; arena_release(&manifest->arena) frees it. */
enum status manifest_parse(struct cache_manifest *manifest, const char *text, size_t size, bool published,
                           const char *path, struct error *err);
/* The same for an object in another file. */
enum status manifest_parse_tree(struct cache_manifest *manifest, const struct json_place *root, bool published,
                                struct error *err);

/* The teacher's part of the object `root`. manifest_teacher.c */
void manifest_teacher_to_json(cJSON *root, const struct cache_manifest *manifest);
enum status manifest_teacher_parse(struct cache_manifest *manifest, const struct json_place *root, struct error *err);

/* ---- manifest_check.c ---- */
/* Checks what views depend on: the recipe must be canonical, numbers in the range that `teacher_dump run` writes.
 * STATUS_CONFIG: views of another version of the algorithm. */
enum status manifest_check_replay(const struct cache_manifest *manifest, const char *path, struct error *err);
/* Reads a text that is about to be published and compares it with the manifest. STATUS_INTERNAL if it differs. */
enum status manifest_check_text(const struct cache_manifest *manifest, const char *text, bool published,
                                const char *path, struct error *err);

/* The record of one shard, as in the manifest. */
cJSON *manifest_shard_to_json(const struct cache_shard_entry *entry, bool published);
enum status manifest_record_parse(struct cache_shard_entry *entry, const char *text, size_t size, const char *path,
                                  struct error *err);

/* The first field in which two identities differ, with both values as JSON text. STATUS_OK: they are equal, and field
 * is "". STATUS_CONFIG: they differ (err is not filled). Fields named in ignore[] (NULL-terminated) are skipped. */
struct manifest_difference {
    char field[128], left[304], right[304];
};
enum status manifest_differ(const struct cache_manifest *left, const struct cache_manifest *right,
                            const char *const *ignore, struct manifest_difference *difference, struct error *err);
/* STATUS_CONFIG naming the first field in which two identities differ, with both values. */
enum status manifest_compare(const struct cache_manifest *stored, const struct cache_manifest *wanted, const char *path,
                             struct error *err);

/* What the check found, if there was one. manifest_teacher.c */
void manifest_check_to_json(cJSON *root, const struct cache_manifest *manifest);
enum status manifest_check_parse(struct cache_manifest *manifest, const struct json_place *root, struct error *err);

/* Fills the entry's counts and sums from the shard. cache_teaching.c */
enum status cache_teaching_count(const struct cache_manifest *manifest, const struct cache_shard *shard,
                                 struct cache_shard_entry *entry, struct error *err);

/* "train-00000.h5" in a buffer of 32 bytes. */
void manifest_shard_name(char name[32], enum split split, int shard);
/* Sets splits[].teacher_accuracy from the shards. */
void manifest_sum_accuracy(struct cache_manifest *manifest);

#endif
