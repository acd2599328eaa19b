/* JPEG by libjpeg-turbo. It is decoded as image_file.h says; refused are
 * - a truncated file, which Pillow refuses, too;
 * - damaged pixel data (bad codes, missing restart markers), about which libjpeg and Pillow only warn; warnings about
 *   headers and stray bytes between markers are accepted, since the pixels are right;
 * - more than JPEG_MAX_SCANS scans, or a size that image_check_size refuses.
 *
 * Always decoded at full size: libjpeg's DCT-scaled decoding gives other pixels than decoding and resizing, so it
 * cannot be used for base images. */
#ifndef FORMATS_IMAGE_JPEG_H
#define FORMATS_IMAGE_JPEG_H

#include "formats/image/image_file.h"

enum { JPEG_MAX_SCANS = 100 };

/* Encodes an image of 1 or 3 channels (tests, synthetic sets). *bytes is malloc'ed, the caller frees it. quality
 * 1..100. */
enum status jpeg_encode(const struct image *image, int quality, uint8_t **bytes, size_t *size, struct error *err);

#endif
