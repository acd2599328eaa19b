#include "teacher_dump/recheck_partners.h"

#include <stdlib.h>
#include <string.h>

enum status recheck_partners_ids(const struct cache *cache, uint32_t **ids, struct error *err)
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

static enum status copy_image(struct recheck_partner *partner, const struct cache *cache,
                              const struct cache_shard *shard, struct error *err)
{
    const uint32_t i = partner->view.sample - shard->first;
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

/* Copies the images of one shard that are partners. */
static enum status load_from(struct recheck_partner *partners, int count, const struct cache *cache, int s,
                             struct error *err)
{
    const struct cache_shard_entry *entry = &cache->manifest.splits[SPLIT_TRAIN].shards[s];
    struct cache_shard shard = {0};
    enum status status = STATUS_OK;
    for (int k = 0; k < count; k++) {
        struct recheck_partner *partner = &partners[k];
        if (partner->mix.kind == VIEW_MIX_NONE || partner->view.sample - entry->first >= entry->count)
            continue;
        if (!shard.ids)
            TRY(cache_read_shard(cache, SPLIT_TRAIN, s, CACHE_READ_IMAGES, &shard, err));
        TRY(copy_image(partner, cache, &shard, err));
    }
cleanup:
    cache_shard_release(&shard);
    return status;
}

enum status recheck_partners_load(struct recheck_partner *partners, const struct cache *cache,
                                  const struct cache_views *cache_views, const uint32_t *ids,
                                  const struct stored_view *views, int count, struct error *err)
{
    const struct cache_manifest *manifest = &cache->manifest;
    enum status status = STATUS_OK;
    memset(partners, 0, (size_t)count * sizeof *partners);
    for (int k = 0; k < count; k++) {
        const uint32_t sample = stored_view_sample(manifest, &views[k]);
        const struct cache_view which =
            stored_view_identity(manifest, &views[k], views[k].split == SPLIT_TRAIN ? ids[sample] : 0);
        cache_view_mix(cache_views, &which, ids, &partners[k].mix, &partners[k].view);
    }
    for (int s = 0; s < manifest->splits[SPLIT_TRAIN].shard_count; s++)
        TRY(load_from(partners, count, cache, s, err));
cleanup:
    if (status != STATUS_OK)
        recheck_partners_release(partners, count);
    return status;
}

void recheck_partners_release(struct recheck_partner *partners, int count)
{
    for (int k = 0; k < count; k++)
        free(partners[k].bytes);
    memset(partners, 0, (size_t)count * sizeof *partners);
}
