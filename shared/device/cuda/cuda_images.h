/* Base images of a data set, stored where the GPU needs them. They are collected in host memory. When the first batch
 * is requested, everything else has its memory already. Then as many images as fit go to the GPU for good, the largest
 * first; the others go to page-locked host memory, from which the images of each step are copied to a ring of batches
 * while earlier steps compute. */
#ifndef SHARED_DEVICE_CUDA_CUDA_IMAGES_H
#define SHARED_DEVICE_CUDA_CUDA_IMAGES_H

#include "shared/device/cuda/cuda_device.h"
#include "shared/device/cuda/cuda_render.h"

enum { SCRATCH_BLOCKS = 20 };
struct device_images {
    uint32_t count;
    int channels;
    struct packed_image {
        uint8_t *pixels; /* a packed pyramid (cuda_render.h): malloc'ed until the images are placed; then page-locked
                          * memory, or NULL if it is on the GPU */
        int32_t h, w;    /* of the base; 0: never put */
        size_t bytes;
    } * packed; /* [count] host memory */
    bool placed;
    struct cuda_picture *pictures; /* device memory [count]; pixels NULL: not on the GPU for good */
    void *resident;                /* device memory: the pyramids of those that are on the GPU for good */
    uint32_t resident_count;
    void **slabs; /* [slab_count] page-locked memory */
    int slab_count;
    size_t slab_capacity;
    struct cuda_near near;         /* the ring; pixels NULL: none */
    struct cuda_near *near_shared; /* device memory [1]: the same for kernels, so that graph captures see it grow */
    cudaEvent_t arrived[CUDA_NEAR_STEPS], left[CUDA_NEAR_STEPS]; /* arrived: the copies into a place of the ring; left:
                                                                  * the step that used it */
    int latest;                                                  /* place of the latest step, -1: none */
    struct cuda_render_scratch *scratch[SCRATCH_BLOCKS]; /* device memory, for `capacity` views; the latest block is the
                                                          * last, graph captures still use the others */
    int scratch_count, capacity;
};

/* image_place.c: decides where the images live. places: of the ring, the most images that a step will request. */
enum status cuda_images_place(struct device *device, struct device_images *images, int places, struct error *err);
/* Makes the ring wide enough; waits for the GPU. Does nothing if no image needs the ring. */
enum status cuda_images_ring(struct device *device, struct device_images *images, int places, struct error *err);

#endif
