/* Feeds: what a pass over the data reads from the host (struct feed in training.h), made, filled and freed. */
#ifndef SHARED_TRAINING_EPOCH_INPUTS_H
#define SHARED_TRAINING_EPOCH_INPUTS_H

#include "shared/training/training.h"

/* The same in host memory, to be filled by the caller and uploaded. */
struct feed_content {
    int batch, students, classes;
    size_t room;
    struct view *views;           /* [room] */
    uint32_t *samples, *numbers;  /* [room] */
    int32_t *labels;              /* [room] */
    float *teacher;               /* [room, classes], or NULL */
    struct step_scalars *scalars; /* [room / batch, students] */
    struct view_mix *mixes;       /* [room], or NULL, as the next three */
    struct view *partner_views;   /* [room] */
    uint32_t *partners;           /* [room] */
    int32_t *partner_labels;      /* [room] */
};

enum feed_part { FEED_TEACHER = 1, FEED_MIXES = 2 }; /* what a feed has beside the rest */

/* room: positions, rounded up to whole batches. Everything is 0 at first. parts: of enum feed_part. */
enum status feed_content_init(struct feed_content *content, size_t room, int batch, int students, int classes,
                              unsigned parts, struct error *err);
void feed_content_release(struct feed_content *content); /* a zeroed struct is legal */

/* Device memory for a content of the same sizes. */
enum status feed_init(struct feed *feed, const struct device_ops *ops, struct device *device,
                      const struct feed_content *content, struct error *err);
void feed_release(struct feed *feed, const struct device_ops *ops, struct device *device);

/* Uploads positions [0, count) with the scalars of their steps, and sets the cursor to step 0. */
enum status feed_upload(const struct feed *feed, const struct device_ops *ops, struct device *device,
                        const struct feed_content *content, size_t count, struct error *err);
enum status feed_rewind(const struct feed *feed, const struct device_ops *ops, struct device *device,
                        struct error *err);

/* The part of the feed that rendering reads. */
static inline struct epoch_views feed_views(const struct feed *feed)
{
    return (struct epoch_views){feed->batch, feed->cursor,        feed->views,   feed->samples,
                                feed->mixes, feed->partner_views, feed->partners};
}

#endif
