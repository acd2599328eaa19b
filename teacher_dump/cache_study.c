#include "teacher_dump/cache_study.h"

#include "shared/base/interrupt.h"
#include <stdlib.h>

struct study_pass {
    struct cache_study *study;
    const struct cache_manifest *manifest;
    enum split mistakes_of;
    float *logits;         /* [classes] */
    double *probabilities; /* [classes] */
};

static enum status study_split_init(struct study_split *split, size_t classes, size_t views, struct error *err)
{
    split->class_views = calloc(classes, sizeof *split->class_views);
    split->class_right = calloc(classes, sizeof *split->class_right);
    split->row_views = calloc(views, sizeof *split->row_views);
    split->row_right = calloc(views, sizeof *split->row_right);
    if (!split->class_views || !split->class_right || !split->row_views || !split->row_right)
        return error_no_memory(err, (classes + views) * sizeof *split->class_views, "counts of views");
    return STATUS_OK;
}

/* The split whose mistakes are shown: one that students are evaluated on, if the teacher was measured on it. */
static enum split split_of_mistakes(const struct cache_manifest *manifest)
{
    static const enum split order[] = {SPLIT_VAL, SPLIT_TEST};
    for (int i = 0; i < 2; i++)
        if (manifest->splits[order[i]].samples > 0 && manifest->splits[order[i]].teacher_accuracy >= 0)
            return order[i];
    return SPLIT_TRAIN;
}

/* Keeps the surest, at most one of a sample; equal ones in the order in which they come. */
static void keep_mistake(struct cache_study *study, const struct study_mistake *mistake)
{
    int at = study->mistake_count;
    while (at > 0 && study->mistakes[at - 1].confidence < mistake->confidence)
        at--;
    if (at == STUDY_MISTAKES)
        return;
    study->mistake_count += study->mistake_count < STUDY_MISTAKES;
    for (int i = study->mistake_count - 1; i > at; i--)
        study->mistakes[i] = study->mistakes[i - 1];
    study->mistakes[at] = *mistake;
}

static void study_sample(struct study_pass *pass, const struct cache_shard *shard, uint32_t i)
{
    const int classes = pass->manifest->class_count, label = shard->labels[i];
    struct study_split *split = &pass->study->splits[shard->split];
    struct study_mistake worst = {.split = shard->split, .sample = shard->first + i, .confidence = -1};
    for (int row = 0; row < shard->views; row++) {
        split->views++;
        if (label < 0)
            continue;
        int best = 0;
        cache_logits(pass->manifest, shard, i, row, pass->logits);
        cache_probabilities(pass->logits, classes, pass->probabilities);
        for (int c = 1; c < classes; c++)
            best = pass->logits[c] > pass->logits[best] ? c : best;
        const double confidence = pass->probabilities[best];
        const bool right = best == label;
        reliability_add(&split->reliability, confidence, right);
        split->labelled++;
        split->right += right;
        split->class_views[label]++;
        split->class_right[label] += right;
        split->row_views[row]++;
        split->row_right[row] += right;
        if (!right && confidence > worst.confidence) {
            worst.row = row;
            worst.confidence = confidence;
        }
    }
    if (worst.confidence >= 0 && shard->split == pass->mistakes_of)
        keep_mistake(pass->study, &worst);
}

static enum status study_shard(struct study_pass *pass, const struct cache *cache, enum split s, int index,
                               struct error *err)
{
    const struct cache_split *split = &cache->manifest.splits[s];
    const uint64_t views = (uint64_t)split->samples * (uint64_t)split->views;
    const uint32_t stride = (uint32_t)((views + STUDY_VIEWS - 1) / STUDY_VIEWS);
    struct cache_shard shard = {0};
    enum status status = STATUS_OK;
    TRY(cache_add_storage(cache, s, index, &pass->study->storage, err));
    if (!cache_has_teacher(&cache->manifest))
        return STATUS_OK;
    TRY(cache_read_shard(cache, s, index, 0, &shard, err));
    for (uint32_t i = (stride - shard.first % stride) % stride; i < shard.count; i += stride)
        study_sample(pass, &shard, i);
cleanup:
    cache_shard_release(&shard);
    return status;
}

enum status cache_study_make(struct cache_study *study, const struct cache *cache, struct progress *progress,
                             struct error *err)
{
    const struct cache_manifest *manifest = &cache->manifest;
    const size_t classes = (size_t)manifest->class_count;
    enum status status = STATUS_OK;
    size_t shards = 0, done = 0;
    *study = (struct cache_study){0};
    struct study_pass pass = {.study = study,
                              .manifest = manifest,
                              .mistakes_of = split_of_mistakes(manifest),
                              .logits = calloc(classes, sizeof *pass.logits),
                              .probabilities = calloc(classes, sizeof *pass.probabilities)};
    if (!pass.logits || !pass.probabilities)
        FAIL(error_no_memory(err, classes * sizeof *pass.probabilities, "probabilities"));
    for (int s = 0; s < SPLIT_COUNT; s++) {
        shards += (size_t)manifest->splits[s].shard_count;
        TRY(study_split_init(&study->splits[s], classes, (size_t)manifest->splits[s].views + 1, err));
    }
    progress_begin(progress, "read", "shards", shards, 0);
    for (int s = 0; s < SPLIT_COUNT; s++)
        for (int i = 0; i < manifest->splits[s].shard_count; i++) {
            if (interrupt_requested())
                FAIL(error_set(err, STATUS_INTERRUPTED, cache->path, "stopped while reading"));
            TRY(study_shard(&pass, cache, (enum split)s, i, err));
            progress_update(progress, ++done, NULL);
        }
cleanup:
    progress_end(progress);
    free(pass.logits);
    free(pass.probabilities);
    return status;
}

void cache_study_release(struct cache_study *study)
{
    for (int s = 0; s < SPLIT_COUNT; s++) {
        free(study->splits[s].class_views);
        free(study->splits[s].class_right);
        free(study->splits[s].row_views);
        free(study->splits[s].row_right);
    }
    *study = (struct cache_study){0};
}
