#include "formats/cache/cache_view.h"

#include <assert.h>

enum status cache_views_init(struct cache_views *views, const struct cache_manifest *manifest, int size,
                             struct error *err)
{
    *views = (struct cache_views){.manifest = manifest, .size = size};
    view_normalisation_table(views->table, manifest->mean, manifest->std, manifest->channels);
    return recipe_parse(&views->recipe, manifest->recipe, err);
}

bool cache_views_mix(const struct cache_views *views, enum split split)
{
    return split == SPLIT_TRAIN && recipe_mixes(&views->recipe);
}

int cache_view_number(enum split split, int row)
{
    return split == SPLIT_TRAIN ? row : CACHE_EVALUATION_VIEW;
}

void cache_view_make(const struct cache_views *views, const struct cache_view *which, int base_h, int base_w,
                     struct view *view)
{
    const struct cache_manifest *manifest = views->manifest;
    if (which->number == CACHE_EVALUATION_VIEW) {
        assert(views->size == manifest->size);
        view_make_evaluation(view, base_h, base_w, manifest->size);
        return;
    }
    view_make(view, &views->recipe, manifest->seed, which->id, (uint32_t)which->number, base_h, base_w, manifest->size,
              views->size);
}

int cache_view_least_level(const struct cache_views *views, uint32_t id, int base_h, int base_w)
{
    /* Fewer pixels sample the same level or a higher one, but sizes below the crop have thresholds of their own. */
    const struct cache_manifest *manifest = views->manifest;
    const int sizes[2] = {views->size, manifest->size - 1},
              count = views->size >= manifest->size && sizes[1] > 0 ? 2 : 1;
    const int numbers = manifest->splits[SPLIT_TRAIN].views;
    int least = numbers > 0 ? VIEW_MAX_LEVELS : 0;
    for (int i = 0; i < count * numbers && least > 0; i++) {
        struct view view;
        view_make(&view, &views->recipe, manifest->seed, id, (uint32_t)(i / count), base_h, base_w, manifest->size,
                  sizes[i % count]);
        least = view.level < least ? view.level : least;
    }
    return least;
}

void cache_view_mix(const struct cache_views *views, const struct cache_view *which, const uint32_t *ids,
                    struct view_mix *mix, struct cache_view *partner)
{
    const struct cache_manifest *manifest = views->manifest;
    *mix = (struct view_mix){.kind = VIEW_MIX_NONE, .share = 65536};
    *partner = *which;
    if (which->number == CACHE_EVALUATION_VIEW)
        return;
    view_mix_make(mix, &partner->sample, &views->recipe, manifest->seed, which->id, (uint32_t)which->number,
                  which->sample, manifest->splits[which->split].samples, manifest->size, views->size);
    if (mix->kind != VIEW_MIX_NONE)
        partner->id = ids ? ids[partner->sample] : 0;
}

void cache_view_logits(const struct cache_manifest *manifest, const struct cache_shard *shard,
                       const struct cache_view *which, float *logits)
{
    const int row = which->number == CACHE_EVALUATION_VIEW ? 0 : which->number;
    cache_logits(manifest, shard, which->sample - shard->first, row, logits);
}

enum status cache_base_image(const struct cache_manifest *manifest, const uint8_t *bytes, size_t size, const char *name,
                             struct image *base, struct error *err)
{
    enum status status = STATUS_OK;
    struct image stored = {0};
    *base = (struct image){0};
    const struct image_coding coding = {manifest->encoding, manifest->raw_h, manifest->raw_w, manifest->channels,
                                        manifest->reading};
    TRY(image_decode(&coding, bytes, size, name, &stored, err));
    TRY(image_resize_to(&stored, manifest->resize, manifest->base, base, err));
cleanup:
    image_release(&stored);
    return status;
}

enum status cache_evaluation_image(const struct cache_manifest *manifest, const uint8_t *bytes, size_t size,
                                   const char *name, int side, struct image *image, struct error *err)
{
    struct image base = {0};
    enum status status = cache_base_image(manifest, bytes, size, name, &base, err);
    if (status == STATUS_OK)
        status = evaluation_image(&base, manifest->size, side, image, err);
    image_release(&base);
    return status;
}
