/* Class-dependent synthetic photos: what benchmarks and checks use where no photographs are at hand. Integer arithmetic
 * after a handful of exact steps, so the same pixels everywhere.
 *
 * A class is three cues that survive flips, rotations and moderate crops: a hue, the width of stripes, the kind of the
 * scattered shapes. Class c has hue c % H, width (c / H) % 2 and shape (c / H / 2) % 4, with H = 3 hues up to 24
 * classes and as many as are needed above, so no single cue is enough, and neighbouring hues touch. Everything else is
 * drawn per photo: angle and phase of the stripes, place, size and colour of the shapes, a gradient of light, contrast,
 * noise. */
#ifndef TESTS_HELPER_SYNTHETIC_H
#define TESTS_HELPER_SYNTHETIC_H

#include "shared/tensor/image.h"

/* Fills image (h, w, 3 channels, from image_init) with photo `number` of class `label` of `classes`. */
void synthetic_paint(struct image *image, int label, int classes, uint64_t seed, uint32_t number);

#endif
