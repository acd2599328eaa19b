/* Folders of answers for tests, as the Python package writes them. Failures are cmocka failures. */
#ifndef TESTS_HELPER_ANSWERS_H
#define TESTS_HELPER_ANSWERS_H

#include "tests/helper_cache.h"

/* Writes a synthetic cache in another layout than cache_layout's: at most `most` samples in a shard. */
void write_cache(const struct cache_plan *plan, const char *path, uint32_t most);

/* answers.json for a cache, with the teacher "elsewhere", which computed in bf16; digest[65] gets its digest. */
void write_head(const char *folder, const struct cache_manifest *cache, char digest[65]);
/* A file of rows that belongs to the answers.json with this digest. */
void write_rows(const char *folder, const char digest[65], const char *split, uint64_t first, uint64_t count,
                const uint8_t *rows, size_t size);
/* All rows of a split of a cache; the caller frees them. */
uint8_t *split_rows(const struct cache *cache, enum split s, size_t *size);
/* The answers that a cache holds, with `per_file` views in a file. */
void write_answers(const char *folder, const char *path, uint64_t per_file);

/* The folder that make_answers.py wrote, and the cache without a teacher that it is for. photos: a folder for its
 * images. */
#define GOLDEN_ANSWERS "tests/golden/answers"
#define GOLDEN_SEED "12345678901234567890"
enum { GOLDEN_TRAIN = 7, GOLDEN_TEST = 3, GOLDEN_CLASSES = 3, GOLDEN_VIEWS = 3 };
void make_golden_cache(const char *photos, const char *out, const char *seed);

#endif
