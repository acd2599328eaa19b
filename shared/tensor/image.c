#include "shared/tensor/image.h"

#include "shared/base/memory.h"
#include <stdlib.h>

enum status image_init(struct image *image, int h, int w, int channels, struct error *err)
{
    size_t bytes = size_mul(size_mul((size_t)h, (size_t)w), (size_t)channels);
    *image = (struct image){.pixels = malloc(bytes ? bytes : 1), .h = h, .w = w, .channels = channels};
    if (!image->pixels)
        return error_no_memory(err, bytes, "an image");
    return STATUS_OK;
}

void image_release(struct image *image)
{
    free(image->pixels);
    *image = (struct image){0};
}
