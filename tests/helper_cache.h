/* Synthetic caches for tests: the same bytes on every run. Failures are cmocka failures. */
#ifndef TESTS_HELPER_CACHE_H
#define TESTS_HELPER_CACHE_H

#include "formats/cache/cache.h"

struct cache_plan {
    int classes, views;
    uint32_t samples[SPLIT_COUNT];
    bool raw;                /* 6x5 images of 3 channels; otherwise JPEG-like random bytes */
    bool link;               /* images are files below source_path */
    const char *source_path; /* the folder of linked images */
    bool features;           /* "map" [6, 3, 2] in each form; int8 and at for one view, the others for all */
    uint64_t seed;
    int format_version; /* 0: CACHE_FORMAT_VERSION */
};

/* The identity of such a cache. Release its arena. */
void plan_manifest(const struct cache_plan *plan, struct cache_manifest *manifest);
/* Adds all that a manifest can have: a teacher of two models, broken photos, a check ... */
void fill_manifest(struct cache_manifest *manifest);
/* The content of a shard: random but plausible logits (float16 noise), names like a photo set's. */
void plan_shard(const struct cache_plan *plan, const struct cache_manifest *manifest, enum split split, int shard,
                struct cache_shard *content);
/* Writes missing shards, at most `limit` of them, and publishes the cache when all are there. Returns how many are
 * still missing. */
int plan_write(const struct cache_plan *plan, const char *path, int limit);

#endif
