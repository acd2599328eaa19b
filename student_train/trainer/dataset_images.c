#include "student_train/trainer/dataset_images.h"

#include "shared/base/interrupt.h"
#include <stdlib.h>
#include <string.h>

/* Every so many kept images one is decoded all the same, and compared: another version of a decoder may give other
 * pixels than the one that made the file. */
enum { COMPARED = 64 };

enum status pass_file_error(struct error *err, const struct error *cause)
{
    return cause->code == STATUS_IO
               ? error_set(err, STATUS_IO, cause->path,
                           "%s: make room there, or use --images memory, which needs no file", cause->message)
               : error_pass(err, cause);
}

/* Another process that is making the same file will finish it, and two need not. */
static enum status open_writer(struct image_supply *supply, const struct dataset *dataset, struct progress *progress,
                               struct error *err)
{
    struct error cause = {0};
    if (kept_writer_open(&supply->writer, dataset->compute->keep_folder, &supply->key, &cause) == STATUS_OK)
        return STATUS_OK;
    if (cause.code != STATUS_LOCKED)
        return error_pass(err, &cause);
    progress_note(progress, "decoded images: another process is keeping those of %s, so they are not kept twice",
                  split_name(dataset->split));
    return STATUS_OK;
}

enum status image_supply_open(struct image_supply *supply, const struct dataset *dataset, struct progress *progress,
                              struct error *err)
{
    const struct compute *compute = dataset->compute;
    struct error cause = {0};
    *supply = (struct image_supply){.key = {.cache = compute->keep_digest,
                                            .split = dataset->split,
                                            .size = dataset->use == DATASET_EVALUATION ? dataset->largest : 0,
                                            .count = dataset->count,
                                            .channels = dataset->cache->manifest.channels}};
    pthread_mutex_init(&supply->mutex, NULL);
    if (!compute->keep_folder)
        return STATUS_OK;
    if (kept_images_open(&supply->kept, compute->keep_folder, &supply->key, &cause) == STATUS_OK)
        return STATUS_OK;
    if (cause.code != STATUS_NO_INPUT)
        progress_note(progress, "%s: %s; decoding again", cause.path, cause.message);
    return open_writer(supply, dataset, progress, err);
}

enum status image_supply_restart(struct image_supply *supply, const struct dataset *dataset, const struct error *why,
                                 struct progress *progress, struct error *err)
{
    progress_note(progress, "%s: %s; decoding again", why->path, why->message);
    kept_images_close(supply->kept);
    supply->kept = NULL;
    atomic_store(&supply->refused, false);
    return open_writer(supply, dataset, progress, err);
}

void image_supply_close(struct image_supply *supply, bool whole, struct progress *progress)
{
    struct error *err = &supply->writing;
    if (supply->writer && whole && err->code == STATUS_OK)
        kept_writer_publish(supply->writer, err);
    if (supply->writer && whole && err->code != STATUS_OK)
        progress_note(progress, "decoded images are not kept: %s: %s", err->path, err->message);
    kept_writer_close(supply->writer);
    kept_images_close(supply->kept);
    pthread_mutex_destroy(&supply->mutex);
}

/* ---- the images of a shard ---- */

struct load_job {
    struct image_supply *supply;
    struct dataset *dataset;
    const struct cache_shard *shard;
};

static enum status decode_image(const struct dataset *dataset, const struct cache_shard *shard, uint32_t i,
                                struct image *image, struct error *err)
{
    const struct cache_manifest *manifest = &dataset->cache->manifest;
    enum status status = STATUS_OK;
    const uint8_t *bytes;
    uint8_t *owned = NULL;
    size_t size;
    TRY(cache_image(dataset->cache, shard, i, &bytes, &size, &owned, err));
    if (dataset->use == DATASET_EVALUATION)
        TRY(cache_evaluation_image(manifest, bytes, size, shard->names[i], dataset->largest, image, err));
    else
        TRY(cache_base_image(manifest, bytes, size, shard->names[i], image, err));
cleanup:
    free(owned);
    return status;
}

static bool equal_images(const struct image *a, const struct image *b)
{
    return a->h == b->h && a->w == b->w && a->channels == b->channels &&
           memcmp(a->pixels, b->pixels, (size_t)a->h * (size_t)a->w * (size_t)a->channels) == 0;
}

static enum status take_kept(struct load_job *job, uint32_t i, struct image *image, struct error *err)
{
    const uint32_t sample = job->shard->first + i;
    enum status status = STATUS_OK;
    struct image decoded = {0};
    TRY(kept_images_read(job->supply->kept, sample, image, err));
    if (sample % COMPARED == 0) {
        char name[KEPT_NAME_SIZE];
        kept_images_name(&job->supply->key, name);
        TRY(decode_image(job->dataset, job->shard, i, &decoded, err));
        if (!equal_images(image, &decoded))
            FAIL(error_set(err, STATUS_BAD_DATA, name, "image %u is decoded otherwise today", sample));
    }
cleanup:
    image_release(&decoded);
    if (status != STATUS_OK)
        atomic_store(&job->supply->refused, true);
    return status;
}

/* Writing may fail, and loading goes on. */
static void keep_image(struct image_supply *supply, uint32_t sample, const struct image *image)
{
    struct error err = {0};
    pthread_mutex_lock(&supply->mutex);
    const bool failed = supply->writing.code != STATUS_OK;
    pthread_mutex_unlock(&supply->mutex);
    if (failed || kept_writer_add(supply->writer, sample, image, &err) == STATUS_OK)
        return;
    pthread_mutex_lock(&supply->mutex);
    error_pass(&supply->writing, &err);
    pthread_mutex_unlock(&supply->mutex);
}

static enum status load_image(struct load_job *job, uint32_t i, struct error *err)
{
    struct dataset *dataset = job->dataset;
    const struct compute *compute = dataset->compute;
    const uint32_t sample = job->shard->first + i;
    enum status status = STATUS_OK;
    struct image image = {0};
    struct error put = {0};
    int least_level = 0;
    if (job->supply->kept) {
        TRY(take_kept(job, i, &image, err));
    } else {
        TRY(decode_image(dataset, job->shard, i, &image, err));
        if (job->supply->writer)
            keep_image(job->supply, sample, &image);
    }
    dataset->bases[sample].h = image.h;
    dataset->bases[sample].w = image.w;
    if (dataset->use == DATASET_TRAINING)
        least_level = cache_view_least_level(&dataset->cache_views, job->shard->ids[i], image.h, image.w);
    if (compute->backend->device->images->put(compute->device, dataset->images, sample, &image, least_level, &put) !=
        STATUS_OK)
        TRY(pass_file_error(err, &put));
cleanup:
    image_release(&image);
    return status;
}

static enum status load_task(void *context, int index, int worker, struct error *err)
{
    (void)worker;
    return interrupt_requested() ? STATUS_OK : load_image(context, (uint32_t)index, err);
}

enum status image_supply_load(struct image_supply *supply, struct dataset *dataset, const struct cache_shard *shard,
                              struct error *err)
{
    struct load_job job = {.supply = supply, .dataset = dataset, .shard = shard};
    enum status status = STATUS_OK;
    TRY(thread_pool_try(dataset->compute->pool, (int)shard->count, load_task, &job, err));
    if (interrupt_requested())
        FAIL(error_set(err, STATUS_INTERRUPTED, NULL, "stopped while the cache was loading; nothing was lost"));
cleanup:
    return status;
}
