#include "shared/inference/cuda/batch_upload.h"

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
    upload->offsets = calloc(2 * (size_t)batch, sizeof *upload->offsets);
    return upload->offsets ? STATUS_OK : error_no_memory(err, 2 * (size_t)batch * sizeof *upload->offsets, "a batch");
}

void batch_upload_release(struct batch_upload *upload)
{
    free(upload->offsets);
    cuda_pinned_free(upload->staged);
    if (upload->device)
        cuda_memory_free(upload->device, upload->uploaded);
    *upload = (struct batch_upload){0};
}

/* Makes room for `bytes` and some more, because the next batch may have larger images. */
static enum status ensure_capacity(struct batch_upload *upload, size_t bytes, struct error *err)
{
    enum status status = STATUS_OK;
    void *staged = NULL, *uploaded = NULL;
    if (bytes <= upload->capacity)
        return STATUS_OK;
    cuda_pinned_free(upload->staged);
    cuda_memory_free(upload->device, upload->uploaded);
    upload->staged = upload->uploaded = NULL;
    upload->capacity = 0;
    bytes += bytes / 4;
    TRY(cuda_pinned_new(bytes, "a batch of images", &staged, err));
    upload->staged = staged;
    TRY(cuda_memory_new(upload->device, bytes, "a batch of images", &uploaded, err));
    upload->uploaded = uploaded;
    upload->capacity = bytes;
cleanup:
    return status;
}

/* The view and pyramid of picture i of the batch; from batch->count on, those of the partners. NULL: a partner that is
 * not used. */
static const struct view *view_of(const struct engine_batch *batch, int i, const struct image **levels)
{
    const int k = i - batch->count;
    if (k < 0) {
        *levels = batch->levels[i];
        return &batch->views[i];
    }
    *levels = batch->partner_levels[k];
    return batch->mixes[k].kind == VIEW_MIX_NONE ? NULL : &batch->partner_views[k];
}

static int count_pictures(const struct engine_batch *batch)
{
    return batch->mixes ? 2 * batch->count : batch->count;
}

/* Gives the views' pixels their offsets, from `begin` on; returns where they end. */
static size_t place_levels(const struct batch_upload *upload, const struct engine_batch *batch, size_t begin)
{
    const struct image *before = NULL, *levels;
    size_t end = begin, places[VIEW_MAX_LEVELS];
    for (int i = 0; i < count_pictures(batch); i++) {
        const struct view *view = view_of(batch, i, &levels);
        upload->offsets[i] = NOWHERE;
        if (!view)
            continue;
        for (int k = 0; k < VIEW_MAX_LEVELS && levels != before; k++)
            places[k] = NOWHERE;
        before = levels;
        if (places[view->level] == NOWHERE) {
            const struct image *level = &levels[view->level];
            places[view->level] = end;
            end += cuda_picture_bytes(level->h, level->w, level->channels, 1);
        }
        upload->offsets[i] = places[view->level];
    }
    return end;
}

/* Where the parts begin in the block. */
struct layout {
    size_t pictures, mixes, pixels; /* views are at 0 */
};

static struct layout lay_out(const struct engine_batch *batch)
{
    const size_t all = (size_t)count_pictures(batch);
    const size_t pictures = aligned(all * sizeof(struct view));
    const size_t mixes = pictures + aligned(all * sizeof(struct cuda_picture));
    const size_t mix_bytes = batch->mixes ? aligned((size_t)batch->count * sizeof(struct view_mix)) : 0;
    return (struct layout){pictures, mixes, mixes + mix_bytes};
}

static void pack_views(const struct batch_upload *upload, const struct engine_batch *batch, const struct layout *layout)
{
    struct view *views = (struct view *)(void *)upload->staged;
    struct cuda_picture *table = (struct cuda_picture *)(void *)(upload->staged + layout->pictures);
    size_t end = layout->pixels;
    for (int i = 0; i < count_pictures(batch); i++) {
        const struct image *levels;
        const struct view *view = view_of(batch, i, &levels);
        const size_t offset = upload->offsets[i];
        if (!view)
            continue;
        const struct image *image = &levels[view->level];
        views[i] = *view;
        views[i].level = 0;
        table[i] = (struct cuda_picture){upload->uploaded + offset, image->h, image->w};
        if (offset == end) { /* the first view of this picture */
            cuda_picture_pack(image, 1, upload->staged + offset);
            end += cuda_picture_bytes(image->h, image->w, image->channels, 1);
        }
    }
    if (batch->mixes)
        memcpy(upload->staged + layout->mixes, batch->mixes, (size_t)batch->count * sizeof *batch->mixes);
}

static struct uploaded_batch where_it_arrives(const struct batch_upload *upload, const struct engine_batch *batch,
                                              const struct layout *layout)
{
    const uint8_t *block = upload->uploaded;
    struct uploaded_batch arrived = {
        .views = (const struct view *)(const void *)block,
        .pictures = (const struct cuda_picture *)(const void *)(block + layout->pictures),
    };
    if (batch->mixes) {
        arrived.mixes = (const struct view_mix *)(const void *)(block + layout->mixes);
        arrived.partner_views = arrived.views + batch->count;
    }
    return arrived;
}

enum status batch_upload_send(struct batch_upload *upload, cudaStream_t stream, const struct engine_batch *batch,
                              size_t input_floats, struct uploaded_batch *arrived, struct error *err)
{
    enum status status = STATUS_OK;
    const struct layout layout = lay_out(batch);
    const size_t bytes =
        batch->input ? (size_t)batch->count * input_floats * sizeof(float) : place_levels(upload, batch, layout.pixels);
    *arrived = (struct uploaded_batch){0};
    TRY(ensure_capacity(upload, bytes, err));
    if (batch->input) {
        memcpy(upload->staged, batch->input, bytes);
        arrived->input = (const float *)(const void *)upload->uploaded;
    } else {
        pack_views(upload, batch, &layout);
        *arrived = where_it_arrives(upload, batch, &layout);
    }
    TRY(cuda_check(cudaMemcpyAsync(upload->uploaded, upload->staged, bytes, cudaMemcpyHostToDevice, stream),
                   "uploading images", err));
cleanup:
    return status;
}
