/* A row: all that a shard holds of the teacher's answers for one view, in one piece of bytes:
 *
 *     logits        float16 [k]            k = cache_logits_per_view
 *     top_classes   uint16 [top_k]         with top_k only
 *     then for every feature that this view has, in the order of the manifest:
 *     values        float16 or int8 [c, h, w]
 *     scales        float32 [c]            form int8 only
 *
 * The rows of a split are numbered in the order of a shard: row r is view r % views of sample r / views, where views is
 * 1 for evaluation splits. So the size of any range of rows follows from the manifest. */
#ifndef FORMATS_CACHE_CACHE_ROW_H
#define FORMATS_CACHE_CACHE_ROW_H

#include "formats/cache/cache.h"

/* Views of a sample of the split. */
int cache_split_views(const struct cache_manifest *manifest, enum split split);
/* Bytes of rows [first, first + count) of a split. The manifest's cache_sample_bytes must not be above
 * CACHE_SHARD_LIMIT, and there are at most INT32_MAX samples: so the result fits. */
size_t cache_row_bytes(const struct cache_manifest *manifest, enum split split, uint64_t first, uint64_t count);

/* Copies a view's row out of a shard and into it; returns its bytes. sample: in the shard. */
size_t cache_row_get(const struct cache_manifest *manifest, const struct cache_shard *shard, uint32_t sample, int view,
                     uint8_t *row);
size_t cache_row_put(const struct cache_manifest *manifest, struct cache_shard *shard, uint32_t sample, int view,
                     const uint8_t *row);

#endif
