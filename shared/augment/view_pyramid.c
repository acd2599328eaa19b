#include "shared/augment/view.h"

enum { SMALLEST_SIDE = 16 };

static int half(int side)
{
    return (side + 1) / 2;
}

int view_level_count(int base_h, int base_w)
{
    int count = 1;
    for (int h = half(base_h), w = half(base_w); count < VIEW_MAX_LEVELS && h >= SMALLEST_SIDE && w >= SMALLEST_SIDE;
         h = half(h), w = half(w))
        count++;
    return count;
}

static void reduce(const struct image *from, struct image *to)
{
    size_t channels = (size_t)from->channels, stride = (size_t)from->w * channels;
    for (int y = 0; y < to->h; y++) {
        const uint8_t *top = from->pixels + (size_t)(2 * y) * stride;
        const uint8_t *bottom = 2 * y + 1 < from->h ? top + stride : top;
        uint8_t *out = to->pixels + (size_t)y * (size_t)to->w * channels;
        for (int x = 0; x < to->w; x++) {
            size_t left = (size_t)(2 * x) * channels, right = 2 * x + 1 < from->w ? left + channels : left;
            for (size_t c = 0; c < channels; c++)
                *out++ = (uint8_t)((top[left + c] + top[right + c] + bottom[left + c] + bottom[right + c] + 2) >> 2);
        }
    }
}

enum status view_next_level(const struct image *from, struct image *to, struct error *err)
{
    const enum status status = image_init(to, half(from->h), half(from->w), from->channels, err);
    if (status == STATUS_OK)
        reduce(from, to);
    return status;
}

enum status view_pyramid(const struct image *base, struct image levels[VIEW_MAX_LEVELS], int *count, struct error *err)
{
    enum status status = STATUS_OK;
    for (int i = 0; i < VIEW_MAX_LEVELS; i++)
        levels[i] = (struct image){0};
    levels[0] = *base;
    *count = view_level_count(base->h, base->w);
    for (int i = 1; i < *count; i++)
        TRY(view_next_level(&levels[i - 1], &levels[i], err));
cleanup:
    if (status != STATUS_OK) {
        view_pyramid_release(levels, *count);
        *count = 0;
    }
    return status;
}

void view_pyramid_release(struct image levels[VIEW_MAX_LEVELS], int count)
{
    for (int i = 1; i < count; i++)
        image_release(&levels[i]);
}
