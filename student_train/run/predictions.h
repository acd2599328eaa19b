/* What a finished run says about photos: a row of probabilities for each, in natural order of the names. No row is ever
 * left out: a broken photo keeps its place. */
#ifndef STUDENT_TRAIN_RUN_PREDICTIONS_H
#define STUDENT_TRAIN_RUN_PREDICTIONS_H

#include "shared/base/progress.h"
#include "student_train/run/finished_run.h"
#include "student_train/run/photos.h"

struct predictions {
    struct arena arena;
    size_t count;
    int classes;
    const char **names;   /* [count] below the photos' folder, or of the cache's samples */
    float *probabilities; /* [count, classes] */
    const char **broken;  /* [count] what is wrong with a photo; NULL: nothing */
    bool *guessed;        /* [count] nothing of the photo was seen: its row is how often the others got each class */
    bool mirrored;        /* every row is the mean of the picture and the same from right to left */
    size_t changed;       /* then: rows with another class than without */
};

/* Classifies photos, preprocessed like the run's evaluation images. STATUS_BAD_DATA: a photo is broken and on_broken is
 * BROKEN_FAIL, or every photo is. STATUS_INTERRUPTED. */
enum status predictions_of_photos(struct predictions *predictions, const struct photos *photos,
                                  struct finished_run *run, enum broken_photo on_broken, bool mirrored,
                                  struct progress *progress, struct error *err);
/* Classifies the samples of a split that was loaded for evaluation. */
enum status predictions_of_dataset(struct predictions *predictions, struct dataset *dataset, struct finished_run *run,
                                   bool mirrored, struct error *err);
void predictions_release(struct predictions *predictions); /* accepts a zeroed struct */

#endif
