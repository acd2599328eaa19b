/* Decides which images live on the GPU, and moves them there. */
#include "shared/device/cuda/cuda_images.h"

#include "shared/base/memory.h"
#include <stdlib.h>
#include <string.h>

enum { SLAB_BYTES = 256 << 20, RESERVE_SHARE = 8, RESERVE_MOST = 1 << 30 };

/* An image, to be sorted by size. */
struct candidate {
    size_t bytes;
    uint32_t image;
};

static int larger_first(const void *left, const void *right)
{
    const struct candidate *a = left, *b = right;
    if (a->bytes != b->bytes)
        return a->bytes > b->bytes ? -1 : 1;
    return a->image < b->image ? -1 : 1;
}

/* How much of the `left` bytes this set may take: some must remain for later allocations, and room for the ring of
 * another set, such as the validation images. Its own ring comes first. */
static size_t budget_of(size_t left, size_t ring)
{
    const size_t share = left / RESERVE_SHARE < RESERVE_MOST ? left / RESERVE_SHARE : RESERVE_MOST;
    if (left < ring)
        return left;
    return ring + share < left - ring ? left - ring - share : ring;
}

/* How many of the largest images to keep on the GPU: as many as leave room for the ring, whose width is the largest of
 * the others. *bytes gets their size. 0 also if not even the ring fits: allocating the ring then reports it. */
static uint32_t choose_resident(const struct candidate *order, uint32_t count, size_t budget, int places, size_t *bytes)
{
    uint32_t best = 0;
    size_t sum = 0;
    *bytes = 0;
    for (uint32_t k = 0; k <= count; k++) {
        const size_t ring = k < count ? CUDA_NEAR_STEPS * (size_t)places * order[k].bytes : 0;
        if (sum > budget)
            break;
        if (ring <= budget - sum) {
            best = k;
            *bytes = sum;
        }
        sum += k < count ? order[k].bytes : 0;
    }
    return best;
}

/* Moves the chosen images to one block of device memory, and notes where they are. */
static enum status move_to_gpu(struct device *device, struct device_images *images, const struct candidate *order,
                               size_t bytes, struct cuda_picture *pictures, struct error *err)
{
    enum status status = STATUS_OK;
    uint8_t *at;
    TRY(cuda_memory_new(device, bytes, "images", &images->resident, err));
    at = images->resident;
    for (uint32_t i = 0; i < images->resident_count; i++) {
        struct packed_image *packed = &images->packed[order[i].image];
        TRY(cuda_upload(device, at, packed->pixels, packed->bytes, err));
        pictures[order[i].image].pixels = packed->bytes ? at : NULL;
        at += packed->bytes;
        free(packed->pixels);
        packed->pixels = NULL;
    }
cleanup:
    return status;
}

static enum status new_slab(struct device_images *images, size_t bytes, uint8_t **slab, struct error *err)
{
    enum status status = STATUS_OK;
    void *memory;
    TRY(array_grow(&images->slabs, sizeof *images->slabs, (size_t)images->slab_count, &images->slab_capacity, "images",
                   err));
    TRY(cuda_pinned_new(bytes, "images", &memory, err));
    images->slabs[images->slab_count++] = *slab = memory;
cleanup:
    return status;
}

/* Moves the others to page-locked memory. `moved` counts them: images that are not moved yet stay malloc'ed. */
static enum status move_to_slabs(struct device_images *images, const struct candidate *order, uint32_t *moved,
                                 struct error *err)
{
    enum status status = STATUS_OK;
    uint8_t *at = NULL;
    size_t left = 0;
    for (; *moved < images->count; (*moved)++) {
        struct packed_image *packed = &images->packed[order[*moved].image];
        if (packed->bytes > left) {
            left = packed->bytes > SLAB_BYTES ? packed->bytes : SLAB_BYTES;
            size_t rest = 0;
            for (uint32_t i = *moved; i < images->count && rest < left; i++)
                rest += images->packed[order[i].image].bytes;
            left = rest < left ? rest : left;
            TRY(new_slab(images, left, &at, err));
        }
        if (packed->bytes == 0)
            continue;
        memcpy(at, packed->pixels, packed->bytes);
        free(packed->pixels);
        packed->pixels = at;
        at += packed->bytes;
        left -= packed->bytes;
    }
cleanup:
    return status;
}

enum status cuda_images_place(struct device *device, struct device_images *images, int places, struct error *err)
{
    enum status status = STATUS_OK;
    const size_t count = images->count ? images->count : 1;
    struct candidate *order = calloc(count, sizeof *order);
    struct cuda_picture *pictures = calloc(count, sizeof *pictures);
    size_t left, bytes;
    uint32_t moved = images->count;
    if (!order || !pictures)
        FAIL(error_no_memory(err, count * (sizeof *order + sizeof *pictures), "images"));
    for (uint32_t i = 0; i < images->count; i++) {
        order[i] = (struct candidate){images->packed[i].bytes, i};
        pictures[i] = (struct cuda_picture){.h = images->packed[i].h, .w = images->packed[i].w};
    }
    qsort(order, images->count, sizeof *order, larger_first);
    TRY(cuda_memory_new(device, count * sizeof *pictures, "the list of images", (void **)&images->pictures, err));
    TRY(cuda_memory_new(device, sizeof *images->near_shared, "the list of images", (void **)&images->near_shared, err));
    TRY(cuda_memory_left(device, &left, err));
    left = budget_of(left, CUDA_NEAR_STEPS * (size_t)places * order[0].bytes);
    images->resident_count = choose_resident(order, images->count, left, places, &bytes);
    TRY(move_to_gpu(device, images, order, bytes, pictures, err));
    TRY(cuda_upload(device, images->pictures, pictures, images->count * sizeof *pictures, err));
    images->placed = true; /* from here on, no image on the GPU has host memory of its own */
    moved = images->resident_count;
    if (moved < images->count)
        images->near.stride = order[moved].bytes;
    TRY(move_to_slabs(images, order, &moved, err));
    TRY(cuda_images_ring(device, images, places, err));
cleanup:
    for (; order && images->placed && moved < images->count; moved++) {
        free(images->packed[order[moved].image].pixels);
        images->packed[order[moved].image].pixels = NULL;
    }
    free(order);
    free(pictures);
    return status;
}

enum status cuda_images_ring(struct device *device, struct device_images *images, int places, struct error *err)
{
    enum status status = STATUS_OK;
    void *pixels;
    if (images->near.stride == 0 || (uint32_t)places <= images->near.places)
        return STATUS_OK;
    TRY(cuda_check(cudaStreamSynchronize(device->stream), "waiting for the GPU", err));
    cuda_memory_free(device, (void *)(uintptr_t)images->near.pixels);
    images->near.pixels = NULL;
    images->near.places = 0;
    TRY(cuda_memory_new(device, CUDA_NEAR_STEPS * (size_t)places * images->near.stride,
                        "the images of three batches (the others are in host memory)", &pixels, err));
    images->near.pixels = pixels;
    images->near.places = (uint32_t)places;
    TRY(cuda_upload(device, images->near_shared, &images->near, sizeof images->near, err));
cleanup:
    return status;
}
