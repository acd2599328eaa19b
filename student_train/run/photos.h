/* The photos of a folder, in the byte order of their names, for predictions. */
#ifndef STUDENT_TRAIN_RUN_PHOTOS_H
#define STUDENT_TRAIN_RUN_PHOTOS_H

#include "shared/base/progress.h"
#include "student_train/run/finished_run.h"

struct photos {
    char **paths; /* [count], malloc'ed */
    size_t count;
};

/* Lists the JPEG files of a folder without subfolders. STATUS_NO_INPUT if there are none. */
enum status photos_list(struct photos *photos, const char *folder, struct error *err);
void photos_release(struct photos *photos); /* accepts a zeroed struct */

/* predictions[photos->count] = the class of each photo, preprocessed like the run's evaluation views. */
enum status photos_predict(const struct photos *photos, struct finished_run *run, struct progress *progress,
                           int32_t *predictions, struct error *err);

#endif
