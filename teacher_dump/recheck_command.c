/* Runs the teacher again on random (sample, view) pairs: the student's pixels are the teacher's, or this says so. */
#include "teacher_dump/commands.h"

#include "shared/base/interrupt.h"
#include "shared/base/options.h"
#include "shared/base/progress.h"
#include "teacher_dump/dump_options.h"
#include "teacher_dump/pair_partners.h"
#include "teacher_dump/summary.h"
#include "teacher_dump/view_batch.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ROUND = 1024 }; /* pairs whose partners' images are in memory at a time */

struct recheck {
    const char *path, *teacher_path, *device;
    int count, batch, threads, precision;
    uint64_t seed, gpu_memory;
    double tolerance; /* below 0: what fits the precisions */
    bool json, quiet;
    struct progress progress;
    struct cache cache;
    struct teacher teacher;
    struct teacher_engine engine;
    struct view_batch views;
    struct view_pair *pairs; /* [count] in order of the shards */
    /* where the recipe mixes views; otherwise NULL */
    uint32_t *ids;                 /* of the training samples */
    struct pair_partner *partners; /* [ROUND] those of pairs [round, round + ROUND) */
    int round;
    float *stored, *again; /* [value_room] */
    size_t value_capacity;
    /* results */
    double largest; /* difference relative to the largest magnitude of the same stored row */
    struct view_pair worst;
    char worst_name[CACHE_NAME_SIZE];
    int identical; /* pairs whose stored bytes come out again */
};

/* Two runs of a teacher in this precision differ at most so much, relative to the largest value of a view: float16
 * rounding of what is stored (2^-10) alone, and what the products' rounding (2^-11, 2^-9) adds up to over a network. */
static const double tolerances[] = {
    [PRECISION_FP32] = 2e-3, [PRECISION_TF32] = 1e-2, [PRECISION_FP16] = 1e-2, [PRECISION_BF16] = 6e-2};

/* The cache's own precision where this device has it, and the tolerance that fits the coarser of the two. */
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
        status = teacher_choose(engine, NULL);
        engine->precision = status == STATUS_OK ? engine->precision : PRECISION_AUTO;
    }
    if (status != STATUS_OK)
        TRY(teacher_choose(engine, err));
    if (recheck->tolerance < 0)
        recheck->tolerance = fmax(tolerances[made], tolerances[engine->precision]);
cleanup:
    return status;
}

static enum status open_all(struct recheck *recheck, struct error *err)
{
    const struct cache_manifest *manifest = &recheck->cache.manifest;
    enum status status = STATUS_OK;
    TRY(cache_open(&recheck->cache, recheck->path, err));
    if (!cache_has_teacher(manifest)) {
        status = error_set(err, STATUS_CONFIG, recheck->path, "has no teacher: there is nothing to check again");
        goto cleanup;
    }
    TRY(teacher_open(&recheck->teacher, recheck->teacher_path, manifest->size, err));
    if (strcmp(recheck->teacher.digest, manifest->teacher_digest) != 0) {
        status = error_set(err, STATUS_CONFIG, recheck->teacher_path,
                           "is not the teacher of this cache, which is %s with SHA-256 %s (this file: %s)",
                           manifest->teacher_file, manifest->teacher_digest, recheck->teacher.digest);
        goto cleanup;
    }
    if (manifest->augment_version != AUGMENT_VERSION) {
        status = error_set(err, STATUS_CONFIG, recheck->path, "its views are of algorithm %d, this program makes %d",
                           manifest->augment_version, AUGMENT_VERSION);
        goto cleanup;
    }
    if (recheck->teacher.classes != manifest->class_count || recheck->teacher.input.c != manifest->channels ||
        recheck->teacher.input.h != manifest->size) {
        status = error_set(err, STATUS_BAD_DATA, recheck->path, "its manifest does not fit its own teacher");
        goto cleanup;
    }
    TRY(memory_new((void **)&recheck->pairs, (size_t)recheck->count, sizeof *recheck->pairs, "pairs", err));
    TRY(view_pairs_choose(manifest, recheck->seed, recheck->pairs, recheck->count, err));
    TRY(choose_engine(recheck, err));
    TRY(teacher_start(&recheck->teacher, &recheck->engine, manifest, err));
    TRY(view_batch_init(&recheck->views, manifest, &recheck->teacher, recheck->engine.batch, err));
    if (recipe_mixes(&recheck->views.recipe)) {
        TRY(memory_new((void **)&recheck->partners, ROUND, sizeof *recheck->partners, "partners", err));
        TRY(pair_partners_ids(&recheck->cache, &recheck->ids, err));
    }
    recheck->value_capacity = (size_t)manifest->class_count;
    for (int i = 0; i < manifest->feature_count; i++) {
        const struct cache_feature *feature = &manifest->features[i];
        const struct shape shape = cache_feature_shape(feature->form, recheck->teacher.shapes[1 + i]);
        if (feature->c != shape.c || feature->h != shape.h || feature->w != shape.w) {
            status = error_set(err, STATUS_BAD_DATA, recheck->path,
                               "its feature %s has another shape than the teacher's", feature->tensor);
            goto cleanup;
        }
        size_t count = cache_feature_count(feature);
        recheck->value_capacity = count > recheck->value_capacity ? count : recheck->value_capacity;
    }
    recheck->stored = malloc(recheck->value_capacity * sizeof(float));
    recheck->again = malloc(recheck->value_capacity * sizeof(float));
    if (!recheck->stored || !recheck->again)
        status = error_no_memory(err, recheck->value_capacity * sizeof(float), "values to compare");
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

/* Compares what a one-sample shard holds now with what the cache's shard holds. */
static void compare(struct recheck *recheck, const struct cache_shard *shard, const struct cache_shard *one,
                    const struct view_pair *pair)
{
    const struct cache_manifest *manifest = &recheck->cache.manifest;
    size_t classes = (size_t)manifest->class_count;
    cache_logits(manifest, shard, pair->sample, pair->view, recheck->stored);
    cache_logits(manifest, one, 0, pair->view, recheck->again);
    double worst = difference(recheck, classes);
    for (int i = 0; i < manifest->feature_count && pair->split == SPLIT_TRAIN; i++) {
        const struct cache_feature *feature = &manifest->features[i];
        if (pair->view >= feature->views)
            continue;
        cache_feature_value(manifest, shard, i, pair->sample, pair->view, recheck->stored);
        cache_feature_value(manifest, one, i, 0, pair->view, recheck->again);
        worst = fmax(worst, difference(recheck, cache_feature_count(feature)));
    }
    recheck->identical += worst == 0;
    if (worst >= recheck->largest) {
        recheck->largest = worst;
        recheck->worst = *pair;
        memcpy(recheck->worst_name, shard->names[pair->sample], CACHE_NAME_SIZE);
    }
}

/* What the teacher says now about pair k of the batch in hand, and how far that is from the cache. */
static enum status compare_again(struct recheck *recheck, const struct cache_shard *shard, const struct view_pair *pair,
                                 const struct view_answers *answers, int k, struct error *err)
{
    struct cache_shard one = {0};
    enum status status = STATUS_OK;
    TRY(cache_shard_init(&one, &recheck->cache.manifest, pair->split, 0, 1, err));
    memcpy(one.names[0], shard->names[pair->sample], CACHE_NAME_SIZE);
    TRY(view_batch_store(&recheck->views, answers, k, &one, 0, pair->view, err));
    compare(recheck, shard, &one, pair);
cleanup:
    cache_shard_release(&one);
    return status;
}

static enum status prepare_pair(const struct recheck *recheck, const struct cache_shard *shard,
                                const struct view_pair *pair, struct prepared_image *image, struct error *err)
{
    enum status status = STATUS_OK;
    const uint8_t *bytes;
    uint8_t *owned = NULL;
    size_t size;
    TRY(cache_image(&recheck->cache, shard, pair->sample, &bytes, &size, &owned, err));
    TRY(prepared_image_make(image, &recheck->cache.manifest, bytes, size, shard->names[pair->sample], err));
cleanup:
    free(owned);
    return status;
}

static enum status prepare_partner(const struct recheck *recheck, const struct pair_partner *partner,
                                   struct prepared_image *image, struct view_request *request, struct error *err)
{
    request->mix = partner->mix;
    request->partner_index = partner->index;
    request->partner_id = partner->id;
    request->partner = image;
    if (partner->mix.kind == VIEW_MIX_NONE)
        return STATUS_OK;
    return prepared_image_make(image, &recheck->cache.manifest, partner->bytes, partner->size, partner->name, err);
}

/* One batch: pairs [first, first + count), which are of a shard. */
static enum status recheck_pairs(struct recheck *recheck, const struct cache_shard *shard, int first, int count,
                                 struct error *err)
{
    const struct view_pair *pairs = recheck->pairs + first;
    enum status status = STATUS_OK;
    struct view_answers answers;
    struct prepared_image *images = calloc(2 * (size_t)count, sizeof *images); /* and the partners' */
    struct view_request *requests = calloc((size_t)count, sizeof *requests);
    if (!images || !requests) {
        status = error_no_memory(err, (size_t)count * sizeof *images, "a batch");
        goto cleanup;
    }
    for (int k = 0; k < count; k++) {
        const struct view_pair *pair = &pairs[k];
        TRY(prepare_pair(recheck, shard, pair, &images[k], err));
        requests[k] = (struct view_request){
            .image = &images[k], .split = pair->split, .id = shard->ids[pair->sample], .view = (uint32_t)pair->view};
        if (recheck->partners)
            TRY(prepare_partner(recheck, &recheck->partners[first - recheck->round + k], &images[count + k],
                                &requests[k], err));
    }
    TRY(view_batch_submit(&recheck->views, 0, requests, count, err));
    TRY(view_batch_collect(&recheck->views, 0, &answers, err));
    for (int k = 0; k < count; k++)
        TRY(compare_again(recheck, shard, &pairs[k], &answers, k, err));
cleanup:
    for (int k = 0; k < 2 * count && images; k++)
        prepared_image_release(&images[k]);
    free(images);
    free(requests);
    return status;
}

/* Pairs from `first` on that are of one shard, at most a batch, within a round. */
static int count_pairs(const struct recheck *recheck, int first)
{
    const struct view_pair *pairs = recheck->pairs + first;
    int count = 1;
    while (first + count < recheck->count && (first + count) % ROUND && count < recheck->engine.batch &&
           pairs[count].shard == pairs[0].shard && pairs[count].split == pairs[0].split)
        count++;
    return count;
}

/* Where a round begins: the partners of its pairs. */
static enum status load_partners(struct recheck *recheck, int first, struct error *err)
{
    const int left = recheck->count - first;
    if (!recheck->partners || first % ROUND)
        return STATUS_OK;
    pair_partners_release(recheck->partners, ROUND);
    recheck->round = first;
    return pair_partners_load(recheck->partners, &recheck->cache, &recheck->views.recipe, recheck->ids,
                              recheck->pairs + first, left < ROUND ? left : ROUND, err);
}

static enum status recheck_all(struct recheck *recheck, struct error *err)
{
    enum status status = STATUS_OK;
    struct cache_shard shard = {0};
    progress_begin(&recheck->progress, "recheck", "views", (size_t)recheck->count, 0);
    for (int k = 0, count; k < recheck->count; k += count) {
        const struct view_pair *pair = &recheck->pairs[k];
        count = count_pairs(recheck, k);
        if (k == 0 || pair->shard != pair[-1].shard || pair->split != pair[-1].split) {
            cache_shard_release(&shard);
            TRY(cache_read_shard(&recheck->cache, pair->split, pair->shard, CACHE_READ_IMAGES | CACHE_READ_FEATURES,
                                 &shard, err));
        }
        TRY(load_partners(recheck, k, err));
        TRY(recheck_pairs(recheck, &shard, k, count, err));
        progress_update(&recheck->progress, (size_t)(k + count), NULL);
        if (interrupt_requested()) {
            status = error_set(err, STATUS_INTERRUPTED, recheck->path, "stopped after %d of %d views", k + count,
                               recheck->count);
            goto cleanup;
        }
    }
cleanup:
    progress_end(&recheck->progress);
    cache_shard_release(&shard);
    return status;
}

static enum status report(const struct recheck *recheck, struct error *err)
{
    const struct cache_manifest *manifest = &recheck->cache.manifest;
    const char *precision = precision_name((enum precision)recheck->engine.precision);
    if (recheck->json) {
        cJSON *object = cJSON_CreateObject();
        cJSON_AddNumberToObject(object, "views", recheck->count);
        cJSON_AddNumberToObject(object, "identical", recheck->identical);
        cJSON_AddNumberToObject(object, "largest_difference", recheck->largest);
        cJSON_AddNumberToObject(object, "tolerance", recheck->tolerance);
        cJSON_AddStringToObject(object, "device", recheck->engine.backend->name);
        cJSON_AddStringToObject(object, "precision", precision);
        enum status status = summary_print_json(object, err);
        if (status != STATUS_OK)
            return status;
    } else {
        printf("%s: %d views rechecked, %d identical to the last bit; largest difference %.2g of the largest value "
               "(made on %s in %s, this is %s in %s: tolerance %.2g)\n",
               recheck->path, recheck->count, recheck->identical, recheck->largest, manifest->device,
               manifest->precision, recheck->engine.backend->name, precision, recheck->tolerance);
    }
    if (recheck->largest <= recheck->tolerance)
        return STATUS_OK;
    return error_set(
        err, STATUS_BAD_DATA, recheck->path,
        "view %d of %s differs by %.2g of its largest value: the cache was made by another program or device, or "
        "from other images",
        recheck->worst.view, recheck->worst_name, recheck->largest);
}

static void release_all(struct recheck *recheck)
{
    memory_free(recheck->pairs);
    if (recheck->partners)
        pair_partners_release(recheck->partners, ROUND);
    memory_free(recheck->partners);
    free(recheck->ids);
    free(recheck->stored);
    free(recheck->again);
    view_batch_release(&recheck->views);
    teacher_release(&recheck->teacher);
    cache_release(&recheck->cache);
}

enum status command_recheck(int argc, char **argv, struct error *err)
{
    struct recheck recheck = {.tolerance = -1};
    enum status status = STATUS_OK;
    const struct option_spec specs[] = {
        {"cache", OPTION_POSITIONAL, &recheck.path, "CACHE", NULL, "the cache", .required = true},
        {"teacher", OPTION_STRING, &recheck.teacher_path, "FILE.onnx", NULL, "its teacher", .required = true},
        {"count", OPTION_INT, &recheck.count, "N", "64", "how many random views", .letter = 'n', .minimum = 1,
         .maximum = 1e8},
        {"seed", OPTION_UINT64, &recheck.seed, "N", "1", "which ones"},
        {"tolerance", OPTION_FLOAT, &recheck.tolerance, "X", NULL,
         "largest difference allowed, as a fraction of the view's largest value [fp32 0.002, fp16 and tf32 0.01, bf16 "
         "0.06]",
         .minimum = 0, .maximum = 1},
        {"device", OPTION_STRING, &recheck.device, "D", "auto", "auto, cpu, cuda or cuda:K"},
        {"teacher-precision", OPTION_CHOICE, &recheck.precision, NULL, "auto",
         "what the teacher computes with; auto: as in the cache, where the device can", .choices = precision_names},
        {"gpu-memory", OPTION_SIZE, &recheck.gpu_memory, "SIZE", "0",
         "use no more of the GPU's memory; 0: what is free"},
        {"batch", OPTION_INT, &recheck.batch, "N", "0",
         "views that the teacher sees at once; on a GPU that of `run` gives the same bits again [as `run`]",
         .minimum = 0, .maximum = DUMP_MAX_BATCH},
        {"threads", OPTION_INT, &recheck.threads, "N", "0", "0: all processors", .minimum = 0, .maximum = 1024},
        {"json", OPTION_FLAG, &recheck.json, NULL, NULL, "print JSON"},
        {"quiet", OPTION_FLAG, &recheck.quiet, NULL, NULL, "no progress"},
    };
    struct options options = {.command = "teacher_dump recheck",
                              .summary = "Runs the teacher again on random views and compares with the cache.",
                              .specs = specs,
                              .count = sizeof specs / sizeof *specs};
    TRY(options_parse(&options, argc, argv, err));
    if (options.help) {
        options_print_help(&options, stdout);
        goto cleanup;
    }
    progress_init(&recheck.progress, stderr, recheck.quiet || recheck.json);
    TRY(open_all(&recheck, err));
    TRY(recheck_all(&recheck, err));
    TRY(report(&recheck, err));
cleanup:
    release_all(&recheck);
    options_release(&options);
    return status;
}
