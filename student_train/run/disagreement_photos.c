#include "student_train/run/disagreement_photos.h"

#include <stdlib.h>

enum { THUMBNAIL = 192 }; /* pixels: sharp at twice the density of a card */

static enum status decode(const struct cache *cache, const struct cache_shard *shard, uint32_t i, struct image *image,
                          struct error *err)
{
    const struct cache_manifest *manifest = &cache->manifest;
    const int side = manifest->size < THUMBNAIL ? manifest->size : THUMBNAIL;
    enum status status = STATUS_OK;
    const uint8_t *bytes;
    uint8_t *owned = NULL;
    size_t size;
    TRY(cache_image(cache, shard, i, &bytes, &size, &owned, err));
    TRY(cache_evaluation_image(manifest, bytes, size, shard->names[i], side, image, err));
cleanup:
    free(owned);
    return status;
}

/* Decodes those of shard `index`, if there are any. */
static enum status decode_shard(struct disagreement_photos *photos, const struct student_opinions *opinions,
                                const struct dataset *dataset, int index, struct error *err)
{
    struct cache_shard shard = {0};
    enum status status = STATUS_OK;
    bool loaded = false;
    for (int i = 0; i < opinions->count; i++) {
        const uint32_t sample = opinions->most[i].sample;
        if (dataset->shard_of[sample] != index)
            continue;
        if (!loaded)
            TRY(cache_read_shard(dataset->cache, dataset->split, index, CACHE_READ_IMAGES, &shard, err));
        loaded = true;
        TRY(decode(dataset->cache, &shard, sample - shard.first, &photos->images[i], err));
    }
cleanup:
    cache_shard_release(&shard);
    return status;
}

enum status disagreement_photos_make(struct disagreement_photos *photos, const struct student_opinions *opinions,
                                     const struct dataset *dataset, struct error *err)
{
    enum status status = STATUS_OK;
    for (int s = 0; s < dataset->shard_count; s++)
        TRY(decode_shard(photos, opinions, dataset, s, err));
    for (int i = 0; i < opinions->count; i++) {
        const struct disagreement *which = &opinions->most[i];
        photos->answers[i][0] = which->student;
        photos->answers[i][1] = which->teacher;
        photos->cards[i] = (struct photo_card){.image = &photos->images[i],
                                               .title = dataset_name(dataset, which->sample),
                                               .label = dataset->labels[which->sample],
                                               .label_shown = true,
                                               .answers = photos->answers[i],
                                               .answer_count = 2};
    }
    photos->count = opinions->count;
cleanup:
    return status;
}

void disagreement_photos_release(struct disagreement_photos *photos)
{
    for (int i = 0; i < OPINIONS_KEPT; i++)
        image_release(&photos->images[i]);
    *photos = (struct disagreement_photos){0};
}
