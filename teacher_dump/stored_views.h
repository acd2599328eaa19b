/* Random views of a cache, by the place where they are stored: what `recheck` looks at. */
#ifndef TEACHER_DUMP_STORED_VIEWS_H
#define TEACHER_DUMP_STORED_VIEWS_H

#include "formats/cache/cache_view.h"

struct stored_view {
    enum split split;
    int shard;
    uint32_t sample; /* within the shard */
    int row;         /* of the sample's stored views */
};

/* Fills views[count], in the order of the shards, by a pure function of the manifest and the seed: every view of the
 * cache is as likely as any other. */
enum status stored_views_choose(const struct cache_manifest *manifest, uint64_t seed, struct stored_view *views,
                                int count, struct error *err);

/* The index of the view's sample in its split. */
uint32_t stored_view_sample(const struct cache_manifest *manifest, const struct stored_view *view);
/* Which view it is, for cache_view_make; id: of its sample. */
struct cache_view stored_view_identity(const struct cache_manifest *manifest, const struct stored_view *view,
                                       uint32_t id);

#endif
