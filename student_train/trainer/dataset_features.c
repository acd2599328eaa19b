/* Copies the teacher's recorded features from the shards to the device. A shard has a view as [c, h, w], a store has it
 * as [h, w, channels]. */
#include "student_train/trainer/dataset.h"

#include "shared/base/interrupt.h"
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Views are transposed and copied in slabs of SLAB_BYTES, so a shard's whole feature is not in host memory twice. One
 * row of SQUARED_ROWS counts in a store's mean square. */
enum { SLAB_BYTES = 1 << 20, SQUARED_ROWS = 16 };

/* A feature of the cache, and its store while it is being filled. A row is a view of a sample. */
struct loading {
    const struct cache_feature *feature;
    void *values; /* device memory [samples, views, h, w, channels] */
    float *scales;
    size_t item, row_bytes;
    double squares; /* the sum over so many values */
    size_t squared;
};

struct transposition {
    const struct loading *loading;
    const unsigned char *from; /* [rows, c, h, w] */
    unsigned char *to;         /* [rows, h, w, c] */
};

static void transpose_row(void *context, int index, int worker)
{
    (void)worker;
    const struct transposition *job = context;
    const struct cache_feature *feature = job->loading->feature;
    const size_t channels = (size_t)feature->c, area = (size_t)feature->h * (size_t)feature->w;
    const size_t begin = (size_t)index * job->loading->row_bytes;
    if (job->loading->item == 1) {
        const unsigned char *from = job->from + begin;
        for (size_t pixel = 0; pixel < area; pixel++)
            for (size_t c = 0; c < channels; c++)
                job->to[begin + pixel * channels + c] = from[c * area + pixel];
    } else {
        const uint16_t *from = (const void *)(job->from + begin);
        uint16_t *to = (void *)(job->to + begin);
        for (size_t pixel = 0; pixel < area; pixel++)
            for (size_t c = 0; c < channels; c++)
                to[pixel * channels + c] = from[c * area + pixel];
    }
}

/* Copies rows of a shard to the store, where they start at row `first`. slab: SLAB_BYTES, or one row in floats if
 * that is more. */
static enum status put_values(const struct compute *compute, const struct loading *loading, size_t first,
                              const unsigned char *values, size_t rows, unsigned char *slab, struct error *err)
{
    enum status status = STATUS_OK;
    const size_t row = loading->row_bytes, at_once = row < SLAB_BYTES ? SLAB_BYTES / row : 1;
    unsigned char *store = (unsigned char *)loading->values + first * row;
    if (loading->feature->c == 1 || loading->feature->h * loading->feature->w == 1)
        return compute->backend->device->upload(compute->device, store, values, rows * row, err);
    for (size_t done = 0, now; done < rows; done += now) {
        now = rows - done < at_once ? rows - done : at_once;
        struct transposition job = {.loading = loading, .from = values + done * row, .to = slab};
        thread_pool_run(compute->pool, (int)now, transpose_row, &job);
        TRY(compute->backend->device->upload(compute->device, store + done * row, slab, now * row, err));
    }
cleanup:
    return status;
}

/* Adds every SQUARED_ROWS-th view of feature i to its squares. first: the shard's first row in the store. */
static void add_squares(struct loading *loading, const struct cache_manifest *manifest, const struct cache_shard *shard,
                        int i, size_t first, float *value)
{
    const uint32_t views = (uint32_t)loading->feature->views;
    const size_t count = cache_feature_count(loading->feature);
    for (uint32_t row = 0; row < shard->count * views; row++) {
        if ((first + row) % SQUARED_ROWS != 0)
            continue;
        cache_feature_value(manifest, shard, i, row / views, (int)(row % views), value);
        for (size_t k = 0; k < count; k++)
            loading->squares += (double)value[k] * (double)value[k];
        loading->squared += count;
    }
}

/* Copies the features of one shard; loadings[i].feature is NULL if feature i is not wanted. */
static enum status put_shard(const struct dataset *dataset, struct loading loadings[CACHE_MAX_FEATURES], int index,
                             void *slab, struct error *err)
{
    const struct compute *compute = dataset->compute;
    struct cache_shard shard = {0};
    enum status status = STATUS_OK;
    TRY(cache_read_shard(dataset->cache, dataset->split, index, CACHE_READ_FEATURES, &shard, err));
    for (int i = 0; i < dataset->cache->manifest.feature_count; i++) {
        struct loading *const loading = &loadings[i];
        if (!loading->feature)
            continue;
        const size_t views = (size_t)loading->feature->views, channels = (size_t)loading->feature->c;
        const size_t first = shard.first * views, rows = shard.count * views;
        const void *values = shard.features[i].half ? (const void *)shard.features[i].half : shard.features[i].int8;
        TRY(put_values(compute, loading, first, values, rows, slab, err));
        add_squares(loading, &dataset->cache->manifest, &shard, i, first, slab);
        if (loading->scales)
            TRY(compute->backend->device->upload(compute->device, loading->scales + first * channels,
                                                 shard.features[i].scales, rows * channels * sizeof(float), err));
    }
cleanup:
    cache_shard_release(&shard);
    return status;
}

static enum status store_begin(const struct dataset *dataset, const struct cache_feature *feature,
                               struct loading *loading, struct error *err)
{
    const struct compute *compute = dataset->compute;
    const size_t rows = size_mul(dataset->count, (size_t)feature->views), count = cache_feature_count(feature);
    enum status status = STATUS_OK;
    *loading = (struct loading){.feature = feature, .item = feature->form == FEATURE_INT8 ? 1 : sizeof(uint16_t)};
    loading->row_bytes = count * loading->item;
    TRY(compute->backend->device->store_new(compute->device, size_mul(rows, loading->row_bytes), feature->tensor,
                                            &loading->values, err));
    if (feature->form == FEATURE_INT8)
        TRY(compute->backend->device->store_new(compute->device, size_mul(rows, (size_t)feature->c * sizeof(float)),
                                                feature->tensor, (void **)&loading->scales, err));
cleanup:
    return status;
}

static struct feature_store store_of(const struct loading *loading)
{
    const struct cache_feature *feature = loading->feature;
    return (struct feature_store){
        .dtype = feature->form == FEATURE_INT8 ? DTYPE_INT8 : DTYPE_FP16,
        .channels = feature->c,
        .h = feature->h,
        .w = feature->w,
        .views = feature->views,
        .values = loading->values,
        .scales = loading->scales,
        .mean_square = (float)(loading->squares / (double)loading->squared),
    };
}

static enum status put_shards(const struct dataset *dataset, struct loading loadings[CACHE_MAX_FEATURES],
                              struct progress *progress, struct error *err)
{
    enum status status = STATUS_OK;
    size_t largest = SLAB_BYTES;
    for (int i = 0; i < CACHE_MAX_FEATURES; i++) {
        const size_t view = loadings[i].feature ? cache_feature_count(loadings[i].feature) * sizeof(float) : 0;
        largest = view > largest ? view : largest;
    }
    void *slab = malloc(largest);
    if (!slab)
        return error_no_memory(err, largest, "features");
    progress_begin(progress, "features", "images", dataset->count, 0);
    for (int i = 0; i < dataset->shard_count; i++) {
        const struct cache_shard_entry *entry = &dataset->cache->manifest.splits[dataset->split].shards[i];
        TRY(put_shard(dataset, loadings, i, slab, err));
        progress_update(progress, entry->first + entry->count, NULL);
        if (interrupt_requested())
            FAIL(error_set(err, STATUS_INTERRUPTED, NULL, "stopped while the cache was loading; nothing was lost"));
    }
cleanup:
    progress_end(progress);
    free(slab);
    return status;
}

enum status dataset_load_features(struct dataset *dataset, const bool wanted[CACHE_MAX_FEATURES],
                                  struct progress *progress, struct error *err)
{
    const struct cache_manifest *manifest = &dataset->cache->manifest;
    const struct compute *compute = dataset->compute;
    struct loading loadings[CACHE_MAX_FEATURES] = {0};
    enum status status = STATUS_OK;
    bool any = false;
    assert(dataset->split == SPLIT_TRAIN);
    for (int i = 0; i < manifest->feature_count; i++) {
        if (!wanted[i] || dataset->features[i].values)
            continue;
        TRY(store_begin(dataset, &manifest->features[i], &loadings[i], err));
        any = true;
    }
    if (any)
        TRY(put_shards(dataset, loadings, progress, err));
    for (int i = 0; i < manifest->feature_count; i++)
        if (loadings[i].feature)
            dataset->features[i] = store_of(&loadings[i]);
cleanup:
    for (int i = 0; i < CACHE_MAX_FEATURES && status != STATUS_OK; i++) {
        if (loadings[i].values)
            compute->backend->device->buffer_free(compute->device, loadings[i].values);
        if (loadings[i].scales)
            compute->backend->device->buffer_free(compute->device, loadings[i].scales);
    }
    return status;
}

void dataset_free_features(struct dataset *dataset)
{
    for (int i = 0; i < CACHE_MAX_FEATURES; i++) {
        const struct feature_store *store = &dataset->features[i];
        if (store->values)
            dataset->compute->backend->device->buffer_free(dataset->compute->device, (void *)(uintptr_t)store->values);
        if (store->scales)
            dataset->compute->backend->device->buffer_free(dataset->compute->device, (void *)(uintptr_t)store->scales);
        dataset->features[i] = (struct feature_store){0};
    }
}
