/* Base images of a data set where the GPU wants them. They are collected in host memory; when the first batch is asked
 * for, and so all else has its memory, as many as fit go to the GPU for good, the largest first, and the others to
 * page-locked host memory, from where each step's are copied to a ring of batches while the steps before compute. */
#ifndef SHARED_DEVICE_CUDA_CUDA_IMAGES_H
#define SHARED_DEVICE_CUDA_CUDA_IMAGES_H

#include "shared/device/cuda/cuda_device.h"
#include "shared/device/cuda/cuda_render.h"

enum { MEANS_BLOCKS = 20 };
struct device_images {
    uint32_t count;
    int channels;
    struct packed_image {
        uint8_t *pixels; /* a packed pyramid (cuda_render.h): malloc'ed until the images are placed; then page-locked
                            memory, or NULL where the GPU has it */
        int32_t h, w;    /* of the base; 0: never put */
        size_t bytes;
    } * packed; /* [count] host memory */
    bool placed;
    struct cuda_picture *pictures; /* device memory [count]; pixels NULL: not on the GPU for good */
    void *resident;                /* device memory: the pyramids of those that are */
    uint32_t resident_count;
    void **slabs; /* [slab_count] page-locked memory */
    int slab_count;
    size_t slab_capacity;
    struct cuda_near near;         /* the ring; pixels NULL: none */
    struct cuda_near *near_shared; /* device memory [1]: the same for kernels, so that graph captures see it grow */
    cudaEvent_t arrived[CUDA_NEAR_STEPS], left[CUDA_NEAR_STEPS]; /* copies into a place; the step that used it */
    int latest;                                                  /* place of the latest step, -1: none */
    int32_t *means
        [MEANS_BLOCKS]; /* device memory [capacity, VIEW_MAX_COLORS], the latest last: graph captures keep the others */
    int means_count, capacity;
};

/* image_place.c: places the images. places: of the ring: the most images that a step will ask for. */
enum status cuda_images_place(struct device *device, struct device_images *images, int places, struct error *err);
/* Makes the ring wide enough; waits for the GPU. Nothing is done where no image needs the ring. */
enum status cuda_images_ring(struct device *device, struct device_images *images, int places, struct error *err);

#endif
