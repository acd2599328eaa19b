#include "student_train/trainer/dataset.h"

#include "student_train/trainer/dataset_images.h"
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Verifies a shard, copies its labels and ids, loads its images, and frees their stored bytes. */
static enum status load_shard(struct dataset *dataset, int index, struct image_supply *supply, struct error *err)
{
    struct cache_shard *shard = &dataset->shards[index];
    enum status status = STATUS_OK;
    TRY(cache_read_shard(dataset->cache, dataset->split, index, CACHE_READ_IMAGES, shard, err));
    for (uint32_t i = 0; i < shard->count; i++) {
        dataset->ids[shard->first + i] = shard->ids[i];
        dataset->labels[shard->first + i] = shard->labels[i];
        dataset->labelled += shard->labels[i] >= 0;
        dataset->shard_of[shard->first + i] = index;
    }
    TRY(image_supply_load(supply, dataset, shard, err));
    free(shard->image_bytes);
    shard->image_bytes = NULL;
cleanup:
    return status;
}

/* What a split will hold in memory at least, by its manifest: logits, names and labels, and on the CPU the images. A
 * file of some kilobytes can declare gigabytes, since zeros compress well. Of a base image that is much larger than the
 * views only a reduced level may be kept, which has hardly fewer pixels than a view. */
static size_t declared_bytes(const struct cache_manifest *manifest, enum split split, int size, bool images)
{
    struct cache_manifest plain = *manifest; /* features are loaded on their own */
    plain.feature_count = 0;
    const size_t base = (size_t)manifest->base;
    const size_t stored =
        manifest->encoding == IMAGE_RAW ? size_mul((size_t)manifest->raw_h, (size_t)manifest->raw_w) : base * base;
    const size_t view = (size_t)size * (size_t)size, pixels = stored < view ? stored : view;
    const size_t image = images ? size_mul(pixels, (size_t)manifest->channels) : 0,
                 rest = cache_sample_bytes(&plain, split);
    return image > SIZE_MAX - rest ? SIZE_MAX : size_mul(image + rest, manifest->splits[split].samples);
}

/* Only the base images for training may be in a file. */
static bool in_file(const struct compute *compute, enum dataset_use use)
{
    return use == DATASET_TRAINING && compute->images_folder;
}

static enum status check_memory(const struct compute *compute, const struct cache *cache, enum split split,
                                enum dataset_use use, int size, struct error *err)
{
    const bool images = strcmp(compute->backend->name, "cpu") == 0 && !in_file(compute, use);
    const size_t needed = declared_bytes(&cache->manifest, split, size, images);
    const size_t limit = compute->max_memory ? (size_t)compute->max_memory : memory_available();
    if (needed <= limit)
        return STATUS_OK;
    const bool helps =
        images && use == DATASET_TRAINING && declared_bytes(&cache->manifest, split, size, false) <= limit;
    return error_set(err, STATUS_CONFIG, cache->path,
                     "split %s needs %.1f MB of memory, but %s %.1f MB: use %sa machine with more memory%s",
                     split_name(split), (double)needed / 1e6, compute->max_memory ? "--max-memory is" : "there are",
                     (double)limit / 1e6, helps ? "--images disk, " : "",
                     compute->max_memory ? ", or raise --max-memory" : "");
}

/* Of a zeroed data set that knows its split; after an error it is to be released. */
static enum status load_split(struct dataset *dataset, struct image_supply *supply, struct progress *progress,
                              struct error *err)
{
    const struct compute *compute = dataset->compute;
    const struct cache_manifest *manifest = &dataset->cache->manifest;
    const struct cache_split *content = &manifest->splits[dataset->split];
    const size_t n = dataset->count;
    const bool file = in_file(compute, dataset->use);
    enum status status = STATUS_OK;
    struct error flush = {0};
    dataset->views = content->views;
    dataset->bases = calloc(n, sizeof *dataset->bases);
    dataset->ids = calloc(n, sizeof *dataset->ids);
    dataset->labels = calloc(n, sizeof *dataset->labels);
    dataset->shard_of = calloc(n, sizeof *dataset->shard_of);
    dataset->shards = calloc((size_t)content->shard_count, sizeof *dataset->shards);
    if (!dataset->bases || !dataset->ids || !dataset->labels || !dataset->shard_of || !dataset->shards)
        FAIL(error_no_memory(err, n, "a split of the cache"));
    dataset->shard_count = content->shard_count;
    TRY(cache_views_init(&dataset->cache_views, manifest, dataset->largest, err));
    if (file)
        TRY(scratch_file_open(&dataset->file, compute->images_folder, err));
    TRY(compute->backend->device->images->create(compute->device, dataset->count, manifest->channels,
                                                 file ? &dataset->file : NULL, &dataset->images, err));
    progress_begin(progress, split_name(dataset->split), "images", n, 0);
    for (int i = 0; i < content->shard_count; i++) {
        TRY(load_shard(dataset, i, supply, err));
        progress_update(progress, content->shards[i].first + content->shards[i].count, NULL);
    }
    if (file && scratch_file_flush(&dataset->file, &flush) != STATUS_OK)
        TRY(pass_file_error(err, &flush));
    progress_end(progress);
cleanup:
    return status;
}

enum status dataset_load(struct dataset *dataset, const struct cache *cache, enum split split, enum dataset_use use,
                         int size, const struct compute *compute, struct progress *progress, struct error *err)
{
    const struct dataset empty = {.cache = cache,
                                  .compute = compute,
                                  .split = split,
                                  .use = use,
                                  .count = cache->manifest.splits[split].samples,
                                  .largest = size,
                                  .file.descriptor = -1};
    enum status status = STATUS_OK;
    struct image_supply supply;
    struct error cause = {0};
    *dataset = (struct dataset){0};
    if (empty.count == 0)
        return error_set(err, STATUS_CONFIG, cache->path, "has no %s split", split_name(split));
    if ((status = check_memory(compute, cache, split, use, size, err)) != STATUS_OK)
        return status;
    *dataset = empty;
    TRY(image_supply_open(&supply, dataset, progress, err));
    status = load_split(dataset, &supply, progress, &cause);
    if (status != STATUS_OK && atomic_load(&supply.refused)) {
        dataset_release(dataset);
        *dataset = empty;
        TRY(image_supply_restart(&supply, dataset, &cause, progress, err));
        TRY(load_split(dataset, &supply, progress, err));
    } else if (status != STATUS_OK) {
        error_pass(err, &cause);
    }
cleanup:
    image_supply_close(&supply, status == STATUS_OK, progress);
    if (status != STATUS_OK)
        dataset_release(dataset);
    return status;
}

void dataset_release(struct dataset *dataset)
{
    dataset_free_features(dataset);
    if (dataset->images)
        dataset->compute->backend->device->images->destroy(dataset->compute->device, dataset->images);
    if (dataset->compute)
        scratch_file_close(&dataset->file);
    for (int i = 0; i < dataset->shard_count; i++)
        cache_shard_release(&dataset->shards[i]);
    free(dataset->shards);
    free(dataset->shard_of);
    free(dataset->bases);
    free(dataset->ids);
    free(dataset->labels);
    *dataset = (struct dataset){0};
}

const char *dataset_name(const struct dataset *dataset, uint32_t sample)
{
    const struct cache_shard *shard = &dataset->shards[dataset->shard_of[sample]];
    return shard->names[sample - shard->first];
}

static struct cache_view which_view(const struct dataset *dataset, uint32_t sample, int number)
{
    return (struct cache_view){.split = dataset->split, .sample = sample, .id = dataset->ids[sample], .number = number};
}

void dataset_view(const struct dataset *dataset, uint32_t sample, int number, struct view *view)
{
    const struct cache_view which = which_view(dataset, sample, number);
    assert((number == CACHE_EVALUATION_VIEW) == (dataset->use == DATASET_EVALUATION));
    if (dataset->use == DATASET_EVALUATION)
        view_make_whole(view, dataset->cache_views.size, dataset->mirrored);
    else
        cache_view_make(&dataset->cache_views, &which, dataset->bases[sample].h, dataset->bases[sample].w, view);
}

bool dataset_mixes(const struct dataset *dataset)
{
    return cache_views_mix(&dataset->cache_views, dataset->split);
}

void dataset_mix(const struct dataset *dataset, uint32_t sample, int number, struct view_mix *mix, uint32_t *partner)
{
    const struct cache_view which = which_view(dataset, sample, number);
    struct cache_view other;
    cache_view_mix(&dataset->cache_views, &which, dataset->ids, mix, &other);
    *partner = other.sample;
}

bool dataset_has_teacher(const struct dataset *dataset, bool evaluation)
{
    return cache_has_teacher(&dataset->cache->manifest) && !(evaluation && dataset->split == SPLIT_TRAIN);
}

void dataset_teacher(const struct dataset *dataset, uint32_t sample, int number, float *logits)
{
    const struct cache_view which = which_view(dataset, sample, number);
    cache_view_logits(&dataset->cache->manifest, &dataset->shards[dataset->shard_of[sample]], &which, logits);
}
