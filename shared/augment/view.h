/* Views: parameters of one view, and its pixels.
 *
 * Parameters are a pure function of (recipe, seed, sample id, view number) by Philox. All geometry composes to one
 * affine map from view to base pixels; pixels are computed in fixed-point integers from the uint8 base image, so that
 * CPU and CUDA agree bit for bit; where a view shrinks the base by 2 or more it samples a box-reduced level of it. */
#ifndef SHARED_AUGMENT_VIEW_H
#define SHARED_AUGMENT_VIEW_H

#include "shared/augment/recipe.h"
#include "shared/tensor/image.h"
#include <stdint.h>

/* Everything a backend needs to compute a view's pixels: plain integers, uploaded as they are. */
struct view {
    /* Source position of the centre of output pixel (x, y), in 16.16 fixed point of level pixels (pixel centres at
     * half-integers are already accounted for): sx = m[0]*x + m[1]*y + m[2], sy = m[3]*x + m[4]*y + m[5]. */
    int32_t m[6];
    int32_t level;              /* 0: the base; k: the base reduced by 2^k (box filter) */
    int32_t exact;              /* 1: the map is a whole-pixel shift (evaluation view): copied, no interpolation */
    int32_t color_matrix_count; /* colour operations in order */
    struct {
        int32_t kind;   /* 0 brightness, 1 contrast, 2 saturation, 3 hue */
        int32_t factor; /* 16.16 */
    } color[4];
    int32_t erase_count;
    struct {
        int32_t x, y, w, h; /* view pixels */
    } erase[4];
};

/* The training view `number` (>= 0) of sample `id` for a base image of base_h x base_w, seen at size x size. The same
 * view at another size is the same geometry on a coarser or finer grid. */
void view_make(struct view *view, const struct recipe *recipe, uint64_t seed, uint32_t id, uint32_t number, int base_h,
               int base_w, int size);

/* The evaluation view: the centre crop. crop is the size at which the crop is taken (the teacher's --size); where size
 * == crop it is exact, otherwise the same crop is sampled on size x size. */
void view_make_evaluation(struct view *view, int base_h, int base_w, int crop, int size);

/* pixels[size, size, channels] = the view. channels of the base (1 or 3). The reference and the CPU backend's renderer.
 * `levels` [level_count] is the pyramid of the base (levels[0] is the base itself). */
void view_render(const struct view *view, const struct image *levels, int level_count, int size, uint8_t *pixels);

/* The pyramid: levels[0] = base (borrowed pixels), each next one reduced by 2 with rounding; *count levels until a side
 * would fall below 16 or VIEW_MAX_LEVELS. Release with view_pyramid_release (which leaves level 0 alone). */
enum { VIEW_MAX_LEVELS = 6 };
enum status view_pyramid(const struct image *base, struct image levels[VIEW_MAX_LEVELS], int *count, struct error *err);
void view_pyramid_release(struct image levels[VIEW_MAX_LEVELS], int count);

/* The base image: short side resized to `base` pixels (long side int(base * long / short), as torchvision computes it)
 * with Pillow's antialiased bilinear arithmetic (22-bit fixed point, horizontal then vertical pass): bit-equal to
 * torchvision.transforms.Resize(base) on PIL images. base 0, or equal to the short side, copies. */
enum status image_resize_short_side(const struct image *from, int base, struct image *to, struct error *err);

/* Normalisation of pixels to the network's input: out = (pixel / 255 - mean[c]) / std[c], NHWC float.
 * A table per channel makes it 1 load per value: table[c][256]. */
void view_normalisation_table(float table[3][256], const float mean[3], const float std[3], int channels);
void view_normalise(float *out, const uint8_t *pixels, size_t pixel_count, int channels, float table[3][256]);

#endif
