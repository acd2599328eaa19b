/* Views: the parameters of one view, and its pixels.
 *
 * Parameters are a pure function of (recipe, seed, sample id, view number), by Philox. All geometry is composed to one
 * affine map from view to base pixels. Pixels are computed in fixed-point integers from the uint8 base image, so CPU
 * and CUDA agree bit for bit. A view that shrinks the base by 2 or more samples a box-reduced level of it. A view for a
 * network of fewer pixels than the crop comes as near as level and one or four samples allow to the antialiased images
 * that such a network is evaluated on (evaluation_image).
 *
 * Because there is one map and no picture in between, a rotation after a crop shows what the photo has beyond the crop,
 * where torchvision shows black corners. Only what lies outside the base image is black. */
#ifndef SHARED_AUGMENT_VIEW_H
#define SHARED_AUGMENT_VIEW_H

#include "shared/augment/recipe.h"
#include "shared/tensor/image.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { VIEW_MAX_SIZE = 4096, VIEW_MAX_LEVELS = 6, VIEW_MAX_COLORS = 4, VIEW_MAX_ERASES = 4 };

enum view_sampling {
    VIEW_BILINEAR,
    VIEW_EXACT, /* a whole-pixel shift: rows can be copied */
    VIEW_FINE   /* the mean of samples on a grid that is twice as fine */
};

enum view_color_kind { VIEW_BRIGHTNESS, VIEW_CONTRAST, VIEW_SATURATION, VIEW_HUE };

/* Everything that a backend needs to compute a view's pixels: plain integers, uploaded as they are. In order:
 *
 * 1. Geometry. Output pixel (x, y) samples its level at
 *        s = (m[0]*x + m[1]*y + m[2], m[3]*x + m[4]*y + m[5])
 *    in 16.16 fixed point, where whole numbers are pixel centres (m[2] and m[5] contain the centres' halves, and half a
 *    unit of weight for rounding). A pixel is inside the level if -32768 <= s < (side << 16) - 32768 on both axes (then
 *    s fits in uint32); outside, it is 0. Inside: i = s >> 16, f = (s >> 8) & 255, the four taps (i, i+1) clamped to
 *    the level, bilinear:
 *        ((256-fy)*((256-fx)*p00 + fx*p01) + fy*((256-fx)*p10 + fx*p11) + 32768) >> 16
 *    VIEW_FINE: the map is that of a grid twice as fine, and pixel (x, y) is (a + b + c + d + 2) >> 2 of the samples at
 *    (2x, 2y), (2x + 1, 2y), (2x, 2y + 1) and (2x + 1, 2y + 1).
 * 2. Colours in order, on all pixels (padding too), each result rounded and clamped to 0..255; w = weight, 16.16:
 *        blend(a, p) = (a*65536 + w[0]*(p - a) + 32768) >> 16
 *        gray = (19595*r + 38470*g + 7471*b + 32768) >> 16
 *        brightness: blend(0, p)
 *        contrast: blend(mean, p), mean = (2*sum + n) / (2*n) over the gray of the view's n pixels
 *        saturation: blend(gray, p)
 *        hue: a rotation about the gray axis, r' = (w0*r + w1*g + w2*b + 32768) >> 16, g' with (w2, w0, w1), b' with
 *            (w1, w2, w0)
 *    An image of one channel is its own gray; saturation and hue leave it as it is.
 * 3. Erased rectangles in order: every channel is set to value. */
struct view {
    int64_t m[6];
    int32_t level;    /* 0: the base; k: the base reduced by 2^k */
    int32_t sampling; /* enum view_sampling */
    int32_t color_count;
    struct {
        int32_t kind; /* enum view_color_kind */
        int32_t weight[3];
    } color[VIEW_MAX_COLORS];
    int32_t erase_count;
    struct {
        int32_t x, y, w, h; /* view pixels, inside the view */
        int32_t value;
    } erase[VIEW_MAX_ERASES];
};

/* How a picture is mixed with another one (mixup, Zhang et al. 2018; cutmix, Yun et al. 2019): after everything else
 * and before normalisation, from the two views' pixels p and q at the same place:
 *     blend: (share * p + (65536 - share) * q + 32768) >> 16
 *     cut: q inside the box, p elsewhere */
enum view_mix_kind { VIEW_MIX_NONE, VIEW_MIX_BLEND, VIEW_MIX_CUT };
struct view_mix {
    int32_t kind;
    int32_t share;      /* of p, 16.16, also for its label; 65536 if nothing is mixed */
    int32_t x, y, w, h; /* cut: view pixels, inside the view; w or h may be 0 */
};

/* The training view `number` of sample `id`, for a base image of base_h x base_w, taken at crop x crop (the teacher's
 * --size) and rendered at size x size: another size is the same geometry on a coarser grid, antialiased, or on a finer
 * one. A recipe without a crop starts from the evaluation view. 1 <= crop, size <= VIEW_MAX_SIZE. */
void view_make(struct view *view, const struct recipe *recipe, uint64_t seed, uint32_t id, uint32_t number, int base_h,
               int base_w, int crop, int size);

/* How training view `number` of sample `id`, the index-th of the split's `count` samples, is mixed. *partner is the
 * index of the sample whose view of the same number (with its own geometry, colours and erased rectangles, not mixed
 * itself) is the other picture; it is uniform over the other samples. *partner is `index` if nothing is mixed, which
 * includes a count of 1 and a share of the other picture that rounds to 0.
 * mixup: share comes from Beta(alpha, alpha).
 * cutmix, as torchvision's CutMix: the box has the area 1 - Beta(alpha, alpha) around a uniform centre and is cut at
 * the borders; share is the area that is kept, of the view at crop x crop, whatever the size.
 * All is drawn from a stream of its own, so that mixing leaves the view as it was. */
void view_mix_make(struct view_mix *mix, uint32_t *partner, const struct recipe *recipe, uint64_t seed, uint32_t id,
                   uint32_t number, uint32_t index, uint32_t count, int crop, int size);

/* The text that follows view_describe's: "  mixup 0.8125 with sample 17"; empty if nothing is mixed. */
void view_mix_describe(const struct view_mix *mix, uint32_t partner, char *text, size_t size);

/* The evaluation view: torchvision's CenterCrop(crop), padded with 0 if the base is smaller; always exact. */
void view_make_evaluation(struct view *view, int base_h, int base_w, int crop);
/* The view that shows an image of size x size as it is or, mirrored, from right to left; the pixels are the image's. */
void view_make_whole(struct view *view, int size, bool mirrored);

/* One line of text: map, level, colours, erased rectangles. */
void view_describe(const struct view *view, char *text, size_t size);

/* The pyramid: levels[0] = base (borrowed pixels); each next level has half the sides (rounded up; a missing last row
 * or column repeats the one before) and pixels (a + b + c + d + 2) >> 2. *count = view_level_count(base->h, base->w).
 * Release with view_pyramid_release (which leaves level 0 alone; zeroed levels are allowed). */
enum status view_pyramid(const struct image *base, struct image levels[VIEW_MAX_LEVELS], int *count, struct error *err);
void view_pyramid_release(struct image levels[VIEW_MAX_LEVELS], int count);
/* *to (the caller's) = the level that follows `from`. */
enum status view_next_level(const struct image *from, struct image *to, struct error *err);

/* The number of levels of a base: those with both sides >= 16 (the base always counts), at most VIEW_MAX_LEVELS. */
int view_level_count(int base_h, int base_w);

/* pixels[size, size, channels] = the view, with the channels of the base (1 or 3). `levels` [level_count] is the
 * pyramid of the base; a pyramid that ends before view->level is the caller's mistake. */
void view_render(const struct view *view, const struct image *levels, int level_count, int size, uint8_t *pixels);

/* The executable specification of view_render: bit-equal, simple and slow. */
void view_render_reference(const struct view *view, const struct image *levels, int level_count, int size,
                           uint8_t *pixels);

/* p[size, size, channels] = p and q mixed; the second function is its executable specification. */
void view_mix_pixels(const struct view_mix *mix, int size, int channels, uint8_t *p, const uint8_t *q);
void view_mix_reference(const struct view_mix *mix, int size, int channels, uint8_t *p, const uint8_t *q);

/* Normalisation of pixels to the network's input: out = (pixel / 255 - mean[c]) / std[c], NHWC float.
 * With a table per channel, table[c][256], that is one load per value. */
void view_normalisation_table(float table[3][256], const float mean[3], const float std[3], int channels);
void view_normalise(float *out, const uint8_t *pixels, size_t pixel_count, int channels, float table[3][256]);

/* A view and the pyramid of its base image. Borrowed. */
struct view_picture {
    const struct view *view;
    const struct image *levels; /* [level_count]; only the one that the view samples is read */
    int level_count;
};

/* A view that may be mixed: view_render of both pictures, view_mix_pixels, view_normalise. scratch[2, size, size,
 * channels]. The partner is not read if nothing is mixed. */
void view_render_mixed(const struct view_mix *mix, const struct view_picture *own, const struct view_picture *partner,
                       int size, float table[3][256], uint8_t *scratch, float *out);

/* view_render, then view_normalise: out[size, size, channels]. scratch[size, size, channels] is the caller's. */
void view_render_input(const struct view *view, const struct image *levels, int level_count, int size,
                       float table[3][256], uint8_t *scratch, float *out);

/* How a base image of `base` pixels is made of a picture, bit-equal to torchvision on PIL images. */
enum image_resize {
    IMAGE_RESIZE_SHORTER, /* Resize(base): the short side is base, the long one int(base * long / short) */
    IMAGE_RESIZE_SQUASH,  /* Resize((base, base)): the proportions change */
    IMAGE_RESIZE_PAD,     /* Resize(None, max_size=base), then CenterCrop(base): black beside or above and below */
    IMAGE_RESIZE_COUNT
};

/* The base image, with Pillow's antialiased bilinear arithmetic (22-bit fixed point, horizontal then vertical pass).
 * base 0 copies. STATUS_BAD_DATA if one side is more than IMAGE_MAX_ASPECT times the other. */
enum status image_resize_to(const struct image *from, enum image_resize resize, int base, struct image *to,
                            struct error *err);
/* The same for IMAGE_RESIZE_SHORTER. */
enum status image_resize_short_side(const struct image *from, int base, struct image *to, struct error *err);

/* What a network of size x size pixels sees of a base image in evaluation: the evaluation view at crop x crop, resized
 * to size x size. With the base image that is torchvision's Resize(base), CenterCrop(crop), Resize(size) on PIL images,
 * bit for bit; the last step does nothing where size is crop. *out is the caller's. */
enum status evaluation_image(const struct image *base, int crop, int size, struct image *out, struct error *err);

#endif
