/* JPEG decoding by libjpeg-turbo, with PIL's colour conversions, so that pixels equal Image.open(f).convert('RGB') bit
 * for bit: grayscale is replicated, CMYK and YCCK (also Adobe's inverted ones) converted as PIL's convert('RGB') does.
 */
#ifndef FORMATS_JPEG_H
#define FORMATS_JPEG_H

#include "shared/tensor/image.h"
#include <stddef.h>

struct jpeg_info {
    int h, w;
    int components;  /* 1, 3 or 4 */
    int orientation; /* EXIF orientation 1..8, 1 where there is none; never applied, only counted */
};

/* Reads headers only. STATUS_BAD_DATA with the reason. */
enum status jpeg_inspect(const uint8_t *bytes, size_t size, const char *path, struct jpeg_info *info,
                         struct error *err);

/* Decodes into *image (owned by the caller, 3 channels). A truncated or corrupt file is STATUS_BAD_DATA (libjpeg's
 * warnings count as errors, as PIL refuses truncated files); more than 100 scans or 2^28 pixels are refused. */
enum status jpeg_decode(const uint8_t *bytes, size_t size, const char *path, struct image *image, struct error *err);

/* Encodes (tests, synthetic sets). *bytes is malloc'ed, the caller's. quality 1..100. */
enum status jpeg_encode(const struct image *image, int quality, uint8_t **bytes, size_t *size, struct error *err);

#endif
