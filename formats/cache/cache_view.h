/* From (sample, view) to the parameters of the view's pixels: the one place that says which seed, id, recipe, sizes and
 * partner make a view of a cache. Stage one renders these views for the teacher, stage two the same ones for students.
 *
 * The base image comes from cache_base_image; the view of it is cache_view_make; if the recipe mixes views,
 * cache_view_mix says with which sample's view of the same number, and the pixels are view_render_mixed
 * (shared/augment/view.h). What the teacher said about it is cache_view_logits. */
#ifndef FORMATS_CACHE_CACHE_VIEW_H
#define FORMATS_CACHE_CACHE_VIEW_H

#include "formats/cache/cache.h"
#include "shared/augment/recipe.h"
#include "shared/augment/view.h"

/* What all views of a cache have in common. */
struct cache_views {
    const struct cache_manifest *manifest; /* borrowed */
    struct recipe recipe;
    int size;            /* side of the rendered views; manifest->size is what the teacher sees */
    float table[3][256]; /* normalisation, for view_normalise */
};

/* size: of the rendered views; the geometry is that of the teacher's views whatever the size. STATUS_BAD_DATA: the
 * recipe cannot be parsed. */
enum status cache_views_init(struct cache_views *views, const struct cache_manifest *manifest, int size,
                             struct error *err);
/* Whether the split's stored views are mixed: training views of a recipe with mixup or cutmix. */
bool cache_views_mix(const struct cache_views *views, enum split split);

enum { CACHE_EVALUATION_VIEW = -1 };

/* One view of one sample. */
struct cache_view {
    enum split split;
    uint32_t sample; /* index in the split */
    uint32_t id;     /* of that sample (cache_shard.ids): its views are a function of it */
    int number;      /* which of the sample's augmented views, or CACHE_EVALUATION_VIEW */
};

/* The number of row `row` of a split's stored views: training samples have augmented views, the others the evaluation
 * view. */
int cache_view_number(enum split split, int row);

/* The parameters of a view, for its sample's base image of base_h x base_w. Evaluation views exist at the teacher's
 * size; students of other sizes see cache_evaluation_image. */
void cache_view_make(const struct cache_views *views, const struct cache_view *which, int base_h, int base_w,
                     struct view *view);
/* The lowest level (shared/augment/view.h) that training views of sample `id` have at views->size or fewer pixels. */
int cache_view_least_level(const struct cache_views *views, uint32_t id, int base_h, int base_w);
/* How a view is mixed, and with which view: the one of the same number of another sample, or `which` itself if nothing
 * is mixed. Evaluation views never are. ids: [samples of the split] of each sample; NULL: partner->id stays 0. */
void cache_view_mix(const struct cache_views *views, const struct cache_view *which, const uint32_t *ids,
                    struct view_mix *mix, struct cache_view *partner);
/* logits[class_count]: the teacher's for a stored view. shard: the one that holds the sample. */
void cache_view_logits(const struct cache_manifest *manifest, const struct cache_shard *shard,
                       const struct cache_view *which, float *logits);

/* The base image of a stored image (bytes as from cache_image): decoded, and resized as manifest->resize and
 * manifest->base say. The caller releases it. name: for errors. STATUS_BAD_DATA. */
enum status cache_base_image(const struct cache_manifest *manifest, const uint8_t *bytes, size_t size, const char *name,
                             struct image *base, struct error *err);
/* What a network of side x side pixels sees of a stored image in evaluation (evaluation_image of the base image). */
enum status cache_evaluation_image(const struct cache_manifest *manifest, const uint8_t *bytes, size_t size,
                                   const char *name, int side, struct image *image, struct error *err);

#endif
