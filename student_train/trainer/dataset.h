/* One split of a cache in memory: base images on the device, labels, and the teacher's logits as they are stored. */
#ifndef STUDENT_TRAIN_TRAINER_DATASET_H
#define STUDENT_TRAIN_TRAINER_DATASET_H

#include "formats/cache/cache_view.h"
#include "shared/base/progress.h"
#include "student_train/trainer/compute.h"

struct dataset {
    const struct cache *cache;     /* borrowed */
    const struct compute *compute; /* borrowed */
    enum split split;
    uint32_t count;
    int views;                    /* of each sample with teacher logits */
    int size;                     /* side of the rendered views */
    struct device_images *images; /* [count] base images */
    struct base_size {
        int h, w;
    } * bases;                  /* [count] */
    uint32_t *ids;              /* [count] what a view's parameters are a function of */
    int32_t *labels;            /* [count], -1: none */
    uint32_t labelled;          /* samples with a label */
    struct cache_shard *shards; /* [shard_count] without their images */
    int *shard_of;              /* [count] */
    int shard_count;
    struct cache_views cache_views;                    /* at `size` */
    struct feature_store features[CACHE_MAX_FEATURES]; /* the teacher's values; values NULL: not loaded */
};

/* Reads and verifies every shard of the split, decodes the images on all threads. size: of the views. progress is
 * borrowed for the call; STATUS_INTERRUPTED after a SIGINT. */
enum status dataset_load(struct dataset *dataset, const struct cache *cache, enum split split, int size,
                         const struct compute *compute, struct progress *progress, struct error *err);
void dataset_release(struct dataset *dataset); /* a zeroed struct is legal */
/* Of a loaded training split: reads and verifies every shard again and brings the wanted features of the manifest that
 * are not there yet to the device, in dataset->features. Beside them at most one shard is in host memory. After an
 * error none of them is there; STATUS_INTERRUPTED after a SIGINT. */
enum status dataset_load_features(struct dataset *dataset, const bool wanted[CACHE_MAX_FEATURES],
                                  struct progress *progress, struct error *err);
void dataset_free_features(struct dataset *dataset); /* dataset_release does it too */

/* The parameters of a sample's view (a number, or CACHE_EVALUATION_VIEW) at the data set's size. */
void dataset_view(const struct dataset *dataset, uint32_t sample, int number, struct view *view);
/* Whether the split's views are mixed: training views of a recipe with mixup or cutmix. */
bool dataset_mixes(const struct dataset *dataset);
/* How a training view is mixed at the data set's size, and the sample whose view of the same number is its partner. */
void dataset_mix(const struct dataset *dataset, uint32_t sample, int number, struct view_mix *mix, uint32_t *partner);
/* Whether the cache holds the teacher's logits of training views, or of evaluation views: there are none of the latter
 * for the training split. */
bool dataset_has_teacher(const struct dataset *dataset, bool evaluation);
/* logits[classes] of the teacher for a view that has them. */
void dataset_teacher(const struct dataset *dataset, uint32_t sample, int number, float *logits);

#endif
