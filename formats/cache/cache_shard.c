/* A shard's content in memory: allocation, layout in shards, conversion of logits to their stored form and back. */
#include "formats/cache/cache.h"

#include "formats/cache/manifest.h"
#include "shared/tensor/half.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const float HALF_LIMIT = 65504; /* the largest float16 */

void cache_shard_release(struct cache_shard *shard)
{
    free(shard->ids);
    free(shard->labels);
    free(shard->names);
    free(shard->logits);
    free(shard->top_classes);
    free(shard->image_bytes);
    free(shard->image_offsets);
    free(shard->link_sizes);
    free(shard->link_digests);
    for (int i = 0; i < CACHE_MAX_FEATURES; i++) {
        free(shard->features[i].half);
        free(shard->features[i].int8);
        free(shard->features[i].scales);
    }
    *shard = (struct cache_shard){0};
}

bool cache_is_imported(const struct cache_manifest *manifest)
{
    return strcmp(manifest->device, CACHE_IMPORTED) == 0;
}

int cache_logits_per_view(const struct cache_manifest *manifest)
{
    if (!cache_has_teacher(manifest))
        return 0;
    return manifest->top_k ? manifest->top_k + 1 : manifest->class_count;
}

size_t cache_sample_bytes(const struct cache_manifest *manifest, enum split split)
{
    size_t per_view = (size_t)cache_logits_per_view(manifest) * 2 + (size_t)manifest->top_k * 2;
    size_t views = split == SPLIT_TRAIN ? (size_t)manifest->views : 1;
    size_t bytes = size_mul(per_view, views);
    bytes += bytes < SIZE_MAX / 2 ? CACHE_NAME_SIZE + 64 : 0; /* name, id, label, offset or link */
    for (int i = 0; i < manifest->feature_count && split == SPLIT_TRAIN; i++) {
        const struct cache_feature *recorded = &manifest->features[i];
        size_t feature = size_mul(cache_feature_bytes(recorded), (size_t)recorded->views);
        bytes = bytes > SIZE_MAX - feature ? SIZE_MAX : bytes + feature;
    }
    return bytes;
}

static void *allocate(bool *failed, size_t count, size_t size)
{
    void *block = calloc(count ? count : 1, size);
    *failed |= !block;
    return block;
}

enum status cache_shard_init(struct cache_shard *shard, const struct cache_manifest *manifest, enum split split,
                             uint32_t first, uint32_t count, struct error *err)
{
    size_t n = count, bytes = size_mul(cache_sample_bytes(manifest, split), n);
    bool failed = false;
    *shard = (struct cache_shard){.split = split, .first = first, .count = count};
    if (bytes > CACHE_SHARD_LIMIT)
        return error_set(err, STATUS_BAD_DATA, NULL, "a shard of %u samples would have %zu bytes, which is too many",
                         count, bytes);
    shard->views = split == SPLIT_TRAIN ? manifest->views : 1;
    shard->logits_per_view = cache_logits_per_view(manifest);
    size_t nv = n * (size_t)shard->views;
    shard->ids = allocate(&failed, n, sizeof *shard->ids);
    shard->labels = allocate(&failed, n, sizeof *shard->labels);
    shard->names = allocate(&failed, n, sizeof *shard->names);
    shard->logits = allocate(&failed, nv * (size_t)shard->logits_per_view, sizeof *shard->logits);
    if (manifest->top_k)
        shard->top_classes = allocate(&failed, nv * (size_t)manifest->top_k, sizeof *shard->top_classes);
    if (manifest->images_embedded) {
        shard->image_offsets = allocate(&failed, n + 1, sizeof *shard->image_offsets);
    } else {
        shard->link_sizes = allocate(&failed, n, sizeof *shard->link_sizes);
        shard->link_digests = allocate(&failed, n, sizeof *shard->link_digests);
    }
    for (int i = 0; i < manifest->feature_count && split == SPLIT_TRAIN; i++) {
        const struct cache_feature *feature = &manifest->features[i];
        size_t rows = n * (size_t)feature->views;
        if (feature->form == FEATURE_INT8) {
            shard->features[i].int8 = allocate(&failed, rows, cache_feature_count(feature));
            shard->features[i].scales = allocate(&failed, rows * (size_t)feature->c, sizeof(float));
        } else {
            shard->features[i].half = allocate(&failed, rows * cache_feature_count(feature), sizeof(uint16_t));
        }
    }
    if (!failed)
        return STATUS_OK;
    cache_shard_release(shard);
    return error_no_memory(err, bytes, "a shard");
}

enum status cache_layout(struct cache_manifest *manifest, enum split s, const uint64_t *sizes, uint32_t samples,
                         struct error *err)
{
    struct cache_split *split = &manifest->splits[s];
    size_t fixed = cache_sample_bytes(manifest, s), used = 0;
    size_t raw = (size_t)manifest->raw_h * (size_t)manifest->raw_w * (size_t)manifest->channels;
    *split = (struct cache_split){.samples = samples, .views = s == SPLIT_TRAIN ? manifest->views : 1};
    split->teacher_accuracy = -1;
    split->shards = arena_alloc(&manifest->arena, (size_t)samples + 1, sizeof *split->shards);
    if (!split->shards)
        return error_no_memory(err, samples * sizeof *split->shards, "the list of shards");
    for (uint32_t i = 0; i < samples; i++) {
        uint64_t image = !manifest->images_embedded ? 0 : sizes ? sizes[i] : raw;
        if (fixed > CACHE_SHARD_LIMIT || image > CACHE_SHARD_LIMIT - fixed)
            return error_set(
                err, STATUS_CONFIG, NULL,
                "sample %u of split %s needs more than a shard's %d MiB: record fewer features, fewer views of "
                "them, or the forms pooled or at",
                i, split_name(s), CACHE_SHARD_LIMIT >> 20);
        size_t bytes = fixed + (size_t)image;
        struct cache_shard_entry *entry = split->shard_count ? &split->shards[split->shard_count - 1] : NULL;
        if (!entry || entry->count == CACHE_SHARD_SAMPLES || used + bytes > CACHE_SHARD_LIMIT) {
            char name[32];
            entry = &split->shards[split->shard_count];
            manifest_shard_name(name, s, split->shard_count++);
            entry->file = arena_strdup(&manifest->arena, name);
            if (!entry->file)
                return error_no_memory(err, sizeof name, "the list of shards");
            entry->first = i;
            used = 0;
        }
        entry->count++;
        used += bytes;
    }
    return STATUS_OK;
}

/* The k largest in descending order (ties: the smaller class first), then log(mean(exp(others))). */
static void store_top(const float *logits, int classes, int k, uint16_t *values, uint16_t *top)
{
    bool taken[MANIFEST_MAX_CLASSES] = {false};
    for (int i = 0; i < k; i++) {
        int best = -1;
        for (int c = 0; c < classes; c++)
            if (!taken[c] && (best < 0 || logits[c] > logits[best]))
                best = c;
        taken[best] = true;
        values[i] = half_from_float(logits[best]);
        top[i] = (uint16_t)best;
    }
    double largest = -INFINITY, sum = 0;
    for (int c = 0; c < classes; c++)
        largest = !taken[c] && logits[c] > largest ? logits[c] : largest;
    for (int c = 0; c < classes; c++)
        sum += taken[c] ? 0 : exp(logits[c] - largest);
    values[k] = half_from_float((float)(largest + log(sum / (classes - k))));
}

enum status cache_store_logits(const struct cache_manifest *manifest, struct cache_shard *shard, uint32_t sample,
                               int view, const float *logits, struct error *err)
{
    size_t row = (size_t)sample * (size_t)shard->views + (size_t)view;
    uint16_t *values = shard->logits + row * (size_t)shard->logits_per_view;
    for (int c = 0; c < manifest->class_count; c++)
        if (!(fabsf(logits[c]) < HALF_LIMIT))
            return error_set(
                err, STATUS_BAD_DATA, shard->names[sample],
                "the teacher's logit of class %d for view %d is %g, which float16 cannot hold: check the teacher, "
                "--mean and --std",
                c, view, (double)logits[c]);
    if (manifest->top_k)
        store_top(logits, manifest->class_count, manifest->top_k, values,
                  shard->top_classes + row * (size_t)manifest->top_k);
    else
        half_from_floats(values, logits, (size_t)manifest->class_count);
    return STATUS_OK;
}

void cache_logits(const struct cache_manifest *manifest, const struct cache_shard *shard, uint32_t sample, int view,
                  float *logits)
{
    size_t row = (size_t)sample * (size_t)shard->views + (size_t)view;
    const uint16_t *values = shard->logits + row * (size_t)shard->logits_per_view;
    if (!manifest->top_k) {
        half_to_floats(logits, values, (size_t)manifest->class_count);
        return;
    }
    const uint16_t *top = shard->top_classes + row * (size_t)manifest->top_k;
    float rest = half_to_float(values[manifest->top_k]);
    for (int c = 0; c < manifest->class_count; c++)
        logits[c] = rest;
    for (int i = 0; i < manifest->top_k; i++)
        logits[top[i]] = half_to_float(values[i]);
}
