/* Some photos of a data set, of all classes alike, and what the teacher says about their plain views: the evaluation
 * view, as it is scored in a cache. */
#ifndef TEACHER_DUMP_PHOTO_SAMPLE_H
#define TEACHER_DUMP_PHOTO_SAMPLE_H

#include "shared/base/threads.h"
#include "teacher_dump/dump_job.h"
#include "teacher_dump/view_batch.h"

struct sampled_photo {
    enum split split;
    uint32_t index;              /* in the split of the data set */
    int label;                   /* -1: none */
    int round;                   /* photos of one round are of different classes */
    struct prepared_image image; /* what the evaluation view shows, and nothing else */
};

struct photo_sample {
    struct sampled_photo *photos; /* [count] */
    int count;
};

/* Chooses up to `most` photos of a split: first one of each class, then another one of each, and so on, at random by
 * the seed. Only labelled ones if there are any. The photos are appended; their images are not read yet. */
enum status photo_sample_choose(struct photo_sample *sample, const struct image_source *source, enum split split,
                                uint64_t seed, int most, struct error *err);
/* Reads the photos' images. Those that cannot be read are left out of the sample: `run` says so later. */
enum status photo_sample_read(struct photo_sample *sample, const struct dump_job *job, struct thread_pool *pool,
                              struct error *err);
/* logits[count, classes] of photos[which[0..count)]. Nothing else may be in flight. STATUS_INTERRUPTED after a
 * SIGINT. */
enum status photo_sample_score(const struct photo_sample *sample, struct view_batch *views, const int *which, int count,
                               float *logits, struct error *err);
void photo_sample_release(struct photo_sample *sample); /* a zeroed one is allowed */

#endif
