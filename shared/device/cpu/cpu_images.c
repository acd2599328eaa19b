/* Base images in memory or in a file, and batches of views that are rendered from them by all threads. */
#include "shared/device/cpu/cpu_device.h"

#include "shared/base/memory.h"
#include "shared/base/scratch_file.h"
#include "shared/tensor/bf16.h"
#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

/* The levels of an image that views sample, each made once a view has requested it. */
struct pyramid {
    struct image levels[VIEW_MAX_LEVELS]; /* those below `least` are zeroed; in a file: without pixels */
    uint64_t at[VIEW_MAX_LEVELS];         /* where the file has their pixels */
    int least;
    atomic_int count; /* 0: never put */
};

struct device_images {
    uint32_t count;
    int channels;
    struct scratch_file *file; /* NULL: images are in memory; borrowed */
    struct pyramid *pyramids;  /* [count] */
    pthread_mutex_t reducing;
    uint8_t *scratch; /* of every thread: a view and its partner, and from a file their levels */
    size_t scratch_bytes;
    atomic_size_t largest_level; /* bytes of any level of the file */
};

static enum status images_new(struct device *device, uint32_t count, int channels, struct scratch_file *file,
                              struct device_images **out, struct error *err)
{
    struct device_images *images = calloc(1, sizeof *images);
    (void)device;
    *out = NULL;
    if (images)
        images->pyramids = calloc(count ? count : 1, sizeof *images->pyramids);
    if (!images || !images->pyramids) {
        free(images);
        return error_no_memory(err, size_mul(count, sizeof *images->pyramids), "the list of images");
    }
    images->count = count;
    images->channels = channels;
    images->file = file;
    pthread_mutex_init(&images->reducing, NULL);
    *out = images;
    return STATUS_OK;
}

static void images_free(struct device *device, struct device_images *images)
{
    (void)device;
    if (!images)
        return;
    for (uint32_t i = 0; i < images->count; i++) {
        for (int k = 0; k < atomic_load(&images->pyramids[i].count); k++)
            image_release(&images->pyramids[i].levels[k]);
    }
    pthread_mutex_destroy(&images->reducing);
    free(images->pyramids);
    memory_free(images->scratch);
    free(images);
}

static size_t level_bytes(const struct image *level)
{
    return (size_t)level->h * (size_t)level->w * (size_t)level->channels;
}

/* All levels from `least` on, which is given and taken, go to the file. */
static enum status write_levels(struct device_images *images, struct pyramid *pyramid, struct image *least, int count,
                                struct error *err)
{
    enum status status = STATUS_OK;
    struct image next = {0};
    size_t bytes = level_bytes(least), largest = atomic_load(&images->largest_level);
    while (bytes > largest && !atomic_compare_exchange_weak(&images->largest_level, &largest, bytes))
        ;
    for (int k = pyramid->least; k < count; k++) {
        TRY(scratch_file_append(images->file, least->pixels, level_bytes(least), &pyramid->at[k], err));
        pyramid->levels[k] = *least;
        pyramid->levels[k].pixels = NULL;
        if (k + 1 < count)
            TRY(view_next_level(least, &next, err));
        image_release(least);
        *least = next;
        next = (struct image){0};
    }
    atomic_store(&pyramid->count, count);
cleanup:
    return status;
}

static enum status images_put(struct device *device, struct device_images *images, uint32_t i, struct image *base,
                              int least_level, struct error *err)
{
    (void)device;
    const int count = view_level_count(base->h, base->w);
    assert(least_level >= 0 && least_level < count);
    if (i >= images->count || base->channels != images->channels)
        return error_set(err, STATUS_INTERNAL, NULL, "image %u with %d channels does not belong to %u images with %d",
                         i, base->channels, images->count, images->channels);
    for (int k = 0; k < least_level; k++) {
        struct image next;
        const enum status status = view_next_level(base, &next, err);
        if (status != STATUS_OK)
            return status;
        image_release(base);
        *base = next;
    }
    images->pyramids[i].least = least_level;
    if (images->file)
        return write_levels(images, &images->pyramids[i], base, count, err);
    images->pyramids[i].levels[least_level] = *base;
    atomic_store(&images->pyramids[i].count, least_level + 1);
    *base = (struct image){0};
    return STATUS_OK;
}

/* Levels are made when the first view needs them: many recipes never do, and they take a third of the memory. */
static enum status need_level(struct device_images *images, struct pyramid *pyramid, int level, struct error *err)
{
    enum status status = STATUS_OK;
    if (level < atomic_load(&pyramid->count))
        return STATUS_OK;
    pthread_mutex_lock(&images->reducing);
    for (int k = atomic_load(&pyramid->count); k <= level && status == STATUS_OK; k++) {
        status = view_next_level(&pyramid->levels[k - 1], &pyramid->levels[k], err);
        if (status == STATUS_OK)
            atomic_store(&pyramid->count, k + 1);
    }
    pthread_mutex_unlock(&images->reducing);
    return status;
}

struct render_job {
    struct device_images *images;
    const struct epoch_views *views;
    size_t first; /* slot of the step's first view */
    int size;
    float (*table)[256];
    enum dtype dtype;
    void *out;
};

/* A worker's scratch memory: a view in floats, if it is stored in another type; two views and two levels in bytes. */
static size_t scratch_of_worker(const struct device_images *images, size_t values, enum dtype dtype)
{
    const size_t bytes = 2 * (values + atomic_load(&images->largest_level));
    return (dtype == DTYPE_FP32 ? 0 : values * sizeof(float)) + (bytes + 15) / 16 * 16;
}

/* The image's pyramid with the level that the view samples. In a file: levels[VIEW_MAX_LEVELS] gets it, its pixels are
 * read to `room`. */
static enum status take_picture(struct device_images *images, uint32_t image, const struct view *view,
                                struct image *levels, uint8_t *room, struct view_picture *picture, struct error *err)
{
    struct pyramid *pyramid = image < images->count ? &images->pyramids[image] : NULL;
    if (!pyramid || atomic_load(&pyramid->count) == 0)
        return error_set(err, STATUS_INTERNAL, NULL, "image %u was never loaded", image);
    if (view->level < pyramid->least)
        return error_set(err, STATUS_INTERNAL, NULL, "image %u was reduced to level %d, but a view samples level %d",
                         image, pyramid->least, view->level);
    if (images->file) {
        struct image *level = &levels[view->level];
        *level = pyramid->levels[view->level];
        level->pixels = room;
        *picture = (struct view_picture){view, levels, atomic_load(&pyramid->count)};
        return scratch_file_read(images->file, pyramid->at[view->level], room, level_bytes(level), err);
    }
    const enum status status = need_level(images, pyramid, view->level, err);
    *picture = (struct view_picture){view, pyramid->levels, atomic_load(&pyramid->count)};
    return status;
}

static enum status render_one(void *context, int index, int worker, struct error *err)
{
    static const struct view_mix nothing = {.kind = VIEW_MIX_NONE, .share = 65536};
    const struct render_job *job = context;
    struct device_images *images = job->images;
    const struct epoch_views *views = job->views;
    const size_t at = job->first + (size_t)index;
    const size_t values = (size_t)job->size * (size_t)job->size * (size_t)images->channels;
    const struct view_mix *mix = views->mixes ? &views->mixes[at] : &nothing;
    const size_t level = atomic_load(&images->largest_level), begin = (size_t)index * values;
    uint8_t *worker_scratch = images->scratch + (size_t)worker * scratch_of_worker(images, values, job->dtype);
    const bool direct = job->dtype == DTYPE_FP32;
    float *out = direct ? (float *)job->out + begin : (float *)(void *)worker_scratch;
    uint8_t *scratch = worker_scratch + (direct ? 0 : values * sizeof *out), *rooms = scratch + 2 * values;
    struct image levels[2][VIEW_MAX_LEVELS];
    struct view_picture own, partner = {0};
    enum status status = STATUS_OK;
    TRY(take_picture(images, views->samples[at], &views->views[at], levels[0], rooms, &own, err));
    if (mix->kind != VIEW_MIX_NONE)
        TRY(take_picture(images, views->partners[at], &views->partner_views[at], levels[1], rooms + level, &partner,
                         err));
    view_render_mixed(mix, &own, &partner, job->size, job->table, scratch, out);
    for (size_t i = 0; !direct && i < values; i++)
        ((uint16_t *)job->out)[begin + i] = bf16_from_float(out[i]);
cleanup:
    return status;
}

static enum status render(struct device *device, struct device_images *images, const struct epoch_views *views,
                          int count, int size, float table[3][256], enum dtype dtype, void *out, struct error *err)
{
    const size_t first = (size_t)*views->cursor * (size_t)views->batch;
    struct render_job job = {
        .images = images, .views = views, .first = first, .size = size, .table = table, .dtype = dtype, .out = out};
    const size_t values = (size_t)size * (size_t)size * (size_t)images->channels;
    const size_t bytes = (size_t)thread_pool_size(device->pool) * scratch_of_worker(images, values, dtype);
    enum status status = STATUS_OK;
    if (dtype != DTYPE_FP32 && dtype != DTYPE_BF16)
        return error_set(err, STATUS_INTERNAL, NULL, "the CPU renders to fp32 and bf16, not to %s", dtype_name(dtype));
    if (bytes > images->scratch_bytes) {
        memory_free(images->scratch);
        images->scratch_bytes = 0;
        TRY(memory_new((void **)&images->scratch, bytes, 1, "rendered views", err));
        images->scratch_bytes = bytes;
    }
    TRY(thread_pool_try(device->pool, count, render_one, &job, err));
cleanup:
    return status;
}

const struct image_ops cpu_image_ops = {
    .create = images_new,
    .put = images_put,
    .destroy = images_free,
    .render = render,
};
