#include "shared/device/cuda/cuda_images.h"

#include "shared/base/memory.h"
#include <stdlib.h>

static void images_free(struct device *device, struct device_images *images)
{
    if (!images)
        return;
    cudaStreamSynchronize(device->copy_stream);
    cudaStreamSynchronize(device->stream);
    for (uint32_t i = 0; !images->placed && i < images->count; i++)
        free(images->packed[i].pixels);
    for (int i = 0; i < images->slab_count; i++)
        cuda_pinned_free(images->slabs[i]);
    for (int i = 0; i < CUDA_NEAR_STEPS; i++) {
        if (images->arrived[i])
            cudaEventDestroy(images->arrived[i]);
        if (images->left[i])
            cudaEventDestroy(images->left[i]);
    }
    cuda_memory_free(device, images->pictures);
    cuda_memory_free(device, images->resident);
    cuda_memory_free(device, (void *)(uintptr_t)images->near.pixels);
    cuda_memory_free(device, images->near_shared);
    for (int i = 0; i < images->scratch_count; i++)
        cuda_memory_free(device, images->scratch[i]);
    free(images->slabs);
    free(images->packed);
    free(images);
}

static enum status images_new(struct device *device, uint32_t count, int channels, struct scratch_file *file,
                              struct device_images **out, struct error *err)
{
    enum status status = STATUS_OK;
    struct device_images *images = calloc(1, sizeof *images);
    (void)file;
    *out = NULL;
    if (images)
        images->packed = calloc(count ? count : 1, sizeof *images->packed);
    if (!images || !images->packed) {
        free(images);
        return error_no_memory(err, size_mul(count, sizeof *images->packed), "the list of images");
    }
    images->count = count;
    images->channels = channels;
    images->latest = -1;
    for (int i = 0; i < CUDA_NEAR_STEPS; i++) {
        TRY(cuda_check(cudaEventCreateWithFlags(&images->arrived[i], cudaEventDisableTiming), "creating an event",
                       err));
        TRY(cuda_check(cudaEventCreateWithFlags(&images->left[i], cudaEventDisableTiming), "creating an event", err));
    }
    *out = images;
    images = NULL;
cleanup:
    images_free(device, images);
    return status;
}

/* Only packs, and requests nothing of the GPU: several threads at once may put images. */
static enum status images_put(struct device *device, struct device_images *images, uint32_t i, struct image *base,
                              int least_level, struct error *err)
{
    enum status status = STATUS_OK;
    struct image levels[VIEW_MAX_LEVELS] = {{0}};
    int count = 0;
    (void)device, (void)least_level; /* kernels find a level by its place behind all lower ones */
    if (i >= images->count || base->channels != images->channels || images->placed || images->packed[i].pixels)
        return error_set(err, STATUS_INTERNAL, NULL, "image %u with %d channels does not belong to %u images with %d",
                         i, base->channels, images->count, images->channels);
    struct packed_image *packed = &images->packed[i];
    TRY(view_pyramid(base, levels, &count, err));
    packed->bytes = cuda_picture_bytes(base->h, base->w, base->channels, count);
    packed->pixels = malloc(packed->bytes);
    if (!packed->pixels)
        FAIL(error_no_memory(err, packed->bytes, "an image"));
    cuda_picture_pack(levels, count, packed->pixels);
    packed->h = base->h;
    packed->w = base->w;
    image_release(base);
cleanup:
    view_pyramid_release(levels, count);
    return status;
}

/* Prepares a step that renders `count` views and partners: at the first step, and when a larger one comes. */
static enum status prepare(struct device *device, struct device_images *images, int count, struct error *err)
{
    enum status status = STATUS_OK;
    if (!images->placed)
        TRY(cuda_images_place(device, images, count, err));
    TRY(cuda_images_ring(device, images, count, err));
    if (count > images->capacity) {
        const int twice = 2 * images->capacity, capacity = count > twice ? count : twice;
        void *scratch;
        if (images->scratch_count == SCRATCH_BLOCKS)
            return error_set(err, STATUS_INTERNAL, NULL, "a batch of %d pictures: the batch grew too often", count);
        TRY(cuda_memory_new(device, cuda_render_scratch_bytes((size_t)capacity), "rendering", &scratch, err));
        images->scratch[images->scratch_count++] = scratch;
        images->capacity = capacity;
    }
cleanup:
    return status;
}

/* Copies the images that are not on the GPU for good to a place of the ring. */
static enum status bring_near(const struct device *device, const struct device_images *images, const uint32_t *samples,
                              int count, uint8_t *to, struct error *err)
{
    enum status status = STATUS_OK;
    for (int i = 0; i < count; i++, to += images->near.stride) {
        const struct packed_image *packed = &images->packed[samples[i]];
        if (packed->pixels)
            TRY(cuda_check(
                cudaMemcpyAsync(to, packed->pixels, packed->bytes, cudaMemcpyHostToDevice, device->copy_stream),
                "fetching images", err));
    }
cleanup:
    return status;
}

static enum status check_loaded(const struct device_images *images, const uint32_t *samples, int count,
                                struct error *err)
{
    for (int i = 0; i < count; i++)
        if (samples[i] >= images->count || images->packed[samples[i]].h == 0)
            return error_set(err, STATUS_INTERNAL, NULL, "image %u was never loaded", samples[i]);
    return STATUS_OK;
}

/* The copies wait for the step that used the place before, and the stream waits for the copies. The host does not wait.
 */
static enum status images_prefetch(struct device *device, struct device_images *images, const uint32_t *samples,
                                   const uint32_t *partners, int count, uint32_t step, struct error *err)
{
    enum status status = STATUS_OK;
    const int place = (int)(step % CUDA_NEAR_STEPS);
    TRY(check_loaded(images, samples, count, err));
    if (partners)
        TRY(check_loaded(images, partners, count, err));
    TRY(prepare(device, images, partners ? 2 * count : count, err));
    if (images->resident_count == images->count)
        return STATUS_OK;
    if (images->latest >= 0)
        TRY(cuda_check(cudaEventRecord(images->left[images->latest], device->stream), "fetching images", err));
    TRY(cuda_check(cudaStreamWaitEvent(device->copy_stream, images->left[place], 0), "fetching images", err));
    uint8_t *to = (uint8_t *)(uintptr_t)images->near.pixels + (size_t)place * images->near.places * images->near.stride;
    TRY(bring_near(device, images, samples, count, to, err));
    if (partners)
        TRY(bring_near(device, images, partners, count, to + (size_t)count * images->near.stride, err));
    TRY(cuda_check(cudaEventRecord(images->arrived[place], device->copy_stream), "fetching images", err));
    TRY(cuda_check(cudaStreamWaitEvent(device->stream, images->arrived[place], 0), "fetching images", err));
    images->latest = place;
cleanup:
    return status;
}

static enum status render(struct device *device, struct device_images *images, const struct epoch_views *views,
                          int count, int size, float table[3][256], enum dtype dtype, void *out, struct error *err)
{
    enum status status = STATUS_OK;
    const int pictures = views->mixes ? 2 * count : count;
    if (!images->placed || pictures > images->capacity) {
        if (device->capture)
            return error_set(err, STATUS_INTERNAL, NULL,
                             "images must be prefetched before their rendering is captured");
        TRY(prepare(device, images, pictures, err));
    }
    const struct cuda_render_job job = {
        .count = count,
        .size = size,
        .channels = images->channels,
        .out_channels = images->channels,
        .dtype = dtype,
        .out = out,
        .views = views->views,
        .pictures = images->pictures,
        .scratch = images->scratch_count ? images->scratch[images->scratch_count - 1] : NULL,
        .cursor = views->cursor,
        .samples = views->samples,
        .partners = views->partners,
        .mixes = views->mixes,
        .partner_views = views->partner_views,
        .batch = views->batch,
        .near = images->near_shared,
    };
    TRY(cuda_render_views(device->stream, &job, table, err));
cleanup:
    return status;
}

const struct image_ops cuda_image_ops = {
    .create = images_new,
    .put = images_put,
    .destroy = images_free,
    .prefetch = images_prefetch,
    .render = render,
};
