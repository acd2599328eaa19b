/* JPEG decoding by libjpeg-turbo, with PIL's colour conversions, so that pixels equal Image.open(f).convert('RGB') bit
 * for bit: grayscale is replicated, CMYK and YCCK (also Adobe's inverted ones) converted as PIL's convert('RGB') does.
 *
 * Always decoded at full size: libjpeg's DCT-scaled decoding gives other pixels than decoding and resizing, so it
 * cannot be used for base images. */
#ifndef FORMATS_IMAGE_JPEG_H
#define FORMATS_IMAGE_JPEG_H

#include "shared/tensor/image.h"
#include <stddef.h>

enum { JPEG_MAX_PIXELS = 1 << 28, JPEG_MAX_SCANS = 100 };

struct jpeg_info {
    int h, w;
    int components;  /* 1, 3 or 4 */
    int orientation; /* EXIF orientation 1..8, 1 if there is none; never applied, only counted */
};

/* Reads headers only. STATUS_BAD_DATA with the reason. `path` is for messages only. */
enum status jpeg_inspect(const uint8_t *bytes, size_t size, const char *path, struct jpeg_info *info,
                         struct error *err);

/* Decodes into *image (owned by the caller, 3 channels). STATUS_BAD_DATA names the reason and the byte for:
 * - a truncated file, which PIL refuses, too;
 * - damaged pixel data (bad codes, missing restart markers), about which libjpeg and PIL only warn; warnings about
 *   headers and stray bytes between markers are accepted, since the pixels are right;
 * - more than JPEG_MAX_SCANS scans or JPEG_MAX_PIXELS pixels, or more pixels than so few bytes can hold. */
enum status jpeg_decode(const uint8_t *bytes, size_t size, const char *path, struct image *image, struct error *err);

/* Encodes an image of 1 or 3 channels (tests, synthetic sets). *bytes is malloc'ed, the caller frees it. quality
 * 1..100. */
enum status jpeg_encode(const struct image *image, int quality, uint8_t **bytes, size_t *size, struct error *err);

#endif
