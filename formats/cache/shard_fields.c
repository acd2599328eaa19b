#include "formats/cache/shard.h"

#include <stdarg.h>
#include <stdio.h>

static const size_t item_bytes[] = {1, 1, 2, 4, 4, 8, 2, 4, 0}; /* by enum shard_type */

static struct shard_field field(const char *name, enum shard_type type, bool compressed, void *data, int rank, ...)
{
    struct shard_field result = {
        .type = type, .item = item_bytes[type], .rank = rank, .compressed = compressed, .data = data};
    va_list dims;
    snprintf(result.name, sizeof result.name, "%s", name);
    result.bytes = result.item;
    va_start(dims, rank);
    for (int i = 0; i < rank; i++) {
        result.dims[i] = va_arg(dims, size_t);
        result.bytes *= result.dims[i];
    }
    va_end(dims);
    return result;
}

struct shard_field shard_names_field(const struct cache_shard *shard, void *data, size_t length)
{
    struct shard_field result = field("names", SHARD_STRING, true, data, 1, (size_t)shard->count);
    result.item = length;
    result.bytes = length * shard->count;
    return result;
}

struct shard_field shard_images_field(const struct cache_manifest *manifest, const struct cache_shard *shard,
                                      size_t bytes)
{
    struct shard_field images =
        manifest->encoding != IMAGE_RAW
            ? field("images", SHARD_U8, false, shard->image_bytes, 1, bytes)
            : field("images", SHARD_U8, true, shard->image_bytes, 4, (size_t)shard->count, (size_t)manifest->raw_h,
                    (size_t)manifest->raw_w, (size_t)manifest->channels);
    images.part = CACHE_READ_IMAGES;
    return images;
}

int shard_fields(const struct cache_manifest *manifest, const struct cache_shard *shard,
                 struct shard_field fields[SHARD_MAX_FIELDS])
{
    int count = 0;
    size_t n = shard->count, v = (size_t)shard->views, k = (size_t)shard->logits_per_view;
    fields[count++] = field("ids", SHARD_U32, true, shard->ids, 1, n);
    fields[count++] = field("labels", SHARD_I32, true, shard->labels, 1, n);
    if (k > 0)
        fields[count++] = field("logits", SHARD_F16, true, shard->logits, 3, n, v, k);
    if (shard->top_classes)
        fields[count++] = field("top_classes", SHARD_U16, true, shard->top_classes, 3, n, v, k - 1);
    if (shard->link_sizes) {
        fields[count++] = field("link_sizes", SHARD_U64, true, shard->link_sizes, 1, n);
        fields[count++] = field("link_sha256", SHARD_U8, false, shard->link_digests, 2, n, (size_t)32);
    }
    if (shard->image_offsets && manifest->encoding != IMAGE_RAW) {
        fields[count] = field("image_offsets", SHARD_U64, true, shard->image_offsets, 1, n + 1);
        fields[count++].part = CACHE_READ_IMAGES;
    }
    const int first = count;
    for (int i = 0; i < manifest->feature_count && shard->split == SPLIT_TRAIN; i++) {
        const struct cache_feature *feature = &manifest->features[i];
        size_t views = (size_t)feature->views, c = (size_t)feature->c, h = (size_t)feature->h, w = (size_t)feature->w;
        char name[32], scales[32];
        snprintf(name, sizeof name, "feature_%d", i);
        snprintf(scales, sizeof scales, "feature_%d_scales", i);
        if (feature->form == FEATURE_INT8) {
            fields[count++] = field(name, SHARD_I8, true, shard->features[i].int8, 5, n, views, c, h, w);
            fields[count++] = field(scales, SHARD_F32, true, shard->features[i].scales, 3, n, views, c);
        } else {
            fields[count++] = field(name, SHARD_F16, true, shard->features[i].half, 5, n, views, c, h, w);
        }
    }
    for (int i = first; i < count; i++)
        fields[i].part = CACHE_READ_FEATURES;
    return count;
}
