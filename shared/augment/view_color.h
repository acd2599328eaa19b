/* Colour operations and erasing on rendered pixels: steps 2 and 3 of view.h. Internal to view_render.c. */
#ifndef SHARED_AUGMENT_VIEW_COLOR_H
#define SHARED_AUGMENT_VIEW_COLOR_H

#include "shared/augment/view.h"

/* pixels[size, size, channels], in place. */
void view_apply_colors(const struct view *view, int size, int channels, uint8_t *pixels);
void view_apply_erases(const struct view *view, int size, int channels, uint8_t *pixels);

#endif
