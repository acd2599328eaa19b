/* Class-dependent synthetic photos, for benchmarks and checks without photographs. Integer arithmetic after a few exact
 * steps, so the pixels are the same everywhere.
 *
 * A class has three cues that survive flips, rotations and moderate crops: a hue, the width of the stripes, the kind of
 * the scattered shapes. Class c has hue c % H, width (c / H) % 2 and shape (c / H / 2) % 4, with H = 3 hues for up to
 * 24 classes and as many as needed for more. So no single cue is enough, and neighbouring hues touch. Everything else
 * is random per photo: angle and phase of the stripes; place, size and colour of the shapes; a gradient of light;
 * contrast; noise. */
#ifndef TESTS_HELPER_SYNTHETIC_H
#define TESTS_HELPER_SYNTHETIC_H

#include "shared/tensor/image.h"

/* Fills image (h, w, 3 channels, from image_init) with photo `number` of class `label` of `classes`. */
void synthetic_paint(struct image *image, int label, int classes, uint64_t seed, uint32_t number);

#endif
