#include "teacher_dump/photo_sample.h"

#include "shared/base/interrupt.h"
#include "shared/base/random.h"
#include <stdlib.h>
#include <string.h>

/* ---- choosing ---- */

/* Photos of one split in the order in which they are taken. */
struct candidate {
    int round;      /* how many of its class come before it */
    uint32_t order; /* its place in a random order of the split */
    uint32_t index;
};

static int compare_candidates(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    if (x->round != y->round)
        return x->round < y->round ? -1 : 1;
    return (x->order > y->order) - (x->order < y->order);
}

/* The split's photos in a random order, each with its round; *count of them have a label, or all if none has one. */
static enum status list_candidates(const struct image_source *source, enum split split, uint64_t seed,
                                   struct candidate **list, uint32_t *count, struct error *err)
{
    const struct image_set *set = &source->sets[split];
    const uint32_t total = set->count < UINT32_MAX ? (uint32_t)set->count : UINT32_MAX;
    uint32_t *order = malloc(((size_t)total + 1) * sizeof *order);
    int *taken = calloc((size_t)source->class_count + 1, sizeof *taken), labelled = 0;
    struct random_stream stream;
    *list = malloc(((size_t)total + 1) * sizeof **list);
    *count = 0;
    if (!order || !taken || !*list) {
        free(order);
        free(taken);
        return error_no_memory(err, (size_t)total * sizeof **list, "the list of photos");
    }
    for (uint32_t i = 0; i < total; i++) {
        order[i] = i;
        labelled += set->samples[i].label >= 0;
    }
    random_stream_init(&stream, seed, RANDOM_CHECK, (uint32_t)split, 0);
    random_shuffle(&stream, order, total);
    for (uint32_t i = 0; i < total; i++) {
        const int label = set->samples[order[i]].label;
        if (label >= 0 || labelled == 0)
            (*list)[(*count)++] = (struct candidate){taken[label + 1]++, i, order[i]};
    }
    free(order);
    free(taken);
    return STATUS_OK;
}

enum status photo_sample_choose(struct photo_sample *sample, const struct image_source *source, enum split split,
                                uint64_t seed, int most, struct error *err)
{
    enum status status = STATUS_OK;
    struct candidate *list = NULL;
    uint32_t count;
    TRY(list_candidates(source, split, seed, &list, &count, err));
    qsort(list, count, sizeof *list, compare_candidates);
    count = count < (uint32_t)most ? count : (uint32_t)most;
    struct sampled_photo *photos = realloc(sample->photos, ((size_t)sample->count + count + 1) * sizeof *photos);
    if (!photos)
        FAIL(error_no_memory(err, count * sizeof *photos, "a sample of photos"));
    sample->photos = photos;
    for (uint32_t i = 0; i < count; i++)
        photos[sample->count++] = (struct sampled_photo){.split = split,
                                                         .index = list[i].index,
                                                         .label = source->sets[split].samples[list[i].index].label,
                                                         .round = list[i].round};
cleanup:
    free(list);
    return status;
}

/* ---- reading ---- */

struct read_job {
    const struct dump_job *job;
    struct sampled_photo *photos;
};

/* A broken or missing photo keeps an image without levels: the scan of all photos will tell. A disk that fails, or a
 * lack of memory, is no broken photo. */
static enum status read_task(void *context, int i, int worker, struct error *err)
{
    (void)worker;
    const struct read_job *read = context;
    const struct cache_manifest *manifest = &read->job->manifest;
    struct sampled_photo *photo = &read->photos[i];
    const char *name = read->job->source.sets[photo->split].samples[photo->index].name;
    struct image image;
    struct error problem = {0};
    uint8_t *bytes = NULL;
    size_t size;
    enum status status = image_source_read(&read->job->source, photo->split, photo->index, &bytes, &size, &problem);
    if (status == STATUS_OK)
        status = cache_evaluation_image(manifest, bytes, size, name, manifest->size, &image, &problem);
    if (status == STATUS_OK) {
        photo->image.levels[0] = image;
        photo->image.level_count = 1;
    }
    free(bytes);
    if (status == STATUS_OK || status == STATUS_BAD_DATA || status == STATUS_NO_INPUT)
        return STATUS_OK;
    return error_set(err, status, problem.path, "%s", problem.message);
}

enum status photo_sample_read(struct photo_sample *sample, const struct dump_job *job, struct thread_pool *pool,
                              struct error *err)
{
    struct read_job read = {job, sample->photos};
    enum status status = thread_pool_try(pool, sample->count, read_task, &read, err);
    int kept = 0;
    for (int i = 0; i < sample->count; i++)
        if (sample->photos[i].image.level_count)
            sample->photos[kept++] = sample->photos[i];
    sample->count = kept;
    return status;
}

/* ---- scoring ---- */

enum status photo_sample_score(const struct photo_sample *sample, struct view_batch *views, const int *which, int count,
                               float *logits, struct error *err)
{
    enum status status = STATUS_OK;
    const size_t classes = (size_t)views->teacher->classes;
    struct view_answers answers;
    struct view_request *requests = calloc((size_t)views->batch, sizeof *requests);
    if (!requests)
        return error_no_memory(err, (size_t)views->batch * sizeof *requests, "a batch");
    for (int at = 0, size; at < count; at += size) {
        size = count - at < views->batch ? count - at : views->batch;
        for (int k = 0; k < size; k++) {
            const struct sampled_photo *photo = &sample->photos[which[at + k]];
            requests[k] = (struct view_request){
                .image = &photo->image,
                .which = {photo->split, photo->index, photo->index, CACHE_EVALUATION_VIEW},
                .mix = {.kind = VIEW_MIX_NONE, .share = 65536},
            };
        }
        TRY(view_batch_submit(views, 0, requests, size, err));
        TRY(view_batch_collect(views, 0, &answers, err));
        memcpy(logits + (size_t)at * classes, answers.outputs[0], (size_t)size * classes * sizeof *logits);
        if (interrupt_requested())
            FAIL(error_set(err, STATUS_INTERRUPTED, NULL, "nothing was written yet"));
    }
cleanup:
    free(requests);
    return status;
}

void photo_sample_release(struct photo_sample *sample)
{
    for (int i = 0; i < sample->count; i++)
        prepared_image_release(&sample->photos[i].image);
    free(sample->photos);
    *sample = (struct photo_sample){0};
}
