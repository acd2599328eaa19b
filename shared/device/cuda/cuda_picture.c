#include "shared/device/cuda/cuda_render.h"

#include <string.h>

size_t cuda_picture_bytes(int h, int w, int channels, int levels)
{
    size_t bytes = 0;
    for (int i = 0; i < levels; i++, h = (h + 1) / 2, w = (w + 1) / 2)
        bytes += cuda_level_bytes(h, w, channels);
    return bytes;
}

void cuda_picture_pack(const struct image *levels, int count, uint8_t *out)
{
    for (int i = 0; i < count; i++) {
        const struct image *level = &levels[i];
        const size_t capacity = cuda_level_bytes(level->h, level->w, level->channels);
        const size_t bytes = (size_t)level->h * (size_t)level->w * (size_t)level->channels;
        memcpy(out, level->pixels, bytes);
        memset(out + bytes, 0, capacity - bytes);
        out += capacity;
    }
}
