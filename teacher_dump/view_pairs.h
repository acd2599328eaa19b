/* Random (sample, view) pairs of a cache: what `recheck` looks at. */
#ifndef TEACHER_DUMP_VIEW_PAIRS_H
#define TEACHER_DUMP_VIEW_PAIRS_H

#include "formats/cache/cache.h"

struct view_pair {
    enum split split;
    int shard;
    uint32_t sample; /* within the shard */
    int view;
};

/* Fills pairs[count], each view of the cache as likely as the others, in the order of the shards: a pure function of
 * the manifest and the seed. */
enum status view_pairs_choose(const struct cache_manifest *manifest, uint64_t seed, struct view_pair *pairs, int count,
                              struct error *err);

#endif
