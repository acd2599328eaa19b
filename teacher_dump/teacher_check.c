#include "teacher_dump/teacher_check.h"

#include "teacher_dump/check_statistics.h"
#include "teacher_dump/teacher_checking.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const teacher_check_names[] = {"stop", "warn", "off", NULL};
const char *const check_finding_names[FINDING_COUNT] = {"", "probabilities", "order", "normalisation", "chance"};

/* Fewer values between 0 and 1 may be so by accident; a teacher that guesses on fewer photos may have had bad luck. */
enum { LEAST_VALUES = 40, LEAST_SCORED = 50 };

/* ---- the message ---- */

void checking_find(struct checking *c, enum check_finding finding, const char *format, ...)
{
    struct teacher_check *check = c->check;
    const size_t left = sizeof check->message - c->used;
    char *at = check->message + c->used;
    va_list args;
    if (check->found)
        c->used += (size_t)snprintf(at, left, "; ");
    else
        check->score.finding = check_finding_names[finding];
    check->found = true;
    if (c->used >= sizeof check->message)
        c->used = sizeof check->message - 1;
    va_start(args, format);
    c->used += (size_t)vsnprintf(check->message + c->used, sizeof check->message - c->used, format, args);
    va_end(args);
    if (c->used >= sizeof check->message)
        c->used = sizeof check->message - 1;
}

/* ---- memory and the first run ---- */

static enum status allocate(struct checking *c, struct error *err)
{
    const size_t count = (size_t)c->sample.count + 1, classes = (size_t)c->classes;
    c->logits = malloc(count * classes * sizeof *c->logits);
    c->labels = malloc(5 * count * sizeof *c->labels);
    c->order = malloc(classes * sizeof *c->order);
    if (!c->logits || !c->labels || !c->order)
        return error_no_memory(err, count * classes * sizeof *c->logits, "the teacher's answers");
    c->predicted = c->labels + count;
    c->rounds = c->predicted + count;
    c->which = c->rounds + count;
    c->again = c->which + count;
    for (int i = 0; i < c->classes; i++)
        c->order[i] = i;
    for (int i = 0; i < c->sample.count; i++) {
        c->labels[i] = c->sample.photos[i].label;
        c->rounds[i] = c->sample.photos[i].round;
        c->which[i] = i;
    }
    return STATUS_OK;
}

/* The split that is scored besides train: the first that has labels, or any. */
static enum split scored_split(const struct image_source *source)
{
    static const enum split splits[] = {SPLIT_VAL, SPLIT_TEST};
    for (int i = 0; i < 2; i++)
        for (size_t k = 0; k < source->sets[splits[i]].count; k++)
            if (source->sets[splits[i]].samples[k].label >= 0)
                return splits[i];
    return SPLIT_VAL;
}

static enum status choose_photos(struct checking *c, struct thread_pool *pool, struct error *err)
{
    enum status status = STATUS_OK;
    const struct dump_job *job = c->job;
    const size_t photo_bytes = (size_t)job->manifest.size * (size_t)job->manifest.size * 3;
    const size_t fits = ((size_t)512 << 20) / photo_bytes;
    const int most = fits < CHECK_PHOTOS ? (int)fits : CHECK_PHOTOS; /* VIEW_MAX_SIZE leaves 10 */
    const uint64_t seed = job->options->seed;
    TRY(photo_sample_choose(&c->sample, &job->source, scored_split(&job->source), seed, most, err));
    TRY(photo_sample_choose(&c->sample, &job->source, SPLIT_TRAIN, seed,
                            most < CHECK_TRAIN_PHOTOS ? most : CHECK_TRAIN_PHOTOS, err));
    TRY(photo_sample_read(&c->sample, job, pool, err));
    TRY(allocate(c, err));
cleanup:
    return status;
}

void checking_predict(const struct checking *c, const float *logits, int count, int *predicted)
{
    for (int i = 0; i < count; i++) {
        const float *row = logits + (size_t)i * (size_t)c->classes;
        predicted[i] = 0;
        for (int k = 1; k < c->classes; k++)
            predicted[i] = row[k] > row[predicted[i]] ? k : predicted[i];
    }
}

int checking_right(const struct checking *c)
{
    int right = 0;
    for (int i = 0; i < c->sample.count; i++)
        right += checking_is_right(c, i, c->predicted[i]);
    return right;
}

/* Labelled photos come first: what has no label is not scored. */
static void score(struct checking *c)
{
    struct cache_check *score = &c->check->score;
    for (int i = 0; i < c->sample.count; i++) {
        const bool train = c->sample.photos[i].split == SPLIT_TRAIN;
        if (c->labels[i] < 0)
            continue;
        c->check->labelled = true;
        *(train ? &score->train_photos : &score->photos) += 1;
        *(train ? &score->train_right : &score->right) += c->predicted[i] == c->labels[i];
    }
}

/* Only labelled photos from here on. */
static void drop_unlabelled(struct checking *c)
{
    int kept = 0;
    for (int i = 0; i < c->sample.count; i++) {
        struct sampled_photo *photo = &c->sample.photos[i];
        if (photo->label < 0) {
            prepared_image_release(&photo->image);
            continue;
        }
        c->sample.photos[kept] = *photo;
        c->labels[kept] = c->labels[i];
        c->predicted[kept] = c->predicted[i];
        c->rounds[kept++] = c->rounds[i];
    }
    c->sample.count = kept;
}

/* ---- probabilities ---- */

static void look_for_probabilities(struct checking *c)
{
    const size_t classes = (size_t)c->classes, count = (size_t)c->sample.count;
    bool sums = true;
    if (c->job->teacher.outputs.from == TEACHER_FROM_PROBABILITIES || count * classes < LEAST_VALUES)
        return;
    for (size_t i = 0; i < count; i++) {
        double sum = 0;
        for (size_t k = 0; k < classes; k++) {
            const float value = c->logits[i * classes + k];
            if (!(value >= 0 && value <= 1))
                return;
            sum += (double)value;
        }
        sums = sums && fabs(sum - 1) < 0.01; /* as half precision adds them up */
    }
    checking_find(
        c, FINDING_PROBABILITIES,
        "gives probabilities and no logits (on %d photos, every value lies between 0 and 1%s), but distillation with a "
        "temperature needs logits: export the model without its last %s, or take the logarithm of what it gives with "
        "--from probabilities",
        c->sample.count, sums ? ", and those of a photo add up to 1" : "", sums ? "softmax" : "sigmoid");
}

/* ---- guessing ---- */

/* What always the same answer would get right. */
static double guessing(const struct checking *c)
{
    int *counts = calloc((size_t)c->classes, sizeof *counts), most = 0;
    for (int i = 0; i < c->sample.count && counts; i++) {
        const int count = ++counts[c->labels[i]];
        most = count > most ? count : most;
    }
    free(counts);
    const double uniform = 1.0 / c->classes, same = (double)most / fmax(1, c->sample.count);
    return same > uniform ? same : uniform;
}

static void look_for_chance(struct checking *c)
{
    const int n = c->sample.count, right = checking_right(c);
    const double guess = guessing(c);
    if (c->check->found || n < LEAST_SCORED || !near_chance(right, n, guess))
        return;
    checking_find(
        c, FINDING_CHANCE,
        "is right on %d of %d labelled photos (%.1f %%), no better than guessing (%.1f %%), and no usual normalisation "
        "or order of the classes helps: is it the teacher of these classes? Compare --mean, --std, --size, --base, "
        "--resize and the classes' order (--classes) with those of its training",
        right, n, 100.0 * right / n, 100 * guess);
}

/* ---- all ---- */

enum status teacher_check_run(const struct dump_job *job, struct view_batch *views, struct thread_pool *pool,
                              struct teacher_check *check, struct error *err)
{
    enum status status = STATUS_OK;
    struct checking c = {.job = job, .views = views, .check = check, .classes = job->teacher.classes};
    *check = (struct teacher_check){.score = {.finding = ""}};
    TRY(choose_photos(&c, pool, err));
    TRY(photo_sample_score(&c.sample, views, c.which, c.sample.count, c.logits, err));
    checking_predict(&c, c.logits, c.sample.count, c.predicted);
    score(&c);
    look_for_probabilities(&c);
    drop_unlabelled(&c);
    if (c.sample.count == 0)
        goto cleanup;
    TRY(checking_look_for_mistakes(&c, err));
    look_for_chance(&c);
cleanup:
    photo_sample_release(&c.sample);
    free(c.logits);
    free(c.labels);
    free(c.order);
    return status;
}

void teacher_check_release(struct teacher_check *check)
{
    free(check->order);
    *check = (struct teacher_check){0};
}
