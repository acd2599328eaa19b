#include "shared/augment/view_color.h"

#include "shared/base/vectorise.h"
#include <string.h>

static inline uint8_t clamp_to_byte(int32_t value)
{
    return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
}

static inline int32_t gray_of(const uint8_t *pixel)
{
    return (19595 * pixel[0] + 38470 * pixel[1] + 7471 * pixel[2] + 32768) >> 16;
}

static inline uint8_t blend(int32_t a, int32_t p, int32_t weight)
{
    return clamp_to_byte((a * 65536 + weight * (p - a) + 32768) >> 16);
}

/* The sum fits: at most VIEW_MAX_SIZE^2 * 255 < 2^32. */
VECTORISE static uint32_t sum_gray(const uint8_t *pixels, size_t count, int channels)
{
    uint32_t sum = 0;
    if (channels == 1) {
        for (size_t i = 0; i < count; i++)
            sum += pixels[i];
    } else {
        for (size_t i = 0; i < count; i++)
            sum += (uint32_t)gray_of(pixels + 3 * i);
    }
    return sum;
}

static int32_t mean_gray(const uint8_t *pixels, size_t count, int channels)
{
    return (int32_t)((2 * (uint64_t)sum_gray(pixels, count, channels) + count) / (2 * (uint64_t)count));
}

VECTORISE static void blend_with_constant(int32_t constant, int32_t weight, uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        bytes[i] = blend(constant, bytes[i], weight);
}

VECTORISE static void saturate(int32_t weight, uint8_t *pixels, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint8_t *pixel = pixels + 3 * i;
        int32_t gray = gray_of(pixel), r = pixel[0], g = pixel[1], b = pixel[2];
        pixel[0] = blend(gray, r, weight);
        pixel[1] = blend(gray, g, weight);
        pixel[2] = blend(gray, b, weight);
    }
}

VECTORISE static void rotate_hue(const int32_t weight[3], uint8_t *pixels, size_t count)
{
    int32_t w0 = weight[0], w1 = weight[1], w2 = weight[2];
    for (size_t i = 0; i < count; i++) {
        uint8_t *pixel = pixels + 3 * i;
        int32_t r = pixel[0], g = pixel[1], b = pixel[2];
        pixel[0] = clamp_to_byte((w0 * r + w1 * g + w2 * b + 32768) >> 16);
        pixel[1] = clamp_to_byte((w2 * r + w0 * g + w1 * b + 32768) >> 16);
        pixel[2] = clamp_to_byte((w1 * r + w2 * g + w0 * b + 32768) >> 16);
    }
}

void view_apply_colors(const struct view *view, int size, int channels, uint8_t *pixels)
{
    size_t count = (size_t)size * (size_t)size, bytes = count * (size_t)channels;
    for (int i = 0; i < view->color_count; i++) {
        const int32_t *weight = view->color[i].weight;
        switch (view->color[i].kind) {
        case VIEW_BRIGHTNESS:
            blend_with_constant(0, weight[0], pixels, bytes);
            break;
        case VIEW_CONTRAST:
            blend_with_constant(mean_gray(pixels, count, channels), weight[0], pixels, bytes);
            break;
        case VIEW_SATURATION:
            if (channels == 3)
                saturate(weight[0], pixels, count);
            break;
        case VIEW_HUE:
            if (channels == 3)
                rotate_hue(weight, pixels, count);
            break;
        }
    }
}

void view_apply_erases(const struct view *view, int size, int channels, uint8_t *pixels)
{
    size_t pixel = (size_t)channels;
    for (int i = 0; i < view->erase_count; i++) {
        uint8_t *corner = pixels + ((size_t)view->erase[i].y * (size_t)size + (size_t)view->erase[i].x) * pixel;
        for (int y = 0; y < view->erase[i].h; y++)
            memset(corner + (size_t)y * (size_t)size * pixel, view->erase[i].value, (size_t)view->erase[i].w * pixel);
    }
}
