#include "shared/augment/view.h"

void view_make_whole(struct view *view, int size, bool mirrored)
{
    const int64_t half_weight = 128; /* as in every map: half a unit of weight for rounding */
    *view = (struct view){.m = {65536, 0, half_weight, 0, 65536, half_weight}, .sampling = VIEW_EXACT};
    if (mirrored) {
        view->m[0] = -65536;
        view->m[2] += (int64_t)(size - 1) * 65536;
        view->sampling = VIEW_BILINEAR; /* not a shift; every weight is still 0 or 1 */
    }
}

enum status evaluation_image(const struct image *base, int crop, int size, struct image *out, struct error *err)
{
    enum status status = STATUS_OK;
    struct view view;
    struct image cropped = {0};
    *out = (struct image){0};
    view_make_evaluation(&view, base->h, base->w, crop);
    TRY(image_init(&cropped, crop, crop, base->channels, err));
    view_render(&view, base, 1, crop, cropped.pixels);
    TRY(image_resize_short_side(&cropped, size, out, err));
cleanup:
    image_release(&cropped);
    return status;
}
