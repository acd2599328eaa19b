/* An 8-bit RGB image: rows of [w] pixels of 3 bytes, no padding. */
#ifndef SHARED_TENSOR_IMAGE_H
#define SHARED_TENSOR_IMAGE_H

#include "shared/base/error.h"
#include <stdint.h>

struct image {
    uint8_t *pixels; /* [h, w, channels], malloc'ed, owned */
    int h, w;
    int channels; /* 3, or 1 for grayscale data sets (MNIST) whose teacher takes one channel */
};

/* Larger images and longer, thinner ones are refused. */
enum { IMAGE_MAX_SIDE = 65500, IMAGE_MAX_ASPECT = 100 };

/* STATUS_INTERNAL when out of memory. */
enum status image_init(struct image *image, int h, int w, int channels, struct error *err);
void image_release(struct image *image); /* zeroes it; a zeroed image is allowed */

#endif
