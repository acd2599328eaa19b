#include "teacher_dump/view_batch.h"

#include <stdlib.h>

static enum status make_partners(struct view_batch *views, struct error *err)
{
    const size_t batch = (size_t)views->batch;
    views->mixes = calloc(batch, sizeof *views->mixes);
    views->partner_views = calloc(batch, sizeof *views->partner_views);
    views->partner_levels = calloc(batch, sizeof *views->partner_levels);
    views->partner_level_counts = calloc(batch, sizeof *views->partner_level_counts);
    if (!views->mixes || !views->partner_views || !views->partner_levels || !views->partner_level_counts)
        return error_no_memory(err, batch * sizeof *views->partner_views, "a batch of views");
    return STATUS_OK;
}

enum status view_batch_init(struct view_batch *views, const struct cache_manifest *manifest, struct teacher *teacher,
                            int batch, struct error *err)
{
    enum status status = STATUS_OK;
    *views = (struct view_batch){.teacher = teacher, .batch = batch, .bgr = manifest->bgr};
    TRY(cache_views_init(&views->cache_views, manifest, manifest->size, err));
    views->views = calloc((size_t)batch, sizeof *views->views);
    views->levels = calloc((size_t)batch, sizeof *views->levels);
    views->level_counts = calloc((size_t)batch, sizeof *views->level_counts);
    if (!views->views || !views->levels || !views->level_counts)
        FAIL(error_no_memory(err, (size_t)batch * sizeof *views->views, "a batch of views"));
    if (cache_views_mix(&views->cache_views, SPLIT_TRAIN))
        TRY(make_partners(views, err));
cleanup:
    if (status != STATUS_OK)
        view_batch_release(views);
    return status;
}

void view_batch_release(struct view_batch *views)
{
    free(views->views);
    free(views->levels);
    free(views->level_counts);
    free(views->mixes);
    free(views->partner_views);
    free(views->partner_levels);
    free(views->partner_level_counts);
    *views = (struct view_batch){0};
}

static void set_partner(struct view_batch *views, int k, const struct view_request *request)
{
    const struct prepared_image *image = request->partner_image;
    views->mixes[k] = request->mix;
    if (request->mix.kind == VIEW_MIX_NONE)
        return;
    cache_view_make(&views->cache_views, &request->partner, image->levels[0].h, image->levels[0].w,
                    &views->partner_views[k]);
    views->partner_levels[k] = image->levels;
    views->partner_level_counts[k] = image->level_count;
}

enum status view_batch_submit(struct view_batch *views, int buffer, const struct view_request *requests, int count,
                              struct error *err)
{
    for (int k = 0; k < count; k++) {
        const struct view_request *request = &requests[k];
        const struct prepared_image *image = request->image;
        cache_view_make(&views->cache_views, &request->which, image->levels[0].h, image->levels[0].w, &views->views[k]);
        views->levels[k] = image->levels;
        views->level_counts[k] = image->level_count;
        if (views->mixes)
            set_partner(views, k, request);
    }
    const struct engine_batch batch = {.count = count,
                                       .views = views->views,
                                       .levels = views->levels,
                                       .level_counts = views->level_counts,
                                       .mixes = views->mixes,
                                       .partner_views = views->partner_views,
                                       .partner_levels = views->partner_levels,
                                       .partner_level_counts = views->partner_level_counts,
                                       .table = views->cache_views.table,
                                       .bgr = views->bgr};
    return teacher_submit(views->teacher, buffer, &batch, err);
}

enum status view_batch_collect(const struct view_batch *views, int buffer, struct view_answers *answers,
                               struct error *err)
{
    return teacher_collect(views->teacher, buffer, answers->outputs, err);
}

enum status view_batch_store(const struct view_batch *views, const struct view_answers *answers, int k,
                             struct cache_shard *shard, uint32_t sample, int view, struct error *err)
{
    const struct cache_manifest *manifest = views->cache_views.manifest;
    enum status status = cache_store_logits(manifest, shard, sample, view,
                                            answers->outputs[0] + (size_t)k * (size_t)manifest->class_count, err);
    for (int i = 0; i < manifest->feature_count && shard->split == SPLIT_TRAIN && status == STATUS_OK; i++) {
        const struct shape *shape = &views->teacher->shapes[1 + i];
        size_t count = (size_t)shape->c * (size_t)shape->h * (size_t)shape->w;
        if (view < manifest->features[i].views)
            status = cache_store_feature(manifest, shard, i, sample, view, answers->outputs[1 + i] + (size_t)k * count,
                                         *shape, err);
    }
    return status;
}
