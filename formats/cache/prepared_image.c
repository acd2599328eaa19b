#include "formats/cache/prepared_image.h"

#include "formats/cache/cache_view.h"

enum status prepared_image_make(struct prepared_image *prepared, const struct cache_manifest *manifest,
                                const uint8_t *bytes, size_t size, const char *name, struct error *err)
{
    enum status status = STATUS_OK;
    struct image base = {0};
    *prepared = (struct prepared_image){0};
    TRY(cache_base_image(manifest, bytes, size, name, &base, err));
    TRY(view_pyramid(&base, prepared->levels, &prepared->level_count, err));
    base = (struct image){0}; /* it is level 0 now */
cleanup:
    image_release(&base);
    return status;
}

void prepared_image_release(struct prepared_image *prepared)
{
    if (prepared->level_count == 0)
        return;
    view_pyramid_release(prepared->levels, prepared->level_count);
    image_release(&prepared->levels[0]);
    *prepared = (struct prepared_image){0};
}

size_t prepared_image_bytes(const struct prepared_image *prepared)
{
    size_t bytes = 0;
    for (int i = 0; i < prepared->level_count; i++) {
        const struct image *level = &prepared->levels[i];
        bytes += (size_t)level->h * (size_t)level->w * (size_t)level->channels;
    }
    return bytes;
}
