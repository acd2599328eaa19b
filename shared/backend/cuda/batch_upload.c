#include "shared/backend/cuda/batch_upload.h"

#include "shared/base/memory.h"
#include <stdlib.h>
#include <string.h>

static const size_t NOWHERE = (size_t)-1;

static size_t aligned(size_t bytes)
{
    return (bytes + PICTURE_ALIGNMENT - 1) / PICTURE_ALIGNMENT * PICTURE_ALIGNMENT;
}

enum status batch_upload_init(struct batch_upload *upload, struct device *device, int batch, struct error *err)
{
    *upload = (struct batch_upload){.device = device, .batch = batch};
    upload->offsets = calloc((size_t)batch, sizeof *upload->offsets);
    return upload->offsets ? STATUS_OK : error_no_memory(err, (size_t)batch * sizeof *upload->offsets, "a batch");
}

void batch_upload_release(struct batch_upload *upload)
{
    free(upload->offsets);
    cuda_pinned_free(upload->staged);
    if (upload->device)
        cuda_memory_free(upload->device, upload->uploaded);
    *upload = (struct batch_upload){0};
}

/* Room for `bytes`, and some more, since the next batch may have larger images. */
static enum status make_room(struct batch_upload *upload, size_t bytes, struct error *err)
{
    enum status status = STATUS_OK;
    void *staged = NULL, *uploaded = NULL;
    if (bytes <= upload->room)
        return STATUS_OK;
    cuda_pinned_free(upload->staged);
    cuda_memory_free(upload->device, upload->uploaded);
    upload->staged = upload->uploaded = NULL;
    upload->room = 0;
    bytes += bytes / 4;
    TRY(cuda_pinned_new(bytes, "a batch of images", &staged, err));
    upload->staged = staged;
    TRY(cuda_memory_new(upload->device, bytes, "a batch of images", &uploaded, err));
    upload->uploaded = uploaded;
    upload->room = bytes;
cleanup:
    return status;
}

/* Offsets of the views' pixels from `begin`; returns where they end. */
static size_t place_levels(const struct batch_upload *upload, const struct inference_batch *batch, size_t begin)
{
    size_t end = begin, places[VIEW_MAX_LEVELS];
    for (int i = 0; i < batch->count; i++) {
        const struct image *levels = batch->levels[i];
        const int level = batch->views[i].level;
        for (int k = 0; k < VIEW_MAX_LEVELS && (i == 0 || levels != batch->levels[i - 1]); k++)
            places[k] = NOWHERE;
        if (places[level] == NOWHERE) {
            places[level] = end;
            end += cuda_picture_bytes(levels[level].h, levels[level].w, levels[level].channels, 1);
        }
        upload->offsets[i] = places[level];
    }
    return end;
}

static size_t pack_views(const struct batch_upload *upload, const struct inference_batch *batch, size_t pictures,
                         size_t begin)
{
    struct view *views = (struct view *)(void *)upload->staged;
    struct cuda_picture *table = (struct cuda_picture *)(void *)(upload->staged + pictures);
    size_t end = begin;
    for (int i = 0; i < batch->count; i++) {
        const struct image *image = &batch->levels[i][batch->views[i].level];
        const size_t offset = upload->offsets[i];
        views[i] = batch->views[i];
        views[i].level = 0;
        table[i] = (struct cuda_picture){upload->uploaded + offset, image->h, image->w};
        if (offset == end) { /* the first view of this picture */
            cuda_picture_pack(image, 1, upload->staged + offset);
            end += cuda_picture_bytes(image->h, image->w, image->channels, 1);
        }
    }
    return end;
}

enum status batch_upload_send(struct batch_upload *upload, cudaStream_t stream, const struct inference_batch *batch,
                              size_t input_floats, struct uploaded_batch *arrived, struct error *err)
{
    enum status status = STATUS_OK;
    const size_t count = (size_t)batch->count;
    const size_t pictures = aligned(count * sizeof(struct view));
    const size_t pixels = pictures + aligned(count * sizeof(struct cuda_picture));
    const size_t bytes = batch->input ? count * input_floats * sizeof(float) : place_levels(upload, batch, pixels);
    *arrived = (struct uploaded_batch){0};
    TRY(make_room(upload, bytes, err));
    if (batch->input) {
        memcpy(upload->staged, batch->input, bytes);
        arrived->input = (const float *)(const void *)upload->uploaded;
    } else {
        pack_views(upload, batch, pictures, pixels);
        arrived->views = (const struct view *)(const void *)upload->uploaded;
        arrived->pictures = (const struct cuda_picture *)(const void *)(upload->uploaded + pictures);
    }
    TRY(cuda_check(cudaMemcpyAsync(upload->uploaded, upload->staged, bytes, cudaMemcpyHostToDevice, stream),
                   "uploading images", err));
cleanup:
    return status;
}
