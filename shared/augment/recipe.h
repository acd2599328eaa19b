/* Augmentation recipes: what is done to a base image to make a view of it.
 *
 * A recipe is text: transforms separated by '+' or ',' outside parentheses, in torchvision's vocabulary, or the name of
 * a preset. These are the transforms with their defaults:
 *
 *     random_resized_crop(scale=0.08:1, ratio=0.75:1.3333334)
 *     random_crop(padding=0)
 *     hflip(p=0.5)
 *     vflip(p=0.5)
 *     rotate(degrees=180)
 *     affine(degrees=0, translate=0, scale=1:1, shear=0)
 *     color_jitter(brightness=0, contrast=0, saturation=0, hue=0)
 *     erase(p=0.5, scale=0.02:0.33, ratio=0.3:3.3, value=128)
 *     mixup(alpha=0.2, p=1)
 *     cutmix(alpha=1, p=1)
 *
 * The first parameter of a transform may be given without its name: hflip(0.3), rotate(15), mixup(0.4). The presets are
 * none, light, photos, photos-mix, food11-strong and cifar.
 *
 * Transforms act in the order of the text, and only this order is accepted: first geometry (at most one crop; without
 * one, the view starts from the centre crop), then color_jitter (at most once), then erase (at most 4 times), then
 * mixup and cutmix (each at most once). They do what torchvision's RandomResizedCrop, RandomCrop(crop, padding),
 * Random{Horizontal,Vertical}Flip, RandomRotation, RandomAffine (translate: fraction of the side, both axes; shear: of
 * x), ColorJitter, RandomErasing, MixUp and CutMix do, with one difference: erase writes the pixel value `value` before
 * normalisation, while torchvision's default is the mean colour.
 *
 * mixup and cutmix mix a view with the view of the same number of another sample of the split (view_mix_make in
 * view.h). Every view draws its own partner and share; torchvision and timm draw one share per batch and take the
 * partners from the batch. With p < 1, only that part of the views is mixed. If both are given, each view draws one of
 * the two with equal chance (like torchvision's RandomChoice of both and timm's switch probability of 0.5) and then its
 * p. */
#ifndef SHARED_AUGMENT_RECIPE_H
#define SHARED_AUGMENT_RECIPE_H

#include "shared/base/error.h"
#include <stdbool.h>
#include <stdint.h>

enum {
    AUGMENT_VERSION = 1
}; /* version of the algorithm from (recipe, seed, sample, view) to the pixels that a teacher sees, those of a view at
      the crop's size; raise it when any of them changes */

enum transform_kind {
    TRANSFORM_RANDOM_RESIZED_CROP,
    TRANSFORM_RANDOM_CROP,
    TRANSFORM_HFLIP,
    TRANSFORM_VFLIP,
    TRANSFORM_ROTATE,
    TRANSFORM_AFFINE,
    TRANSFORM_COLOR_JITTER,
    TRANSFORM_ERASE,
    TRANSFORM_MIXUP,
    TRANSFORM_CUTMIX,
    TRANSFORM_KIND_COUNT
};

struct range {
    float low, high;
};

/* A transform has the fields of its kind; the others are 0. */
struct transform {
    enum transform_kind kind;
    float p;
    struct range scale, ratio;
    float degrees, translate, shear;
    float brightness, contrast, saturation, hue;
    float padding, value; /* whole numbers: pixels; 0..255 */
    float alpha;          /* shares come from Beta(alpha, alpha) */
};

enum { RECIPE_MAX_TRANSFORMS = 16, RECIPE_MAX_TEXT = 1024 };

struct recipe {
    struct transform transforms[RECIPE_MAX_TRANSFORMS];
    int count;
    char text[RECIPE_MAX_TEXT]; /* canonical: presets expanded, defaults written out; equal recipes have equal text, and
                                   parsing it gives the recipe again. "none" if the recipe is empty */
};

/* STATUS_USAGE for unknown names (with a suggestion), bad numbers, impossible ranges and orders. */
enum status recipe_parse(struct recipe *recipe, const char *text, struct error *err);

/* True if views are mixed with others (mixup, cutmix). */
bool recipe_mixes(const struct recipe *recipe);

/* The presets with their expansions, one per line, for --help. */
const char *recipe_presets(void);
int recipe_preset_count(void);
const char *recipe_preset_name(int preset); /* the first is "none" */

#endif
