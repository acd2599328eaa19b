#include "formats/cache/cache_library_call.h"

#include "formats/cache/answers.h"
#include "formats/cache/cache_row.h"
#include "formats/cache/cache_view.h"
#include "formats/cache/manifest.h"
#include "formats/cache/prepared_image.h"
#include "shared/base/threads.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct softcache_views {
    struct cache_manifest manifest;
    struct cache_views views;
    struct thread_pool *pool;
};

struct softcache_image {
    struct prepared_image prepared;
};

struct softcache_rows {
    struct cache_manifest manifest;
    struct cache_shard one[SPLIT_COUNT]; /* a sample of each split, whose views are filled one after the other */
};

int softcache_interface(void)
{
    return CALL_INTERFACE;
}

/* ---- views ---- */
static enum status check_views(const struct softcache_views *views, int side, struct error *err)
{
    const struct cache_manifest *manifest = &views->manifest;
    if (manifest->augment_version != AUGMENT_VERSION)
        return error_set(err, STATUS_CONFIG, NULL,
                         "the views of this cache were made by algorithm %d, but libsoftcache_views.so has %d",
                         manifest->augment_version, AUGMENT_VERSION);
    if (side < 0 || side > VIEW_MAX_SIZE)
        return error_set(err, STATUS_USAGE, NULL, "views have 1 to %d pixels a side, not %d", VIEW_MAX_SIZE, side);
    return STATUS_OK;
}

int softcache_views_open(struct softcache_views **out, const char *text, size_t size, int side, int threads,
                         char *message)
{
    enum status status = STATUS_OK;
    struct error err = {0};
    struct softcache_views *views = calloc(1, sizeof *views);
    *out = NULL;
    if (!views)
        FAIL(error_no_memory(&err, sizeof *views, "views"));
    TRY(manifest_parse(&views->manifest, text, size, true, "cache.json", &err));
    TRY(check_views(views, side, &err));
    TRY(cache_views_init(&views->views, &views->manifest, side ? side : views->manifest.size, &err));
    TRY(thread_pool_new(&views->pool, threads, &err));
    *out = views;
    views = NULL;
cleanup:
    softcache_views_close(views);
    return library_tell(status, &err, message);
}

void softcache_views_close(struct softcache_views *views)
{
    if (!views)
        return;
    thread_pool_free(views->pool);
    arena_release(&views->manifest.arena);
    free(views);
}

struct make_job {
    const struct softcache_views *views;
    const uint8_t *const *bytes;
    const size_t *sizes;
    const char *const *names;
    struct softcache_image **images;
};

static enum status make_task(void *context, int k, int worker, struct error *err)
{
    (void)worker;
    const struct make_job *job = context;
    struct softcache_image *image = calloc(1, sizeof *image);
    if (!image)
        return error_no_memory(err, sizeof *image, "an image");
    const enum status status =
        prepared_image_make(&image->prepared, &job->views->manifest, job->bytes[k], job->sizes[k], job->names[k], err);
    if (status == STATUS_OK)
        job->images[k] = image;
    else
        free(image);
    return status;
}

int softcache_images_make(const struct softcache_views *views, int count, const uint8_t *const *bytes,
                          const size_t *sizes, const char *const *names, struct softcache_image **images, char *message)
{
    struct make_job job = {views, bytes, sizes, names, images};
    struct error err = {0};
    for (int k = 0; k < count; k++)
        images[k] = NULL;
    return library_tell(thread_pool_try(views->pool, count, make_task, &job, &err), &err, message);
}

void softcache_image_free(struct softcache_image *image)
{
    if (!image)
        return;
    prepared_image_release(&image->prepared);
    free(image);
}

const uint8_t *softcache_image_base(const struct softcache_image *image, int32_t shape[3])
{
    const struct image *base = &image->prepared.levels[0];
    shape[0] = base->h;
    shape[1] = base->w;
    shape[2] = base->channels;
    return base->pixels;
}

size_t softcache_image_bytes(const struct softcache_image *image)
{
    return prepared_image_bytes(&image->prepared);
}

static enum status check_choice(const struct softcache_views *views, const struct softcache_choice *choice,
                                struct error *err)
{
    if (choice->split < 0 || choice->split >= SPLIT_COUNT)
        return error_set(err, STATUS_USAGE, NULL, "there is no split %d", choice->split);
    const struct cache_split *split = &views->manifest.splits[choice->split];
    for (int k = 0; k < choice->count; k++)
        if (choice->samples[k] >= split->samples || choice->views[k] < 0 || choice->views[k] >= split->views)
            return error_set(err, STATUS_USAGE, NULL,
                             "split %s has %u samples of %d views, but no view %d of sample %u",
                             split_name((enum split)choice->split), split->samples, split->views, choice->views[k],
                             choice->samples[k]);
    return STATUS_OK;
}

static struct cache_view chosen_view(const struct softcache_choice *choice, int k)
{
    const enum split split = (enum split)choice->split;
    return (struct cache_view){split, choice->samples[k], choice->ids[k], cache_view_number(split, choice->views[k])};
}

int softcache_views_mix(const struct softcache_views *views, const struct softcache_choice *choice,
                        struct softcache_mix *mixes, char *message)
{
    struct error err = {0};
    const enum status status = check_choice(views, choice, &err);
    for (int k = 0; k < choice->count && status == STATUS_OK; k++) {
        const struct cache_view which = chosen_view(choice, k);
        struct cache_view partner;
        struct view_mix mix;
        cache_view_mix(&views->views, &which, NULL, &mix, &partner);
        mixes[k] = (struct softcache_mix){mix.kind, mix.share, mix.x, mix.y, mix.w, mix.h, partner.sample};
    }
    return library_tell(status, &err, message);
}

struct render_job {
    const struct softcache_views *views;
    const struct softcache_choice *choice;
    const struct softcache_image *const *images;
    const uint32_t *partner_ids;
    const struct softcache_image *const *partners;
    uint8_t *pixels;
};

static enum status render_task(void *context, int k, int worker, struct error *err)
{
    (void)worker;
    const struct render_job *job = context;
    const struct cache_views *views = &job->views->views;
    const int channels = job->views->manifest.channels;
    const size_t bytes = (size_t)views->size * (size_t)views->size * (size_t)channels;
    const struct cache_view which = chosen_view(job->choice, k);
    const struct prepared_image *partner = job->partners && job->partners[k] ? &job->partners[k]->prepared : NULL;
    return prepared_view_pixels(views, &which, &job->images[k]->prepared, job->partner_ids ? job->partner_ids[k] : 0,
                                partner, job->pixels + (size_t)k * bytes, err);
}

int softcache_views_render(const struct softcache_views *views, const struct softcache_choice *choice,
                           const struct softcache_image *const *images, const uint32_t *partner_ids,
                           const struct softcache_image *const *partners, uint8_t *pixels, char *message)
{
    struct render_job job = {views, choice, images, partner_ids, partners, pixels};
    struct error err = {0};
    enum status status = check_choice(views, choice, &err);
    if (status == STATUS_OK && cache_views_mix(&views->views, (enum split)choice->split) && !(partner_ids && partners))
        status = error_set(&err, STATUS_USAGE, NULL, "these views are mixed with others, whose images are missing");
    if (status == STATUS_OK)
        status = thread_pool_try(views->pool, choice->count, render_task, &job, &err);
    return library_tell(status, &err, message);
}

int softcache_views_describe(const struct softcache_views *views, const struct softcache_choice *choice, int k,
                             const struct softcache_image *image, char *text, size_t size, char *message)
{
    struct error err = {0};
    const enum status status = check_choice(views, choice, &err);
    if (status == STATUS_OK) {
        const struct cache_view which = chosen_view(choice, k);
        const struct image *base = &image->prepared.levels[0];
        struct cache_view partner;
        struct view_mix mix;
        struct view view;
        char more[100] = "";
        if (which.number == CACHE_EVALUATION_VIEW && views->views.size != views->manifest.size) {
            /* evaluation_image: the teacher's view, resized */
            view_make_evaluation(&view, base->h, base->w, views->manifest.size);
            snprintf(more, sizeof more, "  resized to %dx%d", views->views.size, views->views.size);
        } else {
            cache_view_make(&views->views, &which, base->h, base->w, &view);
            cache_view_mix(&views->views, &which, NULL, &mix, &partner);
            view_mix_describe(&mix, partner.sample, more, sizeof more);
        }
        view_describe(&view, text, size);
        snprintf(text + strlen(text), size - strlen(text), "%s", more);
    }
    return library_tell(status, &err, message);
}

/* ---- answers ---- */
int softcache_rows_open(struct softcache_rows **out, const char *text, size_t size, char *message)
{
    enum status status = STATUS_OK;
    struct error err = {0};
    struct softcache_rows *rows = calloc(1, sizeof *rows);
    *out = NULL;
    if (!rows)
        FAIL(error_no_memory(&err, sizeof *rows, "answers"));
    TRY(answers_parse(&rows->manifest, text, size, "answers.json", &err));
    for (int s = 0; s < SPLIT_COUNT; s++)
        TRY(cache_shard_init(&rows->one[s], &rows->manifest, (enum split)s, 0, 1, &err));
    *out = rows;
    rows = NULL;
cleanup:
    softcache_rows_close(rows);
    return library_tell(status, &err, message);
}

void softcache_rows_close(struct softcache_rows *rows)
{
    if (!rows)
        return;
    for (int s = 0; s < SPLIT_COUNT; s++)
        cache_shard_release(&rows->one[s]);
    arena_release(&rows->manifest.arena);
    free(rows);
}

size_t softcache_rows_bytes(const struct softcache_rows *rows, int split, uint64_t first, uint64_t count)
{
    return cache_row_bytes(&rows->manifest, (enum split)split, first, count);
}

static enum status check_shapes(const struct cache_manifest *manifest, const int32_t *shapes, struct error *err)
{
    for (int i = 0; i < manifest->feature_count; i++) {
        const struct cache_feature *feature = &manifest->features[i];
        const struct shape value = {shapes[3 * i], shapes[3 * i + 1], shapes[3 * i + 2]};
        const struct shape stored = cache_feature_shape(feature->form, value);
        if (value.c < 1 || value.h < 1 || value.w < 1 || stored.c != feature->c || stored.h != feature->h ||
            stored.w != feature->w)
            return error_set(err, STATUS_USAGE, feature->tensor, "is %dx%dx%d, but it was %dx%dx%d stored as %s",
                             value.c, value.h, value.w, feature->c, feature->h, feature->w,
                             feature_form_name(feature->form));
    }
    return STATUS_OK;
}

int softcache_rows_pack(struct softcache_rows *rows, int split, uint64_t first, int count, const float *logits,
                        const float *const *values, const int32_t *shapes, uint8_t *out, char *message)
{
    const struct cache_manifest *manifest = &rows->manifest;
    enum status status = STATUS_OK;
    struct error err = {0};
    if (split < 0 || split >= SPLIT_COUNT)
        FAIL(error_set(&err, STATUS_USAGE, NULL, "there is no split %d", split));
    struct cache_shard *one = &rows->one[split];
    if (split == SPLIT_TRAIN)
        TRY(check_shapes(manifest, shapes, &err));
    for (int k = 0; k < count; k++) {
        const uint64_t row = first + (uint64_t)k, views = (uint64_t)one->views;
        const int view = (int)(row % views);
        snprintf(one->names[0], sizeof one->names[0], "sample %llu of split %s", (unsigned long long)(row / views),
                 split_name((enum split)split));
        TRY(cache_store_logits(manifest, one, 0, view, logits + (size_t)k * (size_t)manifest->class_count, &err));
        for (int i = 0; i < manifest->feature_count && split == SPLIT_TRAIN; i++) {
            const struct shape shape = {shapes[3 * i], shapes[3 * i + 1], shapes[3 * i + 2]};
            const size_t value = (size_t)shape.c * (size_t)shape.h * (size_t)shape.w;
            if (view < manifest->features[i].views)
                TRY(cache_store_feature(manifest, one, i, 0, view, values[i] + (size_t)k * value, shape, &err));
        }
        out += cache_row_get(manifest, one, 0, view, out);
    }
cleanup:
    return library_tell(status, &err, message);
}
