/* The orientation of a photo, as EXIF has it: a TIFF block whose first directory has the tag 0x0112. */
#ifndef FORMATS_IMAGE_EXIF_H
#define FORMATS_IMAGE_EXIF_H

#include "shared/tensor/image.h"
#include <stddef.h>

/* EXIF 2.3, 4.6.2: 1..8; 1 if the tag is absent or the block is broken. An "Exif\0\0" before the block is skipped. */
int exif_orientation(const uint8_t *block, size_t size);

/* Turns and mirrors the image so that it is upright. STATUS_INTERNAL when out of memory. */
enum status exif_turn(struct image *image, int orientation, struct error *err);

#endif
