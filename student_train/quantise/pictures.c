#include "student_train/quantise/pictures.h"

#include "formats/cache/cache_view.h"
#include "shared/base/interrupt.h"
#include <stdlib.h>
#include <string.h>

struct loading {
    struct pictures *pictures;
    const struct cache *cache;
    const struct picture_choice *choice;
    struct cache_views views;
    uint32_t *samples; /* [count] increasing */
    struct cache_shard shard;
    size_t first; /* of the pictures of this shard */
};

static enum status render(const struct loading *loading, size_t index, const uint8_t *bytes, size_t size,
                          struct error *err)
{
    enum status status = STATUS_OK;
    const struct cache_shard *shard = &loading->shard;
    const uint32_t sample = loading->samples[index], i = sample - shard->first;
    const int views = loading->cache->manifest.splits[loading->choice->split].views;
    const struct cache_view which = {loading->choice->split, sample, shard->ids[i],
                                     views > 0 ? (int)(index % (size_t)views) : 0};
    struct image levels[VIEW_MAX_LEVELS] = {{0}}, base = {0};
    struct view view;
    int count = 0;
    TRY(cache_base_image(&loading->cache->manifest, bytes, size, shard->names[i], &base, err));
    TRY(view_pyramid(&base, levels, &count, err));
    cache_view_make(&loading->views, &which, base.h, base.w, &view);
    view_render(&view, levels, count, loading->views.size,
                loading->pictures->set.pixels + index * loading->pictures->set.size);
cleanup:
    view_pyramid_release(levels, count);
    image_release(&base);
    return status;
}

static enum status load_picture(void *context, int task, int worker, struct error *err)
{
    enum status status = STATUS_OK;
    const struct loading *loading = context;
    const size_t index = loading->first + (size_t)task, size_of_one = loading->pictures->set.size;
    const uint32_t i = loading->samples[index] - loading->shard.first;
    const uint8_t *bytes;
    uint8_t *owned = NULL;
    size_t size;
    struct image image = {0};
    (void)worker;
    if (interrupt_requested())
        return error_set(err, STATUS_INTERRUPTED, NULL, "stopped before the 8-bit files were written");
    TRY(cache_image(loading->cache, &loading->shard, i, &bytes, &size, &owned, err));
    if (loading->choice->views) {
        TRY(render(loading, index, bytes, size, err));
    } else {
        TRY(cache_evaluation_image(&loading->cache->manifest, bytes, size, loading->shard.names[i], loading->views.size,
                                   &image, err));
        memcpy(loading->pictures->set.pixels + index * size_of_one, image.pixels, size_of_one);
    }
    loading->pictures->labels[index] = loading->shard.labels[i];
cleanup:
    image_release(&image);
    free(owned);
    return status;
}

/* Those of the chosen samples that the shards hold, shard by shard. */
static enum status load_shards(struct loading *loading, struct thread_pool *pool, struct error *err)
{
    enum status status = STATUS_OK;
    const struct cache_split *split = &loading->cache->manifest.splits[loading->choice->split];
    for (int s = 0; s < split->shard_count && loading->first < loading->pictures->set.count; s++) {
        const uint32_t end = split->shards[s].first + split->shards[s].count;
        size_t next = loading->first;
        while (next < loading->pictures->set.count && loading->samples[next] < end)
            next++;
        if (next == loading->first)
            continue;
        TRY(cache_read_shard(loading->cache, loading->choice->split, s, CACHE_READ_IMAGES, &loading->shard, err));
        TRY(thread_pool_try(pool, (int)(next - loading->first), load_picture, loading, err));
        cache_shard_release(&loading->shard);
        loading->shard = (struct cache_shard){0};
        loading->first = next;
    }
cleanup:
    cache_shard_release(&loading->shard);
    return status;
}

static uint32_t available(const struct picture_choice *choice, uint32_t samples)
{
    return samples > choice->first ? (samples - choice->first + choice->step - 1) / choice->step : 0;
}

enum status pictures_load(struct pictures *pictures, const struct cache *cache, const struct picture_choice *choice,
                          int size, struct thread_pool *pool, struct error *err)
{
    enum status status = STATUS_OK;
    const uint32_t all = available(choice, cache->manifest.splits[choice->split].samples);
    const size_t count = all < choice->count ? all : choice->count;
    struct loading loading = {.pictures = pictures, .cache = cache, .choice = choice};
    *pictures = (struct pictures){
        .set = {.count = count, .size = (size_t)size * (size_t)size * (size_t)cache->manifest.channels}};
    if (count == 0)
        FAIL(error_set(err, STATUS_CONFIG, cache->path, "has too few images in split %s", split_name(choice->split)));
    TRY(cache_views_init(&loading.views, &cache->manifest, size, err));
    pictures->set.pixels = malloc(size_mul(count, pictures->set.size));
    pictures->labels = calloc(count, sizeof *pictures->labels);
    loading.samples = calloc(count, sizeof *loading.samples);
    if (!pictures->set.pixels || !pictures->labels || !loading.samples)
        FAIL(error_no_memory(err, size_mul(count, pictures->set.size), "pictures for quantisation"));
    for (size_t i = 0; i < count; i++)
        loading.samples[i] = choice->first + choice->step * (uint32_t)((uint64_t)i * all / count);
    TRY(load_shards(&loading, pool, err));
cleanup:
    free(loading.samples);
    if (status != STATUS_OK)
        pictures_release(pictures);
    return status;
}

void pictures_release(struct pictures *pictures)
{
    free(pictures->set.pixels);
    free(pictures->labels);
    *pictures = (struct pictures){0};
}
