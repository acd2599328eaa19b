/* Mixed views: partner, share and box from (recipe, seed, sample, view), and the mixed pixels. */
#include "shared/augment/view.h"

#include "shared/augment/portable_math.h"
#include "shared/augment/recipe_spec.h"
#include "shared/augment/view_draw.h"
#include <assert.h>
#include <stdio.h>
#include <string.h>

/* Beta(a, a) from two uniform numbers u and v, exact for every a > 0:
 *     (1 + t / sqrt(2a + t^2)) / 2
 * with t from Student's distribution with 2a degrees of freedom (Bailey 1994):
 *     t^2 = 2a (u^(-1/a) - 1) cos^2(2 pi v) */
static double draw_beta(struct random_stream *stream, double a)
{
    double u = draw(stream) + 0x1p-33, v = draw(stream), s, c;
    double exponent = -portable_log(u) / a;
    portable_sincos(360 * v, &s, &c);
    double ratio = (portable_exp(fmin(exponent, 90)) - 1) * c * c; /* t^2 / 2a */
    double half = sqrt(ratio / (1 + ratio)) / 2;
    return c < 0 ? 0.5 - half : 0.5 + half;
}

/* The mixing transform that this view has drawn; NULL if it is not mixed. */
static const struct transform *choose(const struct recipe *recipe, struct random_stream *stream)
{
    int first = recipe->count;
    while (first > 0 && transform_specs[recipe->transforms[first - 1].kind].stage == STAGE_MIX)
        first--;
    double choice = draw_whole(stream, recipe->count - first), chance = draw(stream);
    if (first == recipe->count)
        return NULL;
    const struct transform *transform = &recipe->transforms[first + (int)choice];
    return chance < (double)transform->p ? transform : NULL;
}

/* torchvision's CutMix on the crop's pixels; the box is then converted to the grid of the size. */
static void cut(struct view_mix *mix, double kept, double center_x, double center_y, int crop, int size)
{
    const double half = floor(0.5 * sqrt(1 - kept) * crop), grid = (double)size / crop;
    const double left = fmax(center_x - half, 0), top = fmax(center_y - half, 0);
    const double right = fmin(center_x + half, crop), bottom = fmin(center_y + half, crop);
    mix->kind = VIEW_MIX_CUT;
    mix->share = 65536 - (int32_t)round_half_up((right - left) * (bottom - top) / ((double)crop * crop) * 65536);
    mix->x = (int32_t)round_half_up(left * grid);
    mix->y = (int32_t)round_half_up(top * grid);
    mix->w = (int32_t)round_half_up(right * grid) - mix->x;
    mix->h = (int32_t)round_half_up(bottom * grid) - mix->y;
}

void view_mix_make(struct view_mix *mix, uint32_t *partner, const struct recipe *recipe, uint64_t seed, uint32_t id,
                   uint32_t number, uint32_t index, uint32_t count, int crop, int size)
{
    struct random_stream stream;
    assert(index < count && crop > 0 && crop <= VIEW_MAX_SIZE && size > 0 && size <= VIEW_MAX_SIZE);
    *mix = (struct view_mix){.kind = VIEW_MIX_NONE, .share = 65536};
    *partner = index;
    random_stream_init(&stream, seed, RANDOM_MIX, id, number);
    const struct transform *transform = choose(recipe, &stream);
    if (!transform || count < 2)
        return;
    const double share = draw_beta(&stream, (double)transform->alpha);
    const double center_x = draw_whole(&stream, crop), center_y = draw_whole(&stream, crop);
    const uint32_t other = (uint32_t)(((uint64_t)index + 1 + random_below(&stream, count - 1)) % count);
    if (transform->kind == TRANSFORM_CUTMIX)
        cut(mix, share, center_x, center_y, crop, size);
    else
        *mix = (struct view_mix){.kind = VIEW_MIX_BLEND, .share = (int32_t)round_half_up(share * 65536)};
    if (mix->share == 65536)
        *mix = (struct view_mix){.kind = VIEW_MIX_NONE, .share = 65536};
    else
        *partner = other;
}

void view_mix_describe(const struct view_mix *mix, uint32_t partner, char *text, size_t size)
{
    if (size == 0)
        return;
    text[0] = 0;
    if (mix->kind == VIEW_MIX_BLEND)
        snprintf(text, size, "  mixup %.4f with sample %u", (double)mix->share / 65536, partner);
    else if (mix->kind == VIEW_MIX_CUT)
        snprintf(text, size, "  cutmix %.4f, %dx%d at (%d, %d) of sample %u", (double)mix->share / 65536, mix->w,
                 mix->h, mix->x, mix->y, partner);
}

void view_mix_pixels(const struct view_mix *mix, int size, int channels, uint8_t *p, const uint8_t *q)
{
    const size_t row = (size_t)size * (size_t)channels;
    if (mix->kind == VIEW_MIX_BLEND) {
        const uint32_t a = (uint32_t)mix->share, b = 65536 - a;
        for (size_t i = 0; i < row * (size_t)size; i++)
            p[i] = (uint8_t)((a * p[i] + b * q[i] + 32768) >> 16);
    } else if (mix->kind == VIEW_MIX_CUT) {
        for (int y = mix->y; y < mix->y + mix->h; y++) {
            const size_t at = (size_t)y * row + (size_t)mix->x * (size_t)channels;
            memcpy(p + at, q + at, (size_t)mix->w * (size_t)channels);
        }
    }
}
