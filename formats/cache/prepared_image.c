#include "formats/cache/prepared_image.h"

#include <stdlib.h>
#include <string.h>

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

/* A student of another size than the teacher's sees an evaluation image (cache_evaluation_image). */
static enum status render_evaluation(const struct cache_views *views, const struct image *base, uint8_t *pixels,
                                     struct error *err)
{
    struct image seen = {0};
    const enum status status = evaluation_image(base, views->manifest->size, views->size, &seen, err);
    if (status == STATUS_OK)
        memcpy(pixels, seen.pixels, (size_t)seen.h * (size_t)seen.w * (size_t)seen.channels);
    image_release(&seen);
    return status;
}

static enum status render(const struct cache_views *views, const struct cache_view *which,
                          const struct prepared_image *prepared, uint8_t *pixels, struct error *err)
{
    struct view view;
    if (which->number == CACHE_EVALUATION_VIEW && views->size != views->manifest->size)
        return render_evaluation(views, &prepared->levels[0], pixels, err);
    cache_view_make(views, which, prepared->levels[0].h, prepared->levels[0].w, &view);
    view_render(&view, prepared->levels, prepared->level_count, views->size, pixels);
    return STATUS_OK;
}

enum status prepared_view_pixels(const struct cache_views *views, const struct cache_view *which,
                                 const struct prepared_image *own, uint32_t partner_id,
                                 const struct prepared_image *partner, uint8_t *pixels, struct error *err)
{
    const int channels = views->manifest->channels;
    struct cache_view other;
    struct view_mix mix;
    enum status status = render(views, which, own, pixels, err);
    cache_view_mix(views, which, NULL, &mix, &other);
    if (status != STATUS_OK || mix.kind == VIEW_MIX_NONE)
        return status;
    const size_t bytes = (size_t)views->size * (size_t)views->size * (size_t)channels;
    uint8_t *scratch = malloc(bytes);
    if (!scratch)
        return error_no_memory(err, bytes, "a view");
    other.id = partner_id;
    status = render(views, &other, partner, scratch, err);
    if (status == STATUS_OK)
        view_mix_pixels(&mix, views->size, channels, pixels, scratch);
    free(scratch);
    return status;
}
