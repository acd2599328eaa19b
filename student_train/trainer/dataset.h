/* A split of a cache in memory: base images on the device, labels, and the teacher's logits in their stored form. */
#ifndef STUDENT_TRAIN_TRAINER_DATASET_H
#define STUDENT_TRAIN_TRAINER_DATASET_H

#include "formats/cache/cache_view.h"
#include "shared/base/progress.h"
#include "shared/base/scratch_file.h"
#include "student_train/trainer/compute.h"

/* What the images are for. For training they are base images, which the views are rendered from. For evaluation they
 * are what the student sees (cache_evaluation_image), and every view is the whole image. */
enum dataset_use { DATASET_TRAINING, DATASET_EVALUATION };

struct dataset {
    const struct cache *cache;     /* borrowed */
    const struct compute *compute; /* borrowed */
    enum split split;
    enum dataset_use use;
    bool mirrored; /* evaluation: every view shows its image from right to left; the caller may set it */
    uint32_t count;
    int views;                    /* per sample that have the teacher's logits */
    struct scratch_file file;     /* of the images, or closed */
    int largest;                  /* side of the views that it was loaded for */
    struct device_images *images; /* [count] */
    struct base_size {
        int h, w;
    } * bases;                  /* [count] of the images */
    uint32_t *ids;              /* [count] sample ids, which determine the parameters of views */
    int32_t *labels;            /* [count], -1: none */
    uint32_t labelled;          /* number of samples with a label */
    struct cache_shard *shards; /* [shard_count] without their images */
    int *shard_of;              /* [count] */
    int shard_count;
    struct cache_views cache_views;                    /* their size is that of the rendered views */
    struct feature_store features[CACHE_MAX_FEATURES]; /* the teacher's values; values NULL: not loaded */
};

/* Reads and verifies every shard of the split, and decodes the images on all threads. size: side of the views; later
 * ones may be smaller (cache_views.size), but not larger: what only those would need of an image is not kept. Base
 * images are in a file if compute->images_folder says so. progress is borrowed for the call. STATUS_INTERRUPTED after a
 * SIGINT. */
enum status dataset_load(struct dataset *dataset, const struct cache *cache, enum split split, enum dataset_use use,
                         int size, const struct compute *compute, struct progress *progress, struct error *err);
void dataset_release(struct dataset *dataset); /* accepts a zeroed struct */
/* For a loaded training split: reads and verifies every shard again, and copies the wanted features that are not loaded
 * yet to the device, into dataset->features. At most one shard is in host memory at a time. After an error none of them
 * is loaded. STATUS_INTERRUPTED after a SIGINT. */
enum status dataset_load_features(struct dataset *dataset, const bool wanted[CACHE_MAX_FEATURES],
                                  struct progress *progress, struct error *err);
void dataset_free_features(struct dataset *dataset); /* also done by dataset_release */

/* The sample's name: a path below the data folder, or "train/000123". */
const char *dataset_name(const struct dataset *dataset, uint32_t sample);
/* The parameters of a sample's view at the data set's size: a number, or CACHE_EVALUATION_VIEW of a data set for
 * evaluation. */
void dataset_view(const struct dataset *dataset, uint32_t sample, int number, struct view *view);
/* True if the split's views are mixed: training views of a recipe with mixup or cutmix. */
bool dataset_mixes(const struct dataset *dataset);
/* How a training view is mixed at the data set's size, and the sample whose view of the same number is its partner. */
void dataset_mix(const struct dataset *dataset, uint32_t sample, int number, struct view_mix *mix, uint32_t *partner);
/* True if the cache has the teacher's logits of training views or, if evaluation is set, of evaluation views; the
 * training split has no logits of evaluation views. */
bool dataset_has_teacher(const struct dataset *dataset, bool evaluation);
/* logits[classes] = the teacher's for a view that has them. */
void dataset_teacher(const struct dataset *dataset, uint32_t sample, int number, float *logits);

#endif
