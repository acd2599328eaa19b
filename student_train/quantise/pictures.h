/* Some of a cache's pictures in memory, 8-bit, as a student of a size sees them. */
#ifndef STUDENT_TRAIN_QUANTISE_PICTURES_H
#define STUDENT_TRAIN_QUANTISE_PICTURES_H

#include "formats/cache/cache.h"
#include "shared/base/threads.h"
#include "shared/quantise/calibration.h"

struct pictures {
    struct pixel_set set; /* owned */
    int32_t *labels;      /* [set.count], -1: none */
};

/* Which samples of a split: at most `count` of those at positions first, first + step, first + 2 * step, ..., evenly
 * spread. views: their training views, a different one for each (without mixup and cutmix); otherwise their evaluation
 * images. */
struct picture_choice {
    enum split split;
    uint32_t first, step, count;
    bool views;
};

/* size: side of the student's input. STATUS_CONFIG: the split is empty. */
enum status pictures_load(struct pictures *pictures, const struct cache *cache, const struct picture_choice *choice,
                          int size, struct thread_pool *pool, struct error *err);
void pictures_release(struct pictures *pictures); /* accepts a zeroed struct */

#endif
