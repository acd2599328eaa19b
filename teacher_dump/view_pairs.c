#include "teacher_dump/view_pairs.h"

#include "shared/base/random.h"
#include <stdlib.h>

/* The pair of a number below the count of all views. */
static struct view_pair locate(const struct cache_manifest *manifest, uint64_t number)
{
    struct view_pair pair = {0};
    for (int s = 0; s < SPLIT_COUNT; s++) {
        const struct cache_split *split = &manifest->splits[s];
        for (int i = 0; i < split->shard_count; i++) {
            uint64_t views = (uint64_t)split->shards[i].count * (uint64_t)split->views;
            if (number < views) {
                uint64_t per_sample = (uint64_t)split->views;
                return (struct view_pair){(enum split)s, i, (uint32_t)(number / per_sample),
                                          (int)(number % per_sample)};
            }
            number -= views;
        }
    }
    return pair;
}

static int compare_numbers(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

enum status view_pairs_choose(const struct cache_manifest *manifest, uint64_t seed, struct view_pair *pairs, int count,
                              struct error *err)
{
    uint64_t total = cache_view_count(manifest);
    uint64_t *numbers = malloc((size_t)count * sizeof *numbers);
    struct random_stream stream;
    if (!numbers || total == 0) {
        free(numbers);
        return error_no_memory(err, (size_t)count * sizeof *numbers, "pairs");
    }
    random_stream_init(&stream, seed, RANDOM_RECHECK, 0, 0);
    for (int k = 0; k < count; k++) {
        uint64_t high = random_u32(&stream);
        numbers[k] = (high << 32 | random_u32(&stream)) % total;
    }
    qsort(numbers, (size_t)count, sizeof *numbers, compare_numbers);
    for (int k = 0; k < count; k++)
        pairs[k] = locate(manifest, numbers[k]);
    free(numbers);
    return STATUS_OK;
}
