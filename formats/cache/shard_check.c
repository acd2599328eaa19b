/* Checks the values of a shard that was read. */
#include "formats/cache/shard.h"

#include <float.h>

/* The index of the first of values[count] that is infinite or NaN; count if there is none. */
static size_t find_not_finite(const uint16_t *values, size_t count)
{
    enum { BLOCK = 4096 };
    for (size_t begin = 0; begin < count; begin += BLOCK) {
        const size_t end = count - begin < BLOCK ? count : begin + BLOCK;
        uint16_t bad = 0; /* a whole block without a branch, in vector instructions */
        for (size_t i = begin; i < end; i++)
            bad |= (values[i] & 0x7C00) == 0x7C00;
        for (size_t i = begin; i < end && bad; i++)
            if ((values[i] & 0x7C00) == 0x7C00)
                return i;
    }
    return count;
}

static enum status check_features(const struct cache_manifest *manifest, const struct cache_shard *shard,
                                  const char *path, struct error *err)
{
    for (int f = 0; f < manifest->feature_count; f++) {
        const struct cache_feature *feature = &manifest->features[f];
        size_t rows = (size_t)shard->count * (size_t)feature->views, count = rows * cache_feature_count(feature);
        const uint16_t *half = shard->features[f].half;
        const float *scales = shard->features[f].scales;
        size_t bad_value = half ? find_not_finite(half, count) : count;
        if (bad_value < count)
            return error_set(err, STATUS_BAD_DATA, path, "data set feature_%d is not finite at %zu", f, bad_value);
        for (size_t i = 0; scales && i < rows * (size_t)feature->c; i++)
            if (!(scales[i] >= 0 && scales[i] <= FLT_MAX / 127))
                return error_set(err, STATUS_BAD_DATA, path, "data set feature_%d_scales has %g at %zu", f,
                                 (double)scales[i], i);
    }
    return STATUS_OK;
}

enum status shard_check_values(const struct cache_manifest *manifest, const struct cache_shard *shard, unsigned parts,
                               const char *path, struct error *err)
{
    size_t n = shard->count, rows = n * (size_t)shard->views, top_k = (size_t)manifest->top_k;
    for (size_t i = 1; i < n; i++)
        if (shard->ids[i] <= shard->ids[i - 1])
            return error_set(err, STATUS_BAD_DATA, path, "data set ids does not increase at %zu", i);
    for (size_t i = 0; i < n; i++)
        if (shard->labels[i] < -1 || shard->labels[i] >= manifest->class_count)
            return error_set(err, STATUS_BAD_DATA, path, "data set labels has class %d at %zu", shard->labels[i], i);
    size_t logits = rows * (size_t)shard->logits_per_view, bad_logit = find_not_finite(shard->logits, logits);
    if (bad_logit < logits)
        return error_set(err, STATUS_BAD_DATA, path, "data set logits is not finite at %zu", bad_logit);
    for (size_t i = 0; i < rows * top_k; i++)
        if (shard->top_classes[i] >= manifest->class_count)
            return error_set(err, STATUS_BAD_DATA, path, "data set top_classes has class %u at %zu",
                             (unsigned)shard->top_classes[i], i);
    return parts & CACHE_READ_FEATURES ? check_features(manifest, shard, path, err) : STATUS_OK;
}

enum status cache_check_values(const struct cache_manifest *manifest, const struct cache_shard *shard, const char *path,
                               struct error *err)
{
    return shard_check_values(manifest, shard, CACHE_READ_FEATURES, path, err);
}
