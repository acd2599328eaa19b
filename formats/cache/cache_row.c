#include "formats/cache/cache_row.h"

#include <string.h>

/* A piece of a row, and where it is in a shard. */
struct piece {
    void *at;
    size_t bytes;
};
enum { MAX_PIECES = 2 + 2 * CACHE_MAX_FEATURES };

int cache_split_views(const struct cache_manifest *manifest, enum split split)
{
    return split == SPLIT_TRAIN ? manifest->views : 1;
}

static size_t view_bytes(const struct cache_manifest *manifest, enum split split, int view)
{
    size_t bytes = 2 * ((size_t)cache_logits_per_view(manifest) + (size_t)manifest->top_k);
    for (int i = 0; i < manifest->feature_count && split == SPLIT_TRAIN; i++)
        bytes += view < manifest->features[i].views ? cache_feature_bytes(&manifest->features[i]) : 0;
    return bytes;
}

/* Bytes of the rows before `row`. */
static size_t bytes_before(const struct cache_manifest *manifest, enum split split, uint64_t row)
{
    const uint64_t views = (uint64_t)cache_split_views(manifest, split);
    size_t sample = 0, begun = 0;
    for (uint64_t view = 0; view < views; view++) {
        const size_t bytes = view_bytes(manifest, split, (int)view);
        sample += bytes;
        begun += view < row % views ? bytes : 0;
    }
    return (size_t)(row / views) * sample + begun;
}

size_t cache_row_bytes(const struct cache_manifest *manifest, enum split split, uint64_t first, uint64_t count)
{
    return bytes_before(manifest, split, first + count) - bytes_before(manifest, split, first);
}

static int list_pieces(const struct cache_manifest *manifest, const struct cache_shard *shard, uint32_t sample,
                       int view, struct piece pieces[MAX_PIECES])
{
    const size_t row = (size_t)sample * (size_t)shard->views + (size_t)view;
    const size_t k = (size_t)shard->logits_per_view, top_k = (size_t)manifest->top_k;
    int count = 0;
    pieces[count++] = (struct piece){shard->logits + row * k, k * sizeof *shard->logits};
    if (top_k)
        pieces[count++] = (struct piece){shard->top_classes + row * top_k, top_k * sizeof *shard->top_classes};
    for (int i = 0; i < manifest->feature_count && shard->split == SPLIT_TRAIN; i++) {
        const struct cache_feature *feature = &manifest->features[i];
        const size_t at = (size_t)sample * (size_t)feature->views + (size_t)view, values = cache_feature_count(feature);
        const size_t channels = (size_t)feature->c;
        if (view >= feature->views)
            continue;
        if (feature->form == FEATURE_INT8) {
            pieces[count++] = (struct piece){shard->features[i].int8 + at * values, values};
            pieces[count++] = (struct piece){shard->features[i].scales + at * channels, channels * sizeof(float)};
        } else {
            pieces[count++] = (struct piece){shard->features[i].half + at * values, values * sizeof(uint16_t)};
        }
    }
    return count;
}

size_t cache_row_get(const struct cache_manifest *manifest, const struct cache_shard *shard, uint32_t sample, int view,
                     uint8_t *row)
{
    struct piece pieces[MAX_PIECES];
    const int count = list_pieces(manifest, shard, sample, view, pieces);
    size_t bytes = 0;
    for (int i = 0; i < count; bytes += pieces[i++].bytes)
        memcpy(row + bytes, pieces[i].at, pieces[i].bytes);
    return bytes;
}

size_t cache_row_put(const struct cache_manifest *manifest, struct cache_shard *shard, uint32_t sample, int view,
                     const uint8_t *row)
{
    struct piece pieces[MAX_PIECES];
    const int count = list_pieces(manifest, shard, sample, view, pieces);
    size_t bytes = 0;
    for (int i = 0; i < count; bytes += pieces[i++].bytes)
        memcpy(pieces[i].at, row + bytes, pieces[i].bytes);
    return bytes;
}
