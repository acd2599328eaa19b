/* The executable specification of a view's pixels: what view.h says as code, one pixel at a time, never optimised. */
#include "shared/augment/view.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

static int clamp(int64_t value, int high)
{
    return value < 0 ? 0 : value > high ? high : (int)value;
}

static bool inside(int64_t s, int side)
{
    return s >= -32768 && s < (int64_t)side * 65536 - 32768;
}

static void sample(const struct image *level, int64_t sx, int64_t sy, uint8_t *pixel)
{
    int c = level->channels;
    int x0 = clamp(sx >> 16, level->w - 1), x1 = clamp((sx >> 16) + 1, level->w - 1), fx = (int)((sx >> 8) & 255);
    int y0 = clamp(sy >> 16, level->h - 1), y1 = clamp((sy >> 16) + 1, level->h - 1), fy = (int)((sy >> 8) & 255);
    for (int k = 0; k < c; k++) {
        int p00 = level->pixels[((size_t)y0 * (size_t)level->w + (size_t)x0) * (size_t)c + (size_t)k];
        int p01 = level->pixels[((size_t)y0 * (size_t)level->w + (size_t)x1) * (size_t)c + (size_t)k];
        int p10 = level->pixels[((size_t)y1 * (size_t)level->w + (size_t)x0) * (size_t)c + (size_t)k];
        int p11 = level->pixels[((size_t)y1 * (size_t)level->w + (size_t)x1) * (size_t)c + (size_t)k];
        int top = (256 - fx) * p00 + fx * p01, bottom = (256 - fx) * p10 + fx * p11;
        pixel[k] = (uint8_t)(((256 - fy) * top + fy * bottom + 32768) >> 16);
    }
}

/* One sample of the view's grid: black outside of the level. */
static void sample_grid(const struct view *view, const struct image *level, int64_t x, int64_t y, uint8_t *pixel)
{
    const int64_t *m = view->m;
    const int64_t sx = m[0] * x + m[1] * y + m[2], sy = m[3] * x + m[4] * y + m[5];
    memset(pixel, 0, (size_t)level->channels);
    if (inside(sx, level->w) && inside(sy, level->h))
        sample(level, sx, sy, pixel);
}

static void sample_view(const struct view *view, const struct image *level, int x, int y, uint8_t *pixel)
{
    uint8_t four[4][3];
    if (view->sampling != VIEW_FINE) {
        sample_grid(view, level, x, y, pixel);
        return;
    }
    for (int k = 0; k < 4; k++)
        sample_grid(view, level, 2 * x + k % 2, 2 * y + k / 2, four[k]);
    for (int c = 0; c < level->channels; c++)
        pixel[c] = (uint8_t)((four[0][c] + four[1][c] + four[2][c] + four[3][c] + 2) >> 2);
}

static int gray_of(const uint8_t *pixel, int channels)
{
    return channels == 1 ? pixel[0] : (19595 * pixel[0] + 38470 * pixel[1] + 7471 * pixel[2] + 32768) >> 16;
}

static uint8_t blend(int a, int p, int32_t weight)
{
    return (uint8_t)clamp(((int64_t)a * 65536 + (int64_t)weight * (p - a) + 32768) >> 16, 255);
}

static uint8_t hue(int r, int g, int b, int32_t wr, int32_t wg, int32_t wb)
{
    return (uint8_t)clamp(((int64_t)wr * r + (int64_t)wg * g + (int64_t)wb * b + 32768) >> 16, 255);
}

static int mean_gray(const uint8_t *pixels, int count, int channels)
{
    int64_t sum = 0;
    for (int i = 0; i < count; i++)
        sum += gray_of(pixels + i * channels, channels);
    return (int)((2 * sum + count) / (2 * count));
}

static void apply_color(int32_t kind, const int32_t w[3], uint8_t *pixels, int count, int channels)
{
    int mean = kind == VIEW_CONTRAST ? mean_gray(pixels, count, channels) : 0;
    for (int i = 0; i < count; i++) {
        uint8_t *pixel = pixels + i * channels;
        int gray = gray_of(pixel, channels), r = pixel[0];
        if (kind == VIEW_BRIGHTNESS || kind == VIEW_CONTRAST) {
            for (int k = 0; k < channels; k++)
                pixel[k] = blend(mean, pixel[k], w[0]);
        } else if (kind == VIEW_SATURATION && channels == 3) {
            for (int k = 0; k < channels; k++)
                pixel[k] = blend(gray, pixel[k], w[0]);
        } else if (kind == VIEW_HUE && channels == 3) {
            int g = pixel[1], b = pixel[2];
            pixel[0] = hue(r, g, b, w[0], w[1], w[2]);
            pixel[1] = hue(r, g, b, w[2], w[0], w[1]);
            pixel[2] = hue(r, g, b, w[1], w[2], w[0]);
        }
    }
}

void view_render_reference(const struct view *view, const struct image *levels, int level_count, int size,
                           uint8_t *pixels)
{
    const struct image *level = &levels[view->level];
    int c = level->channels;
    assert(view->level < level_count);
    for (int y = 0; y < size; y++)
        for (int x = 0; x < size; x++)
            sample_view(view, level, x, y, pixels + (y * size + x) * c);
    for (int i = 0; i < view->color_count; i++)
        apply_color(view->color[i].kind, view->color[i].weight, pixels, size * size, c);
    for (int i = 0; i < view->erase_count; i++)
        for (int y = view->erase[i].y; y < view->erase[i].y + view->erase[i].h; y++)
            memset(pixels + (y * size + view->erase[i].x) * c, view->erase[i].value, (size_t)(view->erase[i].w * c));
}

void view_mix_reference(const struct view_mix *mix, int size, int channels, uint8_t *p, const uint8_t *q)
{
    for (int y = 0; y < size; y++)
        for (int x = 0; x < size; x++)
            for (int k = 0; k < channels; k++) {
                int at = (y * size + x) * channels + k;
                bool in_box = x >= mix->x && x < mix->x + mix->w && y >= mix->y && y < mix->y + mix->h;
                if (mix->kind == VIEW_MIX_BLEND)
                    p[at] =
                        (uint8_t)(((int64_t)mix->share * p[at] + (65536 - (int64_t)mix->share) * q[at] + 32768) >> 16);
                else if (mix->kind == VIEW_MIX_CUT && in_box)
                    p[at] = q[at];
            }
}
