/* Random images and views: everything that recipes can request, and more. */
#ifndef TESTS_HELPER_VIEWS_H
#define TESTS_HELPER_VIEWS_H

#include "shared/augment/view.h"
#include "shared/base/random.h"

/* An image of random pixels with its pyramid. */
struct picture {
    struct image base, levels[VIEW_MAX_LEVELS];
    int level_count;
};

/* The pixels are in a block of exactly their size, so that a sanitizer sees every read beyond it. */
void picture_init(struct picture *picture, int h, int w, int channels, uint32_t seed);
void picture_release(struct picture *picture);

/* Any map, any colours (also several contrasts), any rectangles inside size x size. */
void random_view(struct view *view, struct random_stream *stream, const struct picture *picture, int size);

/* No mixing, any share, any box inside size x size; a box may have any share too. */
void random_mix(struct view_mix *mix, struct random_stream *stream, int size);

/* pixels[size, size, channels] = a view by the executable specification; mixed if mix is not NULL. */
void reference_pixels(const struct view *view, const struct picture *picture, const struct view_mix *mix,
                      const struct view *partner_view, const struct picture *partner, int size, uint8_t *pixels);

#endif
