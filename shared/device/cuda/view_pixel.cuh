/* One pixel of a view, in the integer arithmetic of shared/augment/view.h: geometry, colours, erased rectangles,
 * mixing. */
#ifndef SHARED_DEVICE_CUDA_VIEW_PIXEL_CUH
#define SHARED_DEVICE_CUDA_VIEW_PIXEL_CUH

#include "shared/augment/view.h"
#include "shared/device/cuda/cuda_launch.cuh"

/* A view and the level of the pyramid that it samples. */
struct scene {
    struct view view;
    const uint8_t *pixels; /* [h, w, channels] */
    int h, w, size;
};

static __device__ __forceinline__ int clamp_to(int value, int high)
{
    return value < 0 ? 0 : value > high ? high : value;
}

/* ---- geometry ---- pixels are r | g << 8 | b << 16 */

/* Reads the pixel at byte `offset` into the lower 24 bits of *left, and the next one into *right. */
static __device__ __forceinline__ void load_pair(const uint8_t *pixels, size_t offset, uint32_t *left, uint32_t *right)
{
    const uint32_t *words = (const uint32_t *)(const void *)pixels + offset / 4;
    const unsigned shift = 8 * (unsigned)(offset % 4);
    const uint32_t first = words[0], second = words[1], third = shift > 16 ? words[2] : 0;
    const uint32_t low = (uint32_t)(((uint64_t)second << 32 | first) >> shift);
    const uint32_t high = (uint32_t)(((uint64_t)third << 32 | second) >> shift);
    *left = low;
    *right = low >> 24 | high << 8;
}

static __device__ __forceinline__ uint32_t load_pixel(const uint8_t *pixel)
{
    return pixel[0] | (uint32_t)pixel[1] << 8 | (uint32_t)pixel[2] << 16;
}

/* Red and blue share a word, 16 bits each, while they are blended along x. */
static __device__ __forceinline__ uint32_t blend_taps(const uint32_t upper[2], const uint32_t lower[2], uint32_t fx,
                                                      uint32_t fy)
{
    const uint32_t gx = 256 - fx, gy = 256 - fy, mask = 0xff00ff;
    const uint32_t top = (upper[0] & mask) * gx + (upper[1] & mask) * fx;
    const uint32_t bottom = (lower[0] & mask) * gx + (lower[1] & mask) * fx;
    const uint32_t top_green = (upper[0] >> 8 & 255) * gx + (upper[1] >> 8 & 255) * fx;
    const uint32_t bottom_green = (lower[0] >> 8 & 255) * gx + (lower[1] >> 8 & 255) * fx;
    const uint32_t red = (top & 0xffff) * gy + (bottom & 0xffff) * fy + 32768;
    const uint32_t green = top_green * gy + bottom_green * fy + 32768;
    const uint32_t blue = (top >> 16) * gy + (bottom >> 16) * fy + 32768;
    return red >> 16 | (green >> 8 & 0xff00) | (blue & 0xff0000);
}

template <int CHANNELS> static __device__ __forceinline__ uint32_t sample(const struct scene *scene, int x, int y)
{
    const int64_t *m = scene->view.m;
    const int64_t sx = m[0] * x + m[1] * y + m[2], sy = m[3] * x + m[4] * y + m[5];
    if (sx < -32768 || sy < -32768 || sx >= (int64_t)scene->w * 65536 - 32768 ||
        sy >= (int64_t)scene->h * 65536 - 32768)
        return 0;
    const int i = (int)(sx >> 16), j = (int)(sy >> 16);
    const uint32_t fx = (uint32_t)(sx >> 8) & 255, fy = (uint32_t)(sy >> 8) & 255;
    const size_t left = (size_t)clamp_to(i, scene->w - 1), right = (size_t)clamp_to(i + 1, scene->w - 1);
    const size_t top = (size_t)clamp_to(j, scene->h - 1) * (size_t)scene->w;
    const size_t bottom = (size_t)clamp_to(j + 1, scene->h - 1) * (size_t)scene->w;
    uint32_t upper[2], lower[2];
    if (CHANNELS == 1) {
        upper[0] = scene->pixels[top + left], upper[1] = scene->pixels[top + right];
        lower[0] = scene->pixels[bottom + left], lower[1] = scene->pixels[bottom + right];
    } else if (left < right) {
        load_pair(scene->pixels, 3 * (top + left), &upper[0], &upper[1]);
        load_pair(scene->pixels, 3 * (bottom + left), &lower[0], &lower[1]);
    } else { /* beyond the edge both taps are the same pixel */
        upper[0] = upper[1] = load_pixel(scene->pixels + 3 * (top + left));
        lower[0] = lower[1] = load_pixel(scene->pixels + 3 * (bottom + left));
    }
    return blend_taps(upper, lower, fx, fy);
}

/* The pixel of the view: one sample or, of a grid twice as fine, the mean of four. Red and blue share a word. */
template <int CHANNELS> static __device__ __forceinline__ uint32_t sample_view(const struct scene *scene, int x, int y)
{
    if (scene->view.sampling != VIEW_FINE)
        return sample<CHANNELS>(scene, x, y);
    uint32_t red_blue = 0x20002, green = 2;
#pragma unroll 1
    for (int k = 0; k < 4; k++) {
        const uint32_t pixel = sample<CHANNELS>(scene, 2 * x + k % 2, 2 * y + k / 2);
        red_blue += pixel & 0xff00ff;
        green += pixel >> 8 & 0xff;
    }
    return (red_blue >> 2 & 0xff00ff) | green >> 2 << 8;
}

/* ---- colours ---- */
template <int CHANNELS> static __device__ __forceinline__ int gray_of(const int *p)
{
    return CHANNELS == 1 ? p[0] : (19595 * p[0] + 38470 * p[CHANNELS / 2] + 7471 * p[CHANNELS - 1] + 32768) >> 16;
}

static __device__ __forceinline__ int blend(int a, int p, int weight)
{
    return clamp_to((a * 65536 + weight * (p - a) + 32768) >> 16, 255);
}

/* Applies the first `count` colour operations to p[CHANNELS]; means[k] is that of operation k, if it is contrast. */
template <int CHANNELS>
static __device__ __forceinline__ void apply_colors(const struct view *view, int count, const int32_t *means, int *p)
{
#pragma unroll 1
    for (int k = 0; k < count; k++) {
        const int kind = view->color[k].kind;
        const int32_t *w = view->color[k].weight;
        if (kind == VIEW_HUE) {
            if (CHANNELS == 3) {
                const int r = p[0], g = p[CHANNELS / 2], b = p[CHANNELS - 1];
                p[0] = clamp_to((w[0] * r + w[1] * g + w[2] * b + 32768) >> 16, 255);
                p[CHANNELS / 2] = clamp_to((w[2] * r + w[0] * g + w[1] * b + 32768) >> 16, 255);
                p[CHANNELS - 1] = clamp_to((w[1] * r + w[2] * g + w[0] * b + 32768) >> 16, 255);
            }
        } else if (kind != VIEW_SATURATION || CHANNELS == 3) {
            const int from = kind == VIEW_BRIGHTNESS ? 0 : kind == VIEW_CONTRAST ? means[k] : gray_of<CHANNELS>(p);
            for (int c = 0; c < CHANNELS; c++)
                p[c] = blend(from, p[c], w[0]);
        }
    }
}

template <int CHANNELS>
static __device__ __forceinline__ void colored(const struct scene *scene, int count, const int32_t *means, int x, int y,
                                               int *p)
{
    const uint32_t pixel = sample_view<CHANNELS>(scene, x, y);
    for (int c = 0; c < CHANNELS; c++)
        p[c] = (int)(pixel >> 8 * c & 255);
    apply_colors<CHANNELS>(&scene->view, count, means, p);
}

static __device__ __forceinline__ int erased(const struct view *view, int x, int y, int otherwise)
{
    int value = otherwise;
#pragma unroll 1
    for (int k = 0; k < view->erase_count; k++)
        if (x >= view->erase[k].x && x < view->erase[k].x + view->erase[k].w && y >= view->erase[k].y &&
            y < view->erase[k].y + view->erase[k].h)
            value = view->erase[k].value;
    return value;
}

/* p[CHANNELS] = the scene's pixel after all operations. */
template <int CHANNELS>
static __device__ __forceinline__ void finished(const struct scene *scene, const int32_t *means, int x, int y, int *p)
{
    colored<CHANNELS>(scene, scene->view.color_count, means, x, y, p);
    for (int c = 0; c < CHANNELS; c++)
        p[c] = erased(&scene->view, x, y, p[c]);
}

/* The same for a mixed view: scenes and means of both pictures. */
template <int CHANNELS>
static __device__ __forceinline__ void mixed(const struct scene *scenes, const int32_t (*means)[VIEW_MAX_COLORS],
                                             const struct view_mix *mix, int x, int y, int *p)
{
    int q[CHANNELS];
    if (mix->kind == VIEW_MIX_CUT) {
        const bool inside = x >= mix->x && x < mix->x + mix->w && y >= mix->y && y < mix->y + mix->h;
        finished<CHANNELS>(&scenes[inside], means[inside], x, y, p);
        return;
    }
    finished<CHANNELS>(&scenes[0], means[0], x, y, p);
    if (mix->kind != VIEW_MIX_BLEND)
        return;
    finished<CHANNELS>(&scenes[1], means[1], x, y, q);
    const uint32_t share = (uint32_t)mix->share;
    for (int c = 0; c < CHANNELS; c++)
        p[c] = (int)((share * (uint32_t)p[c] + (65536 - share) * (uint32_t)q[c] + 32768) >> 16);
}

#endif
