/* Base images in memory, and batches of views that are rendered from them by all threads. */
#include "shared/device/cpu/cpu_device.h"

#include "shared/base/memory.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

/* An image and its reduced levels, once a view has requested one. */
struct pyramid {
    struct image levels[VIEW_MAX_LEVELS];
    atomic_int count;
};

struct device_images {
    uint32_t count;
    int channels;
    struct pyramid *pyramids; /* [count] */
    pthread_mutex_t reducing;
    uint8_t *scratch; /* [threads, 2, size, size, channels] for the largest size so far: a view and its partner */
    size_t scratch_bytes;
};

static enum status images_new(struct device *device, uint32_t count, int channels, struct device_images **out,
                              struct error *err)
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
        view_pyramid_release(images->pyramids[i].levels, atomic_load(&images->pyramids[i].count));
        image_release(&images->pyramids[i].levels[0]);
    }
    pthread_mutex_destroy(&images->reducing);
    free(images->pyramids);
    memory_free(images->scratch);
    free(images);
}

static enum status images_put(struct device *device, struct device_images *images, uint32_t i, struct image *base,
                              struct error *err)
{
    (void)device;
    if (i >= images->count || base->channels != images->channels)
        return error_set(err, STATUS_INTERNAL, NULL, "image %u with %d channels does not belong to %u images with %d",
                         i, base->channels, images->count, images->channels);
    images->pyramids[i].levels[0] = *base;
    atomic_store(&images->pyramids[i].count, 1);
    *base = (struct image){0};
    return STATUS_OK;
}

/* Levels are made when the first view needs them: most recipes never do, and they take a third of the memory. */
static enum status need_level(struct device_images *images, struct pyramid *pyramid, int level, struct error *err)
{
    enum status status = STATUS_OK;
    if (level < atomic_load(&pyramid->count))
        return STATUS_OK;
    pthread_mutex_lock(&images->reducing);
    if (level >= atomic_load(&pyramid->count)) {
        struct image levels[VIEW_MAX_LEVELS] = {{0}};
        int count = 0;
        status = view_pyramid(&pyramid->levels[0], levels, &count, err);
        if (status == STATUS_OK) {
            for (int k = 1; k < count; k++)
                pyramid->levels[k] = levels[k];
            atomic_store(&pyramid->count, count);
        }
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
    float *out;
};

/* The image's pyramid with the level that the view samples. */
static enum status take_picture(struct device_images *images, uint32_t image, const struct view *view,
                                struct view_picture *picture, struct error *err)
{
    struct pyramid *pyramid = &images->pyramids[image];
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
    struct view_picture own, partner = {0};
    enum status status = STATUS_OK;
    TRY(take_picture(images, views->samples[at], &views->views[at], &own, err));
    if (mix->kind != VIEW_MIX_NONE)
        TRY(take_picture(images, views->partners[at], &views->partner_views[at], &partner, err));
    view_render_mixed(mix, &own, &partner, job->size, job->table, images->scratch + (size_t)worker * 2 * values,
                      job->out + (size_t)index * values);
cleanup:
    return status;
}

static bool is_loaded(const struct device_images *images, uint32_t image)
{
    return image < images->count && atomic_load(&images->pyramids[image].count) > 0;
}

static enum status check_loaded(const struct device_images *images, const struct epoch_views *views, size_t first,
                                int count, struct error *err)
{
    for (size_t at = first; at < first + (size_t)count; at++) {
        if (!is_loaded(images, views->samples[at]))
            return error_set(err, STATUS_INTERNAL, NULL, "image %u was never loaded", views->samples[at]);
        if (views->mixes && views->mixes[at].kind != VIEW_MIX_NONE && !is_loaded(images, views->partners[at]))
            return error_set(err, STATUS_INTERNAL, NULL, "image %u was never loaded", views->partners[at]);
    }
    return STATUS_OK;
}

static enum status render(struct device *device, struct device_images *images, const struct epoch_views *views,
                          int count, int size, float table[3][256], enum dtype dtype, void *out, struct error *err)
{
    const size_t first = (size_t)*views->cursor * (size_t)views->batch;
    struct render_job job = {
        .images = images, .views = views, .first = first, .size = size, .table = table, .out = out};
    const size_t bytes =
        2 * (size_t)thread_pool_size(device->pool) * (size_t)size * (size_t)size * (size_t)images->channels;
    enum status status = STATUS_OK;
    if (dtype != DTYPE_FP32)
        return error_set(err, STATUS_INTERNAL, NULL, "the CPU renders to fp32 only");
    TRY(check_loaded(images, views, first, count, err));
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
