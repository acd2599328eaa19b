/* One split of a cache in memory: base images on the device, labels, and the teacher's logits as they are stored. */
#ifndef STUDENT_TRAIN_DATASET_H
#define STUDENT_TRAIN_DATASET_H

#include "formats/cache.h"
#include "shared/augment/recipe.h"
#include "shared/base/progress.h"
#include "student_train/compute.h"

enum { DATASET_EVALUATION_VIEW = -1 };

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
    struct recipe recipe;
    float table[3][256]; /* normalisation */
};

/* Reads and verifies every shard of the split, decodes the images on all threads. size: of the views. progress is
 * borrowed for the call; STATUS_INTERRUPTED after a SIGINT. */
enum status dataset_load(struct dataset *dataset, const struct cache *cache, enum split split, int size,
                         const struct compute *compute, struct progress *progress, struct error *err);
void dataset_release(struct dataset *dataset); /* a zeroed struct is legal */

/* A batch: samples and the view of each. */
struct batch {
    int count;
    uint32_t *samples; /* [room] */
    int *numbers;      /* [room] view number, or DATASET_EVALUATION_VIEW */
    /* filled by dataset_targets */
    int32_t *labels; /* [room] */
    float *teacher;  /* [room, classes] */
    /* the renderer's */
    struct view *views; /* [room] */
};
enum status batch_init(struct batch *batch, int room, int classes, struct error *err);
void batch_release(struct batch *batch);

/* The batch's views into out[count, size, size, channels], device memory. */
enum status dataset_render(const struct dataset *dataset, const struct batch *batch, float *out, struct error *err);
/* Labels and teacher logits of the batch's views. False without logits: the evaluation views of the training split, and
 * caches without a teacher. */
bool dataset_targets(const struct dataset *dataset, struct batch *batch);

#endif
