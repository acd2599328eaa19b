/* Augmentation recipes: what is done to a base image to get a view (DESIGN: the augmentation contract).
 *
 * A recipe is text: transforms separated by '+' or ',' outside parentheses, in torchvision's vocabulary, or a preset's
 * name (defaults are shown): random_resized_crop(scale=0.08:1, ratio=0.75:1.3333334)   random_crop(padding=0)
 *   hflip(p=0.5)  vflip(p=0.5)  rotate(degrees=180)  affine(degrees=0, translate=0, scale=1:1, shear=0)
 *   color_jitter(brightness=0, contrast=0, saturation=0, hue=0)   erase(p=0.5, scale=0.02:0.33, ratio=0.3:3.3,
 * value=128)   mixup(alpha=0.2, p=1)   cutmix(alpha=1, p=1)
 * The first parameter of a transform may go without its name: hflip(0.3), rotate(15), mixup(0.4). Presets: none,
 * light, food11-strong, cifar.
 *
 * They act in the order of the text. Geometry comes first (at most one crop; without one the view starts from the
 * centre crop), then color_jitter (at most once), then erase (at most 4), then mixup and cutmix (each at most once):
 * another order is refused. What each does: RandomResizedCrop, RandomCrop(crop, padding),
 * Random{Horizontal,Vertical}Flip, RandomRotation, RandomAffine (translate: fraction of the side, both axes; shear: of
 * x), ColorJitter, RandomErasing, MixUp, CutMix of torchvision; erase writes the pixel value `value` before
 * normalisation, where torchvision's default is the mean colour.
 *
 * mixup and cutmix mix a view with the view of the same number of another sample of the split (view_mix_make in
 * view.h): every view draws its own partner and share, where torchvision and timm draw one share a batch and take the
 * partners out of the batch. With p < 1 only that part of the views is mixed. Where both are given each view draws one
 * of the two with equal chance (torchvision's RandomChoice of both, timm's switch probability of 0.5) and then its p.
 */
#ifndef SHARED_AUGMENT_RECIPE_H
#define SHARED_AUGMENT_RECIPE_H

#include "shared/base/error.h"
#include <stdbool.h>
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
    float alpha;          /* shares are of Beta(alpha, alpha) */
};

enum { RECIPE_MAX_TRANSFORMS = 16, RECIPE_MAX_TEXT = 1024 };

struct recipe {
    struct transform transforms[RECIPE_MAX_TRANSFORMS];
    int count;
    char text[RECIPE_MAX_TEXT]; /* canonical: presets expanded, defaults written out; equal recipes have equal text, and
                                   parsing it gives the recipe again. "none" where it is empty */
};

/* STATUS_USAGE for unknown names (with a suggestion), bad numbers, impossible ranges and orders. */
enum status recipe_parse(struct recipe *recipe, const char *text, struct error *err);

/* Whether views are mixed of two (mixup, cutmix). */
bool recipe_mixes(const struct recipe *recipe);

/* "none, light, food11-strong, cifar" with each one's expansion, a line each, for --help. */
const char *recipe_presets(void);

#endif
