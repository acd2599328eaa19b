/* A val split for data sets that have none: a share of every class of the training images, or the test split. */
#define _GNU_SOURCE
#include "formats/datasets/source_reader.h"

#include "shared/base/random.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool has_labels(const struct image_set *set)
{
    for (size_t i = 0; i < set->count; i++)
        if (set->samples[i].label >= 0)
            return true;
    return false;
}

static enum status explain(const struct image_source *source, struct error *err)
{
    const struct image_set *test = &source->sets[SPLIT_TEST];
    char test_text[64] = "";
    if (test->count)
        snprintf(test_text, sizeof test_text, " and %zu test images %s labels", test->count,
                 has_labels(test) ? "with" : "without");
    return error_set(
        err, STATUS_BAD_DATA, source->path,
        "has no val/ folder to evaluate on (found: %zu training images%s): pass --val-from train:0.1, which "
        "takes a tenth of every class%s, or move some images of each class into val/",
        source->sets[SPLIT_TRAIN].count, test_text, test->count && has_labels(test) ? ", or --val-from test" : "");
}

/* How many of a class's n samples are taken: rounded, and at least one is taken and one left. */
static uint32_t share_of(double share, uint32_t n)
{
    const uint32_t count = (uint32_t)(share * n + 0.5);
    return n < 2 ? 0 : count < 1 ? 1 : count > n - 1 ? n - 1 : count;
}

/* Marks the samples of one class that are taken. scratch[samples of the split]. */
static void draw_class(const struct image_set *set, int label, double share, uint64_t seed, uint32_t *scratch,
                       bool *taken)
{
    struct random_stream random;
    uint32_t count = 0;
    for (size_t i = 0; i < set->count; i++)
        if (set->samples[i].label == label)
            scratch[count++] = (uint32_t)i;
    random_stream_init(&random, seed, RANDOM_SPLIT, (uint32_t)label, 0);
    random_shuffle(&random, scratch, count);
    for (uint32_t i = 0; i < share_of(share, count); i++)
        taken[scratch[i]] = true;
}

static enum status take_share(struct image_source *source, double share, uint64_t seed, struct error *err)
{
    enum status status = STATUS_OK;
    struct image_set *train = &source->sets[SPLIT_TRAIN], *val = &source->sets[SPLIT_VAL];
    uint32_t *scratch = malloc(train->count * sizeof *scratch);
    bool *taken = calloc(train->count, sizeof *taken);
    size_t kept = 0;
    val->samples = malloc(train->count * sizeof *val->samples);
    if (!scratch || !taken || !val->samples || train->count > UINT32_MAX)
        FAIL(error_no_memory(err, train->count * sizeof *val->samples, "the list of images"));
    val->capacity = train->count;
    for (int label = 0; label < source->class_count; label++)
        draw_class(train, label, share, seed, scratch, taken);
    for (size_t i = 0; i < train->count; i++)
        if (taken[i])
            val->samples[val->count++] = train->samples[i];
        else
            train->samples[kept++] = train->samples[i];
    train->count = kept;
    if (val->count == 0)
        FAIL(error_set(err, STATUS_BAD_DATA, source->path,
                       "has no class of two images or more: there is nothing to take"));
cleanup:
    free(scratch);
    free(taken);
    return status;
}

enum status source_make_validation(struct image_source *source, const struct image_source_options *options,
                                   struct error *err)
{
    const char *from = options->val_from;
    double share = 0;
    char rest;
    if (from && strcmp(from, "test") != 0 &&
        (sscanf(from, "train:%lf%c", &share, &rest) != 1 || !(share > 0) || !(share < 1)))
        return error_set(err, STATUS_USAGE, NULL,
                         "--val-from %s: must be train:SHARE with a share between 0 and 1, such as train:0.1, or test",
                         from);
    if (source->sets[SPLIT_VAL].count > 0)
        return from ? error_set(err, STATUS_USAGE, source->path,
                                "has %zu images to evaluate on already: leave out --val-from %s",
                                source->sets[SPLIT_VAL].count, from)
                    : STATUS_OK;
    if (!from)
        return explain(source, err);
    if (share > 0)
        return take_share(source, share, options->seed, err);
    if (!has_labels(&source->sets[SPLIT_TEST]))
        return error_set(err, STATUS_BAD_DATA, source->path, "--val-from test: it has no test images with labels");
    source->sets[SPLIT_VAL] = source->sets[SPLIT_TEST];
    source->sets[SPLIT_TEST] = (struct image_set){0};
    return STATUS_OK;
}
