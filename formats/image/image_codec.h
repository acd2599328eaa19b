/* A decoder: of a format in the program, or exported as `softcache_codec` by softcache_webp.so and softcache_tiff.so,
 * which link the big libraries. */
#ifndef FORMATS_IMAGE_IMAGE_CODEC_H
#define FORMATS_IMAGE_IMAGE_CODEC_H

#include "formats/image/image_file.h"

struct image_codec {
    /* Fills *info, whose format is set and whose orientation is 1; the size has been checked (image_check_size). */
    enum status (*inspect)(const uint8_t *bytes, size_t size, const char *path, struct image_info *info,
                           struct error *err);
    /* Decodes into *image (zeroed before). salvage: of a truncated or damaged file, what can be decoded. After an error
     * *image may hold memory. */
    enum status (*decode)(const uint8_t *bytes, size_t size, bool salvage, const char *path, struct image *image,
                          struct error *err);
};

extern const struct image_codec image_codec_jpeg, image_codec_png, image_codec_bmp, image_codec_gif;

#endif
