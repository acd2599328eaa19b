/* Augmentation recipes: what is done to a base image to get a view (DESIGN: the augmentation contract).
 *
 * A recipe is text: transforms separated by '+' or ',' outside parentheses, in torchvision's vocabulary, or a preset's
 * name: random_resized_crop(scale=0.7:1.0, ratio=0.75:1.3333)  random_crop(padding=4)  hflip(p=0.5)  vflip(p=0.5)
 *   rotate(180)  affine(degrees=30, translate=0.1, scale=0.9:1.1, shear=10)
 *   color_jitter(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1)  erase(p=0.5, scale=0.02:0.33, ratio=0.3:3.3)
 *   mixup(alpha=0.2)  cutmix(alpha=1.0): reserved, refused for now with a message that says so.
 * Presets: none, light, food11-strong, cifar. */
#ifndef SHARED_AUGMENT_RECIPE_H
#define SHARED_AUGMENT_RECIPE_H

#include "shared/base/error.h"
#include <stdint.h>

enum {
    AUGMENT_VERSION = 1
}; /* of the algorithm from (recipe, seed, sample, view) to pixels; changes when any pixel does */

enum transform_kind {
    TRANSFORM_RANDOM_RESIZED_CROP,
    TRANSFORM_RANDOM_CROP,
    TRANSFORM_HFLIP,
    TRANSFORM_VFLIP,
    TRANSFORM_ROTATE,
    TRANSFORM_AFFINE,
    TRANSFORM_COLOR_JITTER,
    TRANSFORM_ERASE,
    TRANSFORM_KIND_COUNT
};

struct range {
    float low, high;
};

struct transform {
    enum transform_kind kind;
    float p;
    struct range scale, ratio;
    float degrees, translate_x, translate_y, shear;
    float brightness, contrast, saturation, hue;
    int padding;
};

enum { RECIPE_MAX_TRANSFORMS = 16 };

struct recipe {
    struct transform transforms[RECIPE_MAX_TRANSFORMS];
    int count;
    char text[1024]; /* canonical: presets expanded, defaults written out; equal recipes have equal text */
};

/* STATUS_USAGE for unknown names (with a suggestion), bad numbers, impossible ranges. */
enum status recipe_parse(struct recipe *recipe, const char *text, struct error *err);

/* "none, light, food11-strong, cifar" with each one's expansion, for --help. */
const char *recipe_presets(void);

#endif
