/* Renders views on the GPU: the integer arithmetic of shared/augment/view.h, then the normalisation table.
 *
 * Stage one passes an array of views and one of pictures. Stage two passes epoch inputs, whose current step says which
 * views of which samples to render, so that a captured step needs no new arguments. This header includes none of
 * CUDA's. */
#ifndef SHARED_DEVICE_CUDA_CUDA_RENDER_H
#define SHARED_DEVICE_CUDA_CUDA_RENDER_H

#include "shared/augment/view.h"
#include "shared/base/host_device.h"
#include "shared/tensor/dtype.h"
#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/* An image with its reduced levels, packed: level after level, each [h, w, channels] as in shared/augment's pyramid,
 * each beginning at a multiple of PICTURE_ALIGNMENT bytes. */
enum { PICTURE_ALIGNMENT = 16 };
struct cuda_picture {
    const uint8_t *pixels; /* device memory, aligned to PICTURE_ALIGNMENT */
    int32_t h, w;          /* of level 0 */
};

/* Bytes of a level in a packed pyramid. */
static inline HOST_DEVICE size_t cuda_level_bytes(int h, int w, int channels)
{
    return ((size_t)h * (size_t)w * (size_t)channels + PICTURE_ALIGNMENT - 1) / PICTURE_ALIGNMENT * PICTURE_ALIGNMENT;
}

/* Bytes of a packed pyramid of `levels` levels (view_level_count for all; 1 for the base alone). */
size_t cuda_picture_bytes(int h, int w, int channels, int levels);
/* Packs levels[count] into out (host memory). Gaps are zeroed. */
void cuda_picture_pack(const struct image *levels, int count, uint8_t *out);

/* Images that are fetched step by step: those of step s lie in places [s % CUDA_NEAR_STEPS], first the batch's and
 * then, if views are mixed, their partners'. */
enum { CUDA_NEAR_STEPS = 3 };
struct cuda_near {
    const uint8_t *pixels; /* [CUDA_NEAR_STEPS][places][stride] */
    size_t stride;         /* bytes */
    uint32_t places;
};

/* Device memory that rendering works with; what is in it lasts for a call. */
struct cuda_render_scratch {
    float table[3][256];              /* [channels][256] */
    int32_t means[][VIEW_MAX_COLORS]; /* of each view, before each contrast */
};
static inline size_t cuda_render_scratch_bytes(size_t views)
{
    return sizeof(struct cuda_render_scratch) + views * VIEW_MAX_COLORS * sizeof(int32_t);
}

struct cuda_render_job {
    int count, size;          /* number of views, and their side in pixels */
    int channels;             /* 1 or 3, of the images */
    int out_channels;         /* >= channels; channels beyond those are written as 0 */
    enum dtype dtype;         /* of out */
    void *out;                /* device memory [count, size, size, out_channels], aligned to 16 bytes */
    const struct view *views; /* device memory [count], or the epoch inputs' */
    const struct cuda_picture *
        pictures; /* device memory: of view i, or of the epoch inputs' samples. pixels NULL: it is in the ring `near` */
    struct cuda_render_scratch *scratch; /* device memory, for count views, 2 * count if they are mixed */
    /* Mixed views: of view i, or of the epoch inputs' slots, as views; NULL: none is mixed. The partners' pictures
     * follow those of the views, pictures[2 * count], or the epoch inputs' partners say which they are. */
    const struct view_mix *mixes;
    const struct view *partner_views;
    /* The current step of the epoch inputs; all NULL or 0 in stage one. */
    const uint32_t *cursor;  /* device memory [1]: views and samples begin at slot *cursor * batch */
    const uint32_t *samples; /* device memory: which pictures */
    const uint32_t *partners;
    int batch;
    const struct cuda_near *near; /* device memory [1] */
    bool mirrored;                /* the finished views are mirrored left to right */
    bool bgr;                     /* of three channels, the last is written first */
};

/* Enqueues the rendering on a cudaStream_t: two launches, no allocation. table: [channels][256] in host memory, copied
 * before the call returns. */
enum status cuda_render_views(void *stream, const struct cuda_render_job *job, float (*table)[256], struct error *err);

#ifdef __cplusplus
}
#endif
#endif
