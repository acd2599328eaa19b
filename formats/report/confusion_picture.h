/* A confusion matrix as a picture, for tools that show pictures and no charts. */
#ifndef FORMATS_REPORT_CONFUSION_PICTURE_H
#define FORMATS_REPORT_CONFUSION_PICTURE_H

#include "shared/tensor/image.h"
#include <stdint.h>

/* confusion[classes, classes]: row = true class, column = predicted. A square of pixels for each cell, the darker the
 * larger its share of its row (by the square root, so that small shares are visible). *image is the caller's.
 * STATUS_INTERNAL. */
enum status confusion_picture(const uint32_t *confusion, int classes, struct image *image, struct error *err);

#endif
