/* Makes, fills and frees epoch inputs: what a pass over the data reads from the host (struct epoch_inputs in
 * training.h). */
#ifndef SHARED_TRAINING_EPOCH_INPUTS_H
#define SHARED_TRAINING_EPOCH_INPUTS_H

#include "shared/training/training.h"

/* The same in host memory. The caller fills it and uploads it. */
struct epoch_content {
    int batch, students, classes;
    size_t capacity;
    struct view *views;           /* [capacity] */
    uint32_t *samples, *numbers;  /* [capacity] */
    int32_t *labels;              /* [capacity] */
    float *teacher;               /* [capacity, classes], or NULL */
    struct step_scalars *scalars; /* [capacity / batch, students] */
    struct view_mix *mixes;       /* [capacity], or NULL, as the next three */
    struct view *partner_views;   /* [capacity] */
    uint32_t *partners;           /* [capacity] */
    int32_t *partner_labels;      /* [capacity] */
};

enum epoch_part { EPOCH_TEACHER = 1, EPOCH_MIXES = 2 }; /* what epoch inputs may have besides the rest */

/* capacity: slots, rounded up to whole batches. Everything is 0 at first. parts: of enum epoch_part. */
enum status epoch_content_init(struct epoch_content *content, size_t capacity, int batch, int students, int classes,
                               unsigned parts, struct error *err);
void epoch_content_release(struct epoch_content *content); /* a zeroed struct is allowed */

/* Allocates device memory for content of the same sizes. */
enum status epoch_inputs_init(struct epoch_inputs *inputs, const struct device_ops *ops, struct device *device,
                              const struct epoch_content *content, struct error *err);
void epoch_inputs_release(struct epoch_inputs *inputs, const struct device_ops *ops, struct device *device);

/* Uploads slots [0, count) with the scalars of their steps, and sets the cursor to step 0. */
enum status epoch_inputs_upload(const struct epoch_inputs *inputs, const struct device_ops *ops, struct device *device,
                                const struct epoch_content *content, size_t count, struct error *err);
enum status epoch_inputs_rewind(const struct epoch_inputs *inputs, const struct device_ops *ops, struct device *device,
                                struct error *err);

/* The part of the epoch inputs that rendering reads. */
static inline struct epoch_views epoch_inputs_views(const struct epoch_inputs *inputs)
{
    return (struct epoch_views){inputs->batch, inputs->cursor,        inputs->views,   inputs->samples,
                                inputs->mixes, inputs->partner_views, inputs->partners};
}

#endif
