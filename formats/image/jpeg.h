/* JPEG by libjpeg-turbo. It is decoded as image_file.h says; refused are
 * - a truncated file, which Pillow refuses, too;
 * - damaged pixel data (bad codes, missing restart markers), about which libjpeg and Pillow only warn; warnings about
 *   headers and stray bytes between markers are accepted, since the pixels are right;
 * - more than JPEG_MAX_SCANS scans, or a size that image_check_size refuses;
 * - scans of so many pixels that a small file would take long: JPEG_SCAN_PIXELS and JPEG_SCAN_PIXELS_A_BYTE.
 *
 * Always decoded at full size: libjpeg's DCT-scaled decoding gives other pixels than decoding and resizing, so it
 * cannot be used for base images. */
#ifndef FORMATS_IMAGE_JPEG_H
#define FORMATS_IMAGE_JPEG_H

#include "formats/image/image_file.h"

/* A scan passes over the whole picture, also if it holds a few bytes. Scans x pixels may be the first number (10 scans
 * of 26 megapixels) and the second one for each byte of the file: what a photo has is far below that. */
enum { JPEG_MAX_SCANS = 100, JPEG_SCAN_PIXELS = 1 << 28, JPEG_SCAN_PIXELS_A_BYTE = 500 };

/* Encodes an image of 1 or 3 channels (tests, synthetic sets). *bytes is malloc'ed, the caller frees it. quality
 * 1..100. */
enum status jpeg_encode(const struct image *image, int quality, uint8_t **bytes, size_t *size, struct error *err);

#endif
