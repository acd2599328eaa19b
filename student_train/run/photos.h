/* Photographs of a folder, in the byte order of their names, for predictions. */
#ifndef STUDENT_TRAIN_RUN_PHOTOS_H
#define STUDENT_TRAIN_RUN_PHOTOS_H

#include "shared/base/progress.h"
#include "student_train/run/finished_run.h"

struct photos {
    char **paths; /* [count], malloc'ed */
    size_t count;
};

/* The JPEG files of a flat folder. STATUS_NO_INPUT when there are none. */
enum status photos_list(struct photos *photos, const char *folder, struct error *err);
void photos_release(struct photos *photos); /* a zeroed struct is legal */

/* predictions[photos->count] = the class of each one, preprocessed as the run's evaluation views. */
enum status photos_predict(const struct photos *photos, struct finished_run *run, struct progress *progress,
                           int32_t *predictions, struct error *err);

#endif
