#include "teacher_dump/stored_views.h"

#include "shared/base/random.h"
#include <stdlib.h>

/* View number `number` (below the count of all views), counted split by split, shard by shard, sample by sample. */
static struct stored_view locate(const struct cache_manifest *manifest, uint64_t number)
{
    for (int s = 0; s < SPLIT_COUNT; s++) {
        const struct cache_split *split = &manifest->splits[s];
        const uint64_t per_sample = (uint64_t)split->views;
        for (int i = 0; i < split->shard_count; i++) {
            const uint64_t views = split->shards[i].count * per_sample;
            if (number < views)
                return (struct stored_view){(enum split)s, i, (uint32_t)(number / per_sample),
                                            (int)(number % per_sample)};
            number -= views;
        }
    }
    return (struct stored_view){0};
}

static int compare_numbers(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

enum status stored_views_choose(const struct cache_manifest *manifest, uint64_t seed, struct stored_view *views,
                                int count, struct error *err)
{
    uint64_t total = cache_view_count(manifest);
    uint64_t *numbers = malloc((size_t)count * sizeof *numbers);
    struct random_stream stream;
    if (!numbers || total == 0) {
        free(numbers);
        return error_no_memory(err, (size_t)count * sizeof *numbers, "the list of views");
    }
    random_stream_init(&stream, seed, RANDOM_RECHECK, 0, 0);
    for (int k = 0; k < count; k++) {
        uint64_t high = random_u32(&stream);
        numbers[k] = (high << 32 | random_u32(&stream)) % total;
    }
    qsort(numbers, (size_t)count, sizeof *numbers, compare_numbers);
    for (int k = 0; k < count; k++)
        views[k] = locate(manifest, numbers[k]);
    free(numbers);
    return STATUS_OK;
}

uint32_t stored_view_sample(const struct cache_manifest *manifest, const struct stored_view *view)
{
    return manifest->splits[view->split].shards[view->shard].first + view->sample;
}

struct cache_view stored_view_identity(const struct cache_manifest *manifest, const struct stored_view *view,
                                       uint32_t id)
{
    return (struct cache_view){.split = view->split,
                               .sample = stored_view_sample(manifest, view),
                               .id = id,
                               .number = cache_view_number(view->split, view->row)};
}
