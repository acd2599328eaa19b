/* A sample's stored image, ready for views of it: its base image and the pyramid of that. */
#ifndef FORMATS_CACHE_PREPARED_IMAGE_H
#define FORMATS_CACHE_PREPARED_IMAGE_H

#include "formats/cache/cache_view.h"
#include "shared/augment/view.h"

struct prepared_image {
    struct image levels[VIEW_MAX_LEVELS]; /* [level_count], owned; level 0 is the base image */
    int level_count;
};

/* bytes: a stored image, as from cache_image. name: for errors. STATUS_BAD_DATA. */
enum status prepared_image_make(struct prepared_image *prepared, const struct cache_manifest *manifest,
                                const uint8_t *bytes, size_t size, const char *name, struct error *err);
void prepared_image_release(struct prepared_image *prepared);       /* a zeroed one is allowed */
size_t prepared_image_bytes(const struct prepared_image *prepared); /* of its pixels, all levels */

/* pixels[views->size, views->size, channels] = a stored view as the network saw it, before normalisation: rendered, and
 * mixed with its partner's if the recipe says so. partner_id and partner (cache_view_mix says whose) are not read
 * otherwise. STATUS_INTERNAL. */
enum status prepared_view_pixels(const struct cache_views *views, const struct cache_view *which,
                                 const struct prepared_image *own, uint32_t partner_id,
                                 const struct prepared_image *partner, uint8_t *pixels, struct error *err);

#endif
