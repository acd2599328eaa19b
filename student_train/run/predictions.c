#define _POSIX_C_SOURCE 200809L
#include "student_train/run/predictions.h"

#include "shared/base/interrupt.h"
#include "shared/base/natural_order.h"
#include "student_train/trainer/evaluation.h"
#include "student_train/trainer/probabilities.h"
#include <stdlib.h>
#include <string.h>

static enum status init(struct predictions *predictions, size_t count, int classes, bool mirrored, struct error *err)
{
    *predictions = (struct predictions){.count = count, .classes = classes, .mirrored = mirrored};
    predictions->names = arena_alloc(&predictions->arena, count, sizeof *predictions->names);
    predictions->broken = arena_alloc(&predictions->arena, count, sizeof *predictions->broken);
    predictions->guessed = arena_alloc(&predictions->arena, count, sizeof *predictions->guessed);
    predictions->probabilities = calloc(count, (size_t)classes * sizeof *predictions->probabilities);
    if (!predictions->names || !predictions->broken || !predictions->guessed || !predictions->probabilities)
        return error_no_memory(err, size_mul(count, (size_t)classes * sizeof(float)), "predictions");
    return STATUS_OK;
}

void predictions_release(struct predictions *predictions)
{
    arena_release(&predictions->arena);
    free(predictions->probabilities);
    *predictions = (struct predictions){0};
}

/* ---- photos ---- */

/* A batch of photos, decoded on all threads. */
struct photo_job {
    struct predictions *predictions;
    const struct photos *photos;
    struct finished_run *run;
    enum broken_photo on_broken;
    size_t first;  /* the batch's first photo */
    char **broken; /* [batch] malloc'ed */
    struct device_images *images;
    struct epoch_content content; /* of one step */
    float *mirrored;              /* [batch, classes] */
};

/* What the photo is not to blame for (memory, a disk that fails, a missing decoder) is an error, and anything with
 * BROKEN_FAIL. Otherwise the reason is kept, and the student sees black. */
static enum status load_photo(void *context, int index, int worker, struct error *err)
{
    struct photo_job *job = context;
    const struct model_card *card = &job->run->info.card;
    const struct compute *compute = &job->run->compute;
    const size_t photo = job->first + (size_t)index;
    struct image seen;
    struct error problem = {0}, damage = {0};
    enum status status =
        photo_seen(job->photos, photo, card, job->on_broken == BROKEN_SALVAGE, &seen, &damage, &problem);
    (void)worker;
    if (status != STATUS_OK || damage.code != STATUS_OK) {
        if (job->on_broken == BROKEN_FAIL || status == STATUS_INTERNAL || status == STATUS_CONFIG ||
            status == STATUS_IO) {
            *err = problem;
            return status;
        }
        job->broken[index] = strdup(status != STATUS_OK ? problem.message : damage.message);
        job->predictions->guessed[photo] = status != STATUS_OK;
        if (!job->broken[index])
            return error_no_memory(err, 0, "predictions");
    }
    if (status != STATUS_OK)
        TRY(image_init(&seen, card->size, card->size, card->channels, err));
    TRY(compute->backend->device->images->put(compute->device, job->images, (uint32_t)index, &seen, 0, err));
cleanup:
    image_release(&seen);
    return status;
}

/* logits[count, classes] of the batch, seen as it is or mirrored, become probabilities. */
static enum status classify(struct photo_job *job, int count, bool mirrored, float *rows, struct error *err)
{
    const struct model_card *card = &job->run->info.card;
    struct trainer *trainer = &job->run->trainer;
    float table[3][256];
    view_normalisation_table(table, card->mean, card->std, card->channels);
    for (int i = 0; i < count; i++) {
        job->content.samples[i] = (uint32_t)i;
        view_make_whole(&job->content.views[i], card->size, mirrored);
    }
    enum status status = trainer_predict(trainer, job->images, &job->content, count, card->size, table, rows, err);
    if (status == STATUS_OK)
        probabilities_softmax(rows, (size_t)count, (size_t)trainer->classes);
    return status;
}

static enum status keep_problems(struct photo_job *job, int count, struct error *err)
{
    struct predictions *predictions = job->predictions;
    for (int i = 0; i < count; i++)
        if (job->broken[i]) {
            predictions->broken[job->first + (size_t)i] = arena_strdup(&predictions->arena, job->broken[i]);
            if (!predictions->broken[job->first + (size_t)i])
                return error_no_memory(err, 0, "predictions");
        }
    return STATUS_OK;
}

static enum status predict_batch(struct photo_job *job, int count, struct error *err)
{
    const struct compute *compute = &job->run->compute;
    const size_t classes = (size_t)job->predictions->classes;
    float *rows = job->predictions->probabilities + job->first * classes;
    enum status status = STATUS_OK;
    memset(job->broken, 0, (size_t)count * sizeof *job->broken);
    TRY(compute->backend->device->images->create(compute->device, (uint32_t)count, job->run->info.card.channels, NULL,
                                                 &job->images, err));
    TRY(thread_pool_try(compute->pool, count, load_photo, job, err));
    TRY(keep_problems(job, count, err));
    TRY(classify(job, count, false, rows, err));
    if (job->predictions->mirrored) {
        TRY(classify(job, count, true, job->mirrored, err));
        job->predictions->changed += probabilities_average(rows, job->mirrored, (size_t)count, classes);
    }
cleanup:
    for (int i = 0; i < count; i++)
        free(job->broken[i]);
    compute->backend->device->images->destroy(compute->device, job->images);
    job->images = NULL;
    return status;
}

/* A photo of which nothing was seen gets a row that says how often the others got each class. */
static enum status guess(struct predictions *predictions, const struct photos *photos, struct error *err)
{
    const size_t classes = (size_t)predictions->classes;
    size_t seen = 0;
    float *shares = calloc(classes, sizeof *shares);
    if (!shares)
        return error_no_memory(err, classes * sizeof *shares, "predictions");
    for (size_t i = 0; i < predictions->count; i++)
        if (!predictions->guessed[i]) {
            shares[probabilities_class(predictions->probabilities + i * classes, classes)]++;
            seen++;
        }
    for (size_t k = 0; k < classes && seen > 0; k++)
        shares[k] /= (float)seen;
    for (size_t i = 0; i < predictions->count; i++)
        if (predictions->guessed[i])
            memcpy(predictions->probabilities + i * classes, shares, classes * sizeof *shares);
    free(shares);
    if (seen == 0)
        return error_set(err, STATUS_BAD_DATA, photos->folder, "none of the %zu photos can be read; the first, %s, %s",
                         predictions->count, predictions->names[0], predictions->broken[0]);
    return STATUS_OK;
}

enum status predictions_of_photos(struct predictions *predictions, const struct photos *photos,
                                  struct finished_run *run, enum broken_photo on_broken, bool mirrored,
                                  struct progress *progress, struct error *err)
{
    enum status status = STATUS_OK;
    const size_t capacity = (size_t)run->options.batch, classes = (size_t)run->trainer.classes;
    struct photo_job job = {.predictions = predictions, .photos = photos, .run = run, .on_broken = on_broken};
    TRY(init(predictions, photos->count, run->trainer.classes, mirrored, err));
    for (size_t i = 0; i < photos->count; i++)
        if (!(predictions->names[i] = arena_strdup(&predictions->arena, photos->names[i])))
            FAIL(error_no_memory(err, 0, "predictions"));
    job.broken = calloc(capacity, sizeof *job.broken);
    job.mirrored = calloc(capacity, classes * sizeof *job.mirrored);
    if (!job.broken || !job.mirrored)
        FAIL(error_no_memory(err, size_mul(capacity, classes * sizeof *job.mirrored), "predictions"));
    TRY(epoch_content_init(&job.content, capacity, (int)capacity, 1, run->trainer.classes, 0, err));
    progress_begin(progress, "predict", "photos", photos->count, 0);
    for (; job.first < photos->count; job.first += capacity) {
        const size_t left = photos->count - job.first, count = left < capacity ? left : capacity;
        TRY(predict_batch(&job, (int)count, err));
        progress_update(progress, job.first + count, NULL);
        if (interrupt_requested())
            FAIL(error_set(err, STATUS_INTERRUPTED, NULL, "stopped; nothing was written"));
    }
    TRY(guess(predictions, photos, err));
cleanup:
    progress_end(progress);
    epoch_content_release(&job.content);
    free(job.broken);
    free(job.mirrored);
    return status;
}

/* ---- samples of a cache ---- */

/* A row and its name, to sort rows by name. */
struct named_row {
    const char *name;
    const float *row;
};

static int compare_rows(const void *a, const void *b)
{
    return natural_order(((const struct named_row *)a)->name, ((const struct named_row *)b)->name);
}

/* Fills in names and rows[count, classes], which are in the order of the samples. */
static enum status take_rows(struct predictions *predictions, const struct dataset *dataset, const float *rows,
                             struct error *err)
{
    const size_t classes = (size_t)predictions->classes;
    struct named_row *sorted = calloc(predictions->count + 1, sizeof *sorted);
    if (!sorted)
        return error_no_memory(err, predictions->count * sizeof *sorted, "predictions");
    for (size_t i = 0; i < predictions->count; i++)
        sorted[i] = (struct named_row){dataset_name(dataset, (uint32_t)i), rows + i * classes};
    qsort(sorted, predictions->count, sizeof *sorted, compare_rows);
    bool ok = true;
    for (size_t i = 0; i < predictions->count; i++) {
        predictions->names[i] = arena_strdup(&predictions->arena, sorted[i].name);
        ok = ok && predictions->names[i];
        memcpy(predictions->probabilities + i * classes, sorted[i].row, classes * sizeof *rows);
    }
    free(sorted);
    return ok ? STATUS_OK : error_no_memory(err, 0, "predictions");
}

enum status predictions_of_dataset(struct predictions *predictions, struct dataset *dataset, struct finished_run *run,
                                   bool mirrored, struct error *err)
{
    enum status status = STATUS_OK;
    const size_t count = dataset->count, classes = (size_t)run->trainer.classes;
    float *rows = calloc(count, classes * sizeof *rows);
    TRY(init(predictions, count, run->trainer.classes, mirrored, err));
    if (!rows)
        FAIL(error_no_memory(err, size_mul(count, classes * sizeof *rows), "predictions"));
    TRY(evaluation_probabilities(&run->trainer, dataset, mirrored, rows, &predictions->changed, err));
    TRY(take_rows(predictions, dataset, rows, err));
cleanup:
    free(rows);
    return status;
}
