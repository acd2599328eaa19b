/* Loops over rows of views with 3 channels, as vectors of every x86-64 processor can do them. For view_render.c alone,
 * which has the general forms; both make the same bytes. */
#ifndef SHARED_AUGMENT_VIEW_ROWS_H
#define SHARED_AUGMENT_VIEW_ROWS_H

#include "shared/tensor/image.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The samples at (sx + step * i, sy) of a level, 16.16 as in view.h: pixels[count, 3], count > 0. All their taps lie
 * inside the level. Crops and flips are such views: they move along a row of the level. false: nothing was written,
 * since the step is too long or the processor has other vectors. */
bool view_rows_upright(const struct image *level, int64_t step, int64_t sx, int64_t sy, int count, uint8_t *pixels);

/* The samples at (sx + step[0] * i, sy + step[1] * i), otherwise as above. */
bool view_rows_slanted(const struct image *level, const int64_t step[2], int64_t sx, int64_t sy, int count,
                       uint8_t *pixels);

/* VIEW_FINE: pixels[count, 3] are the means of 2 x 2 samples of upper and lower[2 * count, 3]. false as above. */
bool view_rows_halve(const uint8_t *upper, const uint8_t *lower, size_t count, uint8_t *pixels);

#endif
