#include "teacher_dump/pair_partners.h"

#include "teacher_dump/view_batch.h"
#include <stdlib.h>
#include <string.h>

enum status pair_partners_ids(const struct cache *cache, uint32_t **ids, struct error *err)
{
    const struct cache_split *train = &cache->manifest.splits[SPLIT_TRAIN];
    struct cache_shard shard = {0};
    enum status status = STATUS_OK;
    *ids = calloc((size_t)train->samples + 1, sizeof **ids);
    if (!*ids)
        return error_no_memory(err, (size_t)train->samples * sizeof **ids, "the list of samples");
    for (int s = 0; s < train->shard_count; s++) {
        TRY(cache_read_shard(cache, SPLIT_TRAIN, s, 0, &shard, err));
        memcpy(*ids + shard.first, shard.ids, shard.count * sizeof **ids);
        cache_shard_release(&shard);
    }
cleanup:
    cache_shard_release(&shard);
    return status;
}

static enum status copy_image(struct pair_partner *partner, const struct cache *cache, const struct cache_shard *shard,
                              struct error *err)
{
    const uint32_t i = partner->index - shard->first;
    const uint8_t *bytes;
    uint8_t *owned = NULL;
    enum status status = cache_image(cache, shard, i, &bytes, &partner->size, &owned, err);
    if (status != STATUS_OK)
        return status;
    memcpy(partner->name, shard->names[i], CACHE_NAME_SIZE);
    partner->bytes = owned ? owned : malloc(partner->size + 1);
    if (!partner->bytes)
        return error_no_memory(err, partner->size, "an image");
    if (!owned)
        memcpy(partner->bytes, bytes, partner->size);
    return STATUS_OK;
}

/* The images of one shard that are partners. */
static enum status load_from(struct pair_partner *partners, int count, const struct cache *cache, int s,
                             struct error *err)
{
    const struct cache_shard_entry *entry = &cache->manifest.splits[SPLIT_TRAIN].shards[s];
    struct cache_shard shard = {0};
    enum status status = STATUS_OK;
    for (int k = 0; k < count; k++) {
        struct pair_partner *partner = &partners[k];
        if (partner->mix.kind == VIEW_MIX_NONE || partner->index - entry->first >= entry->count)
            continue;
        if (!shard.ids)
            TRY(cache_read_shard(cache, SPLIT_TRAIN, s, CACHE_READ_IMAGES, &shard, err));
        TRY(copy_image(partner, cache, &shard, err));
    }
cleanup:
    cache_shard_release(&shard);
    return status;
}

enum status pair_partners_load(struct pair_partner *partners, const struct cache *cache, const struct recipe *recipe,
                               const uint32_t *ids, const struct view_pair *pairs, int count, struct error *err)
{
    const struct cache_manifest *manifest = &cache->manifest;
    enum status status = STATUS_OK;
    memset(partners, 0, (size_t)count * sizeof *partners);
    for (int k = 0; k < count; k++) {
        const struct view_pair *pair = &pairs[k];
        const uint32_t index = manifest->splits[pair->split].shards[pair->shard].first + pair->sample;
        const uint32_t id = pair->split == SPLIT_TRAIN ? ids[index] : 0;
        mix_of_request(manifest, recipe, pair->split, id, (uint32_t)pair->view, index, &partners[k].mix,
                       &partners[k].index);
        if (partners[k].mix.kind != VIEW_MIX_NONE)
            partners[k].id = ids[partners[k].index];
    }
    for (int s = 0; s < manifest->splits[SPLIT_TRAIN].shard_count; s++)
        TRY(load_from(partners, count, cache, s, err));
cleanup:
    if (status != STATUS_OK)
        pair_partners_release(partners, count);
    return status;
}

void pair_partners_release(struct pair_partner *partners, int count)
{
    for (int k = 0; k < count; k++)
        free(partners[k].bytes);
    memset(partners, 0, (size_t)count * sizeof *partners);
}
