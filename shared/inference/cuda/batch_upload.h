/* A batch of views on its way to the GPU: the views, the partners of mixed views, a table of their pictures, how they
 * are mixed, and the pixels, packed into one block of pinned memory and copied at once. Of each image only the level
 * that a view samples is copied, and only once if neighbouring views share it. */
#ifndef SHARED_INFERENCE_CUDA_BATCH_UPLOAD_H
#define SHARED_INFERENCE_CUDA_BATCH_UPLOAD_H

#include "shared/device/cuda/cuda_device.h"
#include "shared/device/cuda/cuda_render.h"
#include "shared/inference/engine.h"

struct batch_upload {
    struct device *device;
    int batch;
    size_t *offsets;   /* [2 * batch] of each view's pixels, then of each partner's */
    uint8_t *staged;   /* pinned host memory [capacity] */
    uint8_t *uploaded; /* device memory [capacity] */
    size_t capacity;
};

enum status batch_upload_init(struct batch_upload *upload, struct device *device, int batch, struct error *err);
void batch_upload_release(struct batch_upload *upload); /* a zeroed one is allowed */

/* Where the parts of a batch lie after the copy. Device memory. */
struct uploaded_batch {
    const struct view *views;            /* [count], relative to the uploaded level, so that view.level is 0 */
    const struct cuda_picture *pictures; /* [count], then those of the partners */
    const struct view_mix *mixes;        /* [count]; NULL: none is mixed */
    const struct view *partner_views;    /* [count], likewise */
    const float *input;                  /* [count, h, w, c], if the batch has no views */
};

/* Packs the batch and enqueues its copy on the stream. The copy before this one must be done. The batch's memory may
 * change after the call. input_floats: floats per sample. */
enum status batch_upload_send(struct batch_upload *upload, cudaStream_t stream, const struct engine_batch *batch,
                              size_t input_floats, struct uploaded_batch *arrived, struct error *err);

#endif
