#include "teacher_dump/recheck.h"

#include "shared/base/interrupt.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The largest difference between two runs of a teacher in this precision, relative to the largest value of a view: the
 * float16 rounding of stored values (2^-10) and the rounding of products (2^-11, 2^-9), added up over a network. */
static const double tolerances[] = {
    [PRECISION_FP32] = 2e-3, [PRECISION_TF32] = 1e-2, [PRECISION_FP16] = 1e-2, [PRECISION_BF16] = 6e-2};

/* The cache's own precision if this device has it, and the tolerance for the coarser of the two. */
static enum status choose_engine(struct recheck *recheck, struct error *err)
{
    const char *stored = recheck->cache.manifest.precision;
    struct teacher_engine *engine = &recheck->engine;
    int made = PRECISION_FP32;
    enum status status = STATUS_CONFIG;
    for (int i = PRECISION_FP32; precision_names[i]; i++)
        made = strcmp(stored, precision_names[i]) == 0 ? i : made;
    *engine = (struct teacher_engine){.device = recheck->device,
                                      .threads = recheck->threads,
                                      .gpu_memory = recheck->gpu_memory,
                                      .precision = recheck->precision,
                                      .batch = recheck->batch};
    if (recheck->precision == PRECISION_AUTO) {
        engine->precision = made;
        status = teacher_choose(&recheck->teacher, engine, NULL);
        engine->precision = status == STATUS_OK ? engine->precision : PRECISION_AUTO;
    }
    if (status != STATUS_OK)
        TRY(teacher_choose(&recheck->teacher, engine, err));
    if (recheck->tolerance < 0)
        recheck->tolerance = fmax(tolerances[made], tolerances[engine->precision]);
cleanup:
    return status;
}

/* Checks that this is the teacher of the cache, and that this program makes the same views. */
static enum status check_fit(const struct recheck *recheck, struct error *err)
{
    const struct cache_manifest *manifest = &recheck->cache.manifest;
    const struct teacher *teacher = &recheck->teacher;
    if (strcmp(teacher->digest, manifest->teacher_digest) != 0)
        return error_set(err, STATUS_CONFIG, recheck->teachers.items[0],
                         "is not the teacher of this cache, which is %s with SHA-256 %s (this file: %s)",
                         manifest->teacher_file, manifest->teacher_digest, teacher->digest);
    if (manifest->augment_version != AUGMENT_VERSION)
        return error_set(err, STATUS_CONFIG, recheck->path,
                         "its views were made by algorithm %d, but this program has %d", manifest->augment_version,
                         AUGMENT_VERSION);
    if (teacher->classes != manifest->class_count || teacher->input.c != manifest->channels ||
        teacher->input.h != manifest->size)
        return error_set(err, STATUS_BAD_DATA, recheck->path, "its manifest does not fit its own teacher");
    return STATUS_OK;
}

static enum status open_cache_and_teacher(struct recheck *recheck, struct error *err)
{
    const struct cache_manifest *manifest = &recheck->cache.manifest;
    enum status status = STATUS_OK;
    struct teacher_request request = {
        .teachers = recheck->teachers, .kind = (enum teacher_engine_kind)recheck->kind, .made = manifest};
    TRY(cache_open(&recheck->cache, recheck->path, err));
    TRY(cache_set_data(&recheck->cache, recheck->data, err));
    if (!cache_has_teacher(manifest))
        FAIL(error_set(err, STATUS_CONFIG, recheck->path, "has no teacher: there is nothing to check again"));
    if (cache_is_imported(manifest))
        FAIL(error_set(
            err, STATUS_CONFIG, recheck->path,
            "its answers were imported, and only the program that wrote them can run '%s' again: `teacher_dump "
            "verify` checks every byte of images and answers, `teacher_dump inspect --views` shows the views",
            manifest->teacher_file));
    request.size = manifest->size;
    TRY(teacher_open(&recheck->teacher, &request, err));
    TRY(check_fit(recheck, err));
cleanup:
    return status;
}

static enum status choose_views(struct recheck *recheck, struct error *err)
{
    enum status status = STATUS_OK;
    TRY(memory_new((void **)&recheck->chosen, (size_t)recheck->count, sizeof *recheck->chosen, "the list of views",
                   err));
    TRY(stored_views_choose(&recheck->cache.manifest, recheck->seed, recheck->chosen, recheck->count, err));
cleanup:
    return status;
}

static enum status start_engine(struct recheck *recheck, struct error *err)
{
    const struct cache_manifest *manifest = &recheck->cache.manifest;
    enum status status = STATUS_OK;
    TRY(choose_engine(recheck, err));
    TRY(teacher_start(&recheck->teacher, &recheck->engine, manifest, err));
    TRY(view_batch_init(&recheck->views, manifest, &recheck->teacher, recheck->engine.batch, err));
    if (cache_views_mix(&recheck->views.cache_views, SPLIT_TRAIN)) {
        TRY(memory_new((void **)&recheck->partners, RECHECK_ROUND, sizeof *recheck->partners, "partners", err));
        TRY(recheck_partners_ids(&recheck->cache, &recheck->ids, err));
    }
cleanup:
    return status;
}

/* Memory for the largest value of a view: the logits or a feature. */
static enum status allocate_values(struct recheck *recheck, struct error *err)
{
    const struct cache_manifest *manifest = &recheck->cache.manifest;
    recheck->value_capacity = (size_t)manifest->class_count;
    for (int i = 0; i < manifest->feature_count; i++) {
        const struct cache_feature *feature = &manifest->features[i];
        const struct shape shape = cache_feature_shape(feature->form, recheck->teacher.shapes[1 + i]);
        const size_t count = cache_feature_count(feature);
        if (feature->c != shape.c || feature->h != shape.h || feature->w != shape.w)
            return error_set(err, STATUS_BAD_DATA, recheck->path, "the shape of its feature %s is not the teacher's",
                             feature->tensor);
        recheck->value_capacity = count > recheck->value_capacity ? count : recheck->value_capacity;
    }
    recheck->stored = malloc(recheck->value_capacity * sizeof(float));
    recheck->again = malloc(recheck->value_capacity * sizeof(float));
    if (!recheck->stored || !recheck->again)
        return error_no_memory(err, recheck->value_capacity * sizeof(float), "values to compare");
    return STATUS_OK;
}

enum status recheck_open(struct recheck *recheck, struct error *err)
{
    enum status status = STATUS_OK;
    TRY(open_cache_and_teacher(recheck, err));
    TRY(choose_views(recheck, err));
    TRY(start_engine(recheck, err));
    TRY(allocate_values(recheck, err));
cleanup:
    return status;
}

/* max |again - stored| / max |stored|: float16 rounding alone gives at most 2^-10 between two runs. */
static double difference(const struct recheck *recheck, size_t count)
{
    double largest = 0, scale = 1e-6;
    for (size_t i = 0; i < count; i++) {
        largest = fmax(largest, fabs((double)recheck->again[i] - (double)recheck->stored[i]));
        scale = fmax(scale, fabs((double)recheck->stored[i]));
    }
    return largest / scale;
}

/* Compares what a shard of one sample holds now with what the cache's shard holds. */
static void compare(struct recheck *recheck, const struct cache_shard *shard, const struct cache_shard *one,
                    const struct stored_view *view)
{
    const struct cache_manifest *manifest = &recheck->cache.manifest;
    size_t classes = (size_t)manifest->class_count;
    cache_logits(manifest, shard, view->sample, view->row, recheck->stored);
    cache_logits(manifest, one, 0, view->row, recheck->again);
    double worst = difference(recheck, classes);
    for (int i = 0; i < manifest->feature_count && view->split == SPLIT_TRAIN; i++) {
        const struct cache_feature *feature = &manifest->features[i];
        if (view->row >= feature->views)
            continue;
        cache_feature_value(manifest, shard, i, view->sample, view->row, recheck->stored);
        cache_feature_value(manifest, one, i, 0, view->row, recheck->again);
        worst = fmax(worst, difference(recheck, cache_feature_count(feature)));
    }
    recheck->identical += worst == 0;
    if (worst >= recheck->largest) {
        recheck->largest = worst;
        recheck->worst = *view;
        memcpy(recheck->worst_name, shard->names[view->sample], CACHE_NAME_SIZE);
    }
}

/* Compares answer k of the current batch with what the cache holds for that view. */
static enum status compare_again(struct recheck *recheck, const struct cache_shard *shard,
                                 const struct stored_view *view, const struct view_answers *answers, int k,
                                 struct error *err)
{
    struct cache_shard one = {0};
    enum status status = STATUS_OK;
    TRY(cache_shard_init(&one, &recheck->cache.manifest, view->split, 0, 1, err));
    memcpy(one.names[0], shard->names[view->sample], CACHE_NAME_SIZE);
    TRY(view_batch_store(&recheck->views, answers, k, &one, 0, view->row, err));
    compare(recheck, shard, &one, view);
cleanup:
    cache_shard_release(&one);
    return status;
}

static enum status prepare_view(const struct recheck *recheck, const struct cache_shard *shard,
                                const struct stored_view *view, struct prepared_image *image, struct error *err)
{
    enum status status = STATUS_OK;
    const uint8_t *bytes;
    uint8_t *owned = NULL;
    size_t size;
    TRY(cache_image(&recheck->cache, shard, view->sample, &bytes, &size, &owned, err));
    TRY(prepared_image_make(image, &recheck->cache.manifest, bytes, size, shard->names[view->sample], err));
cleanup:
    free(owned);
    return status;
}

static enum status prepare_partner(const struct recheck *recheck, const struct recheck_partner *partner,
                                   struct prepared_image *image, struct view_request *request, struct error *err)
{
    request->mix = partner->mix;
    request->partner = partner->view;
    request->partner_image = image;
    if (partner->mix.kind == VIEW_MIX_NONE)
        return STATUS_OK;
    return prepared_image_make(image, &recheck->cache.manifest, partner->bytes, partner->size, partner->name, err);
}

/* One batch: chosen views [first, first + count), all of this shard. */
static enum status recheck_batch(struct recheck *recheck, const struct cache_shard *shard, int first, int count,
                                 struct error *err)
{
    const struct stored_view *views = recheck->chosen + first;
    enum status status = STATUS_OK;
    struct view_answers answers;
    struct prepared_image *images = calloc(2 * (size_t)count, sizeof *images); /* the views', then the partners' */
    struct view_request *requests = calloc((size_t)count, sizeof *requests);
    if (!images || !requests)
        FAIL(error_no_memory(err, (size_t)count * sizeof *images, "a batch"));
    for (int k = 0; k < count; k++) {
        const struct stored_view *view = &views[k];
        TRY(prepare_view(recheck, shard, view, &images[k], err));
        requests[k] = (struct view_request){
            .image = &images[k],
            .which = stored_view_identity(&recheck->cache.manifest, view, shard->ids[view->sample])};
        if (recheck->partners)
            TRY(prepare_partner(recheck, &recheck->partners[first - recheck->round + k], &images[count + k],
                                &requests[k], err));
    }
    TRY(view_batch_submit(&recheck->views, 0, requests, count, err));
    TRY(view_batch_collect(&recheck->views, 0, &answers, err));
    for (int k = 0; k < count; k++)
        TRY(compare_again(recheck, shard, &views[k], &answers, k, err));
cleanup:
    for (int k = 0; k < 2 * count && images; k++)
        prepared_image_release(&images[k]);
    free(images);
    free(requests);
    return status;
}

/* Chosen views from `first` on that make one batch: of one shard and one round. */
static int count_views(const struct recheck *recheck, int first)
{
    const struct stored_view *views = recheck->chosen + first;
    int count = 1;
    while (first + count < recheck->count && (first + count) % RECHECK_ROUND && count < recheck->engine.batch &&
           views[count].shard == views[0].shard && views[count].split == views[0].split)
        count++;
    return count;
}

/* If a round begins at `first`: loads the partners of its views. */
static enum status load_partners(struct recheck *recheck, int first, struct error *err)
{
    const int left = recheck->count - first;
    if (!recheck->partners || first % RECHECK_ROUND)
        return STATUS_OK;
    recheck_partners_release(recheck->partners, RECHECK_ROUND);
    recheck->round = first;
    return recheck_partners_load(recheck->partners, &recheck->cache, &recheck->views.cache_views, recheck->ids,
                                 recheck->chosen + first, left < RECHECK_ROUND ? left : RECHECK_ROUND, err);
}

enum status recheck_run(struct recheck *recheck, struct error *err)
{
    enum status status = STATUS_OK;
    struct cache_shard shard = {0};
    progress_begin(&recheck->progress, "recheck", "views", (size_t)recheck->count, 0);
    for (int k = 0, count; k < recheck->count; k += count) {
        const struct stored_view *view = &recheck->chosen[k];
        count = count_views(recheck, k);
        if (k == 0 || view->shard != view[-1].shard || view->split != view[-1].split) {
            cache_shard_release(&shard);
            TRY(cache_read_shard(&recheck->cache, view->split, view->shard, CACHE_READ_IMAGES | CACHE_READ_FEATURES,
                                 &shard, err));
        }
        TRY(load_partners(recheck, k, err));
        TRY(recheck_batch(recheck, &shard, k, count, err));
        progress_update(&recheck->progress, (size_t)(k + count), NULL);
        if (interrupt_requested())
            FAIL(error_set(err, STATUS_INTERRUPTED, recheck->path, "stopped after %d of %d views", k + count,
                           recheck->count));
    }
cleanup:
    progress_end(&recheck->progress);
    cache_shard_release(&shard);
    return status;
}

void recheck_release(struct recheck *recheck)
{
    memory_free(recheck->chosen);
    if (recheck->partners)
        recheck_partners_release(recheck->partners, RECHECK_ROUND);
    memory_free(recheck->partners);
    free(recheck->ids);
    free(recheck->stored);
    free(recheck->again);
    view_batch_release(&recheck->views);
    teacher_release(&recheck->teacher);
    cache_release(&recheck->cache);
}
