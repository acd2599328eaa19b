#include "tests/helper_views.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

void picture_init(struct picture *picture, int h, int w, int channels, uint32_t seed)
{
    struct random_stream stream;
    assert_int_equal(image_init(&picture->base, h, w, channels, NULL), STATUS_OK);
    random_stream_init(&stream, 1, RANDOM_INIT, seed, 0);
    for (int i = 0; i < h * w * channels; i++)
        picture->base.pixels[i] = (uint8_t)random_u32(&stream);
    assert_int_equal(view_pyramid(&picture->base, picture->levels, &picture->level_count, NULL), STATUS_OK);
}

void picture_release(struct picture *picture)
{
    view_pyramid_release(picture->levels, picture->level_count);
    image_release(&picture->base);
}

static int64_t draw_signed(struct random_stream *stream, uint32_t bound)
{
    return (int64_t)random_below(stream, 2 * bound + 1) - bound;
}

void random_view(struct view *view, struct random_stream *stream, const struct picture *picture, int size)
{
    static const uint32_t steps[] = {0, 1, 300, 65536, 140000, 8000000};
    *view = (struct view){.level = (int32_t)random_below(stream, (uint32_t)picture->level_count)};
    view->sampling = random_below(stream, 3) ? VIEW_BILINEAR : VIEW_FINE;
    for (int i = 0; i < 6; i++)
        view->m[i] = draw_signed(stream, i % 3 == 2 ? 100 << 16 : steps[random_below(stream, 6)]);
    if (random_below(stream, 4) == 0) /* one axis only; whole steps */
        view->m[0] = 65536 * draw_signed(stream, 2), view->m[1] = 0;
    if (random_below(stream, 4) == 0)
        view->m[3] = 0, view->m[4] = 65536 * draw_signed(stream, 2);
    view->color_count = (int32_t)random_below(stream, VIEW_MAX_COLORS + 1);
    for (int i = 0; i < view->color_count; i++) {
        view->color[i].kind = (int32_t)random_below(stream, 4);
        for (int k = 0; k < 3; k++)
            view->color[i].weight[k] = (int32_t)draw_signed(stream, 150000);
    }
    view->erase_count = (int32_t)random_below(stream, VIEW_MAX_ERASES + 1);
    for (int i = 0; i < view->erase_count; i++) {
        view->erase[i].x = (int32_t)random_below(stream, (uint32_t)size);
        view->erase[i].y = (int32_t)random_below(stream, (uint32_t)size);
        view->erase[i].w = (int32_t)random_below(stream, (uint32_t)(size - view->erase[i].x) + 1);
        view->erase[i].h = (int32_t)random_below(stream, (uint32_t)(size - view->erase[i].y) + 1);
        view->erase[i].value = (int32_t)random_below(stream, 256);
    }
}

void random_mix(struct view_mix *mix, struct random_stream *stream, int size)
{
    static const int32_t shares[] = {0, 1, 32768, 65535, 65536};
    const uint32_t choice = random_below(stream, 10);
    *mix = (struct view_mix){.kind = (int32_t)random_below(stream, 3)};
    mix->share = choice < 5 ? shares[choice] : (int32_t)random_below(stream, 65537);
    if (mix->kind != VIEW_MIX_CUT)
        return;
    mix->x = (int32_t)random_below(stream, (uint32_t)size + 1);
    mix->y = (int32_t)random_below(stream, (uint32_t)size + 1);
    mix->w = (int32_t)random_below(stream, (uint32_t)(size - mix->x) + 1);
    mix->h = (int32_t)random_below(stream, (uint32_t)(size - mix->y) + 1);
}

void reference_pixels(const struct view *view, const struct picture *picture, const struct view_mix *mix,
                      const struct view *partner_view, const struct picture *partner, int size, uint8_t *pixels)
{
    view_render_reference(view, picture->levels, picture->level_count, size, pixels);
    if (!mix)
        return;
    const int channels = picture->base.channels;
    uint8_t *other = malloc((size_t)size * (size_t)size * (size_t)channels);
    assert_non_null(other);
    view_render_reference(partner_view, partner->levels, partner->level_count, size, other);
    view_mix_reference(mix, size, channels, pixels, other);
    free(other);
}
