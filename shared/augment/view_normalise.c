#include "shared/augment/view.h"

void view_normalisation_table(float table[3][256], const float mean[3], const float std[3], int channels)
{
    for (int c = 0; c < channels; c++)
        for (int value = 0; value < 256; value++)
            table[c][value] = ((float)value / 255.0f - mean[c]) / std[c];
}

void view_normalise(float *out, const uint8_t *pixels, size_t pixel_count, int channels, float table[3][256])
{
    if (channels == 1) {
        for (size_t i = 0; i < pixel_count; i++)
            out[i] = table[0][pixels[i]];
        return;
    }
    for (size_t i = 0; i < 3 * pixel_count; i += 3) {
        out[i] = table[0][pixels[i]];
        out[i + 1] = table[1][pixels[i + 1]];
        out[i + 2] = table[2][pixels[i + 2]];
    }
}

void view_render_input(const struct view *view, const struct image *levels, int level_count, int size,
                       float table[3][256], uint8_t *scratch, float *out)
{
    view_render(view, levels, level_count, size, scratch);
    view_normalise(out, scratch, (size_t)size * (size_t)size, levels[view->level].channels, table);
}

void view_render_mixed(const struct view_mix *mix, const struct view_picture *own, const struct view_picture *partner,
                       int size, float table[3][256], uint8_t *scratch, float *out)
{
    const int channels = own->levels[own->view->level].channels;
    const size_t pixels = (size_t)size * (size_t)size;
    uint8_t *other = scratch + pixels * (size_t)channels;
    view_render(own->view, own->levels, own->level_count, size, scratch);
    if (mix->kind != VIEW_MIX_NONE) {
        view_render(partner->view, partner->levels, partner->level_count, size, other);
        view_mix_pixels(mix, size, channels, scratch, other);
    }
    view_normalise(out, scratch, pixels, channels, table);
}
