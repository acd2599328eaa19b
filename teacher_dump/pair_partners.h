/* The other pictures of mixed views, for random pairs: they may lie in any shard, so each shard is read once for all
 * pairs that need one of its images. */
#ifndef TEACHER_DUMP_PAIR_PARTNERS_H
#define TEACHER_DUMP_PAIR_PARTNERS_H

#include "shared/augment/view.h"
#include "teacher_dump/view_pairs.h"

struct pair_partner {
    struct view_mix mix;
    uint32_t index, id; /* index in the training split */
    uint8_t *bytes;     /* [size] its image as stored, malloc'ed; NULL where nothing is mixed */
    size_t size;
    char name[CACHE_NAME_SIZE];
};

/* *ids [samples of the training split], malloc'ed: of each sample. Reads every shard. */
enum status pair_partners_ids(const struct cache *cache, uint32_t **ids, struct error *err);
/* Fills partners[count] for pairs[count]. */
enum status pair_partners_load(struct pair_partner *partners, const struct cache *cache, const struct recipe *recipe,
                               const uint32_t *ids, const struct view_pair *pairs, int count, struct error *err);
void pair_partners_release(struct pair_partner *partners, int count); /* zeroed ones are legal */

#endif
