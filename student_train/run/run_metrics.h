/* What a finished run's metrics.json says, for tables of runs. */
#ifndef STUDENT_TRAIN_RUN_RUN_METRICS_H
#define STUDENT_TRAIN_RUN_RUN_METRICS_H

#include "shared/base/error.h"
#include "shared/base/memory.h"

/* NAN where the run had no validation or no teacher. Accuracy and agreement in [0, 1], of the best epoch's weights. */
struct run_metrics {
    struct arena arena; /* owns the texts */
    const char *loss, *student;
    double accuracy, agreement, loss_value, parameters, epochs, best_epoch, images_per_second, seconds;
};

/* STATUS_NO_INPUT: the run is not finished. STATUS_BAD_DATA. */
enum status run_metrics_read(struct run_metrics *metrics, const char *run, struct error *err);
void run_metrics_release(struct run_metrics *metrics); /* a zeroed struct is legal */

#endif
