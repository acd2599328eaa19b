/* RUN/metrics.json: the result of a finished run. */
#ifndef STUDENT_TRAIN_RUN_RUN_METRICS_H
#define STUDENT_TRAIN_RUN_RUN_METRICS_H

#include "shared/base/error.h"
#include "shared/base/memory.h"
#include <cjson/cJSON.h>

/* Numbers are NAN if they were not measured. */
struct run_metrics {
    struct arena arena; /* owns the texts of a struct that was read */
    const char *name, *student, *loss, *device;
    double parameters, multiply_accumulates, epochs, best_epoch, seconds, images_per_second;
    /* Of the best epoch's weights on the validation split, in [0, 1]; evaluation_json writes them. */
    double accuracy, agreement, loss_value;
    /* --select-on half: the score on the other half of the split, by which the epoch was chosen; otherwise NAN */
    double selection;
};

/* Adds everything but the validation to a JSON object. */
void run_metrics_json(const struct run_metrics *metrics, cJSON *object);
/* STATUS_NO_INPUT: the run is not finished. STATUS_BAD_DATA. */
enum status run_metrics_read(struct run_metrics *metrics, const char *run, struct error *err);
/* accuracy[class_count]: of a finished run for each class of its validation split; NAN where it was not measured. loss
 * (may be NULL) gets the run's loss, which belongs to the arena. STATUS_CONFIG: its classes are not these. */
enum status run_class_accuracy(const char *run, const char *const *classes, int class_count, double *accuracy,
                               const char **loss, struct arena *arena, struct error *err);
void run_metrics_release(struct run_metrics *metrics); /* accepts a zeroed struct */

#endif
