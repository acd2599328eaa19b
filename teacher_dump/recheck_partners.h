/* The other pictures of mixed views, for views chosen at random: they may lie in any shard, so each shard is read once
 * for all views that need one of its images. */
#ifndef TEACHER_DUMP_RECHECK_PARTNERS_H
#define TEACHER_DUMP_RECHECK_PARTNERS_H

#include "teacher_dump/stored_views.h"

struct recheck_partner {
    struct view_mix mix;
    struct cache_view view;
    uint8_t *bytes; /* [size] its image as stored, malloc'ed; NULL if nothing is mixed */
    size_t size;
    char name[CACHE_NAME_SIZE];
};

/* *ids [samples of the training split], malloc'ed: the id of each sample. Reads every shard. */
enum status recheck_partners_ids(const struct cache *cache, uint32_t **ids, struct error *err);
/* Fills partners[count] for views[count]. */
enum status recheck_partners_load(struct recheck_partner *partners, const struct cache *cache,
                                  const struct cache_views *cache_views, const uint32_t *ids,
                                  const struct stored_view *views, int count, struct error *err);
void recheck_partners_release(struct recheck_partner *partners, int count); /* zeroed ones are allowed */

#endif
